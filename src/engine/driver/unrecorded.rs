//! The end of a run whose journal can no longer be written: nothing new starts, nothing is changed
//! that waits for its intent, and what is being changed is awaited and told.

use std::collections::BTreeMap;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError};

use super::super::message::{Message, StepEnd, TaskEnd};
use super::recording::survives;
use super::{Driver, TICK};
use crate::event::{EventKind, JournalError, StopStage};
use crate::model::{FailureClass, HostName, Outcome, StepFailure, StepId};
use crate::scheduler::Input;

/// The end of a change that the journal does not hold: its intent is there, so that a resume looks
/// at it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecorded {
    /// The step.
    pub step: StepId,
    /// The host on which it acted, where that is another one.
    pub on: Option<HostName>,
    /// The task, as its author named it.
    pub task: String,
    /// How it ended, as it told this process.
    pub outcome: Outcome,
    /// What was done, or why it failed.
    pub told: Option<String>,
}

/// What ended unrecorded, one line for each step: its last word holds.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<StepId, Unrecorded>);

impl Driver {
    /// Awaits what is being changed, each step up to its deadline; the operator may still cancel it.
    /// Returns what the journal does not hold.
    pub(super) async fn drain_unrecorded(
        &mut self,
        failed: &JournalError,
        stops: &mut mpsc::Receiver<StopStage>,
    ) -> Vec<Unrecorded> {
        let mut ends = Ends::default();
        // Without a grant they change nothing.
        self.waiting.clear();
        self.take_back_questions();
        for question in self.questions.values() {
            question.abort.abort();
        }
        for event in std::mem::take(&mut self.lost) {
            self.note_event(event.kind, &mut ends);
        }
        while let Some((event, _)) = self.unwritten.next().await {
            self.note_event(event.kind, &mut ends);
        }
        let reading: Vec<StepId> =
            self.cancels.keys().filter(|step| !self.may_be_changing(step)).cloned().collect();
        for step in reading {
            self.cancel(&step);
        }
        let (now, under_way) = (self.clock.now(), self.cancels.len());
        self.observers
            .retain_mut(|observer| survives(|| observer.journal_failed(now, failed, under_way)));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut operator_is_there = true;
        while !self.running.is_empty() {
            tokio::select! {
                Some(message) = self.inbox.recv() => self.decline(message, &mut ends),
                Some(ended) = self.tasks.join_next_with_id() => {
                    while let Ok(message) = self.inbox.try_recv() {
                        self.decline(message, &mut ends);
                    }
                    self.note_end(ended, &mut ends);
                }
                stop = stops.recv(), if operator_is_there => match stop {
                    Some(StopStage::Cancel) => {
                        let all: Vec<StepId> = self.cancels.keys().cloned().collect();
                        all.iter().for_each(|step| self.cancel(step));
                    }
                    // It drains already.
                    Some(StopStage::Drain) => {}
                    None => operator_is_there = false,
                },
                _ = tick.tick() => {
                    self.show();
                    // What is under way holds its places until it ends.
                    self.tell_ledger();
                }
            }
        }
        ends.0.into_values().collect()
    }

    /// Whether the step may be changing its host. One whose intent did not reach the disk ends by
    /// itself.
    fn may_be_changing(&self, step: &StepId) -> bool {
        self.state.step(step).is_some_and(|state| state.open)
    }

    /// Hears a step, and gives it nothing: what it waits for is dropped with the message.
    fn decline(&mut self, message: Message, ends: &mut Ends) {
        if let Message::WentOn { step, end, .. } = message {
            self.note(&step, &end, ends);
            // The next attempt or item would wait for its intent. Until then it only reads.
            self.cancel(&step);
        }
    }

    fn note_end(&mut self, ended: Result<(Id, TaskEnd), JoinError>, ends: &mut Ends) {
        self.asking.remove(&ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id));
        match ended {
            Ok((id, TaskEnd::Step(step, end))) => {
                self.running.remove(&id);
                self.cancels.remove(&step);
                self.note(&step, &end, ends);
                let class = end.failure.as_ref().map(|failure| failure.class);
                self.tell(Input::Finished { step, outcome: end.outcome, class });
            }
            Ok((id, _)) => {
                self.questions.remove(&id);
            }
            Err(error) => {
                self.questions.remove(&error.id());
                if let Some(step) = self.running.remove(&error.id()) {
                    self.cancels.remove(&step);
                    let failure =
                        StepFailure::caused_by(FailureClass::InDoubt, "the step panicked", &error);
                    self.note(&step, &StepEnd::failed(failure), ends);
                }
            }
        }
    }

    /// An end that was on its way to the disk.
    fn note_event(&self, kind: EventKind, ends: &mut Ends) {
        match kind {
            EventKind::StepFinished { step, outcome, failure, note, value }
            | EventKind::StepWentOn { step, outcome, failure, note, value, .. } => {
                self.note(&step, &StepEnd { outcome, failure, note, value }, ends);
            }
            _ => {}
        }
    }

    /// Keeps the end of a step that changed its host, or may have. A cancelled one did not.
    fn note(&self, step: &StepId, end: &StepEnd, ends: &mut Ends) {
        let is_cancelled =
            end.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Cancelled);
        let Some(state) = self.state.step(step) else { return };
        if is_cancelled || self.config.is_check || state.changes.is_empty() {
            return;
        }
        let header = self.state.header.as_ref();
        let task = header
            .and_then(|header| header.plays.get(usize::from(step.task.play.0)))
            .and_then(|play| play.tasks.get(usize::from(step.task.task)))
            .map_or_else(|| step.task.to_string(), |task| task.name.clone());
        let told = end.failure.as_ref().map(ToString::to_string).or_else(|| end.note.clone());
        let (on, outcome) = (state.on.clone(), end.outcome);
        ends.0.insert(step.clone(), Unrecorded { step: step.clone(), on, task, outcome, told });
    }
}

#[cfg(test)]
#[path = "unrecorded/tests.rs"]
mod tests;
