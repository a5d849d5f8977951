//! How much of a declared limit the Notification Server bears now.
//!
//! The rule of an adaptive limit (after Netflix' Gradient2, which learns its own overload as the
//! new normal; this one does not): the baseline is how fast the server answers while we ask next to
//! nothing of it. While the fastest of the latest looks is within what is tolerated, the level
//! grows by its square root; beyond, it falls in proportion; when the server says that it is busy,
//! it is halved and held.
//!
//! Load that comes later (agents that were asked to update ask for their packages half a minute to
//! two minutes afterwards) would make such a rule swing: what is seen now is the work of a level
//! that is long gone, and what is booked cannot be called back. So where much of the load is
//! deferred, two things are kept apart. The **mark** is the level that was borne: it is judged by
//! the level under which the load that arrives now was drawn, and grows by a part of that only. The
//! **brake** follows what is seen at once, down to a standstill, until the queue is worked off.

use std::collections::VecDeque;
use std::time::Duration;

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
/// When deferred load arrives, in seconds after the change that causes it.
const ARRIVES_FROM: u64 = 30;
const ARRIVES_UNTIL: u64 = 120;
/// The share of deferred load from which the level is judged by what was drawn, not by what is.
const LATE_SHARE: f64 = 0.1;
/// How far the mark may be above the level that is known to be borne: before the server was ever
/// slow, and after.
const GROWTH_AT_FIRST: f64 = 1.5;
const GROWTH: f64 = 1.3;
/// For so many seconds after the server was slow the mark goes on by [`STEP`] only: so long it takes
/// until what was drawn since has arrived.
const REST: f64 = 150.0;
/// How far above the level that is known to be borne the mark may be in any case.
const STEP: f64 = 0.5;
/// The brake follows the fastest look of so many seconds: it must be quick, and a mistake of it
/// costs little.
const BRAKE_SPAN: f64 = 3.0;
/// How far one look moves the brake down.
const BRAKING: f64 = 0.3;
/// The mark falls at least to this share of the level that was too much, and at most by half; in
/// between by the root of how slow the server is that this exponent says.
const FALL_LEAST: f64 = 0.8;
const FALL_EXPONENT: f64 = 0.15;
/// How far it falls when the server says that it is busy.
const FALL_BUSY: f64 = 0.75;
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
    /// The levels of the later part, and its marks, each times the units that were drawn under it.
    levels: f64,
    marks: f64,
}

/// The rule. Time is passed in; inside, it is seconds of the world's time.
///
/// The level is counted in units of the declared cap: from 1, the floor, up to the cap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adaptive {
    adapt: Adapt,
    scale: TimeScale,
    ceiling: f64,
    /// The level that is believed to be borne.
    mark: f64,
    /// The share of it that is allowed, from 0 to 1; 1 while little load is deferred.
    brake: f64,
    /// What an answer takes at rest, in seconds.
    base: Option<f64>,
    preflight: u32,
    /// Answers of the last seconds: when, and how long they took.
    answers: VecDeque<(f64, f64)>,
    unreadable: u32,
    hold_until: f64,
    /// When the server was last slow or busy.
    slow_at: Option<f64>,
    floor_at: f64,
    floor_looks: u32,
    floor_best: f64,
    drawn: VecDeque<Drawn>,
    queue: Option<u64>,
    oldest: Option<(i64, f64)>,
    finding: AdaptReason,
}

impl Adaptive {
    /// A rule for a limit whose level goes up to `ceiling`. Nothing may be drawn before the
    /// baseline is known; then the level begins at the floor.
    pub(super) fn new(adapt: Adapt, ceiling: u32, scale: TimeScale) -> Self {
        Self {
            adapt,
            scale,
            ceiling: f64::from(ceiling.max(1)),
            mark: 1.0,
            brake: 1.0,
            base: None,
            preflight: PREFLIGHT,
            answers: VecDeque::new(),
            unreadable: 0,
            hold_until: 0.0,
            slow_at: None,
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
        self.scale.to_real(WINDOW).max(WINDOW_FLOOR)
    }

    /// The share of the declared limit that may be drawn, from 0 to 1; 0 while nothing is known.
    pub(super) fn share(&self) -> f64 {
        if self.preflight > 0 || self.is_paused() {
            return 0.0;
        }
        self.level() / self.ceiling
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
        if is_at_floor { 1.0 } else { (self.mark * self.brake).clamp(1.0, self.ceiling) }
    }

    /// Takes in what was drawn from the limit under the present level.
    pub(super) fn drew(&mut self, draw: Draw, now: Elapsed) {
        let (second, level) = (self.scale.to_world(now.as_duration()).as_secs(), self.level());
        if self.drawn.back().is_none_or(|drawn| drawn.second != second) {
            let (now, later, levels, marks) = (0.0, 0.0, 0.0, 0.0);
            self.drawn.push_back(Drawn { second, now, later, levels, marks });
        }
        if let Some(drawn) = self.drawn.back_mut() {
            let later = f64::from(draw.later);
            drawn.now += f64::from(draw.now);
            drawn.later += later;
            drawn.levels += later * level;
            drawn.marks += later * self.mark;
        }
    }

    /// A request of ours was answered that the server is too busy.
    pub(super) fn busy(&mut self, now: Elapsed) {
        self.finding = AdaptReason::Busy;
        self.back_off(self.seconds(now));
    }

    /// Takes in how a look found the server.
    pub(super) fn look(&mut self, health: &NsHealth, now: Elapsed) {
        let now = self.seconds(now);
        if !health.is_readable() {
            self.unreadable = self.unreadable.saturating_add(1);
            self.finding = AdaptReason::Unreadable;
            self.answers.clear();
            return self.back_off(now);
        }
        self.unreadable = 0;
        if health.is_busy {
            self.finding = AdaptReason::Busy;
            self.answers.clear();
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
        if self.is_queue_bad(health, now) {
            self.finding = AdaptReason::Queue;
            return self.back_off(now);
        }
        let base = self.base.unwrap_or(answer);
        let base = if answer < base { base + BASE_DOWN * (answer - base) } else { base };
        self.base = Some(base);
        if self.measures_base(answer, base, now) {
            return;
        }
        self.answers.push_back((now, answer));
        while self.answers.front().is_some_and(|(at, _)| *at + SPAN <= now) {
            self.answers.pop_front();
        }
        let gradient = (self.tolerated(base) / self.best(SPAN, now)).min(1.0);
        self.finding = if gradient < 1.0 { AdaptReason::Slow } else { AdaptReason::Well };
        if self.is_late(now) {
            let brake = (self.tolerated(base) / self.best(BRAKE_SPAN, now)).min(1.0);
            self.brake +=
                if brake < self.brake { BRAKING } else { SMOOTHING } * (brake - self.brake);
            self.judge_late(gradient, now);
        } else {
            self.judge(gradient, now);
        }
        self.mark = self.mark.clamp(1.0, self.ceiling);
    }

    /// A look that began at `since` is not answered yet: the answer will have taken at least that
    /// long.
    pub(super) fn waits(&mut self, since: Elapsed, now: Elapsed) {
        let age = self.scale.to_world(now.since(since)).as_secs_f64();
        let now = self.seconds(now);
        let Some(base) = self.base.filter(|_| self.preflight == 0) else { return };
        let gradient = self.tolerated(base) / age;
        if gradient < 1.0 && self.is_late(now) {
            self.finding = AdaptReason::Slow;
            self.slow_at = Some(now);
            self.brake += BRAKING * (gradient - self.brake).min(0.0);
            self.lower_mark(gradient.powf(FALL_EXPONENT), now);
        }
    }

    /// The fastest answer of the last seconds.
    fn best(&self, span: f64, now: f64) -> f64 {
        let late = self.answers.iter().filter(|(at, _)| *at + span > now);
        late.map(|(_, answer)| *answer).fold(f64::INFINITY, f64::min)
    }

    fn seconds(&self, now: Elapsed) -> f64 {
        self.scale.to_world(now.as_duration()).as_secs_f64()
    }

    fn tolerated(&self, base: f64) -> f64 {
        (TOLERATED * base).max(base + self.adapt.slow.as_secs_f64())
    }

    /// Little of the load is deferred: the level is what is seen.
    fn judge(&mut self, gradient: f64, now: f64) {
        self.brake = 1.0;
        if gradient < 1.0 {
            self.slow_at = Some(now);
            self.mark += SMOOTHING * self.mark * (gradient.max(0.5) - 1.0);
        } else if now >= self.hold_until {
            self.mark += SMOOTHING * self.mark.sqrt();
        }
    }

    /// Much of the load is deferred: what is seen is the work of an earlier level.
    fn judge_late(&mut self, gradient: f64, now: f64) {
        let growth = match self.slow_at {
            None => GROWTH_AT_FIRST,
            Some(at) if now - at >= REST => GROWTH,
            Some(_) => 1.0,
        };
        if gradient < 1.0 {
            self.slow_at = Some(now);
            self.lower_mark(gradient.powf(FALL_EXPONENT), now);
        } else if now >= self.hold_until
            && let Some((level, _)) = self.cause(now)
        {
            let most = (level * growth).max(level + STEP);
            let grown = self.mark + SMOOTHING * self.mark.sqrt();
            self.mark = self.mark.max(grown.min(most));
        }
    }

    fn back_off(&mut self, now: f64) {
        self.slow_at = Some(now);
        if self.is_late(now) {
            self.brake /= 2.0;
            self.lower_mark(FALL_BUSY, now);
        } else if now >= self.hold_until {
            self.mark = (self.mark / 2.0).max(1.0);
        }
        self.hold_until = now + HOLD;
    }

    /// Lowers the mark to a share of the one under which the load was drawn that arrives now. So
    /// one excess lowers it once, however long it is seen.
    fn lower_mark(&mut self, share: f64, now: f64) {
        if let Some((_, mark)) = self.cause(now) {
            self.mark = self.mark.min((mark * share.clamp(0.5, FALL_LEAST)).max(1.0));
        }
    }

    /// Looks at the floor now and then, and takes the baseline from there. Only where no load is
    /// deferred: else the server is never at rest, however little is drawn now.
    fn measures_base(&mut self, answer: f64, base: f64, now: f64) -> bool {
        if self.deferred(now) > 0.0 {
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

    /// Whether so much of what was drawn lately arrives later that what is seen now is old.
    fn is_late(&mut self, now: f64) -> bool {
        self.deferred(now) > LATE_SHARE
    }

    /// The share of what was drawn lately that arrives later.
    fn deferred(&mut self, now: f64) -> f64 {
        let is_over = |drawn: &Drawn| whole(drawn.second + ARRIVES_UNTIL) < now;
        while self.drawn.front().is_some_and(is_over) {
            self.drawn.pop_front();
        }
        let later: f64 = self.drawn.iter().map(|drawn| drawn.later).sum();
        let all: f64 = self.drawn.iter().map(|drawn| drawn.now + drawn.later).sum();
        if all > 0.0 { later / all } else { 0.0 }
    }

    /// The level and the mark under which the deferred load was drawn that arrives now.
    fn cause(&self, now: f64) -> Option<(f64, f64)> {
        let arrives = |drawn: &&Drawn| whole(drawn.second + ARRIVES_FROM) <= now;
        let arriving = || self.drawn.iter().filter(arrives);
        let units: f64 = arriving().map(|drawn| drawn.later).sum();
        let levels: f64 = arriving().map(|drawn| drawn.levels).sum();
        let marks: f64 = arriving().map(|drawn| drawn.marks).sum();
        (units > 0.0).then(|| (levels / units, marks / units))
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run are far below 2^52")]
fn whole(seconds: u64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests;
