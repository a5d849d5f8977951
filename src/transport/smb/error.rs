//! What an SMB status means for this program.

use smb2::types::status::NtStatus;

use crate::transport::{TransportError, TransportErrorKind};

/// Whether an effect may have taken place when an operation ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been asked for that changes the host.
    Looking,
    /// The request that changes the host is on its way.
    Acting,
}

impl Phase {
    /// What a passed deadline means.
    pub(super) fn timeout(self) -> TransportErrorKind {
        match self {
            Self::Looking => TransportErrorKind::TimedOut,
            Self::Acting => TransportErrorKind::InDoubt,
        }
    }

    /// What a lost connection means.
    fn lost(self) -> TransportErrorKind {
        match self {
            Self::Looking => TransportErrorKind::Unreachable,
            Self::Acting => TransportErrorKind::InDoubt,
        }
    }
}

// [MS-ERREF] 2.3.1; those that `smb2` has no name for.
const NO_SUCH_USER: NtStatus = NtStatus(0xC000_0064);
const WRONG_PASSWORD: NtStatus = NtStatus(0xC000_006A);
const NO_LOGON_SERVERS: NtStatus = NtStatus(0xC000_005E);
const PRIVILEGE_NOT_HELD: NtStatus = NtStatus(0xC000_0061);
const LOGON_TYPE_NOT_GRANTED: NtStatus = NtStatus(0xC000_015B);
const TOO_MANY_SESSIONS: NtStatus = NtStatus(0xC000_00CE);
const IO_TIMEOUT: NtStatus = NtStatus(0xC000_00B5);

/// The kind of a status that the server answered with. A status is an answer: the server did not
/// do what it was asked.
pub(super) fn kind_of(status: NtStatus) -> TransportErrorKind {
    match status {
        NtStatus::LOGON_FAILURE
        | NtStatus::ACCOUNT_RESTRICTION
        | NtStatus::INVALID_LOGON_HOURS
        | NtStatus::INVALID_WORKSTATION
        | NtStatus::PASSWORD_EXPIRED
        | NtStatus::PASSWORD_MUST_CHANGE
        | NtStatus::ACCOUNT_DISABLED
        | NtStatus::ACCOUNT_EXPIRED
        | NtStatus::ACCOUNT_LOCKED_OUT
        | NO_SUCH_USER
        | WRONG_PASSWORD => TransportErrorKind::AuthRejected,
        NtStatus::ACCESS_DENIED
        | NtStatus::CANNOT_DELETE
        | LOGON_TYPE_NOT_GRANTED
        | PRIVILEGE_NOT_HELD => TransportErrorKind::AccessDenied,
        NtStatus::SHARING_VIOLATION | NtStatus::FILE_LOCK_CONFLICT | NtStatus::DELETE_PENDING => {
            TransportErrorKind::SharingViolation
        }
        NtStatus::NO_SUCH_FILE
        | NtStatus::OBJECT_NAME_NOT_FOUND
        | NtStatus::OBJECT_PATH_NOT_FOUND
        | NtStatus::BAD_NETWORK_NAME
        | NtStatus::NOT_FOUND => TransportErrorKind::NotFound,
        NtStatus::OBJECT_NAME_COLLISION => TransportErrorKind::AlreadyExists,
        NtStatus::INSUFF_SERVER_RESOURCES
        | NtStatus::INSUFFICIENT_RESOURCES
        | NtStatus::REQUEST_NOT_ACCEPTED
        | TOO_MANY_SESSIONS => TransportErrorKind::Throttled,
        NtStatus::NETWORK_SESSION_EXPIRED
        | NtStatus::NETWORK_NAME_DELETED
        | NtStatus::USER_SESSION_DELETED
        | NO_LOGON_SERVERS => TransportErrorKind::Unreachable,
        NtStatus::STOPPED_ON_SYMLINK | NtStatus::PATH_NOT_COVERED => TransportErrorKind::Refused,
        IO_TIMEOUT => TransportErrorKind::Fault,
        _ => TransportErrorKind::Fault,
    }
}

/// Turns an error of the client into ours.
pub(super) fn from_client(
    phase: Phase,
    operation: impl Into<String>,
    error: smb2::Error,
) -> TransportError {
    let kind = match &error {
        smb2::Error::Protocol { status, .. } => kind_of(*status),
        // A named account was answered with a guest session: what Samba's `map to guest` makes of a
        // wrong password.
        smb2::Error::GuestSessionRefused { .. } => TransportErrorKind::AuthRejected,
        smb2::Error::Timeout => phase.timeout(),
        // These two say that the request never left.
        smb2::Error::SendTimeout { .. } | smb2::Error::CreditStarvation { .. } => {
            TransportErrorKind::TimedOut
        }
        smb2::Error::ConnectFailed { .. } => TransportErrorKind::Unreachable,
        smb2::Error::Io(_)
        | smb2::Error::Disconnected
        | smb2::Error::SendFailed { .. }
        | smb2::Error::ServerUnresponsive { .. }
        | smb2::Error::SessionExpired
        | smb2::Error::HandleInvalidated { .. }
        | smb2::Error::Cancelled => phase.lost(),
        // What is left is an answer that breaks the protocol, or is not protected as it must be.
        // When it answers the request that acts, nobody knows what was done.
        _ => match phase {
            Phase::Looking => TransportErrorKind::Refused,
            Phase::Acting => TransportErrorKind::InDoubt,
        },
    };
    TransportError::caused_by(kind, operation, error)
}

#[cfg(test)]
mod tests {
    use smb2::types::Command;

    use super::*;

    fn status(phase: Phase, status: NtStatus) -> TransportErrorKind {
        let error = smb2::Error::Protocol { status, command: Command::SetInfo };
        from_client(phase, "could not x", error).kind
    }

    #[test]
    fn only_a_rejected_logon_is_a_rejected_logon() {
        for rejected in [
            NtStatus::LOGON_FAILURE,
            NtStatus::ACCOUNT_LOCKED_OUT,
            NtStatus::PASSWORD_EXPIRED,
            NtStatus::PASSWORD_MUST_CHANGE,
            NtStatus::ACCOUNT_DISABLED,
        ] {
            assert_eq!(status(Phase::Looking, rejected), TransportErrorKind::AuthRejected);
        }
        for other in [NtStatus::ACCESS_DENIED, LOGON_TYPE_NOT_GRANTED, NO_LOGON_SERVERS] {
            assert_ne!(status(Phase::Looking, other), TransportErrorKind::AuthRejected);
        }
    }

    #[test]
    fn a_refusal_of_the_request_that_acts_is_no_doubt_but_silence_is() {
        let acting = |error| from_client(Phase::Acting, "could not x", error).kind;

        assert_eq!(
            status(Phase::Acting, NtStatus::SHARING_VIOLATION),
            TransportErrorKind::SharingViolation
        );
        assert_eq!(acting(smb2::Error::Disconnected), TransportErrorKind::InDoubt);
        assert_eq!(acting(smb2::Error::Timeout), TransportErrorKind::InDoubt);
        assert_eq!(
            from_client(Phase::Looking, "could not x", smb2::Error::Disconnected).kind,
            TransportErrorKind::Unreachable
        );
    }
}
