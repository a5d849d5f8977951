//! Plain SELECTs from one table: columns or `*` or `COUNT(*)`, TOP, WHERE with comparisons and IN
//! joined by AND, ORDER BY.

use rusqlite::types::Value as Stored;
use rusqlite::{Connection, OptionalExtension};

use super::lexer::Token;
use super::schema::Table;
use super::sql_error::SqlError;
use crate::model::Guid;
use crate::protocol::tds::{Column, SqlType, Value};

/// A SELECT ready for SQLite.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) sqlite: String,
    pub(super) columns: Vec<Column>,
    pub(super) values: Vec<Stored>,
    /// Whether the rows it saw must stay as they are until the transaction ends.
    pub(super) holds: bool,
}

/// A table that is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    /// Its columns, or those of the table that it was made from.
    pub(super) like: &'static Table,
    /// Whether SELECT INTO made it.
    pub(super) is_made: bool,
}

/// The schema in which tables may be made.
pub(super) const BACKUP_SCHEMA: &str = "fleetmend";

/// Tokens of one batch, taken from the front.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self { tokens }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.first()
    }

    pub(super) fn peek_second(&self) -> Option<&'a Token> {
        self.tokens.get(1)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Whether a word stands somewhere before the statement ends.
    pub(super) fn has_before_end(&self, word: &str) -> bool {
        self.tokens
            .iter()
            .take_while(|token| !matches!(token, Token::Symbol(";")))
            .any(|token| token.is_word(word))
    }

    pub(super) fn word(&mut self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word)) && self.next().is_some()
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
            && self.next().is_some()
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), SqlError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn name(&mut self) -> Result<&'a str, SqlError> {
        match self.peek() {
            Some(Token::Word(name) | Token::Name(name)) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The error for what stands here.
    pub(super) fn unexpected(&self) -> SqlError {
        match self.peek() {
            None => SqlError::not_simulated("a statement that ends here"),
            Some(token) => {
                SqlError::not_simulated(&format!("a statement with {} here", show(token)))
            }
        }
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Variable(text) => text.to_uppercase(),
        Token::Name(text) => format!("[{text}]"),
        Token::Text(text) => format!("'{text}'"),
        Token::Number(number) => number.to_string(),
        Token::Symbol(symbol) => (*symbol).to_owned(),
    }
}

enum Wanted {
    All,
    Count,
    Named(Vec<String>),
}

impl Select {
    /// Reads what follows the word SELECT.
    pub(super) fn parse(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: &[(String, Value)],
    ) -> Result<Self, SqlError> {
        let top = if input.word("top") { Some(top(input)?) } else { None };
        let wanted = wanted(input)?;
        input.expect_word("from")?;
        let found = table(connection, input)?;
        let table = found.like;
        let mut holds = false;
        if input.word("with") {
            input.expect_symbol("(")?;
            holds = input.word("updlock");
            if holds {
                input.expect_symbol(",")?;
                input.expect_word("holdlock")?;
            } else {
                input.expect_word("nolock")?;
            }
            input.expect_symbol(")")?;
        }

        let (columns, mut sqlite) = match wanted {
            Wanted::Count => {
                let count = Column { name: String::new(), kind: SqlType::Int };
                (vec![count], "SELECT COUNT(*)".to_owned())
            }
            Wanted::All => selected(table.columns.iter().copied()),
            Wanted::Named(names) => {
                let found: Result<Vec<_>, _> =
                    names.iter().map(|name| column(table, name)).collect();
                selected(found?.into_iter())
            }
        };
        sqlite.push_str(&format!(" FROM [{}]", found.name));

        let mut values = Vec::new();
        sqlite.push_str(&filter(input, table, parameters, &mut values)?);
        if input.word("order") {
            input.expect_word("by")?;
            let mut joint = " ORDER BY ";
            loop {
                let (name, _) = column(table, input.name()?)?;
                sqlite.push_str(&format!("{joint}[{name}]"));
                if input.word("desc") {
                    sqlite.push_str(" DESC");
                } else {
                    input.word("asc");
                }
                joint = ", ";
                if !input.symbol(",") {
                    break;
                }
            }
        }
        if let Some(top) = top {
            sqlite.push_str(&format!(" LIMIT {top}"));
        }
        Ok(Self { sqlite, columns, values, holds })
    }
}

/// Reads WHERE with its conditions, if it stands here; what they compare with goes to `values`.
pub(super) fn filter(
    input: &mut Cursor<'_>,
    table: &Table,
    parameters: &[(String, Value)],
    values: &mut Vec<Stored>,
) -> Result<String, SqlError> {
    let mut sqlite = String::new();
    if input.word("where") {
        let mut joint = " WHERE ";
        loop {
            let (name, kind) = column(table, input.name()?)?;
            sqlite.push_str(&format!("{joint}[{name}]"));
            condition(input, kind, parameters, &mut sqlite, values)?;
            joint = " AND ";
            if !input.word("and") {
                break;
            }
        }
    }
    Ok(sqlite)
}

fn top(input: &mut Cursor<'_>) -> Result<i64, SqlError> {
    let bracketed = input.symbol("(");
    let Some(Token::Number(count)) = input.peek() else { return Err(input.unexpected()) };
    input.next();
    if bracketed {
        input.expect_symbol(")")?;
    }
    Ok(*count)
}

fn wanted(input: &mut Cursor<'_>) -> Result<Wanted, SqlError> {
    if input.symbol("*") {
        return Ok(Wanted::All);
    }
    let counts = matches!(input.peek(), Some(token) if token.is_word("count"))
        && matches!(input.peek_second(), Some(Token::Symbol("(")));
    if counts {
        input.next();
        input.expect_symbol("(")?;
        input.expect_symbol("*")?;
        input.expect_symbol(")")?;
        return Ok(Wanted::Count);
    }
    let mut names = vec![input.name()?.to_owned()];
    while input.symbol(",") {
        names.push(input.name()?.to_owned());
    }
    Ok(Wanted::Named(names))
}

/// A table's name, with or without database and schema: the schema, if it is said, and the name.
pub(super) fn table_name<'a>(
    input: &mut Cursor<'a>,
) -> Result<(Option<&'a str>, &'a str), SqlError> {
    let (mut schema, mut name) = (None, input.name()?);
    while input.symbol(".") {
        schema = (!input.symbol(".")).then_some(name);
        name = input.name()?;
    }
    Ok((schema, name))
}

/// A table that is there.
pub(super) fn table(connection: &Connection, input: &mut Cursor<'_>) -> Result<Found, SqlError> {
    let (schema, name) = table_name(input)?;
    if schema == Some(BACKUP_SCHEMA) {
        let made_from = made_from(connection, name)?;
        let like = made_from.as_deref().and_then(Table::find).ok_or_else(|| {
            SqlError::new(208, 16, format!("Invalid object name '{BACKUP_SCHEMA}.{name}'."))
        })?;
        return Ok(Found { name: name.to_owned(), like, is_made: true });
    }
    let like =
        Table::find(name).ok_or_else(|| SqlError::not_simulated(&format!("the table [{name}]")))?;
    Ok(Found { name: like.name.to_owned(), like, is_made: false })
}

/// The table that another one was made from; none if there is no such made table.
pub(super) fn made_from(connection: &Connection, name: &str) -> Result<Option<String>, SqlError> {
    connection
        .query_row("SELECT MadeFrom FROM LabMade WHERE Name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(|error| SqlError::internal(&error))
}

pub(super) fn column(table: &Table, name: &str) -> Result<(&'static str, SqlType), SqlError> {
    table
        .column(name)
        .ok_or_else(|| SqlError::not_simulated(&format!("the column [{name}] of [{}]", table.name)))
}

fn selected(columns: impl Iterator<Item = (&'static str, SqlType)>) -> (Vec<Column>, String) {
    let columns: Vec<Column> =
        columns.map(|(name, kind)| Column { name: name.to_owned(), kind }).collect();
    let names: Vec<String> = columns.iter().map(|column| format!("[{}]", column.name)).collect();
    (columns, format!("SELECT {}", names.join(", ")))
}

fn condition(
    input: &mut Cursor<'_>,
    kind: SqlType,
    parameters: &[(String, Value)],
    sqlite: &mut String,
    values: &mut Vec<Stored>,
) -> Result<(), SqlError> {
    if input.word("is") {
        let not = if input.word("not") { " NOT" } else { "" };
        input.expect_word("null")?;
        sqlite.push_str(&format!(" IS{not} NULL"));
        return Ok(());
    }
    if input.word("in") {
        input.expect_symbol("(")?;
        let mut joint = " IN (";
        loop {
            values.push(stored(&operand(input, parameters)?, kind)?);
            sqlite.push_str(&format!("{joint}?{}", values.len()));
            joint = ", ";
            if !input.symbol(",") {
                break;
            }
        }
        sqlite.push(')');
        return input.expect_symbol(")");
    }
    let Some(Token::Symbol(operator @ ("=" | "<>" | "!=" | "<" | ">" | "<=" | ">="))) =
        input.peek()
    else {
        return Err(input.unexpected());
    };
    input.next();
    values.push(stored(&operand(input, parameters)?, kind)?);
    sqlite.push_str(&format!(" {operator} ?{}", values.len()));
    Ok(())
}

/// Reads a literal, or the value of a parameter.
pub(super) fn operand(
    input: &mut Cursor<'_>,
    parameters: &[(String, Value)],
) -> Result<Value, SqlError> {
    let negative = input.symbol("-");
    let value = match input.peek() {
        Some(Token::Number(number)) => Value::Int(if negative { -number } else { *number }),
        _ if negative => return Err(input.unexpected()),
        Some(Token::Text(text)) => Value::Text(text.clone()),
        Some(Token::Variable(name)) => parameter(parameters, name)?.clone(),
        _ => return Err(input.unexpected()),
    };
    input.next();
    Ok(value)
}

/// Finds a parameter by name.
pub(super) fn parameter<'a>(
    parameters: &'a [(String, Value)],
    name: &str,
) -> Result<&'a Value, SqlError> {
    parameters
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .ok_or_else(|| {
            SqlError::new(137, 15, format!("Must declare the scalar variable \"{name}\"."))
        })
}

/// A value as it is stored in a column of that type, converted as SQL Server would.
pub(super) fn stored(value: &Value, kind: SqlType) -> Result<Stored, SqlError> {
    let guid = |text: &str| {
        text.trim().parse::<Guid>().map(|guid| Stored::Text(guid.bare())).map_err(|_| {
            let text = "Conversion failed when converting from a character string to \
                        uniqueidentifier.";
            SqlError::new(8169, 16, text)
        })
    };
    let number = |text: &str| {
        text.trim().parse().map(Stored::Integer).map_err(|_| {
            let text =
                format!("Conversion failed when converting the nvarchar value '{text}' to int.");
            SqlError::new(245, 16, text)
        })
    };
    match (kind, value) {
        (_, Value::Null) => Ok(Stored::Null),
        (SqlType::Guid, Value::Guid(uuid)) => {
            Ok(Stored::Text(Guid::from_u128(uuid.as_u128()).bare()))
        }
        (SqlType::Guid, Value::Text(text)) => guid(text),
        (SqlType::Text(_), Value::Text(text)) => Ok(Stored::Text(text.clone())),
        (SqlType::Text(_), Value::Int(number)) => Ok(Stored::Text(number.to_string())),
        (SqlType::Text(_), Value::Guid(uuid)) => {
            Ok(Stored::Text(Guid::from_u128(uuid.as_u128()).bare()))
        }
        (SqlType::Int | SqlType::BigInt, Value::Int(number)) => Ok(Stored::Integer(*number)),
        (SqlType::Int | SqlType::BigInt | SqlType::Bit, Value::Bit(bit)) => {
            Ok(Stored::Integer(i64::from(*bit)))
        }
        (SqlType::Bit, Value::Int(number)) => Ok(Stored::Integer(i64::from(*number != 0))),
        (SqlType::Int | SqlType::BigInt | SqlType::Bit, Value::Text(text)) => number(text),
        (SqlType::DateTime, Value::DateTime(unix_ms)) => Ok(Stored::Integer(*unix_ms)),
        (_, _) => Err(SqlError::not_simulated("a comparison of these types")),
    }
}

/// A stored value as it is sent in a column of that type.
pub(super) fn sent(value: rusqlite::types::ValueRef<'_>, kind: SqlType) -> Result<Value, SqlError> {
    use rusqlite::types::ValueRef;
    let wrong =
        || SqlError::new(50_000, 16, "the simulation failed: a stored value has a wrong type");
    match (kind, value) {
        (_, ValueRef::Null) => Ok(Value::Null),
        (SqlType::Guid, ValueRef::Text(text)) => {
            let text = std::str::from_utf8(text).map_err(|_| wrong())?;
            let guid: Guid = text.parse().map_err(|_| wrong())?;
            Ok(Value::Guid(uuid::Uuid::from_u128(guid.as_u128())))
        }
        (SqlType::Text(_), ValueRef::Text(text)) => {
            Ok(Value::Text(String::from_utf8_lossy(text).into_owned()))
        }
        (SqlType::Int | SqlType::BigInt, ValueRef::Integer(number)) => Ok(Value::Int(number)),
        (SqlType::Bit, ValueRef::Integer(bit)) => Ok(Value::Bit(bit != 0)),
        (SqlType::DateTime, ValueRef::Integer(unix_ms)) => Ok(Value::DateTime(unix_ms)),
        (_, _) => Err(wrong()),
    }
}
