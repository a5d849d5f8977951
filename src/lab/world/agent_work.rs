//! How agents behave: one job after the other, each a few requests and some time.

use std::collections::VecDeque;
use std::time::Duration;

use super::PackageState;
use super::agent::{Job, Origin, Step};
use super::descriptors;
use super::fleet::{PackageNo, ServerNo};
use super::iis::{Cause, Verdict};
use super::ns::version_of;
use super::product_files::{self, LogEvent, Severity};
use super::simulation::{Event, World};

/// An agent asks for its configuration this often by itself.
const CONFIGURATION_INTERVAL: Duration = Duration::from_secs(4 * 3600);
/// It reports changes by itself when nobody asked for this long.
const UNASKED_STATUS: Duration = Duration::from_secs(30 * 60);
/// How often a step is tried again after a refusal before it is given up.
const MOST_REFUSALS: u32 = 6;
/// How often something deletes the content of a raided package.
const RAID_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// What comes after a step.
enum Next {
    /// The job goes on with this step after a while.
    Then(Step, Duration),
    /// The same step is tried again after a while.
    Again(Duration),
    /// The job is done.
    Done,
}

impl World {
    /// Asks an agent for something it does in its own time.
    pub(super) fn ask(&mut self, server: ServerNo, job: Job) {
        let conditions = &self.agents[server].conditions;
        if conditions.is_off || !conditions.is_service_running {
            return;
        }
        let delay = match job.origin {
            Origin::Asked => self.dice.millis(2000, 8000),
            Origin::Scheduled => Duration::from_secs(1),
        };
        self.agents[server].jobs.push_back(job);
        self.wake(server, delay);
    }

    fn wake(&mut self, server: ServerNo, delay: Duration) {
        if !self.agents[server].is_awake {
            self.agents[server].is_awake = true;
            self.schedule(delay, Event::Agent(server));
        }
    }

    pub(super) fn agent_goes_on(&mut self, server: ServerNo) {
        let agent = &mut self.agents[server];
        agent.is_awake = false;
        if agent.conditions.is_hung {
            return;
        }
        if !agent.conditions.is_service_running {
            agent.current = None;
            agent.jobs.clear();
            return;
        }
        let Some(mut job) = agent.current.take().or_else(|| agent.jobs.pop_front()) else {
            return;
        };
        match self.perform(server, &job) {
            Next::Then(step, after) => {
                job.step = step;
                job.refused = 0;
                self.agents[server].current = Some(job);
                self.wake(server, after);
            }
            Next::Again(after) => {
                job.refused += 1;
                self.agents[server].current = Some(job);
                self.wake(server, after);
            }
            Next::Done if self.agents[server].jobs.is_empty() => {}
            Next::Done => self.wake(server, Duration::from_millis(500)),
        }
    }

    fn perform(&mut self, server: ServerNo, job: &Job) -> Next {
        match &job.step {
            Step::FetchPolicy => self.fetch_policy(server, job),
            Step::TakePolicy => self.take_policy(server, job.origin),
            Step::AskInfo { package, always } => self.ask_info(server, job, *package, *always),
            Step::AskSnapshot { package } => self.ask_snapshot(server, job, *package),
            Step::TakeSnapshot { package } => self.take_snapshot(server, *package),
            Step::Store { package, snapshot } => self.store(server, job, *package, snapshot),
            Step::CollectStatus => self.collect_status(server),
            Step::SendInventory => self.send_inventory(server, job),
            Step::Post { left, sent } => self.post(server, job, left, *sent),
        }
    }

    fn request(&mut self, server: ServerNo, job: &Job, cause: Cause) -> Verdict {
        let host = &self.fleet.servers[server].fqdn;
        self.iis.request(self.now, job.origin.cause(cause), host)
    }

    /// Backs off after a 503, longer each time; `None` when it is time to give up.
    fn back_off(&mut self, refused: u32) -> Option<Duration> {
        if refused >= MOST_REFUSALS {
            return None;
        }
        let base = 30_000u64 << refused.min(4);
        Some(self.dice.millis(base * 3 / 4, base * 5 / 4))
    }

    fn fetch_policy(&mut self, server: ServerNo, job: &Job) -> Next {
        let url = self.agent_url("GetClientPolicies.aspx");
        match self.request(server, job, Cause::ConfigUpdate) {
            Verdict::Served(after) => Next::Then(Step::TakePolicy, after),
            Verdict::Busy => {
                let text = format!("Request '{url}' failed: Server is busy (503), backing off");
                self.log(server, Severity::Warning, "ConfigServer", &text);
                self.back_off(job.refused).map_or(Next::Done, Next::Again)
            }
        }
    }

    fn agent_url(&self, page: &str) -> String {
        format!("https://{}/Altiris/NS/Agent/{page}", self.fleet.notification_server.fqdn)
    }

    fn take_policy(&mut self, server: ServerNo, origin: Origin) -> Next {
        let (credential, revision) =
            (self.ns.conditions.credential, self.ns.conditions.credential_revision);
        let conditions = &mut self.agents[server].conditions;
        if conditions.credential_revision < revision {
            conditions.credential = credential;
            conditions.credential_revision = revision;
        }
        self.write_policy(server);
        let url = self.agent_url("GetClientPolicies.aspx");
        let text = format!("Request '{url}' completed");
        self.log(server, Severity::Information, "ConfigServer", &text);
        self.log(server, Severity::Information, "ConfigServer", "Client policies updated");
        let agent = &mut self.agents[server];
        if agent.conditions.trust_is_curable {
            agent.conditions.has_lost_trust = false;
        }
        let wanted: Vec<PackageNo> = self.agents[server]
            .holdings
            .keys()
            .copied()
            .filter(|package| self.needs(server, *package))
            .collect();
        // What the policy brings comes before anything that was asked for later, so that a status
        // sent after an update tells of its result.
        for package in wanted.into_iter().rev() {
            let job = Job::new(Step::AskInfo { package, always: false }, origin);
            self.agents[server].jobs.push_front(job);
        }
        Next::Done
    }

    /// Whether the agent would fetch a package, given the policy it has.
    fn needs(&self, server: ServerNo, package: PackageNo) -> bool {
        let holding = &self.agents[server].holdings[&package];
        match holding.state {
            PackageState::Deleted => false,
            PackageState::DownloadPending
            | PackageState::RetryingDownload
            | PackageState::Invalid => true,
            PackageState::Ready => {
                (!holding.is_stuck && holding.version < self.ns.versions[package])
                    || !self.agents[server].tree.exists(&holding.snapshot_path)
            }
        }
    }

    fn ask_info(&mut self, server: ServerNo, job: &Job, package: PackageNo, always: bool) -> Next {
        if !always && !self.needs(server, package) {
            return Next::Done;
        }
        match self.request(server, job, Cause::PackageInfo) {
            Verdict::Served(_) if self.agents[server].conditions.is_refused_as_busy => {
                self.package_backs_off(server, job, package)
            }
            Verdict::Served(after) => {
                // A re-check ends the agent's wrong belief that an old manifest is current.
                let state = {
                    let holding = self.holding(server, package);
                    holding.is_stuck = false;
                    holding.state
                };
                if state == PackageState::Deleted || !self.needs(server, package) {
                    return Next::Done;
                }
                self.set_state(server, package, PackageState::DownloadPending);
                Next::Then(Step::AskSnapshot { package }, after)
            }
            Verdict::Busy => self.package_backs_off(server, job, package),
        }
    }

    fn ask_snapshot(&mut self, server: ServerNo, job: &Job, package: PackageNo) -> Next {
        match self.request(server, job, Cause::SnapshotDownload) {
            Verdict::Served(after) => Next::Then(Step::TakeSnapshot { package }, after),
            Verdict::Busy => self.package_backs_off(server, job, package),
        }
    }

    fn package_backs_off(&mut self, server: ServerNo, job: &Job, package: PackageNo) -> Next {
        self.say_busy(server, package);
        self.set_state(server, package, PackageState::RetryingDownload);
        self.back_off(job.refused).map_or(Next::Done, Next::Again)
    }

    fn take_snapshot(&mut self, server: ServerNo, package: PackageNo) -> Next {
        let guid = self.fleet.packages[package].guid;
        let Some(snapshot) = self.offered_snapshot(package) else {
            let text = format!("Package snapshot of {guid} is not available (404)");
            self.log(server, Severity::Error, "PackageDelivery", &text);
            self.set_state(server, package, PackageState::RetryingDownload);
            return Next::Done;
        };
        if let Some(found) = self.obstacle(server, package) {
            self.log(server, found.severity, found.source, &found.text);
            self.set_state(server, package, found.state);
            return Next::Done;
        }
        let of_package = self.agents[server].conditions.of(package);
        if of_package.downloads_until.is_some_and(|ends| self.now < ends) {
            // It goes on; the agent looks again when it has ended.
            return Next::Done;
        }
        let is_raided = self.agents[server].conditions.raided.contains(&package);
        let after = if is_raided {
            self.dice.millis(240_000, 420_000)
        } else {
            self.dice.millis(6000, 15_000)
        };
        Next::Then(Step::Store { package, snapshot }, after)
    }

    fn store(&mut self, server: ServerNo, job: &Job, package: PackageNo, bytes: &[u8]) -> Next {
        let layout = &self.fleet.servers[server].layout;
        let known = &self.fleet.packages[package];
        let version = version_of(bytes).unwrap_or(self.ns.versions[package]);
        let at = self.calendar.filetime(self.now);
        let tree = &self.agents[server].tree;
        let location = self.agents[server].conditions.of(package).location;
        let stored = product_files::stored_snapshot(bytes.to_vec(), location.as_deref());
        let mut written = tree.write(&layout.snapshot(known.guid), stored, at);
        let paths = self.content_paths(server, package);
        for ((name, size), path) in known.files.iter().zip(paths) {
            let content = product_files::content(known, name, *size, version);
            written = written.and_then(|()| tree.write(&path, content, at));
        }
        if let Err(error) = written {
            let text = format!(
                "Package {} could not be saved: {error}: the process cannot access the file \
                 because it is being used by another process (0x00000020)",
                known.guid
            );
            self.log(server, Severity::Error, "PackageDelivery", &text);
            if job.refused >= MOST_REFUSALS {
                self.set_state(server, package, PackageState::RetryingDownload);
                return Next::Done;
            }
            return Next::Again(Duration::from_secs(10));
        }
        let text = format!("Package {} is ready, version {version}", known.guid);
        self.agents[server].conditions.of_packages.entry(package).and_modify(|of| {
            of.downloads_until = None;
            of.has_damaged_content = false;
        });
        self.restore_rights(server, package);
        let holding = self.holding(server, package);
        holding.version = version;
        holding.is_stuck = false;
        self.set_state(server, package, PackageState::Ready);
        self.log(server, Severity::Information, "Package Server", &text);
        let is_raided = self.agents[server].conditions.raided.contains(&package);
        let status_due = if is_raided { Duration::from_secs(60) } else { UNASKED_STATUS };
        self.schedule(status_due, Event::StatusDue(server));
        if is_raided {
            self.schedule(RAID_INTERVAL, Event::Raid(server, package));
        }
        Next::Done
    }

    /// The packages to report: those that changed, those the Notification Server has not as Ready,
    /// and those of which it was given two rows. Their status files are written again where they are
    /// gone.
    fn collect_status(&mut self, server: ServerNo) -> Next {
        let packages: Vec<PackageNo> = self.agents[server].holdings.keys().copied().collect();
        let mut left = VecDeque::new();
        for package in packages {
            let path = self.fleet.servers[server].layout.status(self.fleet.packages[package].guid);
            if !self.agents[server].tree.exists(&path) {
                self.write_status(server, package);
            }
            let pair = (self.fleet.servers[server].guid, self.fleet.packages[package].guid);
            let is_ready_there = self.ns.rows.get(&pair).is_some_and(|row| row.status == "Ready");
            let has_two_rows = self.ns.conditions.duplicates.contains(&(server, package));
            let is_unreported = self.agents[server].holdings[&package].is_unreported;
            if is_unreported || !is_ready_there || has_two_rows {
                left.push_back(package);
            }
        }
        Next::Then(Step::Post { left, sent: 0 }, Duration::from_millis(500))
    }

    fn send_inventory(&mut self, server: ServerNo, job: &Job) -> Next {
        match self.request(server, job, Cause::StatusPost) {
            Verdict::Served(_) => {
                self.enqueue_others(1, Duration::ZERO);
                let text = "Basic inventory sent";
                self.log(server, Severity::Information, "Basic Inventory", text);
                Next::Done
            }
            Verdict::Busy => {
                let text = "Error while posting an event: Server is busy (503), backing off";
                self.log(server, Severity::Warning, "EventTransport", text);
                self.back_off(job.refused).map_or(Next::Done, Next::Again)
            }
        }
    }

    fn post(
        &mut self,
        server: ServerNo,
        job: &Job,
        left: &VecDeque<PackageNo>,
        sent: usize,
    ) -> Next {
        let mut left = left.clone();
        let Some(package) = left.pop_front() else {
            let text = format!("Package status sent for {sent} packages");
            self.log(server, Severity::Information, "Package Server", &text);
            return Next::Done;
        };
        if self.agents[server].conditions.credential != self.ns.conditions.credential {
            self.keep_events(server, left.len() + 1);
            return Next::Done;
        }
        match self.request(server, job, Cause::StatusPost) {
            Verdict::Served(after) => {
                self.clear_events(server);
                self.enqueue(server, package);
                Next::Then(Step::Post { left, sent: sent + 1 }, after)
            }
            Verdict::Busy => {
                let text = "Error while posting an event: Server is busy (503), backing off";
                self.log(server, Severity::Warning, "EventTransport", text);
                self.back_off(job.refused).map_or(Next::Done, Next::Again)
            }
        }
    }

    pub(super) fn scheduled_configuration(&mut self, server: ServerNo) {
        self.ask(server, Job::new(Step::FetchPolicy, Origin::Scheduled));
        self.schedule(CONFIGURATION_INTERVAL, Event::Configuration(server));
    }

    /// The first scheduled request of an agent comes at a random time, so that the fleet's are
    /// spread out.
    pub(super) fn begin_configuration(&mut self, server: ServerNo) {
        let whole = u64::try_from(CONFIGURATION_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let wait = self.dice.millis(60_000, whole);
        self.schedule(wait, Event::Configuration(server));
    }

    pub(super) fn scheduled_status(&mut self, server: ServerNo) {
        if self.agents[server].holdings.values().any(|holding| holding.is_unreported) {
            self.ask(server, Job::new(Step::CollectStatus, Origin::Scheduled));
        }
    }

    /// Something outside the product deletes the content; the agent finds out and fetches it again.
    pub(super) fn raid(&mut self, server: ServerNo, package: PackageNo) {
        if !self.agents[server].conditions.raided.contains(&package) {
            return;
        }
        self.forget_content(server, package);
        // For a while the package is Ready without its files (KB 433153).
        let wait = self.dice.millis(120_000, 240_000);
        self.schedule(wait, Event::Noticed(server, package));
    }

    /// The agent finds out that it has to fetch a package.
    pub(super) fn notice(&mut self, server: ServerNo, package: PackageNo) {
        let version = self.ns.versions[package];
        let Some(holding) = self.agents[server].holdings.get(&package) else { return };
        let is_behind = holding.version < version && !holding.is_stuck;
        let state = holding.state;
        let has_content = self
            .content_paths(server, package)
            .iter()
            .all(|path| self.agents[server].tree.exists(path));
        if state == PackageState::Ready && (is_behind || !has_content) {
            self.set_state(server, package, PackageState::DownloadPending);
            self.ask(server, Job::new(Step::CollectStatus, Origin::Scheduled));
        }
        if state != PackageState::Deleted {
            let fetch = Step::AskInfo { package, always: false };
            self.ask(server, Job::new(fetch, Origin::Scheduled));
        }
    }

    /// Gives the credential its rights on a package back when a download ends (KB 150861), where it
    /// has them on the package's folder or on the whole store.
    fn restore_rights(&self, server: ServerNo, package: PackageNo) {
        let layout = &self.fleet.servers[server].layout;
        let tree = &self.agents[server].tree;
        let folder = layout.package_folder(self.fleet.packages[package].guid);
        let cache = format!(r"{folder}\cache");
        let grants = |folder: &str| descriptors::grants_connectivity_account(tree, folder);
        if !grants(&folder) && !grants(&layout.package_delivery) {
            return;
        }
        for stripped in [&folder, &cache].into_iter().filter(|at| tree.exists(at) && !grants(at)) {
            // A folder that cannot be described keeps what it has.
            let _ = tree.set_descriptor(stripped, &descriptors::package_store(true));
        }
    }

    fn holding(&mut self, server: ServerNo, package: PackageNo) -> &mut super::agent::Holding {
        self.agents[server]
            .holdings
            .get_mut(&package)
            .expect("jobs are only made for packages that the agent holds")
    }

    fn set_state(&mut self, server: ServerNo, package: PackageNo, state: PackageState) {
        let now = self.now;
        let holding = self.holding(server, package);
        if holding.state != state {
            holding.previous = holding.state;
            holding.since = now;
        }
        holding.state = state;
        holding.is_unreported = true;
        self.write_status(server, package);
    }

    pub(super) fn write_status(&mut self, server: ServerNo, package: PackageNo) {
        let holding = &self.agents[server].holdings[&package];
        let known = &self.fleet.packages[package];
        let bytes = product_files::package_status(
            known,
            holding.state,
            holding.version,
            self.calendar,
            self.now,
        );
        let path = self.fleet.servers[server].layout.status(known.guid);
        // A file that is open elsewhere keeps its old text; the next change writes it again.
        let _ = self.agents[server].tree.write(&path, bytes, self.calendar.filetime(self.now));
    }

    pub(super) fn write_policy(&mut self, server: ServerNo) {
        let host = &self.fleet.servers[server];
        let assigned = host.packages.iter().map(|number| &self.fleet.packages[*number]);
        let bytes = product_files::client_policies(
            &self.fleet,
            host.guid,
            assigned,
            self.agents[server].conditions.credential,
            self.calendar,
            self.now,
        );
        let path = host.layout.policy(&self.fleet.notification_server.fqdn);
        let _ = self.agents[server].tree.write(&path, bytes, self.calendar.filetime(self.now));
    }

    pub(super) fn log(&mut self, server: ServerNo, severity: Severity, source: &str, text: &str) {
        const ROLL_AT: u64 = 512 * 1024;

        let host = &self.fleet.servers[server];
        let module = match source {
            "Package Server" => "AeXNSCPackageServer.dll",
            "PackageDelivery" => "AeXPackageDelivery.dll",
            _ => "AeXNSAgent.exe",
        };
        let event = LogEvent { severity, source, module, text };
        let bytes = product_files::log_event(&event, host.short(), self.calendar, self.now);
        let (path, at) = (host.layout.log(), self.calendar.filetime(self.now));
        let tree = &self.agents[server].tree;
        if tree.entry(&path).is_some_and(|entry| entry.size > ROLL_AT) {
            // A log that somebody reads rolls later.
            let _ = tree.rename(&path, &format!(r"{}\agent1.log", host.layout.log_dir), at);
        }
        let _ = tree.append(&path, &bytes, at);
    }
}
