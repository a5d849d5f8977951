//! `fleetmend runs`: the index of runs, and whether their journals are whole.

use std::fmt::Write;

use serde_json::json;

use super::args::{Cli, RunsArgs, RunsCommand};
use super::error::Failure;
use super::{launch, output, past, prune, show};
use crate::event::RunResult;
use crate::report::{clean_line, file_name};
use crate::store::{RunSummary, StateDir, StateDirError};

/// Lists the runs, verifies or prunes them.
pub(super) fn runs(cli: &Cli, args: &RunsArgs) -> Result<RunResult, Failure> {
    if let Some(RunsCommand::Show(args)) = &args.command {
        return show::show(cli, args);
    }
    let state_dir = launch::state_dir(cli)?;
    let runs = state_dir
        .runs()
        .map_err(|error| Failure::input("could not list the runs").because(&error))?;
    match &args.command {
        None | Some(RunsCommand::Show(_)) => list(&runs, args.json),
        Some(RunsCommand::Verify { runs: wanted }) => verify(&state_dir, &runs, wanted),
        Some(RunsCommand::Prune(args)) => prune::prune(&state_dir, &runs, args),
    }
}

/// Lists the runs, the newest first.
fn list(runs: &[RunSummary], as_json: bool) -> Result<RunResult, Failure> {
    if as_json {
        let list: Vec<_> = runs
            .iter()
            .map(|run| {
                json!({
                    "run": run.id.full(), "started": run.started, "mode": mode(run),
                    "playbook": run.playbook, "inventory": run.inventory,
                    "result": run.result, "finished": run.finished, "is_alive": run.is_alive,
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&list)
            .map_err(|error| Failure::internal("could not write the runs as JSON", &error))?;
        output::result(&(text + "\n"));
        return Ok(RunResult::Done);
    }
    let mut text = String::new();
    for run in runs {
        let verdict = match (run.result, run.is_alive) {
            (Some(result), _) if is_diagnosis(run) => seen(result).to_owned(),
            (Some(result), _) => result.phrase().to_owned(),
            (None, true) => "under way".to_owned(),
            (None, false) => format!("was cut off: {}", advice(run)),
        };
        let _infallible = writeln!(text, "{} {verdict}", row(run));
    }
    if runs.is_empty() {
        text.push_str("no runs yet\n");
    }
    output::result(&text);
    Ok(RunResult::Done)
}

/// A run in the columns of a list: what it is called, when it began, what it was for, and with what.
pub(super) fn row(run: &RunSummary) -> String {
    format!(
        "{}  {}  {:<14} {:<30}",
        run.id,
        run.started.strftime("%Y-%m-%d %H:%M"),
        mode(run),
        clean_line(file_name(&run.playbook), 30),
    )
}

/// Whether it only looked at a fleet.
pub(super) fn is_diagnosis(run: &RunSummary) -> bool {
    run.playbook == super::diagnose::PLAYBOOK_NAME
}

/// What a run was for, in a word.
fn mode(run: &RunSummary) -> &str {
    if is_diagnosis(run) { "diagnose" } else { &run.mode }
}

/// How far a diagnosis got. What it found is no matter of its journal: a server that is not well was
/// looked at as well as one that is.
fn seen(result: RunResult) -> &'static str {
    match result {
        RunResult::Done => "every host was looked at",
        RunResult::UnreachableOnly => "looked at, but for hosts that could not be reached",
        RunResult::SomeFailed => "looked at, but for hosts that did not answer",
        RunResult::BudgetTripped => "stopped: a logon was rejected, or no host answered",
        RunResult::Stopped
        | RunResult::Bug
        | RunResult::WindowClosed
        | RunResult::Unconfirmed
        | RunResult::OracleNotSatisfied => result.phrase(),
    }
}

/// How to go on with a run that was cut off. One that takes another back is begun anew: what is back
/// is left alone.
fn advice(run: &RunSummary) -> String {
    match run.mode.strip_prefix(StateDir::UNDO_OF) {
        Some(of) => format!("fleetmend undo {of}"),
        None if is_diagnosis(run) => {
            format!("fleetmend diagnose -i {}", clean_line(&run.inventory, 300))
        }
        None => format!("fleetmend resume {}", run.id),
    }
}

/// Proves that journals are what was written.
fn verify(
    state_dir: &StateDir,
    runs: &[RunSummary],
    wanted: &[String],
) -> Result<RunResult, Failure> {
    let mut chosen = Vec::new();
    for prefix in wanted {
        chosen.push(past::find_id(state_dir, prefix)?);
    }
    let is_chosen = |run: &&RunSummary| chosen.is_empty() || chosen.contains(&run.id);
    let (mut wrong, mut all) = (0, 0);
    for run in runs.iter().filter(is_chosen) {
        all += 1;
        let said = match state_dir.verify(run.id, run.result) {
            Ok(verified) => match verified.wrong {
                None => format!("{} events, whole", verified.events),
                Some(what) => {
                    wrong += 1;
                    format!("NOT WHOLE after {} events: {what}", verified.events)
                }
            },
            Err(error) => {
                wrong += 1;
                format!("NOT READABLE: {}", chain(&error))
            }
        };
        output::result(&format!("{}  {}\n", run.id, clean_line(&said, 300)));
    }
    if all == 0 {
        output::result("no runs yet\n");
    }
    if wrong == 0 {
        return Ok(RunResult::Done);
    }
    Err(Failure::input(format!("{wrong} of {all} journals are not what was written")).hint(
        "something else than fleetmend changed them, or the disk is failing; what is before the \
         damage is read by SQLite. `resume` and `undo` refuse such a run",
    ))
}

/// An error and its causes on one line.
fn chain(error: &StateDirError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
