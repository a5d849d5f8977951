//! What an unquoted scalar means, and where YAML 1.1 and 1.2 disagree about it.

use serde_json::{Number, Value};

/// What an unquoted scalar is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// The same in both versions.
    Clear(Value),
    /// Ansible (YAML 1.1) and the current YAML 1.2 read it differently.
    Ambiguous {
        /// As YAML 1.1 reads it.
        old: Value,
        /// As YAML 1.2 reads it.
        new: Value,
    },
    /// `.inf` and `.nan`: nothing here can be one.
    NotFinite,
}

/// Reads an unquoted scalar.
pub(super) fn read_plain(text: &str) -> Reading {
    let Some(first) = text.bytes().next() else { return Reading::Clear(Value::Null) };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => read_number(text),
        b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O' => {
            read_word(text)
        }
        _ => clear_text(text),
    }
}

fn clear_text(text: &str) -> Reading {
    Reading::Clear(Value::String(text.to_owned()))
}

fn read_word(text: &str) -> Reading {
    let old =
        |flag| Reading::Ambiguous { old: Value::Bool(flag), new: Value::String(text.to_owned()) };
    match text {
        "~" | "null" | "Null" | "NULL" => Reading::Clear(Value::Null),
        "true" | "True" | "TRUE" => Reading::Clear(Value::Bool(true)),
        "false" | "False" | "FALSE" => Reading::Clear(Value::Bool(false)),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => old(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => old(false),
        _ => clear_text(text),
    }
}

fn read_number(text: &str) -> Reading {
    if matches!(
        text.trim_start_matches(['+', '-']),
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return Reading::NotFinite;
    }
    let as_text = || Value::String(text.to_owned());
    let ambiguous = |old: Value, new: Value| {
        if old == new { Reading::Clear(new) } else { Reading::Ambiguous { old, new } }
    };
    let (sign, digits) = match text.as_bytes()[0] {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let integer = |digits: &str, radix| {
        i64::from_str_radix(digits, radix).ok().map(|number| Value::from(sign * number))
    };
    let only = |allowed: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(allowed);

    if only(|b| b.is_ascii_digit()) {
        let Some(number) =
            integer(digits, 10).or_else(|| text.parse::<u64>().ok().map(Value::from))
        else {
            return Reading::Clear(Value::from(text.parse::<f64>().unwrap_or(0.0)));
        };
        if digits.len() > 1 && digits.starts_with('0') {
            let old = integer(digits, 8).unwrap_or_else(as_text);
            return ambiguous(old, number);
        }
        return Reading::Clear(number);
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return Reading::Clear(integer(hex, 16).unwrap_or_else(as_text));
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return ambiguous(as_text(), integer(octal, 8).unwrap_or_else(as_text));
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return ambiguous(integer(binary, 2).unwrap_or_else(as_text), as_text());
    }
    if let Some(old) = base_sixty(digits) {
        return ambiguous(Value::from(sign * old), as_text());
    }
    if only(|b| b.is_ascii_digit() || b == b'_') && !digits.starts_with('_') {
        return ambiguous(integer(&digits.replace('_', ""), 10).unwrap_or_else(as_text), as_text());
    }
    if only(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && let Some(new) = text.parse().ok().and_then(Number::from_f64).map(Value::Number)
    {
        // YAML 1.1 asks for a dot in a number with an exponent: `12e4` is a text there.
        let old = if digits.contains('.') { new.clone() } else { as_text() };
        return ambiguous(old, new);
    }
    clear_text(text)
}

/// `1:30` is 90 in YAML 1.1.
fn base_sixty(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let first = parts.next().filter(|part| part.starts_with(|c: char| matches!(c, '1'..='9')))?;
    let mut total: i64 = first.parse().ok()?;
    let mut any = false;
    for part in parts {
        let valid = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        let part: i64 = part.parse().ok().filter(|part| valid && *part < 60)?;
        total = total.checked_mul(60)?.checked_add(part)?;
        any = true;
    }
    any.then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_both_versions_of_yaml_agree_on_is_read_without_question() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("LON", json!("LON")),
            ("5985", json!(5985)),
            ("-3", json!(-3)),
            ("0", json!(0)),
            ("1.5", json!(1.5)),
            ("5%", json!("5%")),
            ("20/min", json!("20/min")),
            ("10.0.0.7", json!("10.0.0.7")),
            ("0562094a-ecbe-4617-9253-5e7ffb5e00c4", json!("0562094a-ecbe-4617-9253-5e7ffb5e00c4")),
            ("0x1F", json!(31)),
            ("2024-01-31", json!("2024-01-31")),
            ("nothing", json!("nothing")),
        ] {
            assert_eq!(read_plain(text), Reading::Clear(value), "{text}");
        }
    }

    #[test]
    fn what_they_disagree_on_is_told_with_both_readings() {
        for (text, old, new) in [
            ("yes", json!(true), json!("yes")),
            ("NO", json!(false), json!("NO")),
            ("0123", json!(83), json!(123)),
            ("0089", json!("0089"), json!(89)),
            ("1:30", json!(90), json!("1:30")),
            ("22:30:00", json!(81000), json!("22:30:00")),
            ("1_000", json!(1000), json!("1_000")),
            ("0o17", json!("0o17"), json!(15)),
            ("12e4", json!("12e4"), json!(120000.0)),
        ] {
            assert_eq!(read_plain(text), Reading::Ambiguous { old, new }, "{text}");
        }
    }
}
