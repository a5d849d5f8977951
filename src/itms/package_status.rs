//! `PackageStatus.xml`: the state in which a package server keeps a package.
//!
//! The articles say that it has a `Status` (KB 178503) and not where in the file that stands, so it
//! is read from an attribute or an element of that name.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::xml::decode;

/// A package's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageState {
    /// Whole and offered to clients.
    Ready,
    /// No longer assigned; the agent will remove it. Such a file must not be touched: the removal
    /// would never end.
    Deleted,
    /// Another state, in the agent's words. It is neither success nor failure.
    Other(String),
    /// No state, or two that differ.
    Unreadable,
}

impl PackageState {
    /// The state that a word stands for.
    pub fn of(word: &str) -> Self {
        let word = word.trim();
        if word.is_empty() {
            Self::Unreadable
        } else if word.eq_ignore_ascii_case("ready") {
            Self::Ready
        } else if word.eq_ignore_ascii_case("deleted") {
            Self::Deleted
        } else {
            Self::Other(word.to_owned())
        }
    }
}

/// Reads the state from a file's bytes, UTF-8 or UTF-16.
///
/// The root element's own attribute holds; else every `Status` in the file must say the same.
pub fn read_state(bytes: &[u8]) -> PackageState {
    let text = decode(bytes);
    let mut reader = Reader::from_str(&text);
    let mut found: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut inside: Option<String> = None;
    let mut is_whole = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                if let Some(state) = attribute(&element) {
                    if depth == 0 {
                        return PackageState::of(&state);
                    }
                    found.push(state);
                }
                depth += 1;
                if is_status(element.local_name().as_ref()) {
                    inside = Some(String::new());
                }
            }
            Ok(Event::Empty(element)) => {
                if let Some(state) = attribute(&element) {
                    if depth == 0 {
                        return PackageState::of(&state);
                    }
                    found.push(state);
                }
                is_whole |= depth == 0;
            }
            Ok(Event::Text(text)) => {
                if let Some(inside) = &mut inside {
                    inside.push_str(&text);
                }
            }
            Ok(Event::CData(text)) => {
                if let Some(inside) = &mut inside {
                    inside.push_str(&text);
                }
            }
            Ok(Event::End(_)) => {
                if let Some(state) = inside.take()
                    && !state.trim().is_empty()
                {
                    found.push(state);
                }
                depth = depth.saturating_sub(1);
                is_whole |= depth == 0;
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => return PackageState::Unreadable,
        }
    }
    let mut states = found.iter().map(|word| PackageState::of(word));
    match states.next() {
        Some(first) if is_whole && states.all(|other| other == first) => first,
        _ => PackageState::Unreadable,
    }
}

fn is_status(name: &str) -> bool {
    name.eq_ignore_ascii_case("status")
}

fn attribute(element: &BytesStart<'_>) -> Option<String> {
    let attribute = element
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| is_status(attribute.key.local_name().as_ref()))?;
    let text = &*attribute.value;
    Some(quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_from_an_attribute_or_an_element() {
        for text in [
            "<?xml version=\"1.0\"?>\r\n<PackageStatus Id=\"{A}\" Status=\"Deleted\" Time=\"1\" />",
            "<packageStatus status='deleted'><Codebase Status='Ready'/></packageStatus>",
            "<PackageStatus><Id>1</Id><Status> Deleted </Status></PackageStatus>",
            "\u{feff}<PackageStatus><Package Status=\"Deleted\"/></PackageStatus>",
        ] {
            assert_eq!(read_state(text.as_bytes()), PackageState::Deleted, "{text}");
        }
    }

    #[test]
    fn utf_16_is_read_by_its_mark() {
        let text = "<PackageStatus Status=\"Ready\"/>";
        let bytes: Vec<u8> =
            std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();

        assert_eq!(read_state(&bytes), PackageState::Ready);
    }

    #[test]
    fn an_unknown_state_is_neither_ready_nor_deleted() {
        let state = read_state(b"<PackageStatus Status=\"Download Pending\"/>");

        assert_eq!(state, PackageState::Other("Download Pending".to_owned()));
    }

    #[test]
    fn a_file_without_one_clear_state_is_unreadable() {
        for text in [
            "",
            "not xml at all",
            "<PackageStatus/>",
            "<PackageStatus Status=\"\"/>",
            "<PackageStatus><a Status=\"Ready\"/><b Status=\"Deleted\"/></PackageStatus>",
            "<PackageStatus><a Status=\"Ready\"/>",
            "<PackageStatus><Status>Ready</Sta",
        ] {
            assert_eq!(read_state(text.as_bytes()), PackageState::Unreadable, "{text}");
        }
        assert_eq!(read_state(&[0xFF, 0xFE, 0x3C]), PackageState::Unreadable);
    }
}
