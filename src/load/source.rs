//! A file being read: its text, and what was found wrong with it so far.

use std::sync::Arc;

use super::secrets::mask_line;
use super::yaml::Span;
use super::{Diagnostic, Severity, Snippet};

/// The most findings of one file that are shown.
const MAX_FINDINGS: usize = 100;
/// The most characters of a line that are shown on either side of a mistake.
const MAX_SIDE: usize = 120;

/// A file and its findings.
#[derive(Debug)]
pub(super) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    findings: Vec<Finding>,
    /// Values that must not be shown.
    masked: Vec<Span>,
    beyond: usize,
    errors: usize,
    /// What was found in files that this one includes.
    included: Vec<Diagnostic>,
}

/// Something found at a place.
#[derive(Debug)]
pub(super) struct Finding {
    severity: Severity,
    rule: &'static str,
    span: Span,
    message: String,
    expected: Option<String>,
    nearest: Option<String>,
    help: Option<String>,
    /// Equal findings elsewhere that were folded into this one.
    more: usize,
}

impl Finding {
    /// Says what would be right there.
    pub(super) fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names the known name nearest to `written`, if one is near.
    pub(super) fn nearest<'n>(
        &mut self,
        written: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> &mut Self {
        self.nearest = nearest(written, known).map(str::to_owned);
        self
    }

    /// Says what to do.
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        // Editors of Windows put a mark before the text that is no part of it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            file,
            text,
            findings: Vec::new(),
            masked: Vec::new(),
            beyond: 0,
            errors: 0,
            included: Vec::new(),
        }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Whether the file cannot be used.
    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The number of mistakes so far.
    pub(super) fn error_count(&self) -> usize {
        self.errors
    }

    /// Takes in what was found in a file that this one includes: its mistakes are this one's too.
    pub(super) fn adopt(&mut self, included: Source<'_>) {
        self.errors += included.errors;
        self.included.extend(included.into_diagnostics());
    }

    /// Notes a mistake.
    pub(super) fn error(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.errors += 1;
        self.note(Severity::Error, rule, span, message.into())
    }

    /// Notes something that deserves a look. The same message elsewhere is counted, not repeated.
    pub(super) fn warning(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Finding {
        let message = message.into();
        let same = |finding: &Finding| finding.rule == rule && finding.message == message;
        if let Some(at) = self.findings.iter().position(same) {
            self.findings[at].more += 1;
            return &mut self.findings[at];
        }
        self.note(Severity::Warning, rule, span, message)
    }

    fn note(
        &mut self,
        severity: Severity,
        rule: &'static str,
        span: Span,
        message: String,
    ) -> &mut Finding {
        if self.findings.len() >= MAX_FINDINGS {
            self.beyond += 1;
            self.findings.truncate(MAX_FINDINGS);
        }
        self.findings.push(Finding {
            severity,
            rule,
            span,
            message,
            expected: None,
            nearest: None,
            help: None,
            more: 0,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Keeps a value out of every message.
    pub(super) fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, span: Span) -> u32 {
        let before = &self.text.as_bytes()[..span.start().min(self.text.len())];
        count(before.iter().filter(|byte| **byte == b'\n').count() + 1)
    }

    /// What was found, by position; what was found in included files comes after it.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.findings.truncate(MAX_FINDINGS);
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort_by_key(|finding| (finding.span.start(), finding.severity));
        let file: Arc<str> = Arc::from(self.file);
        let lines = self.line_starts(&findings);
        let mut shown: Vec<Diagnostic> =
            findings.into_iter().map(|finding| self.show(finding, &file, &lines)).collect();
        if self.beyond > 0
            && let Some(last) = shown.last_mut()
        {
            let note = format!("{} more mistakes of this file are not shown", self.beyond);
            last.help =
                Some(last.help.take().map_or(note.clone(), |help| format!("{help}\n{note}")));
        }
        shown.append(&mut self.included);
        shown
    }

    fn line_starts(&self, findings: &[Finding]) -> Vec<usize> {
        if findings.is_empty() {
            return Vec::new();
        }
        std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect()
    }

    fn show(&self, finding: Finding, file: &Arc<str>, lines: &[usize]) -> Diagnostic {
        let start = self.floor(finding.span.start());
        let end = self.floor(finding.span.end()).max(start);
        let line = lines.partition_point(|begin| *begin <= start) - 1;
        let column = self.text[lines[line]..start].chars().count() + 1;
        let message = match finding.more {
            0 => finding.message,
            1 => format!("{} (here and at 1 other place)", finding.message),
            more => format!("{} (here and at {more} other places)", finding.message),
        };
        Diagnostic {
            severity: finding.severity,
            rule: finding.rule,
            file: Arc::clone(file),
            line: count(line + 1),
            column: count(column),
            span: start..end,
            message,
            expected: finding.expected,
            nearest: finding.nearest,
            help: finding.help,
            snippet: self.snippet(line, start, end, lines),
        }
    }

    /// The line, and the one before it for context, both cut to what fits a screen.
    fn snippet(&self, line: usize, start: usize, end: usize, lines: &[usize]) -> Snippet {
        let first = line.saturating_sub(1);
        let mut text = String::new();
        let mut marked = 0..0;
        for at in first..=line {
            let begin = lines[at];
            let stop = lines.get(at + 1).map_or(self.text.len(), |next| next - 1).max(begin);
            let stop = begin + self.text[begin..stop].trim_end_matches('\r').len();
            let shown = self.presentable(begin, stop);
            if at < line {
                text.push_str(&cut(&shown, 0, 2 * MAX_SIDE).0);
                text.push('\n');
                continue;
            }
            let (from, to) = (start - begin, end.min(stop.max(start)) - begin);
            let from = from.min(shown.len());
            let to = to.clamp(from, shown.len());
            let (kept, removed) = cut(&shown, from, to);
            let offset = text.len();
            text.push_str(&kept);
            // `removed` counts what was cut away before the mark, the ellipsis already included.
            let shift = |place: usize| {
                let moved = offset + place;
                match removed {
                    Removed::Bytes(bytes) => moved - bytes,
                    Removed::Nothing => moved,
                }
            };
            let mark_end = shift(to).min(text.len());
            marked = shift(from).min(mark_end)..mark_end;
        }
        Snippet { text, first_line: count(first + 1), marked }
    }

    /// A line with passwords and control characters replaced, at the same length.
    fn presentable(&self, begin: usize, stop: usize) -> String {
        let mut line: Vec<u8> = Vec::with_capacity(stop - begin);
        for (at, c) in self.text[begin..stop].char_indices() {
            let place = begin + at;
            let hidden = self.masked.iter().any(|s| (s.start()..s.end()).contains(&place));
            let sign = match c {
                _ if hidden && !c.is_whitespace() => b'*',
                '\t' | '\r' => b' ',
                _ if c.is_control() || is_invisible(c) => b'?',
                _ => {
                    line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            line.extend(std::iter::repeat_n(sign, c.len_utf8()));
        }
        mask_line(&String::from_utf8_lossy(&line))
    }

    fn floor(&self, place: usize) -> usize {
        self.text.floor_char_boundary(place.min(self.text.len()))
    }
}

enum Removed {
    Nothing,
    Bytes(usize),
}

/// Cuts a line to what is near the mark.
fn cut(line: &str, from: usize, to: usize) -> (String, Removed) {
    let begin = line.floor_char_boundary(from.saturating_sub(MAX_SIDE));
    let end = line.ceil_char_boundary((to.min(from + MAX_SIDE) + MAX_SIDE).min(line.len()));
    let tail = if end < line.len() { "…" } else { "" };
    // An ellipsis takes as much room as what it would stand for.
    if begin <= '…'.len_utf8() {
        return (format!("{}{tail}", &line[..end]), Removed::Nothing);
    }
    (format!("…{}{tail}", &line[begin..end]), Removed::Bytes(begin - '…'.len_utf8()))
}

/// Characters that turn the reading direction or take no room: they make a line look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The name nearest to what was written: at most a third of its letters differ.
pub(super) fn nearest<'n>(
    written: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let written = written.to_lowercase();
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= allowed
                || (written.len() >= 4 && name.to_lowercase().starts_with(&written))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
