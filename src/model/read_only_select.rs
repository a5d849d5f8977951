//! An operator's own SELECT, checked so that it can only read.

use std::fmt;

/// One SELECT of T-SQL that reads and does nothing else.
///
/// It is not understood but fenced in: no second statement, no comment, no variable, and none of
/// the words by which T-SQL writes, runs or reaches outside. What stands in quotes or brackets is a
/// text or a name and may hold any of them. The login's rights are the second fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlySelect(String);

/// The longest text, in bytes.
const LONGEST: usize = 8 * 1024;

/// Words that a SELECT has no need of, in lower case.
const REFUSED: [&str; 58] = [
    "alter",
    "backup",
    "begin",
    "break",
    "bulk",
    "checkpoint",
    "close",
    "commit",
    "continue",
    "create",
    "dbcc",
    "deallocate",
    "declare",
    "delete",
    "deny",
    "disable",
    "drop",
    "dump",
    "enable",
    "exec",
    "execute",
    "fetch",
    "for",
    "goto",
    "grant",
    "if",
    "insert",
    "into",
    "kill",
    "load",
    "merge",
    "next",
    "open",
    "opendatasource",
    "openquery",
    "openrowset",
    "openxml",
    "output",
    "print",
    "raiserror",
    "receive",
    "reconfigure",
    "restore",
    "return",
    "revert",
    "revoke",
    "rollback",
    "save",
    "send",
    "set",
    "shutdown",
    "throw",
    "truncate",
    "update",
    "use",
    "waitfor",
    "while",
    "writetext",
];

impl ReadOnlySelect {
    /// Checks a text; a word of `columns` that it does not have is missed.
    ///
    /// # Errors
    ///
    /// Why it is refused, as a phrase: `it holds the word INSERT`.
    pub fn new(text: &str, columns: &[&str]) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let words = words(text)?;
        let is = |word: &Word, text: &str| matches!(word, Word::Plain(found) if found == text);
        if !words.first().is_some_and(|word| is(word, "select")) {
            return Err("it does not begin with SELECT".to_owned());
        }
        for (at, word) in words.iter().enumerate() {
            let Word::Plain(plain) = word else { continue };
            if REFUSED.contains(&plain.as_str())
                || plain.starts_with("sp_")
                || plain.starts_with("xp_")
            {
                return Err(format!("it holds the word {}", plain.to_uppercase()));
            }
            let follows = |before: &Word| {
                matches!(before, Word::Open)
                    || ["union", "all", "except", "intersect"].iter().any(|set| is(before, set))
            };
            if plain == "select" && at > 0 && !follows(&words[at - 1]) {
                return Err("it holds a second statement".to_owned());
            }
        }
        let has = |column: &str| {
            words.iter().any(|word| match word {
                Word::Plain(found) | Word::Name(found) => found.eq_ignore_ascii_case(column),
                Word::Open | Word::Other => false,
            })
        };
        match columns.iter().find(|column| !has(column)) {
            Some(column) => Err(format!("it has no column {column}")),
            None => Ok(Self(text.trim().to_owned())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReadOnlySelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What matters of a token.
enum Word {
    /// A bare word, lower case.
    Plain(String),
    /// A name in brackets or double quotes.
    Name(String),
    /// An opening parenthesis.
    Open,
    /// Anything else.
    Other,
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            ';' => return Err("it holds a semicolon".to_owned()),
            '@' => return Err("it holds a variable".to_owned()),
            '#' => return Err("it holds a temporary table".to_owned()),
            '-' if after.starts_with('-') => return Err("it holds a comment".to_owned()),
            '/' if after.starts_with('*') => return Err("it holds a comment".to_owned()),
            '\'' => {
                found.push(Word::Other);
                quoted(after, '\'').ok_or("a text in it does not end")?.1
            }
            '[' | '"' => {
                let mark = if first == '[' { ']' } else { '"' };
                let (name, after) = quoted(after, mark).ok_or("a name in it does not end")?;
                found.push(Word::Name(name.to_owned()));
                after
            }
            '(' => {
                found.push(Word::Open);
                after
            }
            _ if is_in_word(first) => {
                let end = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
                found.push(Word::Plain(rest[..end].to_lowercase()));
                &rest[end..]
            }
            _ if first.is_control() && !first.is_whitespace() => {
                return Err("it holds a control character".to_owned());
            }
            _ => {
                if !first.is_whitespace() {
                    found.push(Word::Other);
                }
                after
            }
        };
    }
    Ok(found)
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// What is in quotes, up to the closing mark, and the rest; a doubled mark does not close.
fn quoted(body: &str, mark: char) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let at = from + body[from..].find(mark)?;
        let after = &body[at + mark.len_utf8()..];
        if !after.starts_with(mark) {
            return Some((&body[..at], after));
        }
        from = at + 2 * mark.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [&str; 2] = ["ServerGuid", "Site"];

    fn refused(text: &str) -> String {
        ReadOnlySelect::new(text, &COLUMNS).expect_err(text)
    }

    #[test]
    fn one_select_that_reads_is_taken_whatever_its_names_and_texts_hold() {
        for text in [
            "SELECT s.[Guid] AS ServerGuid, t.[Name] AS Site FROM vSite t JOIN x s ON s.a = t.a",
            "select [ServerGuid], [Site] from [drop table; --] where a = 'insert; -- x'",
            "SELECT ServerGuid, Site FROM a WHERE b IN (SELECT c FROM d) UNION ALL SELECT e, f FROM g",
            "SELECT \"ServerGuid\", \"Site\" FROM a WHERE b = 'it''s; delete'",
            "SELECT ServerGuid, Site, UpdatedSet FROM Settings",
        ] {
            assert!(ReadOnlySelect::new(text, &COLUMNS).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_that_could_write_run_or_hide_is_refused() {
        for (text, why) in [
            ("DELETE FROM ServerGuid, Site", "does not begin with SELECT"),
            ("", "does not begin with SELECT"),
            ("WITH x AS (SELECT 1) SELECT ServerGuid, Site FROM x", "does not begin with SELECT"),
            ("SELECT ServerGuid, Site FROM a; DROP TABLE a", "semicolon"),
            ("SELECT ServerGuid, Site FROM a -- x", "comment"),
            ("SELECT ServerGuid, Site /* x */ FROM a", "comment"),
            ("SELECT ServerGuid, Site INTO b FROM a", "word INTO"),
            ("SELECT ServerGuid, Site FROM a DELETE FROM a", "word DELETE"),
            ("SELECT ServerGuid, Site FROM a UPDATE a SET b = 1", "word UPDATE"),
            ("SELECT ServerGuid, Site FROM a EXEC x", "word EXEC"),
            ("SELECT ServerGuid, Site FROM a exec('x')", "word EXEC"),
            ("SELECT ServerGuid, Site FROM a SELECT 1", "second statement"),
            ("SELECT ServerGuid, Site FROM OPENQUERY(x, 'DELETE FROM y')", "word OPENQUERY"),
            ("SELECT ServerGuid, Site, NEXT VALUE FOR s FROM a", "word NEXT"),
            ("SELECT @x = 1, ServerGuid, Site FROM a", "variable"),
            ("SELECT ServerGuid, Site FROM #x", "temporary table"),
            ("SELECT ServerGuid, Site FROM a xp_cmdshell 'dir'", "word XP_CMDSHELL"),
            ("SELECT ServerGuid, Site FROM [a", "does not end"),
            ("SELECT ServerGuid, Site FROM a WHERE b = 'x", "does not end"),
            ("SELECT ServerGuid, Name FROM a", "no column Site"),
            ("SELECT ServerGuid, 'Site' FROM a", "no column Site"),
            ("SELECT ServerGuid, Site\u{0}FROM a", "control character"),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(refused(&format!("SELECT {}", "x".repeat(9_000))).contains("longer"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_check_panic_and_none_taken_holds_a_write_outside_of_quotes(
            text in "(SELECT ServerGuid, Site )?[ a-zA-Z'\"\\[\\];/*@#é-]{0,60}",
        ) {
            if let Ok(taken) = ReadOnlySelect::new(&text, &COLUMNS) {
                let bare = taken.as_str().to_lowercase();
                let has_quotes = bare.contains(['\'', '"', '[']);
                prop_assert!(has_quotes || !bare.contains(';') && !bare.contains("--"));
            }
        }
    }
}
