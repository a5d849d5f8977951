//! What a change draws from the named limits, now and later.

use std::fmt;
use std::sync::Arc;

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

/// What a change draws from each limit.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(IndexMap<LimitName, Draw>);

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
        let entry = self.0.entry(limit).or_default();
        entry.now = entry.now.saturating_add(draw.now);
        entry.later = entry.later.saturating_add(draw.later);
        self
    }

    /// The draw from one limit; nothing when it is not named.
    pub fn of(&self, limit: &str) -> Draw {
        self.0
            .iter()
            .find(|(name, _)| name.as_str() == limit)
            .map_or_else(Draw::default, |(_, d)| *d)
    }

    /// The limits drawn from, in the order they were added.
    pub fn draws(&self) -> impl Iterator<Item = (&LimitName, Draw)> {
        self.0.iter().map(|(name, draw)| (name, *draw))
    }

    /// Whether nothing is drawn.
    pub fn is_none(&self) -> bool {
        self.0.values().all(|draw| draw.total() == 0)
    }
}
