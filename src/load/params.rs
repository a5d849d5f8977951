//! The parameters of an action, checked against its own description.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::fields::{self, Ambiguity};
use super::source::Source;
use super::templates::{self, Known};
use super::yaml::{Entry, Kind, Node, Span};
use super::{flow, task, variables};
use crate::action::{self, ActionKind, ParamDoc, ParamKind};
use crate::expression::is_template;
use crate::model::Guid;

/// Reads the parameters of a call; a plain scalar becomes the parameter that it stands for.
pub(super) fn read(
    call: &Entry<'_>,
    action: &dyn ActionKind,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Value {
    let name = action.name();
    let docs = action.params();
    if action.is_open() {
        return names_and_values(&call.value, known, source);
    }
    let params = match &call.value.kind {
        Kind::Map(entries) => mapping(entries, call.key_span, name, docs, known, source),
        _ if fields::is_nothing(&call.value) => {
            mapping(&[], call.key_span, name, docs, known, source)
        }
        Kind::Scalar(_) => {
            let doc = action.scalar().and_then(|name| docs.iter().find(|doc| doc.name == name));
            let Some(doc) = doc else {
                let expected = ParamKind::Map(docs).expected();
                fields::mismatch(&call.value, &expected, source);
                return Value::Null;
            };
            let value = parameter(&call.value, doc.kind, known, source);
            let lacking = docs.iter().filter(|other| other.required && other.name != doc.name);
            for other in lacking {
                report_missing(call.key_span, name, other, source);
            }
            let mut map: Map<String, Value> = [(doc.name.to_owned(), value)].into_iter().collect();
            depending(&[], call.key_span, docs, known, source, &mut map);
            Value::Object(map)
        }
        Kind::List(_) => {
            fields::mismatch(&call.value, &ParamKind::Map(docs).expected(), source);
            Value::Null
        }
        Kind::Broken => Value::Null,
    };
    if let Some(why) = action.refuses(&params) {
        source.error("refused", call.value.span, why);
    }
    params
}

/// Variables and what they are to hold.
fn names_and_values(node: &Node<'_>, known: &Known<'_>, source: &mut Source<'_>) -> Value {
    let entries = match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => entries,
        _ => {
            fields::mismatch(node, "a mapping of names and values", source);
            return Value::Null;
        }
    };
    let mut map = Map::with_capacity(entries.len());
    for entry in entries {
        let key = Node { span: entry.key_span, kind: Kind::Broken };
        if task::is_variable_name(&entry.key, &key, source)
            && !variables::refuse_secret(&entry.key, entry.key_span, &entry.value, source)
        {
            let value = parameter(&entry.value, ParamKind::Any, known, source);
            map.insert(entry.key.clone().into_owned(), value);
        }
    }
    Value::Object(map)
}

/// Reads named parameters: those of an action, or those that one of its parameters holds. `owner` is
/// whose they are, `at` where it is complained of one that is missing.
pub(super) fn mapping(
    entries: &[Entry<'_>],
    at: Span,
    owner: &str,
    docs: &'static [ParamDoc],
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Value {
    let mut map = Map::with_capacity(entries.len());
    for entry in entries {
        let Some(doc) = docs.iter().find(|doc| doc.name == entry.key) else {
            let names: Vec<&str> = docs.iter().map(|doc| doc.name).collect();
            let takes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            source
                .error(
                    "unknown-parameter",
                    entry.key_span,
                    format!("`{}` is no parameter of `{owner}`", entry.key),
                )
                .nearest(&entry.key, names.iter().copied())
                .help(format!("`{owner}` takes {takes}"));
            continue;
        };
        if matches!(doc.kind, ParamKind::MapBy(_)) {
            continue;
        }
        map.insert(doc.name.to_owned(), parameter(&entry.value, doc.kind, known, source));
    }
    depending(entries, at, docs, known, source, &mut map);
    let names: Vec<&str> = docs.iter().map(|doc| doc.name).collect();
    for doc in docs.iter().filter(|doc| doc.required && fields::get(entries, doc.name).is_none()) {
        if !fields::is_misspelt(entries, doc.name, &names) {
            report_missing(at, owner, doc, source);
        }
    }
    Value::Object(map)
}

/// Reads the mappings whose keys depend on another parameter, when that one is known.
fn depending(
    entries: &[Entry<'_>],
    at: Span,
    docs: &'static [ParamDoc],
    known: &Known<'_>,
    source: &mut Source<'_>,
    map: &mut Map<String, Value>,
) {
    for doc in docs {
        let ParamKind::MapBy(by) = doc.kind else { continue };
        let node = fields::get(entries, doc.name).filter(|node| !fields::is_nothing(node));
        let value = map.get(by.of).and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(keys) = (by.keys)(&value) else {
            // One that is not known has been complained of already.
            if let Some(node) = node.filter(|_| is_template(&value)) {
                let message =
                    format!("`{}` cannot be checked, as `{}` is a template", doc.name, by.of);
                source
                    .error("wrong-value", node.span, message)
                    .help(format!("write out `{}`", by.of));
            }
            continue;
        };
        let read = match node.map(|node| (node, &node.kind)) {
            None => mapping(&[], at, &value, keys, known, source),
            Some((_, Kind::Map(entries))) => mapping(entries, at, &value, keys, known, source),
            Some((node, _)) => parameter(node, ParamKind::Map(keys), known, source),
        };
        if node.is_some() {
            map.insert(doc.name.to_owned(), read);
        }
    }
}

fn report_missing(at: Span, owner: &str, doc: &ParamDoc, source: &mut Source<'_>) {
    source
        .error("missing-parameter", at, format!("`{owner}` has no `{}`", doc.name))
        .help(format!("`{}` ({}): {}", doc.name, doc.kind.expected(), doc.doc));
}

fn parameter(
    node: &Node<'_>,
    kind: ParamKind,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Value {
    if let Kind::Scalar(scalar) = &node.kind
        && kind != ParamKind::Expressions
        && templates::template(node, &scalar.text, known, source)
    {
        return Value::String(scalar.text.clone().into_owned());
    }
    let read = match kind {
        ParamKind::Any => {
            flow::check_templates(node, known, source);
            Some(fields::value(node, Ambiguity::Refuse, source))
        }
        ParamKind::Expressions => {
            let parts = fields::one_or_more(node).iter();
            let texts = parts.filter_map(|part| task::condition(part, known, source));
            Some(Value::Array(texts.map(|text| action::claim(&text)).collect()))
        }
        ParamKind::Text => text(node, source),
        ParamKind::OneOf(words) => one_of(node, words, source),
        ParamKind::Texts => list(node, kind, source, |item, source| {
            if let Kind::Scalar(scalar) = &item.kind {
                templates::template(item, &scalar.text, known, source);
            }
            text(item, source)
        }),
        ParamKind::Guids => list(node, kind, source, |item, source| guid(item, known, source)),
        ParamKind::Count => fields::whole(node, 1, u32::MAX, source).map(Value::from),
        ParamKind::Numbers => list(node, kind, source, |item, source| {
            fields::whole(item, 0, u32::MAX, source).map(Value::from)
        }),
        ParamKind::Number => fields::whole(node, 0, u32::MAX, source).map(Value::from),
        ParamKind::Bool => fields::flag(node, source).map(Value::from),
        ParamKind::Span => fields::span_of_time(node, source)
            .and_then(|_| fields::written(node, "a span of time", source))
            .map(Value::from),
        // Whoever reads the mapping around it knows the keys.
        ParamKind::MapBy(_) => None,
        ParamKind::Map(docs) => match &node.kind {
            Kind::Map(entries) => Some(mapping(entries, node.span, "it", docs, known, source)),
            _ => {
                fields::mismatch(node, &kind.expected(), source);
                None
            }
        },
    };
    read.unwrap_or(Value::Null)
}

fn text(node: &Node<'_>, source: &mut Source<'_>) -> Option<Value> {
    fields::text(node, "a text", source).map(Value::String)
}

fn one_of(node: &Node<'_>, words: &[&str], source: &mut Source<'_>) -> Option<Value> {
    let expected = format!("one of {}", words.join(", "));
    let written = fields::written(node, &expected, source)?;
    if words.contains(&written) {
        return Some(Value::from(written));
    }
    source
        .error("wrong-value", node.span, format!("`{written}` is not known here"))
        .nearest(written, words.iter().copied())
        .expected(expected);
    None
}

fn guid(node: &Node<'_>, known: &Known<'_>, source: &mut Source<'_>) -> Option<Value> {
    let written = fields::written(node, "a GUID", source)?;
    if templates::template(node, written, known, source) || Guid::from_str(written).is_ok() {
        return Some(Value::from(written));
    }
    source
        .error("wrong-value", node.span, format!("`{written}` is no GUID"))
        .expected("a GUID, with or without braces");
    None
}

fn list(
    node: &Node<'_>,
    kind: ParamKind,
    source: &mut Source<'_>,
    mut item: impl FnMut(&Node<'_>, &mut Source<'_>) -> Option<Value>,
) -> Option<Value> {
    let Kind::List(items) = &node.kind else {
        if let Some(finding) = fields::mismatch(node, &kind.expected(), source) {
            finding.help("a list is written `[a, b]`, or one item per line after `- `");
        }
        return None;
    };
    Some(Value::Array(items.iter().filter_map(|node| item(node, source)).collect()))
}
