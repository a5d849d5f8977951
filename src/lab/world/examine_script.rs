//! What the examining scripts would answer: services, shares, disks, trust, IIS, scheduled tasks.

use serde_json::{Map, Value, json};

use super::conditions::{
    AGENT_SERVICE, APP_POOL, DEFAULT_APP_POOL, DISPATCHER_SERVICE, HostConditions, PACKAGE_SHARE,
};
use super::fleet::ServerNo;
use super::simulation::{MachineId, World};

/// The disk of a Notification Server, and every disk that no condition speaks of.
const FREE: u64 = 61 << 30;
const SIZE: u64 = 120 << 30;

impl World {
    /// Services, shares, disks, trust, and the version of the agent that is handed out.
    pub(super) fn examine_server(&self, machine: MachineId) -> Value {
        let known = |value: Value| json!({ "known": value });
        match machine {
            MachineId::NotificationServer => json!({
                "services": known(self.service_seen(machine, DISPATCHER_SERVICE)),
                "shares": known(json!({ "C$": "C:\\" })),
                "disks": known(json!({ "C:\\": { "free": FREE, "size": SIZE } })),
                "secure_channel": known(json!(true)),
                "agent_package": known(json!(self.fleet.notification_server.version)),
            }),
            MachineId::Server(number) => {
                let conditions = &self.agents[number].conditions;
                json!({
                    "services": known(self.service_seen(machine, AGENT_SERVICE)),
                    "shares": known(self.shares_seen(number)),
                    "disks": known(self.disks(number)),
                    "secure_channel": known(json!(!conditions.has_lost_trust)),
                    "agent_package": known(json!("")),
                })
            }
        }
    }

    fn service_seen(&self, machine: MachineId, name: &str) -> Value {
        let service = self.service(machine, name).map(|service| {
            let state = if service.is_running { "Running" } else { "Stopped" };
            json!({ "state": state, "start_mode": service.start_mode })
        });
        json!({ name: service })
    }

    fn shares_seen(&self, server: ServerNo) -> Value {
        let conditions = &self.agents[server].conditions;
        let layout = &self.fleet.servers[server].layout;
        let mut shares = Map::new();
        shares.insert("C$".to_owned(), json!("C:\\"));
        if conditions.has_package_share {
            shares.insert(PACKAGE_SHARE.to_owned(), json!(layout.package_delivery));
        }
        for (name, folder) in &conditions.shares {
            shares.insert(name.clone(), json!(folder));
        }
        Value::Object(shares)
    }

    fn disks(&self, server: ServerNo) -> Value {
        let HostConditions { free_bytes, volume_size, .. } = &self.agents[server].conditions;
        let store = &self.fleet.servers[server].layout.package_delivery[..2];
        let mut disks = Map::new();
        for drive in ["C:", "D:", "E:"] {
            let sizes = if drive.eq_ignore_ascii_case(store) {
                json!({ "free": free_bytes, "size": volume_size })
            } else if drive == "C:" {
                json!({ "free": FREE, "size": SIZE })
            } else {
                continue;
            };
            disks.insert(format!("{drive}\\"), sizes);
        }
        Value::Object(disks)
    }

    /// IIS and its application pools.
    pub(super) fn examine_iis(&self, machine: MachineId) -> Value {
        if !self.has_web_server(machine) {
            return json!({ "is_installed": false, "app_pools": [] });
        }
        // The Notification Server's own pages run in the pool that IIS brings along.
        let serves = |name: &str| match machine {
            MachineId::NotificationServer => name == DEFAULT_APP_POOL,
            MachineId::Server(_) => name == APP_POOL,
        };
        let pools: Vec<Value> = self
            .app_pools(machine)
            .into_iter()
            .map(|(name, is_started)| {
                json!({
                    "name": name,
                    "is_started": is_started,
                    "serves_packages": serves(name),
                })
            })
            .collect();
        json!({ "is_installed": true, "app_pools": pools })
    }

    /// The scheduled tasks whose action names one of the folders.
    pub(super) fn examine_tasks(&self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let folders = input
            .get("folders")
            .and_then(Value::as_array)
            .ok_or("the input has no list `folders`")?;
        let words: Vec<String> =
            folders.iter().filter_map(Value::as_str).map(str::to_lowercase).collect();
        let tasks: Vec<Value> = match machine {
            MachineId::NotificationServer => Vec::new(),
            MachineId::Server(number) => {
                let made = &self.agents[number].conditions.tasks;
                let named = made.iter().filter(|task| {
                    let action = task.action.to_lowercase();
                    words.iter().any(|word| !word.is_empty() && action.contains(word))
                });
                named.map(|task| json!({ "name": task.name, "action": task.action })).collect()
            }
        };
        Ok(json!({ "tasks": tasks }))
    }
}
