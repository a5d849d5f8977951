//! What is known of one step, and of the question that it asked an operator.

use serde_json::Value;

use crate::event::{Answer, ChangeRecord, Question};
use crate::model::{Cost, Elapsed, HostName, Outcome, StepFailure, StepId};

/// A step so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepState {
    /// When it started.
    pub started: Elapsed,
    /// Every change it decided on, in order; more than one after a resume.
    pub changes: Vec<(ChangeRecord, Cost)>,
    /// For each of those, the number of the event that decided it: the order among the changes of
    /// all steps.
    pub decided: Vec<u64>,
    /// For each of those, when it drew from its limits.
    pub decided_at: Vec<Elapsed>,
    /// Whether a decided change has no recorded end: after a crash, it is in doubt.
    pub open: bool,
    /// The host on which it acts, where that is another one.
    pub on: Option<HostName>,
    /// Its attempts and items that ended and after which it went on.
    pub parts: Vec<StepPart>,
    /// How many of the changes belong to those.
    pub settled: usize,
    /// Whether it changed its host, with an attempt, with an item, or before it was taken up again.
    pub has_changed: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub finished: Option<Elapsed>,
    /// Why it ended badly.
    pub failure: Option<StepFailure>,
    /// What was seen or done.
    pub note: Option<String>,
    /// The value that `register` keeps.
    pub value: Value,
}

/// An attempt of a step, or an item of its loop, that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPart {
    /// The item, from 0; none in a task without a loop.
    pub item: Option<u32>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether the item is through.
    pub settled: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended badly.
    pub failure: Option<StepFailure>,
    /// The value that it came to.
    pub value: Value,
}

/// A question to an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmation {
    /// The step that asked.
    pub step: StepId,
    /// What was asked.
    pub question: Question,
    /// What was said, and when.
    pub answer: Option<(Answer, jiff::Timestamp)>,
}
