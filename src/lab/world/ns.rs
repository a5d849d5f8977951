//! The Notification Server: manifests, scheduled tasks, and the queue of events.

use std::collections::VecDeque;
use std::time::Duration;

use super::conditions::NotificationServerConditions;
use super::fleet::{PackageNo, ServerNo};
use super::product_files::{self, LogEvent, Severity};
use super::rows::{RowChange, StatusRow, StatusRows};
use super::simulation::{Event, World};
use super::{PackageState, WorldTime};
use crate::lab::tree::Tree;
use crate::model::Guid;

/// Where the manifests lie (7.1 and later).
pub(super) const SNAPSHOTS: &str = r"C:\ProgramData\Symantec\SMP\Snapshots";
const LOG: &str = r"C:\ProgramData\Symantec\SMP\Logs\a.log";
const QUEUE: &str = r"C:\ProgramData\Symantec\SMP\EventQueue\EvtQueue";
const FAST_QUEUE: &str = r"C:\ProgramData\Symantec\SMP\EventQueue\EvtQFast";
/// The error that a machine without trust reports for every package (KB 179719).
const NO_TRUST: &str =
    "The trust relationship between this workstation and the primary domain failed(1789).";

/// The result code of a task that is running.
const STILL_RUNNING: i64 = 267_009;
/// The result code of a task that never ran.
const NEVER_RAN: i64 = 267_011;

/// The Notification Server's own state.
#[derive(Debug)]
pub(super) struct Ns {
    pub(super) tree: Tree,
    /// The current version of each package.
    pub(super) versions: Vec<u64>,
    pub(super) rows: StatusRows,
    pub(super) tasks: Vec<Task>,
    pub(super) queue: VecDeque<Post>,
    pub(super) next_event_id: u64,
    pub(super) queue_peak: u64,
    /// Whether somebody else changed the CMDB since addresses were written.
    pub(super) lacks_addresses: bool,
    pub(super) drained: u64,
    pub(super) conditions: NotificationServerConditions,
}

/// An event that waits to be processed.
#[derive(Debug, Clone)]
pub(super) struct Post {
    id: u64,
    /// What it says of a package; another client's event says nothing of any.
    report: Option<Report>,
}

#[derive(Debug, Clone)]
struct Report {
    server: ServerNo,
    package: PackageNo,
    state: PackageState,
    version: u64,
    has_lost_trust: bool,
}

/// A scheduled task of Windows.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) kind: TaskKind,
    pub(super) is_running: bool,
    pub(super) last_run: Option<WorldTime>,
    pub(super) last_result: i64,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskKind {
    /// Makes the manifests that are missing, with a new version; daily at 3:30 (KB 181405).
    PackageRefresh,
    /// Writes the codebases anew; every ten minutes (KB 180568). In the product it may make
    /// manifests as well; here only the refresh does.
    DistributionPoints,
    /// Captures the status events of package servers; hourly.
    StatusCapture,
}

impl Task {
    pub(super) fn new(kind: TaskKind, guid: Guid) -> Self {
        let title = match kind {
            TaskKind::PackageRefresh => "Package Refresh",
            TaskKind::DistributionPoints => "Package Distribution Point Update Schedule",
            TaskKind::StatusCapture => "Package Server Status Event Capture Item",
        };
        let guid = guid.bare().to_ascii_lowercase();
        Self {
            name: format!("NS.{title}.{{{guid}}}"),
            kind,
            is_running: false,
            last_run: None,
            last_result: NEVER_RAN,
        }
    }
}

impl Task {
    /// Its state, in the words of Windows.
    pub(super) fn state(&self) -> &'static str {
        if self.is_running { "Running" } else { "Ready" }
    }
}

/// The path of a package's manifest.
pub(super) fn snapshot_path(package: Guid) -> String {
    format!(r"{SNAPSHOTS}\{package}.xml")
}

fn signature_path(package: Guid) -> String {
    format!(r"{SNAPSHOTS}\{package}.sig")
}

/// The version that a manifest declares.
pub(super) fn version_of(snapshot: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(snapshot).ok()?;
    let body = text.split_once("?>").map_or(text, |(_, body)| body).to_ascii_lowercase();
    let (_, value) = body.split_once(" version=\"")?;
    value.split_once('"')?.0.parse().ok()
}

impl World {
    /// The manifest of a package, as the Notification Server now has it.
    pub(super) fn offered_snapshot(&self, package: PackageNo) -> Option<Vec<u8>> {
        self.ns.tree.read(&snapshot_path(self.fleet.packages[package].guid))
    }

    /// Writes a manifest and its signature.
    pub(super) fn write_snapshot(&mut self, package: PackageNo) {
        let version = self.ns.versions[package];
        let known = &self.fleet.packages[package];
        let bytes = product_files::snapshot(known, version);
        let signature = product_files::signature(&bytes);
        let at = self.calendar.filetime(self.now);
        let written = self
            .ns
            .tree
            .write(&snapshot_path(known.guid), bytes, at)
            .and_then(|()| self.ns.tree.write(&signature_path(known.guid), signature, at));
        if let Err(error) = written {
            let text = format!("Failed to refresh package snapshot of {}: {error}", known.name);
            self.log_at_ns(Severity::Error, &text);
        }
    }

    pub(super) fn log_at_ns(&mut self, severity: Severity, text: &str) {
        let event = LogEvent { severity, source: "PackageRefresh", module: "NS", text };
        let bytes = product_files::log_event(&event, "SMP01", self.calendar, self.now);
        // A log that somebody holds open loses an event, as the product's does.
        let _ = self.ns.tree.append(LOG, &bytes, self.calendar.filetime(self.now));
    }

    /// Takes a manifest and its signature away.
    pub(super) fn remove_snapshot(&mut self, package: PackageNo) {
        let guid = self.fleet.packages[package].guid;
        self.ns.tree.remove(&snapshot_path(guid));
        self.ns.tree.remove(&signature_path(guid));
    }

    /// Makes a new version of a package, and its manifest.
    pub(super) fn renew_snapshot(&mut self, package: PackageNo) {
        let fresh = self.calendar.unix(self.now).max(self.ns.versions[package] + 1);
        self.ns.versions[package] = fresh;
        self.changes.push(RowChange::Package {
            guid: self.fleet.packages[package].guid,
            name: self.fleet.packages[package].name.clone(),
            version: fresh,
        });
        self.write_snapshot(package);
        let guid = self.fleet.packages[package].guid;
        let text = format!("Package snapshot of {guid} was built, version {fresh}");
        self.log_at_ns(Severity::Information, &text);
    }

    /// Starts a task now, unless it is running.
    pub(super) fn start_task(&mut self, number: usize) {
        let task = &mut self.ns.tasks[number];
        if task.is_running {
            return;
        }
        task.is_running = true;
        task.last_run = Some(self.now);
        task.last_result = STILL_RUNNING;
        let duration = match task.kind {
            TaskKind::PackageRefresh => self.dice.millis(40_000, 60_000),
            TaskKind::DistributionPoints => self.dice.millis(15_000, 30_000),
            TaskKind::StatusCapture => self.dice.millis(5000, 10_000),
        };
        self.schedule(duration, Event::TaskEnds(number));
    }

    pub(super) fn task_due(&mut self, number: usize) {
        self.start_task(number);
        self.schedule_task(number);
    }

    pub(super) fn schedule_task(&mut self, number: usize) {
        let wait = match self.ns.tasks[number].kind {
            TaskKind::PackageRefresh => self.calendar.until_time_of_day(self.now, 3, 30),
            TaskKind::DistributionPoints => Duration::from_secs(600),
            TaskKind::StatusCapture => Duration::from_secs(3600),
        };
        self.schedule(wait, Event::TaskDue(number));
    }

    pub(super) fn task_ends(&mut self, number: usize) {
        match self.ns.tasks[number].kind {
            TaskKind::PackageRefresh => self.refresh_packages_at_ns(),
            TaskKind::DistributionPoints => {
                self.publish_own_codebases();
                if std::mem::take(&mut self.ns.lacks_addresses) {
                    self.publish_codebases_of_rows();
                }
            }
            TaskKind::StatusCapture => {}
        }
        let task = &mut self.ns.tasks[number];
        task.is_running = false;
        task.last_result = 0;
    }

    /// Makes the manifests that are missing or do not carry the package's version.
    fn refresh_packages_at_ns(&mut self) {
        for number in 0..self.fleet.packages.len() {
            let guid = self.fleet.packages[number].guid;
            let present = self.offered_snapshot(number).as_deref().and_then(version_of);
            let is_current = present == Some(self.ns.versions[number]);
            if is_current && self.ns.tree.exists(&signature_path(guid)) {
                continue;
            }
            if self.ns.conditions.origins.contains_key(&number)
                || self.ns.conditions.gone.contains(&number)
            {
                continue;
            }
            if self.ns.conditions.broken_sources.contains(&number) {
                self.say_broken_source(number);
                continue;
            }
            if !is_current {
                self.renew_snapshot(number);
                continue;
            }
            self.write_snapshot(number);
            let version = self.ns.versions[number];
            let text = format!("Package snapshot of {guid} was built, version {version}");
            self.log_at_ns(Severity::Information, &text);
        }
    }

    /// Takes a report into the queue.
    pub(super) fn enqueue(&mut self, server: ServerNo, package: PackageNo) {
        let agent = &mut self.agents[server];
        let Some(holding) = agent.holdings.get_mut(&package) else { return };
        holding.is_unreported = false;
        let report = Report {
            server,
            package,
            state: holding.state,
            version: holding.version,
            has_lost_trust: agent.conditions.has_lost_trust,
        };
        self.push_event(Some(report), Duration::ZERO);
        self.queue_changed();
        if self.ns.queue.len() == 1 {
            self.schedule(self.drain_interval() + Duration::from_secs(1), Event::Drain);
        }
    }

    /// Takes events of other clients into the queue, posted this long ago.
    pub(super) fn enqueue_others(&mut self, count: u64, age: Duration) {
        let is_idle = self.ns.queue.is_empty();
        for _ in 0..count {
            self.push_event(None, age);
        }
        self.queue_changed();
        if is_idle {
            self.schedule(self.drain_interval() + Duration::from_secs(1), Event::Drain);
        }
    }

    fn push_event(&mut self, report: Option<Report>, age: Duration) {
        const TICKS_PER_MILLISECOND: u64 = 10_000;

        let id = self.ns.next_event_id;
        self.ns.next_event_id += 1;
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let at = self.calendar.filetime(self.now);
        let at = at.saturating_sub(age.saturating_mul(TICKS_PER_MILLISECOND));
        let folder = if report.is_some() { FAST_QUEUE } else { QUEUE };
        let sender = report.as_ref().map(|report| self.fleet.servers[report.server].guid);
        let sender = sender.map(|guid| guid.to_string()).unwrap_or_default();
        let text = format!("<message><from>{sender}</from></message>");
        // The file only shows how full the queue is; the entry itself is the row.
        let _ = self.ns.tree.write(&format!(r"{folder}\{id}.nse"), text, at);
        self.ns.queue.push_back(Post { id, report });
    }

    fn queue_changed(&mut self) {
        let length = self.ns.queue.len() as u64;
        let oldest = self.ns.queue.front().map_or(self.ns.next_event_id, |post| post.id);
        self.changes.push(RowChange::Queue { oldest, length });
        self.ns.queue_peak = self.ns.queue_peak.max(length);
    }

    /// Goes on with what stood in the queue.
    pub(super) fn resume_draining(&mut self) {
        if !self.ns.queue.is_empty() {
            self.schedule(self.drain_interval(), Event::Drain);
        }
    }

    fn drain_interval(&self) -> Duration {
        Duration::from_millis(60_000 / u64::from(self.spec.drain_per_minute.max(1)))
    }

    /// Processes one event: only now does a report become a row.
    pub(super) fn drain(&mut self) {
        if self.ns.conditions.is_stalled || self.ns.conditions.is_dispatcher_stopped {
            return;
        }
        let Some(post) = self.ns.queue.pop_front() else { return };
        let folder = if post.report.is_some() { FAST_QUEUE } else { QUEUE };
        self.ns.tree.remove(&format!(r"{folder}\{}.nse", post.id));
        self.queue_changed();
        self.ns.drained += 1;
        if let Some(report) = &post.report {
            self.record(report);
        }
        if !self.ns.queue.is_empty() {
            self.schedule(self.drain_interval(), Event::Drain);
        }
    }

    fn record(&mut self, post: &Report) {
        let current = self.ns.versions[post.package];
        let row = match post.state {
            // A package whose clean-up is under way is not reported as usable: the row stays.
            PackageState::Deleted => return,
            _ if post.has_lost_trust => {
                StatusRow { status: "Invalid".to_owned(), version: NO_TRUST.to_owned() }
            }
            PackageState::Ready if post.version != current => {
                StatusRow { status: "Invalid".to_owned(), version: post.version.to_string() }
            }
            state => StatusRow { status: state.to_string(), version: post.version.to_string() },
        };
        let is_ready = row.status == "Ready";
        self.set_row(post.server, post.package, row);
        if is_ready {
            self.publish_codebases(post.server, post.package, post.version);
        }
    }

    /// The row of a machine that lost its trust relationship.
    pub(super) fn no_trust_row() -> StatusRow {
        StatusRow { status: "Invalid".to_owned(), version: NO_TRUST.to_owned() }
    }

    pub(super) fn set_row(&mut self, server: ServerNo, package: PackageNo, row: StatusRow) {
        let server = self.fleet.servers[server].guid;
        let package = self.fleet.packages[package].guid;
        self.ns.rows.insert((server, package), row.clone());
        self.changes.push(RowChange::PackageServer { server, package, row });
    }

    /// Writes the addresses at which the Notification Server itself offers the packages.
    pub(super) fn publish_own_codebases(&mut self) {
        let ns = &self.fleet.notification_server;
        for (number, package) in self.fleet.packages.iter().enumerate() {
            if self.ns.conditions.gone.contains(&number) {
                continue;
            }
            let lower = package.guid.to_string().to_ascii_lowercase();
            self.changes.push(RowChange::Codebases {
                server: ns.guid,
                package: package.guid,
                urls: vec![format!("http://{}/Altiris/NS/Packages/{lower}/", ns.fqdn)],
                snapshot: self.ns.versions[number],
            });
        }
    }

    /// Writes the addresses of every pair whose row says Ready.
    fn publish_codebases_of_rows(&mut self) {
        for server in 0..self.fleet.servers.len() {
            let guid = self.fleet.servers[server].guid;
            for package in self.fleet.servers[server].packages.clone() {
                let row = self.ns.rows.get(&(guid, self.fleet.packages[package].guid));
                if row.is_some_and(|row| row.status == "Ready") {
                    let version = self.agents[server].holdings[&package].version;
                    self.publish_codebases(server, package, version);
                }
            }
        }
    }

    /// Writes the addresses of every package that a server has ready.
    pub(super) fn publish_codebases_of(&mut self, server: ServerNo) {
        for package in self.fleet.servers[server].packages.clone() {
            let holding = &self.agents[server].holdings[&package];
            let (state, version) = (holding.state, holding.version);
            if state == PackageState::Ready {
                self.publish_codebases(server, package, version);
            }
        }
    }

    pub(super) fn publish_codebases(
        &mut self,
        server: ServerNo,
        package: PackageNo,
        snapshot: u64,
    ) {
        let host = &self.fleet.servers[server];
        let guid = self.fleet.packages[package].guid;
        let lower = guid.to_string().to_ascii_lowercase();
        let http = format!("http://{}/Altiris/PS/Package%20Delivery/{lower}/cache/", host.fqdn);
        let file =
            format!("file://{}/PkgSvrHost/{lower}/cache/", host.short().to_ascii_uppercase());
        // A server without IIS offers its share alone.
        let has_iis = self.agents[server].conditions.has_iis;
        let urls = if has_iis { vec![http, file] } else { vec![file] };
        self.changes.push(RowChange::Codebases {
            server: host.guid,
            package: guid,
            urls,
            snapshot,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_manifest_is_not_that_of_its_xml() {
        let xml = br#"<?xml version="1.0"?><snapshot packageGuid="{A}" version="42" size="1">"#;

        assert_eq!(version_of(xml), Some(42));
        assert_eq!(version_of(b"<?xml version=\"1.0\"?>"), None);
    }
}
