//! The only writer to standard output and standard error.

use std::io::Write;

/// Writes a result to standard output. A reader that closed the pipe has what it wanted.
pub(super) fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes talk to standard error.
pub(super) fn talk(text: &str) {
    let mut out = std::io::stderr().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
