//! How much of a declared limit the Notification Server bears now.
//!
//! The rule of an adaptive limit (after Netflix' Gradient2, which learns its own overload as the
//! new normal; this one does not): the baseline is how fast the server answers while we ask next to
//! nothing of it. While the fastest of the latest looks is within what is tolerated, the level
//! grows by its square root; beyond, it falls in proportion; when the server says that it is busy,
//! it is halved and held.
//!
//! That steers load that comes at once. Where much of it comes later (agents that were asked to
//! update ask for their packages half a minute to two minutes afterwards), what is seen now is the
//! work of a level that is long gone, and such a rule would swing. There the rate is what
//! [`Deferred`] says, which knows what is on its way and learns what the server bears.

use std::collections::VecDeque;
use std::time::Duration;

use super::curb::Share;
use super::deferred::Deferred;
use super::pipeline::{ARRIVES_UNTIL, whole};
use crate::event::AdaptReason;
use crate::model::{Adapt, Draw, Elapsed, NsHealth, TimeScale};

/// A look is taken once in a window, in the world's time. Looks do not overlap: a server that is
/// slow to answer is looked at less often, which is the pace at which it can be steered.
const WINDOW: Duration = Duration::from_secs(1);
/// Looks do not follow each other faster than this in real time, however fast the world runs.
const WINDOW_FLOOR: Duration = Duration::from_millis(100);
/// Looks before anything is drawn: the baseline is the fastest of them.
const PREFLIGHT: u32 = 5;
/// How often the baseline is measured anew, in seconds, and with how many looks at the floor.
const FLOOR_EVERY: f64 = 300.0;
const FLOOR_LOOKS: u32 = 2;
/// How far the baseline follows a slower and a faster answer.
const BASE_UP: f64 = 0.1;
const BASE_DOWN: f64 = 0.3;
/// Of the looks of so many seconds the fastest counts: a queue that stands is in all of them, and
/// one request that happens to be worked on is not.
const SPAN: f64 = 8.0;
/// How much slower than the baseline is tolerated in any case.
const TOLERATED: f64 = 1.5;
/// How far one look moves the level towards what it says.
const SMOOTHING: f64 = 0.2;
/// Seconds without growth after the server said that it is busy.
const HOLD: f64 = 10.0;
/// Looks in a row without an answer, until only the floor is drawn, and until nothing is.
const UNREADABLE_FLOOR: u32 = 3;
const UNREADABLE_PAUSE: u32 = 6;
/// The share of deferred load from which the rate is steered by what is on its way.
const LATE_SHARE: f64 = 0.1;
/// Seconds for which the oldest event may stay the same while events wait.
const STALL: f64 = 120.0;
/// The level of a limit without a cap goes in steps of this part.
pub(super) const STEPS: u32 = 20;

/// What was drawn within a second.
#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    second: u64,
    now: f64,
    later: f64,
}

/// The rule. Time is passed in; inside, it is seconds of the world's time.
///
/// The level is counted in units of the declared cap: from 1, the floor, up to the cap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adaptive {
    adapt: Adapt,
    scale: TimeScale,
    ceiling: f64,
    level: f64,
    /// What steers load that is deferred; none where no rate is declared, because a cap does
    /// nothing for such load: the step is over before it comes.
    deferred: Option<Deferred>,
    /// Whether so much of what was drawn lately arrives later that what is seen now is old.
    is_late: bool,
    /// What an answer takes at rest, in seconds.
    base: Option<f64>,
    preflight: u32,
    /// Answers of the last seconds: when, and how long they took.
    answers: VecDeque<(f64, f64)>,
    unreadable: u32,
    hold_until: f64,
    floor_at: f64,
    floor_looks: u32,
    floor_best: f64,
    drawn: VecDeque<Drawn>,
    queue: Option<u64>,
    oldest: Option<(i64, f64)>,
    finding: AdaptReason,
}

impl Adaptive {
    /// A rule for a limit whose level goes up to `ceiling`, and whose rate up to `declared` units a
    /// second of the world's time. Nothing may be drawn before the baseline is known; then the
    /// level begins at the floor.
    pub(super) fn new(adapt: Adapt, ceiling: u32, declared: Option<f64>, scale: TimeScale) -> Self {
        let ceiling = f64::from(ceiling.max(1));
        let window = scale.to_world(window(scale)).as_secs_f64();
        Self {
            adapt,
            scale,
            ceiling,
            level: 1.0,
            deferred: declared.map(|rate| Deferred::new(rate, 1.0 / ceiling, window)),
            is_late: false,
            base: None,
            preflight: PREFLIGHT,
            answers: VecDeque::new(),
            unreadable: 0,
            hold_until: 0.0,
            floor_at: 0.0,
            floor_looks: 0,
            floor_best: 0.0,
            drawn: VecDeque::new(),
            queue: None,
            oldest: None,
            finding: AdaptReason::Well,
        }
    }

    /// How long one look follows the other, in real time.
    pub(super) fn window(&self) -> Duration {
        window(self.scale)
    }

    /// The share of the declared limit that may be drawn; nothing while nothing is known.
    pub(super) fn share(&self) -> Share {
        if self.preflight > 0 || self.is_paused() {
            return Share::NOTHING;
        }
        let floor = 1.0 / self.ceiling;
        match self.deferred.as_ref().filter(|_| self.is_late) {
            Some(deferred) if self.unreadable >= UNREADABLE_FLOOR => {
                Share::of_rate(deferred.share().min(floor))
            }
            Some(deferred) => Share::of_rate(deferred.share()),
            None => Share::of_both(self.level() / self.ceiling),
        }
    }

    /// Whether too many looks in a row were not answered.
    pub(super) fn is_paused(&self) -> bool {
        self.unreadable >= UNREADABLE_PAUSE
    }

    /// Why the level is as it is.
    pub(super) fn finding(&self) -> AdaptReason {
        self.finding
    }

    /// INVARIANT: 1 <= level <= ceiling
    fn level(&self) -> f64 {
        let is_at_floor = self.floor_looks > 0 || self.unreadable >= UNREADABLE_FLOOR;
        if is_at_floor { 1.0 } else { self.level.clamp(1.0, self.ceiling) }
    }

    /// Takes in what was drawn from the limit, and what of it falls due after a known time.
    pub(super) fn drew(&mut self, draw: Draw, due: &[(u32, Duration)], now: Elapsed) {
        let second = self.scale.to_world(now.as_duration()).as_secs();
        if let Some(deferred) = &mut self.deferred {
            let seconds = |after: &Duration| self.scale.to_world(*after).as_secs();
            let due: Vec<(u32, u64)> =
                due.iter().map(|(units, after)| (*units, seconds(after))).collect();
            deferred.drew(draw, &due, second);
        }
        if self.drawn.back().is_none_or(|drawn| drawn.second != second) {
            self.drawn.push_back(Drawn { second, now: 0.0, later: 0.0 });
        }
        if let Some(drawn) = self.drawn.back_mut() {
            let due: f64 = due.iter().map(|(units, _)| f64::from(*units)).sum();
            drawn.now += f64::from(draw.now);
            drawn.later += f64::from(draw.later) + due;
        }
        self.weigh(self.seconds(now));
    }

    /// A request of ours was answered that the server is too busy.
    pub(super) fn busy(&mut self, now: Elapsed) {
        self.finding = AdaptReason::Busy;
        let now = self.seconds(now);
        self.back_off(now);
        if let Some(deferred) = &mut self.deferred {
            deferred.busy(now, now);
        }
    }

    /// Takes in how a look that began at `since` found the server.
    pub(super) fn look(&mut self, health: &NsHealth, since: Elapsed, now: Elapsed) {
        let (begun, now) = (self.seconds(since), self.seconds(now));
        self.weigh(now);
        if !health.is_readable() {
            self.unreadable = self.unreadable.saturating_add(1);
            self.finding = AdaptReason::Unreadable;
            self.answers.clear();
            let backlog = self.backlog(now - begun);
            if let Some(deferred) = self.deferred.as_mut().filter(|_| self.preflight == 0) {
                deferred.gave_up(backlog, begun, now);
            }
            return self.back_off(now);
        }
        self.unreadable = 0;
        if health.is_busy {
            self.finding = AdaptReason::Busy;
            self.answers.clear();
            if let Some(deferred) = &mut self.deferred {
                deferred.busy(begun, now);
            }
            return self.back_off(now);
        }
        let Some(answer) = health.latency.map(|span| self.scale.to_world(span).as_secs_f64())
        else {
            return;
        };
        if self.preflight > 0 {
            self.preflight -= 1;
            self.base = Some(self.base.map_or(answer, |base| base.min(answer)));
            self.floor_at = now;
            return;
        }
        let base = self.base.unwrap_or(answer);
        let base = if answer < base { base + BASE_DOWN * (answer - base) } else { base };
        self.base = Some(base);
        let backlog = self.backlog(answer);
        if let Some(deferred) = &mut self.deferred {
            deferred.looked(backlog, begun, now);
        }
        if self.is_queue_bad(health, now) {
            self.finding = AdaptReason::Queue;
            if let Some(deferred) = &mut self.deferred {
                deferred.fall_to_floor();
            }
            return self.back_off(now);
        }
        if self.measures_base(answer, base, now) {
            return;
        }
        self.answers.push_back((now, answer));
        while self.answers.front().is_some_and(|(at, _)| *at + SPAN <= now) {
            self.answers.pop_front();
        }
        let gradient = (self.tolerated(base) / self.best()).min(1.0);
        self.finding = if gradient < 1.0 { AdaptReason::Slow } else { AdaptReason::Well };
        match self.deferred.as_ref().filter(|_| self.is_late) {
            // Where load comes at once again, it goes on from here.
            Some(deferred) => {
                self.level = deferred.share() * self.ceiling;
                if self.finding == AdaptReason::Well && deferred.share() < 1.0 {
                    self.finding = AdaptReason::Full;
                }
            }
            None => self.judge(gradient, now),
        }
        self.level = self.level.clamp(1.0, self.ceiling);
    }

    /// A look that began at `since` is not answered yet: the answer will have taken at least that
    /// long.
    pub(super) fn waits(&mut self, since: Elapsed, now: Elapsed) {
        let (begun, now) = (self.seconds(since), self.seconds(now));
        let backlog = self.backlog(now - begun);
        self.weigh(now);
        let is_late = self.is_late;
        let Some(deferred) = self.deferred.as_mut().filter(|_| self.preflight == 0) else { return };
        deferred.waits(backlog, begun, now);
        if is_late && backlog > self.adapt.slow.as_secs_f64() {
            self.finding = AdaptReason::Slow;
        }
    }

    /// The fastest answer of the last seconds.
    fn best(&self) -> f64 {
        self.answers.iter().map(|(_, answer)| *answer).fold(f64::INFINITY, f64::min)
    }

    fn seconds(&self, now: Elapsed) -> f64 {
        self.scale.to_world(now.as_duration()).as_secs_f64()
    }

    fn tolerated(&self, base: f64) -> f64 {
        (TOLERATED * base).max(base + self.adapt.slow.as_secs_f64())
    }

    /// The seconds of work that waited when an answer took so long.
    fn backlog(&self, answer: f64) -> f64 {
        let base = self.base.unwrap_or(answer);
        if answer > TOLERATED * base { answer - base } else { 0.0 }
    }

    /// The level is what is seen.
    fn judge(&mut self, gradient: f64, now: f64) {
        if gradient < 1.0 {
            self.level += SMOOTHING * self.level * (gradient.max(0.5) - 1.0);
        } else if now >= self.hold_until {
            self.level += SMOOTHING * self.level.sqrt();
        }
    }

    fn back_off(&mut self, now: f64) {
        if now >= self.hold_until {
            self.level = (self.level / 2.0).max(1.0);
        }
        self.hold_until = now + HOLD;
    }

    /// Looks at the floor now and then, and takes the baseline from there. Only where no load is
    /// deferred: else the server is never at rest, however little is drawn now.
    fn measures_base(&mut self, answer: f64, base: f64, now: f64) -> bool {
        if self.drawn.iter().any(|drawn| drawn.later > 0.0) {
            self.floor_looks = 0;
            return false;
        }
        if self.floor_looks > 0 {
            self.floor_looks -= 1;
            self.floor_best = self.floor_best.min(answer);
            if self.floor_looks == 0 {
                self.base = Some(base + BASE_UP * (self.floor_best - base).max(0.0));
                self.answers.clear();
            }
            return true;
        }
        if now - self.floor_at >= FLOOR_EVERY {
            self.floor_at = now;
            self.floor_looks = FLOOR_LOOKS;
            self.floor_best = f64::INFINITY;
            return true;
        }
        false
    }

    /// Whether the event queue is longer than it may be and grows, or nothing is taken out of it.
    fn is_queue_bad(&mut self, health: &NsHealth, now: f64) -> bool {
        let Some(rows) = health.queue else { return false };
        let grows = self.queue.is_some_and(|before| rows >= before);
        self.queue = Some(rows);
        self.oldest = match (health.oldest.filter(|_| rows > 0), self.oldest) {
            (Some(id), Some((before, since))) if id == before => Some((id, since)),
            (Some(id), _) => Some((id, now)),
            (None, _) => None,
        };
        let stalls = self.oldest.is_some_and(|(_, since)| now - since >= STALL);
        (rows > self.adapt.queue && grows) || stalls
    }

    /// Weighs what was drawn lately: how much of it arrives later.
    fn weigh(&mut self, now: f64) {
        let is_over = |drawn: &Drawn| whole(drawn.second + ARRIVES_UNTIL) < now;
        while self.drawn.front().is_some_and(is_over) {
            self.drawn.pop_front();
        }
        let later: f64 = self.drawn.iter().map(|drawn| drawn.later).sum();
        let all: f64 = self.drawn.iter().map(|drawn| drawn.now + drawn.later).sum();
        self.is_late = all > 0.0 && later / all > LATE_SHARE;
    }
}

fn window(scale: TimeScale) -> Duration {
    scale.to_real(WINDOW).max(WINDOW_FLOOR)
}

#[cfg(test)]
mod tests;
