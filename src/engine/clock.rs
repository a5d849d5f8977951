//! The only place of the controller that reads time.

use crate::model::{Elapsed, Now};

/// A monotonic clock that started with the run, and the wall clock beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: tokio::time::Instant,
    offset: Elapsed,
}

impl Clock {
    /// Starts at `offset`: zero for a new run, where the journal stands for a resumed one.
    pub(super) fn start_at(offset: Elapsed) -> Self {
        Self { started: tokio::time::Instant::now(), offset }
    }

    /// The present.
    #[expect(clippy::disallowed_methods, reason = "the one clock of the controller")]
    pub(super) fn now(&self) -> Now {
        Now { elapsed: self.offset.plus(self.started.elapsed()), wall: jiff::Timestamp::now() }
    }

    /// The instant of the runtime's timer at which `elapsed` is reached.
    pub(super) fn instant_of(&self, elapsed: Elapsed) -> tokio::time::Instant {
        self.started + elapsed.since(self.offset)
    }
}
