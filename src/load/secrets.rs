//! Keeps passwords that were written into a file out of the messages about that file.

/// What the names of variables end with that hold something to keep secret.
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "_pass",
    "_pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
];

/// What a connection string has before its password.
const INSIDE: &[&str] = &["password=", "pwd="];

/// Whether a variable of this name holds a password, key or token.
pub(super) fn is_secret_name(name: &str) -> bool {
    let ends = |ending: &str| {
        name.len() >= ending.len()
            && name
                .get(name.len() - ending.len()..)
                .is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
    };
    // Most names are neither long nor odd: the last letter rules nearly all of them out.
    matches!(
        name.as_bytes().last(),
        Some(b'd' | b'D' | b'e' | b'E' | b's' | b'S' | b't' | b'T' | b'n' | b'N' | b'y' | b'Y')
    ) && (ENDINGS.iter().any(|ending| ends(ending)) || matches!(name, "pass" | "pwd"))
}

/// Whether a text has a password in it, as a connection string has.
pub(super) fn holds_password(text: &str) -> bool {
    text.contains('=') && {
        let lower = text.to_ascii_lowercase();
        INSIDE.iter().any(|word| lower.contains(word))
    }
}

/// Replaces what may be a password in a line of a file by stars of the same length.
///
/// This works on the text alone, because a file that is no YAML has no tree to look at: from the
/// colon after such a name to the end of the line, and from `password=` on.
pub(super) fn mask_line(line: &str) -> String {
    let mut from = line.len();
    for (colon, _) in line.match_indices(':') {
        let name = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let start = name.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
        let name =
            &name[start.map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8))..];
        if is_secret_name(name) && !(name == "pass" && asks_rows(&line[colon + 1..])) {
            from = from.min(colon + 1);
        }
    }
    let lower = line.to_ascii_lowercase();
    for word in INSIDE {
        if let Some(at) = lower.find(word) {
            from = from.min(at + word.len());
        }
    }
    let stars = |c: char| if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) };
    line[..from].to_owned() + &line[from..].chars().map(stars).collect::<String>()
}

/// Whether what stands behind `pass:` is the expression of a gate: it compares what a query gave.
fn asks_rows(value: &str) -> bool {
    let value = value.trim_start().trim_start_matches(['"', '\'', '(', '{']).trim_start();
    let asks = value.starts_with("row.")
        || ["rows", "all"].iter().any(|name| {
            value.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '|', '<', '>']))
        });
    asks && value.contains(['<', '>', '=', '|'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_replaced_wherever_it_stands_in_a_line() {
        for (line, shown) in [
            ("  ansible_password: hunter2", "  ansible_password: *******"),
            ("{ user: x, \"db_password\": y }", "{ user: x, \"db_password\": * *"),
            ("conn: Server=x;Password=y", "conn: Server=x;Password=*"),
            ("# a name, never a password", "# a name, never a password"),
            ("bypass: yes", "bypass: yes"),
            ("pass: rowdy7", "pass: ******"),
            ("pass: row.Entries < 2000", "pass: row.Entries < 2000"),
        ] {
            assert_eq!(mask_line(line), shown);
            assert_eq!(mask_line(line).len(), line.len());
        }
    }
}
