//! Events as NDJSON on standard output: one object a line, the journal's own form.

use std::io::Write;

use super::clean::is_harmless;
use crate::event::{Event, Gauge, Observer, RunState};
use crate::model::Now;

/// An event, or anything else, as one line of JSON. What could steer a terminal is escaped: JSON
/// itself asks for that of C0 controls only.
///
/// # Errors
///
/// It holds what JSON cannot.
pub fn json_line(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let line = serde_json::to_string(value)?;
    if line.chars().all(is_harmless) {
        return Ok(line);
    }
    let escaped =
        |c: char| if is_harmless(c) { c.to_string() } else { format!("\\u{:04x}", c as u32) };
    Ok(line.chars().map(escaped).collect())
}

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
        if let Ok(line) = json_line(event) {
            // A reader that closed the pipe has what it wanted; the run goes on.
            let _closed = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }

    fn tick(&mut self, _now: Now, _gauge: &Gauge, _state: &RunState) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped_and_reads_the_same() {
        let hostile = "del\u{202e}txt \u{9b}31m \u{1b}[2J \u{7f} äöü";

        let line = json_line(&hostile).expect("a text");

        assert!(line.chars().all(is_harmless), "{line:?}");
        assert!(line.contains("äöü"), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), hostile);
    }
}
