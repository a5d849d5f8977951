//! Laws of steps: one at a time on a host, each once, and none after a no.

use std::collections::{BTreeMap, BTreeSet};

use fleetmend::event::RunResult;
use fleetmend::model::{FailureClass, HostName, Outcome, StepId, TaskId};
use fleetmend::scheduler::{Command, Input};

use crate::case::Case;
use crate::world::{Entry, World};

pub(crate) fn steps_of_a_host_come_one_after_the_other_and_end_once(world: &World<'_>) {
    let mut at: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) => {
                assert!(started.insert(step.clone()), "{step} started twice");
                let before = at.insert(step.host.clone(), step.clone());
                assert_eq!(before, None, "two steps at once");
            }
            Entry::Out(Command::Apply { step }) => assert_eq!(at.get(&step.host), Some(step)),
            Entry::In(Input::Finished { step, .. }) => {
                assert_eq!(at.remove(&step.host).as_ref(), Some(step), "{step} ended twice");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(at.is_empty(), "steps were left behind: {at:?}");
}

pub(crate) fn nothing_starts_once_something_was_not_confirmed(world: &World<'_>) {
    let mut is_unconfirmed = false;
    for (_, entry) in &world.log {
        match entry {
            Entry::In(Input::Finished { class, .. }) => {
                is_unconfirmed |= *class == Some(FailureClass::Unconfirmed);
            }
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(!is_unconfirmed, "{command:?} although nothing was confirmed");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(!is_unconfirmed || world.result != Some(RunResult::Done));
}

pub(crate) fn two_steps_never_act_on_one_host(case: &Case, world: &World<'_>) {
    let mut busy: BTreeMap<HostName, StepId> = BTreeMap::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, on, .. }) => {
                let target = case.target(step);
                assert_eq!(on.as_ref().unwrap_or(&step.host), &target);
                let other = busy.insert(target.clone(), step.clone());
                assert_eq!(other, None, "{step} acts on {target} as well");
            }
            Entry::In(Input::Finished { step, .. }) => {
                busy.remove(&case.target(step));
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

pub(crate) fn what_one_host_does_for_all_is_done_once(case: &Case, world: &World<'_>) {
    let mut done: BTreeSet<TaskId> = BTreeSet::new();
    let mut under_way: BTreeSet<TaskId> = BTreeSet::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) if case.flow(step).is_once => {
                assert!(!done.contains(&step.task), "{step} was done already");
                assert!(under_way.insert(step.task), "{step} is under way elsewhere");
            }
            Entry::In(Input::Finished { step, outcome, .. }) if case.flow(step).is_once => {
                under_way.remove(&step.task);
                if outcome.is_well() && *outcome != Outcome::Skipped {
                    done.insert(step.task);
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// As the journal tells it, whatever number of processes wrote it: a task that one host does for
/// all ended well on one host at most, and the items of a loop come one after the other.
pub(crate) fn the_journal_holds_nothing_twice(case: &Case, world: &World<'_>) {
    let mut done: BTreeSet<TaskId> = BTreeSet::new();
    for (id, step) in world.state.steps() {
        let is_done = step.outcome.is_some_and(|end| end.is_well() && end != Outcome::Skipped);
        if case.flow(&id).is_once && is_done {
            assert!(done.insert(id.task), "{id} was done for all by another host");
        }
        let items: Vec<Option<u32>> = step.parts.iter().map(|part| part.item).collect();
        let expected: Vec<Option<u32>> = (0..).map(Some).take(items.len()).collect();
        assert_eq!(items, expected, "{id}");
    }
}
