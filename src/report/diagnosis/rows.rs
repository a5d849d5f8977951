//! Lines of a report that is read at 80 columns.

use crate::report::recap::fold;
use console::measure_text_width;

/// The width of a report.
pub(super) const WIDTH: usize = 80;
/// Where the text of a labelled line begins.
pub(super) const INDENT: usize = 15;

/// Appends a labelled line, folded at blanks with what follows below its text. A label that is too
/// wide stands alone.
pub(super) fn line(text: &mut String, label: &str, content: &str) {
    let wide = measure_text_width(label);
    let mut begin = if wide + 3 > INDENT {
        text.push_str("  ");
        text.push_str(label);
        text.push('\n');
        " ".repeat(INDENT)
    } else {
        format!("  {label}{}", " ".repeat(INDENT - 2 - wide))
    };
    for row in fold(content, WIDTH - INDENT) {
        text.push_str(format!("{begin}{row}").trim_end());
        text.push('\n');
        begin = " ".repeat(INDENT);
    }
}

/// A number with its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
