//! Versions of packages: the second in which their snapshot was made.
//!
//! A version such as 1601867730 is a Unix timestamp (2020-10-05 03:15:30 UTC; the values are those
//! of KB 163475), so that two versions can be told apart by age.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// The version of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageVersion(i64);

impl PackageVersion {
    /// Reads a version; `None` for anything that is no number. The column may hold an error text
    /// instead of a version.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Self)
    }

    /// The number.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The moment it stands for; `None` when the number is outside of 1990 to 2100 and so hardly a
    /// moment.
    pub fn moment(self) -> Option<Timestamp> {
        (631_152_000..4_102_444_800)
            .contains(&self.0)
            .then(|| Timestamp::from_second(self.0).ok())
            .flatten()
    }

    /// How far this one is behind a newer one; `None` when either is no moment, or it is not behind.
    pub fn behind(self, newer: Self) -> Option<Duration> {
        self.moment()?;
        newer.moment()?;
        let seconds = newer.0.checked_sub(self.0).filter(|seconds| *seconds > 0)?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

impl fmt::Display for PackageVersion {
    /// `1601867730 (2020-10-05 03:15 UTC)`; the number alone when it is no moment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.moment() {
            Some(moment) => write!(f, " ({})", moment.strftime("%Y-%m-%d %H:%M UTC")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_shown_with_the_moment_its_snapshot_was_made() {
        let version = PackageVersion::parse(" 1601867730 ").expect("a number");

        assert_eq!(version.to_string(), "1601867730 (2020-10-05 03:15 UTC)");
        assert_eq!(PackageVersion::parse("3").expect("a number").to_string(), "3");
    }

    #[test]
    fn an_error_text_in_the_place_of_a_version_is_no_version() {
        assert_eq!(PackageVersion::parse("The trust relationship … failed (1789)"), None);
    }

    #[test]
    fn how_far_a_version_is_behind_is_known_when_both_are_moments() {
        let [old, new, odd] =
            ["1601867730", "1601954124", "7"].map(|text| PackageVersion::parse(text).unwrap());

        assert_eq!(old.behind(new), Some(Duration::from_secs(86_394)));
        assert_eq!(new.behind(old), None);
        assert_eq!(odd.behind(new), None);
    }
}
