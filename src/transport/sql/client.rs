//! A session with a SQL Server over tiberius.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, QueryItem, ToSql};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::cell::{Parameter, read_cell};
use super::classify::{is_fatal, kind_of};
use crate::transport::{
    Deadline, ReadSql, Row, SqlParameter, SqlValue, Statement, Target, TransportError,
    TransportErrorKind,
};

/// The most rows of one answer.
const MAX_ROWS: usize = 1_000_000;
/// The most bytes of text in one answer.
const MAX_TEXT: usize = 512 * 1024 * 1024;
/// How long a statement waits for a lock before error 1222, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 10_000;
/// How long the server may take over the session's settings.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);

/// Whether a password may cross a network without TLS.
///
/// TDS scrambles it with a constant, which hides it from nobody. TLS is not available yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Only a server on a loopback address is logged on to.
    LoopbackOnly,
    /// Any server is; whoever chooses this trusts the network.
    PlainNetwork,
}

type Connected = Client<Compat<TcpStream>>;

/// A read-only session with a SQL Server. After a timeout or a lost connection it is over.
pub struct SqlClient {
    host: String,
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
        let host = target.host.to_string();
        let operation = format!("could not log on to SQL Server {} of {host}", target.address);
        let timed_out = |passed| {
            TransportError::caused_by(TransportErrorKind::TimedOut, operation.clone(), passed)
        };
        let refused = |error| TransportError::caused_by(kind_of(&error), operation.clone(), error);
        let (domain, user) = target.credential.domain_and_user();
        if !domain.is_empty() {
            let text = format!("{operation}: only SQL logins are supported, not domain accounts");
            return Err(TransportError::new(TransportErrorKind::Refused, text));
        }

        let stream = dial(target, protection, deadline).await?;
        let mut config = Config::new();
        config.host(&target.address);
        config.port(target.port);
        config.application_name("fleetmend");
        config.encryption(EncryptionLevel::NotSupported);
        config.authentication(AuthMethod::sql_server(user, target.credential.password.expose()));
        if let Some(database) = &target.option {
            config.database(database);
        }
        // The deadline bounds every wait; these would cut in at other times.
        config.handshake_timeout(None);
        config.command_timeout(None);
        let mut client = deadline
            .of(Client::connect(config, stream.compat_write()))
            .await
            .map_err(timed_out)?
            .map_err(refused)?;

        let settings = format!("SET LOCK_TIMEOUT {LOCK_TIMEOUT_MS}; SET XACT_ABORT ON;");
        deadline
            .at_most(SETTINGS_LIMIT)
            .of(async { client.simple_query(settings).await?.into_results().await })
            .await
            .map_err(timed_out)?
            .map_err(refused)?;
        Ok(Self { host, client: Mutex::new(Some(client)) })
    }
}

async fn dial(
    target: &Target,
    protection: Protection,
    deadline: Deadline,
) -> Result<TcpStream, TransportError> {
    let operation = || format!("could not connect to SQL Server {}", target.host);
    let unreachable = TransportErrorKind::Unreachable;
    let find = tokio::net::lookup_host((target.address.as_str(), target.port));
    let addresses: Vec<SocketAddr> = deadline
        .of(find)
        .await
        .map_err(|passed| TransportError::caused_by(unreachable, operation(), passed))?
        .map_err(|error| TransportError::caused_by(unreachable, operation(), error))?
        .collect();
    let exposed = addresses.iter().any(|address| !address.ip().is_loopback());
    if exposed && protection == Protection::LoopbackOnly {
        let text = format!(
            "{}: the password would cross the network unprotected, as TLS is not available",
            operation()
        );
        return Err(TransportError::new(TransportErrorKind::Refused, text));
    }
    let stream = deadline
        .of(TcpStream::connect(&addresses[..]))
        .await
        .map_err(|passed| TransportError::caused_by(unreachable, operation(), passed))?
        .map_err(|error| TransportError::caused_by(unreachable, operation(), error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| TransportError::caused_by(unreachable, operation(), error))?;
    Ok(stream)
}

#[async_trait]
impl ReadSql for SqlClient {
    async fn query(
        &self,
        statement: &Statement,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let operation = format!("could not run `{}` on SQL Server {}", statement.name, self.host);
        let fail = |kind, error: Box<dyn std::error::Error + Send + Sync>| {
            TransportError::caused_by(kind, operation.clone(), error)
        };
        let timed_out = TransportErrorKind::TimedOut;
        let mut slot =
            deadline.of(self.client.lock()).await.map_err(|e| fail(timed_out, e.into()))?;
        // Taken out while it runs: if this future is dropped or fails, so is the connection,
        // because the rest of the answer would be taken for the next one.
        let mut client = slot.take().ok_or_else(|| {
            let text = format!("{operation}: the session is over");
            TransportError::new(TransportErrorKind::Unreachable, text)
        })?;
        match deadline.of(rows(&mut client, statement.text, parameters)).await {
            Err(passed) => Err(fail(timed_out, passed.into())),
            Ok(Ok(rows)) => {
                *slot = Some(client);
                Ok(rows)
            }
            Ok(Err(Failure::TooLarge)) => {
                let text = format!("{operation}: the answer is too large");
                Err(TransportError::new(TransportErrorKind::Refused, text))
            }
            Ok(Err(Failure::Column(column))) => {
                let text = format!("{operation}: column {column:?} has a type that is not read");
                Err(TransportError::new(TransportErrorKind::Refused, text))
            }
            Ok(Err(Failure::Driver(error))) => {
                if !is_fatal(&error) {
                    *slot = Some(client);
                }
                Err(fail(kind_of(&error), error.into()))
            }
        }
    }

    async fn close(&self) {
        if let Some(client) = self.client.lock().await.take() {
            // Closing is a courtesy to the server; it drops the session either way.
            let _ = tokio::time::timeout(Duration::from_secs(2), client.close()).await;
        }
    }
}

enum Failure {
    Driver(tiberius::error::Error),
    TooLarge,
    Column(String),
}

impl From<tiberius::error::Error> for Failure {
    fn from(error: tiberius::error::Error) -> Self {
        Self::Driver(error)
    }
}

/// Runs a statement and takes in its whole answer: an error may come after rows.
async fn rows(
    client: &mut Connected,
    text: &str,
    parameters: &[SqlParameter],
) -> Result<Vec<Row>, Failure> {
    let parameters: Vec<Parameter> = parameters.iter().map(Parameter::from).collect();
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(Parameter::as_sql).collect();
    let mut stream = client.query(text, &parameters).await?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(item) = stream.try_next().await? {
        let QueryItem::Row(row) = item else { continue };
        if rows.len() == MAX_ROWS {
            return Err(Failure::TooLarge);
        }
        let mut cells = Vec::with_capacity(row.len());
        for (column, cell) in row.cells() {
            let value = read_cell(cell).ok_or_else(|| Failure::Column(column.name().to_owned()))?;
            if let SqlValue::Text(text) = &value {
                bytes += text.len();
            }
            cells.push((column.name().to_owned(), value));
        }
        if bytes > MAX_TEXT {
            return Err(Failure::TooLarge);
        }
        rows.push(Row(cells));
    }
    Ok(rows)
}
