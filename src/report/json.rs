//! Events as NDJSON on standard output: one object a line, the journal's own form.

use std::io::Write;

use crate::event::{Event, Gauge, Observer, RunState};
use crate::model::Now;

/// Writes every event as one line.
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Observer for JsonLines<W> {
    fn observe(&mut self, event: &Event, _state: &RunState) {
        if let Ok(line) = serde_json::to_string(event) {
            // A reader that closed the pipe has what it wanted; the run goes on.
            let _closed = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }

    fn tick(&mut self, _now: Now, _gauge: &Gauge, _state: &RunState) {}
}
