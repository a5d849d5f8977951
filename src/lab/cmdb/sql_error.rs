//! Errors as a SQL Server would number them.

use thiserror::Error;

use crate::protocol::tds::ServerMessage;

/// A statement was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct SqlError {
    /// The number; 50000 is the lab's own.
    pub number: i32,
    /// The class, 11 to 19.
    pub class: u8,
    /// The text.
    pub text: String,
}

impl SqlError {
    pub(super) fn new(number: i32, class: u8, text: impl Into<String>) -> Self {
        Self { number, class, text: text.into() }
    }

    /// The lab does not understand this; it never pretends that it does.
    pub fn not_simulated(what: &str) -> Self {
        Self::new(50_000, 16, format!("not simulated: {what}"))
    }

    pub(super) fn unclosed(what: &str) -> Self {
        Self::new(105, 15, format!("Unclosed {what}."))
    }

    /// SQLite refused. That is a mistake of the lab, not of the client.
    pub(super) fn internal(error: &rusqlite::Error) -> Self {
        Self::new(50_000, 16, format!("the simulation failed: {error}"))
    }

    /// The transaction stood in the way of another one.
    pub(super) fn deadlock() -> Self {
        Self::new(
            1205,
            13,
            "Transaction was deadlocked on lock resources with another process and has been chosen \
             as the deadlock victim. Rerun the transaction.",
        )
    }

    /// As the protocol sends it.
    pub fn message(&self) -> ServerMessage {
        ServerMessage { number: self.number, state: 1, class: self.class, text: self.text.clone() }
    }
}
