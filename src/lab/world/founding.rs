//! The world as it stands before anything happened: disks, rows and schedules.

use std::collections::VecDeque;
use std::time::Duration;

use super::WorldTime;
use super::agent::{Agent, Holding};
use super::conditions::NotificationServerConditions;
use super::descriptors;
use super::dice::Dice;
use super::fleet::{Fleet, PackageNo, ServerNo};
use super::ns::{self, Ns, Task, TaskKind};
use super::product_files::{self, Severity};
use super::rows::{RowChange, StatusRow};
use super::simulation::World;
use super::time::{Calendar, filetime_of_unix};
use crate::lab::tree::{Tree, TreeError};
use crate::model::Guid;

/// The schedule that KB 180568 names.
const DISTRIBUTION_POINTS: Guid = Guid::from_u128(0x29a2_b641_222a_43b0_830c_a25c_59e9_3fe4);

pub(super) fn notification_server(fleet: &Fleet, calendar: Calendar, dice: &mut Dice) -> Ns {
    Ns {
        tree: Tree::new(calendar.filetime(WorldTime::START)),
        versions: fleet.packages.iter().map(|package| package.version).collect(),
        rows: super::rows::StatusRows::new(),
        tasks: vec![
            Task::new(TaskKind::DistributionPoints, DISTRIBUTION_POINTS),
            Task::new(TaskKind::PackageRefresh, dice.guid()),
            Task::new(TaskKind::StatusCapture, dice.guid()),
        ],
        queue: VecDeque::new(),
        next_event_id: 100_000 + dice.below(1_000_000),
        queue_peak: 0,
        lacks_addresses: false,
        drained: 0,
        conditions: NotificationServerConditions::default(),
    }
}

pub(super) fn agent(calendar: Calendar) -> Agent {
    Agent::new(Tree::new(calendar.filetime(WorldTime::START)))
}

impl World {
    /// Writes the disks of a fleet in which everything is well.
    pub(super) fn furnish(&mut self) {
        self.furnish_notification_server()
            .expect("the disk of a new machine takes the product's files");
        for server in 0..self.fleet.servers.len() {
            self.furnish_server(server).expect("the disk of a new machine takes an agent's files");
        }
    }

    fn furnish_notification_server(&mut self) -> Result<(), TreeError> {
        let at = self.calendar.filetime(WorldTime::START);
        let settings = r"C:\ProgramData\Symantec\SMP\Settings";
        let tree = self.ns.tree.clone();
        for folder in [
            ns::SNAPSHOTS,
            settings,
            r"C:\ProgramData\Symantec\SMP\EventQueue\EvtQFast",
            r"C:\ProgramData\Symantec\SMP\EventQueue\EvtQueue",
            r"C:\ProgramData\Symantec\SMP\Logs",
            r"C:\Program Files\Altiris\Notification Server\bin",
        ] {
            tree.create_dir_all(folder, at)?;
        }
        tree.set_descriptor(ns::SNAPSHOTS, &descriptors::product_folder())?;
        let owner = self.fleet.notification_server.guid;
        let path = format!(r"{settings}\CoreSettings.config");
        tree.write(&path, product_files::core_settings(owner), at)?;
        for package in 0..self.fleet.packages.len() {
            self.write_snapshot(package);
        }
        Ok(())
    }

    fn furnish_server(&mut self, server: ServerNo) -> Result<(), TreeError> {
        let at = self.calendar.filetime(WorldTime::START);
        let host = self.fleet.servers[server].clone();
        let tree = self.agents[server].tree.clone();
        for drive in ['D', 'E'] {
            let root = format!("{drive}:");
            if host.layout.install_dir.starts_with(&root)
                || host.layout.package_delivery.starts_with(&root)
            {
                tree.add_volume(drive, at);
            }
        }
        let layout = &host.layout;
        for folder in [&layout.install_dir, &layout.package_status, &layout.client_policies] {
            tree.create_dir_all(folder, at)?;
            tree.set_descriptor(folder, &descriptors::product_folder())?;
        }
        tree.create_dir_all(&layout.log_dir, at)?;
        tree.create_dir_all(&format!(r"{}\Queue", layout.install_dir), at)?;
        tree.create_dir_all(&layout.package_delivery, at)?;
        tree.set_descriptor(&layout.package_delivery, &descriptors::package_store(true))?;
        tree.write(&format!(r"{}\AeXNSAgent.exe", layout.install_dir), "simulated", at)?;
        for &package in &host.packages {
            let version = self.fleet.packages[package].version;
            let path = layout.snapshot(self.fleet.packages[package].guid);
            let holding = Holding::ready(path, version);
            self.agents[server].holdings.insert(package, holding);
            self.furnish_package(server, package, version)?;
        }
        self.write_policy(server);
        let text = format!("Agent {} started", host.agent_version);
        self.log(server, Severity::Information, "AgentLoader", &text);
        Ok(())
    }

    /// Writes a package as the agent stores it, with the file times of that version.
    pub(super) fn furnish_package(
        &mut self,
        server: ServerNo,
        package: PackageNo,
        version: u64,
    ) -> Result<(), TreeError> {
        let known = &self.fleet.packages[package];
        let layout = &self.fleet.servers[server].layout;
        let tree = &self.agents[server].tree;
        let at = filetime_of_unix(version);
        let location = self.agents[server].conditions.of(package).location;
        let snapshot = product_files::snapshot(known, version);
        let snapshot = product_files::stored_snapshot(snapshot, location.as_deref());
        tree.write(&layout.snapshot(known.guid), snapshot, at)?;
        let paths = self.content_paths(server, package);
        for ((name, size), path) in known.files.iter().zip(paths) {
            let content = product_files::content(known, name, *size, version);
            tree.write(&path, content, at)?;
        }
        self.write_status(server, package);
        Ok(())
    }

    /// Says everything that the CMDB knows: computers, packages, and the rows that no fault wrote.
    pub(super) fn publish_rows(&mut self) {
        let late = std::mem::take(&mut self.changes);
        let ns = &self.fleet.notification_server;
        self.changes.push(RowChange::NotificationServer { guid: ns.guid, name: ns.fqdn.clone() });
        for (number, package) in self.fleet.packages.iter().enumerate() {
            if self.ns.conditions.gone.contains(&number) {
                continue;
            }
            self.changes.push(RowChange::Package {
                guid: package.guid,
                name: package.name.clone(),
                version: self.ns.versions[number],
            });
        }
        self.publish_own_codebases();
        for server in 0..self.fleet.servers.len() {
            let host = &self.fleet.servers[server];
            let age = Duration::from_secs(600 + self.dice.below(20 * 3600));
            let inventory = self.calendar.timestamp(WorldTime::START);
            let change = RowChange::Server {
                guid: host.guid,
                name: host.short().to_ascii_uppercase(),
                fqdn: host.fqdn.clone(),
                agent_version: host.agent_version.clone(),
                site: host.site.clone(),
                inventory: inventory.checked_sub(age).unwrap_or(inventory),
            };
            self.changes.push(change);
            self.publish_versions(server);
            for package in self.fleet.servers[server].packages.clone() {
                let pair = (self.fleet.servers[server].guid, self.fleet.packages[package].guid);
                let version = self.ns.versions[package];
                if !self.ns.rows.contains_key(&pair) {
                    let row =
                        StatusRow { status: "Ready".to_owned(), version: version.to_string() };
                    self.set_row(server, package, row);
                }
                let held = self.agents[server].holdings[&package].version;
                self.publish_codebases(server, package, held);
            }
        }
        self.changes.extend(late);
        for (server, package, row) in std::mem::take(&mut self.second_rows) {
            self.changes.push(RowChange::SecondRow {
                server: self.fleet.servers[server].guid,
                package: self.fleet.packages[package].guid,
                row,
            });
        }
    }

    /// Says which versions of the agent and of its plug-in a server reported.
    pub(super) fn publish_versions(&mut self, server: ServerNo) {
        let host = &self.fleet.servers[server];
        let agent = host.agent_version.clone();
        let plugin = self.agents[server].conditions.plugin_version.clone();
        let plugin = plugin.unwrap_or_else(|| agent.clone());
        self.changes.push(RowChange::Versions { server: host.guid, agent, plugin });
    }

    /// Starts what happens by itself.
    pub(super) fn begin_schedules(&mut self) {
        for server in 0..self.fleet.servers.len() {
            if !self.agents[server].conditions.is_off {
                self.begin_configuration(server);
            }
        }
        for task in 0..self.ns.tasks.len() {
            self.schedule_task(task);
        }
        self.schedule_client();
    }
}
