//! Time as it is passed in: elapsed for limits and deadlines, wall clock for people and windows.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Milliseconds since the run started, from a monotonic clock.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Elapsed(u64);

impl Elapsed {
    /// The start of the run.
    pub const ZERO: Self = Self(0);

    /// Counts whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole milliseconds since the start of the run.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same instant as a duration since the start of the run.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// The instant `span` later; spans are rounded up to the next millisecond, so that nothing
    /// that waits until then starts early.
    pub fn plus(self, span: Duration) -> Self {
        let millis = span.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Elapsed> for Duration {
    fn from(elapsed: Elapsed) -> Self {
        elapsed.as_duration()
    }
}

/// The present, as the pure layers are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the start of the run.
    pub elapsed: Elapsed,
    /// The wall clock, for people and change windows.
    pub wall: jiff::Timestamp,
}

/// How many times faster than real time the world runs: 1 on a real fleet, 20 in `demo`.
///
/// It divides the durations that stand for the world's own pace (settle times, oracle deadlines,
/// `wait_until`) and multiplies declared rates. Network deadlines are not scaled.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeScale(f64);

impl TimeScale {
    /// Real time.
    pub const REAL: Self = Self(1.0);

    /// A scale between 0.01 and 10,000; `None` outside.
    pub fn new(factor: f64) -> Option<Self> {
        (0.01..=10_000.0).contains(&factor).then_some(Self(factor))
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        self.0
    }

    /// A span of the world's time as real time.
    pub fn to_real(self, world: Duration) -> Duration {
        world.div_f64(self.0)
    }

    /// A span of real time as the world's time.
    pub fn to_world(self, real: Duration) -> Duration {
        real.mul_f64(self.0)
    }
}

impl Default for TimeScale {
    fn default() -> Self {
        Self::REAL
    }
}

/// A text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a span of time: write a number and a unit, as in `90 s`, `15 min`, `2 h`")]
pub struct ParseSpanError {
    /// What was written.
    pub text: String,
}

/// Reads `250 ms`, `90s`, `15 min`, `1.5 h`, `2 days`; the unit is required.
///
/// # Errors
///
/// Anything else, zero included: a span of time that ends at once is a mistake.
pub fn parse_span(text: &str) -> Result<Duration, ParseSpanError> {
    let error = || ParseSpanError { text: text.to_owned() };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(error)?;
    let (number, unit) = trimmed.split_at(split);
    let number: f64 = number.parse().map_err(|_| error())?;
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return Err(error()),
    };
    let span = Duration::try_from_secs_f64(number * seconds).map_err(|_| error())?;
    if span.is_zero() || span > Duration::from_secs(366 * 86_400) {
        return Err(error());
    }
    Ok(span)
}

/// Writes a span as people say it: `0.4 s`, `12 s`, `4m12s`, `2h05m`.
pub fn format_span(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds < 10 {
        format!("{:.1} s", span.as_secs_f64())
    } else if seconds < 60 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_span(self.as_duration()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_a_number_and_a_unit() {
        assert_eq!(parse_span("15 min"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("1.5 h"), Ok(Duration::from_secs(5400)));
        for wrong in ["15", "min", "", "0 s", "-3 s", "4 fortnights", "1e9 d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_read_as_people_say_them() {
        let spans = [400, 12_000, 252_000, 7_500_000]
            .map(|millis| format_span(Duration::from_millis(millis)));

        assert_eq!(spans, ["0.4 s", "12 s", "4m12s", "2h05m"]);
    }

    #[test]
    fn waiting_until_an_instant_never_ends_early() {
        let later = Elapsed::from_millis(5).plus(Duration::from_micros(1500));

        assert_eq!(later, Elapsed::from_millis(7));
    }
}
