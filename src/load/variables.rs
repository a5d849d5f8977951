//! The variables of an inventory: free names, except for those that fleetmend reads itself.

use serde_json::Value;

use super::fields::{self, Ambiguity};
use super::secrets::{holds_password, is_secret_name};
use super::settings::{self, SettingError};
use super::source::Source;
use super::yaml::{Entry, Kind, Node, Span};
use crate::model::Vars;

/// Reads a mapping of variables.
pub(super) fn read(node: &Node<'_>, what: &str, source: &mut Source<'_>) -> Vars {
    let Some(entries) = fields::entries(node, what, source) else { return Vars::new() };
    let mut vars = Vars::with_capacity(entries.len());
    for entry in entries {
        if let Some(value) = read_one(entry, source) {
            vars.insert(entry.key.clone().into_owned(), value);
        }
    }
    vars
}

fn read_one(entry: &Entry<'_>, source: &mut Source<'_>) -> Option<Value> {
    let name = &*entry.key;
    if refuse_secret(name, entry.key_span, &entry.value, source) {
        return None;
    }
    if name == "jump" {
        source
            .error("not-supported-yet", entry.key_span, "`jump` is not supported yet")
            .help("run fleetmend on a machine that reaches these servers directly");
        return None;
    }
    let is_known = settings::KNOWN.contains(&name);
    if !is_known && name.starts_with("ansible_") {
        source
            .warning("unused-variable", entry.key_span, format!("`{name}` has no effect here"))
            .nearest(name, settings::KNOWN.iter().copied());
    }
    let ambiguity = if is_known { Ambiguity::Refuse } else { Ambiguity::AsAnsible };
    let errors_before = source.error_count();
    let value = fields::value(&entry.value, ambiguity, source);
    if is_known && !value.is_null() && source.error_count() == errors_before {
        check(name, &value, &entry.value, source);
    }
    Some(value)
}

/// Checks a variable that has a meaning, and places what is wrong inside of it.
pub(super) fn check(name: &str, value: &Value, node: &Node<'_>, source: &mut Source<'_>) {
    for error in settings::check(name, value) {
        report(&error, node, source);
    }
}

fn report(error: &SettingError, mut node: &Node<'_>, source: &mut Source<'_>) {
    let mut place = node.span;
    for key in &error.path[1..] {
        let (inner, key_span) = match &node.kind {
            Kind::Map(entries) => {
                let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { break };
                (&entry.value, entry.key_span)
            }
            Kind::List(items) => {
                let Some(item) = key.parse().ok().and_then(|at: usize| items.get(at)) else {
                    break;
                };
                (item, item.span)
            }
            _ => break,
        };
        place = if error.is_unknown_key() { key_span } else { inner.span };
        node = inner;
    }
    let path = error.path.join(".");
    let key = error.path.last().map_or("", String::as_str);
    if matches!(key, "credential" | "writer_credential") {
        // What stands where a name should be may be the password itself.
        source.mask(place);
    }
    if error.is_unknown_key() {
        let known = error.expected.trim_start_matches("one of ").split(", ");
        source
            .error("unknown-key", place, format!("`{path}` is an unknown key"))
            .nearest(key, known)
            .expected(error.expected.clone());
        return;
    }
    source
        .error("wrong-setting", place, format!("`{path}` is {}", error.found))
        .expected(error.expected.clone());
}

/// Refuses passwords, wherever they stand in a value.
pub(super) fn refuse_secret(
    name: &str,
    at: Span,
    node: &Node<'_>,
    source: &mut Source<'_>,
) -> bool {
    match &node.kind {
        Kind::Map(entries) => {
            let mut refused = false;
            for entry in entries {
                refused |= refuse_secret(&entry.key, entry.key_span, &entry.value, source);
            }
            refused
        }
        Kind::List(items) => {
            let mut refused = false;
            for item in items {
                refused |= refuse_secret(name, item.span, item, source);
            }
            refused
        }
        Kind::Scalar(scalar) => {
            let by_name = is_secret_name(name) && !fields::is_nothing(node);
            if !by_name && !holds_password(&scalar.text) {
                return false;
            }
            source.mask(node.span);
            let message = if by_name {
                format!("`{name}` looks like a password; files hold none")
            } else {
                format!("the value of `{name}` has a password in it; files hold none")
            };
            source.error("password-in-file", at, message).help(
                "a credential is a name: write `credential: fleet-admin`, give the password in\n\
                 FLEETMEND_FLEET_ADMIN_PASSWORD or at the terminal, and change the one that stood here",
            );
            true
        }
        Kind::Broken => {
            // An encrypted value: its tag has been reported.
            source.mask(node.span);
            is_secret_name(name)
        }
    }
}
