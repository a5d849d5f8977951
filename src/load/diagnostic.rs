//! A mistake in a file, with its place and a copy of the lines around it.

use std::ops::Range;
use std::sync::Arc;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and something in it deserves a look.
    Warning,
}

/// One mistake of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that was broken: `unknown-key`.
    pub rule: &'static str,
    /// The file's name, as the operator gave it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The bytes of the file that it is about, a byte order mark not counted.
    pub span: Range<usize>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What would be right there.
    pub expected: Option<String>,
    /// The known name nearest to what was written.
    pub nearest: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The lines around it, passwords and control characters replaced.
    pub snippet: Snippet,
}

/// Lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The lines.
    pub text: String,
    /// The number of the first one, from 1.
    pub first_line: u32,
    /// The bytes of `text` to point at.
    pub marked: Range<usize>,
}
