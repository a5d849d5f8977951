//! Logons that a connection makes after its first one: a shell outlives the connections that it goes
//! over, and each of them is a logon of its own.

use thiserror::Error;

use crate::model::HostName;

/// Asked before a further logon is made, and told when it was rejected. What it says holds for all
/// who use the credential: one rejection is enough, another one could lock the account.
pub trait LaterLogons: Send + Sync {
    /// Whether another logon may be made.
    ///
    /// # Errors
    ///
    /// It may not.
    fn ask(&self) -> Result<(), WithheldLogon>;

    /// The host rejected one; what it said.
    fn rejected(&self, said: &str);
}

/// A logon was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct WithheldLogon {
    /// Why not: one lower-case phrase.
    pub why: String,
    /// The host that rejected the credential; none where nobody knows whether one did.
    pub by: Option<HostName>,
}
