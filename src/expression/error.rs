//! What is wrong with an expression, and where in its text.

use std::fmt;
use std::ops::Range;

use minijinja::ErrorKind;

/// An expression or template that could not be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not evaluate `{}`: {problem}", shorten(.text))]
pub struct ExpressionError {
    /// The whole text.
    pub text: String,
    /// What is wrong.
    pub problem: Problem,
    /// The bytes of `text` that it is about, where they are known.
    pub at: Option<Range<usize>>,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is not an expression.
    Syntax(String),
    /// A variable, or a part of one, that is not there.
    Undefined(String),
    /// An operation that its values do not allow, or a filter that does not exist.
    Operation(String),
    /// It takes more work, depth or output than an expression may.
    TooMuch,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(what) | Self::Operation(what) => f.write_str(what),
            Self::Undefined(name) => write!(f, "`{name}` is not defined"),
            Self::TooMuch => f.write_str("it takes more work than an expression may"),
        }
    }
}

impl ExpressionError {
    /// Line and column inside the text, both from 1; the column counts characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = self.text.get(..self.at.as_ref()?.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Some((line, column))
    }

    /// Takes an error of the template engine about `text`; its ranges begin `shift` bytes into it.
    pub(super) fn of(text: &str, shift: usize, error: &minijinja::Error) -> Self {
        let at = error
            .range()
            .map(|range| range.start + shift..range.end + shift)
            .filter(|range| text.get(range.clone()).is_some());
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        if let Some(name) = undefined_name(&detail) {
            let problem = Problem::Undefined(name.to_owned());
            return Self { text: text.to_owned(), problem, at };
        }
        let problem = match error.kind() {
            ErrorKind::SyntaxError | ErrorKind::BadEscape => Problem::Syntax(detail),
            ErrorKind::OutOfFuel | ErrorKind::WriteFailure => Problem::TooMuch,
            ErrorKind::InvalidOperation if detail.contains("recursion") => Problem::TooMuch,
            _ => Problem::Operation(detail),
        };
        Self { text: text.to_owned(), problem, at }
    }

    /// An error about the whole text.
    pub(super) fn whole(text: &str, problem: Problem) -> Self {
        Self { text: text.to_owned(), problem, at: None }
    }
}

/// The variable that the template engine names as the reason: "`cmdb.server` is undefined".
fn undefined_name(detail: &str) -> Option<&str> {
    let (before, _) = detail.split_once("` is undefined")?;
    before.rsplit('`').next()
}

/// The text on one line, at most 80 characters of it.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
