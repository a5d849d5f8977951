//! Values on their way into the template engine and back.

use minijinja::value::{Value as JinjaValue, ValueKind};
use serde_json::{Map, Number, Value};

/// Takes a value in.
pub(super) fn to_jinja(value: &Value) -> JinjaValue {
    match value {
        Value::Null => JinjaValue::from(()),
        Value::Bool(flag) => JinjaValue::from(*flag),
        Value::Number(number) => number
            .as_i64()
            .map(JinjaValue::from)
            .or_else(|| number.as_u64().map(JinjaValue::from))
            .or_else(|| number.as_f64().map(JinjaValue::from))
            .unwrap_or_default(),
        Value::String(text) => JinjaValue::from(text.as_str()),
        Value::Array(items) => items.iter().map(to_jinja).collect(),
        Value::Object(entries) => JinjaValue::from_pairs(
            entries.iter().map(|(key, value)| (key.as_str(), to_jinja(value))),
        ),
    }
}

/// Gives a value back; `Err` says what cannot be a value of a playbook, or `None` when it is more
/// than `room` items in all.
pub(super) fn from_jinja(value: &JinjaValue, room: &mut usize) -> Result<Value, Unfit> {
    *room = room.checked_sub(1).ok_or(Unfit::TooLarge)?;
    match value.kind() {
        ValueKind::None => Ok(Value::Null),
        ValueKind::Undefined => Err(Unfit::Undefined),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::Number => number(value).map(Value::Number).ok_or(Unfit::NoValue("a number")),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            // A text takes room by its length, as if each 64 bytes were an item.
            *room = room.checked_sub(text.len() / 64).ok_or(Unfit::TooLarge)?;
            Ok(Value::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|_| Unfit::NoValue("something to iterate"))?;
            items.map(|item| from_jinja(&item, room)).collect::<Result<_, _>>().map(Value::Array)
        }
        ValueKind::Map => {
            let mut entries = Map::new();
            for key in value.try_iter().map_err(|_| Unfit::NoValue("a mapping"))? {
                let item = value.get_item(&key).map_err(|_| Unfit::NoValue("a mapping"))?;
                entries.insert(key.to_string(), from_jinja(&item, room)?);
            }
            Ok(Value::Object(entries))
        }
        ValueKind::Bytes => Err(Unfit::NoValue("bytes")),
        _ => Err(Unfit::NoValue("a function")),
    }
}

/// Why a result cannot be a value of a playbook.
pub(super) enum Unfit {
    Undefined,
    TooLarge,
    NoValue(&'static str),
}

fn number(value: &JinjaValue) -> Option<Number> {
    if value.is_integer() {
        return value
            .as_i64()
            .map(Number::from)
            .or_else(|| u64::try_from(value.clone()).ok().map(Number::from));
    }
    f64::try_from(value.clone()).ok().and_then(Number::from_f64)
}
