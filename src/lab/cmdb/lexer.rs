//! T-SQL as tokens.

use super::sql_error::SqlError;

/// A token of T-SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word: a keyword or a name, lower case.
    Word(String),
    /// A name in brackets or double quotes, lower case.
    Name(String),
    /// `@name` or `@@name`, lower case.
    Variable(String),
    /// Digits.
    Number(i64),
    /// A literal in quotes, unescaped.
    Text(String),
    /// Anything else: `,`, `(`, `<>` and so on.
    Symbol(&'static str),
}

impl Token {
    /// Whether it is the word (lower case).
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }
}

/// The longest first, so that `<>` is not read as `<` and `>`.
const SYMBOLS: [&str; 15] =
    ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", ";", ".", "*", "+", "-"];

/// Cuts a text into tokens; white space and comments fall away.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.split_once("*/").ok_or_else(|| SqlError::unclosed("comment"))?;
            rest = end.1;
        } else if let Some(body) = rest.strip_prefix('[') {
            let (name, after) = quoted(body, ']').ok_or_else(|| SqlError::unclosed("name"))?;
            found.push(Token::Name(name.to_lowercase()));
            rest = after;
        } else if let Some(body) = rest.strip_prefix('"') {
            let (name, after) = quoted(body, '"').ok_or_else(|| SqlError::unclosed("name"))?;
            found.push(Token::Name(name.to_lowercase()));
            rest = after;
        } else if let Some(body) =
            rest.strip_prefix('\'').or_else(|| rest.strip_prefix("N'").or(rest.strip_prefix("n'")))
        {
            let (literal, after) = quoted(body, '\'').ok_or_else(|| SqlError::unclosed("text"))?;
            found.push(Token::Text(literal));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number =
                rest[..end].parse().map_err(|_| SqlError::not_simulated("a number this large"))?;
            found.push(Token::Number(number));
            rest = &rest[end..];
        } else if first.is_alphabetic() || "_@#".contains(first) {
            let in_word = |c: char| c.is_alphanumeric() || "_@#$".contains(c);
            let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            let word = rest[..end].to_lowercase();
            found.push(if first == '@' { Token::Variable(word) } else { Token::Word(word) });
            rest = &rest[end..];
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            found.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            return Err(SqlError::not_simulated(&format!("the character {first:?}")));
        }
    }
    Ok(found)
}

/// Reads up to the closing mark; a doubled mark stands for itself.
fn quoted(body: &str, mark: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = body;
    loop {
        let (part, after) = rest.split_once(mark)?;
        text.push_str(part);
        match after.strip_prefix(mark) {
            Some(after) => {
                text.push(mark);
                rest = after;
            }
            None => return Some((text, after)),
        }
    }
}

/// A statement in one spelling, whatever its white space, comments, brackets and case outside of
/// literals. A closing semicolon falls away.
pub(super) fn normal_form(tokens: &[Token]) -> String {
    let tokens = match tokens {
        [head @ .., Token::Symbol(";")] => head,
        all => all,
    };
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Word(word) | Token::Name(word) => {
                text.push('[');
                text.push_str(word);
                text.push(']');
            }
            Token::Variable(name) => text.push_str(name),
            Token::Number(number) => text.push_str(&number.to_string()),
            Token::Text(literal) => text.push_str(&format!("{literal:?}")),
            Token::Symbol("!=") => text.push_str("<>"),
            Token::Symbol(symbol) => text.push_str(symbol),
        }
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_form_ignores_layout_case_and_brackets_but_not_literals() {
        let form = |text: &str| normal_form(&tokens(text).unwrap());

        assert_eq!(
            form("select ps.[Status] -- why\n FROM swdpackageserver PS where a != N'It''s';"),
            form("SELECT PS.Status FROM [SWDPackageServer]/* x */ps WHERE A<>'It''s'")
        );
        assert_ne!(form("SELECT 'a'"), form("SELECT 'A'"));
        assert_ne!(form("SELECT a b"), form("SELECT ab"));
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for text in ["'x", "[x", "\"x", "/* x", "'x''"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
