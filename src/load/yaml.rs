//! Text to a tree of nodes, each with its place.
//!
//! The parser's events are used directly: a tree through serde would lose the places and costs
//! several times as much for the inventory of 10,000 servers.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as Place, options};

use super::source::Source;

/// The longest file that is read: places are kept in 32 bits, and no fleet needs more.
const MAX_FILE: usize = 256 * 1024 * 1024;
/// How deep lists and mappings may nest.
const MAX_DEPTH: usize = 64;
/// From this many keys on a mapping's duplicates are looked for with a table.
const MANY_KEYS: usize = 24;

/// Bytes of the file, from the first to after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn end(self) -> usize {
        self.end as usize
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    pub(super) span: Span,
    pub(super) kind: Kind<'t>,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Kind<'t> {
    /// Anything that is not a list or mapping.
    Scalar(Scalar<'t>),
    /// A list.
    List(Vec<Node<'t>>),
    /// A mapping, in the order of the file; its keys differ.
    Map(Vec<Entry<'t>>),
    /// What stood here was wrong and has been reported.
    Broken,
}

/// A scalar as it is written.
#[derive(Debug, Clone)]
pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    /// Whether it stands without quotes, so that its type is guessed from its text.
    pub(super) plain: bool,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_span: Span,
    pub(super) value: Node<'t>,
}

/// Reads a file of one document; `None` when it is empty or what is wrong leaves nothing to walk.
pub(super) fn parse<'t>(source: &mut Source<'t>) -> Option<Node<'t>> {
    let text = source.text();
    if text.len() > MAX_FILE {
        let message = format!("the file has {} MiB; at most 256 are read", text.len() / 1_048_576);
        source.error("file-too-large", Span::new(0, 0), message);
        return None;
    }
    let mut options = options! { emit_unresolved_aliases: true, emit_comments: false };
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut tree = Tree {
        open: Vec::new(),
        anchors: HashMap::new(),
        // Aliases may repeat what the file says, not multiply it without end.
        room: text.len() * 4 + 1000,
        root: None,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                report_syntax(source, &error);
                return None;
            }
        };
        let range = |span: Place| span.byte_range().map(|range| Span::new(range.start, range.end));
        let tag = span.tag_span().and_then(range);
        let place = range(span).unwrap_or(Span::new(0, 0));
        if tree.take(event, place, tag.unwrap_or(place), source).is_err() {
            return None;
        }
    }
    tree.root
}

/// The tree so far.
struct Tree<'t> {
    open: Vec<Open<'t>>,
    anchors: HashMap<usize, (Node<'t>, Size)>,
    room: usize,
    root: Option<Node<'t>>,
}

/// A list or mapping that has not ended.
struct Open<'t> {
    start: usize,
    anchor: usize,
    content: Content<'t>,
    size: Size,
}

/// How much a node holds, aliases followed.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    height: usize,
}

impl Size {
    const ONE: Self = Self { nodes: 1, height: 1 };

    fn with(self, inner: Self) -> Self {
        Self { nodes: self.nodes + inner.nodes, height: self.height.max(inner.height + 1) }
    }
}

enum Content<'t> {
    List(Vec<Node<'t>>),
    Map {
        entries: Vec<Entry<'t>>,
        key: Option<Key<'t>>,
        merges: Vec<Node<'t>>,
        had_broken_key: bool,
    },
}

enum Key<'t> {
    Name(Cow<'t, str>, Span),
    Merge,
    /// Not a text; reported.
    Broken,
}

/// Reading cannot go on; the reason has been reported.
struct Stopped;

impl<'t> Tree<'t> {
    fn take(
        &mut self,
        event: Event<'t>,
        place: Span,
        tag_place: Span,
        source: &mut Source<'t>,
    ) -> Result<(), Stopped> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut plain = style == ScalarStyle::Plain;
                let mut kind = None;
                if let Some(tag) = tag {
                    if tag.is_yaml_core_schema_tag("str") {
                        plain = false;
                    } else {
                        report_tag(source, tag_place);
                        kind = Some(Kind::Broken);
                    }
                }
                let kind = kind.unwrap_or(Kind::Scalar(Scalar { text, plain }));
                self.add(Node { span: place, kind }, anchor, Size::ONE, source)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                if tag.is_some() {
                    report_tag(source, tag_place);
                }
                self.open(place, anchor, Content::List(Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                if tag.is_some() {
                    report_tag(source, tag_place);
                }
                let content = Content::Map {
                    entries: Vec::new(),
                    key: None,
                    merges: Vec::new(),
                    had_broken_key: false,
                };
                self.open(place, anchor, content);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place, source)?,
            Event::Alias(id) => match self.anchors.get(&id) {
                Some((node, size)) => {
                    let (mut node, size) = (node.clone(), *size);
                    node.span = place;
                    self.add(node, 0, size, source)?;
                }
                None => {
                    source.error(
                        "alias-circle",
                        place,
                        "this alias stands inside of what it names",
                    );
                    self.add(Node { span: place, kind: Kind::Broken }, 0, Size::ONE, source)?;
                }
            },
            Event::UnresolvedAlias(name) => {
                source
                    .error(
                        "unknown-alias",
                        place,
                        format!("no anchor `&{name}` stands before this"),
                    )
                    .help("a text that begins with `*` must be in quotes");
                self.add(Node { span: place, kind: Kind::Broken }, 0, Size::ONE, source)?;
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                source
                    .error("second-document", place, "a second document begins here")
                    .help("put it into a file of its own");
                return Err(Stopped);
            }
            // The rest frames the document or comments on it.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, place: Span, anchor: usize, content: Content<'t>) {
        self.open.push(Open { start: place.start(), anchor, content, size: Size::ONE });
    }

    fn close(&mut self, place: Span, source: &mut Source<'t>) -> Result<(), Stopped> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = Span::new(open.start, place.end().max(open.start));
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { mut entries, merges, had_broken_key, .. } => {
                if entries.is_empty() && had_broken_key {
                    // `{{ name }}` without quotes: the one message about it is enough.
                    return self.add(
                        Node { span, kind: Kind::Broken },
                        open.anchor,
                        Size::ONE,
                        source,
                    );
                }
                refuse_duplicates(&mut entries, source);
                for merge in merges {
                    self.merge(&mut entries, merge, source)?;
                }
                Kind::Map(entries)
            }
        };
        self.add(Node { span, kind }, open.anchor, open.size, source)
    }

    /// Puts a finished node where it belongs.
    fn add(
        &mut self,
        node: Node<'t>,
        anchor: usize,
        size: Size,
        source: &mut Source<'t>,
    ) -> Result<(), Stopped> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size = open.size.with(size);
        // What walks the tree does so by recursion: its height is bounded, aliases included.
        if open.size.nodes > self.room || open.size.height > 2 * MAX_DEPTH {
            source.error("too-many-aliases", node.span, "the aliases repeat more than a file may");
            return Err(Stopped);
        }
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, merges, had_broken_key } => match key.take() {
                None => *key = Some(read_key(node, source)),
                Some(Key::Name(key, key_span)) => {
                    entries.push(Entry { key, key_span, value: node });
                }
                Some(Key::Merge) => merges.push(node),
                Some(Key::Broken) => *had_broken_key = true,
            },
        }
        Ok(())
    }

    /// Adds what `<<` names, except for the keys that are already there.
    fn merge(
        &self,
        entries: &mut Vec<Entry<'t>>,
        merge: Node<'t>,
        source: &mut Source<'t>,
    ) -> Result<(), Stopped> {
        match merge.kind {
            Kind::Map(more) => {
                for entry in more {
                    if !entries.iter().any(|known| known.key == entry.key) {
                        entries.push(entry);
                    }
                }
                Ok(())
            }
            Kind::List(items) => {
                items.into_iter().try_for_each(|item| self.merge(entries, item, source))
            }
            Kind::Broken => Ok(()),
            Kind::Scalar(_) => {
                source.error(
                    "merge-of-no-mapping",
                    merge.span,
                    "`<<` takes a mapping, as in `<<: *name`",
                );
                Ok(())
            }
        }
    }
}

fn read_key<'t>(node: Node<'t>, source: &mut Source<'t>) -> Key<'t> {
    match node.kind {
        Kind::Scalar(scalar) if scalar.plain && scalar.text == "<<" => Key::Merge,
        Kind::Scalar(scalar) => Key::Name(scalar.text, node.span),
        Kind::Broken => Key::Broken,
        Kind::Map(_) => {
            source
                .error("key-is-no-text", node.span, "a mapping stands where a key should be")
                .help("a value that begins with `{{` must be in quotes: \"{{ … }}\"");
            Key::Broken
        }
        Kind::List(_) => {
            source.error("key-is-no-text", node.span, "a list stands where a key should be");
            Key::Broken
        }
    }
}

/// Reports keys that stand twice and keeps the first of each.
fn refuse_duplicates<'t>(entries: &mut Vec<Entry<'t>>, source: &mut Source<'t>) {
    let twice: Vec<(usize, usize)> = if entries.len() < MANY_KEYS {
        (1..entries.len())
            .filter_map(|at| {
                let same = |entry: &Entry<'_>| entry.key == entries[at].key;
                entries[..at].iter().position(same).map(|first| (first, at))
            })
            .collect()
    } else {
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        let mut twice = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match seen.get(&*entry.key) {
                Some(first) => twice.push((*first, at)),
                None => {
                    seen.insert(&entry.key, at);
                }
            }
        }
        twice
    };
    for (first, at) in twice.iter().rev() {
        let line = source.line(entries[*first].key_span);
        let again = entries.remove(*at);
        source
            .error("duplicate-key", again.key_span, format!("`{}` stands twice", again.key))
            .help(format!("it stands on line {line} already: remove one of them"));
    }
}

fn report_tag(source: &mut Source<'_>, place: Span) {
    let tag = source.text().get(place.start()..place.end()).unwrap_or_default();
    let finding =
        source.error("yaml-tag", place, format!("the YAML tag `{tag}` has no meaning here"));
    if tag.contains("vault") {
        finding.help(
            "files hold no secrets, encrypted ones neither:\n\
             name a credential, as in `credential: fleet-admin`",
        );
    } else {
        finding.help("a text that begins with `!` must be in quotes");
    }
}

fn report_syntax(source: &mut Source<'_>, error: &ScanError) {
    let text = source.text();
    let found = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let found = text.floor_char_boundary(found);
    if let Some(tab) = tab_of_indentation(text, found) {
        source
            .error("yaml-syntax", Span::new(tab, tab + 1), "this line is indented with a tab")
            .help("indent with spaces: YAML allows no tabs there");
        return;
    }
    let length = text[found..].chars().next().map_or(0, char::len_utf8);
    let what = error.info();
    let what = what.rsplit("while ").next().map_or(what.as_str(), |last| {
        last.split_once(", ").map_or(what.as_str(), |(_, problem)| problem)
    });
    source
        .error("yaml-syntax", Span::new(found, found + length), format!("this is not YAML: {what}"))
        .help("look for a missing quote, colon or indentation on this line or the one before");
}

/// A tab before the text of the line where reading stopped, or of the line after it.
fn tab_of_indentation(text: &str, found: usize) -> Option<usize> {
    let line = text[..found].rfind('\n').map_or(0, |at| at + 1);
    let next = text[found..].find('\n').map(|at| found + at + 1);
    [Some(line), next].into_iter().flatten().find_map(|start| {
        let indentation = text[start..].find(|c: char| c != ' ' && c != '\t')?;
        text[start..start + indentation].find('\t').map(|at| start + at)
    })
}
