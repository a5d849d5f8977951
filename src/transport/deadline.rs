//! The instant at which a wait ends.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// An instant in real time after which nobody waits any more; cheap to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct DeadlinePassed;

impl Deadline {
    /// The instant `span` from now.
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// The earlier of this one and `span` from now: a part of a task has no longer than the whole.
    #[must_use]
    pub fn at_most(self, span: Duration) -> Self {
        self.min(Self::after(span))
    }

    /// What is left; zero when it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Waits for a future, but not longer.
    ///
    /// # Errors
    ///
    /// The deadline passed first; the future is dropped.
    pub async fn of<F: Future>(self, future: F) -> Result<F::Output, DeadlinePassed> {
        tokio::time::timeout_at(self.0, future).await.map_err(|_| DeadlinePassed)
    }
}
