//! What the whole engine costs against hosts that answer at once: driver, scheduler, sessions, the
//! verbs' reading and deciding, and the journal on disk. 6 tasks on each host; each asks the host
//! for a service over a shell that answers without a network.
//!
//! Processor time is that of the whole process (`/proc/self/stat`), journal thread included; memory
//! is the growth of the process (`VmHWM`) between a small and a large fleet, for each host more. The
//! promises are 0.3 ms for each step of a host, and 64 KiB for each host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetmend::engine::{Driver, DriverConfig, Endpoints, NobodyThere, Orders};
use fleetmend::event::{
    EventKind, PlayHeader, RunMode, RunResult, RunStarted, RunState, TaskHeader,
};
use fleetmend::load::{load_inventory, load_playbook};
use fleetmend::model::{Credential, Host, HostName, RunId, TagChoice, TimeScale, Vars};
use fleetmend::plan::{ActionTraits, Delegates, Draft, DraftRequest};
use fleetmend::scheduler::Scheduler;
use fleetmend::secret::Secret;
use fleetmend::store::RunJournal;
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, ReadScript, ReadShell, ReadSql,
    Target, TransportError, TransportErrorKind,
};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const TASKS: usize = 6;
/// Fleets in the order in which they are measured: memory only ever grows.
const FLEETS: [usize; 2] = [200, 4000];

/// A host on which every service runs.
struct Willing;

#[async_trait]
impl ReadShell for Willing {
    async fn read(&self, _: &ReadScript, _: &Value, _: Deadline) -> Result<Value, TransportError> {
        Ok(json!({
            "found": true, "name": "AeXNSClient", "display_name": "Altiris Agent",
            "state": "Running", "start_mode": "Auto", "delayed": false,
            "account": "LocalSystem", "dependents": [],
        }))
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for Willing {
    fn as_read(&self) -> &dyn ReadShell {
        self
    }

    async fn change(
        &self,
        _: &ChangeScript,
        _: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        Ok(Value::Null)
    }
}

struct NoNetwork;

fn refused() -> TransportError {
    TransportError::new(TransportErrorKind::Refused, "there is only a shell")
}

#[async_trait]
impl Connector for NoNetwork {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(Willing))
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Err(refused())
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(refused())
    }
}

fn endpoint(name: &HostName) -> (HostName, Endpoints) {
    let password = Secret::new("password".to_owned());
    let target = Target {
        host: name.clone(),
        address: "192.0.2.1".to_owned(),
        port: 5985,
        credential: Credential { user: "CORP\\admin".to_owned(), password },
        option: None,
    };
    (name.clone(), Endpoints { winrm: Some(target), ..Endpoints::default() })
}

/// A run over a fleet, ready to be driven.
fn prepare(hosts: usize, journal: Arc<RunJournal>) -> (Driver, EventKind) {
    let inventory = format!(
        "all:\n  vars: {{ credential: fleet-admin, site: LON }}\n  hosts:\n    ps-[00001:{hosts:05}].corp.example:\n"
    );
    let loaded = load_inventory("inventory.yml", &inventory).expect("an inventory");
    let task = "    - service: { name: AeXNSClient }\n";
    let text = format!(
        "- hosts: all\n  max_fail_percentage: 5\n  throttle: 60\n  tasks:\n{}",
        task.repeat(TASKS)
    );
    let registry = fleetmend::action::registry();
    let playbook =
        load_playbook("p.yml", &text, registry, Some(&loaded)).expect("a playbook").playbook;
    let limits = loaded.settings.limits.clone();
    let draft = Draft::new(
        &DraftRequest {
            playbook: &playbook,
            inventory: &loaded.inventory,
            inventory_sha256: "",
            limit: None,
            limits: &limits,
            window: None,
            tags: &TagChoice::default(),
            delegates: &Delegates::default(),
            mode: RunMode::Run,
            seed: 1,
            scale: TimeScale::REAL,
        },
        &|_| ActionTraits::of_host(Duration::from_secs(60), true),
    );
    let header = RunStarted {
        seed: 1,
        limits,
        plays: vec![PlayHeader {
            name: "Services".to_owned(),
            tasks: vec![TaskHeader::new("service", "service"); TASKS],
        }],
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(1)))
    };
    let all: IndexMap<HostName, Host> =
        loaded.inventory.hosts().map(|host| (host.name.clone(), host)).collect();
    let config = DriverConfig {
        run: header.run,
        endpoints: all.keys().map(endpoint).collect(),
        orders: Orders::Playbook(Arc::new(playbook)),
        is_check: false,
        scale: TimeScale::REAL,
        inventory: loaded.inventory,
        hosts: all,
        limit: None,
        extra_vars: Vars::default(),
        operator: Arc::new(NobodyThere),
        unfinished: Arc::from([]),
        connector: Arc::new(NoNetwork),
    };
    let driver =
        Driver::new(config, Scheduler::new(draft), RunState::default(), journal, Vec::new());
    (driver, EventKind::RunStarted(Box::new(header)))
}

/// Drives a run over a fleet; returns the seconds of processor time that it took.
fn run(runtime: &tokio::runtime::Runtime, hosts: usize) -> f64 {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::tempdir_in(folder).expect("a directory");
    let journal = RunJournal::create(&dir.path().join("run.db")).expect("a journal");
    let (driver, opening) = prepare(hosts, Arc::new(journal));
    let (_stop, stops) = mpsc::channel(1);
    let from = processor_time();
    let state = runtime.block_on(driver.drive(opening, stops)).expect("it is recorded");
    let took = processor_time() - from;
    assert_eq!(state.result, Some(RunResult::Done));
    assert_eq!(state.steps().count(), hosts * TASKS);
    took
}

/// Seconds of processor time of this process: the fields `utime` and `stime`, in hundredths.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks: f64 =
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

/// The most memory that this process ever had, in KiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench tells what it found")]
fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut before: Option<(usize, f64)> = None;
    for hosts in FLEETS {
        let times: Vec<f64> = (0..5).map(|_| run(&runtime, hosts)).collect();
        let mut each: Vec<f64> =
            times.iter().map(|took| took * 1000.0 / (hosts * TASKS) as f64).collect();
        each.sort_by(f64::total_cmp);
        println!(
            "{hosts} hosts: {:.3} ms of processor time for each step of a host (median of 5; {:.3} to {:.3})",
            each[2], each[0], each[4]
        );
        let now = memory();
        if let Some((fewer, less)) = before {
            let more = (now - less) / (hosts - fewer) as f64;
            println!(
                "{more:.1} KiB of memory for each host ({less} KiB with {fewer}, {now} KiB with {hosts})"
            );
        }
        before = Some((hosts, now));
    }
}
