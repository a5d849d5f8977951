//! The faults file: what is wrong with a simulated fleet, and for how long.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The faults that `demo` and `lab up` begin with.
const BUILT_IN: &str = include_str!("../faults/default.yml");

/// What is wrong with a fleet: a seeded file, or the built-in one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The faults, in the order in which they choose their servers.
    pub faults: Vec<Fault>,
}

/// A faults file that cannot be used.
#[derive(Debug, Error)]
#[error("could not read the faults file")]
pub struct ParseFaultsError(#[source] serde_saphyr::Error);

impl FaultPlan {
    /// Nothing is wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// The built-in plan: about half of the servers have work, two are broken for good.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in faults file is read by a test")
    }

    /// Reads a faults file.
    ///
    /// # Errors
    ///
    /// A text that is not YAML, or says something that is no fault.
    pub fn parse(text: &str) -> Result<Self, ParseFaultsError> {
        serde_saphyr::from_str(text).map_err(ParseFaultsError)
    }
}

/// One fault, and where it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// On how many servers: a number, or a share of the fleet such as `30%`.
    #[serde(default = "one_host")]
    pub hosts: Count,
    /// On these servers, by short or full name, in place of `hosts`.
    #[serde(default)]
    pub at: Vec<String>,
    /// Which of the servers that it could take.
    #[serde(default)]
    pub pick: Pick,
    /// No repair that this program knows makes it well.
    #[serde(default)]
    pub for_good: bool,
    /// How many requests or connections meet it before it is over; for ever when missing, for
    /// faults of a protocol.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many requests of the kind go well before it begins.
    #[serde(default)]
    pub after: u32,
    /// In milliseconds of real time. For `slow`: by how much each answer is late. For
    /// `sharing_violation`: how long the file stays open after a client first touched it.
    #[serde(default = "usual_delay")]
    pub delay_ms: u64,
    /// Only in fleets of at least this many package servers.
    #[serde(default)]
    pub in_fleets_from: u32,
}

/// Which servers a fault takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// Any, by the seed.
    #[default]
    Any,
    /// Those with the highest numbers in their sites: a play that takes sites in turn meets them
    /// last.
    Last,
}

fn one_host() -> Count {
    Count::Number(1)
}

fn usual_delay() -> u64 {
    250
}

/// A number of servers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "CountText")]
pub enum Count {
    /// So many.
    Number(u32),
    /// A share of the fleet, in per cent, rounded to the nearest whole number.
    Percent(u32),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CountText {
    Number(u32),
    Text(String),
}

impl TryFrom<CountText> for Count {
    type Error = String;

    fn try_from(text: CountText) -> Result<Self, Self::Error> {
        match text {
            CountText::Number(number) => Ok(Self::Number(number)),
            CountText::Text(text) => text
                .strip_suffix('%')
                .and_then(|number| number.trim().parse().ok())
                .filter(|percent| *percent <= 100)
                .map(Self::Percent)
                .ok_or_else(|| format!("`{text}` is neither a number nor a share such as `30%`")),
        }
    }
}

impl Count {
    /// How many that is in a fleet of `servers`.
    pub(super) fn of(self, servers: usize) -> usize {
        match self {
            Self::Number(number) => number as usize,
            Self::Percent(percent) => (servers * percent as usize + 50) / 100,
        }
    }
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The agent believes that an old snapshot.xml is current; the Notification Server says Invalid.
    Stale,
    /// The package is well, but the Notification Server never processed the report: Invalid.
    Invalid,
    /// As `stale`, but the Notification Server's row says Ready, with the old version.
    DriftedButReady,
    /// The Agent Connectivity Credential has no rights on the package store: downloads fail.
    MissingAce,
    /// UrgentList.xml names a package that no policy assigns.
    UrgentList,
    /// The machine lost its trust relationship (1789): whatever it reports is taken as Invalid.
    #[serde(rename = "trust_1789")]
    Trust1789,
    /// Something outside the product deletes the content again and again.
    RedownloadLoop,
    /// A package is marked Deleted in its PackageStatus.xml; its clean-up never ends.
    Deleted,
    /// Nothing listens.
    Offline,
    /// Every answer is late.
    Slow,
    /// Connections are taken and never answered.
    Hang,
    /// The fleet's account has another password here.
    WrongPassword,
    /// The quota of remote shells is used up.
    ShellQuota,
    /// A session's authentication is gone in the middle (401).
    Unauthorized,
    /// An answer is cut in the middle.
    Truncated,
    /// A snapshot.xml is open elsewhere: it can be read but not moved.
    SharingViolation,
    /// A snapshot.xml has the read-only attribute.
    ReadOnly,
    /// A statement at the CMDB is chosen as the deadlock victim.
    SqlDeadlock,
}

impl FaultKind {
    /// Whether the fault lies in the product's own state of a server, of which each server has at
    /// most one, so that tests can tell causes apart.
    pub(super) fn is_of_product(self) -> bool {
        matches!(
            self,
            Self::Stale
                | Self::Invalid
                | Self::DriftedButReady
                | Self::MissingAce
                | Self::Trust1789
                | Self::RedownloadLoop
                | Self::Deleted
                | Self::Offline
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stale => "stale snapshot",
            Self::Invalid => "status report lost",
            Self::DriftedButReady => "Ready with an old version",
            Self::MissingAce => "credential without rights on the package store",
            Self::UrgentList => "urgent list names a package without policy",
            Self::Trust1789 => "trust relationship lost (1789)",
            Self::RedownloadLoop => "content deleted from outside again and again",
            Self::Deleted => "package marked Deleted",
            Self::Offline => "offline",
            Self::Slow => "slow",
            Self::Hang => "hangs",
            Self::WrongPassword => "wrong password",
            Self::ShellQuota => "shell quota used up",
            Self::Unauthorized => "authentication lost in mid-session",
            Self::Truncated => "answers cut short",
            Self::SharingViolation => "file open elsewhere",
            Self::ReadOnly => "file is read-only",
            Self::SqlDeadlock => "SQL deadlock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_plan_is_read() {
        let plan = FaultPlan::built_in();

        assert!(plan.faults.iter().any(|f| f.kind == FaultKind::Stale));
        assert!(plan.faults.iter().filter(|f| f.for_good).count() >= 2);
    }

    #[test]
    fn a_misspelt_fault_or_count_is_refused() {
        for text in [
            "faults: [{kind: rusty}]",
            "faults: [{kind: stale, hosts: many}]",
            "faults: [{kind: stale, hosts: 130%}]",
            "faults: [{kind: stale, forgood: true}]",
        ] {
            assert!(FaultPlan::parse(text).is_err(), "{text}");
        }
    }
}
