//! What the tasks of the driver tell it, on their way and at their end.

use tokio::task::{Id, JoinError};

use super::super::message::{Message, StepEnd, TaskEnd};
use super::steps::Waiting;
use super::{DriveError, Driver};
use crate::event::EventKind;
use crate::model::{FailureClass, Outcome, StepFailure};
use crate::scheduler::Input;

impl Driver {
    /// Takes in a word from a step that goes on or waits.
    pub(super) fn hear(&mut self, message: Message) -> Result<(), DriveError> {
        match message {
            Message::Decided { step, record, cost, grant } => {
                let input = Input::Decided { step: step.clone(), cost: cost.clone() };
                let record = Box::new(record);
                self.waiting.insert(step, Waiting::Change { record, cost, grant });
                self.tell(input);
            }
            Message::WantsToRead { step, cost, grant } => {
                self.waiting.insert(step.clone(), Waiting::Reading(grant));
                self.tell(Input::WantsToRead { step, cost });
            }
            Message::WentOn { step, item, attempt, settled, end, pause } => {
                let StepEnd { outcome, failure, note, value } = end;
                let went_on = EventKind::StepWentOn {
                    step: step.clone(),
                    item,
                    attempt,
                    settled,
                    outcome,
                    failure,
                    note,
                    value,
                };
                self.record(went_on)?;
                self.tell(Input::WentOn { step, pause, has_changed: outcome == Outcome::Changed });
            }
            Message::Asks { step, question, reply } => self.wants_to_ask(step, question, reply)?,
            Message::WouldChange { step, record, cost } => {
                self.record(EventKind::StepDecided { step, change: record, cost })?;
            }
        }
        Ok(())
    }

    /// Takes in the words that wait: those that a step sent before it ended are heard before its
    /// end.
    fn hear_all(&mut self) -> Result<(), DriveError> {
        while let Ok(message) = self.inbox.try_recv() {
            self.hear(message)?;
        }
        Ok(())
    }

    /// Takes in the end of a task, of whatever kind.
    pub(super) fn ended(
        &mut self,
        ended: Result<(Id, TaskEnd), JoinError>,
    ) -> Result<(), DriveError> {
        self.asking.remove(&ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id));
        match ended {
            Ok((id, end)) => {
                self.running.remove(&id);
                self.questions.remove(&id);
                match end {
                    TaskEnd::Step(step, end) => {
                        self.hear_all()?;
                        self.finished(step, end)?;
                    }
                    TaskEnd::Work(play, Ok(matched)) => self.tell(Input::Work { play, matched }),
                    TaskEnd::Work(play, Err(failure)) => {
                        self.tell(Input::WorkFailed { play, failure });
                    }
                    TaskEnd::Oracle(play, Ok(report)) => self.tell(Input::Oracle { play, report }),
                    TaskEnd::Oracle(play, Err(failure)) => {
                        self.tell(Input::OracleFailed { play, failure });
                    }
                    TaskEnd::Looked(looks) => self.looked(&looks),
                    TaskEnd::Gate(play, gate, reading) => {
                        self.tell(Input::GateSaid { play, gate, reading });
                    }
                    TaskEnd::GateAnswered(play, gate, answer) => {
                        self.gate_answered(play, gate, id, answer)?;
                    }
                    TaskEnd::Answered(step, answer) => self.answered(&step, id, answer)?,
                    TaskEnd::Closed => {}
                }
            }
            Err(error) => self.panicked(&error)?,
        }
        Ok(())
    }

    /// A task ended by a mistake in this program. Whoever waits for it is told.
    fn panicked(&mut self, error: &JoinError) -> Result<(), DriveError> {
        if let Some(step) = self.running.remove(&error.id()) {
            self.hear_all()?;
            let failure = StepFailure::caused_by(FailureClass::Bug, "the step panicked", error);
            let mut end = StepEnd::failed(failure);
            // Nobody knows how far a change came that was under way.
            if self.state.step(&step).is_some_and(|state| state.open) {
                end.outcome = Outcome::Unknown;
            }
            self.finished(step, end)?;
        }
        self.asking_panicked(error)?;
        self.question_panicked(error);
        Ok(())
    }
}
