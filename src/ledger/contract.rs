//! What is asked of the ledger, and what it answers.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Load;
use crate::model::LimitName;

/// An instant of the clock that all processes of a controller share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Which stretch of time the clock counts: a boot of the system. Instants of different
    /// stretches cannot be compared.
    pub stretch: String,
    /// How much of it has passed.
    pub at: Duration,
}

/// What a limit protects, and so what makes it the same one in two runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// The Notification Server, by where its CMDB is.
    pub server: String,
    /// The limit.
    pub name: LimitName,
    /// For a limit that is split by a host variable: its value.
    pub by: Option<String>,
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted, so that keys that differ are written differently.
        write!(f, "{:?} of {:?}", self.name.as_str(), self.server)?;
        self.by.as_ref().map_or(Ok(()), |by| write!(f, " at {by:?}"))
    }
}

/// How much of a limit a run allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SharedSpec {
    /// Units each second of real time, and how many may be drawn at once after a pause.
    pub rate: Option<(f64, u32)>,
    /// Changes, or hosts, that may be under way at once.
    pub in_flight: Option<u32>,
}

impl SharedSpec {
    /// The tighter of two, part by part.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        let rate = match (self.rate, other.rate) {
            (Some((a, x)), Some((b, y))) => Some((a.min(b), x.min(y))),
            (one, none) => one.or(none),
        };
        let in_flight = match (self.in_flight, other.in_flight) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, none) => one.or(none),
        };
        Self { rate, in_flight }
    }
}

/// Something of one process of a run that draws from limits and gives back what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimId(pub u64);

/// What a claim draws from one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedDraw {
    /// The limit.
    pub key: LimitKey,
    /// What the run allows of it.
    pub spec: SharedSpec,
    /// The units; beside them, a draw takes one place in flight.
    pub load: Load,
}

/// Something that a run tells the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// It wants to draw all of this or nothing, and waits in the order in which it asked. Asking
    /// again does not lose its place; it must be asked again soon after the time that was told.
    Draw {
        /// Who asks.
        claim: ClaimId,
        /// What it draws.
        draws: Vec<SharedDraw>,
    },
    /// A claim gives back its places in flight, or does not wait any more.
    GiveBack {
        /// Which.
        claim: ClaimId,
        /// From where.
        keys: Vec<LimitKey>,
    },
    /// The process is alive and keeps what it holds.
    Renew,
}

/// What the ledger says to a draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// All is drawn.
    Granted {
        /// When, on the ledger's clock.
        at: Duration,
        /// What is left in each bucket, in the order of the draws.
        left: Vec<Option<f64>>,
    },
    /// Nothing is drawn.
    Wait {
        /// When to ask again.
        span: Duration,
        /// The draw that is not possible now, by its place.
        by: usize,
    },
    /// Nothing is drawn, because the ledger could not be read or written.
    Unreadable(SharedLimitsError),
}

/// The ledger cannot be read or written: nothing may be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("could not read the limits that are shared with other runs: {reason}")]
pub struct SharedLimitsError {
    /// What the store said.
    pub reason: String,
}

/// Keeps the ledger for all runs of a controller.
pub trait SharedLimits: Send + Sync {
    /// Tells the ledger all of these words in one transaction; the answers to draws come in their
    /// order. What was answered holds though the process ends, however it ends. Words of one run
    /// are taken in the order of these calls.
    fn tell(&self, words: Vec<Word>) -> BoxFuture<'static, Vec<(ClaimId, Answer)>>;
}
