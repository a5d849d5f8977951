//! A token bucket that may go into debt, and that knows what falls due later.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Draw;

/// Tokens are counted so finely that a rate of one a day is exact enough and no rounding adds up.
const TOKEN: i128 = 1_000_000_000_000_000;
/// Bookings that may lie ahead; a draw with another one waits until the first of them is due.
const MAX_BOOKINGS: usize = 1024;

/// Units that one change takes from one limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What it causes at once, and what is lent at once and worked off.
    pub draw: Draw,
    /// What falls due later, and how much later, in real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<(u32, Duration)>,
}

impl Load {
    /// All of its units together.
    pub fn total(&self) -> u64 {
        u64::from(self.draw.total()) + self.due.map_or(0, |(units, _)| u64::from(units))
    }
}

impl From<Draw> for Load {
    fn from(draw: Draw) -> Self {
        Self { draw, due: None }
    }
}

/// Units that fall due at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Booking {
    at: u64,
    units: u32,
}

impl Booking {
    fn taken(self) -> i128 {
        i128::from(self.units) * TOKEN
    }
}

/// Whose a point of time is at which units are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Booked,
    Draw,
    Due,
}

/// A point of time at which units are taken.
struct Point {
    at: u64,
    whose: Whose,
    /// What must be there.
    need: i128,
    taken: i128,
}

/// Units that come back at a rate, up to a burst.
///
/// Units are taken at points of time: a draw when it is made, what it causes later at its due time.
/// At each point what it needs must be there, at most a full bucket; then all of it is taken. A debt
/// is worked off before the next point. So for any two points, all that is taken from the first up
/// to the second, plus what the second needs, is at most `burst + rate * span`: with units that
/// come one by one, no more than that start in any window. A draw waits until that holds for its
/// own points and for all that are booked ahead. What falls due sooner than the draw that causes it
/// can be worked off counts with that draw, as what is lent: no delay could part the two.
///
/// Instants are counted from any origin that stays the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    per_micro: i128,
    burst: i128,
    level: i128,
    at: u64,
    /// In the order of their instants, all after `at`.
    #[serde(default)]
    booked: Vec<Booking>,
    /// Nothing is drawn before this instant.
    #[serde(default)]
    closed_until: u64,
}

/// The level of a bucket on its way through time.
struct Walk<'b> {
    bucket: &'b Bucket,
    level: i128,
    at: u64,
}

impl Walk<'_> {
    fn go_to(&mut self, at: u64) {
        let micros = i128::from(at.saturating_sub(self.at));
        let level = self.level.saturating_add(micros.saturating_mul(self.bucket.per_micro));
        self.level = level.min(self.bucket.burst);
        self.at = self.at.max(at);
    }
}

impl Bucket {
    /// A full bucket. `rate` is in units each second of real time.
    pub fn new(rate: f64, burst: u32, now: impl Into<Duration>) -> Self {
        let burst = i128::from(burst.max(1)) * TOKEN;
        Self {
            per_micro: per_micro(rate),
            burst,
            level: burst,
            at: micros(now),
            booked: Vec::new(),
            closed_until: 0,
        }
    }

    /// Changes rate and burst; what was drawn stays drawn.
    pub fn retune(&mut self, rate: f64, burst: u32, now: impl Into<Duration>) {
        self.settle(micros(now));
        self.per_micro = per_micro(rate);
        self.burst = i128::from(burst.max(1)) * TOKEN;
        self.level = self.level.min(self.burst);
    }

    /// When a load may be drawn, as far as is known: the present when it may be drawn now.
    pub fn not_before(&self, load: impl Into<Load>, now: impl Into<Duration>) -> Duration {
        let (load, now) = (self.parted(load.into()), micros(now));
        let mut start = now;
        // Each turn passes a booking or waits for tokens between two of them.
        for _ in 0..4 * (self.booked.len() + 2) {
            match self.obstacle(load, start) {
                Some(next) => start = next.max(start + 1),
                None => break,
            }
        }
        Duration::from_micros(start)
    }

    /// Takes all units of a load, those that fall due later at their time.
    pub fn draw(&mut self, load: impl Into<Load>, now: impl Into<Duration>) {
        let (load, now) = (self.parted(load.into()), micros(now));
        self.settle(now);
        self.level -= i128::from(load.draw.total()) * TOKEN;
        if let Some(due) = due_of(load, now) {
            let place = self.booked.partition_point(|booking| booking.at <= due.at);
            self.booked.insert(place, due);
        }
    }

    /// Units that are there; negative while a debt is worked off.
    #[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
    pub fn available(&self, now: impl Into<Duration>) -> f64 {
        let mut bucket = self.clone();
        bucket.settle(micros(now));
        bucket.level as f64 / TOKEN as f64
    }

    /// Lets at most so many units be there: another bucket, which this one follows, has no more.
    #[expect(clippy::cast_possible_truncation, reason = "a float saturates when it is cast")]
    pub fn lower_to(&mut self, units: f64, now: impl Into<Duration>) {
        self.settle(micros(now));
        #[expect(clippy::cast_precision_loss, reason = "far finer than a unit")]
        let level = (units * TOKEN as f64).floor() as i128;
        self.level = self.level.min(level);
    }

    /// Whether it is as full as it can be and nothing lies ahead: nobody could tell it from a new
    /// one.
    pub fn is_idle(&self, now: impl Into<Duration>) -> bool {
        let mut bucket = self.clone();
        bucket.settle(micros(now));
        bucket.level == bucket.burst && bucket.booked.is_empty() && bucket.closed_until <= bucket.at
    }

    /// Goes on with a clock that has lost the connection to the one before: at `origin` of the new
    /// one, at least nothing has passed since the last look, and nobody knows how much more.
    ///
    /// The time in between gives back nothing. What is booked ahead falls due at an unknown time,
    /// at the latest as if nothing had passed: until then nothing is drawn, and all of it counts as
    /// taken then.
    pub fn carry_over(&mut self, origin: impl Into<Duration>) {
        let origin = micros(origin);
        let closed = self.closed_until.saturating_sub(self.at);
        let last = self.booked.last().map_or(0, |booking| booking.at.saturating_sub(self.at));
        self.level -= self.booked.drain(..).map(Booking::taken).sum::<i128>();
        self.closed_until = origin.saturating_add(closed.max(last));
        self.at = if last > 0 { self.closed_until } else { origin };
    }

    /// Whether an instant is not before one that it has seen: its clock has not gone back.
    pub(super) fn is_reached(&self, now: Duration) -> bool {
        micros(now) >= self.at || self.at == self.closed_until
    }

    /// The load as it is counted: what falls due apart from its draw, or with it.
    pub(super) fn parted(&self, load: Load) -> Load {
        let Some((units, after)) = load.due.filter(|(units, _)| *units > 0) else { return load };
        let due = Booking { at: 0, units };
        let back = i128::from(micros(after)).saturating_mul(self.per_micro);
        let left = (self.burst - i128::from(load.draw.total()) * TOKEN).saturating_add(back);
        if load.draw.total() == 0 || left >= due.taken().min(self.burst) {
            return load;
        }
        let later = load.draw.later.saturating_add(units);
        Load::from(Draw { now: load.draw.now, later })
    }

    /// Why a load cannot be drawn at `start`: the next instant at which that could be otherwise.
    fn obstacle(&self, load: Load, start: u64) -> Option<u64> {
        if start < self.closed_until {
            return Some(self.closed_until);
        }
        let own_due = due_of(load, start);
        if own_due.is_some() && self.booked.len() >= MAX_BOOKINGS {
            return self.booked.first().map(|booking| booking.at.max(start + 1));
        }
        let mut walk = Walk { bucket: self, level: self.level, at: self.at };
        let (mut has_drawn, mut has_booked) = (false, false);
        for point in self.points(load, start) {
            walk.go_to(point.at);
            let missing = point.need - walk.level;
            if missing > 0 {
                match point.whose {
                    Whose::Draw | Whose::Due => {
                        return Some(start.saturating_add(self.wait(missing)));
                    }
                    // What it lets fall due comes after this booking instead.
                    Whose::Booked if has_booked => {
                        let due = own_due.map_or(start, |due| due.at);
                        return Some(start + (point.at - due));
                    }
                    // The draw comes after it instead.
                    Whose::Booked if has_drawn => return Some(point.at),
                    Whose::Booked => {}
                }
            }
            walk.level -= point.taken;
            has_drawn |= point.whose == Whose::Draw;
            has_booked |= point.whose == Whose::Due;
        }
        None
    }

    /// What is booked and the points of a load drawn at `start`, in the order in which they are
    /// taken: at one instant first what is booked, then the draw, then what it lets fall due.
    fn points(&self, load: Load, start: u64) -> Vec<Point> {
        let booked = |whose| {
            move |booking: Booking| Point {
                at: booking.at,
                whose,
                need: booking.taken().min(self.burst),
                taken: booking.taken(),
            }
        };
        let mut points: Vec<Point> =
            self.booked.iter().copied().map(booked(Whose::Booked)).collect();
        if load.draw.total() > 0 {
            points.push(Point {
                at: start,
                whose: Whose::Draw,
                need: need(load.draw, self.burst),
                taken: i128::from(load.draw.total()) * TOKEN,
            });
        }
        points.extend(due_of(load, start).map(booked(Whose::Due)));
        points.sort_by_key(|point| (point.at, point.whose));
        points
    }

    /// How long until so much more is there, at least something.
    fn wait(&self, missing: i128) -> u64 {
        let micros = (missing + self.per_micro - 1) / self.per_micro;
        u64::try_from(micros).unwrap_or(u64::MAX).max(1)
    }

    fn settle(&mut self, now: u64) {
        let passed = self.booked.partition_point(|booking| booking.at <= now);
        let booked: Vec<Booking> = self.booked.drain(..passed).collect();
        let mut walk = Walk { bucket: self, level: self.level, at: self.at };
        for booking in booked {
            walk.go_to(booking.at);
            walk.level -= booking.taken();
        }
        walk.go_to(now);
        (self.level, self.at) = (walk.level, walk.at);
    }
}

fn due_of(load: Load, start: u64) -> Option<Booking> {
    let (units, after) = load.due.filter(|(units, _)| *units > 0)?;
    Some(Booking { at: start.saturating_add(micros(after)), units })
}

/// What must be there for a draw: something, at most a full bucket.
fn need(draw: Draw, burst: i128) -> i128 {
    (i128::from(draw.now) * TOKEN).min(burst).max(1)
}

fn micros(span: impl Into<Duration>) -> u64 {
    u64::try_from(span.into().as_micros()).unwrap_or(u64::MAX)
}

/// Rounded down, so that the declared rate is never exceeded, and never zero, so that every wait
/// ends.
#[expect(clippy::cast_possible_truncation, reason = "a float saturates when it is cast")]
fn per_micro(rate: f64) -> i128 {
    ((rate * 1e9).floor() as i128).max(1)
}

#[cfg(test)]
#[path = "bucket/tests.rs"]
mod tests;
