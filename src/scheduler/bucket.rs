//! A token bucket that may go into debt.

use crate::model::{Draw, Elapsed};

/// Tokens are counted in billionths of a thousandth, so that a rate of one a day is exact enough
/// and no rounding adds up.
const TOKEN: i128 = 1_000_000_000_000;

/// Units that come back at a rate, up to a burst.
///
/// A draw waits until what it needs now is there, at most a full bucket, and then takes all that it
/// causes, now and later. The debt is worked off before the next draw. So over any span of time
/// that ends with a draw: all that was drawn before it, plus what it needed now (at most the
/// burst), is at most `burst + rate * span`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    per_milli: i128,
    burst: i128,
    level: i128,
    at: Elapsed,
}

impl Bucket {
    /// A full bucket. `rate` is in units each second of real time.
    pub(super) fn new(rate: f64, burst: u32, now: Elapsed) -> Self {
        let burst = i128::from(burst.max(1)) * TOKEN;
        Self { per_milli: per_milli(rate), burst, level: burst, at: now }
    }

    /// Changes rate and burst; what was drawn stays drawn.
    pub(super) fn retune(&mut self, rate: f64, burst: u32, now: Elapsed) {
        self.settle(now);
        self.per_milli = per_milli(rate);
        self.burst = i128::from(burst.max(1)) * TOKEN;
        self.level = self.level.min(self.burst);
    }

    /// When a draw may be made, as far as is known: the present when it may be made now.
    pub(super) fn not_before(&self, draw: Draw, now: Elapsed) -> Elapsed {
        let missing = self.need(draw) - self.level(now);
        let millis = if missing <= 0 { 0 } else { (missing + self.per_milli - 1) / self.per_milli };
        Elapsed::from_millis(
            now.as_millis().saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    }

    /// Takes all units of a draw.
    pub(super) fn draw(&mut self, draw: Draw, now: Elapsed) {
        self.settle(now);
        self.level -= i128::from(draw.total()) * TOKEN;
    }

    /// Units that are there; negative while a debt is worked off.
    #[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
    pub(super) fn available(&self, now: Elapsed) -> f64 {
        self.level(now) as f64 / TOKEN as f64
    }

    fn need(&self, draw: Draw) -> i128 {
        (i128::from(draw.now) * TOKEN).min(self.burst).max(1)
    }

    fn level(&self, now: Elapsed) -> i128 {
        let millis = i128::from(now.as_millis().saturating_sub(self.at.as_millis()));
        (self.level + millis * self.per_milli).min(self.burst)
    }

    fn settle(&mut self, now: Elapsed) {
        self.level = self.level(now);
        self.at = self.at.max(now);
    }
}

/// Rounded down, so that the declared rate is never exceeded, and never zero, so that every wait
/// ends.
#[expect(clippy::cast_possible_truncation, reason = "a float saturates when it is cast")]
fn per_milli(rate: f64) -> i128 {
    ((rate * 1e9).floor() as i128).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Elapsed {
        Elapsed::from_millis(millis)
    }

    const fn draw(now: u32, later: u32) -> Draw {
        Draw { now, later }
    }

    #[test]
    fn a_burst_is_there_at_once_and_then_units_come_at_the_rate() {
        let mut bucket = Bucket::new(2.0, 3, at(0));
        for _ in 0..3 {
            assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(0));
            bucket.draw(draw(1, 0), at(0));
        }

        assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(500));
        bucket.draw(draw(1, 0), at(500));
        assert_eq!(bucket.not_before(draw(1, 0), at(600)), at(1000));
    }

    #[test]
    fn what_a_change_causes_later_is_worked_off_before_the_next_one() {
        let mut bucket = Bucket::new(1.0, 3, at(0));
        bucket.draw(draw(1, 10), at(0));

        assert!((bucket.available(at(0)) - -8.0).abs() < 1e-9);
        assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(9000));
        assert_eq!(bucket.not_before(draw(0, 5), at(0)), at(8001));
    }

    #[test]
    fn a_draw_larger_than_the_burst_waits_for_a_full_bucket_only() {
        let mut bucket = Bucket::new(1.0, 3, at(0));
        bucket.draw(draw(1, 0), at(0));

        assert_eq!(bucket.not_before(draw(50, 0), at(0)), at(1000));
    }

    #[test]
    fn a_pause_never_fills_more_than_the_burst() {
        let bucket = Bucket::new(1000.0, 3, at(0));

        assert!((bucket.available(at(3_600_000)) - 3.0).abs() < 1e-9);
    }
}
