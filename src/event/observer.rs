//! Readers of the stream while a run goes on: screen, lines, JSON.

use super::{Event, Gauge, JournalError, RunState};
use crate::model::Now;

/// Is told of every event, and shown the scheduler's gauge now and then.
pub trait Observer: Send {
    /// An event is on disk; `state` includes it, and may include later ones.
    fn observe(&mut self, event: &Event, state: &RunState);

    /// A tenth of a second or so has passed; may be skipped.
    fn tick(&mut self, now: Now, gauge: &Gauge, state: &RunState);

    /// The journal can no longer be written: no event follows. `under_way` steps may be changing
    /// their hosts and are awaited.
    fn journal_failed(&mut self, _now: Now, _error: &JournalError, _under_way: usize) {}
}
