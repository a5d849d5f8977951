//! Takes back what an earlier run changed on a host, one change after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::message::StepEnd;
use super::step::{Job, apply, find, granted};
use super::task::went_on;
use crate::model::{Outcome, StepFailure};
use crate::plan::Inverse;

/// How many changes that stay are named in the end of a step; the journal holds all.
const NAMED: usize = 5;

/// Applies the inverses, each as an item of its own with a grant of its own.
///
/// One that is refused stays, and the others are applied all the same: an older change of the same
/// thing looks for itself whether the host is as it left it, and refuses if not. What says that
/// nothing more can be done there, a lost host or a lost answer, ends the step.
pub(super) async fn run(job: &Job, inverses: &[Inverse], applying: &AtomicBool) -> StepEnd {
    let mut back = Back::default();
    let last = inverses.len().saturating_sub(1);
    for (place, inverse) in inverses.iter().enumerate() {
        let end = one(job, inverse, applying).await;
        applying.store(false, Ordering::Relaxed);
        let goes_on = end.failure.as_ref().is_none_or(|failure| failure.class.is_rescuable());
        back.add(inverse, &end);
        if !goes_on {
            break;
        }
        let item = u32::try_from(place).ok();
        if place < last && went_on(job, item, 1, true, end, Duration::ZERO).await.is_err() {
            return StepEnd::orphaned();
        }
    }
    back.end(inverses.len())
}

async fn one(job: &Job, inverse: &Inverse, applying: &AtomicBool) -> StepEnd {
    let decided =
        find(&inverse.action).and_then(|action| Ok((action, action.record(&inverse.change)?)));
    let (action, (record, cost)) = match decided {
        Ok(decided) => decided,
        Err(failure) => return StepEnd::failed(failure),
    };
    if let Err(end) = granted(job, &record, cost).await {
        return end;
    }
    applying.store(true, Ordering::Relaxed);
    apply(job, action, &record).await
}

/// What came of the inverses so far.
#[derive(Default)]
struct Back {
    changed: usize,
    unchanged: usize,
    note: Option<String>,
    /// What the changes did that stay, and why they stay.
    stays: Vec<(String, Outcome, StepFailure)>,
}

impl Back {
    fn add(&mut self, inverse: &Inverse, end: &StepEnd) {
        self.note.clone_from(&end.note);
        match &end.failure {
            Some(failure) => {
                self.stays.push((inverse.lines.join("; "), end.outcome, failure.clone()));
            }
            None if end.outcome == Outcome::Changed => self.changed += 1,
            None => self.unchanged += 1,
        }
    }

    /// The end of the step; `all` is how many inverses it had.
    fn end(mut self, all: usize) -> StepEnd {
        let note = if all > 1 {
            Some(format!("{} of {all} changes taken back", self.changed + self.unchanged))
        } else {
            self.note
        };
        // The last one tells most: after a lost host nothing came any more.
        let Some((_, outcome, worst)) = self.stays.last().cloned() else {
            let outcome = match (self.changed, self.unchanged) {
                (0, 0) => Outcome::Skipped,
                (0, _) => Outcome::Unchanged,
                _ => Outcome::Changed,
            };
            return StepEnd { outcome, failure: None, note, value: Value::Null };
        };
        if all == 1 {
            return StepEnd { note, ..StepEnd::failed(worst) };
        }
        let count = self.stays.len();
        self.stays.truncate(NAMED);
        let told = self.stays.iter().map(|(what, _, why)| format!("{what}: {why}"));
        let mut message = format!("{count} of {all} changes were not taken back: ");
        message.push_str(&told.collect::<Vec<_>>().join("; "));
        if count > NAMED {
            message.push_str("; …");
        }
        let failure = StepFailure { message, causes: Vec::new(), ..worst };
        StepEnd { outcome, failure: Some(failure), note, value: Value::Null }
    }
}
