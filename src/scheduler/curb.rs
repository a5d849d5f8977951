//! What holds a limit below what is declared.

use crate::ledger::{Bucket, Load};
use crate::model::{Elapsed, LimitSpec, TimeScale};

/// The share of a declared limit that may be drawn: of its rate and of its cap, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    rate: f64,
    cap: f64,
}

impl Share {
    /// Nothing may be drawn.
    pub(super) const NOTHING: Self = Self { rate: 0.0, cap: 0.0 };

    /// The same of both.
    pub(super) fn of_both(share: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        Self { rate: share, cap: share }
    }

    /// Of the rate; as many changes may be under way as declared.
    pub(super) fn of_rate(share: f64) -> Self {
        Self { rate: share.clamp(0.0, 1.0), cap: 1.0 }
    }

    /// As one number.
    pub(super) fn least(self) -> f64 {
        self.rate.min(self.cap)
    }
}

/// A second, tighter limit beside the declared one, at a share of its rate and of its cap. A draw
/// needs both: so the declared limit holds whatever the share does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Curb {
    bucket: Option<Bucket>,
    cap: Option<u32>,
    is_closed: bool,
}

impl Curb {
    /// The declared limit itself, so far.
    pub(super) fn new(spec: &LimitSpec, scale: TimeScale, now: Elapsed) -> Self {
        let bucket = spec.rate.map(|rate| Bucket::new(rate.per_second(scale), spec.burst, now));
        Self { bucket, cap: spec.in_flight, is_closed: false }
    }

    /// Lets this share of the declared limit through; at 0 nothing, above it at least one change at
    /// a time.
    pub(super) fn set(&mut self, spec: &LimitSpec, share: Share, scale: TimeScale, now: Elapsed) {
        self.is_closed = share.least() <= 0.0;
        self.cap = spec.in_flight.map(|cap| part(cap, share.cap).max(1));
        match (spec.rate, &mut self.bucket) {
            (Some(rate), Some(bucket)) => {
                bucket.retune(rate.per_second(scale) * share.rate, spec.burst, now);
            }
            (Some(rate), none) => {
                *none = Some(Bucket::new(rate.per_second(scale) * share.rate, spec.burst, now));
            }
            (None, bucket) => *bucket = None,
        }
    }

    pub(super) fn has_slot(&self, in_flight: u32) -> bool {
        !self.is_closed && self.cap.is_none_or(|cap| in_flight < cap)
    }

    /// Changes that may be under way.
    pub(super) fn cap(&self) -> Option<u32> {
        if self.is_closed { Some(0) } else { self.cap }
    }

    pub(super) fn not_before(&self, load: Load, now: Elapsed) -> Elapsed {
        let not_before = |bucket: &Bucket| Elapsed::ZERO.plus(bucket.not_before(load, now));
        self.bucket.as_ref().map_or(now, not_before)
    }

    pub(super) fn draw(&mut self, load: Load, now: Elapsed) {
        if let Some(bucket) = &mut self.bucket {
            bucket.draw(load, now);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn part(cap: u32, share: f64) -> u32 {
    // A little more, so that a share that was made from a count gives that count back.
    (f64::from(cap) * share + 1e-6).floor() as u32
}
