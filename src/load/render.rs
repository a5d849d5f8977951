//! Diagnostics as people read them.

use std::fmt;
use std::fmt::Write as _;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use super::{Diagnostic, Severity};

/// Columns that a message may take.
const WIDTH: usize = 100;
/// The longest text beside a mark; labels are not wrapped.
const MAX_LABEL: usize = 64;

/// Writes diagnostics one below the other, with the lines they speak of.
///
/// Texts from the files have no control characters left, so the result is safe for a terminal.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).without_cause_chain();
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        if handler.render_report(&mut text, &Report(diagnostic)).is_err() {
            // The handler fails only for a place outside of its lines; the message is not lost.
            let Diagnostic { file, line, column, message, .. } = diagnostic;
            let _ = writeln!(text, "{file}:{line}:{column}: {message}");
        }
    }
    text
}

/// A diagnostic as the renderer wants it.
struct Report<'d>(&'d Diagnostic);

impl Report<'_> {
    /// What stands at the mark.
    fn label(&self) -> Option<String> {
        match (&self.0.nearest, self.expected()) {
            (Some(name), _) => Some(format!("did you mean `{name}`?")),
            (None, Some(expected)) if expected.chars().count() <= MAX_LABEL => Some(expected),
            (None, _) => None,
        }
    }

    fn expected(&self) -> Option<String> {
        self.0.expected.as_ref().map(|expected| clean(&format!("expected {expected}")))
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(&self.0.message))
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        // What does not fit at the mark stands below.
        let expected = self.expected().filter(|expected| self.label().as_ref() != Some(expected));
        let help = self.0.help.as_deref().map(clean);
        let parts: Vec<String> = [expected, help].into_iter().flatten().collect();
        if parts.is_empty() { None } else { Some(Box::new(parts.join("\n"))) }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let marked = &self.0.snippet.marked;
        let label = LabeledSpan::new(self.label().map(|l| clean(&l)), marked.start, marked.len());
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Report<'_> {
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let snippet = &self.0.snippet;
        // The renderer asks twice: with lines of context for what it shows, and without for the
        // place that it names above.
        let (line, column) = if lines_before + lines_after == 0 {
            (self.0.line, self.0.column)
        } else {
            (snippet.first_line, 1)
        };
        Ok(Box::new(MietteSpanContents::new_named(
            clean(&self.0.file),
            snippet.text.as_bytes(),
            (0, snippet.text.len()).into(),
            line as usize - 1,
            column as usize - 1,
            snippet.text.lines().count(),
        )))
    }
}

/// Messages repeat names from the file: control characters in them are shown as `?`.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}
