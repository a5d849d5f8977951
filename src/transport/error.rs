//! Why something could not be done on a host.

use thiserror::Error;

use crate::model::{FailureClass, HostName, StepFailure};

/// What kind of failure it is; the only part that decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// No connection, or lost before the request left: nothing was asked for.
    Unreachable,
    /// The logon was rejected: password, lock, expiry.
    AuthRejected,
    /// The server is too busy: HTTP 503, a quota.
    Throttled,
    /// The deadline passed before the request left.
    TimedOut,
    /// The request left and its answer never came.
    InDoubt,
    /// There is no such object.
    NotFound,
    /// The account may not do that.
    AccessDenied,
    /// Another program has the file open.
    SharingViolation,
    /// The target is already there.
    AlreadyExists,
    /// The deadlock victim, or a lock that was not granted in time; nothing was done.
    Conflict,
    /// Any other refusal by the server.
    Fault,
    /// We refused: the answer breaks the protocol, is too large, or is not protected as it must be.
    Refused,
}

/// An operation on a host failed.
#[derive(Debug, Error)]
#[error("{operation}")]
pub struct TransportError {
    /// What was attempted on what, as a phrase: `could not read C:\… on ps-lon-01`.
    pub operation: String,
    /// The kind.
    pub kind: TransportErrorKind,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The host that rejected the logon, now or before; not always the one that was to be reached.
    pub rejected_by: Option<HostName>,
}

impl TransportError {
    /// A failure without a cause of its own.
    pub fn new(kind: TransportErrorKind, operation: impl Into<String>) -> Self {
        Self { operation: operation.into(), kind, source: None, rejected_by: None }
    }

    /// A failure with its cause.
    pub fn caused_by(
        kind: TransportErrorKind,
        operation: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation: operation.into(), kind, source: Some(source.into()), rejected_by: None }
    }

    /// The same, with the host that rejected the logon.
    #[must_use]
    pub fn rejected_by(self, host: HostName) -> Self {
        Self { rejected_by: Some(host), ..self }
    }

    /// The class that the scheduler sees.
    pub fn class(&self) -> FailureClass {
        match self.kind {
            TransportErrorKind::Unreachable => FailureClass::Unreachable,
            TransportErrorKind::AuthRejected => FailureClass::AuthRejected,
            TransportErrorKind::Throttled => FailureClass::Throttled,
            TransportErrorKind::TimedOut => FailureClass::TimedOut,
            TransportErrorKind::InDoubt => FailureClass::InDoubt,
            TransportErrorKind::Refused => FailureClass::Refused,
            TransportErrorKind::NotFound
            | TransportErrorKind::AccessDenied
            | TransportErrorKind::SharingViolation
            | TransportErrorKind::AlreadyExists
            | TransportErrorKind::Conflict
            | TransportErrorKind::Fault => FailureClass::RemoteFault,
        }
    }
}

impl From<TransportError> for StepFailure {
    fn from(error: TransportError) -> Self {
        let failure = Self::from_error(error.class(), &error);
        Self { rejected_by: error.rejected_by, ..failure }
    }
}
