//! When the load arrives that was drawn.

use std::collections::BTreeMap;

/// When deferred load arrives, in seconds after the change that causes it: any time in between is
/// as likely.
const ARRIVES_FROM: u64 = 30;
pub(super) const ARRIVES_UNTIL: u64 = 120;
/// Load of which the instant is known may lie this far ahead, in seconds.
const FURTHEST: u64 = 7 * 24 * 3600;

/// The units that are expected at the server, by second of the world's time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pipeline {
    expected: BTreeMap<u64, f64>,
}

impl Pipeline {
    /// Units that arrive at once.
    pub(super) fn now(&mut self, second: u64, units: f64) {
        if units > 0.0 {
            *self.expected.entry(second).or_default() += units;
        }
    }

    /// Units of which nobody knows more than that they come later.
    pub(super) fn later(&mut self, second: u64, units: f64) {
        if units <= 0.0 {
            return;
        }
        let each = units / whole(ARRIVES_UNTIL - ARRIVES_FROM);
        for after in ARRIVES_FROM..ARRIVES_UNTIL {
            *self.expected.entry(second + after).or_default() += each;
        }
    }

    /// Units that arrive so many seconds after `second`.
    pub(super) fn due(&mut self, second: u64, after: u64, units: f64) {
        self.now(second + after.min(FURTHEST), units);
    }

    /// Units that arrive between two instants; those of a second come evenly within it.
    pub(super) fn arriving(&self, from: f64, until: f64) -> f64 {
        let from = from.max(0.0);
        if until <= from {
            return 0.0;
        }
        let within = |(second, units): (&u64, &f64)| {
            let begins = whole(*second);
            units * ((begins + 1.0).min(until) - begins.max(from)).max(0.0)
        };
        self.expected.range(floor(from)..=floor(until)).map(within).sum()
    }

    /// The part of deferred load, drawn evenly from now on, that arrives so many seconds from now.
    pub(super) fn part_arriving(ahead: f64) -> f64 {
        let (from, until) = (whole(ARRIVES_FROM), whole(ARRIVES_UNTIL));
        ((ahead - from) / (until - from)).clamp(0.0, 1.0)
    }

    /// Forgets what came before an instant.
    pub(super) fn forget(&mut self, before: f64) {
        let second = floor(before.max(0.0));
        while let Some(entry) = self.expected.first_entry().filter(|entry| *entry.key() < second) {
            entry.remove();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run are far below 2^52")]
pub(super) fn whole(seconds: u64) -> f64 {
    seconds as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is not negative")]
fn floor(seconds: f64) -> u64 {
    seconds as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_that_comes_later_arrives_evenly_between_half_a_minute_and_two() {
        let mut pipeline = Pipeline::default();
        pipeline.later(100, 9.0);

        let arriving = |from, until| pipeline.arriving(from, until);
        assert!(arriving(0.0, 130.0).abs() < 1e-9);
        assert!((arriving(130.0, 175.0) - 4.5).abs() < 1e-9);
        assert!((arriving(130.5, 131.0) - 0.05).abs() < 1e-9);
        assert!((arriving(0.0, 1000.0) - 9.0).abs() < 1e-9);
    }

    #[test]
    fn load_of_a_known_instant_arrives_then_and_is_forgotten_afterwards() {
        let mut pipeline = Pipeline::default();
        pipeline.now(5, 1.0);
        pipeline.due(5, 900, 40.0);

        assert!((pipeline.arriving(0.0, 900.0) - 1.0).abs() < 1e-9);
        assert!((pipeline.arriving(900.0, 910.0) - 40.0).abs() < 1e-9);
        pipeline.forget(906.0);
        assert_eq!(pipeline, Pipeline::default());
    }
}
