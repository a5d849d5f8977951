//! What `run`, `resume`, `undo` and `demo` share: from files to a finished run and its recap.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::args::Cli;
use super::error::{Failure, FailureKind};
use super::{environment, keyboard, output, signals};
use crate::action::{self, Replay};
use crate::engine::{self, DriveError, Driver, DriverConfig, Unrecorded};
use crate::event::{Event, EventKind, Gauge, JournalError, Observer, RunResult, RunState};
use crate::load::{CmdbSettings, HostSettings};
use crate::model::{Inventory, Now, RunId};
use crate::plan::ActionTraits;
use crate::report::{JsonLines, PlainLines, Screen, clean_line, journal_trouble, recap};
use crate::scheduler::Scheduler;
use crate::store::{LiveRun, StateDir, StateDirError};

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// A live screen at a terminal, else plain lines, then the recap.
    People,
    /// NDJSON on standard output and nothing else there.
    Json,
    /// A live screen at a terminal, else nothing, and no recap: the command has its own report.
    Beside,
}

/// The runs of a state directory that have not ended, but for this one.
///
/// # Errors
///
/// The index of runs cannot be read.
pub(super) fn unfinished(state_dir: &StateDir, but: RunId) -> Result<Arc<[RunId]>, Failure> {
    let runs = state_dir
        .runs()
        .map_err(|error| Failure::internal("could not read the index of runs", &error))?;
    let open = runs.iter().filter(|run| run.result.is_none() && run.id != but);
    Ok(open.map(|run| run.id).collect())
}

/// Opens the state directory.
///
/// # Errors
///
/// There is none, it cannot be made, or it is on a network.
pub(super) fn state_dir(cli: &Cli) -> Result<StateDir, Failure> {
    let path: PathBuf =
        cli.state_dir.clone().or_else(environment::state_directory).ok_or_else(|| {
            Failure::input("could not find a directory to keep runs in")
                .hint("give one with --state-dir or FLEETMEND_STATE_DIR")
        })?;
    StateDir::open(&path).map_err(|error| {
        Failure::input(format!("could not open the state directory {}", path.display()))
            .because(&error)
            .hint("give another one with --state-dir or FLEETMEND_STATE_DIR")
    })
}

/// Opens the state directory for a run, and sees that it can be written: before any connection, so
/// that nothing is asked of hosts in vain.
///
/// # Errors
///
/// As [`state_dir`], and it is read-only or full.
pub(super) fn writable_state_dir(cli: &Cli) -> Result<StateDir, Failure> {
    let dir = state_dir(cli)?;
    dir.expect_writable().map_err(|error| {
        Failure::input("nothing is run without a journal").because(&error).hint(
            "free some space there, or give another directory with --state-dir or \
             FLEETMEND_STATE_DIR",
        )
    })?;
    Ok(dir)
}

/// What the planner must know of an action.
pub(super) fn action_traits(name: &str) -> ActionTraits {
    action::find(name).map_or(
        ActionTraits::of_host(std::time::Duration::from_secs(600), false),
        |action| ActionTraits {
            within: action.within(),
            replay_is_safe: action.replay() == Replay::Safe,
            is_once: action.is_once(),
            is_idle: action.is_idle(),
        },
    )
}

/// The wall clock, for the index of runs.
#[expect(clippy::disallowed_methods, reason = "the edge of the program; runs have their own clock")]
pub(super) fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A 64-bit seed from the system.
///
/// # Errors
///
/// The system has no randomness.
pub(super) fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::internal("could not get random bytes from the system", &error))?;
    Ok(u64::from_le_bytes(bytes))
}

/// All that a drive needs.
pub(super) struct Launch {
    /// What the driver is given.
    pub config: DriverConfig,
    /// The scheduler, with the draft.
    pub scheduler: Scheduler,
    /// The run so far.
    pub state: RunState,
    /// Its journal and its hold on the hosts.
    pub live: LiveRun,
    /// The next event.
    pub opening: EventKind,
    /// How it is shown.
    pub show: Show,
}

/// Drives a run to its end and prints the recap. Ctrl-C drains, then cancels, then leaves.
///
/// # Errors
///
/// The journal failed, or the operator left at once.
pub(super) async fn drive(launch: Launch) -> Result<RunState, Failure> {
    let Launch { config, scheduler, state, live, opening, show } = launch;
    let run = config.run;
    let observer: Option<Box<dyn Observer>> = match show {
        Show::Json => Some(Box::new(JsonLines::new(std::io::stdout()))),
        Show::People | Show::Beside if environment::has_screen() => {
            Some(Box::new(Screen::new(environment::paint_stderr(), Box::new(environment::columns))))
        }
        Show::People => Some(Box::new(PlainLines::new(std::io::stdout()))),
        Show::Beside => None,
    };
    let mut observers: Vec<Box<dyn Observer>> = observer.into_iter().collect();
    let shows_trouble = show == Show::People || (show == Show::Beside && environment::has_screen());
    if !shows_trouble {
        observers.push(Box::new(TroubleOnly));
    }
    let limits = live
        .limits(engine::boot_moment)
        .map_err(|error| Failure::internal("could not use the limits of all runs", &error))?;
    let servers = notification_servers(&config.inventory);
    let driver = Driver::new(config, scheduler, state, live.journal(), observers)
        .sharing(servers, Arc::new(limits));
    let (stop, stops) = mpsc::channel(4);
    let left_at_once = async {
        signals::listen(stop).await;
    };
    let state = tokio::select! {
        state = driver.drive(opening, stops) => state.map_err(|error| drive_failure(run, &error))?,
        () = left_at_once => {
            return Err(Failure {
                kind: FailureKind::Stopped,
                message: "left at once; steps under way are in doubt".to_owned(),
                causes: Vec::new(),
                hint: Some(format!("fleetmend resume {run} looks at them again")),
            });
        }
    };
    let closed = live.finish(result_of(&state), wall_clock());
    // What became of the hosts is told whatever becomes of the index of runs.
    if show == Show::People {
        output::result(&format!("\n{}", recap(&state, environment::paint_stdout())));
    }
    closed.map_err(|error| books_open(run, result_of(&state), &error))?;
    Ok(state)
}

/// The run ended and the index of runs does not say so.
fn books_open(run: RunId, result: RunResult, error: &StateDirError) -> Failure {
    let (phrase, code) = (result.phrase(), result.exit_code());
    Failure::internal("could not close the run's books", error).hint(format!(
        "the run itself ended: {phrase} (exit code {code}). Its journal has all of it: `fleetmend \
         show {run}`; the index of runs takes it for one that was cut off"
    ))
}

/// What limits are shared by: the Notification Servers of an inventory, each known by where its CMDB
/// is. Runs with none share theirs with each other: nobody can say that they load different ones.
fn notification_servers(inventory: &Inventory) -> Vec<String> {
    let servers = inventory.hosts().filter_map(|host| HostSettings::of(&host).ok()?.cmdb);
    let text = |cmdb: CmdbSettings| {
        let server = cmdb.server.trim_end_matches('.').to_lowercase();
        format!("{server}:{}/{}", cmdb.port, cmdb.database.to_lowercase())
    };
    let servers: BTreeSet<String> = servers.map(text).collect();
    if servers.is_empty() { vec!["unknown".to_owned()] } else { servers.into_iter().collect() }
}

/// The end of a run as the end of the program.
pub(super) fn result_of(state: &RunState) -> RunResult {
    state.result.unwrap_or(RunResult::Bug)
}

/// Says on standard error that the journal failed, where nothing else tells it.
struct TroubleOnly;

impl Observer for TroubleOnly {
    fn observe(&mut self, _event: &Event, _state: &RunState) {}

    fn tick(&mut self, _now: Now, _gauge: &Gauge, _state: &RunState) {}

    fn journal_failed(&mut self, _now: Now, error: &JournalError, under_way: usize) {
        output::talk(&format!("{}\n", journal_trouble(error, under_way)));
    }
}

fn drive_failure(run: RunId, error: &DriveError) -> Failure {
    let failure = Failure::internal("the run could not go on", error);
    match error {
        DriveError::Journal { unrecorded, .. } => {
            output::talk(&told(unrecorded));
            failure.hint(format!(
                "nothing is changed without a journal: see to the state directory (is its disk \
                 full?), then `fleetmend resume {run}`"
            ))
        }
        DriveError::Illegal(_) => failure
            .hint("this is a mistake in fleetmend; `fleetmend show RUN --json` has all facts"),
    }
}

/// Changes whose end the journal does not hold, each in a line; what hosts said cannot steer the
/// terminal.
fn told(unrecorded: &[Unrecorded]) -> String {
    if unrecorded.is_empty() {
        return String::new();
    }
    let mut text =
        "these changes ended unrecorded; a resume looks at each of them again:\n".to_owned();
    for Unrecorded { step, on, task, outcome, told } in unrecorded {
        let host = on.as_ref().unwrap_or(&step.host).as_str();
        let task = clean_line(task, 80);
        let told = told.as_deref().map(|told| format!(": {}", clean_line(told, 200)));
        let told = told.unwrap_or_default();
        text.push_str(&format!("  {}  {task}  {outcome}{told}\n", clean_line(host, 80)));
    }
    text
}

/// Sees that somebody can say whether hosts may be changed: before any connection, so that nothing
/// is asked for in vain.
///
/// # Errors
///
/// Nobody is there, and `--yes` was not given.
pub(super) fn expect_someone(yes: bool) -> Result<(), Failure> {
    if yes || environment::can_ask() {
        return Ok(());
    }
    Err(Failure::input("nobody can be asked whether hosts may be changed")
        .hint("add --yes, or look first with --check"))
}

/// Asks the operator, at a terminal, before hosts are changed.
///
/// # Errors
///
/// He says no, or cannot be asked.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    expect_someone(yes)?;
    if yes {
        return Ok(());
    }
    keyboard::forget();
    output::talk(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::internal("could not read the terminal", &error))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure {
            kind: FailureKind::Stopped,
            message: "nothing was changed".to_owned(),
            causes: Vec::new(),
            hint: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostName, Outcome, PlayNo, StepId, TaskId};

    #[test]
    fn a_change_that_ended_unrecorded_is_told_in_one_harmless_line() {
        let task = TaskId { play: PlayNo(0), task: 0 };
        let unrecorded = Unrecorded {
            step: StepId { task, host: HostName::new("ps-1") },
            on: None,
            task: "Move the files".to_owned(),
            outcome: Outcome::Changed,
            told: Some("moved\n3 \u{1b}[2J files".to_owned()),
        };

        let text = told(&[unrecorded]);

        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(text.contains("  ps-1  Move the files  changed: moved"), "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(told(&[]), "");
    }
}
