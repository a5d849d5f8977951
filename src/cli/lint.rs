//! `fleetmend lint`: checks files and connects to nothing.

use super::args::LintArgs;
use super::error::Failure;
use super::{files, output, window};
use crate::event::RunResult;

/// Checks an inventory and playbooks; all of them, even after the first with a mistake.
pub(super) fn lint(args: &LintArgs) -> Result<RunResult, Failure> {
    let mut first_failure = None;
    let inventory = match args.inventory.as_deref().map(files::inventory) {
        Some(Ok(file)) => {
            let hosts = file.loaded.inventory.len();
            let more: Vec<String> = file
                .loaded
                .sources
                .iter()
                .map(|source| format!(", and those of the source `{}`", source.name()))
                .collect();
            output::result(&format!("{}: {hosts} hosts{}\n", file.name, more.concat()));
            Some(file)
        }
        Some(Err(failure)) => {
            first_failure = Some(failure);
            None
        }
        None => None,
    };
    for path in &args.playbooks {
        match files::playbook(path, inventory.as_ref()) {
            Ok(playbook) => {
                let some =
                    |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
                let plays = some(playbook.plays.len(), "play");
                let tasks = some(playbook.tasks().count(), "task");
                output::result(&format!("{}: {plays}, {tasks}\n", path.display()));
                let windows = inventory.as_ref().map(|file| {
                    let loaded = &file.loaded;
                    window::lint(&playbook, &loaded.inventory, &loaded.settings)
                });
                match windows.transpose() {
                    Ok(said) => output::result(&said.unwrap_or_default()),
                    Err(failure) => keep(failure, &mut first_failure),
                }
            }
            Err(failure) => keep(failure, &mut first_failure),
        }
    }
    first_failure.map_or(Ok(RunResult::Done), Err)
}

/// Keeps a failure for the end; one before it is told now.
fn keep(failure: Failure, kept: &mut Option<Failure>) {
    if let Some(earlier) = kept.replace(failure) {
        output::talk(&earlier.render(super::environment::paint_stderr()));
    }
}
