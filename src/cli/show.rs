//! `fleetmend show` and `fleetmend export`: one run of the past, from its journal alone.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::args::{Cli, ExportArgs, ShowArgs};
use super::error::Failure;
use super::{environment, launch, output, past};
use crate::event::{Event, RunResult};
use crate::report::{json_line, recap};

/// Prints the recap of a run again, or its events.
pub(super) fn show(cli: &Cli, args: &ShowArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::state_dir(cli)?;
    let run = past::find(&state_dir, &args.run)?;
    if args.json {
        for event in &run.recorded.events {
            output::result(&line(event)?);
        }
    } else {
        output::result(&recap(&run.state, environment::paint_stdout()));
    }
    Ok(RunResult::Done)
}

/// Writes the events of a run as NDJSON, to a file or to standard output.
pub(super) fn export(cli: &Cli, args: &ExportArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::state_dir(cli)?;
    let run = past::find(&state_dir, &args.run)?;
    let Some(path) = &args.output else {
        for event in &run.recorded.events {
            output::result(&line(event)?);
        }
        return Ok(RunResult::Done);
    };
    let refused = |error: std::io::Error| {
        Failure::input(format!("could not write {}", path.display())).because(&error)
    };
    let mut file = BufWriter::new(File::create_new(path).map_err(refused)?);
    for event in &run.recorded.events {
        file.write_all(line(event)?.as_bytes()).map_err(refused)?;
    }
    file.into_inner().map_err(|error| refused(error.into_error()))?.sync_all().map_err(refused)?;
    let events = run.recorded.events.len();
    output::talk(&format!("{events} events of run {} are in {}\n", run.id, path.display()));
    Ok(RunResult::Done)
}

/// An event as a line of JSON.
fn line(event: &Event) -> Result<String, Failure> {
    let line = json_line(event)
        .map_err(|error| Failure::internal("could not write an event as JSON", &error))?;
    Ok(line + "\n")
}
