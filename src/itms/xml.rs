//! Walks XML that somebody else wrote, whatever its layout: each element when it ends, with what it
//! holds as named values.
//!
//! Nothing outside of the bytes is ever read and no entity that a document declares is expanded, so
//! that neither references to other files nor entities that blow up do harm.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

/// How deep elements may be nested.
const DEEPEST: usize = 64;

/// How many elements a document may have.
const MOST_ELEMENTS: usize = 1_000_000;

/// How many values an element may have; a value is at most so many bytes.
const MOST_VALUES: usize = 64;
const LONGEST_VALUE: usize = 1 << 16;

/// Why bytes cannot be understood. It is an answer like any other: never an absence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// An element that is open, or has just ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its local name as written.
    pub(super) name: String,
    /// Its attributes, and those of its children that are values themselves: `<Size>1</Size>`,
    /// `<Size value="1"/>`, `<Property name="Size" value="1"/>`. In their order; keys as written.
    pub(super) values: Vec<(String, String)>,
    /// Its own text, without what surrounds it.
    pub(super) text: String,
    /// Whether it has child elements.
    pub(super) has_children: bool,
}

impl Element {
    /// The first value with one of these keys, whatever their case, in the order of `keys`.
    pub(super) fn value(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|wanted| {
            self.values
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.as_str())
        })
    }

    /// What it is to its parent when it is no more than a value.
    fn as_value(&self) -> Option<(String, String)> {
        if self.has_children {
            return None;
        }
        if !self.text.is_empty() {
            return Some((self.name.clone(), self.text.clone()));
        }
        let value = self.value(&["value"])?.to_owned();
        let key = self.value(&["name", "key"]).unwrap_or(&self.name).to_owned();
        Some((key, value))
    }

    /// Whether its name is one of these, whatever their case.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// Calls `visit` for every element when it ends, children before their parents, with the elements
/// that it is in, the root first.
///
/// # Errors
///
/// The bytes are no whole XML document with one root, are nested or long beyond all use, or
/// `visit` cannot understand an element.
pub(super) fn walk(
    bytes: &[u8],
    mut visit: impl FnMut(&Element, &[Element]) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let text = decode(bytes);
    let mut reader = Reader::from_str(&text);
    let mut open: Vec<Element> = Vec::new();
    let mut count = 0_usize;
    let mut has_root = false;
    let mut end = |open: &mut Vec<Element>| -> Result<(), Unreadable> {
        let Some(mut element) = open.pop() else {
            return Err(Unreadable::because("an element ends that did not start"));
        };
        element.text = element.text.trim().to_owned();
        visit(&element, open)?;
        if let Some(parent) = open.last_mut() {
            parent.has_children = true;
            if parent.values.len() < MOST_VALUES
                && let Some(value) = element.as_value()
            {
                parent.values.push(value);
            }
        }
        Ok(())
    };
    loop {
        let event = reader.read_event().map_err(|error| {
            Unreadable::because(format!(
                "it is not XML at byte {}: {error}",
                reader.error_position()
            ))
        })?;
        match event {
            Event::Start(start) => {
                begin(&start, &mut open, &mut count, &mut has_root)?;
            }
            Event::Empty(start) => {
                begin(&start, &mut open, &mut count, &mut has_root)?;
                end(&mut open)?;
            }
            Event::End(_) => end(&mut open)?,
            Event::Text(text) => say(&mut open, &text),
            Event::CData(text) => say(&mut open, &text),
            Event::GeneralRef(reference) => {
                let mut letter = [0; 4];
                say(&mut open, meaning(&reference).encode_utf8(&mut letter));
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match open.last() {
        Some(element) => Err(Unreadable::because(format!("it ends inside <{}>", element.name))),
        None if has_root => Ok(()),
        None => Err(Unreadable::because("it holds no XML element")),
    }
}

fn begin(
    start: &BytesStart<'_>,
    open: &mut Vec<Element>,
    count: &mut usize,
    has_root: &mut bool,
) -> Result<(), Unreadable> {
    if open.is_empty() && std::mem::replace(has_root, true) {
        return Err(Unreadable::because("it has more than one root"));
    }
    *count += 1;
    if *count > MOST_ELEMENTS {
        return Err(Unreadable::because(format!("it has more than {MOST_ELEMENTS} elements")));
    }
    if open.len() >= DEEPEST {
        return Err(Unreadable::because(format!("it is nested more than {DEEPEST} deep")));
    }
    let mut element =
        Element { name: start.local_name().as_ref().to_owned(), ..Element::default() };
    for attribute in start.attributes().with_checks(false).take(MOST_VALUES) {
        let attribute = attribute.map_err(|error| {
            Unreadable::because(format!("an attribute of <{}> is broken: {error}", element.name))
        })?;
        let written = &*attribute.value;
        let value = quick_xml::escape::unescape(written)
            .map_or_else(|_| written.replace('&', "\u{fffd}"), Cow::into_owned);
        let is_namespace =
            attribute.key.as_ref() == "xmlns" || attribute.key.as_ref().starts_with("xmlns:");
        if !is_namespace && value.len() <= LONGEST_VALUE {
            element.values.push((attribute.key.local_name().as_ref().to_owned(), value));
        }
    }
    open.push(element);
    Ok(())
}

fn say(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut()
        && element.text.len() + text.len() <= LONGEST_VALUE
    {
        element.text.push_str(text);
    }
}

/// What a reference stands for. One that the document itself declares stands for a sign that no
/// name has, so that a value with it matches nothing.
fn meaning(reference: &BytesRef<'_>) -> char {
    if let Ok(Some(letter)) = reference.resolve_char_ref() {
        return letter;
    }
    match reference.as_ref() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// The text of bytes: UTF-16 by its byte order mark or by how it begins, UTF-8, or else byte for
/// byte as Latin-1.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [b'<', 0, ..] => wide(bytes, u16::from_le_bytes),
        [0, b'<', ..] => wide(bytes, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(rest.iter().copied().map(char::from).collect()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Result<Vec<String>, Unreadable> {
        let mut seen = Vec::new();
        walk(text.as_bytes(), |element, inside| {
            let way: Vec<&str> = inside.iter().map(|element| element.name.as_str()).collect();
            seen.push(format!("{}/{} {:?}", way.join("/"), element.name, element.values));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn attributes_and_children_that_hold_text_are_values_alike() {
        let seen = seen("<x:a xmlns:x='u' x:B='1 &amp; 2'><c> t&#101;xt </c><d/></x:a>");

        assert_eq!(
            seen.expect("XML"),
            ["a/c []", "a/d []", "/a [(\"B\", \"1 & 2\"), (\"c\", \"text\")]"]
        );
    }

    #[test]
    fn entities_of_a_document_are_not_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>\
            <!ENTITY f SYSTEM 'file:///etc/passwd'>]><a x='&f;'><n>&c;&f;</n></a>";

        let seen = seen(bomb).expect("XML");

        assert!(seen[1].contains("\"n\", \"\u{fffd}\u{fffd}\""), "{seen:?}");
        assert!(!seen[1].contains("bbbb"), "{seen:?}");
    }

    #[test]
    fn what_is_not_one_whole_document_is_refused() {
        for broken in ["", "plain", "<a>", "<a><b></a>", "<a/><b/>", "<a x=1/>", "</a>", "<a"] {
            assert!(seen(broken).is_err(), "{broken}");
        }
        assert!(seen(&format!("{}{}", "<a>".repeat(65), "</a>".repeat(65))).is_err());
        assert!(seen(&format!("{}{}", "<a>".repeat(64), "</a>".repeat(64))).is_ok());
    }
}
