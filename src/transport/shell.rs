//! Constant scripts on a host; data travels beside the script, never in it.

use async_trait::async_trait;
use serde_json::Value;

use super::{Deadline, TransportError};

/// A constant script that only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadScript {
    /// Its name in messages and journals.
    pub name: &'static str,
    /// PowerShell 5.1. It reads one line of base64 JSON from standard input and writes one line
    /// `FLEETMEND:` and base64 JSON.
    pub text: &'static str,
}

/// A constant script that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeScript {
    /// Its name in messages and journals.
    pub name: &'static str,
    /// As in [`ReadScript::text`].
    pub text: &'static str,
}

/// Runs scripts that only read.
#[async_trait]
pub trait ReadShell: Send + Sync {
    /// Runs a script and returns the JSON it wrote.
    ///
    /// # Errors
    ///
    /// A script that ends with an exit code other than 0 or without a result is a `Fault` whose
    /// cause is its standard error.
    async fn read(
        &self,
        script: &ReadScript,
        input: &Value,
        deadline: Deadline,
    ) -> Result<Value, TransportError>;

    /// Deletes the shell on the host and closes the connection; harmless when already closed.
    async fn close(&self);
}

/// Runs scripts that change something, too.
#[async_trait]
pub trait ChangeShell: ReadShell {
    /// Runs a script and returns the JSON it wrote.
    ///
    /// # Errors
    ///
    /// As [`ReadShell::read`]; when the script may have run and its end was not seen, the kind is
    /// `InDoubt`. It is never sent twice.
    async fn change(
        &self,
        script: &ChangeScript,
        input: &Value,
        deadline: Deadline,
    ) -> Result<Value, TransportError>;

    /// The same shell with its reading half only.
    fn as_read(&self) -> &dyn ReadShell;
}
