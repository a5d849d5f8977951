//! From an inventory and credentials to endpoints: where each host answers, and as whom to log on.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use indexmap::IndexMap;

use super::credentials;
use super::error::Failure;
use super::files::InventoryFile;
use crate::engine::Endpoints;
use crate::load::HostSettings;
use crate::model::{Credential, CredentialName, Host, HostName};
use crate::transport::Target;

/// The variable by which a lab names the file of its own credentials.
const LAB_CREDENTIALS: &str = "lab_credentials";

/// The hosts of an inventory and where they answer.
pub(super) struct Fleet {
    /// All hosts, in inventory order.
    pub hosts: IndexMap<HostName, Host>,
    /// Where those that a run may touch answer.
    pub endpoints: HashMap<HostName, Endpoints>,
}

/// Makes endpoints for the hosts that `is_wanted` picks; every credential is found once, and asked
/// for at the terminal at most once.
///
/// # Errors
///
/// A host's variables hold something else than they should, or a credential cannot be found.
pub(super) fn fleet(
    file: &InventoryFile,
    is_wanted: impl Fn(&Host) -> bool,
) -> Result<Fleet, Failure> {
    let hosts: IndexMap<HostName, Host> =
        file.loaded.inventory.hosts().map(|host| (host.name.clone(), host)).collect();
    let mut purse = Purse::new(file);
    let mut endpoints = HashMap::new();
    for host in hosts.values().filter(|host| is_wanted(host)) {
        endpoints.insert(host.name.clone(), endpoints_of(host, &mut purse)?);
    }
    Ok(Fleet { hosts, endpoints })
}

fn endpoints_of(host: &Host, purse: &mut Purse<'_>) -> Result<Endpoints, Failure> {
    let settings = HostSettings::of(host).map_err(|errors| {
        let mut failure =
            Failure::input(format!("could not use the variables of host {}", host.name));
        failure.causes.extend(errors.iter().map(ToString::to_string));
        failure
    })?;
    let own = match &settings.credential {
        Some(name) => Some(purse.find(name, &settings.address)?),
        None => None,
    };
    let own = own.map(|credential| match &settings.user {
        Some(user) => Credential { user: user.clone(), password: credential.password },
        None => credential,
    });
    let target = |credential: &Credential, port, option| Target {
        host: host.name.clone(),
        address: settings.address.clone(),
        port,
        credential: credential.clone(),
        option,
    };
    let (cmdb, cmdb_writer) = match &settings.cmdb {
        None => (None, None),
        Some(cmdb) if !is_loopback(&cmdb.server) => return Err(far_cmdb(host, &cmdb.server)),
        Some(cmdb) => {
            let credential = match &cmdb.credential {
                Some(name) => Some(purse.find(name, &cmdb.server)?),
                None => own.clone(),
            };
            // Nobody is asked for it at the terminal: who wants to change the CMDB says so before.
            let writer = match &cmdb.writer_credential {
                Some(name) => purse.find_quietly(name, &cmdb.server)?,
                None => None,
            };
            let at = |credential| Target {
                host: host.name.clone(),
                address: cmdb.server.clone(),
                port: cmdb.port,
                credential,
                option: Some(cmdb.database.clone()),
            };
            (credential.map(at), writer.map(at))
        }
    };
    let transport = settings.winrm.transport.name().to_owned();
    Ok(Endpoints {
        winrm: own.as_ref().map(|own| target(own, settings.winrm.port, Some(transport))),
        smb: own.as_ref().map(|own| target(own, settings.smb_port, None)),
        cmdb,
        cmdb_writer,
    })
}

fn is_loopback(server: &str) -> bool {
    server.eq_ignore_ascii_case("localhost")
        || server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn far_cmdb(host: &Host, server: &str) -> Failure {
    Failure::input(format!(
        "the CMDB of {} is on {server}; a login there would cross the network without TLS",
        host.name
    ))
    .hint(format!(
        "bring it to loopback: `ssh -N -L 1433:{server}:1433 bastion`, and `cmdb: {{ server: \
         127.0.0.1, … }}`"
    ))
}

/// Credentials that were found.
struct Purse<'a> {
    file: &'a InventoryFile,
    /// By name, and by whether the lab's own file counted: what the lab calls `fleet-admin` is not
    /// what a real host means by it.
    found: BTreeMap<(CredentialName, bool), Credential>,
    lab: Option<BTreeMap<String, Credential>>,
}

impl<'a> Purse<'a> {
    fn new(file: &'a InventoryFile) -> Self {
        Self { file, found: BTreeMap::new(), lab: None }
    }

    fn find(&mut self, name: &CredentialName, address: &str) -> Result<Credential, Failure> {
        // The lab's own file counts for the lab's own hosts, which are on loopback.
        let is_loopback = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let key = (name.clone(), is_loopback);
        if let Some(found) = self.found.get(&key) {
            return Ok(found.clone());
        }
        let none = BTreeMap::new();
        let lab = if is_loopback { self.lab()? } else { &none };
        let credential = credentials::find(name, lab)?;
        self.found.insert(key, credential.clone());
        Ok(credential)
    }

    /// As [`Purse::find`], but nobody is asked: none if it is nowhere.
    fn find_quietly(
        &mut self,
        name: &CredentialName,
        address: &str,
    ) -> Result<Option<Credential>, Failure> {
        let is_loopback = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let none = BTreeMap::new();
        let lab = if is_loopback { self.lab()? } else { &none };
        Ok(credentials::find_quietly(name, lab))
    }

    fn lab(&mut self) -> Result<&BTreeMap<String, Credential>, Failure> {
        if self.lab.is_none() {
            let named = self
                .file
                .loaded
                .inventory
                .groups()
                .find_map(|(_, group)| group.vars.get(LAB_CREDENTIALS)?.as_str());
            let read = match named {
                // A relative name is relative to the inventory.
                Some(path) => {
                    let folder = self.file.path.parent().unwrap_or(Path::new("."));
                    credentials::read_lab_file(&folder.join(path))?
                }
                None => BTreeMap::new(),
            };
            self.lab = Some(read);
        }
        Ok(self.lab.get_or_insert_default())
    }
}
