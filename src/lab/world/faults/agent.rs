//! Faults of an agent and of single packages in its care.

use std::time::Duration;

use crate::lab::world::PackageState;
use crate::lab::world::conditions::AppliedCredential;
use crate::lab::world::descriptors;
use crate::lab::world::fleet::{PackageNo, ServerNo};
use crate::lab::world::product_files::{self, Severity};
use crate::lab::world::rows::StatusRow;
use crate::lab::world::simulation::{Event, World};
use crate::lab::world::transport_faults::HeldFile;

/// The folder that two packages share.
const SHARED_FOLDER: &str = r"D:\Deployment\Drivers";
/// How long a large package is on its way.
const LONG_DOWNLOAD: Duration = Duration::from_secs(5 * 3600);

impl World {
    /// The server has an older version than it should, and is about to fetch the current one or failed
    /// to; `Ready`: it does not know yet.
    pub(in crate::lab::world) fn leave_behind(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
        state: PackageState,
    ) {
        let status =
            if state == PackageState::Ready { "Invalid".into() } else { state.to_string() };
        self.make_stale(server, packages, &status);
        for &package in packages {
            let holding = self.hold(server, package);
            holding.is_stuck = false;
            holding.state = state;
            holding.previous = PackageState::DownloadPending;
            self.write_status(server, package);
        }
    }

    /// Writes into the log what keeps packages from being stored, as it did when it happened.
    pub(in crate::lab::world) fn say_obstacles(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        for &package in packages {
            for found in self.obstacles(server, package) {
                self.log(server, found.severity, found.source, &found.text);
            }
        }
    }

    /// Removes a package's content from the disk, not its manifest.
    pub(in crate::lab::world) fn forget_content(&mut self, server: ServerNo, package: PackageNo) {
        for path in self.content_paths(server, package) {
            self.agents[server].tree.remove(&path);
        }
    }

    /// The agent still runs with anonymous access: ready by its own account, and nothing that it
    /// reports arrives (KB 179719).
    pub(in crate::lab::world) fn unapply_credential(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        let revision = self.ns.conditions.credential_revision;
        let conditions = &mut self.agents[server].conditions;
        conditions.credential = AppliedCredential::Anonymous;
        conditions.credential_revision = revision;
        self.write_policy(server);
        self.lose_reports(server, packages);
        for &package in packages {
            self.hold(server, package).is_unreported = true;
        }
        self.say_obstacles(server, packages);
        self.keep_events(server, packages.len());
    }

    /// Notes events that could not be sent: they stay in the agent's own queue.
    pub(in crate::lab::world) fn keep_events(&mut self, server: ServerNo, count: usize) {
        let at = self.calendar.filetime(self.now);
        let folder = format!(r"{}\Queue", self.fleet.servers[server].layout.install_dir);
        let text = "Error while copying event to capture directory: Access is denied (-2147024891)";
        self.log(server, Severity::Warning, "EventTransport", text);
        for _ in 0..count.min(50) {
            let number = self.agents[server].conditions.outbound_events;
            self.agents[server].conditions.outbound_events += 1;
            let path = format!(r"{folder}\{number}.nse");
            // The files only show that events wait; a disk that takes none shows less.
            let _ = self.agents[server].tree.write(&path, "<message/>", at);
        }
    }

    /// The events that waited at the agent are gone: they were sent.
    pub(in crate::lab::world) fn clear_events(&mut self, server: ServerNo) {
        if std::mem::take(&mut self.agents[server].conditions.outbound_events) > 0 {
            let folder = format!(r"{}\Queue", self.fleet.servers[server].layout.install_dir);
            for entry in self.agents[server].tree.list(&folder) {
                self.agents[server].tree.remove(&format!(r"{folder}\{}", entry.name));
            }
        }
    }

    pub(in crate::lab::world) fn damage_secure_storage(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        self.agents[server].conditions.has_damaged_secure_storage = true;
        self.leave_behind(server, packages, PackageState::Invalid);
        self.say_obstacles(server, packages);
    }

    pub(in crate::lab::world) fn refuse_as_busy(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        self.agents[server].conditions.is_refused_as_busy = true;
        self.leave_behind(server, packages, PackageState::RetryingDownload);
        for &package in packages {
            self.say_busy(server, package);
        }
    }

    /// What an agent writes when it is told that the server is busy (KB 181405).
    pub(in crate::lab::world) fn say_busy(&mut self, server: ServerNo, package: PackageNo) {
        let guid = self.fleet.packages[package].guid;
        let text = format!(
            "Error while downloading package {guid}: Server is busy.  Package sources request is \
             backing off (-2147467259)"
        );
        self.log(server, Severity::Error, "PackageDelivery", &text);
        if self.agents[server].conditions.is_refused_as_busy {
            let text = "GetPackageInfo was refused: MaxConcurrentPackageInfoRequest reached";
            self.log(server, Severity::Information, "PackageDelivery", text);
        }
    }

    /// A large package is on its way. The credential has no rights on its content meanwhile, as
    /// KB 150861 describes it.
    pub(in crate::lab::world) fn start_long_download(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        self.leave_behind(server, packages, PackageState::DownloadPending);
        let ends = self.now.plus(LONG_DOWNLOAD);
        for &package in packages {
            self.agents[server].conditions.of_mut(package).downloads_until = Some(ends);
            let guid = self.fleet.packages[package].guid;
            let text = format!("Downloading package {guid}: 37% of 4.1 GB, by blocks over HTTP");
            self.log(server, Severity::Information, "PackageDelivery", &text);
            let cache =
                format!(r"{}\cache", self.fleet.servers[server].layout.package_folder(guid));
            // Content in an alternate location has no folder of this name.
            let _ =
                self.agents[server].tree.set_descriptor(&cache, &descriptors::package_store(false));
            self.schedule(LONG_DOWNLOAD, Event::Noticed(server, package));
        }
    }

    pub(in crate::lab::world) fn lock_snapshots(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        self.leave_behind(server, packages, PackageState::RetryingDownload);
        for &package in packages {
            let path =
                self.fleet.servers[server].layout.snapshot(self.fleet.packages[package].guid);
            let held = HeldFile::open(&self.agents[server].tree, &path, None)
                .expect("the manifest was just written");
            self.agents[server].locks.push((package, held));
            self.agents[server].conditions.of_mut(package).is_manifest_held = true;
            let text = format!(
                "Failed to replace {path}: the process cannot access the file because it is being \
                 used by another process (0x00000020)"
            );
            self.log(server, Severity::Error, "PackageDelivery", &text);
        }
    }

    /// Changes bytes in the middle of a file of each package; size and time stay.
    pub(in crate::lab::world) fn damage_content(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        for &package in packages {
            let Some(path) = self.content_paths(server, package).into_iter().next() else {
                continue;
            };
            let tree = &self.agents[server].tree;
            if let (Some(mut bytes), Some(at)) = (tree.read(&path), tree.modified(&path)) {
                let middle = bytes.len() / 2;
                bytes[middle] = bytes[middle].wrapping_add(1);
                tree.write(&path, bytes, at).expect("the file was there");
                self.agents[server].conditions.of_mut(package).has_damaged_content = true;
            }
        }
    }

    /// Puts folders into the store that the agent knows nothing of: those of the named packages, or of
    /// two that are long gone.
    pub(in crate::lab::world) fn leave_folders(
        &mut self,
        server: ServerNo,
        packages: &[PackageNo],
    ) {
        let at = self.calendar.filetime(self.now);
        for &package in packages {
            self.unassign(server, package);
            let known = self.fleet.packages[package].clone();
            let layout = &self.fleet.servers[server].layout;
            let bytes = product_files::snapshot(&known, known.version);
            self.agents[server]
                .tree
                .write(&layout.snapshot(known.guid), bytes, at)
                .expect("the disk of a new machine takes an agent's files");
        }
        if packages.is_empty() {
            for _ in 0..2 {
                let guid = self.dice.guid();
                let layout = &self.fleet.servers[server].layout;
                let tree = &self.agents[server].tree;
                tree.write(&layout.cached(guid, "setup.exe"), vec![b'x'; 512], at)
                    .expect("the disk of a new machine takes an agent's files");
            }
        }
    }

    /// Gives two packages the same alternate folder: the agent took the one's files for leftovers of
    /// the other and removed them (KB 413372).
    pub(in crate::lab::world) fn share_folder(&mut self, server: ServerNo, packages: &[PackageNo]) {
        let mut packages = packages.to_vec();
        let others: Vec<PackageNo> = self.agents[server].holdings.keys().copied().collect();
        for other in others {
            if packages.len() < 2 && !packages.contains(&other) {
                packages.push(other);
            }
        }
        let at = self.calendar.filetime(self.now);
        self.agents[server].tree.add_volume('D', at);
        for &package in &packages {
            let guid = self.fleet.packages[package].guid;
            let cache =
                format!(r"{}\cache", self.fleet.servers[server].layout.package_folder(guid));
            self.agents[server].tree.remove(&cache);
            self.agents[server].conditions.of_mut(package).location =
                Some(SHARED_FOLDER.to_owned());
            let version = self.agents[server].holdings[&package].version;
            self.furnish_package(server, package, version)
                .expect("the disk of a new machine takes an agent's files");
        }
        for &package in packages.iter().take(packages.len().saturating_sub(1)) {
            self.forget_content(server, package);
            let guid = self.fleet.packages[package].guid;
            let text =
                format!("CleanupExpiredPackages: removing files of {guid} in {SHARED_FOLDER}");
            self.log(server, Severity::Information, "Package Server", &text);
        }
        let last: Vec<PackageNo> = packages.last().copied().into_iter().collect();
        for package in last {
            // What belongs to none of the names that both have stays.
            let version = self.agents[server].holdings[&package].version;
            self.furnish_package(server, package, version)
                .expect("the disk of a new machine takes an agent's files");
        }
        for &package in &packages {
            let holding = self.hold(server, package);
            holding.previous = PackageState::Ready;
            holding.state = PackageState::RetryingDownload;
            let version = holding.version.to_string();
            self.write_status(server, package);
            let status = PackageState::RetryingDownload.to_string();
            self.set_row(server, package, StatusRow { status, version });
        }
        self.say_obstacles(server, &packages);
    }
}
