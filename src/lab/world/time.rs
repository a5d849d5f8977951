//! Time inside the simulated world, and how it reads on clocks and in files.

use std::time::Duration;

use jiff::Timestamp;

/// Milliseconds of the world's own time since the world began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorldTime(u64);

impl WorldTime {
    /// The beginning.
    pub const START: Self = Self(0);

    /// Counts whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Counts whole minutes.
    pub const fn from_minutes(minutes: u64) -> Self {
        Self(minutes * 60_000)
    }

    /// Milliseconds since the beginning.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole minutes since the beginning.
    pub const fn minutes(self) -> u64 {
        self.0 / 60_000
    }

    /// The instant `span` later.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Reads world time as a date, given the date on which the world began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    started: Timestamp,
}

/// Seconds from 1601-01-01, where FILETIME begins, to 1970-01-01.
const FILETIME_TO_UNIX: i64 = 11_644_473_600;

impl Calendar {
    /// A world that began at `started`.
    pub fn new(started: Timestamp) -> Self {
        Self { started }
    }

    /// The date and time.
    pub fn timestamp(self, at: WorldTime) -> Timestamp {
        let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(self.started.as_millisecond().saturating_add(millis))
            .unwrap_or(Timestamp::MAX)
    }

    /// Seconds since 1970: what the product uses for package versions.
    pub fn unix(self, at: WorldTime) -> u64 {
        u64::try_from(self.timestamp(at).as_second()).unwrap_or(0)
    }

    /// 100 ns since 1601: what Windows uses for file times.
    pub fn filetime(self, at: WorldTime) -> u64 {
        let millis = self.timestamp(at).as_millisecond() + FILETIME_TO_UNIX * 1000;
        u64::try_from(millis).unwrap_or(0).saturating_mul(10_000)
    }

    /// `May 16 11:51:05`, as the agent's log writes dates: without a year.
    pub fn log_date(self, at: WorldTime) -> String {
        self.timestamp(at).strftime("%b %d %H:%M:%S").to_string()
    }

    /// How long from `at` until the clock next shows this time of day, in UTC; never zero.
    pub fn until_time_of_day(self, at: WorldTime, hour: u32, minute: u32) -> Duration {
        const DAY: u64 = 86_400_000;
        let since_midnight = self.timestamp(at).as_millisecond().rem_euclid(DAY as i64) as u64;
        let wanted = u64::from(hour * 60 + minute) * 60_000 % DAY;
        Duration::from_millis((wanted + DAY - since_midnight - 1) % DAY + 1)
    }
}

/// The FILETIME of a Unix time in seconds.
pub(super) fn filetime_of_unix(seconds: u64) -> u64 {
    seconds.saturating_add(FILETIME_TO_UNIX.unsigned_abs()).saturating_mul(10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_half_past_three_is_never_now_and_at_most_a_day_away() {
        let calendar = Calendar::new("2026-05-16T03:30:00Z".parse().unwrap());

        let whole_day = calendar.until_time_of_day(WorldTime::START, 3, 30);
        let shortly = calendar.until_time_of_day(WorldTime::from_minutes(24 * 60 - 1), 3, 30);

        assert_eq!(whole_day, Duration::from_secs(86_400));
        assert_eq!(shortly, Duration::from_secs(60));
    }

    #[test]
    fn dates_read_as_the_product_writes_them() {
        let calendar = Calendar::new("2020-10-05T03:15:30Z".parse().unwrap());

        assert_eq!(calendar.unix(WorldTime::START), 1_601_867_730);
        assert_eq!(calendar.log_date(WorldTime::from_minutes(1)), "Oct 05 03:16:30");
        assert_eq!(calendar.filetime(WorldTime::START), filetime_of_unix(1_601_867_730));
    }
}
