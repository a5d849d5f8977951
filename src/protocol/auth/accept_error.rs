//! Why an acceptor turned a token down.

use thiserror::Error;

/// Why an acceptor turned a token down. The connection cannot be authenticated any further with
/// the acceptor that returned it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The token does not follow its specification.
    #[error("could not read the security token: {0}")]
    Malformed(&'static str),
    /// The token asks for something this acceptor does not do, such as Kerberos or NTLMv1.
    #[error("could not accept the security token: {0} is not supported")]
    Unsupported(&'static str),
    /// There is no such account, or the password is wrong. A server answers both alike.
    #[error("could not log on {user:?} of domain {domain:?}: unknown user or wrong password")]
    LogonDenied {
        /// The domain the client named; may be empty.
        domain: String,
        /// The user the client named.
        user: String,
    },
    /// The password is right, but a message was changed on its way.
    #[error("could not verify the {0}: a message was altered")]
    Altered(&'static str),
    /// A token came that is not due, such as a second one after the end.
    #[error("could not accept the security token: {0}")]
    OutOfOrder(&'static str),
}

impl AcceptError {
    /// Whether the answer is "logon failure", in contrast to a broken or altered token.
    pub fn is_logon_denied(&self) -> bool {
        matches!(self, Self::LogonDenied { .. })
    }
}
