//! Answers to batches and calls, as tokens.

use crate::lab::cmdb::{Cmdb, Results, SqlError, SqlSession};
use crate::protocol::tds::{Column, Done, DoneKind, ServerMessage, Statement, Tokens, Value};

/// The largest answer; a SELECT that gives more ends with an error.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Writes results as tokens. The last DONE of an answer differs from those before it, so each is
/// held back until it is known whether another follows.
struct Writer {
    tokens: Tokens,
    server: String,
    is_call: bool,
    held_back: Option<Done>,
}

impl Writer {
    fn release(&mut self) {
        if let Some(done) = self.held_back.take() {
            let kind = if self.is_call { DoneKind::InProcedure } else { DoneKind::Batch };
            self.tokens.done(kind, Done { more: true, ..done });
        }
    }

    fn finish(mut self, in_transaction: bool, error: Option<&SqlError>) -> Vec<u8> {
        if let Some(error) = error {
            self.release();
            self.tokens.message(&error.message(), &self.server);
        }
        let failed = Done { error: error.is_some(), in_transaction, ..Done::default() };
        if self.is_call {
            self.release();
            if error.is_none() {
                self.tokens.return_status(0);
            }
            self.tokens.done(DoneKind::Procedure, failed);
        } else {
            let last = self.held_back.take().map_or(failed, |done| Done { in_transaction, ..done });
            self.tokens.done(DoneKind::Batch, last);
        }
        self.tokens.into_bytes()
    }
}

impl Results for Writer {
    fn columns(&mut self, columns: &[Column]) {
        self.release();
        self.tokens.columns(columns);
    }

    fn row(&mut self, columns: &[Column], values: &[Value]) -> Result<(), SqlError> {
        if self.tokens.len() > MAX_ANSWER {
            return Err(SqlError::not_simulated("an answer of more than 256 MiB"));
        }
        self.tokens
            .row(columns, values)
            .map_err(|error| SqlError::not_simulated(&format!("a row where {error}")))
    }

    fn done(&mut self, rows: Option<u64>) {
        self.release();
        self.held_back = Some(Done { rows, ..Done::default() });
    }

    fn database_changed(&mut self, new: &str, old: &str) {
        self.release();
        self.tokens.database_changed(new, old);
    }

    fn transaction_began(&mut self, descriptor: u64) {
        self.release();
        self.tokens.transaction_began(descriptor);
    }

    fn transaction_ended(&mut self, committed: bool, descriptor: u64) {
        self.release();
        self.tokens.transaction_ended(committed, descriptor);
    }
}

/// Runs a statement and returns the whole answer. It blocks for as long as SQLite needs.
pub(super) fn answer(
    cmdb: &Cmdb,
    session: &SqlSession,
    statement: &Statement,
    is_call: bool,
) -> Vec<u8> {
    let server = session.server.clone();
    let mut writer = Writer { tokens: Tokens::default(), server, is_call, held_back: None };
    let outcome = cmdb.run(session, statement, &mut writer);
    writer.finish(session.is_in_transaction(), outcome.err().as_ref())
}

/// An answer that is nothing but an error.
pub(super) fn refusal(server: &str, message: &ServerMessage, is_call: bool) -> Vec<u8> {
    let mut tokens = Tokens::default();
    tokens.message(message, server);
    let kind = if is_call { DoneKind::Procedure } else { DoneKind::Batch };
    tokens.done(kind, Done { error: true, ..Done::default() });
    tokens.into_bytes()
}
