//! What a step may know: the names of its expressions, and what this run already did to its host.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::config::DriverConfig;
use super::step::Errand;
use crate::action;
use crate::event::{PlayState, RunState, StepState};
use crate::expression::Scope;
use crate::host::PriorChange;
use crate::model::{HostName, Outcome, Play, PlayNo, Playbook, StepId, Task, TaskId};

/// The errand of a step of a playbook; `None` when there is no such task or host.
pub(super) fn errand(
    config: &DriverConfig,
    playbook: &Playbook,
    state: &RunState,
    once: &OnceResults,
    step: &StepId,
) -> Option<Errand> {
    let play = playbook.plays.get(usize::from(step.task.play.0))?;
    let task = play.tasks.get(usize::from(step.task.task))?;
    let host = config.hosts.get(&step.host)?;
    let play_state = state.plays.get(&step.task.play)?;
    let work = play_state
        .work
        .as_ref()
        .and_then(|work| work.by_host.get(&step.host))
        .map_or_else(|| Arc::from([]), |rows| rows.clone().into());
    let vars = Arc::new(play.vars.clone());
    let mut scope =
        Scope::new(host.clone(), vars, Arc::new(config.extra_vars.clone())).with_work(work);
    for (number, earlier) in (0..).map(PlayNo).zip(&playbook.plays) {
        if number > step.task.play {
            break;
        }
        let steps = state.plays.get(&number).and_then(|play| play.hosts.get(&step.host));
        for task in &earlier.tasks {
            let own = steps.and_then(|host| host.steps.get(&task.id.task));
            let own = own.filter(|ended| ended.outcome.is_some()).map(|ended| &ended.value);
            // What one host did for all is known to all.
            let Some(value) = once.get(&task.id).or(own) else { continue };
            if let Some(name) = task.register.as_ref().filter(|_| number == step.task.play) {
                scope.register(name, value.clone());
            }
            if is_open(&task.action.action)
                && let Value::Object(facts) = value
            {
                facts.iter().for_each(|(name, fact)| scope.register(name, fact.clone()));
            }
        }
    }
    if let Some(failure) = latest_failure(play, play_state, &step.host) {
        scope.set_failure(failure);
    }
    Some(Errand::Task { task: Arc::new(task.clone()), scope: Box::new(scope) })
}

fn is_open(name: &str) -> bool {
    action::find(name).is_some_and(|action| action.is_open())
}

/// The latest step of the host that failed in this play, for `failure`.
fn latest_failure(play: &Play, state: &PlayState, host: &HostName) -> Option<Value> {
    let steps = state.hosts.get(host)?.steps.iter();
    let failed = steps.filter_map(|(task, step)| {
        Some((step.finished?, play.tasks.get(usize::from(*task))?, step.failure.as_ref()?))
    });
    let (_, task, failure) = failed.max_by_key(|(at, task, _)| (*at, task.id.task))?;
    Some(json!({ "task": task.name, "class": failure.class, "message": failure.to_string() }))
}

/// The results of tasks that one host did for all.
pub(super) type OnceResults = HashMap<TaskId, Value>;

/// Whether one host does a task for all.
pub(super) fn is_once(task: &Task) -> bool {
    task.flow.run_once || action::find(&task.action.action).is_some_and(|action| action.is_once())
}

/// The results that a run has so far of tasks that one host did for all.
pub(super) fn once_results(playbook: &Playbook, state: &RunState) -> OnceResults {
    let mut results = OnceResults::new();
    for task in playbook.tasks().filter(|task| is_once(task)) {
        let hosts = state.plays.get(&task.id.play).into_iter().flat_map(|play| play.hosts.values());
        let steps = hosts.filter_map(|host| host.steps.get(&task.id.task));
        let done = |step: &&StepState| {
            step.outcome.is_some_and(|end| end.is_well() && end != Outcome::Skipped)
        };
        if let Some(step) = steps.into_iter().find(done) {
            results.insert(task.id, step.value.clone());
        }
    }
    results
}

/// The changes that earlier steps of this run decided on for the host on which a step acts, in any
/// play and whichever host delegated them, oldest first.
pub(super) fn prior_changes(state: &RunState, host: &HostName) -> Arc<[PriorChange]> {
    let own = state
        .plays
        .values()
        .filter_map(|play| play.hosts.get(host))
        .flat_map(|host| host.steps.values())
        .filter(|step| step.on.is_none());
    let delegated = state.delegated.get(host).into_iter().flatten();
    let mut changes: Vec<_> = own
        .chain(delegated.filter_map(|step| state.step(step)))
        .flat_map(|step| step.decided.iter().zip(&step.changes))
        .collect();
    changes.sort_by_key(|(decided, _)| **decided);
    changes
        .into_iter()
        .map(|(_, (record, _))| PriorChange {
            action: record.action.clone(),
            change: record.change.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ChangeRecord, Event, EventKind, PlayHeader, RunStarted, Undo};
    use crate::model::{Cost, Elapsed, RunId};

    fn event(seq: u64, kind: EventKind) -> Event {
        let elapsed = Elapsed::from_millis(seq);
        Event { seq, at: jiff::Timestamp::UNIX_EPOCH, elapsed, kind }
    }

    fn header() -> RunStarted {
        RunStarted {
            plays: vec![PlayHeader { name: String::new(), tasks: Vec::new() }],
            ..RunStarted::bare(RunId::new(uuid::Uuid::nil()))
        }
    }

    #[test]
    fn what_was_done_to_a_host_before_is_told_in_the_order_in_which_it_was_done() {
        let (ns, ps) = (HostName::new("ns"), HostName::new("ps"));
        let of = |host: &HostName, task| StepId {
            task: TaskId { play: PlayNo(0), task },
            host: host.clone(),
        };
        let mut kinds = vec![
            EventKind::RunStarted(Box::new(header())),
            EventKind::PlayStarted { play: PlayNo(0), waves: vec![vec![ns.clone(), ps.clone()]] },
        ];
        // Of these three, the second is another host's own.
        let done = [
            (of(&ps, 0), Some(&ns), "delegated"),
            (of(&ps, 1), None, "elsewhere"),
            (of(&ns, 2), None, "own"),
            (of(&ps, 3), Some(&ns), "delegated later"),
        ];
        for (step, on, what) in done {
            kinds.push(EventKind::StepStarted { step: step.clone(), on: on.cloned() });
            let change = ChangeRecord {
                action: "service".to_owned(),
                change: Value::from(what),
                undo: Undo::Nothing,
                lines: Vec::new(),
            };
            kinds.push(EventKind::StepDecided { step, change, cost: Cost::none() });
        }
        let events: Vec<Event> = (0..).zip(kinds).map(|(seq, kind)| event(seq, kind)).collect();
        let state = RunState::replay(&events).expect("a legal journal");

        let told: Vec<Value> =
            prior_changes(&state, &ns).iter().map(|prior| prior.change.clone()).collect();

        assert_eq!(told, ["delegated", "own", "delegated later"].map(Value::from));
    }
}
