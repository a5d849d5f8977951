//! Whether a run can go on although something of it was taken back.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Draft, takeback};
use crate::event::{RunState, StepState, Undo};
use crate::model::{FailureClass, HostName, PlayNo, RunId};

/// How many hosts a message names.
const NAMED: usize = 3;

/// A run that took back a part of another one, or all of it.
#[derive(Debug, Clone, Copy)]
pub struct UndoRun<'a> {
    /// The run.
    pub run: RunId,
    /// As far as it got.
    pub state: &'a RunState,
}

/// A run cannot go on: what its hosts would build upon was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TakenBack {
    /// All hosts that it had changed.
    #[error("run {by} took it back")]
    Whole {
        /// The run that took it back.
        by: RunId,
    },
    /// Some of them, and these are not through, or others that are not wait for what was done there.
    #[error("run {by} took back what was done on or for {}, with more to do", told(.hosts))]
    Part {
        /// The run that took it back, the newest of several.
        by: RunId,
        /// The hosts that are not through, in the order of their names.
        hosts: Vec<HostName>,
    },
}

/// The run, of several that took `of` back, by which nothing of it is left: together they were to
/// take back what every host was changed by, and something was taken back.
pub fn wholly_taken_back(of: &RunState, undos: &[UndoRun<'_>]) -> Option<RunId> {
    let touched = takeback(of, None).ok()?.hosts;
    let real = || undos.iter().filter(|undo| taken(undo.state).next().is_some());
    let meant: BTreeSet<&HostName> = real()
        .flat_map(|undo| undo.state.plays.values())
        .flat_map(|play| play.hosts.keys())
        .collect();
    let newest = real().next()?;
    touched.keys().all(|host| meant.contains(host)).then_some(newest.run)
}

/// Sees that nothing was taken back that the rest of a run stands upon. `left` is the run, reopened;
/// `undos` are the runs that took it back, the newest first, also those that were cut.
///
/// Where hosts were taken back one by one, the others go on; so do hosts that came out of it whole.
///
/// # Errors
///
/// All of it was taken back, or something of a host that is not through. A change that was
/// delegated counts for the host that it was made for, and one that was made once for all hosts of
/// a play counts for all of these.
pub fn expect_not_taken_back(
    draft: &Draft,
    left: &RunState,
    undos: &[UndoRun<'_>],
) -> Result<(), TakenBack> {
    if let Some(by) = wholly_taken_back(left, undos) {
        return Err(TakenBack::Whole { by });
    }
    let waiting = waiting(draft, left);
    for undo in undos {
        let taken: BTreeSet<&HostName> = taken(undo.state).collect();
        let hosts: BTreeSet<&HostName> = concerned(draft, left, &taken);
        let hosts: Vec<HostName> =
            hosts.into_iter().filter(|host| waiting.contains(*host)).cloned().collect();
        if !hosts.is_empty() {
            return Err(TakenBack::Part { by: undo.run, hosts });
        }
    }
    Ok(())
}

/// Hosts on which an undo run has, or may have, taken something back.
fn taken(undo: &RunState) -> impl Iterator<Item = &HostName> {
    let hosts = undo.plays.values().flat_map(|play| &play.hosts);
    hosts.filter(|(_, host)| host.steps.values().any(may_be_back)).map(|(name, _)| name)
}

/// Whether a step of an undo run may have changed its host. It looks before it changes, after its
/// intent is written: one that refused on drift did nothing. Of several changes in one step the
/// end of the last is not told, so that some of them may be back.
fn may_be_back(step: &StepState) -> bool {
    let class = step.failure.as_ref().map(|failure| failure.class);
    let is_refused =
        step.changes.len() == 1 && !step.has_changed && class == Some(FailureClass::Drifted);
    !step.changes.is_empty() && !is_refused
}

/// The hosts for which something was done on hosts where it was taken back, and these hosts.
fn concerned<'a>(
    draft: &'a Draft,
    run: &'a RunState,
    taken: &BTreeSet<&'a HostName>,
) -> BTreeSet<&'a HostName> {
    let mut hosts = taken.clone();
    for (number, play) in &run.plays {
        let drafted = draft.plays.get(usize::from(number.0));
        for (name, host) in &play.hosts {
            for (task, step) in &host.steps {
                let is_undone = taken.contains(step.on.as_ref().unwrap_or(name))
                    && step.changes.iter().any(|(change, _)| matches!(change.undo, Undo::With(_)));
                if !is_undone {
                    continue;
                }
                hosts.insert(name);
                let task = drafted.and_then(|play| play.tasks.get(usize::from(*task)));
                if task.is_some_and(|task| task.flow.is_once) {
                    hosts.extend(play.hosts.keys());
                }
            }
        }
    }
    hosts
}

/// The hosts that have something left to do, in plays that began and in those after them.
fn waiting(draft: &Draft, left: &RunState) -> BTreeSet<HostName> {
    let mut hosts = BTreeSet::new();
    for number in (0..).map(PlayNo).take(draft.plays.len()) {
        match left.plays.get(&number) {
            Some(play) if play.finished && play.is_stopped() => break,
            Some(play) if play.finished => {}
            Some(play) if play.started => {
                let open = play.hosts.iter().filter(|(_, host)| host.outcome.is_none());
                hosts.extend(open.map(|(name, _)| name.clone()));
            }
            told => {
                let work = told.and_then(|play| play.work.as_ref());
                hosts.extend(draft.waves(number, work).into_iter().flatten());
            }
        }
    }
    hosts
}

fn told(hosts: &[HostName]) -> String {
    let names: Vec<&str> = hosts.iter().take(NAMED).map(HostName::as_str).collect();
    let more = match hosts.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests;
