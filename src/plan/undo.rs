//! What must be done to take a run back, from its events alone.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;

use super::{ActionTraits, Draft, DraftFlow, DraftHost, DraftPlay, DraftTask};
use crate::event::{RunMode, RunState, StepState, Undo};
use crate::model::{
    HostName, Inventory, Limits, Outcome, PlayNo, RunId, StepId, TaskId, TimeScale,
};

/// A change that takes another one back.
#[derive(Debug, Clone, PartialEq)]
pub struct Inverse {
    /// The task whose change it takes back, in the run that is undone.
    pub task: TaskId,
    /// The place in [`Takeback::tasks`] of the task of the undo run that applies it.
    pub turn: u16,
    /// The action that applies it.
    pub action: String,
    /// The inverse, in the action's own form.
    pub change: Value,
    /// What the change did, one line each.
    pub lines: Vec<String>,
    /// Whether the change is known to have taken place; if not, its step failed or is in doubt and
    /// may have changed all, a part or nothing.
    pub is_certain: bool,
}

/// A change that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTakenBack {
    /// The step that made it.
    pub step: StepId,
    /// Its action.
    pub action: String,
    /// What it did, one line each.
    pub lines: Vec<String>,
    /// Why it cannot be taken back; none means that it left nothing behind.
    pub impossible: Option<String>,
}

/// All that can be taken back of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Takeback {
    /// For each host, the inverse changes, those of the newest change first, whichever step made
    /// it.
    pub hosts: IndexMap<HostName, Vec<Inverse>>,
    /// What stays, in the order in which it was done.
    pub stays: Vec<NotTakenBack>,
    /// The tasks of the run that have something to take back, the last one first: the tasks of the
    /// undo run in their order.
    pub tasks: Vec<TaskId>,
}

/// A run cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TakebackError {
    /// The journal does not say how the run began.
    #[error("could not undo: the journal does not say how the run began")]
    NoHeader,
    /// A host that was asked for has no part in the run.
    #[error("could not undo run {run} on {host}: the run did not touch it")]
    NotTouched {
        /// The run.
        run: RunId,
        /// The host.
        host: HostName,
    },
}

/// Says what must be done to take a run back, on all hosts or on those given.
///
/// Every change that was decided is taken back, certain or not: applying an inverse looks first
/// and refuses where the host is not as the change left it.
///
/// # Errors
///
/// A host that the run did not touch.
pub fn takeback(
    state: &RunState,
    only: Option<&BTreeSet<HostName>>,
) -> Result<Takeback, TakebackError> {
    let run = state.header.as_ref().ok_or(TakebackError::NoHeader)?.run;
    let mut back = Takeback::default();
    if state.is_check() {
        return Ok(back);
    }
    let mut touched = BTreeSet::new();
    let mut tasks = BTreeSet::new();
    let mut hosts: IndexMap<HostName, Vec<(u64, Inverse)>> = IndexMap::new();
    for (id, step) in state.steps() {
        // What was delegated is taken back where it was done.
        let host = step.on.as_ref().unwrap_or(&id.host);
        if only.is_some_and(|hosts| !hosts.contains(host)) {
            continue;
        }
        touched.insert(host.clone());
        for inverse in inverses(&id, step, &mut back.stays) {
            tasks.insert(id.task);
            hosts.entry(host.clone()).or_default().push(inverse);
        }
    }
    if let Some(host) = only.into_iter().flatten().find(|host| !touched.contains(*host)) {
        return Err(TakebackError::NotTouched { run, host: host.clone() });
    }
    back.tasks = tasks.into_iter().rev().collect();
    for (host, mut list) in hosts {
        // What several hosts delegated to one was not done in the order of hosts and tasks.
        list.sort_by_key(|(decided, _)| std::cmp::Reverse(*decided));
        let mut list = list.into_iter().map(|(_, inverse)| inverse).collect::<Vec<_>>();
        take_turns(&mut list, &back.tasks);
        back.hosts.insert(host, list);
    }
    Ok(back)
}

/// Gives each inverse of a host the turn of its own task, or, where that one is over because an
/// older change belongs to a later task, that of the inverse before it.
fn take_turns(list: &mut [Inverse], tasks: &[TaskId]) {
    let mut turn = 0;
    for inverse in list {
        let own = tasks.iter().position(|task| *task == inverse.task);
        let own = own.and_then(|place| u16::try_from(place).ok()).unwrap_or(turn);
        turn = turn.max(own);
        inverse.turn = turn;
    }
}

/// The inverses of a step's changes, each with the number of the event that decided the change.
fn inverses(id: &StepId, step: &StepState, stays: &mut Vec<NotTakenBack>) -> Vec<(u64, Inverse)> {
    let newest = step.changes.len().saturating_sub(1);
    let mut found = Vec::new();
    for (number, ((record, _), decided)) in step.changes.iter().zip(&step.decided).enumerate() {
        let stay = |impossible| NotTakenBack {
            step: id.clone(),
            action: record.action.clone(),
            lines: record.lines.clone(),
            impossible,
        };
        match &record.undo {
            Undo::With(change) => {
                let inverse = Inverse {
                    task: id.task,
                    turn: 0,
                    action: record.action.clone(),
                    change: change.clone(),
                    lines: record.lines.clone(),
                    is_certain: number < step.settled
                        || (number == newest && step.outcome == Some(Outcome::Changed)),
                };
                found.push((*decided, inverse));
            }
            Undo::Nothing => stays.push(stay(None)),
            Undo::Impossible(why) => stays.push(stay(Some(why.clone()))),
        }
    }
    found
}

impl Takeback {
    /// What a step of the undo run applies, in order; empty where the host has nothing to take
    /// back in that turn.
    pub fn inverses(&self, step: &StepId) -> impl Iterator<Item = &Inverse> {
        let turn = step.task.task;
        let list = self.hosts.get(&step.host).map_or(&[][..], Vec::as_slice);
        list.iter().filter(move |inverse| inverse.turn == turn)
    }

    /// The draft of the undo run: one play over all hosts at once, newest task first, in which no
    /// failure stops the rest from being taken back, neither on the same host nor on others.
    ///
    /// # Errors
    ///
    /// The journal does not say how the run began.
    pub fn draft(
        &self,
        of: &RunState,
        inventory: &Inventory,
        limits: &Limits,
        scale: TimeScale,
        traits: &dyn Fn(&str) -> ActionTraits,
    ) -> Result<Draft, TakebackError> {
        let header = of.header.as_ref().ok_or(TakebackError::NoHeader)?;
        let task = |(number, original): (u16, &TaskId)| {
            let told = header
                .plays
                .get(usize::from(original.play.0))
                .and_then(|play| play.tasks.get(usize::from(original.task)));
            let action = told.map(|task| task.action.clone()).unwrap_or_default();
            let within = self.hosts.values().flatten().filter(|inverse| inverse.turn == number);
            let within = within.map(|inverse| traits(&inverse.action).within).max();
            let traits = traits(&action);
            DraftTask {
                name: format!("Take back: {}", told.map_or("", |task| task.name.as_str())),
                within: within.unwrap_or_default().max(traits.within),
                replay_is_safe: traits.replay_is_safe,
                flow: DraftFlow { goes_on_failed: true, ..DraftFlow::default() },
                ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, action)
            }
        };
        let play = DraftPlay {
            tasks: (0..).zip(&self.tasks).map(task).collect(),
            hosts: self.hosts.keys().map(|name| host(name, inventory, limits)).collect(),
            max_fail_percentage: Some(100.0),
            limits: limits.clone(),
            ..DraftPlay::bare(format!("Take back run {}", header.run))
        };
        Ok(Draft {
            mode: RunMode::Undo { of: header.run },
            seed: header.seed,
            scale,
            playbook_sha256: header.playbook_sha256.clone(),
            inventory_sha256: header.inventory_sha256.clone(),
            plays: vec![play],
        })
    }
}

fn host(name: &HostName, inventory: &Inventory, limits: &Limits) -> DraftHost {
    let vars: BTreeSet<&str> = limits.0.values().filter_map(|spec| spec.by.as_deref()).collect();
    inventory.host(name).map_or_else(
        || DraftHost::bare(name.clone()),
        |host| super::draft::draft_host(&host, &vars),
    )
}
