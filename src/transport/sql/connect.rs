//! Logging on to a SQL Server, and taking its answers in.

use std::net::SocketAddr;
use std::time::Duration;

use futures::TryStreamExt;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, QueryItem, QueryStream, ToSql};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::cell::{Parameter, read_cell};
use super::classify::kind_of;
use crate::transport::{
    Deadline, Row, SqlParameter, SqlValue, Target, TransportError, TransportErrorKind,
};

/// The most rows of one answer.
const MAX_ROWS: usize = 1_000_000;
/// The most bytes of text in one answer.
const MAX_TEXT: usize = 512 * 1024 * 1024;
/// How long a statement waits for a lock before error 1222, in milliseconds.
pub(super) const LOCK_TIMEOUT_MS: u32 = 10_000;
/// How long the server may take over the session's settings.
pub(super) const SETTINGS_LIMIT: Duration = Duration::from_secs(10);

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

pub(super) type Connected = Client<Compat<TcpStream>>;

/// Connects, logs on by SQL user and password, and sends the first batch.
///
/// # Errors
///
/// [`TransportErrorKind::Refused`] if the server is not on loopback and `protection` asks for
/// that; then nothing was sent.
pub(super) async fn log_on(
    target: &Target,
    protection: Protection,
    first: &str,
    deadline: Deadline,
) -> Result<Connected, TransportError> {
    let operation =
        format!("could not log on to {} as `{}`", named(target), target.credential.user);
    let timed_out =
        |passed| TransportError::caused_by(TransportErrorKind::TimedOut, operation.clone(), passed);
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

    deadline
        .at_most(SETTINGS_LIMIT)
        .of(async { client.simple_query(first).await?.into_results().await })
        .await
        .map_err(timed_out)?
        .map_err(refused)?;
    Ok(client)
}

/// A server for messages: by what is connected to, which is seldom the host whose CMDB it has.
pub(super) fn named(target: &Target) -> String {
    format!("SQL Server {}:{} (the CMDB of {})", target.address, target.port, target.host)
}

async fn dial(
    target: &Target,
    protection: Protection,
    deadline: Deadline,
) -> Result<TcpStream, TransportError> {
    let operation = || format!("could not connect to {}", named(target));
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

/// Why an answer could not be taken in.
pub(super) enum Failure {
    Driver(tiberius::error::Error),
    TooLarge,
    Column(String),
}

impl Failure {
    /// As the error of an operation; `of_driver` says what an error of the driver means.
    pub(super) fn into_error(
        self,
        operation: &str,
        of_driver: impl FnOnce(&tiberius::error::Error) -> TransportErrorKind,
    ) -> TransportError {
        let refused = TransportErrorKind::Refused;
        match self {
            Self::TooLarge => {
                TransportError::new(refused, format!("{operation}: the answer is too large"))
            }
            Self::Column(column) => {
                let text = format!("{operation}: column {column:?} has a type that is not read");
                TransportError::new(refused, text)
            }
            Self::Driver(error) => {
                TransportError::caused_by(of_driver(&error), operation.to_owned(), error)
            }
        }
    }
}

impl From<tiberius::error::Error> for Failure {
    fn from(error: tiberius::error::Error) -> Self {
        Self::Driver(error)
    }
}

/// Runs a statement with parameters, as `sp_executesql`, and takes in its whole answer: an error may
/// come after rows.
pub(super) async fn rows(
    client: &mut Connected,
    text: &str,
    parameters: &[SqlParameter],
) -> Result<Vec<Row>, Failure> {
    let parameters: Vec<Parameter> = parameters.iter().map(Parameter::from).collect();
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(Parameter::as_sql).collect();
    take_in(client.query(text, &parameters).await?).await
}

/// Runs a batch without parameters and takes in its whole answer.
pub(super) async fn batch(client: &mut Connected, text: &str) -> Result<Vec<Row>, Failure> {
    take_in(client.simple_query(text).await?).await
}

async fn take_in(mut stream: QueryStream<'_>) -> Result<Vec<Row>, Failure> {
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
