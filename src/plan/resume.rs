//! What is left of a run that was cut, from its events alone.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Draft, again};
use crate::event::{RunResult, RunStarted, RunState};
use crate::model::{HostName, PlayNo, RunId, StepId};

/// What the operator said about hosts whose effect is in doubt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The effect did not take place, or may be repeated: `--retry`.
    pub retry: BTreeSet<HostName>,
    /// The effect took place: `--accept`.
    pub accept: BTreeSet<HostName>,
    /// Hosts that failed or could not be reached are taken up again: `--failed`.
    pub failed: bool,
}

/// What becomes of a step in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It is probed and decided again.
    Again,
    /// It counts as done.
    Accept,
    /// It is unknown until the operator says.
    Unknown,
}

/// A step whose effect was asked for and whose end was never recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// The step.
    pub step: StepId,
    /// Its action.
    pub action: String,
    /// What the change would have done, one line each.
    pub lines: Vec<String>,
    /// What becomes of it.
    pub resolution: Resolution,
}

/// A run to go on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumption {
    /// All that is known of it, reopened: finished hosts and steps stay.
    pub state: RunState,
    /// The steps at which hosts that had ended badly are taken up again.
    pub again: Vec<StepId>,
    /// The steps in doubt and what becomes of them, in the order of plays, hosts and tasks.
    pub in_doubt: Vec<InDoubt>,
    /// Hosts of the plays that began and that are not through.
    pub hosts_left: usize,
}

impl Resumption {
    /// The steps that the operator has to say something about.
    pub fn undecided(&self) -> impl Iterator<Item = &InDoubt> {
        self.in_doubt.iter().filter(|doubt| doubt.resolution == Resolution::Unknown)
    }

    /// What becomes of a step, if it is in doubt.
    pub fn resolution(&self, step: &StepId) -> Option<Resolution> {
        self.in_doubt.iter().find(|doubt| doubt.step == *step).map(|doubt| doubt.resolution)
    }
}

/// A run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResumeError {
    /// The journal does not say how the run began.
    #[error("could not resume: the journal does not say how the run began")]
    NoHeader,
    /// The playbook or the inventory is not the one that the run began with.
    #[error("could not resume run {run}: {}", .differences.join("; "))]
    Differs {
        /// The run.
        run: RunId,
        /// What differs, one phrase each.
        differences: Vec<String>,
    },
    /// Nothing is left that a resume could do.
    #[error("could not resume run {run}: nothing is left to do ({})", .result.map_or("no host waits", RunResult::phrase))]
    NothingLeft {
        /// The run.
        run: RunId,
        /// How it ended.
        result: Option<RunResult>,
    },
    /// Failed hosts would wait for a task that a host of a later wave is in the middle of.
    #[error(
        "could not take up the failed hosts of run {run}: {host}, of a later wave, is in the middle of \"{task}\", which it does for all"
    )]
    AwaitsTask {
        /// The run.
        run: RunId,
        /// The host that does the task.
        host: HostName,
        /// The task's name.
        task: String,
    },
    /// An answer names a host that is not in doubt, or a host is named in both answers.
    #[error("could not resume run {run}: {reason} host {host}")]
    Answer {
        /// The run.
        run: RunId,
        /// The host.
        host: HostName,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Says what is left of a run: finished hosts and steps stay, steps that started and decided
/// nothing run again, and steps in doubt go by their action's trait and the operator's answers.
///
/// # Errors
///
/// A playbook, inventory, mode or seed that is not the run's; nothing left to do; an answer about
/// a host that is not in doubt.
pub fn resume(
    draft: &Draft,
    state: &RunState,
    answers: &Answers,
) -> Result<Resumption, ResumeError> {
    let header = state.header.as_deref().ok_or(ResumeError::NoHeader)?;
    let run = header.run;
    let differences = differences(draft, header);
    if !differences.is_empty() {
        return Err(ResumeError::Differs { run, differences });
    }
    let result = state.result;
    let mut state = state.clone();
    let again = if answers.failed { again::steps(draft, &state) } else { Vec::new() };
    state.reopen(&again);
    if let Some(step) = again::awaited(draft, &state, &again) {
        let task = draft.plays[usize::from(step.task.play.0)].tasks[usize::from(step.task.task)]
            .name
            .clone();
        return Err(ResumeError::AwaitsTask { run, host: step.host, task });
    }
    if state.is_through() {
        return Err(ResumeError::NothingLeft { run, result });
    }
    let in_doubt: Vec<InDoubt> =
        state.steps().filter(|(_, s)| s.open).map(|(id, s)| doubt(draft, id, s, answers)).collect();
    check_answers(run, &in_doubt, answers)?;
    let hosts = state.plays.values().flat_map(|play| play.hosts.values());
    let hosts_left = hosts.filter(|host| host.outcome.is_none()).count();
    Ok(Resumption { state, again, in_doubt, hosts_left })
}

fn doubt(
    draft: &Draft,
    step: StepId,
    state: &crate::event::StepState,
    answers: &Answers,
) -> InDoubt {
    let task = draft
        .plays
        .get(usize::from(step.task.play.0))
        .and_then(|play| play.tasks.get(usize::from(step.task.task)));
    let resolution = if answers.accept.contains(&step.host) {
        Resolution::Accept
    } else if answers.retry.contains(&step.host) || task.is_some_and(|task| task.replay_is_safe) {
        Resolution::Again
    } else {
        Resolution::Unknown
    };
    InDoubt {
        action: task.map(|task| task.action.clone()).unwrap_or_default(),
        lines: state.changes.last().map(|(change, _)| change.lines.clone()).unwrap_or_default(),
        step,
        resolution,
    }
}

fn check_answers(run: RunId, doubts: &[InDoubt], answers: &Answers) -> Result<(), ResumeError> {
    if let Some(host) = answers.retry.intersection(&answers.accept).next() {
        let reason = "both --retry and --accept name";
        return Err(ResumeError::Answer { run, host: host.clone(), reason });
    }
    let is_in_doubt = |host: &HostName| doubts.iter().any(|doubt| doubt.step.host == *host);
    match answers.retry.union(&answers.accept).find(|host| !is_in_doubt(host)) {
        Some(host) => {
            let reason = "no change is in doubt on";
            Err(ResumeError::Answer { run, host: host.clone(), reason })
        }
        None => Ok(()),
    }
}

fn differences(draft: &Draft, header: &RunStarted) -> Vec<String> {
    let mut found = Vec::new();
    let mut texts = |what: &str, name: &str, then: &str, now: &str| {
        if then != now {
            let short = |hash: &str| hash.chars().take(8).collect::<String>();
            let (then, now) = (short(then), short(now));
            found.push(format!("{what} {name} has changed: SHA-256 was {then}, is {now}"));
        }
    };
    texts("playbook", &header.playbook, &header.playbook_sha256, &draft.playbook_sha256);
    texts("inventory", &header.inventory, &header.inventory_sha256, &draft.inventory_sha256);
    if header.mode != draft.mode {
        found.push("the run's mode is another".to_owned());
    }
    if header.seed != draft.seed {
        found.push(format!("the seed was {}, is {}", header.seed, draft.seed));
    }
    if header.plays.len() != draft.plays.len() {
        let (then, now) = (header.plays.len(), draft.plays.len());
        found.push(format!("the number of plays was {then}, is {now}"));
    }
    for (number, (then, now)) in (0..).map(PlayNo).zip(header.plays.iter().zip(&draft.plays)) {
        if then.tasks.len() != now.tasks.len() {
            let (then, now) = (then.tasks.len(), now.tasks.len());
            found.push(format!("play {number} had {then} tasks, has {now}"));
        }
        for (then, now) in then.tasks.iter().zip(&now.tasks) {
            if then.name != now.name || then.action != now.action {
                found.push(format!(
                    "task {} was \"{}\" ({}), is \"{}\" ({})",
                    now.id, then.name, then.action, now.name, now.action
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
