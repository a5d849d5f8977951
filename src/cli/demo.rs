//! `fleetmend demo`: a simulated fleet, what is wrong with it, its repair, and the CMDB's verdict.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::approvals::Approvals;
use super::args::{Cli, DemoArgs};
use super::error::Failure;
use super::lab::{LabReport, RunningLab};
use super::launch::{self, Show};
use super::run::{self, RunRequest};
use super::{environment, files, fleet, output, rejections};
use crate::event::{RunResult, RunState};
use crate::host::{Session, SessionConfig, not_ready_packages};
use crate::lab::{Broken, Cause};
use crate::model::{LimitName, Limits, RunId, TagChoice, Vars, WorkRow};
use crate::report::{Paint, clean_line};
use crate::store::StateDir;
use crate::transport::Deadline;

/// The playbook that the demo runs, as it is shipped.
const PLAYBOOK: &str = include_str!("../../playbooks/resync-stale-packages.yml");
const PLAYBOOK_NAME: &str = "resync-stale-packages.yml";

/// One repair of a fresh fleet.
struct Repair {
    state: RunState,
    report: LabReport,
}

/// Runs the demo.
pub(super) async fn demo(cli: &Cli, args: &DemoArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::writable_state_dir(cli)?;
    let paint = environment::paint_stdout();
    if args.compare {
        let title = "1 of 2: with the default limits\n\n";
        output::result(&paint.strong(title));
        let with = repair(&state_dir, args, false).await?;
        output::result(&paint.strong("\n2 of 2: with the limit on requests lifted\n\n"));
        let without = repair(&state_dir, args, true).await?;
        output::result(&comparison(&with, &without, paint));
        return Ok(launch::result_of(&with.state));
    }
    let repair = repair(&state_dir, args, args.lift_limit).await?;
    if !args.json {
        output::result(&epilogue(&repair, paint));
    }
    Ok(launch::result_of(&repair.state))
}

/// Starts a fleet, shows it, repairs it and ends it.
async fn repair(
    state_dir: &StateDir,
    args: &DemoArgs,
    lift_limit: bool,
) -> Result<Repair, Failure> {
    let folder = Folder::new()?;
    let lab = RunningLab::start(&args.lab, &folder.0)?;
    let repaired = repair_in(&lab, &folder, state_dir, args, lift_limit).await;
    let report = lab.stop()?;
    Ok(Repair { state: repaired?, report })
}

async fn repair_in(
    lab: &RunningLab,
    folder: &Folder,
    state_dir: &StateDir,
    args: &DemoArgs,
    lift_limit: bool,
) -> Result<RunState, Failure> {
    let inventory = files::inventory(lab.inventory())?;
    if !args.json {
        let rows = ask_cmdb(state_dir, lab.inventory()).await?;
        output::result(&prologue(args, &rows, environment::paint_stdout()));
    }
    let playbook = folder.0.join(PLAYBOOK_NAME);
    std::fs::write(&playbook, PLAYBOOK)
        .map_err(|error| Failure::internal("could not write the demo's playbook", &error))?;
    let mut limits: Limits = inventory.loaded.settings.limits.clone();
    if lift_limit {
        limits.0.shift_remove(&LimitName::new(LimitName::NS_IIS));
    }
    let request = RunRequest {
        window: None,
        playbook: files::playbook(&playbook, Some(&inventory))?,
        inventory,
        is_check: false,
        limit: None,
        extra_vars: Vars::new(),
        tags: TagChoice::default(),
        approvals: Approvals::none(),
        seed: args.lab.seed,
        limits,
        show: if args.json { Show::Json } else { Show::People },
        reads_only: false,
    };
    run::start(state_dir, request).await
}

/// The pairs that are not well, as the CMDB says before anything is done.
async fn ask_cmdb(state_dir: &StateDir, inventory: &Path) -> Result<Vec<WorkRow>, Failure> {
    let file = files::inventory(inventory)?;
    let fleet = fleet::fleet(&file, |host| host.vars.contains_key("cmdb"))?;
    let asked = fleet.hosts.values().find(|host| host.vars.contains_key("cmdb"));
    let Some(host) = asked else { return Ok(Vec::new()) };
    let connector = rejections::connector(state_dir, &fleet, &file.path)?;
    let endpoints = fleet.endpoints.get(&host.name).cloned().unwrap_or_default();
    let session = Session::new(SessionConfig {
        run: RunId::new(uuid::Uuid::nil()),
        host: host.clone(),
        work: Arc::from([]),
        scale: file.loaded.settings.time_scale,
        winrm: None,
        smb: None,
        cmdb: endpoints.cmdb,
        connector,
    });
    let deadline = Deadline::after(Duration::from_secs(30));
    let mut rows = not_ready_packages(&session.reader(deadline, Arc::from([]))).await;
    if rows.is_err() {
        // One of the lab's faults is a deadlock, which ends one statement.
        rows = not_ready_packages(&session.reader(deadline, Arc::from([]))).await;
    }
    session.close().await;
    rows.map_err(|failure| {
        let mut error = Failure::input("could not ask the lab's CMDB");
        error.causes.push(failure.to_string());
        error
    })
}

fn prologue(args: &DemoArgs, rows: &[WorkRow], paint: Paint) -> String {
    let mut text = format!(
        "A SIMULATION on loopback: a Notification Server, its CMDB, {} package servers\n(seed {}, \
         {} times as fast as real time). fleetmend talks to it over WinRM, SMB\nand SQL, as to a \
         real fleet.\n\n",
        args.lab.servers, args.lab.seed, args.lab.speed,
    );
    let servers: IndexMap<_, ()> = rows.iter().map(|row| (row.server.guid, ())).collect();
    let _infallible = writeln!(
        text,
        "{}",
        paint.strong(&format!(
            "The CMDB says: {} pairs of server and package on {} servers are not well",
            rows.len(),
            servers.len()
        ))
    );
    let mut packages: IndexMap<&str, IndexMap<&str, usize>> = IndexMap::new();
    for row in rows {
        let name = row.package_name.as_deref().unwrap_or("(a package without a name)");
        let status = if row.status == "Ready" { "Ready, but drifted" } else { &row.status };
        *packages.entry(name).or_default().entry(status).or_default() += 1;
    }
    packages.sort_by_cached_key(|name, counts| {
        (std::cmp::Reverse(counts.values().sum::<usize>()), (*name).to_owned())
    });
    for (name, counts) in &packages {
        let told: Vec<String> =
            counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let _infallible =
            writeln!(text, "  {:<34} {}", clean_line(name, 34), clean_line(&told.join(", "), 60));
    }
    text.push('\n');
    text
}

fn epilogue(repair: &Repair, paint: Paint) -> String {
    let mut text =
        format!("\n{}\n", paint.strong("What the lab counted at its Notification Server"));
    let tally = &repair.report.tally;
    for cause in
        [Cause::ConfigUpdate, Cause::PackageInfo, Cause::SnapshotDownload, Cause::StatusPost]
    {
        let _infallible = writeln!(text, "  {:<22} {:>6}", cause.to_string(), tally.of(cause));
    }
    let booked = booked(&repair.state);
    let _infallible = writeln!(
        text,
        "  {:<22} {:>6}   fleetmend booked {booked} ({})\n  {:<22} {:>6}\n  {:<22} {:>6} in a \
         minute of its world",
        "caused by the run",
        tally.asked(),
        difference(booked, tally.asked()),
        "answered with 503",
        tally.refused,
        "at most",
        tally.peak_per_minute,
    );
    text.push_str(&left(&repair.report.broken, &repair.state, paint));
    text
}

/// Compares the servers that are left with those that the fault file breaks for good.
fn left(broken: &[Broken], state: &RunState, paint: Paint) -> String {
    let mut left: Vec<&str> = state
        .plays
        .values()
        .filter_map(|play| play.oracle.as_ref())
        .flat_map(|report| &report.not_ready)
        .map(|row| row.host.as_str())
        .collect();
    left.sort_unstable();
    left.dedup();
    let mut text =
        format!("\n{}\n", paint.strong("Broken for good, as the lab's fault file has it"));
    for server in broken {
        let found = left.contains(&server.server.as_str());
        let verdict = if found { paint.good("named above") } else { paint.bad("not found") };
        let _infallible = writeln!(
            text,
            "  {:<26} {:<44} {verdict}",
            server.server,
            clean_line(&server.cause.to_string(), 44)
        );
    }
    for host in &left {
        if !broken.iter().any(|server| server.server == *host) {
            let _infallible = writeln!(text, "  {host:<26} {}", paint.bad("is left without need"));
        }
    }
    text
}

fn booked(state: &RunState) -> u64 {
    state.booked.get(LimitName::NS_IIS).copied().unwrap_or(0)
}

/// How far what was booked is from what was counted.
fn difference(booked: u64, counted: u64) -> String {
    if counted == 0 {
        return "nothing was counted".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "request counts are far below 2^52")]
    let share = (booked as f64 - counted as f64) / counted as f64 * 100.0;
    format!("{share:+.1} %")
}

fn comparison(with: &Repair, without: &Repair, paint: Paint) -> String {
    let mut text = format!(
        "\n{}\n  {:<34} {:>16} {:>16}\n",
        paint.strong("The same repair with and without the limit on requests"),
        "",
        "default limits",
        "limit lifted"
    );
    let mut row = |what: &str, value: &dyn Fn(&Repair) -> String| {
        let _infallible = writeln!(text, "  {what:<34} {:>16} {:>16}", value(with), value(without));
    };
    let oracle = |repair: &Repair| {
        let reports = repair.state.plays.values().filter_map(|play| play.oracle.as_ref());
        let (ready, of) = reports.fold((0, 0), |(ready, of), r| (ready + r.ready, of + r.of));
        format!("{ready} of {of}")
    };
    row("answered with 503", &|r| r.report.tally.refused.to_string());
    row("most requests in a world's minute", &|r| r.report.tally.peak_per_minute.to_string());
    row("requests caused", &|r| r.report.tally.asked().to_string());
    row("requests booked", &|r| booked(&r.state).to_string());
    row("most events waiting in the queue", &|r| r.report.tally.queue_peak.to_string());
    row("pairs Ready", &oracle);
    row("took", &|r| crate::model::format_span(r.state.elapsed.as_duration()));
    row("ended", &|r| launch::result_of(&r.state).exit_code().to_string());
    text
}

/// A folder of the demo's own, for its owner alone; it goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = format!("fleetmend-demo-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&path)
            .map_err(|error| Failure::internal("could not make a folder for the lab", &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is lost when it stays: it holds an inventory of a fleet that is gone.
        let _stays = std::fs::remove_dir_all(&self.0);
    }
}
