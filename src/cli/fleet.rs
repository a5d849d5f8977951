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
    /// As whom these are logged on to.
    pub uses: Vec<CredentialUse>,
}

/// What a credential is a logon for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logon {
    /// A host, over WinRM and SMB.
    Windows,
    /// A CMDB, to read or to change it.
    Cmdb,
}

/// A credential at a place where it is used.
#[derive(Debug, Clone)]
pub(super) struct CredentialUse {
    /// The credential's name.
    pub name: CredentialName,
    /// What it is a logon for.
    pub logon: Logon,
    /// Where, with user and password.
    pub target: Target,
}

/// A credential that a host names.
#[derive(Debug, Clone)]
pub(super) struct NamedUse {
    /// The credential's name.
    pub name: CredentialName,
    /// The host.
    pub host: HostName,
    /// User and password; none where nobody but a person at the terminal knows them.
    pub found: Option<Credential>,
}

/// The credentials that the hosts of an inventory's file name; nobody is asked for them.
///
/// # Errors
///
/// A host's variables hold something else than they should.
pub(super) fn quiet_uses(file: &InventoryFile) -> Result<Vec<NamedUse>, Failure> {
    let mut purse = Purse::new(file);
    let mut uses = Vec::new();
    for host in file.loaded.inventory.hosts() {
        let settings = settings_of(&host)?;
        let mut named = |name: &Option<CredentialName>, address: &str, user: Option<&String>| {
            let Some(name) = name else { return Ok(()) };
            let found = purse.find_quietly(name, address)?.map(|found| Credential {
                user: user.cloned().unwrap_or(found.user),
                password: found.password,
            });
            uses.push(NamedUse { name: name.clone(), host: host.name.clone(), found });
            Ok(())
        };
        named(&settings.credential, &settings.address, settings.user.as_ref())?;
        if let Some(cmdb) = &settings.cmdb {
            named(&cmdb.credential, &cmdb.server, None)?;
            named(&cmdb.writer_credential, &cmdb.server, None)?;
        }
    }
    Ok(uses)
}

fn settings_of(host: &Host) -> Result<HostSettings, Failure> {
    HostSettings::of(host).map_err(|errors| {
        let mut failure =
            Failure::input(format!("could not use the variables of host {}", host.name));
        failure.causes.extend(errors.iter().map(ToString::to_string));
        failure
    })
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
    let (mut endpoints, mut uses) = (HashMap::new(), Vec::new());
    for host in hosts.values().filter(|host| is_wanted(host)) {
        endpoints.insert(host.name.clone(), endpoints_of(host, &mut purse, &mut uses)?);
    }
    Ok(Fleet { hosts, endpoints, uses })
}

fn endpoints_of(
    host: &Host,
    purse: &mut Purse<'_>,
    uses: &mut Vec<CredentialUse>,
) -> Result<Endpoints, Failure> {
    let settings = settings_of(host)?;
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
    let winrm = own.as_ref().map(|own| target(own, settings.winrm.port, Some(transport)));
    let of_cmdb = settings.cmdb.as_ref();
    let reader = of_cmdb.and_then(|at| at.credential.as_ref()).or(settings.credential.as_ref());
    let names = [
        (settings.credential.as_ref(), Logon::Windows, winrm.as_ref()),
        (reader, Logon::Cmdb, cmdb.as_ref()),
        (of_cmdb.and_then(|at| at.writer_credential.as_ref()), Logon::Cmdb, cmdb_writer.as_ref()),
    ];
    uses.extend(names.into_iter().filter_map(|(name, logon, target)| {
        Some(CredentialUse { name: name?.clone(), logon, target: target?.clone() })
    }));
    Ok(Endpoints {
        winrm,
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
