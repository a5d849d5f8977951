//! A change window: on which days, from when to when, and what becomes of work at its end.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Zone, format_span, parse_span};

/// A time of day: `22:00`, or `22:00:30`. `24:00` is the midnight at the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(u32);

/// The seconds of a day on which no clock is set.
const DAY: u32 = 24 * 3600;

impl ClockTime {
    /// Its place on a date's clock.
    pub fn on(self, day: Date) -> Option<DateTime> {
        if self.0 == DAY {
            return day.tomorrow().ok().map(|day| day.at(0, 0, 0, 0));
        }
        let part = |number: u32| i8::try_from(number).ok();
        Some(day.at(part(self.0 / 3600)?, part(self.0 / 60 % 60)?, part(self.0 % 60)?, 0))
    }
}

impl FromStr for ClockTime {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, ParseWindowError> {
        let error = || ParseWindowError::new(text, "a time of day, from `00:00` to `24:00`");
        let mut parts = text.trim().split(':');
        let mut number = |digits: std::ops::RangeInclusive<usize>| {
            let text = parts.next()?;
            let is_number =
                digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_number)
        };
        let hours = number(1..=2).ok_or_else(error)?;
        let minutes = number(2..=2).filter(|minutes| *minutes < 60).ok_or_else(error)?;
        let has_seconds = text.matches(':').count() > 1;
        let seconds = if has_seconds { number(2..=2) } else { Some(0) };
        let seconds = seconds.filter(|seconds| *seconds < 60).ok_or_else(error)?;
        let all = Some(hours * 3600 + minutes * 60 + seconds).filter(|all| *all <= DAY);
        all.filter(|_| parts.next().is_none()).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60)?;
        if self.0.is_multiple_of(60) { Ok(()) } else { write!(f, ":{:02}", self.0 % 60) }
    }
}

impl TryFrom<String> for ClockTime {
    type Error = ParseWindowError;

    fn try_from(text: String) -> Result<Self, ParseWindowError> {
        text.parse()
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        time.to_string()
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All of them, with the words for each; the first one is written.
    pub const ALL: [(Self, [&str; 2]); 7] = [
        (Self::Mon, ["mon", "monday"]),
        (Self::Tue, ["tue", "tuesday"]),
        (Self::Wed, ["wed", "wednesday"]),
        (Self::Thu, ["thu", "thursday"]),
        (Self::Fri, ["fri", "friday"]),
        (Self::Sat, ["sat", "saturday"]),
        (Self::Sun, ["sun", "sunday"]),
    ];

    /// Reads `tue` or `Tuesday`.
    pub fn named(text: &str) -> Option<Self> {
        let lower = text.trim().to_lowercase();
        let is_meant = |words: &[&str; 2]| words.contains(&lower.as_str());
        Self::ALL.iter().find(|(_, words)| is_meant(words)).map(|(day, _)| *day)
    }

    /// That of a date.
    pub fn of(date: Date) -> Self {
        let monday_is_0 = date.weekday().to_monday_zero_offset();
        usize::try_from(monday_is_0)
            .ok()
            .and_then(|at| Self::ALL.get(at))
            .map_or(Self::Sun, |d| d.0)
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(day, _)| day == self).map_or("", |(_, words)| words[0]))
    }
}

/// The days on which a window opens. Without any day named it is every day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// Every week on these days.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub weekdays: BTreeSet<Weekday>,
    /// On these dates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dates: BTreeSet<Date>,
    /// Not on these dates, whatever the others say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Date>,
}

impl Days {
    /// Whether a date is one of them.
    pub fn hold(&self, date: Date) -> bool {
        let is_every_day = self.weekdays.is_empty() && self.dates.is_empty();
        let is_named = self.dates.contains(&date) || self.weekdays.contains(&Weekday::of(date));
        (is_every_day || is_named) && !self.except.contains(&date)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekdays = self.weekdays.iter().map(ToString::to_string);
        let named: Vec<String> =
            weekdays.chain(self.dates.iter().map(ToString::to_string)).collect();
        f.write_str(&if named.is_empty() { "daily".to_owned() } else { named.join(",") })?;
        let except: Vec<String> = self.except.iter().map(|date| format!("!{date}")).collect();
        if except.is_empty() { Ok(()) } else { write!(f, ",{}", except.join(",")) }
    }
}

/// Whose clocks a window goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowZone {
    /// Those of one zone, for all hosts.
    Named(Zone),
    /// Those of each host's own site: its variable `site_tz`.
    Site,
}

impl WindowZone {
    /// The variable that holds a host's own zone.
    pub const VARIABLE: &'static str = "site_tz";
}

impl fmt::Display for WindowZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => zone.fmt(f),
            Self::Site => f.write_str("site"),
        }
    }
}

/// Which of two equal times is meant, on the night on which clocks are set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// The first of them.
    First,
    /// The second of them.
    Second,
}

impl Fold {
    /// Its words.
    pub const ALL: [(&'static str, Self); 2] = [("first", Self::First), ("second", Self::Second)];
}

/// What becomes of hosts under way when a window closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtClose {
    /// They go on to their end.
    Finish,
    /// They end the block in which they are; a task outside of blocks is a block of its own. A
    /// block of which nothing was changed yet is not begun any more.
    #[default]
    StopAfterBlock,
    /// What changes nothing yet is cancelled; a change under way has `grace` to end, and is
    /// cancelled then.
    Terminate,
}

impl AtClose {
    /// Its words.
    pub const ALL: [(&'static str, Self); 3] = [
        ("finish", Self::Finish),
        ("stop_after_block", Self::StopAfterBlock),
        ("terminate", Self::Terminate),
    ];
}

/// A change window. All its times are those of the wall clock, however fast the world runs, but for
/// `expect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The days on which it opens.
    #[serde(default)]
    pub days: Days,
    /// When it opens.
    pub open: ClockTime,
    /// When it closes: on the day on which it opens where that is later, else on the next one.
    pub close: ClockTime,
    /// The day of the week on which it closes, where it lasts longer than a night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_on: Option<Weekday>,
    /// Whose clocks it goes by.
    pub tz: WindowZone,
    /// Which of two equal times is meant when clocks are set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// How long before the close no host is taken any more; zero for at the close itself.
    pub cutoff: Duration,
    /// How long before the close a host must have ended, by what is expected of it.
    pub margin: Duration,
    /// How long a host is expected to take, in the world's time, until the run knows better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Duration>,
    /// What becomes of hosts under way at the close.
    pub at_close: AtClose,
    /// How long after the close a change may go on under `at_close: terminate`.
    pub grace: Duration,
}

/// A text that is not a window, or not a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseWindowError {
    /// What was written.
    pub text: String,
    /// What could stand there.
    pub expected: String,
}

impl ParseWindowError {
    fn new(text: &str, expected: impl Into<String>) -> Self {
        Self { text: text.to_owned(), expected: expected.into() }
    }
}

impl Window {
    /// The margin when nothing is said.
    pub const MARGIN: Duration = Duration::from_secs(60);
    /// The grace when nothing is said.
    pub const GRACE: Duration = Duration::from_secs(120);

    /// A window with everything else as it is when nothing is said.
    pub fn new(days: Days, open: ClockTime, close: ClockTime, tz: WindowZone) -> Self {
        Self {
            days,
            open,
            close,
            close_on: None,
            tz,
            fold: None,
            cutoff: Duration::ZERO,
            margin: Self::MARGIN,
            expect: None,
            at_close: AtClose::default(),
            grace: Self::GRACE,
        }
    }
}

/// Writes the one-line form: `tue,thu 22:00-02:00 Europe/Oslo`, with what differs from what holds
/// when nothing is said.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}-", self.days, self.open)?;
        if let Some(day) = self.close_on {
            write!(f, "{day}/")?;
        }
        write!(f, "{} {}", self.close, self.tz)?;
        let span = |span: Duration| match span.as_millis() % 1000 {
            0 => format!("{}s", span.as_secs()),
            _ => format!("{}ms", span.as_millis()),
        };
        let word = |all: &[(&'static str, AtClose)]| {
            all.iter().find(|(_, it)| *it == self.at_close).map_or("", |(word, _)| word)
        };
        if !self.cutoff.is_zero() {
            write!(f, " cutoff={}", span(self.cutoff))?;
        }
        if self.margin != Self::MARGIN {
            write!(f, " margin={}", span(self.margin))?;
        }
        if let Some(expect) = self.expect {
            write!(f, " expect={}", span(expect))?;
        }
        if let Some(fold) = self.fold {
            let word = Fold::ALL.iter().find(|(_, it)| *it == fold).map_or("", |(word, _)| word);
            write!(f, " fold={word}")?;
        }
        if self.at_close != AtClose::default() {
            write!(f, " at_close={}", word(&AtClose::ALL))?;
        }
        if self.grace != Self::GRACE {
            write!(f, " grace={}", span(self.grace))?;
        }
        Ok(())
    }
}

/// Reads the one-line form: `[DAYS] OPEN-CLOSE ZONE [NAME=VALUE..]`, as in
/// `tue,thu 22:00-02:00 Europe/Oslo cutoff=30min`. Days are `daily`, days of the week, dates, and
/// dates after `!` on which it does not open, with commas; `fri 20:00-mon/06:00` closes on a Monday.
impl FromStr for Window {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, ParseWindowError> {
        const FORM: &str =
            "a window: `[DAYS] OPEN-CLOSE ZONE`, as in `tue,thu 22:00-02:00 Europe/Oslo`";
        let mut words = text.split_whitespace().peekable();
        let is_times =
            |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains(':');
        let days = match words.peek() {
            Some(word) if !is_times(word) => parse_days(word)?,
            Some(_) | None => Days::default(),
        };
        if words.peek().is_some_and(|word| !is_times(word)) {
            words.next();
        }
        let form = || ParseWindowError::new(text, FORM);
        let (open, close) = words.next().and_then(|word| word.split_once('-')).ok_or_else(form)?;
        let (close_on, close) = match close.split_once('/') {
            Some((day, close)) => {
                let expected = || ParseWindowError::new(day, "a day of the week, as in `mon`");
                (Some(Weekday::named(day).ok_or_else(expected)?), close)
            }
            None => (None, close),
        };
        let zone = || {
            ParseWindowError::new(
                text,
                "a window yet: it says no time zone, as in `22:00-02:00 Europe/Oslo`, or `site`",
            )
        };
        let tz = match words.next().ok_or_else(zone)? {
            "site" => WindowZone::Site,
            name => WindowZone::Named(Zone::find(name).map_err(|_| {
                ParseWindowError::new(
                    name,
                    "a time zone that is known here, such as `Europe/Oslo` or `UTC`, nor `site`",
                )
            })?),
        };
        let mut window = Self::new(days, open.parse()?, close.parse()?, tz);
        window.close_on = close_on;
        for word in words {
            window.take(word)?;
        }
        match window.mistake() {
            Some(mistake) => Err(ParseWindowError::new(text, mistake)),
            None => Ok(window),
        }
    }
}

impl Window {
    fn take(&mut self, word: &str) -> Result<(), ParseWindowError> {
        let known = "`cutoff=`, `margin=`, `expect=`, `fold=`, `at_close=` or `grace=`";
        let (key, value) =
            word.split_once('=').ok_or_else(|| ParseWindowError::new(word, known))?;
        let span = || {
            parse_span(value)
                .map_err(|_| ParseWindowError::new(value, "a span of time, as in `30min`"))
        };
        match key {
            "cutoff" => self.cutoff = span()?,
            "margin" => self.margin = span()?,
            "expect" => self.expect = Some(span()?),
            "grace" => self.grace = span()?,
            "fold" => {
                let found = Fold::ALL.iter().find(|(word, _)| *word == value).map(|(_, it)| *it);
                let expected = || ParseWindowError::new(value, "`first` or `second`");
                self.fold = Some(found.ok_or_else(expected)?);
            }
            "at_close" => {
                let found = AtClose::ALL.iter().find(|(word, _)| *word == value).map(|(_, it)| *it);
                let expected =
                    || ParseWindowError::new(value, "`finish`, `stop_after_block` or `terminate`");
                self.at_close = found.ok_or_else(expected)?;
            }
            _ => return Err(ParseWindowError::new(key, known)),
        }
        Ok(())
    }

    /// What its parts cannot say together, as what it should be.
    pub fn mistake(&self) -> Option<String> {
        if self.open == self.close && self.close_on.is_none() {
            return Some(
                "a window: it opens and closes at the same time (`00:00` to `24:00` is a day)"
                    .to_owned(),
            );
        }
        if self.open.0 == DAY {
            return Some("a window: it opens at `00:00` of the next day".to_owned());
        }
        let longest = match self.close_on {
            Some(_) => 7 * DAY,
            None if self.close > self.open => self.close.0 - self.open.0,
            None => self.close.0 + DAY - self.open.0,
        };
        let longest = Duration::from_secs(u64::from(longest));
        let wanted = self.cutoff.max(self.margin);
        (wanted >= longest).then(|| {
            format!("a window: it lasts {}, and no host could start in it", format_span(longest))
        })
    }
}

fn parse_days(text: &str) -> Result<Days, ParseWindowError> {
    let mut days = Days::default();
    for word in text.split(',').filter(|word| *word != "daily") {
        let date = |text: &str| text.parse::<Date>().ok();
        let except = word.strip_prefix('!').and_then(date);
        if let Some(day) = Weekday::named(word) {
            days.weekdays.insert(day);
        } else if let Some(date) = date(word) {
            days.dates.insert(date);
        } else if let Some(except) = except {
            days.except.insert(except);
        } else {
            let expected = "a day (`daily`, `tue,thu`, `2026-12-24`), nor times (`22:00-02:00`)";
            return Err(ParseWindowError::new(word, expected));
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_said_in_one_line_and_read_again() {
        for text in [
            "daily 22:00-02:00 Europe/Oslo",
            "tue,thu 22:00-02:00 Europe/Oslo cutoff=1800s",
            "fri 20:00-mon/06:00 site at_close=terminate grace=30s",
            "daily 09:05:30-24:00 UTC margin=100ms",
            "sat,2026-12-24,!2026-12-26 00:00-24:00 UTC margin=300s expect=900s fold=second",
        ] {
            let window: Window = text.parse().expect(text);
            assert_eq!(window.to_string(), text);
        }
        let short: Window = "22:00-02:00 Europe/Oslo".parse().expect("a window");
        assert_eq!(short.to_string(), "daily 22:00-02:00 Europe/Oslo");
        assert_eq!(
            "tuesday 9:30-11:00 UTC".parse::<Window>().expect("a window").days.to_string(),
            "tue"
        );
    }

    #[test]
    fn what_is_no_window_is_told_with_what_could_stand_there() {
        for (text, part) in [
            ("22:00-02:00", "Europe/Oslo"),
            ("22:00 Europe/Oslo", "OPEN-CLOSE"),
            ("22:00-22:00 UTC", "same time"),
            ("24:00-02:00 UTC", "next day"),
            ("22:00-25:00 UTC", "time of day"),
            ("22:00-22:61 UTC", "time of day"),
            ("22:00:1-23:00 UTC", "time of day"),
            ("22:00:00:00-23:00 UTC", "time of day"),
            ("someday 22:00-23:00 UTC", "not a day"),
            ("22:00-02:00 Oslo", "a time zone"),
            ("22:00-02:00 UTC cutoff=4h", "no host could start"),
            ("22:00-02:00 UTC cutof=1h", "`cutoff="),
            ("22:00-02:00 UTC fold=third", "second"),
        ] {
            let error = text.parse::<Window>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn dates_add_to_days_of_the_week_and_exceptions_win() {
        let window: Window = "tue,2026-12-24,!2026-12-29 22:00-23:00 UTC".parse().expect("one");
        let hold = |text: &str| window.days.hold(text.parse().expect("a date"));

        assert!(hold("2026-12-22") && hold("2026-12-24"));
        assert!(!hold("2026-12-23") && !hold("2026-12-29"));
    }
}
