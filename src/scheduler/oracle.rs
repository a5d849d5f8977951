//! Asks the CMDB again and again whether the servers are really well.
//!
//! The last word comes when all pairs are ready, when `within` has passed, or earlier when more
//! waiting cannot help: every pair that is left belongs to a host whose steps ended badly, or is
//! refused by the Notification Server, and nothing has changed for a while.

use std::time::Duration;

use super::play::PlayRun;
use crate::event::{NotReady, OracleReport};
use crate::model::{Elapsed, TimeScale};

/// The world's time between two questions.
const EVERY: Duration = Duration::from_secs(15);
/// The shortest real time between two questions, however fast the world runs.
const FLOOR: Duration = Duration::from_millis(500);

/// The world's time for which refused pairs must have stayed as they are, so that reports that wait
/// in the event queue are seen.
pub(super) const SETTLED: Duration = Duration::from_secs(5 * 60);

/// The questions about one play.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OracleWatch {
    deadline: Elapsed,
    settle: Duration,
    /// The pairs that were left at the latest answer, and since when they are.
    left: Option<(Elapsed, Vec<NotReady>)>,
    every: Duration,
    next: Elapsed,
    is_asked: bool,
    is_last: bool,
}

impl OracleWatch {
    /// Asks at once, and then until all is ready or `within` of the world's time has passed; just
    /// once when `is_last`.
    pub(super) fn new(now: Elapsed, within: Duration, scale: TimeScale, is_last: bool) -> Self {
        Self {
            deadline: now.plus(scale.to_real(within)),
            settle: scale.to_real(SETTLED),
            left: None,
            every: scale.to_real(EVERY).max(FLOOR),
            next: now,
            is_asked: false,
            is_last,
        }
    }

    /// Whether the question is due now; it counts as asked.
    pub(super) fn ask(&mut self, now: Elapsed) -> bool {
        let is_due = !self.is_asked && self.next <= now;
        self.is_asked |= is_due;
        is_due
    }

    /// When it is asked for the last time, unless all is Ready before.
    pub(super) fn deadline(&self) -> Elapsed {
        self.deadline
    }

    /// Whether an answer is waited for.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// When the next question is due; none while an answer is waited for.
    pub(super) fn next_wakeup(&self) -> Option<Elapsed> {
        (!self.is_asked).then_some(self.next)
    }

    /// The next answer is the last one, and is asked for at once.
    pub(super) fn hurry(&mut self, now: Elapsed) {
        self.is_last = true;
        self.next = self.next.min(now);
    }

    /// The CMDB could not be asked: says whether that was the last try.
    pub(super) fn failed(&mut self, now: Elapsed) -> bool {
        self.is_asked = false;
        self.next = now.plus(self.every).min(self.deadline.max(now));
        self.is_last || now >= self.deadline
    }

    /// Takes an answer in, and says whether it was the last.
    pub(super) fn answered(&mut self, now: Elapsed, report: &OracleReport, play: &PlayRun) -> bool {
        let is_last = self.failed(now);
        let waited_for: Vec<NotReady> =
            report.not_ready.iter().filter(|pair| play.is_well(&pair.host)).cloned().collect();
        let is_hopeless = !waited_for.is_empty() && waited_for.iter().all(|pair| pair.is_refused);
        let since = match self.left.take() {
            Some((since, before)) if before == waited_for => since,
            Some(_) | None => now,
        };
        self.left = Some((since, waited_for));
        let is_settled = is_hopeless && now.since(since) >= self.settle;
        is_last || is_settled || is_satisfied(report, play)
    }
}

/// Whether the report says, positively, that every pair of every host that ended well is ready.
/// No pairs at all are no success.
pub(super) fn is_satisfied(report: &OracleReport, play: &PlayRun) -> bool {
    let told = report.ready as usize + report.not_ready.len();
    report.of > 0
        && told >= report.of as usize
        && report.not_ready.iter().all(|pair| !play.is_well(&pair.host))
}
