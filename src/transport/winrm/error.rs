//! Why something could not be done over WinRM, in classes that decide what may follow.

use crate::protocol::auth::InitiateError;
use crate::protocol::wsman::{Fault, FaultCode};
use crate::transport::{TransportErrorKind, WithheldLogon};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A request or a connection failed. `request` is the name of the WS-Management operation.
#[derive(Debug, thiserror::Error)]
pub enum WinRmError {
    /// The settings ask for something that is refused; nothing was sent.
    #[error("{0}")]
    Settings(String),
    /// There was no TCP connection.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The secure channel could not be made.
    #[error("open a TLS channel: {0}")]
    Tls(String),
    /// The server rejected user and password: wrong, locked or expired; it does not say which.
    #[error("the logon of {user:?} was rejected")]
    AuthenticationRejected {
        /// The user as given.
        user: String,
    },
    /// No further logon was made: the credential was rejected meanwhile, or nobody knows.
    #[error(transparent)]
    LogonWithheld(WithheldLogon),
    /// The server does not offer the way of authentication that was asked for.
    #[error("the server offers {offered:?} and not the authentication asked for")]
    NotOffered {
        /// Its `WWW-Authenticate` headers.
        offered: String,
    },
    /// The security tokens could not be made or understood.
    #[error("authenticate the connection")]
    Security(#[source] InitiateError),
    /// The connection was lost. When `sent`, the server may have acted on the request.
    #[error("{request}: the connection was lost {}", if *.sent { "after the request was sent" } else { "before the request was sent" })]
    Lost {
        /// The operation.
        request: &'static str,
        /// Whether the request may have arrived.
        sent: bool,
        /// What the connection said.
        #[source]
        source: Option<Cause>,
    },
    /// The answer began and did not end.
    #[error("{request}: the answer was cut")]
    AnswerCut {
        /// The operation.
        request: &'static str,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// HTTP 401 on a connection that was authenticated.
    #[error("{request}: the server no longer knows the session")]
    SessionLost {
        /// The operation.
        request: &'static str,
    },
    /// HTTP 503.
    #[error("{request}: the server is busy")]
    Busy {
        /// The operation.
        request: &'static str,
    },
    /// There was no answer by the deadline. When `sent`, the server may have acted on the request.
    #[error("{request}: no answer by the deadline")]
    TimedOut {
        /// The operation.
        request: &'static str,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// The user has all the shells or processes that the host allows (fault 2150859173).
    #[error("{request}: the host's shell quota is used up: {message}")]
    ShellQuota {
        /// The operation.
        request: &'static str,
        /// The server's text.
        message: String,
    },
    /// The user has all the operations that the host allows (fault 2150859174).
    #[error("{request}: the host's quota of operations is used up: {message}")]
    OperationQuota {
        /// The operation.
        request: &'static str,
        /// The server's text.
        message: String,
    },
    /// The server refused the request with a fault.
    #[error("{request}: fault {}{}: {}", .fault.subcode, .fault.code.map(|c| format!(" {c}")).unwrap_or_default(), .fault.message)]
    Fault {
        /// The operation.
        request: &'static str,
        /// What it said.
        fault: Fault,
    },
    /// The command wrote more than 64 MiB and was ended.
    #[error("output limit: the command wrote more than {limit} bytes and was ended")]
    OutputLimit {
        /// The limit in bytes.
        limit: usize,
    },
    /// An answer that breaks the protocol, or is not protected as it must be.
    #[error("{request}: {what}")]
    Protocol {
        /// The operation.
        request: &'static str,
        /// What is wrong.
        what: &'static str,
        /// The reader's own error.
        #[source]
        source: Option<Cause>,
    },
    /// The session was closed.
    #[error("the session is closed")]
    Closed,
}

impl WinRmError {
    /// Gives a fault its class by its number.
    pub(super) fn from_fault(request: &'static str, fault: Fault) -> Self {
        match fault.code {
            Some(FaultCode::SHELL_QUOTA) => Self::ShellQuota { request, message: fault.message },
            Some(FaultCode::OPERATION_QUOTA) => {
                Self::OperationQuota { request, message: fault.message }
            }
            Some(_) | None => Self::Fault { request, fault },
        }
    }

    /// Whether the request may have arrived and nothing trustworthy says what became of it. HTTP
    /// 401 and 503 are not sealed, so anyone on the way could have written them.
    pub(super) fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Lost { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            // The server gave up waiting for itself.
            Self::Fault { fault, .. } => fault.is_timed_out(),
            Self::AnswerCut { .. }
            | Self::SessionLost { .. }
            | Self::Busy { .. }
            | Self::Protocol { .. } => true,
            Self::Settings(_)
            | Self::Connect { .. }
            | Self::Tls(_)
            | Self::AuthenticationRejected { .. }
            | Self::LogonWithheld(_)
            | Self::NotOffered { .. }
            | Self::Security(_)
            | Self::ShellQuota { .. }
            | Self::OperationQuota { .. }
            | Self::OutputLimit { .. }
            | Self::Closed => false,
        }
    }

    /// The kind the layers above know, for a request that did not start anything.
    pub fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Connect { .. }
            | Self::Lost { .. }
            | Self::AnswerCut { .. }
            | Self::SessionLost { .. }
            | Self::Closed => TransportErrorKind::Unreachable,
            Self::AuthenticationRejected { .. }
            | Self::LogonWithheld(WithheldLogon { by: Some(_), .. }) => {
                TransportErrorKind::AuthRejected
            }
            Self::Busy { .. } | Self::ShellQuota { .. } | Self::OperationQuota { .. } => {
                TransportErrorKind::Throttled
            }
            Self::TimedOut { .. } => TransportErrorKind::TimedOut,
            Self::Fault { fault, .. } if fault.code == Some(FaultCode::ACCESS_DENIED) => {
                TransportErrorKind::AccessDenied
            }
            Self::Fault { .. } | Self::OutputLimit { .. } => TransportErrorKind::Fault,
            Self::Settings(_)
            | Self::Tls(_)
            | Self::LogonWithheld(WithheldLogon { by: None, .. })
            | Self::NotOffered { .. }
            | Self::Security(_)
            | Self::Protocol { .. } => TransportErrorKind::Refused,
        }
    }
}

/// A command did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RunFailure {
    /// Why.
    pub error: WinRmError,
    /// Whether the command may have started: its `Command` request may have arrived.
    pub may_have_run: bool,
}

impl RunFailure {
    /// The kind the layers above know.
    pub fn kind(&self) -> TransportErrorKind {
        match self.error {
            // It ran and was ended by us: that is known.
            WinRmError::OutputLimit { .. } => TransportErrorKind::Fault,
            _ if self.may_have_run => TransportErrorKind::InDoubt,
            _ => self.error.kind(),
        }
    }
}
