//! Where events are made durable.

use futures::future::BoxFuture;
use thiserror::Error;

use super::Event;

/// Resolves when the event is on disk.
pub type Ack = BoxFuture<'static, Result<(), JournalError>>;

/// The journal could not take an event; the run must stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("could not write to the journal: {reason}")]
pub struct JournalError {
    /// What the store said.
    pub reason: String,
}

/// Takes events in order.
pub trait Journal: Send + Sync {
    /// Queues an event; the answer resolves when it is on disk. Events are written in the order of
    /// these calls, and many of them share one write to disk.
    fn append(&self, event: Event) -> Ack;
}
