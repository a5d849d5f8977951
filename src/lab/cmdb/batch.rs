//! Running batches: the known statements, plain SELECTs, and what drivers send on connecting.
//! Everything else is an error, never a silent success.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::change::Change;
use super::database::Cmdb;
use super::lexer::{Token, normal_form, tokens};
use super::named;
use super::select::{Cursor, Select, operand, parameter, sent, stored};
use super::sql_error::SqlError;
use super::transaction::Open;
use crate::protocol::tds::{Column, SqlType, Statement, Value};

/// A session, with what it remembers between batches. Clones are the same session.
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
    may_change: bool,
    open: Arc<Mutex<Open>>,
}

impl SqlSession {
    /// Begins a session; `may_change` says whether the login has rights to change rows.
    pub fn new(database: &str, login: &str, server: &str, number: u16, may_change: bool) -> Self {
        Self {
            database: database.to_owned(),
            login: login.to_owned(),
            server: server.to_owned(),
            number,
            may_change,
            open: Arc::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a transaction is open.
    pub fn is_in_transaction(&self) -> bool {
        self.open().depth > 0
    }

    /// Begins a transaction; the number of a new one, none for a nested one.
    pub fn begin(&self) -> Option<u64> {
        let mut open = self.open();
        open.begin().then_some(open.descriptor)
    }

    /// Ends a transaction and keeps what it did; the number if it was the outermost one.
    ///
    /// # Errors
    ///
    /// There is none, or it is the victim of a deadlock.
    pub fn commit(&self, cmdb: &Cmdb) -> Result<Option<u64>, SqlError> {
        let mut open = self.open();
        let is_outermost = open.commit(cmdb)?;
        Ok(is_outermost.then_some(open.descriptor))
    }

    /// Takes a transaction back; its number.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn roll_back(&self) -> Result<u64, SqlError> {
        let mut open = self.open();
        open.roll_back()?;
        Ok(open.descriptor)
    }

    /// Ends whatever is open, as a server does after a serious error; the number if something was.
    pub fn abort(&self) -> Option<u64> {
        let mut open = self.open();
        open.forget().then_some(open.descriptor)
    }
}

/// Statements that read the catalogue: they wait for a transaction that makes or drops a table.
const LOOKS_FOR_TABLES: [&str; 2] = ["backup_exists", "backup_tables"];

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
    /// A transaction of this number began.
    fn transaction_began(&mut self, descriptor: u64);
    /// It was committed (`true`) or rolled back.
    fn transaction_ended(&mut self, committed: bool, descriptor: u64);
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
    /// Runs a batch. What was written to `results` before an error stays valid. An error takes an
    /// open transaction back if XACT_ABORT is on.
    ///
    /// # Errors
    ///
    /// The statement is refused or not simulated.
    pub fn run(
        &self,
        session: &SqlSession,
        statement: &Statement,
        results: &mut dyn Results,
    ) -> Result<(), SqlError> {
        let done = self.run_all(session, statement, results);
        if let Err(error) = &done {
            let is_victim = error.number == 1205;
            let aborts = session.open().aborts;
            if (aborts || is_victim)
                && let Some(descriptor) = session.abort()
            {
                results.transaction_ended(false, descriptor);
            }
        }
        done
    }

    fn run_all(
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
            let now = self.now().as_millisecond();
            if LOOKS_FOR_TABLES.contains(&known.name) {
                session.open().take_turn(self)?;
            }
            return session.open().within(self, |connection, _| {
                connection
                    .execute("UPDATE LabClock SET Now = ?1", [now])
                    .map_err(|error| SqlError::internal(&error))?;
                query(connection, known.sqlite(), &values, &columns, results).map(drop)
            });
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
            if let Some(aborts) = set(input)? {
                session.open().aborts = aborts;
            }
            results.done(None);
        } else if input.word("use") {
            let wanted = input.name()?;
            if !wanted.eq_ignore_ascii_case(&session.database) {
                return Err(SqlError::not_simulated(&format!("the database [{wanted}]")));
            }
            results.database_changed(&session.database, &session.database);
            results.done(None);
        } else if input.word("begin") {
            transaction_word(input, true)?;
            if let Some(descriptor) = session.begin() {
                results.transaction_began(descriptor);
            }
            results.done(None);
        } else if input.word("commit") {
            transaction_word(input, false)?;
            if let Some(descriptor) = session.commit(self)? {
                results.transaction_ended(true, descriptor);
            }
            results.done(None);
        } else if input.word("rollback") {
            transaction_word(input, false)?;
            let descriptor = session.roll_back()?;
            results.transaction_ended(false, descriptor);
            results.done(None);
        } else if input.word("if") {
            throw_unless_count(session.open().row_count, input, parameters)?;
            results.done(None);
        } else if input.word("select") {
            if input.has_before_end("into") {
                return self.change(session, input, results, |connection, input| {
                    Change::select_into(connection, input, parameters)
                });
            }
            match expressions(session, input)? {
                Some((columns, values)) => {
                    results.columns(&columns);
                    results.row(&columns, &values)?;
                    results.done(Some(1));
                }
                None => {
                    if input.has_before_end("updlock") {
                        session.open().take_turn(self)?;
                    }
                    session.open().within(self, |connection, open| {
                        let select = Select::parse(connection, input, parameters)?;
                        if !matches!(input.peek(), None | Some(Token::Symbol(";"))) {
                            return Err(input.unexpected());
                        }
                        let (sqlite, values) = (&select.sqlite, &select.values);
                        if select.holds {
                            open.hold(connection, sqlite, values)?;
                        }
                        open.row_count =
                            query(connection, sqlite, values, &select.columns, results)?;
                        Ok(())
                    })?;
                }
            }
        } else if input.word("delete") {
            self.change(session, input, results, |connection, input| {
                Change::delete(connection, input, parameters)
            })?;
        } else if input.word("with") {
            self.change(session, input, results, |connection, input| {
                Change::delete_surplus(connection, input, parameters)
            })?;
        } else if input.word("update") {
            self.change(session, input, results, |connection, input| {
                Change::update(connection, input, parameters)
            })?;
        } else if input.word("insert") {
            self.change(session, input, results, Change::insert)?;
        } else if input.word("drop") {
            self.change(session, input, results, Change::drop)?;
        } else {
            return Err(input.unexpected());
        }
        Ok(())
    }

    /// Reads a change and makes it inside the session's transaction.
    fn change(
        &self,
        session: &SqlSession,
        input: &mut Cursor<'_>,
        results: &mut dyn Results,
        parse: impl FnOnce(&Connection, &mut Cursor<'_>) -> Result<Change, SqlError>,
    ) -> Result<(), SqlError> {
        if session.may_change {
            session.open().take_turn(self)?;
        }
        let count = session.open().within(self, |connection, open| {
            let change = parse(connection, input)?;
            if !matches!(input.peek(), None | Some(Token::Symbol(";"))) {
                return Err(input.unexpected());
            }
            if !session.may_change {
                let text = format!("The permission to change was denied to '{}'.", session.login);
                return Err(SqlError::new(229, 14, text));
            }
            open.row_count = open.change(connection, change)?;
            Ok(open.row_count)
        })?;
        results.done(Some(count as u64));
        Ok(())
    }
}

/// Reads TRAN or TRANSACTION; a name of the transaction is not simulated.
fn transaction_word(input: &mut Cursor<'_>, is_needed: bool) -> Result<(), SqlError> {
    if !input.word("tran") && !input.word("transaction") && is_needed {
        return Err(input.unexpected());
    }
    match input.peek() {
        None | Some(Token::Symbol(";")) => Ok(()),
        Some(_) => Err(input.unexpected()),
    }
}

/// Reads what follows the word IF: `@@ROWCOUNT <> @P1 THROW 50001, N'…', 1`.
fn throw_unless_count(
    count: usize,
    input: &mut Cursor<'_>,
    parameters: &[(String, Value)],
) -> Result<(), SqlError> {
    let unexpected = input.unexpected();
    let (Some(Token::Variable(counted)), true) = (input.next(), input.symbol("<>")) else {
        return Err(unexpected);
    };
    let Value::Int(wanted) = operand(input, parameters)? else { return Err(unexpected) };
    input.expect_word("throw")?;
    let (Some(Token::Number(number)), true) = (input.next(), input.symbol(",")) else {
        return Err(unexpected);
    };
    let (Some(Token::Text(text)), true) = (input.next(), input.symbol(",")) else {
        return Err(unexpected);
    };
    if counted != "@@rowcount" || !matches!(input.next(), Some(Token::Number(_))) {
        return Err(unexpected);
    }
    if i64::try_from(count) == Ok(wanted) {
        return Ok(());
    }
    Err(SqlError::new(i32::try_from(*number).unwrap_or(50_000), 16, text.clone()))
}

/// Reads what follows the word SET; whether XACT_ABORT goes on or off, if it is that.
fn set(input: &mut Cursor<'_>) -> Result<Option<bool>, SqlError> {
    if input.word("transaction") {
        input.expect_word("isolation")?;
        input.expect_word("level")?;
        let known = match input.name()? {
            "read" => matches!(input.name()?, "committed" | "uncommitted"),
            "repeatable" => input.name()? == "read",
            level => matches!(level, "serializable" | "snapshot"),
        };
        let unknown = SqlError::not_simulated("this isolation level");
        return if known { Ok(None) } else { Err(unknown) };
    }
    let mut is_xact_abort = false;
    loop {
        let option = input.name()?;
        // With implicit transactions on, every SELECT would open one; off is how it starts.
        let known = OPTIONS.contains(&option)
            || option == "implicit_transactions"
                && matches!(input.peek(), Some(token) if token.is_word("off"));
        if !known {
            return Err(SqlError::not_simulated(&format!("SET {}", option.to_uppercase())));
        }
        is_xact_abort |= option == "xact_abort";
        if !input.symbol(",") {
            break;
        }
    }
    input.symbol("-");
    match input.next() {
        Some(Token::Word(word)) => Ok(is_xact_abort.then(|| word == "on")),
        Some(Token::Name(_) | Token::Number(_) | Token::Text(_)) => Ok(None),
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
                "@@trancount" => (SqlType::Int, Value::Int(i64::from(session.open().depth))),
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
) -> Result<usize, SqlError> {
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
    results.done(Some(count as u64));
    Ok(count)
}
