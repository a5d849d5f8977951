//! How many hosts of a play may end badly, over all its waves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ParsePolicyError, share_of};

/// Budgets of a play over all its waves. A budget of B tolerates B bad hosts and stops on the next;
/// of several, the one that is spent first stops the play. What is not declared stops nothing, but
/// for `auth`: the first rejected logon stops everything new.
///
/// Hosts that a block rescued are not bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MaxFail {
    /// Hosts that end badly, whatever the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Tolerance>,
    /// Hosts that could not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Tolerance>,
    /// Hosts on which a logon was rejected, or not tried because it was rejected elsewhere. More
    /// than 0 lets hosts go on that have another credential; the rejected one is not tried again
    /// in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<u32>,
    /// Hosts in a row, as they end, that end badly. Those whose every step was skipped say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<u32>,
    /// Hosts that were refused because what was found there is not what was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<Tolerance>,
    /// Whether a host is taken only while bad hosts and hosts in flight together are within every
    /// budget that is declared, and that of the wave: then no budget is exceeded by more than the
    /// host that spends it.
    #[serde(default)]
    pub strict: bool,
}

/// How many hosts may end badly: a number, or a share of the play's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tolerance {
    /// So many hosts.
    Hosts(u32),
    /// This share of the hosts, 0 to 100, rounded down.
    Percent(f64),
}

impl Tolerance {
    /// The number of hosts out of `total`.
    pub fn of(self, total: usize) -> u32 {
        match self {
            Self::Hosts(count) => count,
            Self::Percent(share) => u32::try_from(share_of(total, share)).unwrap_or(u32::MAX),
        }
    }
}

impl FromStr for Tolerance {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePolicyError {
            text: text.to_owned(),
            expected: "a number of hosts (`0`, `5`) or a share of the play's hosts (`2%`)",
        };
        match text.trim().strip_suffix('%') {
            Some(share) => {
                let share: f64 = share.trim().parse().map_err(|_| error())?;
                (0.0..=100.0).contains(&share).then_some(Self::Percent(share)).ok_or_else(error)
            }
            None => text.trim().parse().map(Self::Hosts).map_err(|_| error()),
        }
    }
}

impl TryFrom<String> for Tolerance {
    type Error = ParsePolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Tolerance> for String {
    fn from(tolerance: Tolerance) -> Self {
        tolerance.to_string()
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// What a budget counts.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// Bad hosts of one wave: `max_fail_percentage`.
    #[default]
    Wave,
    /// Bad hosts of the play: `max_fail: { fleet }`.
    Fleet,
    /// Hosts of the play that could not be reached.
    Unreachable,
    /// Hosts of the play on which a logon was rejected.
    Auth,
    /// Bad hosts of the play in a row.
    Consecutive,
    /// Hosts of the play that had drifted.
    Drifted,
}

impl BudgetKind {
    /// Those over all waves of a play.
    pub const OF_PLAY: [Self; 5] =
        [Self::Fleet, Self::Unreachable, Self::Auth, Self::Consecutive, Self::Drifted];

    /// Whether it is that of a wave.
    pub fn is_wave(&self) -> bool {
        *self == Self::Wave
    }

    /// The key of a play that declares it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Wave => "max_fail_percentage",
            Self::Fleet => "max_fail.fleet",
            Self::Unreachable => "max_fail.unreachable",
            Self::Auth => "max_fail.auth",
            Self::Consecutive => "max_fail.consecutive",
            Self::Drifted => "max_fail.drifted",
        }
    }

    /// What it counts, with a number: `3 hosts that could not be reached`.
    pub fn counts(self, hosts: u32) -> String {
        let many = if hosts == 1 { "host" } else { "hosts" };
        match self {
            Self::Wave => format!("{hosts} bad {many}"),
            Self::Fleet => format!("{hosts} bad {many} of the play"),
            Self::Unreachable => format!("{hosts} {many} that could not be reached"),
            Self::Auth => format!("{hosts} {many} without a logon"),
            Self::Consecutive => format!("{hosts} bad {many} in a row"),
            Self::Drifted => format!("{hosts} {many} that had drifted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_number_or_a_share_rounded_down() {
        let of = |text: &str, total| text.parse::<Tolerance>().map(|t| t.of(total)).ok();

        assert_eq!((of("0", 9), of("5", 9), of("5", 3)), (Some(0), Some(5), Some(5)));
        assert_eq!((of("2%", 49), of("2%", 50), of("0%", 50)), (Some(0), Some(1), Some(0)));
        // 0.57 % of 10,000 is 57, though no binary fraction says so.
        assert_eq!(of("0.57%", 10_000), Some(57));
        for wrong in ["", "-1", "1.5", "101%", "five", "%"] {
            assert_eq!(of(wrong, 9), None, "{wrong}");
        }
    }
}
