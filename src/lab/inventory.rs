//! The inventory and the credentials that a lab writes, so that it is used as a real fleet is.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use super::addresses::Endpoint;
use super::world::{CONNECTIVITY_ACCOUNT, Fleet, NETBIOS_DOMAIN, PARENT};
use crate::model::{Credential, TimeScale};

/// The credential of all hosts.
pub const ADMIN_CREDENTIAL: &str = "lab-admin";
/// The credential of the CMDB.
pub const CMDB_CREDENTIAL: &str = "lab-cmdb";
/// The credential by which the CMDB may be changed.
pub(super) const CMDB_WRITER_CREDENTIAL: &str = "lab-cmdb-writer";
/// The name of the CMDB's database.
pub const DATABASE: &str = "Symantec_CMDB";

/// What an inventory tells.
pub(super) struct Directory<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) speed: TimeScale,
    pub(super) credentials_file: &'a str,
    pub(super) notification_server: Endpoint,
    pub(super) cmdb_port: u16,
    /// In the order of the fleet.
    pub(super) servers: &'a [Endpoint],
}

impl Directory<'_> {
    /// The inventory, in Ansible's YAML form.
    pub(super) fn to_yaml(&self) -> String {
        let ns = &self.fleet.notification_server;
        let mut yaml = format!(
            "# A simulated fleet: nothing in it exists outside this machine, nor after the lab ends.\n\
             all:\n  vars:\n    credential: {ADMIN_CREDENTIAL}\n    lab_credentials: '{}'\n    \
             acc_account: '{NETBIOS_DOMAIN}\\{CONNECTIVITY_ACCOUNT}'\n    time_scale: {}\n    \
             ansible_connection: winrm\n    ansible_winrm_scheme: http\n  children:\n    \
             notification_servers:\n      hosts:\n        {}:\n",
            self.credentials_file,
            self.speed.factor(),
            ns.fqdn,
        );
        let at = self.notification_server;
        let _ = write!(
            yaml,
            "          ansible_host: {}\n          ansible_port: {}\n          smb_port: {}\n          \
             http_port: {}\n          itms_guid: '{}'\n          parent_servers: [{PARENT}]\n          cmdb: {{ server: {}, port: {}, database: {DATABASE}, \
             credential: {CMDB_CREDENTIAL}, writer_credential: {CMDB_WRITER_CREDENTIAL} }}\n    \
             package_servers:\n      children:\n",
            at.address, at.winrm, at.smb, at.http, ns.guid, at.address, self.cmdb_port,
        );
        let mut sites: Vec<&str> = Vec::new();
        for server in &self.fleet.servers {
            if !sites.contains(&server.site.as_str()) {
                sites.push(&server.site);
            }
        }
        for site in sites {
            let _ = write!(
                yaml,
                "        {}:\n          vars: {{ site: {site} }}\n          hosts:\n",
                site.to_ascii_lowercase()
            );
            for (server, at) in self.fleet.servers.iter().zip(self.servers) {
                if server.site == site {
                    let _ = writeln!(
                        yaml,
                        "            {}: {{ ansible_host: {}, ansible_port: {}, smb_port: {}, \
                         http_port: {}, fqdn: {}, itms_guid: '{}' }}",
                        server.fqdn,
                        at.address,
                        at.winrm,
                        at.smb,
                        at.http,
                        server.fqdn,
                        server.guid
                    );
                }
            }
        }
        yaml
    }
}

/// Writes the lab's credentials as a JSON object of `name: {user, password}`, for its owner alone.
pub(super) fn write_credentials(path: &Path, credentials: &[(&str, Credential)]) -> io::Result<()> {
    let entries: serde_json::Map<String, serde_json::Value> = credentials
        .iter()
        .map(|(name, credential)| {
            let entry = serde_json::json!({
                "user": credential.user,
                "password": credential.password.expose(),
            });
            ((*name).to_owned(), entry)
        })
        .collect();
    let text = zeroize::Zeroizing::new(serde_json::Value::Object(entries).to_string());
    // A file that is left from another lab may be open to others: it is made anew.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
