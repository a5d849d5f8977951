//! Equal failures as one line with the hosts that have them.

use indexmap::IndexMap;

use super::{clean_line, fold_hosts};
use crate::event::RunState;
use crate::model::Outcome;

/// A failure that one or more hosts share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// How the steps ended.
    pub outcome: Outcome,
    /// The task's name.
    pub task: String,
    /// The failure, with each host's own name taken out, cleaned.
    pub message: String,
    /// Whether their hosts went on and ended well: a block rescued them, or they were to be ignored.
    pub is_rescued: bool,
    /// How many steps have it.
    pub count: usize,
    /// The hosts, folded.
    pub hosts: String,
}

/// Folds all failures of a run, the most frequent first; those that were rescued come last.
pub fn group_failures(state: &RunState) -> Vec<FailureGroup> {
    let mut groups: IndexMap<(Outcome, bool, String, String), Vec<String>> = IndexMap::new();
    for (id, step) in state.steps() {
        let Some(outcome) = step.outcome.filter(|outcome| !outcome.is_well()) else { continue };
        let task = state
            .header
            .as_ref()
            .and_then(|header| header.plays.get(usize::from(id.task.play.0)))
            .and_then(|play| play.tasks.get(usize::from(id.task.task)))
            .map_or_else(|| id.task.to_string(), |task| task.name.clone());
        let text = step.failure.as_ref().map_or_else(String::new, ToString::to_string);
        // The same failure on two hosts differs in the host's name.
        let text = text.replace(id.host.as_str(), "the host");
        let message = clean_line(&text, 400);
        let play = state.plays.get(&id.task.play);
        let host = play.and_then(|play| play.hosts.get(&id.host)).and_then(|host| host.outcome);
        let is_rescued = host.is_some_and(Outcome::is_well);
        groups.entry((outcome, is_rescued, task, message)).or_default().push(id.host.to_string());
    }
    let mut groups: Vec<FailureGroup> = groups
        .into_iter()
        .map(|((outcome, is_rescued, task, message), hosts)| FailureGroup {
            outcome,
            is_rescued,
            task,
            message,
            count: hosts.len(),
            hosts: fold_hosts(hosts.iter().map(String::as_str)),
        })
        .collect();
    groups.sort_by_key(|group| (group.is_rescued, std::cmp::Reverse(group.count)));
    groups
}
