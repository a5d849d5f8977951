//! What the remote scripts of the controller would answer on a machine of the world.
//!
//! The scripts are recognised by name and version; nothing interprets PowerShell. What is not known
//! is refused, never answered with a silent success.

use serde_json::{Value, json};

use super::agent::{Job, Origin, Step};
use super::descriptors;
use super::fleet::ServerNo;
use super::ns::{SNAPSHOTS, Task};
use super::product_files::Severity;
use super::simulation::{MachineId, World};
use super::{HostTask, WorldTime};

/// The version of the scripts that are simulated.
const VERSION: &str = "1";

impl World {
    /// Answers the script that begins with `# fleetmend <name> 1`.
    ///
    /// # Errors
    ///
    /// What the script would print on standard error, `not simulated: …` for one that is not known.
    pub fn run_script(
        &mut self,
        machine: MachineId,
        text: &str,
        input: &Value,
    ) -> Result<Value, String> {
        let first = text.lines().next().unwrap_or_default();
        let words: Vec<&str> = first.split_ascii_whitespace().collect();
        let ["#", "fleetmend", name, VERSION] = words[..] else {
            return Err(format!("not simulated: a script that begins with `{first}`"));
        };
        match name {
            "host-facts" => Ok(self.host_facts(machine)),
            "agent-packages" if self.is_agent_stopped(machine) => {
                Err("the agent's service does not run".to_owned())
            }
            "agent-packages" | "agent-resend-package-status" | "agent-refresh-packages"
                if self.is_without_plugin(machine) =>
            {
                self.agent_at(machine)?;
                Ok(json!({"package_server": false, "called": false, "packages": []}))
            }
            "agent-packages" => self.agent_at(machine).map(|server| self.agent_packages(server)),
            "agent-update-configuration" => {
                let server = self.agent_at(machine)?;
                self.ask(server, Job::new(Step::FetchPolicy, Origin::Asked));
                Ok(json!({"called": true}))
            }
            "agent-resend-package-status" => {
                let server = self.agent_at(machine)?;
                self.ask(server, Job::new(Step::CollectStatus, Origin::Asked));
                Ok(json!({"package_server": true, "called": true}))
            }
            "agent-refresh-packages" => {
                let server = self.agent_at(machine)?;
                self.refresh_packages(server);
                Ok(json!({"package_server": true, "called": true}))
            }
            "scheduled-tasks" => Ok(self.scheduled_tasks(machine, text_of(input, "prefix")?)),
            "scheduled-task-run" => self.run_task(machine, text_of(input, "name")?),
            "examine-server" => Ok(self.examine_server(machine)),
            "examine-iis" => Ok(self.examine_iis(machine)),
            "examine-tasks" => self.examine_tasks(machine, input),
            "resolve-account" => resolve_account(text_of(input, "account")?),
            "agent-send-inventory" => {
                let server = self.agent_at(machine)?;
                self.ask(server, Job::new(Step::SendInventory, Origin::Asked));
                Ok(json!({"called": true}))
            }
            other => self
                .run_host_script(machine, other, input)
                .unwrap_or_else(|| Err(format!("not simulated: the script `{other}`"))),
        }
    }

    fn is_without_plugin(&self, machine: MachineId) -> bool {
        matches!(machine, MachineId::Server(number) if self.conditions(number).has_no_plugin)
    }

    /// The script that lists packages looks at the service, and asks no agent that is stopped.
    fn is_agent_stopped(&self, machine: MachineId) -> bool {
        matches!(machine, MachineId::Server(number) if !self.conditions(number).is_service_running)
    }

    fn agent_at(&self, machine: MachineId) -> Result<ServerNo, String> {
        match machine {
            MachineId::Server(number) if !self.conditions(number).is_service_running => Err(
                "the agent's COM object could not be created: server execution failed (0x80080005)"
                    .to_owned(),
            ),
            MachineId::Server(number) => Ok(number),
            MachineId::NotificationServer => {
                Err("the Symantec Management Agent is not installed".to_owned())
            }
        }
    }

    fn host_facts(&self, machine: MachineId) -> Value {
        let common = |fqdn: &str, agent: Value, ns: Value| {
            let (short, domain) = fqdn.split_once('.').unwrap_or((fqdn, ""));
            json!({
                "computer": short.to_ascii_uppercase(),
                "domain": domain,
                "time_utc": self.iso(self.now),
                "program_data": r"C:\ProgramData",
                "program_files": r"C:\Program Files",
                "agent": agent,
                "notification_server": ns,
            })
        };
        let ns = &self.fleet.notification_server;
        match machine {
            MachineId::NotificationServer => common(
                &ns.fqdn,
                Value::Null,
                json!({
                    "install_dir": r"C:\Program Files\Altiris\Notification Server",
                    "snapshots_dir": SNAPSHOTS,
                }),
            ),
            MachineId::Server(number) => {
                let host = &self.fleet.servers[number];
                let layout = &host.layout;
                let conditions = &self.agents[number].conditions;
                let plugin = conditions.plugin_version.as_ref().unwrap_or(&host.agent_version);
                let plugin = (!conditions.has_no_plugin).then_some(plugin);
                // An agent whose log is in its own folder does not say so: the caller must look.
                let log_dir = (!layout.log_dir.starts_with(&layout.install_dir))
                    .then(|| layout.log_dir.clone());
                let relocated = layout.is_relocated.then(|| layout.package_delivery.clone());
                common(
                    &host.fqdn,
                    json!({
                        "install_dir": layout.install_dir,
                        "version": host.agent_version,
                        "machine_guid": host.guid.to_string(),
                        "ns": ns.fqdn,
                        "plugin_version": plugin,
                        "log_dir": log_dir,
                        "package_delivery": relocated,
                    }),
                    Value::Null,
                )
            }
        }
    }

    fn iso(&self, at: WorldTime) -> String {
        self.calendar.timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn agent_packages(&self, server: ServerNo) -> Value {
        let packages: Vec<Value> = self.agents[server]
            .holdings
            .iter()
            .map(|(number, holding)| {
                let package = &self.fleet.packages[*number];
                let location = self.agents[server].conditions.of(*number).location;
                json!({
                    "id": package.guid.to_string(),
                    "name": package.name,
                    "status": holding.state.to_string(),
                    "version": holding.version.to_string(),
                    "custom_location": location.is_some(),
                    "location": location,
                    "previous_status": holding.previous.to_string(),
                    "since": self.since(holding),
                })
            })
            .collect();
        json!({"package_server": true, "packages": packages})
    }

    /// Since when a package is in its state: for what was so when the world began, since it was
    /// fetched, which is when its version was made.
    fn since(&self, holding: &super::agent::Holding) -> String {
        let is_old = holding.since == WorldTime::START
            && holding.state != super::PackageState::DownloadPending
            && holding.version > 0;
        let made = i64::try_from(holding.version).ok().filter(|_| is_old);
        made.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).map_or_else(
            || self.iso(holding.since),
            |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
    }

    /// Checks every package against the Notification Server: a request each, and a download where
    /// something is not current.
    fn refresh_packages(&mut self, server: ServerNo) {
        let packages: Vec<usize> = self.agents[server].holdings.keys().copied().collect();
        self.log(server, Severity::Information, "Package Server", "Refreshing packages");
        for package in packages {
            let step = Step::AskInfo { package, always: true };
            self.ask(server, Job::new(step, Origin::Asked));
        }
    }

    /// The name of a machine as `hostname` prints it.
    pub fn computer(&self, machine: MachineId) -> String {
        let fqdn = match machine {
            MachineId::NotificationServer => &self.fleet.notification_server.fqdn,
            MachineId::Server(number) => &self.fleet.servers[number].fqdn,
        };
        fqdn.split('.').next().unwrap_or(fqdn).to_ascii_uppercase()
    }

    /// The scheduled tasks of a machine and their states.
    pub fn task_states(&self, machine: MachineId) -> Vec<(String, &'static str)> {
        self.tasks_of(machine).iter().map(|task| (task.name.clone(), task.state())).collect()
    }

    fn tasks_of(&self, machine: MachineId) -> &[Task] {
        match machine {
            MachineId::Server(_) => &[],
            MachineId::NotificationServer => &self.ns.tasks,
        }
    }

    fn scheduled_tasks(&self, machine: MachineId, prefix: &str) -> Value {
        let prefix = prefix.to_lowercase();
        let made: &[HostTask] = match machine {
            MachineId::Server(server) => &self.conditions(server).tasks,
            MachineId::NotificationServer => &[],
        };
        let leaf = |name: &str| name.rsplit('\\').next().unwrap_or(name).to_lowercase();
        let made = made.iter().filter(|task| leaf(&task.name).starts_with(&prefix)).map(|task| {
            json!({
                "name": task.name.trim_start_matches('\\'),
                "status": "Ready",
                "last_run": null,
                "last_result": 267_011,
                "run_as": r"NT AUTHORITY\SYSTEM",
                "action": task.action,
            })
        });
        let tasks: Vec<Value> = self
            .tasks_of(machine)
            .iter()
            .filter(|task| task.name.to_lowercase().starts_with(&prefix))
            .map(|task| {
                json!({
                    "name": task.name,
                    "status": task.state(),
                    "last_run": task.last_run.map(|at| self.iso(at)),
                    "last_result": task.last_result,
                    "run_as": r"NT AUTHORITY\SYSTEM",
                    "action": schedule_processor(&task.name),
                })
            })
            .chain(made)
            .collect();
        json!({ "tasks": tasks })
    }

    fn run_task(&mut self, machine: MachineId, name: &str) -> Result<Value, String> {
        let mut tasks = self.tasks_of(machine).iter();
        let number = tasks.position(|task| task.name.eq_ignore_ascii_case(name));
        let number = number.ok_or_else(|| format!("there is no scheduled task `{name}`"))?;
        self.start_task(number);
        Ok(json!({"started": true}))
    }
}

/// What a task of the product runs (KB 171870).
fn schedule_processor(task: &str) -> String {
    let item = task.rsplit_once('.').map_or(task, |(_, item)| item);
    format!(r"C:\Program Files\Altiris\Notification Server\bin\ScheduleProcessor.exe {item}")
}

fn resolve_account(name: &str) -> Result<Value, String> {
    let (account, sid) = descriptors::account(name)
        .ok_or_else(|| format!("no account name was mapped for `{name}` (1332)"))?;
    Ok(json!({"account": account, "sid": sid.to_string()}))
}

fn text_of<'a>(input: &'a Value, key: &str) -> Result<&'a str, String> {
    input.get(key).and_then(Value::as_str).ok_or_else(|| format!("the input has no text `{key}`"))
}
