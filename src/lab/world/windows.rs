//! What Windows itself keeps on a machine, apart from the product: how services start, who may use
//! shares, values of the registry, events.

use std::collections::{BTreeMap, BTreeSet};

use super::simulation::{MachineId, World};
use super::{AGENT_SERVICE, APP_POOL, DEFAULT_APP_POOL, DISPATCHER_SERVICE};
use crate::protocol::security_descriptor::{AceFlags, Acl, FileRights, SecurityDescriptor, Sid};

/// The web server's service.
pub(super) const WEB_SERVICE: &str = "W3SVC";
/// The file server's service.
const FILE_SERVICE: &str = "LanmanServer";

/// What somebody changed on one machine; what is not here is as it was set up.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    /// How services start, in the words of `Win32_Service`, by name in lower case; the flag is a
    /// delayed start.
    start_modes: BTreeMap<String, (&'static str, bool)>,
    /// Services other than the product's that do not run, in lower case.
    stopped: BTreeSet<String>,
    /// Application pools other than the product's that do not run, in lower case.
    stopped_pools: BTreeSet<String>,
    /// Who may use shares, by name in lower case.
    share_rights: BTreeMap<String, Vec<u8>>,
    /// Values that were set, or removed: by key and name in lower case.
    registry: BTreeMap<(String, String), Option<Datum>>,
    /// There is no Administrator SDK on the Notification Server.
    pub(super) has_no_asdk: bool,
}

/// A service as Windows describes it.
pub(super) struct ServiceState {
    pub(super) name: &'static str,
    pub(super) display_name: &'static str,
    pub(super) is_running: bool,
    pub(super) start_mode: &'static str,
    pub(super) is_delayed: bool,
    pub(super) account: &'static str,
}

/// A value of the registry: its kind in the words of .NET, and its data as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datum {
    pub(super) kind: String,
    pub(super) data: String,
}

impl World {
    pub(super) fn windows(&mut self, machine: MachineId) -> &mut Windows {
        self.windows.entry(machine).or_default()
    }

    fn windows_of(&self, machine: MachineId) -> Windows {
        self.windows.get(&machine).cloned().unwrap_or_default()
    }

    /// Takes the Administrator SDK off the Notification Server, or puts it there.
    pub fn set_asdk(&mut self, is_installed: bool) {
        self.windows(MachineId::NotificationServer).has_no_asdk = !is_installed;
    }

    /// Whether the Notification Server has the Administrator SDK.
    pub(super) fn has_asdk(&self) -> bool {
        !self.windows_of(MachineId::NotificationServer).has_no_asdk
    }

    /// The service of this name.
    pub(super) fn service(&self, machine: MachineId, name: &str) -> Option<ServiceState> {
        let own = match machine {
            MachineId::Server(_) => (AGENT_SERVICE, "Symantec Management Agent"),
            MachineId::NotificationServer => {
                (DISPATCHER_SERVICE, "Altiris Client Message Dispatcher")
            }
        };
        let web = (WEB_SERVICE, "World Wide Web Publishing Service");
        let all = [own, (FILE_SERVICE, "Server"), web];
        let (name, display_name) = all
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .filter(|(known, _)| *known != WEB_SERVICE || self.has_web_server(machine))?;
        let windows = self.windows_of(machine);
        let lower = name.to_lowercase();
        let is_running = match (machine, name) {
            (MachineId::Server(server), AGENT_SERVICE) => {
                self.agents[server].conditions.is_service_running
            }
            (_, DISPATCHER_SERVICE) => !self.ns.conditions.is_dispatcher_stopped,
            _ => !windows.stopped.contains(&lower),
        };
        let (start_mode, is_delayed) =
            windows.start_modes.get(&lower).copied().unwrap_or(("Auto", false));
        let account = "LocalSystem";
        Some(ServiceState { name, display_name, is_running, start_mode, is_delayed, account })
    }

    /// Sets how a service starts, in the words of `Set-Service`.
    pub(super) fn set_start_mode(
        &mut self,
        machine: MachineId,
        name: &str,
        mode: &str,
    ) -> Result<(), String> {
        let mode = match mode {
            "Automatic" => ("Auto", false),
            "AutomaticDelayed" => ("Auto", true),
            "Manual" => ("Manual", false),
            "Disabled" => ("Disabled", false),
            other => return Err(format!("`{other}` is no start mode")),
        };
        self.windows(machine).start_modes.insert(name.to_lowercase(), mode);
        Ok(())
    }

    /// Starts or stops a service that exists.
    pub(super) fn run_service(
        &mut self,
        machine: MachineId,
        name: &str,
        runs: bool,
    ) -> Result<(), String> {
        let found =
            self.service(machine, name).ok_or_else(|| format!("there is no service '{name}'"))?;
        if runs && found.start_mode == "Disabled" {
            return Err(format!("the service '{name}' cannot be started: it is disabled (1058)"));
        }
        let is_product = if runs {
            self.start_service(machine, found.name)
        } else {
            self.stop_service(machine, found.name)
        };
        if !is_product {
            let stopped = &mut self.windows(machine).stopped;
            let lower = name.to_lowercase();
            if runs {
                stopped.remove(&lower)
            } else {
                stopped.insert(lower)
            };
        }
        Ok(())
    }

    /// Whether the machine has IIS.
    pub fn has_web_server(&self, machine: MachineId) -> bool {
        match machine {
            MachineId::NotificationServer => true,
            MachineId::Server(server) => self.agents[server].conditions.has_iis,
        }
    }

    /// The application pools of a machine and whether they are started.
    pub(super) fn app_pools(&self, machine: MachineId) -> Vec<(&'static str, bool)> {
        let stopped = self.windows_of(machine).stopped_pools;
        let default = (DEFAULT_APP_POOL, !stopped.contains(&DEFAULT_APP_POOL.to_lowercase()));
        match machine {
            MachineId::NotificationServer => vec![default],
            MachineId::Server(server) => {
                let conditions = &self.agents[server].conditions;
                let own = (APP_POOL, conditions.is_app_pool_started);
                if conditions.has_iis { vec![default, own] } else { Vec::new() }
            }
        }
    }

    /// Starts or stops an application pool that exists.
    pub(super) fn run_app_pool(&mut self, machine: MachineId, name: &'static str, runs: bool) {
        match machine {
            MachineId::Server(server) if name == APP_POOL => {
                self.agents[server].conditions.is_app_pool_started = runs;
            }
            _ => {
                let stopped = &mut self.windows(machine).stopped_pools;
                let lower = name.to_lowercase();
                if runs {
                    stopped.remove(&lower)
                } else {
                    stopped.insert(lower)
                };
            }
        }
    }

    /// Who may use a share, self-relative: everyone may read unless somebody said otherwise.
    pub(super) fn share_rights(&self, machine: MachineId, name: &str) -> Vec<u8> {
        let set = self.windows_of(machine).share_rights.remove(&name.to_lowercase());
        set.unwrap_or_else(|| {
            let none = Acl::new(Vec::new()).expect("an empty list fits");
            SecurityDescriptor::new(Sid::administrators(), Sid::system(), none)
                .with_allow_ace(
                    &Sid::everyone(),
                    FileRights::READ_AND_EXECUTE,
                    AceFlags::THIS_OBJECT,
                )
                .expect("one entry fits")
                .encode()
        })
    }

    /// Sets who may use a share, or forgets it with the share.
    pub(super) fn set_share_rights(
        &mut self,
        machine: MachineId,
        name: &str,
        rights: Option<Vec<u8>>,
    ) {
        let known = &mut self.windows(machine).share_rights;
        match rights {
            Some(rights) => known.insert(name.to_lowercase(), rights),
            None => known.remove(&name.to_lowercase()),
        };
    }

    /// The values below HKEY_LOCAL_MACHINE that a machine was set up with: key, name, content.
    fn founding_values(&self, machine: MachineId) -> Vec<(&'static str, &'static str, Datum)> {
        let text = |data: &str| Datum { kind: "String".to_owned(), data: data.to_owned() };
        let number = |data: u32| Datum { kind: "DWord".to_owned(), data: data.to_string() };
        match machine {
            MachineId::NotificationServer => {
                let key = r"SOFTWARE\Altiris\eXpress\Notification Server";
                vec![
                    (
                        key,
                        "EventQueuePath",
                        text(r"C:\ProgramData\Symantec\SMP\EventQueue\EvtQueue"),
                    ),
                    (key, "MaxFileQSize(KB)", number(512_000)),
                ]
            }
            MachineId::Server(server) => {
                let host = &self.fleet.servers[server];
                let key = r"SOFTWARE\Altiris\Altiris Agent";
                vec![
                    (key, "InstallDir", text(&host.layout.install_dir)),
                    (key, "MachineGuid", text(&host.guid.to_string())),
                    (key, "Version", text(&host.agent_version)),
                    (
                        r"SOFTWARE\Altiris\Altiris Agent\Servers",
                        "",
                        text(&self.fleet.notification_server.fqdn),
                    ),
                ]
            }
        }
    }

    /// The values that were set, by key and name in lower case; `None` for one that was removed.
    pub(super) fn registry_values_set(
        &self,
        machine: MachineId,
    ) -> BTreeMap<(String, String), Option<Datum>> {
        self.windows_of(machine).registry
    }

    /// Whether a key exists, and the value if that does.
    pub(super) fn registry_value(
        &self,
        machine: MachineId,
        key: &str,
        name: &str,
    ) -> (bool, Option<Datum>) {
        let founding = self.founding_values(machine);
        let lower = key.to_lowercase();
        let below = format!("{lower}\\");
        let has_key = founding.iter().any(|(known, ..)| {
            let known = known.to_lowercase();
            known == lower || known.starts_with(&below)
        });
        let set = self.windows_of(machine).registry.remove(&(lower, name.to_lowercase()));
        let value = set.unwrap_or_else(|| {
            let found = founding.into_iter().find(|(known, value, _)| {
                known.eq_ignore_ascii_case(key) && value.eq_ignore_ascii_case(name)
            });
            found.map(|(.., datum)| datum)
        });
        (has_key, value.filter(|_| has_key))
    }

    /// Sets or removes a value of a key that exists.
    pub(super) fn set_registry_value(
        &mut self,
        machine: MachineId,
        key: &str,
        name: &str,
        datum: Option<Datum>,
    ) -> Result<(), String> {
        let (has_key, present) = self.registry_value(machine, key, name);
        if !has_key {
            return Err(format!("there is no key '{key}'"));
        }
        if datum.is_none() && present.is_none() {
            return Err(format!("there is no value '{name}'"));
        }
        let at = (key.to_lowercase(), name.to_lowercase());
        self.windows(machine).registry.insert(at, datum);
        Ok(())
    }
}
