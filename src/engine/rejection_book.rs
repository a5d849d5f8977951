//! What is known of rejected credentials beyond one process.

use sha2::{Digest, Sha256};

use crate::model::{Credential, CredentialVersion, HostName, Rejection};

/// Why the book could not be used.
pub type BookError = Box<dyn std::error::Error + Send + Sync>;

/// The right to make the first logon with a credential, until it is dropped.
pub type FirstLogonRight = Box<dyn std::any::Any + Send>;

/// What is known of rejected credentials, beyond one process.
pub trait RejectionBook: Send + Sync {
    /// The version of a credential under which the book knows it.
    fn version(&self, credential: &Credential) -> CredentialVersion;

    /// The rejection of this version; none if it may be tried.
    ///
    /// # Errors
    ///
    /// The book cannot be read: then nothing is tried.
    fn rejection(&self, version: &CredentialVersion) -> Result<Option<Rejection>, BookError>;

    /// Keeps that a host rejected this version just now, and what it said.
    ///
    /// # Errors
    ///
    /// The book cannot be written.
    fn reject(
        &self,
        version: &CredentialVersion,
        host: &HostName,
        said: &str,
    ) -> Result<(), BookError>;

    /// Takes the right to make the first logon with this version; `None` while another process
    /// makes its own.
    ///
    /// # Errors
    ///
    /// The book cannot be used: then nothing is tried.
    fn first_logon(
        &self,
        version: &CredentialVersion,
    ) -> Result<Option<FirstLogonRight>, BookError>;
}

/// A book that ends with the process: what was rejected is kept by the guard itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NoBook;

impl RejectionBook for NoBook {
    fn version(&self, credential: &Credential) -> CredentialVersion {
        let hash = Sha256::digest(credential.password.expose().as_bytes());
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        CredentialVersion { user: credential.user.to_lowercase(), hash }
    }

    fn rejection(&self, _: &CredentialVersion) -> Result<Option<Rejection>, BookError> {
        Ok(None)
    }

    fn reject(&self, _: &CredentialVersion, _: &HostName, _: &str) -> Result<(), BookError> {
        Ok(())
    }

    fn first_logon(&self, _: &CredentialVersion) -> Result<Option<FirstLogonRight>, BookError> {
        Ok(Some(Box::new(())))
    }
}
