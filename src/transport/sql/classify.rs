//! What an error of the driver or the server means.
//!
//! A read changes nothing, so an answer that never came leaves nothing in doubt: it counts as
//! unreachable or timed out, and may be asked for again.

use tiberius::error::{Error, IoErrorKind};

use crate::transport::TransportErrorKind;

/// The kind of an error.
pub(super) fn kind_of(error: &Error) -> TransportErrorKind {
    match error {
        Error::Server(token) => kind_of_number(token.code()),
        Error::Io { kind: IoErrorKind::TimedOut, .. } => TransportErrorKind::TimedOut,
        Error::Io { .. } => TransportErrorKind::Unreachable,
        _ => TransportErrorKind::Refused,
    }
}

/// Whether the connection is of no more use. Up to class 19 the server goes on with the session.
pub(super) fn is_fatal(error: &Error) -> bool {
    !matches!(error, Error::Server(token) if token.class() < 20)
}

/// The kind of an error of the server, by its number in `sys.messages`.
fn kind_of_number(number: u32) -> TransportErrorKind {
    match number {
        // Login failed; account disabled, locked out, password expired, must be changed.
        18456 | 18470 | 18486 | 18487 | 18488 => TransportErrorKind::AuthRejected,
        // No such database for this login; no such object.
        4060 | 911 | 208 => TransportErrorKind::NotFound,
        // Permission denied on an object, a column, a statement, server state, a database; and
        // a server that takes no SQL logins.
        229 | 230 | 262 | 297 | 300 | 916 | 18452 => TransportErrorKind::AccessDenied,
        // Deadlock victim; lock request timed out.
        1205 | 1222 => TransportErrorKind::Conflict,
        // Out of memory, wait for memory, out of worker threads, limits of a hosted server.
        701 | 8645 | 8651 | 10928 | 10929 | 17189 | 17830 | 40197 | 40501 => {
            TransportErrorKind::Throttled
        }
        _ => TransportErrorKind::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rejected_logon_counts_as_one() {
        assert_eq!(kind_of_number(18456), TransportErrorKind::AuthRejected);
        assert_eq!(kind_of_number(4060), TransportErrorKind::NotFound);
        assert_eq!(kind_of_number(18452), TransportErrorKind::AccessDenied);
        assert_eq!(kind_of_number(1205), TransportErrorKind::Conflict);
        assert_eq!(kind_of_number(50_000), TransportErrorKind::Fault);
    }
}
