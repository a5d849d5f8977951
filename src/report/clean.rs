//! Makes text from remote hosts harmless before it is shown.

use std::borrow::Cow;

/// Replaces everything that could steer a terminal or reorder what is read: escape sequences,
/// C0 and C1 controls (but tab and newline), bidirectional controls, zero-width characters.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            skip_escape(&mut chars);
            shown.push('\u{fffd}');
        } else if c == '\r' && chars.peek() == Some(&'\n') {
            // A Windows line end is a line end.
        } else if is_harmless(c) {
            shown.push(c);
        } else {
            shown.push('\u{fffd}');
        }
    }
    Cow::Owned(shown)
}

/// As [`clean`], on one line: line ends and tabs become blanks, runs of blanks one, and what is
/// longer than `limit` characters ends with `…`.
pub fn clean_line(text: &str, limit: usize) -> String {
    let one_line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= limit {
        return one_line;
    }
    let kept: String = one_line.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The last part of a path, of either system.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether a character can neither steer a terminal nor reorder what is read.
pub(super) fn is_harmless(c: char) -> bool {
    let is_bidi = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    c == '\n' || c == '\t' || !(c.is_control() || is_bidi)
}

/// Skips the rest of an escape sequence: CSI up to its final byte, OSC and its kin up to BEL or ST,
/// anything else one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_host_cannot_steer_the_terminal() {
        let hostile = "ok\u{1b}[2J\u{1b}]0;owned\u{7} \u{9b}31m del\u{202e}txt\u{8}\u{0}";

        let shown = clean(hostile);

        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.starts_with("ok") && !shown.contains("owned"), "{shown:?}");
    }

    #[test]
    fn harmless_text_is_shown_as_it_is() {
        assert_eq!(clean("Zugriff verweigert: äöü\n\tC:\\x"), "Zugriff verweigert: äöü\n\tC:\\x");
        assert_eq!(clean("two\r\nlines"), "two\nlines");
    }

    #[test]
    fn a_long_message_is_one_line_that_says_that_it_was_cut() {
        assert_eq!(clean_line("a\r\n  b\tc", 80), "a b c");
        assert_eq!(clean_line("0123456789", 5), "0123…");
    }
}
