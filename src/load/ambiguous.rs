//! The message about a scalar that YAML 1.1 and 1.2 read differently.

use serde_json::Value;

use super::source::Source;
use super::yaml::Span;

/// How to say a value in a sentence.
pub(super) fn say(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text \"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// How to write each of the readings so that nobody can take it for another.
fn write(text: &str, old: &Value, new: &Value) -> String {
    let plain: Vec<String> = [old, new]
        .into_iter()
        .filter(|value| !value.is_string())
        .map(|value| format!("`{value}`"))
        .collect();
    format!("write \"{text}\" in quotes for the text, or {}", plain.join(" or "))
}

fn both(text: &str, old: &Value, new: &Value) -> String {
    format!("`{text}` is {} in YAML 1.1 (Ansible) and {} in YAML 1.2", say(old), say(new))
}

/// Refuses such a scalar.
pub(super) fn refuse(source: &mut Source<'_>, span: Span, text: &str, old: &Value, new: &Value) {
    source.error("ambiguous-scalar", span, both(text, old, new)).help(write(text, old, new));
}

/// Reads such a scalar as Ansible does, and says so.
pub(super) fn warn(source: &mut Source<'_>, span: Span, text: &str, old: &Value, new: &Value) {
    source.warning("ambiguous-scalar", span, both(text, old, new)).help(format!(
        "it is read as Ansible does: {}\n{}",
        say(old),
        write(text, old, new)
    ));
}
