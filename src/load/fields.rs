//! Small readers that the walks over files are made of. Each reports what is wrong and goes on.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::ambiguous;
use super::scalar::{Reading, read_plain};
use super::source::{Source, nearest};
use super::yaml::{Entry, Kind, Node, Span};
use crate::model::{ParsePolicyError, parse_span};

/// What is done about a scalar that YAML 1.1 and 1.2 read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ambiguity {
    /// It is an error: its meaning matters.
    Refuse,
    /// It is read as Ansible reads it, with a warning.
    AsAnsible,
}

/// The entries of a mapping; `what` names it in messages. An empty node is an empty mapping.
pub(super) fn entries<'n, 't>(
    node: &'n Node<'t>,
    what: &str,
    source: &mut Source<'_>,
) -> Option<&'n [Entry<'t>]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ if is_nothing(node) => Some(&[]),
        _ => {
            let help = format!("{what} is written `key: value`, one on each line");
            if let Some(finding) = mismatch(node, "a mapping", source) {
                finding.help(help);
            }
            None
        }
    }
}

/// The value of a key.
pub(super) fn get<'n, 't>(entries: &'n [Entry<'t>], key: &str) -> Option<&'n Node<'t>> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// Whether a node has no content: `key:` with nothing behind it, or `null`.
pub(super) fn is_nothing(node: &Node<'_>) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => {
            scalar.plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
        }
        Kind::List(_) | Kind::Map(_) | Kind::Broken => false,
    }
}

/// The items of a list; a single value is a list of one.
pub(super) fn one_or_more<'n, 't>(node: &'n Node<'t>) -> &'n [Node<'t>] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Scalar(_) | Kind::Map(_) | Kind::Broken => std::slice::from_ref(node),
    }
}

/// A text. An unquoted number or boolean is no text: quotes make it one.
pub(super) fn text(node: &Node<'_>, expected: &str, source: &mut Source<'_>) -> Option<String> {
    match scalar(node, Ambiguity::Refuse, source)? {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        Some(Value::Bool(_) | Value::Number(_)) => {
            let written = source.text().get(node.span.start()..node.span.end()).unwrap_or_default();
            let help = format!("put it in quotes: \"{written}\"");
            mismatch(node, expected, source).map(|finding| finding.help(help));
            None
        }
        _ => {
            mismatch(node, expected, source);
            None
        }
    }
}

/// The text of a scalar as it is written, whatever its type would be: for `5%`, `5` and `"5"`.
pub(super) fn written<'n>(
    node: &'n Node<'_>,
    expected: &str,
    source: &mut Source<'_>,
) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar(scalar) if !is_nothing(node) => Some(scalar.text.trim()),
        Kind::Broken => None,
        _ => {
            mismatch(node, expected, source);
            None
        }
    }
}

/// Something with a spelling of its own, such as `20/min` or `interleave(site)`.
pub(super) fn policy<T>(node: &Node<'_>, expected: &str, source: &mut Source<'_>) -> Option<T>
where
    T: FromStr<Err = ParsePolicyError>,
{
    let written = written(node, expected, source)?;
    written
        .parse()
        .map_err(|error: ParsePolicyError| {
            source.error(
                "wrong-value",
                node.span,
                format!("`{written}` is not {}", error.expected),
            );
        })
        .ok()
}

/// A span of time.
pub(super) fn span_of_time(node: &Node<'_>, source: &mut Source<'_>) -> Option<Duration> {
    let written = written(node, "a span of time, as in `15 min`", source)?;
    parse_span(written)
        .map_err(|_| {
            source
                .error("wrong-value", node.span, format!("`{written}` is not a span of time"))
                .expected("a number and a unit, as in `90 s`, `15 min`, `2 h`");
        })
        .ok()
}

/// A whole number within bounds.
pub(super) fn whole(
    node: &Node<'_>,
    least: u32,
    most: u32,
    source: &mut Source<'_>,
) -> Option<u32> {
    let expected = if most == u32::MAX {
        format!("a whole number, at least {least}")
    } else {
        format!("a whole number from {least} to {most}")
    };
    let value = scalar(node, Ambiguity::Refuse, source)?;
    let number =
        value.as_ref().and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| (least..=most).contains(number)) {
        Some(number) => Some(number),
        None => {
            mismatch(node, &expected, source);
            None
        }
    }
}

/// `true` or `false`.
pub(super) fn flag(node: &Node<'_>, source: &mut Source<'_>) -> Option<bool> {
    match scalar(node, Ambiguity::Refuse, source)? {
        Some(Value::Bool(flag)) => Some(flag),
        _ => {
            mismatch(node, "true or false", source);
            None
        }
    }
}

/// Reads a scalar: `None` when it was refused, `Some(None)` when it is no scalar.
fn scalar(node: &Node<'_>, ambiguity: Ambiguity, source: &mut Source<'_>) -> Option<Option<Value>> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.plain => {
            Some(Some(Value::String(scalar.text.clone().into_owned())))
        }
        Kind::Scalar(scalar) => match read_plain(&scalar.text) {
            Reading::Clear(value) => Some(Some(value)),
            Reading::Ambiguous { old, new } => match ambiguity {
                Ambiguity::Refuse => {
                    ambiguous::refuse(source, node.span, &scalar.text, &old, &new);
                    None
                }
                Ambiguity::AsAnsible => {
                    ambiguous::warn(source, node.span, &scalar.text, &old, &new);
                    Some(Some(old))
                }
            },
            Reading::NotFinite => {
                source.error(
                    "wrong-value",
                    node.span,
                    format!("`{}` is not a number that can be counted with", scalar.text),
                );
                None
            }
        },
        Kind::Broken => None,
        Kind::List(_) | Kind::Map(_) => Some(None),
    }
}

/// A value of any type.
pub(super) fn value(node: &Node<'_>, ambiguity: Ambiguity, source: &mut Source<'_>) -> Value {
    match &node.kind {
        Kind::Scalar(_) => scalar(node, ambiguity, source).flatten().unwrap_or(Value::Null),
        Kind::List(items) => {
            Value::Array(items.iter().map(|item| value(item, ambiguity, source)).collect())
        }
        Kind::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for entry in entries {
                map.insert(entry.key.clone().into_owned(), value(&entry.value, ambiguity, source));
            }
            Value::Object(map)
        }
        Kind::Broken => Value::Null,
    }
}

/// The items of a list that has some; else it is reported that `expected` is.
pub(super) fn items<'n, 't>(
    node: &'n Node<'t>,
    expected: &str,
    source: &mut Source<'_>,
) -> Option<&'n [Node<'t>]> {
    match &node.kind {
        Kind::List(items) if !items.is_empty() => Some(items),
        Kind::Broken | Kind::Map(_) | Kind::Scalar(_) | Kind::List(_) => {
            mismatch(node, expected, source);
            None
        }
    }
}

/// Reports that something else is expected; silent about nodes that were reported already.
pub(super) fn mismatch<'s>(
    node: &Node<'_>,
    expected: &str,
    source: &'s mut Source<'_>,
) -> Option<&'s mut super::source::Finding> {
    let found = match &node.kind {
        Kind::Broken => return None,
        Kind::List(items) if items.is_empty() => "an empty list".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
        Kind::Scalar(scalar) if is_nothing(node) && scalar.plain => "nothing".to_owned(),
        Kind::Scalar(scalar) if scalar.plain => match read_plain(&scalar.text) {
            Reading::Clear(value) | Reading::Ambiguous { new: value, .. } => ambiguous::say(&value),
            Reading::NotFinite => format!("`{}`", scalar.text),
        },
        Kind::Scalar(scalar) => ambiguous::say(&Value::String(scalar.text.clone().into_owned())),
    };
    let finding = source.error("wrong-type", node.span, format!("{found} cannot stand here"));
    Some(finding.expected(expected))
}

/// The keys of a mapping, and keys that people try.
pub(super) struct Keys {
    /// What the mapping is: "a play".
    pub(super) what: &'static str,
    pub(super) known: &'static [&'static str],
    /// Keys that will have a meaning, with what to do until then.
    pub(super) later: &'static [(&'static str, &'static str)],
    /// Keys of Ansible that will have none, with what to do instead.
    pub(super) foreign: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// Reports the keys that mean nothing here.
    pub(super) fn refuse_unknown(&self, entries: &[Entry<'_>], source: &mut Source<'_>) {
        for entry in entries.iter().filter(|entry| !self.known.contains(&&*entry.key)) {
            self.refuse(entry, &[], source);
        }
    }

    /// Reports one key that means nothing here; `more` names are known besides.
    pub(super) fn refuse(&self, entry: &Entry<'_>, more: &[&str], source: &mut Source<'_>) {
        let (key, at) = (&*entry.key, entry.key_span);
        let find = |list: &[(&str, &'static str)]| {
            list.iter().find(|(name, _)| *name == key).map(|(_, instead)| *instead)
        };
        if let Some(instead) = find(self.later) {
            source
                .error("not-supported-yet", at, format!("`{key}` is not supported yet"))
                .help(instead);
        } else if let Some(instead) = find(self.foreign) {
            source
                .error("ansible-only", at, format!("`{key}` of Ansible has no meaning here"))
                .help(instead);
        } else {
            let (what, known) = (self.what, self.known.iter().chain(more));
            source
                .error("unknown-key", at, format!("`{key}` is no key of {what}"))
                .nearest(key, known.copied())
                .help(format!("{what} has {}", self.known.join(", ")));
        }
    }
}

/// Whether a key is there under a name that is nearly its own: what is wrong with it is reported
/// already, that it is missing would be news to nobody.
pub(super) fn is_misspelt(entries: &[Entry<'_>], key: &str, known: &[&str]) -> bool {
    entries.iter().any(|entry| {
        !known.contains(&&*entry.key) && nearest(&entry.key, known.iter().copied()) == Some(key)
    })
}

/// Reports a key that must be there and is not; `at` is the thing that lacks it.
pub(super) fn missing(at: Span, what: &str, key: &str, help: &str, source: &mut Source<'_>) {
    source.error("missing-key", at, format!("{what} has no `{key}`")).help(help);
}
