//! `fleetmend runs`: the index of runs, whether their journals are whole, and forgetting old ones.

use std::fmt::Write;

use serde_json::json;

use super::args::{Cli, PruneArgs, RunsArgs, RunsCommand};
use super::error::Failure;
use super::{environment, launch, output, past, show};
use crate::event::RunResult;
use crate::model::parse_span;
use crate::report::{clean_line, file_name};
use crate::store::{KeepRuns, RunSummary, StateDir, StateDirError, prunable};

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
        Some(RunsCommand::Prune(args)) => prune(&state_dir, &runs, args),
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
        let _infallible = writeln!(
            text,
            "{}  {}  {:<14} {:<30} {verdict}",
            run.id,
            run.started.strftime("%Y-%m-%d %H:%M"),
            mode(run),
            clean_line(file_name(&run.playbook), 30),
        );
    }
    if runs.is_empty() {
        text.push_str("no runs yet\n");
    }
    output::result(&text);
    Ok(RunResult::Done)
}

/// Whether it only looked at a fleet.
fn is_diagnosis(run: &RunSummary) -> bool {
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

/// Forgets old runs.
fn prune(
    state_dir: &StateDir,
    runs: &[RunSummary],
    args: &PruneArgs,
) -> Result<RunResult, Failure> {
    let wrong = || Failure::input(format!("could not understand --older-than {}", args.older_than));
    let span = parse_span(&args.older_than).map_err(|error| wrong().because(&error))?;
    let since = launch::wall_clock().checked_sub(span).map_err(|error| wrong().because(&error))?;
    let keep = KeepRuns { since, newest: args.keep, unfinished: !args.unfinished };
    let old = prunable(runs, keep);
    let bytes: u64 = old.iter().map(|run| state_dir.bytes(run.id)).sum();
    let mut text = String::new();
    for run in &old {
        let _infallible = writeln!(
            text,
            "{}  {}  {:<14} {}",
            run.id,
            run.started.strftime("%Y-%m-%d %H:%M"),
            mode(run),
            clean_line(file_name(&run.playbook), 30),
        );
    }
    output::result(&text);
    let sum = format!("{} of {} runs, {:.1} MiB", old.len(), runs.len(), mebibytes(bytes));
    if old.is_empty() {
        let kept =
            format!("none beyond the newest {} is older than {}", args.keep, args.older_than);
        output::talk(&format!("nothing to forget: of {} runs {kept}\n", runs.len()));
        return Ok(RunResult::Done);
    }
    if args.check {
        output::talk(&format!("{sum} would be forgotten\n"));
        return Ok(RunResult::Done);
    }
    let question =
        format!("Forget {sum}? What they moved away stays on its servers, for hands only.");
    if !args.yes && !environment::can_ask() {
        return Err(Failure::input("nobody can be asked whether runs may be forgotten")
            .hint("add --yes, or look first with --check"));
    }
    launch::confirm(&question, args.yes)?;
    for run in &old {
        state_dir.forget(run.id).map_err(|error| {
            Failure::input(format!("could not forget run {}", run.id)).because(&error)
        })?;
    }
    output::talk(&format!("{sum} are forgotten\n"));
    Ok(RunResult::Done)
}

#[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
