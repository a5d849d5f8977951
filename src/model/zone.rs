//! A time zone with its rules: an IANA name, as `Europe/Oslo`.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A time zone. Its rules are those of the machine's own database of time zones, or of the one that
/// is built in where the machine has none, which is so on Windows. They are looked up once, when it
/// is found: a database that changes under a run does not change the run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// No time zone has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no time zone `{name}`: a name of the IANA database is meant, as `Europe/Oslo`")]
pub struct UnknownZone {
    /// What was written.
    pub name: String,
}

/// What a time on the wall of a zone is in the world's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTheWall {
    /// The clocks show it once.
    Once(Timestamp),
    /// The clocks show it twice, because they are set back.
    Twice(Timestamp, Timestamp),
    /// The clocks never show it, because they are set forward at this instant.
    Never(Timestamp),
}

impl Zone {
    /// Finds a zone by its name, without regard to case.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn find(name: &str) -> Result<Self, UnknownZone> {
        let rules = TimeZone::get(name).ok().filter(|rules| !rules.is_unknown());
        let found = rules.and_then(|rules| {
            let name = rules.iana_name()?.to_owned();
            Some(Self { name, rules })
        });
        found.ok_or_else(|| UnknownZone { name: name.to_owned() })
    }

    /// Universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// The names of all zones, for the one that was meant.
    pub fn names() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clocks of the zone show at an instant.
    pub fn wall(&self, at: Timestamp) -> DateTime {
        self.rules.to_datetime(at)
    }

    /// The date in the zone at an instant.
    pub fn date(&self, at: Timestamp) -> Date {
        self.wall(at).date()
    }

    /// When the clocks of the zone show a time; `None` for years that no calendar has.
    pub fn when(&self, wall: DateTime) -> Option<OnTheWall> {
        match self.rules.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                offset.to_timestamp(wall).ok().map(OnTheWall::Once)
            }
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (before.to_timestamp(wall), after.to_timestamp(wall));
                Some(OnTheWall::Twice(first.ok()?, second.ok()?))
            }
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, the time lies before the change, and nothing else
                // changes in between.
                let before = after.to_timestamp(wall).ok()?;
                let mut changes = self.rules.following(before);
                let change = changes.find(|change| change.offset() == after)?;
                Some(OnTheWall::Never(change.timestamp()))
            }
        }
    }

    /// An instant as people of the zone say it: `Tue 2026-12-01 22:00 Europe/Oslo`.
    pub fn say(&self, at: Timestamp) -> String {
        let wall = self.wall(at);
        let form = if wall.second() == 0 { "%a %Y-%m-%d %H:%M" } else { "%a %Y-%m-%d %H:%M:%S" };
        format!("{} {}", wall.strftime(form), self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        Self::find(&name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_zone_is_found_by_its_iana_name_and_no_other() {
        assert_eq!(
            Zone::find("europe/oslo").map(|zone| zone.name().to_owned()),
            Ok("Europe/Oslo".to_owned())
        );
        assert_eq!(Zone::find("UTC").map(|zone| zone.name().to_owned()), Ok("UTC".to_owned()));
        for wrong in ["W. Europe Standard Time", "Oslo", "+02:00", "", "Etc/Unknown"] {
            assert!(Zone::find(wrong).is_err(), "{wrong}");
        }
        assert!(Zone::names().iter().any(|name| name == "Asia/Kolkata"));
    }

    #[test]
    fn the_clocks_of_a_zone_show_a_time_once_twice_or_never() {
        let oslo = Zone::find("Europe/Oslo").expect("a zone");
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");

        let once = oslo.when(date(2026, 12, 1).at(22, 0, 0, 0));
        assert_eq!(once, Some(OnTheWall::Once(at("2026-12-01T21:00:00Z"))));
        let twice = oslo.when(date(2026, 10, 25).at(2, 30, 0, 0));
        let both = OnTheWall::Twice(at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!(twice, Some(both));
        let never = oslo.when(date(2026, 3, 29).at(2, 30, 0, 0));
        assert_eq!(never, Some(OnTheWall::Never(at("2026-03-29T01:00:00Z"))));
    }
}
