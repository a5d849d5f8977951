//! `fleetmend lab up`, and the lab that `demo` starts: embedded, or above 300 servers a process of
//! its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::args::{LabArgs, LabUpArgs};
use super::error::Failure;
use super::{launch, output, signals};
use crate::event::RunResult;
use crate::lab::{Broken, FaultPlan, Lab, LabConfig, LabPorts, Tally};
use crate::model::TimeScale;

/// Above this many servers the lab is a process of its own: its sockets and its work would get in
/// the way of the controller's.
const EMBEDDED: u16 = 300;
/// Sockets that one server of the lab and its share of the controller need, with room to spare.
const DESCRIPTORS_A_SERVER: u64 = 16;
/// The ports of `lab up`, so that its inventory is the same each time.
const PORTS: LabPorts = LabPorts { winrm: 15_985, smb: 14_450, sql: 11_433, http: 18_080 };
/// What a lab process writes when it can be used.
const READY: &str = "ready";
/// The longest that a lab process may take to come up.
const COME_UP: Duration = Duration::from_secs(120);

/// What a lab tells when it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LabReport {
    /// What its Notification Server counted.
    pub tally: Tally,
    /// The servers that no repair makes well.
    pub broken: Vec<Broken>,
}

/// Starts the simulated fleet and keeps it up until Ctrl-C.
pub(super) async fn up(args: &LabUpArgs) -> Result<RunResult, Failure> {
    std::fs::create_dir_all(&args.dir).map_err(|error| {
        Failure::input(format!("could not make the directory {}", args.dir.display()))
            .because(&error)
    })?;
    raise_descriptor_limit(args.lab.servers)?;
    let mut config = config(&args.lab, &args.dir)?;
    if !args.child {
        "lab.yml".clone_into(&mut config.inventory_file);
        config.keeps_inventory = true;
    }
    if !(args.child || args.any_ports) {
        config.ports = PORTS;
    }
    let lab = start(config).await?;
    if args.child {
        output::result(&format!("{READY}\n"));
        wait_for_end_of_input().await;
    } else {
        banner(args, &lab);
        signals::interrupted().await;
    }
    let report = LabReport { tally: lab.report(), broken: lab.expected_broken() };
    lab.stop().await;
    if args.child || args.tally {
        let text = serde_json::to_string(&report)
            .map_err(|error| Failure::internal("could not write the lab's report", &error))?;
        output::result(&(text + "\n"));
    }
    Ok(RunResult::Done)
}

fn banner(args: &LabUpArgs, lab: &Lab) {
    let inventory = lab.inventory().display();
    output::result(&format!(
        "A SIMULATION: {} package servers and a Notification Server, on loopback only, {} times as \
         fast as real time.\n\n  inventory    {inventory}\n  try          fleetmend run --check \
         playbooks/resync-stale-packages.yml -i {inventory}\n  repair       fleetmend run \
         playbooks/resync-stale-packages.yml -i {inventory}\n\nCtrl-C ends it.\n",
        args.lab.servers, args.lab.speed,
    ));
    for broken in lab.expected_broken() {
        output::result(&format!("  broken for good: {}: {}\n", broken.server, broken.cause));
    }
}

fn config(args: &LabArgs, directory: &Path) -> Result<LabConfig, Failure> {
    let mut config = LabConfig::new(
        u32::from(args.servers),
        args.seed,
        launch::wall_clock(),
        directory.to_owned(),
    );
    config.speed = speed(args)?;
    if let Some(path) = &args.faults {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::input(format!("could not read the faults {}", path.display())).because(&error)
        })?;
        config.faults = FaultPlan::parse(&text).map_err(|error| {
            Failure::input(format!("could not use the faults {}", path.display())).because(&error)
        })?;
    }
    Ok(config)
}

async fn start(config: LabConfig) -> Result<Lab, Failure> {
    Lab::start(config).await.map_err(|error| {
        Failure::input("could not start the lab")
            .because(&error)
            .hint("if another lab is up, end it, or take other ports with --any-ports")
    })
}

fn speed(args: &LabArgs) -> Result<TimeScale, Failure> {
    TimeScale::new(args.speed).ok_or_else(|| {
        Failure::input(format!("a lab does not run {} times as fast as real time", args.speed))
            .hint("give --speed a number from 0.01 to 10000")
    })
}

/// Makes room for the sockets of so many servers.
///
/// # Errors
///
/// The system allows fewer.
fn raise_descriptor_limit(servers: u16) -> Result<(), Failure> {
    let wanted = 512 + u64::from(servers) * DESCRIPTORS_A_SERVER;
    let allowed = rlimit::increase_nofile_limit(wanted)
        .map_err(|error| Failure::internal("could not raise the limit of open files", &error))?;
    if allowed < wanted {
        return Err(Failure::input(format!(
            "the system allows {allowed} open files; {servers} servers need {wanted}"
        ))
        .hint("raise it with `ulimit -n`, or take fewer servers"));
    }
    Ok(())
}

/// A child's standard input ends when its parent closes it, or dies.
async fn wait_for_end_of_input() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(count) if count > 0) {}
        let _gone = ended.send(());
    });
    tokio::select! {
        _ended = end => {}
        () = signals::interrupted() => {}
    }
}

/// A running lab, wherever it runs.
pub(super) enum RunningLab {
    /// In a thread of this process, on a runtime of its own.
    Embedded {
        /// Its inventory.
        inventory: PathBuf,
        /// Ends it.
        stop: oneshot::Sender<()>,
        /// Its thread, which ends with its report.
        thread: std::thread::JoinHandle<LabReport>,
    },
    /// In a process of its own.
    Process {
        /// Its inventory.
        inventory: PathBuf,
        /// The process; dropping it ends it.
        child: LabProcess,
    },
}

impl RunningLab {
    /// Starts a lab whose files are in `directory`.
    ///
    /// # Errors
    ///
    /// It could not come up.
    pub(super) fn start(args: &LabArgs, directory: &Path) -> Result<Self, Failure> {
        raise_descriptor_limit(args.servers)?;
        if args.servers > EMBEDDED {
            let child = LabProcess::start(args, directory)?;
            return Ok(Self::Process { inventory: directory.join("inventory.yml"), child });
        }
        let (came_up, coming_up) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (args, directory) = (args.clone(), directory.to_owned());
        let thread = std::thread::Builder::new()
            .name("lab".to_owned())
            .spawn(move || run_embedded(&args, &directory, &came_up, stopped))
            .map_err(|error| Failure::internal("could not start the lab's thread", &error))?;
        let inventory = coming_up
            .recv()
            .map_err(|error| Failure::internal("the lab ended before it came up", &error))??;
        Ok(Self::Embedded { inventory, stop, thread })
    }

    /// Its inventory.
    pub(super) fn inventory(&self) -> &Path {
        match self {
            Self::Embedded { inventory, .. } | Self::Process { inventory, .. } => inventory,
        }
    }

    /// Ends it and returns what it counted.
    ///
    /// # Errors
    ///
    /// It ended by itself.
    pub(super) fn stop(self) -> Result<LabReport, Failure> {
        match self {
            Self::Embedded { stop, thread, .. } => {
                let _ended_already = stop.send(());
                thread.join().map_err(|_| Failure {
                    kind: super::error::FailureKind::Internal,
                    message: "the lab panicked".to_owned(),
                    causes: Vec::new(),
                    hint: None,
                })
            }
            Self::Process { child, .. } => child.stop(),
        }
    }
}

fn run_embedded(
    args: &LabArgs,
    directory: &Path,
    came_up: &std::sync::mpsc::Sender<Result<PathBuf, Failure>>,
    stopped: oneshot::Receiver<()>,
) -> LabReport {
    let nothing = || LabReport { tally: Tally::default(), broken: Vec::new() };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::internal("could not start the lab's runtime", &error);
            let _gone = came_up.send(Err(failure));
            return nothing();
        }
    };
    runtime.block_on(async {
        let started = async { start(config(args, directory)?).await };
        let lab = match started.await {
            Ok(lab) => lab,
            Err(failure) => {
                let _gone = came_up.send(Err(failure));
                return nothing();
            }
        };
        let _gone = came_up.send(Ok(lab.inventory().to_owned()));
        // Whoever dropped the sender wants the lab to end as well.
        let _dropped = stopped.await;
        let report = LabReport { tally: lab.report(), broken: lab.expected_broken() };
        lab.stop().await;
        report
    })
}

/// `fleetmend lab up` as a child, which lives until its standard input is closed.
pub(super) struct LabProcess {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl LabProcess {
    fn start(args: &LabArgs, directory: &Path) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| {
            Failure::internal("could not start the lab as a process of its own", &error)
        };
        let program = std::env::current_exe().map_err(fail)?;
        let mut command = Command::new(program);
        command
            .args(["lab", "up", "--child"])
            .arg("--servers")
            .arg(args.servers.to_string())
            .arg("--seed")
            .arg(args.seed.to_string())
            .arg("--speed")
            .arg(args.speed.to_string())
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(faults) = &args.faults {
            command.arg("--faults").arg(faults);
        }
        // Ctrl-C is for the controller; the lab ends with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(fail)?;
        let Some(output) = child.stdout.take() else {
            return Err(fail(std::io::Error::other("it has no standard output")));
        };
        let (came_up, coming_up) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            let read = output.read_line(&mut line);
            let _gone = came_up.send(read.map(|_| (line, output)));
        });
        match coming_up.recv_timeout(COME_UP) {
            Ok(Ok((line, output))) if line.trim() == READY => Ok(Self { child, output }),
            Ok(Ok(_)) => {
                // What it said is on our standard error already.
                let _gone = child.wait();
                Err(fail(std::io::Error::other("it ended before it came up")))
            }
            Ok(Err(error)) => Err(fail(error)),
            Err(_) => {
                let _gone = child.kill();
                Err(fail(std::io::Error::other("it did not come up in time")))
            }
        }
    }

    fn stop(mut self) -> Result<LabReport, Failure> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output
            .read_to_string(&mut text)
            .map_err(|error| Failure::internal("could not hear the lab's report", &error))?;
        let _ended = self.child.wait();
        serde_json::from_str(&text)
            .map_err(|error| Failure::internal("could not read the lab's report", &error))
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
    }
}
