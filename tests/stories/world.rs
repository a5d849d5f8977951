//! A world for one story: a directory, a lab if it is wanted, and the program.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fleetmend::lab::world::FleetSpec;
use fleetmend::lab::{FaultPlan, Lab, LabConfig};
use fleetmend::model::TimeScale;
use serde_json::Value;
use tempfile::TempDir;

/// The playbook that is shipped.
pub(crate) fn resync() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/resync-stale-packages.yml")
}

/// What the program printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

/// A directory of its own, in which the program keeps its state.
pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with arguments, in an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetmend"));
        command
            .args(args)
            .env_clear()
            .env("FLEETMEND_STATE_DIR", self.dir.path().join("state"))
            .env("PATH", "/usr/bin:/bin")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        command
    }

    /// Writes a file into its directory, and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.command(args).output().expect("the program runs"))
    }

    /// Runs the program with `--json` and returns its events.
    pub(crate) fn events(&self, args: &[&str]) -> (Vec<Value>, Ended) {
        let ended = self.run(args);
        (parse_events(&ended.stdout), ended)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

pub(crate) fn parse_events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The value of a key as text.
pub(crate) fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A lab on a runtime of its own, with few servers and a fast world.
pub(crate) struct SmallLab {
    pub lab: Option<Lab>,
    runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

impl SmallLab {
    /// `network` keeps labs of tests that run at the same time apart: 127.(100 + network).0.1.
    pub(crate) fn start(servers: u32, seed: u64, speed: f64, faults: &str, network: u8) -> Self {
        let first_address = std::net::Ipv4Addr::new(127, 100 + network, 0, 1);
        Self::start_at(servers, seed, speed, faults, first_address)
    }

    pub(crate) fn start_at(
        servers: u32,
        seed: u64,
        speed: f64,
        faults: &str,
        first_address: std::net::Ipv4Addr,
    ) -> Self {
        let started = "2026-05-16T20:00:00Z".parse().expect("a time");
        Self::of_fleet(FleetSpec::new(servers, seed, started), speed, faults, first_address)
    }

    pub(crate) fn of_fleet(
        fleet: FleetSpec,
        speed: f64,
        faults: &str,
        first_address: std::net::Ipv4Addr,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let usual = LabConfig::new(fleet.servers, fleet.seed, fleet.started, dir.path().to_owned());
        let config = LabConfig {
            fleet,
            faults: FaultPlan::parse(faults).expect("faults"),
            speed: TimeScale::new(speed).expect("a speed"),
            first_address,
            ..usual
        };
        let lab = runtime.block_on(Lab::start(config)).expect("the lab starts");
        Self { lab: Some(lab), runtime, _dir: dir }
    }

    pub(crate) fn lab(&self) -> &Lab {
        self.lab.as_ref().expect("the lab runs")
    }

    pub(crate) fn inventory(&self) -> String {
        self.lab().inventory().display().to_string()
    }
}

impl Drop for SmallLab {
    fn drop(&mut self) {
        if let Some(lab) = self.lab.take() {
            self.runtime.block_on(lab.stop());
        }
    }
}

/// The program under way, read event by event.
pub(crate) struct UnderWay {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl UnderWay {
    /// A run of a playbook, which tells its events.
    pub(crate) fn run(world: &World, playbook: &str, inventory: &str) -> Self {
        Self::start(world.command(&["run", "--yes", "--json", playbook, "-i", inventory]))
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// Reads up to `count` events; fewer when it ended before.
    pub(crate) fn read(&mut self, count: usize) -> Vec<Value> {
        self.lines
            .by_ref()
            .take(count)
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads up to the event after which this holds for all that were read, which are returned.
    pub(crate) fn read_until(&mut self, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        while !holds(&seen) {
            let next = self.read(1);
            assert!(!next.is_empty(), "it ended early: {seen:#?}");
            seen.extend(next);
        }
        seen
    }

    /// Reads to the end, and tells how it ended.
    pub(crate) fn wait(mut self) -> (Vec<Value>, Option<i32>) {
        let rest = self.read(usize::MAX);
        (rest, self.child.wait().expect("it ended").code())
    }

    /// As a power cut does it: no word of warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ended");
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // A story that failed leaves nothing behind; in the others it has ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
