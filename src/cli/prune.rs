//! `fleetmend runs prune`: forgets old runs, and sees which of them are still of use.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::args::PruneArgs;
use super::error::Failure;
use super::runs::{is_diagnosis, row};
use super::{environment, launch, output, past};
use crate::event::RunResult;
use crate::model::{RunId, parse_span};
use crate::plan::{UndoRun, wholly_taken_back};
use crate::report::clean_line;
use crate::store::{KeepRuns, RunSummary, StateDir, prunable};

/// Forgets old runs.
pub(super) fn prune(
    state_dir: &StateDir,
    runs: &[RunSummary],
    args: &PruneArgs,
) -> Result<RunResult, Failure> {
    let wrong = || Failure::input(format!("could not understand --older-than {}", args.older_than));
    let span = parse_span(&args.older_than).map_err(|error| wrong().because(&error))?;
    let since = launch::wall_clock().checked_sub(span).map_err(|error| wrong().because(&error))?;
    let keep = KeepRuns { since, newest: args.keep, unfinished: !args.unfinished };
    let mut old = prunable(runs, keep);
    let is_any_old = !old.is_empty();
    let kept = if args.unfinished { Vec::new() } else { of_use(state_dir, &old) };
    old.retain(|run| kept.iter().all(|(id, _)| *id != run.id));
    keep_undos(runs, &mut old);
    let bytes: u64 = old.iter().map(|run| state_dir.bytes(run.id)).sum();
    let mut text = String::new();
    for run in &old {
        let _infallible = writeln!(text, "{}", row(run).trim_end());
    }
    output::result(&text);
    for (run, why) in &kept {
        output::talk(&format!("kept: {run}, {}\n", clean_line(why, 300)));
    }
    let sum = format!("{} of {} runs, {:.1} MiB", old.len(), runs.len(), mebibytes(bytes));
    if old.is_empty() {
        let none =
            format!("none beyond the newest {} is older than {}", args.keep, args.older_than);
        let why = if is_any_old { "what is old is of use" } else { &none };
        output::talk(&format!("nothing to forget: of {} runs {why}\n", runs.len()));
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
    // The oldest first: as long as a run is there, so is what says that it was taken back.
    for run in old.iter().rev() {
        state_dir.forget(run.id).map_err(|error| {
            Failure::input(format!("could not forget run {}", run.id)).because(&error)
        })?;
    }
    output::talk(&format!("{sum} are forgotten\n"));
    Ok(RunResult::Done)
}

/// Which of the runs are kept, and why: `resume` could go on with them, or nobody can tell. Only
/// their journals are read.
fn of_use(state_dir: &StateDir, old: &[&RunSummary]) -> Vec<(RunId, String)> {
    let is_resumable =
        |run: &&&RunSummary| !is_diagnosis(run) && !run.mode.starts_with(StateDir::UNDO_OF);
    let mut kept = Vec::new();
    for run in old.iter().filter(is_resumable) {
        match may_go_on(state_dir, run.id) {
            Ok(true) => kept.push((run.id, "`resume` could go on with it".to_owned())),
            Ok(false) => {}
            Err(failure) => {
                let causes = failure.causes.iter().map(|cause| format!(": {cause}"));
                kept.push((run.id, failure.message.clone() + &causes.collect::<String>()));
            }
        }
    }
    kept
}

/// Whether a resume would find anything to do. Not where all was taken back.
fn may_go_on(state_dir: &StateDir, run: RunId) -> Result<bool, Failure> {
    let (_, state) = past::read(state_dir, run)?;
    if !state.may_go_on() {
        return Ok(false);
    }
    let undos = past::undos_of(state_dir, run)?;
    let undos: Vec<UndoRun<'_>> =
        undos.iter().map(|(run, state)| UndoRun { run: *run, state }).collect();
    Ok(wholly_taken_back(&state, &undos).is_none())
}

/// Takes those runs out of `old`, of `runs` with the newest first, that took another one back which
/// is kept: without them it would look as if nothing of it had been taken back.
fn keep_undos(runs: &[RunSummary], old: &mut Vec<&RunSummary>) {
    let mut forgotten: BTreeSet<RunId> = old.iter().map(|run| run.id).collect();
    // The oldest first: what was taken back is older than what took it back.
    for run in old.iter().rev() {
        let Some(of) = run.mode.strip_prefix(StateDir::UNDO_OF) else { continue };
        let is_kept =
            |other: &RunSummary| !forgotten.contains(&other.id) && other.id.full().starts_with(of);
        if runs.iter().any(is_kept) {
            forgotten.remove(&run.id);
        }
    }
    old.retain(|run| forgotten.contains(&run.id));
}

#[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u128, mode: &str) -> RunSummary {
        RunSummary {
            id: RunId::new(uuid::Uuid::from_u128(number << 96)),
            started: jiff::Timestamp::UNIX_EPOCH,
            mode: mode.to_owned(),
            playbook: "p.yml".to_owned(),
            inventory: "i.yml".to_owned(),
            result: Some(RunResult::Done),
            finished: None,
            is_alive: false,
        }
    }

    #[test]
    fn what_took_a_run_back_is_kept_as_long_as_that_run() {
        // 3 took 1 back, 5 took 3 back, 4 took 2 back.
        let runs = [
            run(5, "undo 00000003"),
            run(4, "undo 00000002"),
            run(3, "undo 00000001"),
            run(2, "run"),
            run(1, "run"),
        ];
        let left = |old: &[usize]| {
            let mut old: Vec<&RunSummary> = old.iter().map(|place| &runs[*place]).collect();
            keep_undos(&runs, &mut old);
            old.iter().map(|run| run.id.to_string()).collect::<Vec<_>>().join(" ")
        };

        assert_eq!(left(&[0, 1, 2, 3]), "00000004 00000002", "1 is kept, and with it 3 and 5");
        assert_eq!(left(&[0, 1, 2, 3, 4]), "00000005 00000004 00000003 00000002 00000001");
    }
}
