//! What a change draws from the named limits, now and later.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The name of a limit: `ns_iis`, `cmdb`, `site`, or one that the playbook declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LimitName(Arc<str>);

impl LimitName {
    /// The requests that reach the Notification Server's IIS.
    pub const NS_IIS: &str = "ns_iis";
    /// Statements at the CMDB.
    pub const CMDB: &str = "cmdb";
    /// Hosts of one site in flight.
    pub const SITE: &str = "site";

    /// Takes a name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Units drawn from one limit; for `ns_iis` a unit is one request at the Notification Server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// Requests caused while the step runs.
    pub now: u32,
    /// Requests caused after it: the downloads that a configuration update sets off.
    pub later: u32,
}

impl Draw {
    /// Now and later together.
    pub fn total(self) -> u32 {
        self.now.saturating_add(self.later)
    }
}

/// Units that fall due at a known time after the step began to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// How many; for `ns_iis`, requests.
    pub units: u32,
    /// How long after, in the world's time.
    pub after: Duration,
}

/// What is drawn from one limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    draw: Draw,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Due>,
}

/// What a change draws from each limit.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(IndexMap<LimitName, Entry>);

impl Cost {
    /// Costs nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Requests at the Notification Server's IIS.
    pub fn ns_iis(now: u32, later: u32) -> Self {
        Self::none().and(LimitName::new(LimitName::NS_IIS), Draw { now, later })
    }

    /// Adds a draw to what is there.
    #[must_use]
    pub fn and(mut self, limit: LimitName, draw: Draw) -> Self {
        let entry = &mut self.0.entry(limit).or_default().draw;
        entry.now = entry.now.saturating_add(draw.now);
        entry.later = entry.later.saturating_add(draw.later);
        self
    }

    /// Adds units that fall due later. One limit has one due time, the earlier of two, which no law
    /// of a limit minds: a task says one, and an action none.
    #[must_use]
    pub fn and_due(mut self, limit: LimitName, due: Due) -> Self {
        let entry = &mut self.0.entry(limit).or_default().due;
        *entry = Some(entry.map_or(due, |before| Due {
            units: before.units.saturating_add(due.units),
            after: before.after.min(due.after),
        }));
        self
    }

    /// The draw from one limit; nothing when it is not named.
    pub fn of(&self, limit: &str) -> Draw {
        self.0
            .iter()
            .find(|(name, _)| name.as_str() == limit)
            .map_or_else(Draw::default, |(_, entry)| entry.draw)
    }

    /// The limits drawn from, in the order they were added.
    pub fn draws(&self) -> impl Iterator<Item = (&LimitName, Draw)> {
        self.0.iter().map(|(name, entry)| (name, entry.draw))
    }

    /// The limits of which units fall due later, with those.
    pub fn dues(&self) -> impl Iterator<Item = (&LimitName, Due)> {
        self.0.iter().filter_map(|(name, entry)| Some((name, entry.due?)))
    }

    /// What falls due of one limit.
    pub fn due(&self, limit: &LimitName) -> Option<Due> {
        self.0.get(limit).and_then(|entry| entry.due)
    }

    /// Both costs together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let sum = other.draws().fold(self, |sum, (name, draw)| sum.and(name.clone(), draw));
        other.dues().fold(sum, |sum, (name, due)| sum.and_due(name.clone(), due))
    }

    /// Whether nothing is drawn.
    pub fn is_none(&self) -> bool {
        let is_none =
            |entry: &Entry| entry.draw.total() == 0 && entry.due.is_none_or(|due| due.units == 0);
        self.0.values().all(is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_of_journals_before_due_times_are_read_and_written_as_they_were() {
        let text = r#"{"ns_iis":{"now":1,"later":2}}"#;
        let cost: Cost = serde_json::from_str(text).expect("it is read");

        assert_eq!(cost, Cost::ns_iis(1, 2));
        assert_eq!(serde_json::to_string(&cost).expect("it is written"), text);
    }

    #[test]
    fn what_falls_due_comes_back_from_a_journal() {
        let due = Due { units: 40, after: Duration::from_secs(900) };
        let cost = Cost::ns_iis(1, 0).and_due(LimitName::new(LimitName::NS_IIS), due);
        let text = serde_json::to_string(&cost).expect("it is written");

        assert_eq!(serde_json::from_str::<Cost>(&text).expect("it is read"), cost);
        assert!(!Cost::none().plus(&cost).is_none());
    }
}
