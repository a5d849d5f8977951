//! `fleetmend show` and `fleetmend runs`: the past, from the journals alone.

use std::fmt::Write;

use serde_json::json;

use super::args::{Cli, RunsArgs, ShowArgs};
use super::error::Failure;
use super::{environment, launch, output, past};
use crate::event::RunResult;
use crate::report::{clean_line, file_name, json_line, recap};

/// Prints the recap of a run again, or its events.
pub(super) fn show(cli: &Cli, args: &ShowArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::state_dir(cli)?;
    let run = past::find(&state_dir, &args.run)?;
    if args.json {
        for event in &run.recorded.events {
            let line = json_line(event)
                .map_err(|error| Failure::internal("could not write an event as JSON", &error))?;
            output::result(&(line + "\n"));
        }
    } else {
        output::result(&recap(&run.state, environment::paint_stdout()));
    }
    Ok(RunResult::Done)
}

/// Lists the runs, the newest first.
pub(super) fn runs(cli: &Cli, args: &RunsArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::state_dir(cli)?;
    let runs = state_dir
        .runs()
        .map_err(|error| Failure::input("could not list the runs").because(&error))?;
    if args.json {
        let list: Vec<_> = runs
            .iter()
            .map(|run| {
                json!({
                    "run": run.id.full(), "started": run.started, "mode": run.mode,
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
    for run in &runs {
        let verdict = match (run.result, run.is_alive) {
            (Some(result), _) => result.phrase().to_owned(),
            (None, true) => "under way".to_owned(),
            (None, false) => format!("was cut off: fleetmend resume {}", run.id),
        };
        let _infallible = writeln!(
            text,
            "{}  {}  {:<14} {:<30} {verdict}",
            run.id,
            run.started.strftime("%Y-%m-%d %H:%M"),
            run.mode,
            clean_line(file_name(&run.playbook), 30),
        );
    }
    if runs.is_empty() {
        text.push_str("no runs yet\n");
    }
    output::result(&text);
    Ok(RunResult::Done)
}
