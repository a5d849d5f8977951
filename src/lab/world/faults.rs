//! The faults file: what is wrong with a simulated fleet, and for how long.

mod agent;
mod by_hand;
mod kind;
mod machine;
mod notification_server;
mod package;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use thiserror::Error;

pub use kind::FaultKind;
pub(super) use kind::Scope;

use super::fleet::Package;
use crate::model::Guid;

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
    /// On these servers, by short or full name, in place of `hosts`. For a fault of packages: where it
    /// shows; on every server that has them when missing.
    #[serde(default)]
    pub at: Vec<String>,
    /// On these packages, by name, GUID, or number from 1 in the order of the fleet; each is assigned
    /// to the servers first that do not have it. When missing, the fault chooses for itself.
    #[serde(default)]
    pub packages: Vec<PackageName>,
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

/// A package, as a faults file names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PackageName {
    /// Its number in the order of the fleet, from 1.
    Number(usize),
    /// Its name or its GUID.
    Text(String),
}

impl PackageName {
    /// Its place among the packages of a fleet; `None` when there is no such package.
    pub(super) fn find(&self, packages: &[Package]) -> Option<usize> {
        match self {
            Self::Number(number) => number.checked_sub(1).filter(|at| *at < packages.len()),
            Self::Text(text) => {
                let guid = text.parse::<Guid>().ok();
                let is_meant =
                    |package: &Package| guid == Some(package.guid) || package.name == *text;
                packages.iter().position(is_meant)
            }
        }
    }
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

#[cfg(test)]
mod plan_tests {
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
