//! What Windows keeps on a machine beside its disks, as text: what a test compares.

use std::collections::BTreeMap;

use super::simulation::{MachineId, World};
use super::windows::WEB_SERVICE;
use super::{AGENT_SERVICE, DISPATCHER_SERVICE};
use crate::protocol::security_descriptor::SecurityDescriptor;

impl World {
    /// Services, application pools, shares with who may use them, values of the registry that
    /// somebody set, and tasks that somebody made, each by a name of its own.
    pub fn settings(&self, machine: MachineId) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for name in [AGENT_SERVICE, DISPATCHER_SERVICE, WEB_SERVICE] {
            if let Some(service) = self.service(machine, name) {
                let state = if service.is_running { "running" } else { "stopped" };
                let delayed = if service.is_delayed { ", delayed" } else { "" };
                let text = format!("{state}, {}{delayed}", service.start_mode);
                all.insert(format!("service {name}"), text);
            }
        }
        for (name, is_started) in self.app_pools(machine) {
            let state = if is_started { "started" } else { "stopped" };
            all.insert(format!("application pool {name}"), state.to_owned());
        }
        for ((key, name), datum) in self.registry_values_set(machine) {
            all.insert(format!(r"registry {key}\{name}"), format!("{datum:?}"));
        }
        if let MachineId::Server(server) = machine {
            for (name, path) in self.shares(server) {
                let rights = self.share_rights(machine, &name);
                let rights = SecurityDescriptor::parse(&rights).map(|rights| rights.to_string());
                let rights = rights.unwrap_or_else(|error| error.to_string());
                all.insert(format!("share {name}"), format!("{path} {rights}"));
            }
            for task in &self.agents[server].conditions.tasks {
                all.insert(format!("task {}", task.name), task.action.clone());
            }
        }
        all
    }
}
