//! A task of a playbook on one host: its items and attempts, each of which reads, decides and
//! applies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::message::{Message, StepEnd};
use super::step::{Job, attempt};
use crate::action::{self, Replay};
use crate::event::StepPart;
use crate::expression::{Scope, render, truth};
use crate::model::{FailureClass, Outcome, StepFailure, Task};
use crate::plan::{AfterAttempt, Attempt};

/// The most items of a loop.
const MAX_ITEMS: usize = 10_000;
/// How many letters of an item a message shows.
const SHOWN: usize = 80;

pub(super) fn refused(error: &(dyn std::error::Error + 'static)) -> StepFailure {
    StepFailure::from_error(FailureClass::Refused, error)
}

/// Runs the task to its end.
pub(super) async fn run(job: &Job, task: &Task, scope: &Scope, applying: &AtomicBool) -> StepEnd {
    match &task.flow.each {
        None => attempts(job, task, scope, None, applying).await,
        Some(each) => items(job, task, each, scope, applying).await,
    }
}

/// Runs the task for each item, one after the other. What was done before a crash is not repeated.
async fn items(
    job: &Job,
    task: &Task,
    each: &Value,
    scope: &Scope,
    applying: &AtomicBool,
) -> StepEnd {
    let items = match render(each, scope) {
        Ok(Value::Array(items)) if items.len() <= MAX_ITEMS => items,
        Ok(Value::Array(items)) => {
            let message = format!("a loop over {} items is more than 10 000", items.len());
            return StepEnd::failed(StepFailure::new(FailureClass::Refused, message));
        }
        Ok(other) => {
            let message = format!("a loop needs a list, and `{}` is none", shown(&other));
            return StepEnd::failed(StepFailure::new(FailureClass::Refused, message));
        }
        Err(error) => return StepEnd::failed(refused(&error)),
    };
    let mut done = Items::default();
    let settled: Vec<&StepPart> = job.parts.iter().filter(|part| part.settled).collect();
    let last = items.len().saturating_sub(1);
    for (place, item) in items.into_iter().enumerate() {
        if let Some(part) = settled.get(place) {
            done.add(&item, part.outcome, part.failure.as_ref(), part.value.clone());
            continue;
        }
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        let scope = scope.clone().with_item(item.clone());
        let end = attempts(job, task, &scope, Some(number), applying).await;
        done.add(&item, end.outcome, end.failure.as_ref(), end.value.clone());
        let goes_on = end.outcome.is_well()
            || (task.flow.ignore_errors
                && end.failure.as_ref().is_some_and(|failure| failure.class.is_rescuable()));
        if !goes_on {
            break;
        }
        if place < last && went_on(job, Some(number), 1, true, end, Duration::ZERO).await.is_err() {
            return StepEnd::orphaned();
        }
    }
    done.end()
}

/// The items of a loop that are through.
#[derive(Default)]
struct Items {
    results: Vec<Value>,
    changed: usize,
    unchanged: usize,
    /// The first that ended badly, and how.
    failed: Option<(Outcome, StepFailure)>,
}

impl Items {
    fn add(&mut self, item: &Value, outcome: Outcome, failure: Option<&StepFailure>, value: Value) {
        let mut result = json!({ "item": item, "outcome": outcome, "value": value });
        match outcome {
            Outcome::Changed => self.changed += 1,
            Outcome::Unchanged => self.unchanged += 1,
            _ => {}
        }
        if let Some(failure) = failure {
            result["error"] = Value::String(failure.to_string());
            let told = || {
                let message = format!("item `{}`: {}", shown(item), failure.message);
                (outcome, StepFailure { message, ..failure.clone() })
            };
            // One that is lost says more than one that failed and was ignored.
            let is_worse = self.failed.as_ref().is_none_or(|(so_far, _)| *so_far < outcome);
            if is_worse {
                self.failed = Some(told());
            }
        }
        self.results.push(result);
    }

    fn end(self) -> StepEnd {
        let count = self.results.len();
        let note = format!("{count} items, {} changed", self.changed);
        let value = Value::Array(self.results);
        let (outcome, failure) = match self.failed {
            Some((outcome, failure)) => (outcome, Some(failure)),
            None if self.changed > 0 => (Outcome::Changed, None),
            None if self.unchanged > 0 => (Outcome::Unchanged, None),
            None => (Outcome::Skipped, None),
        };
        StepEnd { outcome, failure, note: Some(note), value }
    }
}

/// Runs the task, or one item of it, and repeats it as its author said.
async fn attempts(
    job: &Job,
    task: &Task,
    scope: &Scope,
    item: Option<u32>,
    applying: &AtomicBool,
) -> StepEnd {
    let is_before = |part: &&StepPart| part.item == item && !part.settled;
    let before = job.parts.iter().filter(is_before).count();
    let mut number = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    loop {
        let end = attempt(job, task, scope, applying).await;
        let has_applied = applying.swap(false, Ordering::Relaxed);
        // In check mode nothing is changed that another attempt could wait for.
        let Some(retry) = task.flow.retry.as_ref().filter(|_| !job.is_check) else { return end };
        let is_met = match &retry.until {
            Some(until) if end.outcome.is_well() && end.outcome != Outcome::Skipped => {
                let mut scope = scope.clone();
                if let Some(name) = &task.register {
                    scope.register(name, end.value.clone());
                }
                match truth(until, &scope) {
                    Ok(is_met) => is_met,
                    Err(error) => {
                        return StepEnd { value: end.value, ..StepEnd::failed(refused(&error)) };
                    }
                }
            }
            Some(_) | None => true,
        };
        let judged = Attempt {
            number,
            outcome: end.outcome,
            class: end.failure.as_ref().map(|failure| failure.class),
            has_applied,
            is_met,
        };
        let replay_is_safe =
            action::find(&task.action.action).is_some_and(|action| action.replay() == Replay::Safe);
        match judged.judge(retry, replay_is_safe) {
            AfterAttempt::Ends => return end,
            AfterAttempt::Fails(failure) => {
                return StepEnd { value: end.value, note: end.note, ..StepEnd::failed(failure) };
            }
            AfterAttempt::Again => {}
        }
        let pause = job.session.config().scale.to_real(retry.delay);
        if went_on(job, item, number, false, end, pause).await.is_err() {
            return StepEnd::orphaned();
        }
        tokio::time::sleep(pause).await;
        number = number.saturating_add(1);
    }
}

pub(super) async fn went_on(
    job: &Job,
    item: Option<u32>,
    attempt: u32,
    settled: bool,
    end: StepEnd,
    pause: Duration,
) -> Result<(), ()> {
    let step = job.step.clone();
    let message = Message::WentOn { step, item, attempt, settled, end, pause };
    job.inbox.send(message).await.map_err(|_| ())
}

/// A value for a message, cut to what fits.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= SHOWN {
        text
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}
