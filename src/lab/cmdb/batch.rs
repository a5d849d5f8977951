//! Running batches: the known statements, plain SELECTs, and what drivers send on connecting.
//! Everything else is an error, never a silent success.

use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::database::Cmdb;
use super::lexer::{Token, normal_form, tokens};
use super::named;
use super::select::{Cursor, Select, parameter, sent, stored};
use super::sql_error::SqlError;
use crate::protocol::tds::{Column, SqlType, Statement, Value};

/// What a session remembers between batches.
#[derive(Clone, Debug)]
pub struct SqlSession {
    /// The current database.
    pub database: String,
    /// The login.
    pub login: String,
    /// The server's name.
    pub server: String,
    /// The session's number.
    pub number: u16,
    /// How many transactions are open, nested ones included.
    pub transactions: u32,
}

/// Takes the results of a batch in, statement by statement.
pub trait Results {
    /// A result set begins.
    fn columns(&mut self, columns: &[Column]);
    /// A row of it. An error ends the batch.
    fn row(&mut self, columns: &[Column], values: &[Value]) -> Result<(), SqlError>;
    /// A statement ended; a SELECT says how many rows it gave.
    fn done(&mut self, rows: Option<u64>);
    /// The database was changed from `old`.
    fn database_changed(&mut self, new: &str, old: &str);
}

/// The options that SET may change; they do not matter to what is simulated.
const OPTIONS: [&str; 20] = [
    "ansi_defaults",
    "ansi_null_dflt_on",
    "ansi_nulls",
    "ansi_padding",
    "ansi_warnings",
    "arithabort",
    "concat_null_yields_null",
    "cursor_close_on_commit",
    "datefirst",
    "dateformat",
    "deadlock_priority",
    "language",
    "lock_timeout",
    "nocount",
    "numeric_roundabort",
    "quoted_identifier",
    "rowcount",
    "textsize",
    "xact_abort",
    "query_governor_cost_limit",
];

impl Cmdb {
    /// Runs a batch. What was written to `results` before an error stays valid.
    pub fn run(
        &self,
        session: &SqlSession,
        statement: &Statement,
        results: &mut dyn Results,
    ) -> Result<(), SqlError> {
        let tokens = tokens(&statement.text)?;
        if let Some(known) = named::find(&normal_form(&tokens)) {
            let values = (1..)
                .zip(known.parameters)
                .map(|(number, kind)| {
                    stored(parameter(&statement.parameters, &format!("@P{number}"))?, *kind)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let columns: Vec<Column> = known
                .columns
                .iter()
                .map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind })
                .collect();
            return query(&self.connection(), known.sqlite(), &values, &columns, results);
        }
        let mut input = Cursor::new(&tokens);
        loop {
            while input.symbol(";") {}
            if input.peek().is_none() {
                return Ok(());
            }
            self.run_one(session, &mut input, &statement.parameters, results)?;
        }
    }

    fn run_one(
        &self,
        session: &SqlSession,
        input: &mut Cursor<'_>,
        parameters: &[(String, Value)],
        results: &mut dyn Results,
    ) -> Result<(), SqlError> {
        if input.word("set") {
            set(input)?;
            results.done(None);
        } else if input.word("use") {
            let wanted = input.name()?;
            if !wanted.eq_ignore_ascii_case(&session.database) {
                return Err(SqlError::not_simulated(&format!("the database [{wanted}]")));
            }
            results.database_changed(&session.database, &session.database);
            results.done(None);
        } else if input.word("select") {
            match expressions(session, input)? {
                Some((columns, values)) => {
                    results.columns(&columns);
                    results.row(&columns, &values)?;
                    results.done(Some(1));
                }
                None => {
                    let select = Select::parse(input, parameters)?;
                    if !matches!(input.peek(), None | Some(Token::Symbol(";"))) {
                        return Err(input.unexpected());
                    }
                    let connection = self.connection();
                    query(&connection, &select.sqlite, &select.values, &select.columns, results)?;
                }
            }
        } else {
            return Err(input.unexpected());
        }
        Ok(())
    }
}

/// Reads what follows the word SET.
fn set(input: &mut Cursor<'_>) -> Result<(), SqlError> {
    if input.word("transaction") {
        input.expect_word("isolation")?;
        input.expect_word("level")?;
        let known = match input.name()? {
            "read" => matches!(input.name()?, "committed" | "uncommitted"),
            "repeatable" => input.name()? == "read",
            level => matches!(level, "serializable" | "snapshot"),
        };
        return if known { Ok(()) } else { Err(SqlError::not_simulated("this isolation level")) };
    }
    loop {
        let option = input.name()?;
        // With implicit transactions on, every SELECT would open one; off is how it starts.
        let known = OPTIONS.contains(&option)
            || option == "implicit_transactions"
                && matches!(input.peek(), Some(token) if token.is_word("off"));
        if !known {
            return Err(SqlError::not_simulated(&format!("SET {}", option.to_uppercase())));
        }
        if !input.symbol(",") {
            break;
        }
    }
    input.symbol("-");
    match input.next() {
        Some(Token::Word(_) | Token::Name(_) | Token::Number(_) | Token::Text(_)) => Ok(()),
        _ => Err(SqlError::not_simulated("SET without a value")),
    }
}

/// Reads a SELECT of server variables and literals; `None` if it is not one, and then nothing was
/// taken.
#[expect(clippy::type_complexity, reason = "one row: its columns and its values")]
fn expressions(
    session: &SqlSession,
    input: &mut Cursor<'_>,
) -> Result<Option<(Vec<Column>, Vec<Value>)>, SqlError> {
    let is_one = match input.peek() {
        Some(Token::Variable(name)) => name.starts_with("@@"),
        Some(Token::Number(_) | Token::Text(_)) => true,
        Some(Token::Word(word)) => {
            matches!(word.as_str(), "db_name" | "suser_sname" | "system_user")
        }
        _ => false,
    };
    if !is_one {
        return Ok(None);
    }
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    loop {
        let text = |value: &str| (SqlType::Text(255), Value::Text(value.to_owned()));
        let called = |input: &mut Cursor<'_>| {
            input.expect_symbol("(").and_then(|()| input.expect_symbol(")"))
        };
        let Some(token) = input.peek() else { return Err(input.unexpected()) };
        let unknown = input.unexpected();
        input.next();
        let (kind, value) = match token {
            Token::Number(number) => match i32::try_from(*number) {
                Ok(_) => (SqlType::Int, Value::Int(*number)),
                Err(_) => (SqlType::BigInt, Value::Int(*number)),
            },
            Token::Text(literal) if literal.len() <= 4000 => {
                (SqlType::Text(4000), Value::Text(literal.clone()))
            }
            Token::Variable(name) => match name.as_str() {
                "@@version" => {
                    text("Microsoft SQL Server 2019 - 15.0.2000.5 (simulated by the fleetmend lab)")
                }
                "@@servername" => text(&session.server),
                "@@language" => text("us_english"),
                "@@spid" => (SqlType::Int, Value::Int(i64::from(session.number))),
                "@@trancount" => (SqlType::Int, Value::Int(i64::from(session.transactions))),
                _ => return Err(unknown),
            },
            Token::Word(word) => match word.as_str() {
                "db_name" => {
                    called(input)?;
                    text(&session.database)
                }
                "suser_sname" => {
                    called(input)?;
                    text(&session.login)
                }
                "system_user" => text(&session.login),
                _ => return Err(unknown),
            },
            _ => return Err(unknown),
        };
        let name = if input.word("as") { input.name()?.to_owned() } else { String::new() };
        columns.push(Column { name, kind });
        values.push(value);
        if !input.symbol(",") {
            return Ok(Some((columns, values)));
        }
    }
}

fn query(
    connection: &Connection,
    sqlite: &str,
    values: &[Stored],
    columns: &[Column],
    results: &mut dyn Results,
) -> Result<(), SqlError> {
    let internal = |error| SqlError::internal(&error);
    let mut statement = connection.prepare_cached(sqlite).map_err(internal)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(internal)?;
    results.columns(columns);
    let (mut count, mut cells) = (0, Vec::with_capacity(columns.len()));
    while let Some(row) = rows.next().map_err(internal)? {
        cells.clear();
        for (at, column) in columns.iter().enumerate() {
            cells.push(sent(row.get_ref(at).map_err(internal)?, column.kind)?);
        }
        results.row(columns, &cells)?;
        count += 1;
    }
    results.done(Some(count));
    Ok(())
}
