//! `fleetmend lint`: checks files and connects to nothing.

use super::args::LintArgs;
use super::error::Failure;
use super::{files, output, window};
use crate::event::RunResult;

/// Checks an inventory and playbooks; all of them, even after the first with a mistake.
pub(super) fn lint(args: &LintArgs) -> Result<RunResult, Failure> {
    let mut first_failure = None;
    let (mut wrong, mut warnings) = (0, 0);
    let inventory = match args.inventory.as_deref().map(files::inventory) {
        Some(Ok(file)) => {
            let hosts = file.loaded.inventory.len();
            let more: Vec<String> = file
                .loaded
                .sources
                .iter()
                .map(|source| format!(", and those of the source `{}`", source.name()))
                .collect();
            let hosts = count(hosts, "host");
            output::result(&format!("{}: {hosts}{}\n", file.name, more.concat()));
            warnings += file.loaded.notes.len();
            Some(file)
        }
        Some(Err(failure)) => {
            wrong += 1;
            first_failure = Some(failure);
            None
        }
        None => None,
    };
    for path in &args.playbooks {
        match files::playbook_with_notes(path, inventory.as_ref()) {
            Ok((playbook, notes)) => {
                warnings += notes;
                let plays = count(playbook.plays.len(), "play");
                let tasks = count(playbook.tasks().count(), "task");
                output::result(&format!("{}: {plays}, {tasks}\n", path.display()));
                let windows = inventory.as_ref().map(|file| {
                    let loaded = &file.loaded;
                    window::lint(&playbook, &loaded.inventory, &loaded.settings)
                });
                match windows.transpose() {
                    Ok(said) => output::result(&said.unwrap_or_default()),
                    Err(failure) => {
                        wrong += 1;
                        keep(failure, &mut first_failure);
                    }
                }
            }
            Err(failure) => {
                wrong += 1;
                keep(failure, &mut first_failure);
            }
        }
    }
    let files = count(args.playbooks.len(), "playbook");
    let files = if args.inventory.is_some() { format!("1 inventory, {files}") } else { files };
    output::result(&summary(&files, wrong, warnings));
    first_failure.map_or(Ok(RunResult::Done), Err)
}

/// The last line: how many files, and what was found in them.
fn summary(files: &str, wrong: usize, warnings: usize) -> String {
    let errors = match wrong {
        0 => "no errors".to_owned(),
        wrong => format!("errors in {}", count(wrong, "file")),
    };
    let warnings = match warnings {
        0 => "no warnings".to_owned(),
        warnings => count(warnings, "warning"),
    };
    format!("{files}: {errors}, {warnings}\n")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Keeps a failure for the end; one before it is told now.
fn keep(failure: Failure, kept: &mut Option<Failure>) {
    if let Some(earlier) = kept.replace(failure) {
        output::talk(&earlier.render(super::environment::paint_stderr()));
    }
}
