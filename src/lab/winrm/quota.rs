//! What one user may have at a time.

use std::time::Duration;

/// The service's limits, by default those of Windows (`winrm get winrm/config`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// `MaxShellsPerUser`.
    pub shells_per_user: usize,
    /// `MaxProcessesPerShell`.
    pub processes_per_shell: usize,
    /// `MaxConcurrentOperationsPerUser`. A terminated command still counts until its shell is
    /// deleted ([MS-WSMV] product behaviour note 118).
    pub operations_per_user: usize,
    /// `MaxConnections`.
    pub connections: usize,
    /// How long a shell lives without a request when the client does not say.
    pub shell_idle: Duration,
    /// How long a connection may be silent between requests (HTTP.sys: 120 s).
    pub connection_idle: Duration,
    /// The longest a request is held when the client does not say (`MaxTimeoutms`).
    pub operation_timeout: Duration,
    /// `MaxEnvelopeSizekb` in bytes, for requests and answers.
    pub envelope: usize,
    /// Standard input of one command, in bytes.
    pub input: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            shells_per_user: 30,
            processes_per_shell: 25,
            operations_per_user: 1_500,
            connections: 300,
            shell_idle: Duration::from_secs(7_200),
            connection_idle: Duration::from_secs(120),
            operation_timeout: Duration::from_secs(60),
            envelope: 512_000,
            input: 16 * 1024 * 1024,
        }
    }
}
