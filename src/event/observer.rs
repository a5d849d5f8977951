//! Readers of the stream while a run goes on: screen, lines, JSON.

use super::{Event, Gauge, RunState};
use crate::model::Now;

/// Is told of every event, and shown the scheduler's gauge now and then.
pub trait Observer: Send {
    /// An event is on disk; `state` includes it, and may include later ones.
    fn observe(&mut self, event: &Event, state: &RunState);

    /// A tenth of a second or so has passed; may be skipped.
    fn tick(&mut self, now: Now, gauge: &Gauge, state: &RunState);
}
