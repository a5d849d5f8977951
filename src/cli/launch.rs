//! What `run`, `resume`, `undo` and `demo` share: from files to a finished run and its recap.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::args::Cli;
use super::error::{Failure, FailureKind};
use super::{environment, output, signals};
use crate::action::{self, Replay};
use crate::engine::{DriveError, Driver, DriverConfig};
use crate::event::{EventKind, Observer, RunResult, RunState};
use crate::model::RunId;
use crate::plan::ActionTraits;
use crate::report::{JsonLines, PlainLines, Screen, recap};
use crate::scheduler::Scheduler;
use crate::store::{LiveRun, StateDir};

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
    let observers = observer.into_iter().collect();
    let driver = Driver::new(config, scheduler, state, live.journal(), observers);
    let (stop, stops) = mpsc::channel(4);
    let left_at_once = async {
        signals::listen(stop).await;
    };
    let state = tokio::select! {
        state = driver.drive(opening, stops) => state.map_err(|error| drive_failure(&error))?,
        () = left_at_once => {
            return Err(Failure {
                kind: FailureKind::Stopped,
                message: "left at once; steps under way are in doubt".to_owned(),
                causes: Vec::new(),
                hint: Some(format!("fleetmend resume {run} looks at them again")),
            });
        }
    };
    live.finish(result_of(&state), wall_clock())
        .map_err(|error| Failure::internal("could not close the run's books", &error))?;
    if show == Show::People {
        output::result(&format!("\n{}", recap(&state, environment::paint_stdout())));
    }
    Ok(state)
}

/// The end of a run as the end of the program.
pub(super) fn result_of(state: &RunState) -> RunResult {
    state.result.unwrap_or(RunResult::Bug)
}

fn drive_failure(error: &DriveError) -> Failure {
    let failure = Failure::internal("the run could not go on", error);
    match error {
        DriveError::Journal(_) => failure.hint(
            "nothing is changed without a journal: free some space in the state directory, then \
             `fleetmend resume`",
        ),
        DriveError::Illegal(_) => failure
            .hint("this is a mistake in fleetmend; `fleetmend show RUN --json` has all facts"),
    }
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
