//! What cures that are no files: services, shares, pools, and what only a person can do.

use crate::lab::world::PackageState;
use crate::lab::world::agent::{Job, Origin, Step};
use crate::lab::world::conditions::{
    AGENT_SERVICE, AppliedCredential, DISPATCHER_SERVICE, HostConditions, PACKAGE_SHARE,
};
use crate::lab::world::faults::FaultKind;
use crate::lab::world::fleet::{PackageNo, ServerNo};
use crate::lab::world::product_files::Severity;
use crate::lab::world::rows::RowChange;
use crate::lab::world::simulation::{MachineId, World};

impl World {
    /// Stops a service of the product; whether there is one of this name.
    pub fn stop_service(&mut self, machine: MachineId, name: &str) -> bool {
        match machine {
            MachineId::Server(server) if name.eq_ignore_ascii_case(AGENT_SERVICE) => {
                let agent = &mut self.agents[server];
                agent.conditions.is_service_running = false;
                if std::mem::take(&mut agent.conditions.is_hung) {
                    agent.current = None;
                    agent.jobs.clear();
                }
                true
            }
            MachineId::NotificationServer if name.eq_ignore_ascii_case(DISPATCHER_SERVICE) => {
                self.ns.conditions.is_dispatcher_stopped = true;
                true
            }
            _ => false,
        }
    }

    /// Starts a service of the product; whether there is one of this name. An agent asks for its
    /// configuration when it starts and reports what it has not reported; a dispatcher that starts
    /// takes up what stood in the queue (KB 205352).
    pub fn start_service(&mut self, machine: MachineId, name: &str) -> bool {
        match machine {
            MachineId::Server(server) if name.eq_ignore_ascii_case(AGENT_SERVICE) => {
                if !self.agents[server].conditions.is_service_running {
                    self.start_agent(server);
                }
                true
            }
            MachineId::NotificationServer if name.eq_ignore_ascii_case(DISPATCHER_SERVICE) => {
                if self.ns.conditions.is_dispatcher_stopped {
                    self.ns.conditions.is_dispatcher_stopped = false;
                    self.ns.conditions.is_stalled = false;
                    self.resume_draining();
                }
                true
            }
            _ => false,
        }
    }

    /// Stops and starts a service of the product; whether there is one of this name.
    pub fn restart_service(&mut self, machine: MachineId, name: &str) -> bool {
        self.stop_service(machine, name) && self.start_service(machine, name)
    }

    /// Lets an agent hang: its service runs, it takes what it is asked, and it does nothing of it. A
    /// restart of its service mends it; what it was asked meanwhile is lost.
    pub fn hang_agent(&mut self, server: usize) {
        self.agents[server].conditions.is_hung = true;
    }

    fn start_agent(&mut self, server: ServerNo) {
        self.agents[server].conditions.is_service_running = true;
        let text = format!("Agent {} started", self.fleet.servers[server].agent_version);
        self.log(server, Severity::Information, "AgentLoader", &text);
        self.ask(server, Job::new(Step::FetchPolicy, Origin::Scheduled));
        self.ask(server, Job::new(Step::CollectStatus, Origin::Scheduled));
        if self.agents[server].conditions.has_iis {
            self.publish_codebases_of(server);
        }
    }

    /// Takes the package server plug-in away: what is left is a client computer, with the files of
    /// its packages.
    pub fn remove_plugin(&mut self, server: usize) {
        self.agents[server].conditions.has_no_plugin = true;
    }

    /// Starts the application pool of a package server; `false` without IIS.
    pub fn start_app_pool(&mut self, server: usize) -> bool {
        let conditions = &mut self.agents[server].conditions;
        conditions.is_app_pool_started |= conditions.has_iis;
        conditions.has_iis
    }

    /// Makes a share of a folder, or changes its folder.
    pub fn create_share(&mut self, server: usize, name: &str, path: &str) {
        let conditions = &mut self.agents[server].conditions;
        if name.eq_ignore_ascii_case(PACKAGE_SHARE) {
            conditions.has_package_share = true;
        } else {
            conditions.shares.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            conditions.shares.push((name.to_owned(), path.to_owned()));
        }
        let beginning = format!(r"\\%computername%\{}\", name.to_lowercase());
        for package in conditions.of_packages.values_mut() {
            let is_below = package
                .location
                .as_ref()
                .is_some_and(|location| location.to_lowercase().starts_with(&beginning));
            package.is_location_unusable &= !is_below;
        }
    }

    /// Ends a share; its folder stays.
    pub fn end_share(&mut self, server: usize, name: &str) {
        let conditions = &mut self.agents[server].conditions;
        if name.eq_ignore_ascii_case(PACKAGE_SHARE) {
            conditions.has_package_share = false;
        }
        conditions.shares.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// The shares of a package server, by name and folder.
    pub fn shares(&self, server: usize) -> Vec<(String, String)> {
        let conditions = &self.agents[server].conditions;
        let own = conditions.has_package_share.then(|| {
            let store = self.fleet.servers[server].layout.package_delivery.clone();
            (PACKAGE_SHARE.to_owned(), store)
        });
        own.into_iter().chain(conditions.shares.iter().cloned()).collect()
    }

    /// Chooses in the console how package services reach their files. Agents learn of it with their
    /// next policy.
    pub fn set_credential(&mut self, credential: AppliedCredential) {
        self.ns.conditions.credential = credential;
        self.ns.conditions.credential_revision += 1;
    }

    /// Has a package originate from this Notification Server.
    pub fn set_local_origin(&mut self, package: crate::model::Guid) {
        let number = self.fleet.packages.iter().position(|known| known.guid == package);
        if let Some(number) = number {
            self.ns.conditions.origins.remove(&number);
            self.changes.push(RowChange::LocalOrigin { package });
        }
    }

    /// Takes over which packages come from this Notification Server, as somebody else left it in the
    /// CMDB: it makes their manifests from now on.
    pub fn adopt_local_origins(&mut self, packages: &[crate::model::Guid]) {
        let known = &self.fleet.packages;
        self.ns.conditions.origins.retain(|number, _| !packages.contains(&known[*number].guid));
    }

    /// What a person does about a fault, on one server or on all, in the console, at the machine or in
    /// a file share. What agents and schedules have to do after that is left to them.
    pub fn mend_by_hand(&mut self, kind: FaultKind, server: Option<usize>) {
        let servers: Vec<ServerNo> =
            server.map_or_else(|| (0..self.fleet.servers.len()).collect(), |one| vec![one]);
        match kind {
            FaultKind::SourcePathBroken => self.ns.conditions.broken_sources.clear(),
            FaultKind::RefreshChurn => self.ns.conditions.churning.clear(),
            FaultKind::CredentialNotApplied => {
                self.set_credential(AppliedCredential::Anonymous);
                self.set_credential(AppliedCredential::AgentConnectivity);
            }
            FaultKind::ForeignOrigin | FaultKind::ParentOwnsIt => {
                let packages: Vec<PackageNo> = self.ns.conditions.origins.keys().copied().collect();
                for package in packages {
                    self.set_local_origin(self.fleet.packages[package].guid);
                }
            }
            FaultKind::EventQueueStall => {
                self.restart_service(MachineId::NotificationServer, DISPATCHER_SERVICE);
            }
            FaultKind::EventQueueVolume => self.ns.conditions.flood_per_minute = 0,
            _ => {
                for server in servers {
                    self.mend_server(kind, server);
                }
            }
        }
    }

    fn mend_server(&mut self, kind: FaultKind, server: ServerNo) {
        let well = HostConditions::default();
        let conditions = &mut self.agents[server].conditions;
        match kind {
            FaultKind::SecureStorage => conditions.has_damaged_secure_storage = false,
            FaultKind::DiskFull => conditions.free_bytes = well.free_bytes,
            FaultKind::ServerBusy => conditions.is_refused_as_busy = false,
            FaultKind::IisMissing => conditions.has_iis = true,
            FaultKind::Trust1789 => conditions.has_lost_trust = false,
            FaultKind::RedownloadLoop => {
                conditions.tasks.clear();
                conditions.raided.clear();
            }
            FaultKind::VersionMismatch => {
                conditions.plugin_version = None;
                let newest = self.fleet.notification_server.version.clone();
                self.fleet.servers[server].agent_version = newest;
                self.publish_versions(server);
            }
            FaultKind::SiteUnassigned => {
                conditions.has_no_site = false;
                let host = &self.fleet.servers[server];
                let change = RowChange::Site { server: host.guid, site: host.site.clone() };
                self.changes.push(change);
            }
            FaultKind::AlternateLocationConflict | FaultKind::ShareMissing => {
                conditions.has_package_share = true;
                for package in conditions.of_packages.values_mut() {
                    package.location = None;
                    package.is_location_unusable = false;
                }
            }
            FaultKind::SnapshotLocked => {
                for package in conditions.of_packages.values_mut() {
                    package.is_manifest_held = false;
                }
                self.agents[server].locks.clear();
            }
            FaultKind::PathTooLong => self.shorten_store(server),
            FaultKind::Offline => conditions.is_off = false,
            FaultKind::OrphanFolder => self.move_strange_folders(server),
            FaultKind::AppPoolStopped => {
                self.start_app_pool(server);
            }
            FaultKind::AgentStopped => {
                self.start_service(MachineId::Server(server), AGENT_SERVICE);
            }
            _ => {}
        }
    }

    /// Moves the folders of the store that the agent does not know to another place of the volume.
    fn move_strange_folders(&mut self, server: ServerNo) {
        let at = self.calendar.filetime(self.now);
        let agent = &self.agents[server];
        let store = self.fleet.servers[server].layout.package_delivery.clone();
        let known: Vec<crate::model::Guid> =
            agent.holdings.keys().map(|package| self.fleet.packages[*package].guid).collect();
        let is_known = |name: &str| name.parse().is_ok_and(|guid| known.contains(&guid));
        let elsewhere = format!(r"{}\Left by {}", &store[..2], self.fleet.servers[server].fqdn);
        for entry in agent.tree.list(&store).into_iter().filter(|entry| !is_known(&entry.name)) {
            let (from, to) =
                (format!(r"{store}\{}", entry.name), format!(r"{elsewhere}\{}", entry.name));
            // What is in use stays.
            let _ = agent
                .tree
                .create_dir_all(&elsewhere, at)
                .and_then(|()| agent.tree.rename(&from, &to, at));
        }
    }

    /// Puts the store below a short folder; the agent fetches what is not there.
    fn shorten_store(&mut self, server: ServerNo) {
        let at = self.calendar.filetime(self.now);
        let tree = self.agents[server].tree.clone();
        let old = self.fleet.servers[server].layout.package_delivery.clone();
        r"E:\Store".clone_into(&mut self.fleet.servers[server].layout.package_delivery);
        // What cannot be moved is fetched again.
        let _ = tree.create_dir_all("E:\\", at).and_then(|()| tree.rename(&old, r"E:\Store", at));
        let held: Vec<PackageNo> = self.agents[server].holdings.keys().copied().collect();
        for package in held {
            let guid = self.fleet.packages[package].guid;
            let path = self.fleet.servers[server].layout.snapshot(guid);
            let holding = self.hold(server, package);
            holding.snapshot_path = path;
            if holding.state != PackageState::Ready {
                holding.is_stuck = false;
            }
        }
    }
}
