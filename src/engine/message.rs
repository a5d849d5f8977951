//! What the tasks of the driver tell it.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::event::{Ack, Answer, ChangeRecord, OracleReport, Question};
use crate::model::{
    Cost, FailureClass, HostName, MatchedWork, NsHealth, Outcome, PlayNo, StepFailure, StepId,
};
use crate::scheduler::GateReading;

/// A word from a task.
pub(super) enum Message {
    /// A step knows its change and waits for the grant, which tells when the intent is on disk.
    Decided { step: StepId, record: ChangeRecord, cost: Cost, grant: oneshot::Sender<Ack> },
    /// A step whose reading draws from limits waits for them; nothing is recorded.
    WantsToRead { step: StepId, cost: Cost, grant: oneshot::Sender<()> },
    /// An attempt or an item ended, and the step goes on with the next one after a pause of real
    /// time.
    WentOn {
        step: StepId,
        item: Option<u32>,
        attempt: u32,
        settled: bool,
        end: StepEnd,
        pause: Duration,
    },
    /// A step asks the operator; the answer comes with what tells when it is on disk.
    Asks { step: StepId, question: Question, reply: oneshot::Sender<(Answer, Ack)> },
    /// In check mode: a step knows what it would change.
    WouldChange { step: StepId, record: ChangeRecord, cost: Cost },
}

/// What a task of the driver ends with.
pub(super) enum TaskEnd {
    Step(StepId, StepEnd),
    Work(PlayNo, Result<MatchedWork, StepFailure>),
    Oracle(PlayNo, Result<OracleReport, StepFailure>),
    /// Every Notification Server was looked at.
    Looked(Vec<(HostName, NsHealth)>),
    /// A gate was asked.
    Gate(PlayNo, u16, GateReading),
    /// The operator said whether a play goes on without an answer of a gate.
    GateAnswered(PlayNo, u16, Answer),
    /// The operator answered the question of a step.
    Answered(StepId, Answer),
    /// A session was closed.
    Closed,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepEnd {
    pub(super) outcome: Outcome,
    pub(super) failure: Option<StepFailure>,
    pub(super) note: Option<String>,
    pub(super) value: Value,
}

impl StepEnd {
    pub(super) fn failed(failure: StepFailure) -> Self {
        Self {
            outcome: failure.class.outcome(),
            failure: Some(failure),
            note: None,
            value: Value::Null,
        }
    }

    pub(super) fn unchanged(note: String, value: Value) -> Self {
        Self { outcome: Outcome::Unchanged, failure: None, note: Some(note), value }
    }

    pub(super) fn skipped() -> Self {
        Self { outcome: Outcome::Skipped, failure: None, note: None, value: Value::Null }
    }

    /// The driver went away before the step had its grant: nothing was changed.
    pub(super) fn orphaned() -> Self {
        Self::failed(orphaned())
    }
}

/// The driver went away before the step had its grant.
pub(super) fn orphaned() -> StepFailure {
    StepFailure::new(FailureClass::Cancelled, "the run ended before the step began")
}
