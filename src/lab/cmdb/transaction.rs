//! Transactions of clients over the one database that the world writes to as well.
//!
//! What a client did in its open transaction is kept as a list. For each of its requests the list is
//! done again inside an SQLite transaction, the request after it, and all is taken back; COMMIT does
//! the list a last time and keeps it. So nobody else ever sees it before, the world is never blocked
//! by a client that is slow, and a connection that is cut leaves nothing. When the list has another
//! outcome than before, because the world wrote in between, a real server would have made one of
//! both wait: here the client is the deadlock victim, with error 1205. Among clients one waits for
//! the other, as long as locks would make it.

use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::change::Change;
use super::database::{Cmdb, Turn};
use super::inspect::row_text;
use super::sql_error::SqlError;

/// What a session has open.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// How many transactions are open, nested ones included; only the outermost counts.
    pub(super) depth: u32,
    /// The number of the outermost one.
    pub(super) descriptor: u64,
    /// Whether any error takes the transaction back.
    pub(super) aborts: bool,
    /// How many rows the last statement met.
    pub(super) row_count: usize,
    done: Vec<Done>,
    turn: Option<Turn>,
}

/// Something that a transaction did, and what came of it.
#[derive(Debug)]
enum Done {
    Changed(Change, usize),
    /// Rows that it holds.
    Saw(String, Vec<Stored>, Vec<String>),
}

impl Open {
    /// Begins a transaction; whether it is the outermost one.
    pub(super) fn begin(&mut self) -> bool {
        self.depth += 1;
        if self.depth == 1 {
            self.descriptor += 1;
        }
        self.depth == 1
    }

    /// Ends everything that is open; whether something was.
    pub(super) fn forget(&mut self) -> bool {
        self.done.clear();
        self.turn = None;
        std::mem::take(&mut self.depth) > 0
    }

    /// Ends one transaction; the outermost one keeps what was done. Whether it was that one.
    pub(super) fn commit(&mut self, cmdb: &Cmdb) -> Result<bool, SqlError> {
        match self.depth {
            0 => Err(SqlError::new(
                3902,
                16,
                "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            )),
            1 => {
                if !self.done.is_empty() {
                    let mut connection = cmdb.connection();
                    let internal = |error| SqlError::internal(&error);
                    let all = connection.transaction().map_err(internal)?;
                    self.again(&all)?;
                    all.commit().map_err(internal)?;
                    cmdb.note_change();
                }
                self.forget();
                Ok(true)
            }
            _ => {
                self.depth -= 1;
                Ok(false)
            }
        }
    }

    /// Takes everything back.
    pub(super) fn roll_back(&mut self) -> Result<(), SqlError> {
        if self.forget() {
            return Ok(());
        }
        Err(SqlError::new(
            3903,
            16,
            "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
        ))
    }

    /// Waits for other clients' transactions; in a transaction, others wait for this one from now on.
    pub(super) fn take_turn(&mut self, cmdb: &Cmdb) -> Result<(), SqlError> {
        if self.turn.is_none() {
            let turn = cmdb
                .take_turn()
                .ok_or_else(|| SqlError::new(1222, 16, "Lock request time out period exceeded."))?;
            self.turn = (self.depth > 0).then_some(turn);
        }
        Ok(())
    }

    /// Lets something be done on the database as the transaction sees it.
    pub(super) fn within<T>(
        &mut self,
        cmdb: &Cmdb,
        work: impl FnOnce(&Connection, &mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let mut connection = cmdb.connection();
        if self.depth == 0 {
            return work(&connection, self);
        }
        let all = connection.transaction().map_err(|error| SqlError::internal(&error))?;
        self.again(&all)?;
        // Dropped at the end, by which SQLite takes everything back.
        work(&all, self)
    }

    /// Makes a change inside the transaction.
    pub(super) fn change(
        &mut self,
        connection: &Connection,
        change: Change,
    ) -> Result<usize, SqlError> {
        if self.depth == 0 || !self.aborts {
            return Err(SqlError::not_simulated(
                "a change outside of a transaction, or without XACT_ABORT",
            ));
        }
        let count = change.run(connection)?;
        self.done.push(Done::Changed(change, count));
        Ok(count)
    }

    /// Notes rows that must stay as they are.
    pub(super) fn hold(
        &mut self,
        connection: &Connection,
        sqlite: &str,
        values: &[Stored],
    ) -> Result<(), SqlError> {
        if self.depth > 0 {
            let seen = look(connection, sqlite, values)?;
            self.done.push(Done::Saw(sqlite.to_owned(), values.to_vec(), seen));
        }
        Ok(())
    }

    fn again(&self, connection: &Connection) -> Result<(), SqlError> {
        for done in &self.done {
            let is_the_same = match done {
                Done::Changed(change, count) => change.run(connection)? == *count,
                Done::Saw(sqlite, values, seen) => look(connection, sqlite, values)? == *seen,
            };
            if !is_the_same {
                return Err(SqlError::deadlock());
            }
        }
        Ok(())
    }
}

/// The rows of a SELECT as text, in order.
fn look(connection: &Connection, sqlite: &str, values: &[Stored]) -> Result<Vec<String>, SqlError> {
    let internal = |error| SqlError::internal(&error);
    let mut statement = connection.prepare_cached(sqlite).map_err(internal)?;
    let width = statement.column_count();
    let rows = statement
        .query_map(rusqlite::params_from_iter(values), |row| row_text(row, width))
        .map_err(internal)?;
    let mut rows = rows.collect::<Result<Vec<String>, _>>().map_err(internal)?;
    rows.sort_unstable();
    Ok(rows)
}
