//! What a step may know: the names of its expressions, and what this run already did to its host.

use std::sync::Arc;

use super::config::DriverConfig;
use super::step::Errand;
use crate::event::RunState;
use crate::expression::Scope;
use crate::host::PriorChange;
use crate::model::{Playbook, StepId};

/// The errand of a step of a playbook; `None` when there is no such task or host.
pub(super) fn errand(
    config: &DriverConfig,
    playbook: &Playbook,
    state: &RunState,
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
    let steps = play_state.hosts.get(&step.host).map(|host| &host.steps);
    let vars = Arc::new(play.vars.clone());
    let mut scope =
        Scope::new(host.clone(), vars, Arc::new(config.extra_vars.clone())).with_work(work);
    for task in &play.tasks {
        let ended = steps.and_then(|steps| steps.get(&task.id.task));
        if let Some((name, ended)) = task.register.as_ref().zip(ended) {
            scope.register(name, ended.value.clone());
        }
    }
    Some(Errand::Task { task: Arc::new(task.clone()), scope: Box::new(scope) })
}

/// The changes that earlier steps of this run decided on for the host, in any play, oldest first.
pub(super) fn prior_changes(state: &RunState, step: &StepId) -> Arc<[PriorChange]> {
    state
        .plays
        .values()
        .filter_map(|play| play.hosts.get(&step.host))
        .flat_map(|host| host.steps.values())
        .flat_map(|step| &step.changes)
        .map(|(record, _)| PriorChange {
            action: record.action.clone(),
            change: record.change.clone(),
        })
        .collect()
}
