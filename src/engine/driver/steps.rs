//! A step as the scheduler orders it: its start, the grant of its change, its end.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::super::config::Orders;
use super::super::message::{StepEnd, TaskEnd};
use super::super::scope;
use super::super::step::{self, Errand, Job};
use super::{DriveError, Driver};
use crate::event::{Ack, ChangeRecord, EventKind};
use crate::model::{Cost, FailureClass, HostName, Outcome, StepFailure, StepId};
use crate::scheduler::Input;

/// What waits for the scheduler's grant.
pub(super) enum Waiting {
    /// A change; its intent goes to disk first.
    Change { record: Box<ChangeRecord>, cost: Cost, grant: oneshot::Sender<Ack> },
    /// A reading that draws from limits.
    Reading(oneshot::Sender<()>),
}

impl Driver {
    /// Starts a step on its host, or on the one to which it is delegated, with the session there.
    pub(super) fn start(
        &mut self,
        step: StepId,
        on: Option<HostName>,
        within: Duration,
    ) -> Result<(), DriveError> {
        self.record(EventKind::StepStarted { step: step.clone(), on: on.clone() })?;
        let (play, now) = (step.task.play, self.clock.now().elapsed);
        let target = on.as_ref().unwrap_or(&step.host);
        for session in self.sessions.take_stale(target, now) {
            self.tasks.spawn(async move {
                session.close().await;
                TaskEnd::Closed
            });
        }
        self.sessions.note_use(target, now);
        let session = match &on {
            Some(host) => self.sessions.delegated(host, play, &self.state),
            None => self.sessions.get(&step.host, play, &self.state),
        };
        let errand = match &self.config.orders {
            Orders::Playbook(playbook) => {
                scope::errand(&self.config, playbook, &self.state, &self.once, &step)
            }
            Orders::TakeBack(takeback) => {
                Some(Errand::TakeBack(takeback.inverses(&step).cloned().collect()))
            }
        };
        let Some((errand, session)) = errand.zip(session) else {
            let failure = StepFailure::new(
                FailureClass::Bug,
                format!("step {step} is not part of the playbook or its host not of the inventory"),
            );
            return self.finished(step, StepEnd::failed(failure));
        };
        let job = Job {
            step: step.clone(),
            errand,
            is_check: self.config.is_check,
            session,
            prior: scope::prior_changes(&self.state, on.as_ref().unwrap_or(&step.host)),
            parts: self
                .state
                .step(&step)
                .map(|state| state.parts.clone().into())
                .unwrap_or_default(),
            within,
            inbox: self.outbox.clone(),
        };
        let (cancel, cancelled) = oneshot::channel();
        self.cancels.insert(step.clone(), cancel);
        let task = {
            let step = step.clone();
            self.tasks.spawn(async move { TaskEnd::Step(step, step::run(job, cancelled).await) })
        };
        self.running.insert(task.id(), step);
        Ok(())
    }

    /// Lets a step go on: one that changes its host when its intent is on disk.
    pub(super) fn grant(&mut self, step: &StepId) -> Result<(), DriveError> {
        // A step that was cancelled meanwhile does not listen any more and changes nothing.
        match self.waiting.remove(step) {
            Some(Waiting::Change { record, cost, grant }) => {
                let step = step.clone();
                let decided = EventKind::StepDecided { step, change: *record, cost };
                let _cancelled = grant.send(self.emit(decided)?);
            }
            Some(Waiting::Reading(grant)) => {
                let _cancelled = grant.send(());
            }
            None => {}
        }
        Ok(())
    }

    /// Tells a step to end before its time.
    pub(super) fn cancel(&mut self, step: &StepId) {
        if let Some(cancel) = self.cancels.remove(step) {
            let _ended = cancel.send(());
        }
    }

    /// A step ended: nothing of it is waited for any more, and its end is recorded and told.
    pub(super) fn finished(&mut self, step: StepId, end: StepEnd) -> Result<(), DriveError> {
        self.cancels.remove(&step);
        if let Some(abort) = self.asks.remove(&step).and_then(|ask| ask.abort) {
            abort.abort();
        }
        self.note_once(&step, end.outcome, &end.value);
        let on = self.state.step(&step).and_then(|state| state.on.clone());
        self.sessions.note_use(on.as_ref().unwrap_or(&step.host), self.clock.now().elapsed);
        self.waiting.remove(&step);
        let class = end.failure.as_ref().map(|failure| failure.class);
        let rejected_by = end.failure.as_ref().and_then(|failure| failure.rejected_by.clone());
        let outcome = end.outcome;
        self.record(EventKind::StepFinished {
            step: step.clone(),
            outcome,
            failure: end.failure,
            note: end.note,
            value: end.value,
        })?;
        let target = on.unwrap_or_else(|| step.host.clone());
        if class == Some(FailureClass::Throttled) && self.sessions.has_cmdb(&target) {
            self.tell(Input::Busy);
        }
        if let Some(by) = rejected_by.filter(|by| *by != step.host) {
            self.tell(Input::LogonRejected { by });
        }
        self.tell(Input::Finished { step, outcome, class });
        Ok(())
    }

    /// Keeps the result of a task that one host does for all.
    pub(super) fn note_once(&mut self, step: &StepId, outcome: Outcome, value: &Value) {
        let Orders::Playbook(playbook) = &self.config.orders else { return };
        let play = playbook.plays.get(usize::from(step.task.play.0));
        let task = play.and_then(|play| play.tasks.get(usize::from(step.task.task)));
        let is_done = outcome.is_well() && outcome != Outcome::Skipped;
        if is_done && task.is_some_and(scope::is_once) {
            self.once.insert(step.task, value.clone());
        }
    }
}
