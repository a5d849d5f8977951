//! Statements that change rows, in the few forms that the controller sends: SELECT INTO, INSERT from
//! a table that was made so, DELETE, UPDATE of one column, DROP of such a table, and those of surplus
//! rows by ROW_NUMBER.

use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::lexer::Token;
use super::schema::Table;
use super::select::{
    BACKUP_SCHEMA, Cursor, Found, column, filter, made_from, operand, stored, table, table_name,
};
use super::sql_error::SqlError;
use crate::protocol::tds::Value;

type Parameters<'a> = &'a [(String, Value)];

/// A change ready for SQLite: the statements, of which the last one counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change(Vec<(String, Vec<Stored>)>);

impl Change {
    /// Makes it, and says how many rows it met.
    pub(super) fn run(&self, connection: &Connection) -> Result<usize, SqlError> {
        let mut count = 0;
        for (sqlite, values) in &self.0 {
            count = connection
                .execute(sqlite, rusqlite::params_from_iter(values))
                .map_err(|error| SqlError::internal(&error))?;
        }
        Ok(count)
    }

    /// Reads what follows the word DELETE.
    pub(super) fn delete(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: Parameters<'_>,
    ) -> Result<Self, SqlError> {
        input.expect_word("from")?;
        let found = product_table(connection, input)?;
        let mut values = Vec::new();
        let filter = filter(input, found.like, parameters, &mut values)?;
        Ok(Self(vec![(format!("DELETE FROM [{}]{filter}", found.name), values)]))
    }

    /// Reads what follows the word UPDATE.
    pub(super) fn update(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: Parameters<'_>,
    ) -> Result<Self, SqlError> {
        let found = product_table(connection, input)?;
        input.expect_word("set")?;
        let (name, kind) = column(found.like, input.name()?)?;
        input.expect_symbol("=")?;
        let mut values = vec![stored(&operand(input, parameters)?, kind)?];
        let filter = filter(input, found.like, parameters, &mut values)?;
        Ok(Self(vec![(format!("UPDATE [{}] SET [{name}] = ?1{filter}", found.name), values)]))
    }

    /// Reads what follows the word INSERT: all columns of a table that was made from this one.
    pub(super) fn insert(
        connection: &Connection,
        input: &mut Cursor<'_>,
    ) -> Result<Self, SqlError> {
        input.expect_word("into")?;
        let into = product_table(connection, input)?;
        input.expect_symbol("(")?;
        all_columns(input, into.like)?;
        input.expect_symbol(")")?;
        input.expect_word("select")?;
        all_columns(input, into.like)?;
        input.expect_word("from")?;
        let from = table(connection, input)?;
        if !from.is_made || from.like.name != into.like.name {
            return Err(SqlError::not_simulated("INSERT from another kind of table"));
        }
        let text = format!("INSERT INTO [{}] SELECT * FROM [{}]", into.name, from.name);
        Ok(Self(vec![(text, Vec::new())]))
    }

    /// Reads what follows the word DROP.
    pub(super) fn drop(connection: &Connection, input: &mut Cursor<'_>) -> Result<Self, SqlError> {
        input.expect_word("table")?;
        let found = table(connection, input)?;
        if !found.is_made {
            return Err(SqlError::not_simulated("DROP of a table of the product"));
        }
        Ok(Self(vec![
            (format!("DROP TABLE [{}]", found.name), Vec::new()),
            ("DELETE FROM LabMade WHERE Name = ?1".to_owned(), vec![Stored::Text(found.name)]),
        ]))
    }

    /// Reads what follows the word SELECT, if it is a SELECT INTO.
    pub(super) fn select_into(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: Parameters<'_>,
    ) -> Result<Self, SqlError> {
        let wanted = column_names(input)?;
        input.expect_word("into")?;
        let (schema, into) = table_name(input)?;
        if schema != Some(BACKUP_SCHEMA) {
            return Err(SqlError::not_simulated("SELECT INTO outside of the backups' schema"));
        }
        if made_from(connection, into)?.is_some() {
            let text = format!("There is already an object named '{into}' in the database.");
            return Err(SqlError::new(2714, 16, text));
        }
        input.expect_word("from")?;
        let mut values = Vec::new();
        let (found, rows) = if input.symbol("(") {
            input.expect_word("select")?;
            let inner = column_names(input)?;
            let numbered = Numbered::parse(connection, input, parameters, &mut values)?;
            input.expect_symbol(")")?;
            input.expect_word("as")?;
            input.name()?;
            numbered.surplus_only(input)?;
            if inner != wanted {
                return Err(SqlError::not_simulated("other columns inside than outside"));
            }
            let rows = format!("WHERE rowid IN ({})", numbered.surplus());
            (numbered.found, rows)
        } else {
            let found = product_table(connection, input)?;
            let filter = filter(input, found.like, parameters, &mut values)?;
            (found, filter)
        };
        expect_all_columns(found.like, &wanted)?;
        let columns = found.like.sqlite_columns();
        Ok(Self(vec![
            (format!("CREATE TABLE [{into}] ({columns})"), Vec::new()),
            (
                "INSERT INTO LabMade VALUES (?1, ?2)".to_owned(),
                vec![Stored::Text(into.to_owned()), Stored::Text(found.name.clone())],
            ),
            (format!("INSERT INTO [{into}] SELECT * FROM [{}] {rows}", found.name), values),
        ]))
    }

    /// Reads what follows the word WITH: a DELETE of surplus rows.
    pub(super) fn delete_surplus(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: Parameters<'_>,
    ) -> Result<Self, SqlError> {
        let name = input.name()?;
        input.expect_word("as")?;
        input.expect_symbol("(")?;
        input.expect_word("select")?;
        let mut values = Vec::new();
        let numbered = Numbered::parse(connection, input, parameters, &mut values)?;
        input.expect_symbol(")")?;
        input.expect_word("delete")?;
        input.expect_word("from")?;
        if input.name()? != name {
            return Err(SqlError::not_simulated("DELETE from something else than the WITH"));
        }
        numbered.surplus_only(input)?;
        let text = format!(
            "DELETE FROM [{}] WHERE rowid IN ({})",
            numbered.found.name,
            numbered.surplus()
        );
        Ok(Self(vec![(text, values)]))
    }
}

/// `ROW_NUMBER() OVER (PARTITION BY … ORDER BY (SELECT NULL)) AS n FROM t WHERE …`.
struct Numbered {
    found: Found,
    number: String,
    keys: String,
    filter: String,
}

impl Numbered {
    fn parse(
        connection: &Connection,
        input: &mut Cursor<'_>,
        parameters: Parameters<'_>,
        values: &mut Vec<Stored>,
    ) -> Result<Self, SqlError> {
        for word in ["row_number", "(", ")", "over", "(", "partition", "by"] {
            expect(input, word)?;
        }
        let keys = column_names(input)?;
        for word in ["order", "by", "(", "select", "null", ")", ")", "as"] {
            expect(input, word)?;
        }
        let number = input.name()?.to_owned();
        input.expect_word("from")?;
        let found = product_table(connection, input)?;
        let keys: Result<Vec<String>, SqlError> =
            keys.iter().map(|key| Ok(format!("[{}]", column(found.like, key)?.0))).collect();
        let filter = filter(input, found.like, parameters, values)?;
        Ok(Self { found, number, keys: keys?.join(", "), filter })
    }

    /// Reads `WHERE n > 1`.
    fn surplus_only(&self, input: &mut Cursor<'_>) -> Result<(), SqlError> {
        input.expect_word("where")?;
        let is_number = input.name()? == self.number;
        let is_above_one = input.symbol(">")
            && matches!(input.next(), Some(Token::Number(number)) if *number == 1);
        if is_number && is_above_one {
            Ok(())
        } else {
            Err(SqlError::not_simulated("another condition on row numbers"))
        }
    }

    fn surplus(&self) -> String {
        format!(
            "SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY {}) AS n FROM [{}]{}) \
             WHERE n > 1",
            self.keys, self.found.name, self.filter
        )
    }
}

fn expect(input: &mut Cursor<'_>, word: &'static str) -> Result<(), SqlError> {
    match word {
        "(" | ")" => input.expect_symbol(word),
        _ => input.expect_word(word),
    }
}

fn product_table(connection: &Connection, input: &mut Cursor<'_>) -> Result<Found, SqlError> {
    let found = table(connection, input)?;
    if found.is_made {
        return Err(SqlError::not_simulated("a change of a table that was made"));
    }
    Ok(found)
}

/// Column names joined by commas; a `ROW_NUMBER` after them is left alone.
fn column_names(input: &mut Cursor<'_>) -> Result<Vec<String>, SqlError> {
    let mut names = vec![input.name()?.to_owned()];
    while input.symbol(",") {
        if matches!(input.peek(), Some(token) if token.is_word("row_number")) {
            break;
        }
        names.push(input.name()?.to_owned());
    }
    Ok(names)
}

fn all_columns(input: &mut Cursor<'_>, table: &Table) -> Result<(), SqlError> {
    let names = column_names(input)?;
    expect_all_columns(table, &names)
}

/// A copy of some columns, or in another order, is not simulated.
fn expect_all_columns(table: &Table, names: &[String]) -> Result<(), SqlError> {
    for name in names {
        column(table, name)?;
    }
    let is_all = names.len() == table.columns.len()
        && names.iter().zip(table.columns).all(|(name, (own, _))| name.eq_ignore_ascii_case(own));
    if is_all { Ok(()) } else { Err(SqlError::not_simulated("a copy of a part of the columns")) }
}
