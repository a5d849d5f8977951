//! Changing a SQL Server: one transaction on a connection of its own.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Deadline, Row, Selection, SqlParameter, Statement, TransportError};

/// A statement that changes something, with parameters `@P1`, `@P2`, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatement {
    /// Its name in messages.
    pub name: String,
    /// Its text: constants and quoted names; values are parameters.
    pub text: String,
}

/// A transaction that is open at a SQL Server, as the writer.
///
/// It has its connection for itself: when it is dropped, the connection is closed and the server
/// rolls the transaction back. After any error it is over, and nothing of it stays. Only
/// [`ChangeSql::commit`] can leave something in doubt. No request is ever sent twice.
#[async_trait]
pub trait ChangeSql: Send + Sync {
    /// Runs a constant statement that reads, inside the transaction.
    ///
    /// # Errors
    ///
    /// The transaction is over; nothing of it stays.
    async fn query(
        &mut self,
        statement: &Statement,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError>;

    /// Reads rows and keeps others from changing them until the transaction ends.
    ///
    /// # Errors
    ///
    /// The transaction is over; nothing of it stays.
    async fn hold(
        &mut self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError>;

    /// Runs a statement that changes something.
    ///
    /// # Errors
    ///
    /// The transaction is over; nothing of it stays.
    async fn execute(
        &mut self,
        statement: &ChangeStatement,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Makes everything stay.
    ///
    /// # Errors
    ///
    /// [`super::TransportErrorKind::InDoubt`] when the answer did not come: everything stays or
    /// nothing does. Any other kind: nothing stays.
    async fn commit(self: Box<Self>, deadline: Deadline) -> Result<(), TransportError>;

    /// Takes everything back. It is a courtesy: dropping does the same when the server notices.
    async fn roll_back(self: Box<Self>);
}
