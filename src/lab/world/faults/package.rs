//! Faults of packages as the Notification Server has them, and of its rows.

use std::time::Duration;

use crate::lab::world::PackageState;
use crate::lab::world::conditions::{OtherServer, PARENT};
use crate::lab::world::fleet::{DOMAIN, PackageNo, ServerNo};
use crate::lab::world::product_files::Severity;
use crate::lab::world::rows::{RowChange, StatusRow};
use crate::lab::world::simulation::{Event, World};

/// How often a package gets a new version without a change.
const CHURN_INTERVAL: Duration = Duration::from_secs(30 * 60);

impl World {
    /// The servers that have a package.
    pub(in crate::lab::world) fn holders(&self, package: PackageNo) -> Vec<ServerNo> {
        let has = |server: &ServerNo| self.agents[*server].holdings.contains_key(&package);
        (0..self.fleet.servers.len()).filter(has).collect()
    }

    /// The Notification Server has no snapshot of the package, so that servers do not get on with it:
    /// every other package never came, the rest is there in an older version.
    pub(in crate::lab::world) fn lose_snapshot(
        &mut self,
        package: PackageNo,
        servers: &[ServerNo],
    ) {
        self.remove_snapshot(package);
        let guid = self.fleet.packages[package].guid;
        for &server in servers {
            self.leave_behind(server, &[package], PackageState::RetryingDownload);
            if package.is_multiple_of(2) {
                let folder = self.fleet.servers[server].layout.package_folder(guid);
                self.agents[server].tree.remove(&folder);
                self.hold(server, package).version = 0;
                self.write_status(server, package);
                let status = PackageState::RetryingDownload.to_string();
                let row = StatusRow { status, version: "0".to_owned() };
                self.set_row(server, package, row);
            }
            let text = format!("Package snapshot of {guid} is not available (404)");
            self.log(server, Severity::Error, "PackageDelivery", &text);
        }
    }

    pub(in crate::lab::world) fn break_source(&mut self, package: PackageNo, servers: &[ServerNo]) {
        self.ns.conditions.broken_sources.insert(package);
        self.lose_snapshot(package, servers);
        self.say_broken_source(package);
    }

    /// What the Notification Server writes when a source cannot be read.
    pub(in crate::lab::world) fn say_broken_source(&mut self, package: PackageNo) {
        let known = &self.fleet.packages[package];
        let (guid, name) = (known.guid, known.name.replace(['\\', '/'], " "));
        let text = format!(
            "Failed to refresh package snapshot. Could not access the package path \
             '\\\\files01.{DOMAIN}\\swlib\\{name}' for package {guid}"
        );
        self.log_at_ns(Severity::Error, &text);
    }

    /// The package comes from another server, so that this one makes no snapshot of it.
    pub(in crate::lab::world) fn make_foreign(
        &mut self,
        package: PackageNo,
        servers: &[ServerNo],
        is_live_parent: bool,
    ) {
        let name = if is_live_parent { PARENT.to_owned() } else { format!("smp-pilot.{DOMAIN}") };
        // One server for all packages of a kind: its GUID follows from this one's.
        let own = self.fleet.notification_server.guid.as_u128();
        let origin = crate::model::Guid::from_u128(own ^ if is_live_parent { 1 } else { 2 });
        let other = OtherServer { name: name.clone(), is_live_parent };
        self.ns.conditions.origins.insert(package, other);
        self.changes.push(RowChange::Origin {
            package: self.fleet.packages[package].guid,
            origin,
            name,
            is_live_parent,
        });
        self.lose_snapshot(package, servers);
    }

    /// The package gets a new version again and again.
    pub(in crate::lab::world) fn make_churn(&mut self, package: PackageNo) {
        self.ns.conditions.churning.insert(package);
        let wait = self.dice.millis(120_000, 600_000);
        self.schedule(wait, Event::Churn(package));
    }

    /// Makes a new version of a package of which nothing changed, and its servers take note.
    pub(in crate::lab::world) fn churn(&mut self, package: PackageNo) {
        if !self.ns.conditions.churning.contains(&package) {
            return;
        }
        self.renew_snapshot(package);
        for server in self.holders(package) {
            let wait = self.dice.millis(30_000, 300_000);
            self.schedule(wait, Event::Noticed(server, package));
        }
        self.schedule(CHURN_INTERVAL, Event::Churn(package));
    }

    /// The package was deleted: nothing is left of it but rows and addresses.
    pub(in crate::lab::world) fn delete_package(&mut self, package: PackageNo) {
        self.ns.conditions.gone.insert(package);
        self.remove_snapshot(package);
        for server in self.holders(package) {
            let version = self.fleet.packages[package].version;
            self.unassign(server, package);
            let guid = self.fleet.packages[package].guid;
            let folder = self.fleet.servers[server].layout.package_folder(guid);
            self.agents[server].tree.remove(&folder);
            let row = StatusRow { status: "Ready".to_owned(), version: version.to_string() };
            self.set_row(server, package, row);
            self.publish_codebases(server, package, version);
        }
    }

    /// Rows of a server that nobody knows any more.
    pub(in crate::lab::world) fn retire_server(&mut self) {
        let server = self.dice.guid();
        for package in self.fleet.packages.iter().take(3) {
            let row =
                StatusRow { status: "Invalid".to_owned(), version: package.version.to_string() };
            self.changes.push(RowChange::PackageServer { server, package: package.guid, row });
            let lower = package.guid.to_string().to_ascii_lowercase();
            self.changes.push(RowChange::Codebases {
                server,
                package: package.guid,
                urls: vec![format!("file://PS-OLD-01/PkgSvrHost/{lower}/cache/")],
                snapshot: package.version,
            });
        }
    }

    /// A second row for each pair: the same once more, or an older one, by turns.
    pub(in crate::lab::world) fn double_rows(&mut self, server: ServerNo, packages: &[PackageNo]) {
        for &package in packages {
            let version = self.fleet.packages[package].version;
            let row = if package.is_multiple_of(2) {
                StatusRow { status: "Ready".to_owned(), version: version.to_string() }
            } else {
                let old = version.saturating_sub(6 * 86_400).to_string();
                StatusRow { status: "Invalid".to_owned(), version: old }
            };
            self.ns.conditions.duplicates.push((server, package));
            self.second_rows.push((server, package, row));
        }
    }

    /// Takes a package away from a server: its policy, its list and its status know it no more. What
    /// lies in the store stays.
    pub(in crate::lab::world) fn unassign(&mut self, server: ServerNo, package: PackageNo) {
        let guid = self.fleet.packages[package].guid;
        self.fleet.servers[server].packages.retain(|assigned| *assigned != package);
        self.agents[server].holdings.remove(&package);
        let status = self.fleet.servers[server].layout.status(guid);
        let folder = status.rsplit_once('\\').map_or(status.as_str(), |(folder, _)| folder);
        self.agents[server].tree.remove(folder);
        self.write_policy(server);
    }

    /// Gives a package to a server that does not have it, current and ready.
    pub(in crate::lab::world) fn assign(&mut self, server: ServerNo, package: PackageNo) {
        if self.agents[server].holdings.contains_key(&package) {
            return;
        }
        let assigned = &mut self.fleet.servers[server].packages;
        assigned.push(package);
        assigned.sort_unstable();
        let known = &self.fleet.packages[package];
        let path = self.fleet.servers[server].layout.snapshot(known.guid);
        let holding = super::super::agent::Holding::ready(path, known.version);
        let version = known.version;
        self.agents[server].holdings.insert(package, holding);
        self.furnish_package(server, package, version)
            .expect("the disk of a new machine takes an agent's files");
        self.write_policy(server);
    }
}
