//! The dates of the agent's log: `May 16 11:51:05`, with neither year nor zone (KB 179719), at times
//! with milliseconds, `Nov 08 14:23:41:011` (KB 179874). They tell how far apart two events are.

/// A date of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDate {
    /// Seconds since the start of a leap year: without a year, 29 February must have its place.
    seconds: u64,
}

const MONTHS: [(&str, u64); 12] = [
    ("jan", 31),
    ("feb", 29),
    ("mar", 31),
    ("apr", 30),
    ("may", 31),
    ("jun", 30),
    ("jul", 31),
    ("aug", 31),
    ("sep", 30),
    ("oct", 31),
    ("nov", 30),
    ("dec", 31),
];
const DAY: u64 = 86_400;
const YEAR: u64 = 366 * DAY;
/// A clock that was set back, or threads that write in turn, put events a little out of order.
const DISORDER: u64 = 2 * DAY;

impl LogDate {
    /// Reads a date; `None` for what is not written like one, in another language for example.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let month = words.next()?;
        let number = MONTHS.iter().position(|(name, _)| month.eq_ignore_ascii_case(name))?;
        let day: u64 = words.next()?.parse().ok()?;
        let mut clock = words.next()?.split([':', '.']).map(str::parse::<u64>);
        let mut unit = |below: u64| clock.next()?.ok().filter(|value| *value < below);
        let time = unit(24)? * 3600 + unit(60)? * 60 + unit(60)?;
        if !(1..=MONTHS[number].1).contains(&day) {
            return None;
        }
        let days: u64 = MONTHS[..number].iter().map(|(_, days)| days).sum();
        Some(Self { seconds: (days + day - 1) * DAY + time })
    }

    /// How many seconds this is before a later event of the same log; 0 when the two are a little
    /// out of order. Over the turn of the year it may be a day too much. A log spans less than a
    /// year.
    pub fn seconds_before(self, later: Self) -> u64 {
        let ahead = self.seconds.saturating_sub(later.seconds);
        if ahead == 0 {
            later.seconds - self.seconds
        } else if ahead <= DISORDER {
            0
        } else {
            later.seconds + YEAR - self.seconds
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(earlier: &str, later: &str) -> u64 {
        let [earlier, later] = [earlier, later].map(|text| LogDate::parse(text).expect(text));
        earlier.seconds_before(later)
    }

    #[test]
    fn two_dates_without_a_year_are_as_far_apart_as_the_shortest_way_forward() {
        assert_eq!(between("May 16 11:51:05", "May 16 11:52:05"), 60);
        assert_eq!(between("Nov 08 14:23:41:011", "Nov  9 14:23:41"), DAY);
        assert_eq!(between("Dec 31 23:59:50", "Jan 01 00:00:10"), 20);
        assert_eq!(between("May 16 11:51:06", "May 16 11:51:05"), 0, "threads write in turn");
    }

    #[test]
    fn what_is_not_written_like_a_date_is_none() {
        for text in ["", "16.05. 11:51:05", "Mai 16 11:51:05", "May 32 01:00:00", "May 1 25:00:00"]
        {
            assert_eq!(LogDate::parse(text), None, "{text}");
        }
    }
}
