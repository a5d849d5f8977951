//! A transaction at a SQL Server, on a connection of its own.

use std::time::Duration;

use async_trait::async_trait;
use tiberius::error::Error;

use super::classify::{is_fatal, kind_of};
use super::connect::{Connected, Failure, LOCK_TIMEOUT_MS, Protection, batch, log_on, named, rows};
use crate::transport::{
    ChangeSql, ChangeStatement, Deadline, Hold, Row, Selection, SqlParameter, Statement, Target,
    TransportError, TransportErrorKind,
};

/// How long the server may take over a ROLLBACK before it is left to notice the closed connection.
const ROLL_BACK_LIMIT: Duration = Duration::from_secs(5);

/// An open transaction. Its isolation is READ COMMITTED; what must not change is held.
pub struct SqlTransaction {
    /// What it is called in messages.
    server: String,
    /// None once the transaction is over.
    client: Option<Connected>,
}

impl SqlTransaction {
    /// Connects as the writer and begins: `SET XACT_ABORT ON`, so that any error takes everything
    /// back; `SET LOCK_TIMEOUT`, so that nobody is waited for without end.
    ///
    /// # Errors
    ///
    /// As [`super::SqlClient::connect`].
    pub async fn begin(
        target: &Target,
        protection: Protection,
        deadline: Deadline,
    ) -> Result<Self, TransportError> {
        let first = format!(
            "SET XACT_ABORT ON; SET LOCK_TIMEOUT {LOCK_TIMEOUT_MS}; \
             SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION;"
        );
        let client = log_on(target, protection, &first, deadline).await?;
        Ok(Self { server: named(target), client: Some(client) })
    }

    async fn run(
        &mut self,
        name: &str,
        text: &str,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let operation = format!("could not run `{name}` on {}", self.server);
        // It is put back only after a good answer: in every other case the connection is closed
        // here, before COMMIT was sent, so that nothing can stay.
        let mut client = self.client.take().ok_or_else(|| over(&operation))?;
        let answer = deadline.of(rows(&mut client, text, parameters)).await.map_err(|passed| {
            TransportError::caused_by(TransportErrorKind::TimedOut, operation.clone(), passed)
        })?;
        let rows = answer.map_err(|failure| failure.into_error(&operation, kind_of))?;
        self.client = Some(client);
        Ok(rows)
    }
}

fn over(operation: &str) -> TransportError {
    let text = format!("{operation}: the transaction is over");
    TransportError::new(TransportErrorKind::Refused, text)
}

#[async_trait]
impl ChangeSql for SqlTransaction {
    async fn query(
        &mut self,
        statement: &Statement,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        self.run(statement.name, statement.text, parameters, deadline).await
    }

    async fn hold(
        &mut self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let name = format!("SELECT from {}", selection.from.quoted());
        let text = selection.text(Hold::UntilTheEnd);
        self.run(&name, &text, &selection.rows.parameters(), deadline).await
    }

    async fn execute(
        &mut self,
        statement: &ChangeStatement,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        self.run(&statement.name, &statement.text, parameters, deadline).await.map(drop)
    }

    async fn commit(mut self: Box<Self>, deadline: Deadline) -> Result<(), TransportError> {
        let operation = format!("could not commit on {}", self.server);
        let mut client = self.client.take().ok_or_else(|| over(&operation))?;
        let in_doubt = TransportErrorKind::InDoubt;
        match deadline.of(batch(&mut client, "COMMIT TRANSACTION;")).await {
            Err(passed) => Err(TransportError::caused_by(in_doubt, operation, passed)),
            Ok(Ok(_)) => {
                close(client).await;
                Ok(())
            }
            // The server says no: it did not commit. Any other error lost the answer.
            Ok(Err(Failure::Driver(error @ Error::Server(_)))) if !is_fatal(&error) => {
                Err(Failure::Driver(error).into_error(&operation, kind_of))
            }
            Ok(Err(failure)) => Err(failure.into_error(&operation, |_| in_doubt)),
        }
    }

    async fn roll_back(mut self: Box<Self>) {
        if let Some(mut client) = self.client.take() {
            // Whatever becomes of it: closing the connection does the same.
            let said = batch(&mut client, "ROLLBACK TRANSACTION;");
            if let Ok(Ok(_)) = tokio::time::timeout(ROLL_BACK_LIMIT, said).await {
                close(client).await;
            }
        }
    }
}

async fn close(client: Connected) {
    // Closing is a courtesy to the server; it drops the session either way.
    let _ = tokio::time::timeout(Duration::from_secs(2), client.close()).await;
}
