//! A bounded reader of namespaced XML, and the text escape for writing it.

use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The largest document that is read, in bytes. Windows never sends more than
/// `MaxEnvelopeSizekb`, 500 KiB by default.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The deepest nesting that is read.
const MAX_DEPTH: usize = 32;
/// The most elements that are read.
const MAX_ELEMENTS: usize = 8_192;

/// XML that is malformed or exceeds a bound.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// The document is not UTF-8. Windows answers in the encoding it was asked in.
    #[error("the document is not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The markup is malformed.
    #[error("the document is not well formed")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A document type or an entity that is not one of XML's own five.
    #[error("the document declares or uses entities")]
    Entities,
    /// Too large, too deep, or too many elements.
    #[error("the document is larger than the bounds allow")]
    TooLarge,
    /// The document ends before its root element does.
    #[error("the document is cut")]
    Cut,
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> XmlError {
    XmlError::Malformed(error.into())
}

/// One element with its text, attributes and children; comments are dropped.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Attributes without a prefix, and `lang` of `xml:lang`; others by their local name too.
    pub(super) attributes: Vec<(String, String)>,
    /// All character data directly below this element, joined.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Reads a document and returns its root.
    pub(super) fn parse(document: &[u8]) -> Result<Self, XmlError> {
        if document.len() > MAX_BYTES {
            return Err(XmlError::TooLarge);
        }
        let text = std::str::from_utf8(document)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = NsReader::from_str(text);
        let mut open: Vec<Element> = Vec::new();
        let mut seen = 0;
        loop {
            let (namespace, event) = reader.read_resolved_event().map_err(malformed)?;
            let closed = match event {
                Event::Start(ref start) | Event::Empty(ref start) => {
                    seen += 1;
                    if seen > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err(XmlError::TooLarge);
                    }
                    let element = Self::open(namespace, start)?;
                    if matches!(event, Event::Empty(_)) {
                        Some(element)
                    } else {
                        open.push(element);
                        None
                    }
                }
                Event::End(_) => open.pop(),
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                    None
                }
                Event::CData(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                    None
                }
                Event::GeneralRef(reference) => {
                    let decoded = match reference.resolve_char_ref().map_err(malformed)? {
                        Some(character) => character,
                        None => match &*reference {
                            "lt" => '<',
                            "gt" => '>',
                            "amp" => '&',
                            "apos" => '\'',
                            "quot" => '"',
                            _ => return Err(XmlError::Entities),
                        },
                    };
                    if let Some(element) = open.last_mut() {
                        element.text.push(decoded);
                    }
                    None
                }
                Event::DocType(_) => return Err(XmlError::Entities),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
                Event::Eof => return Err(XmlError::Cut),
            };
            if let Some(element) = closed {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Ok(element),
                }
            }
        }
    }

    fn open(namespace: ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Self, XmlError> {
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.0.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(prefix) => {
                return Err(malformed(format!("the prefix {prefix:?} is not declared")));
            }
        };
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(malformed)?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = quick_xml::escape::unescape(&attribute.value).map_err(malformed)?;
            attributes.push((attribute.key.local_name().into_inner().to_owned(), value.into()));
        }
        Ok(Self {
            namespace,
            name: start.local_name().into_inner().to_owned(),
            attributes,
            text: String::new(),
            children: Vec::new(),
        })
    }

    /// Says whether this is the named element of that namespace.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The first child of that name.
    pub(super) fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// The children of that name, in document order.
    pub(super) fn children<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.is(namespace, name))
    }

    /// The text of the first child of that name, without surrounding white space.
    pub(super) fn child_text(&self, namespace: &str, name: &str) -> Option<&str> {
        self.child(namespace, name).map(|child| child.text.trim())
    }

    /// The attribute of that local name.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All text below this element, in document order of the elements.
    pub(super) fn all_text(&self) -> String {
        let mut all = self.text.clone();
        for child in &self.children {
            all.push_str(&child.all_text());
        }
        all
    }
}

/// Writes `text` as XML character data; characters XML 1.0 cannot carry become U+FFFD.
pub(super) fn push_text(out: &mut String, text: &str) {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r') || (' '..'\u{fffe}').contains(&c) || c > '\u{ffff}'
    };
    if text.chars().all(allowed) {
        // A bare carriage return would be read back as a line feed.
        out.push_str(&escape(text).replace('\r', "&#13;"));
    } else {
        let clean: String = text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect();
        out.push_str(&escape(clean.as_str()).replace('\r', "&#13;"));
    }
}

/// Writes `<tag attributes>text</tag>`; `tag` and `attributes` are constants of the caller.
pub(super) fn push_element(out: &mut String, tag: &str, attributes: &str, text: &str) {
    out.push('<');
    out.push_str(tag);
    out.push_str(attributes);
    out.push('>');
    push_text(out, text);
    out.push_str("</");
    out.push_str(tag);
    out.push('>');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_references_and_line_ends_through_a_round_trip() {
        let text = "a < b && \"c\"\r\nd\te 'f' ü €";
        let mut document = String::new();

        push_element(&mut document, "x", "", text);

        assert_eq!(Element::parse(document.as_bytes()).unwrap().text, text);
    }

    #[test]
    fn a_character_xml_cannot_carry_is_replaced() {
        let mut document = String::new();

        push_element(&mut document, "x", "", "a\u{0}b\u{1b}c");

        assert_eq!(Element::parse(document.as_bytes()).unwrap().text, "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn document_types_and_foreign_entities_are_refused() {
        let bomb = b"<!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>";

        assert!(matches!(Element::parse(bomb), Err(XmlError::Entities)));
        assert!(matches!(Element::parse(b"<x>&a;</x>"), Err(XmlError::Entities)));
    }

    #[test]
    fn depth_count_and_size_are_bounded() {
        let deep = "<x>".repeat(100);
        let wide = format!("<x>{}</x>", "<y/>".repeat(MAX_ELEMENTS));
        let large = format!("<x>{}</x>", "y".repeat(MAX_BYTES));

        for document in [deep, wide, large] {
            assert!(matches!(Element::parse(document.as_bytes()), Err(XmlError::TooLarge)));
        }
    }

    #[test]
    fn a_cut_document_and_an_undeclared_prefix_are_errors() {
        assert!(matches!(Element::parse(b"<x><y/>"), Err(XmlError::Cut)));
        assert!(matches!(Element::parse(b"<s:x/>"), Err(XmlError::Malformed(_))));
        assert!(Element::parse(b"<x></y>").is_err());
    }
}
