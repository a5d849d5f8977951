//! A logon that was rejected, and the credential that it was made with.

use serde::{Deserialize, Serialize};

use super::HostName;

/// A user with one of the passwords that he had: another password is another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CredentialVersion {
    /// The user, in lower case: Windows does not tell cases apart.
    pub user: String,
    /// What tells the password from others without telling what it is; its meaning is that of who
    /// keeps it.
    pub hash: String,
}

/// A logon that was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The host that rejected it.
    pub host: HostName,
    /// When.
    pub since: jiff::Timestamp,
    /// What the host said: remote text.
    pub said: String,
}
