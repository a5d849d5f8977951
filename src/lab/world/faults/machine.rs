//! Faults of machines: services, IIS, shares, volumes, versions, sites.

use crate::lab::world::PackageState;
use crate::lab::world::conditions::{HostTask, PACKAGE_SHARE};
use crate::lab::world::fleet::{PackageNo, ServerNo};
use crate::lab::world::product_files::Severity;
use crate::lab::world::rows::RowChange;
use crate::lab::world::simulation::World;

/// A version of the agent two releases behind.
const OLD_AGENT: &str = "8.6.3268.0";
/// A folder below which the store's usual names still fit and long ones do not.
const DEEP_FOLDER: &str = r"E:\Departmental Data\Endpoint Management Infrastructure\Regional Software Distribution\Site Server Package Storage Volume 02\Package Delivery";
/// A name that fits below every usual store (at most 100 characters with the package's own folder),
/// and not below the deep one (254 characters, KB 152039).
const LONG_NAME: &str = r"toolkit\documentation\reference\application programming interface\generated sources\platform specific\interfaces\introduction and overview.html";

impl World {
    /// Nothing that the agent does happens any more; newer versions pass it by.
    pub(in crate::lab::world) fn stop_agent(&mut self, server: ServerNo, packages: &[PackageNo]) {
        self.leave_behind(server, packages, PackageState::Ready);
        let text = "Symantec Management Agent service stopped";
        self.log(server, Severity::Information, "AgentLoader", text);
        self.agents[server].conditions.is_service_running = false;
    }

    /// Clients get partial content by HTTP; the content itself is whole.
    pub(in crate::lab::world) fn stop_app_pool(&mut self, server: ServerNo) {
        self.agents[server].conditions.is_app_pool_started = false;
        let text = "Download of a package by HTTP ended early: Partial Data Received (0x000002C3)";
        self.log(server, Severity::Warning, "NetworkOperation", text);
    }

    /// Without IIS there are no addresses by HTTP.
    pub(in crate::lab::world) fn remove_iis(&mut self, server: ServerNo) {
        self.agents[server].conditions.has_iis = false;
        let text = "Virtual directories are not created: IIS is not installed on this computer";
        self.log(server, Severity::Warning, "Package Server", text);
    }

    /// The share of the store is gone; or, where packages are named, these are to lie in a share that
    /// nobody made: the package server never does (KB 433153).
    pub(in crate::lab::world) fn remove_share(&mut self, server: ServerNo, packages: &[PackageNo]) {
        if packages.is_empty() {
            self.agents[server].conditions.has_package_share = false;
            let text = format!("The share {PACKAGE_SHARE} does not exist; clients cannot use it");
            self.log(server, Severity::Warning, "Package Server", &text);
            return;
        }
        for &package in packages {
            let guid = self.fleet.packages[package].guid;
            let location = format!(r"\\%COMPUTERNAME%\Deployment\{guid}");
            self.forget_content(server, package);
            let conditions = self.agents[server].conditions.of_mut(package);
            conditions.location = Some(location);
            conditions.is_location_unusable = true;
        }
        self.leave_behind(server, packages, PackageState::RetryingDownload);
        self.say_obstacles(server, packages);
    }

    pub(in crate::lab::world) fn fill_disk(&mut self, server: ServerNo, packages: &[PackageNo]) {
        self.agents[server].conditions.free_bytes = 0;
        self.leave_behind(server, packages, PackageState::RetryingDownload);
        self.say_obstacles(server, packages);
    }

    /// Puts the store below a very long folder and a file with a long name into the packages: it
    /// fits elsewhere.
    pub(in crate::lab::world) fn deepen_store(&mut self, server: ServerNo, packages: &[PackageNo]) {
        let at = self.calendar.filetime(self.now);
        for &package in packages {
            let known = &mut self.fleet.packages[package];
            if known.files.iter().any(|(name, _)| name == LONG_NAME) {
                continue;
            }
            known.files.push((LONG_NAME.to_owned(), 120));
            self.write_snapshot(package);
            for holder in 0..self.fleet.servers.len() {
                if let Some(holding) = self.agents[holder].holdings.get(&package) {
                    let version = holding.version;
                    self.furnish_package(holder, package, version)
                        .expect("the disk of a new machine takes an agent's files");
                }
            }
        }
        let old = self.fleet.servers[server].layout.package_delivery.clone();
        if old != DEEP_FOLDER {
            let tree = &self.agents[server].tree;
            tree.add_volume('E', at);
            let layout = &mut self.fleet.servers[server].layout;
            DEEP_FOLDER.clone_into(&mut layout.package_delivery);
            layout.is_relocated = true;
            self.move_store(server, &old);
        }
        self.leave_behind(server, packages, PackageState::Invalid);
        for &package in packages {
            self.forget_content(server, package);
        }
        self.say_obstacles(server, packages);
    }

    /// Writes the store at its new place and takes the old one away, as a relocation by policy does.
    fn move_store(&mut self, server: ServerNo, old: &str) {
        let at = self.calendar.filetime(self.now);
        let tree = self.agents[server].tree.clone();
        let new = self.fleet.servers[server].layout.package_delivery.clone();
        tree.create_dir_all(&new, at).expect("the volume was just made");
        if let Some(descriptor) = tree.descriptor(old) {
            tree.set_descriptor(&new, &descriptor).expect("the folder was just made");
        }
        let held: Vec<PackageNo> = self.agents[server].holdings.keys().copied().collect();
        for package in held {
            let guid = self.fleet.packages[package].guid;
            let path = self.fleet.servers[server].layout.snapshot(guid);
            let holding = self.hold(server, package);
            holding.snapshot_path = path;
            let version = holding.version;
            self.furnish_package(server, package, version)
                .expect("the disk of a new machine takes an agent's files");
        }
        tree.remove(old);
    }

    /// Makes an agent old: with its plug-in on every other server, the plug-in alone on the rest.
    pub(in crate::lab::world) fn make_outdated(&mut self, server: ServerNo) {
        self.agents[server].conditions.plugin_version = Some(OLD_AGENT.to_owned());
        if server.is_multiple_of(2) {
            OLD_AGENT.clone_into(&mut self.fleet.servers[server].agent_version);
        }
    }

    pub(in crate::lab::world) fn leave_site(&mut self, server: ServerNo) {
        self.agents[server].conditions.has_no_site = true;
        let guid = self.fleet.servers[server].guid;
        self.changes.push(RowChange::NoSite { server: guid });
    }

    /// A task of Windows that removes what lies below a folder.
    pub(in crate::lab::world) fn add_cleaner(&mut self, server: ServerNo, folder: &str) {
        let action = format!(
            "powershell.exe -NoProfile -File C:\\Scripts\\Remove-OldFiles.ps1 -Path \"{folder}\""
        );
        let name = r"\Operations\Clean up package files".to_owned();
        let tasks = &mut self.agents[server].conditions.tasks;
        if !tasks.iter().any(|task| task.action == action) {
            tasks.push(HostTask { name, action });
        }
    }
}
