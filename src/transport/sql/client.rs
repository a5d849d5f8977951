//! A session with a SQL Server that reads.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::classify::{is_fatal, kind_of};
use super::connect::{Connected, Failure, LOCK_TIMEOUT_MS, Protection, log_on, named, rows};
use crate::model::ReadOnlySelect;
use crate::transport::{
    Deadline, Hold, ReadSql, Row, Selection, SqlParameter, Statement, Target, TransportError,
    TransportErrorKind,
};

/// A read-only session with a SQL Server. After a timeout or a lost connection it is over.
pub struct SqlClient {
    /// What it is called in messages.
    server: String,
    client: Mutex<Option<Connected>>,
}

impl SqlClient {
    /// Connects and logs on by SQL user and password; `target.option` names the database.
    ///
    /// # Errors
    ///
    /// [`TransportErrorKind::Refused`] if the server is not on loopback and `protection` asks for
    /// that; then nothing was sent.
    pub async fn connect(
        target: &Target,
        protection: Protection,
        deadline: Deadline,
    ) -> Result<Self, TransportError> {
        let settings = format!("SET LOCK_TIMEOUT {LOCK_TIMEOUT_MS}; SET XACT_ABORT ON;");
        let client = log_on(target, protection, &settings, deadline).await?;
        Ok(Self { server: named(target), client: Mutex::new(Some(client)) })
    }

    async fn run(
        &self,
        name: &str,
        text: &str,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let operation = format!("could not run `{name}` on {}", self.server);
        let timed_out = |passed| {
            TransportError::caused_by(TransportErrorKind::TimedOut, operation.clone(), passed)
        };
        let mut slot = deadline.of(self.client.lock()).await.map_err(timed_out)?;
        // Taken out while it runs: if this future is dropped or fails, so is the connection,
        // because the rest of the answer would be taken for the next one.
        let mut client = slot.take().ok_or_else(|| {
            let text = format!("{operation}: the session is over");
            TransportError::new(TransportErrorKind::Unreachable, text)
        })?;
        match deadline.of(rows(&mut client, text, parameters)).await {
            Err(passed) => Err(timed_out(passed)),
            Ok(Ok(rows)) => {
                *slot = Some(client);
                Ok(rows)
            }
            Ok(Err(failure)) => {
                if matches!(&failure, Failure::Driver(error) if !is_fatal(error)) {
                    *slot = Some(client);
                }
                Err(failure.into_error(&operation, kind_of))
            }
        }
    }
}

#[async_trait]
impl ReadSql for SqlClient {
    async fn query(
        &self,
        statement: &Statement<'_>,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        self.run(statement.name, statement.text, parameters, deadline).await
    }

    async fn query_checked(
        &self,
        select: &ReadOnlySelect,
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        self.run("the operator's query", select.as_str(), &[], deadline).await
    }

    async fn select(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let name = format!("SELECT from {}", selection.from.quoted());
        let text = selection.text(Hold::Nothing);
        self.run(&name, &text, &selection.rows.parameters(), deadline).await
    }

    async fn close(&self) {
        if let Some(client) = self.client.lock().await.take() {
            // Closing is a courtesy to the server; it drops the session either way.
            let _ = tokio::time::timeout(Duration::from_secs(2), client.close()).await;
        }
    }
}
