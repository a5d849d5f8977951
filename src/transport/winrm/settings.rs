//! Where and how to connect.

use std::time::Duration;

use super::{OutputLimits, WinRmError};
use crate::model::Credential;
use crate::transport::Target;

/// How the client authenticates; the names are those of `ansible_winrm_transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// NTLM inside SPNEGO.
    #[default]
    Negotiate,
    /// NTLM as it is.
    Ntlm,
    /// User and password in the clear: over TLS, or where it is explicitly allowed.
    Basic,
}

/// What carries the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// TCP; messages are sealed.
    #[default]
    Http,
    /// TLS.
    Https,
}

/// The settings of one host.
#[derive(Debug, Clone)]
pub struct WinRmSettings {
    /// The host, for messages.
    pub host: String,
    /// A DNS name or an address.
    pub address: String,
    /// The port: 5985 for HTTP, 5986 for HTTPS.
    pub port: u16,
    /// What carries the requests.
    pub scheme: Scheme,
    /// How to authenticate.
    pub authentication: Authentication,
    /// Allows [`Authentication::Basic`] over HTTP: password and data cross the network readable.
    pub allow_clear_text: bool,
    /// User and password.
    pub credential: Credential,
    /// How long a connection and its authentication may take.
    pub connect_timeout: Duration,
    /// How long the server may hold a request before it answers with a timed-out fault.
    pub operation_timeout: Duration,
    /// How much longer than [`Self::operation_timeout`] the client waits for an answer.
    pub answer_margin: Duration,
    /// Commands in one shell before it is replaced. `Terminate` does not give back what a command
    /// draws from `MaxConcurrentOperationsPerUser` (1500); deleting the shell does ([MS-WSMV]
    /// product behaviour note 118).
    pub commands_per_shell: u32,
    /// How much output of one command is taken.
    pub output: OutputLimits,
}

impl WinRmSettings {
    /// Settings with the usual times.
    pub fn new(address: impl Into<String>, port: u16, credential: Credential) -> Self {
        let address = address.into();
        Self {
            host: address.clone(),
            address,
            port,
            scheme: Scheme::Http,
            authentication: Authentication::Negotiate,
            allow_clear_text: false,
            credential,
            connect_timeout: Duration::from_secs(15),
            operation_timeout: Duration::from_secs(20),
            answer_margin: Duration::from_secs(10),
            commands_per_shell: 1_400,
            output: OutputLimits::default(),
        }
    }

    /// Settings for a target of the inventory. Port 5986 means HTTPS.
    ///
    /// # Errors
    ///
    /// An option that is not `negotiate`, `ntlm` or `basic`.
    pub fn for_target(target: &Target) -> Result<Self, WinRmError> {
        let authentication = match target.option.as_deref() {
            None | Some("negotiate") => Authentication::Negotiate,
            Some("ntlm") => Authentication::Ntlm,
            Some("basic") => Authentication::Basic,
            Some(other) => {
                return Err(WinRmError::Settings(format!(
                    "the WinRM transport {other:?} is not one of negotiate, ntlm, basic"
                )));
            }
        };
        Ok(Self {
            host: target.host.to_string(),
            authentication,
            scheme: if target.port == 5986 { Scheme::Https } else { Scheme::Http },
            ..Self::new(target.address.clone(), target.port, target.credential.clone())
        })
    }

    /// Refuses what would put a password on the network readable, and what is not built in.
    pub(super) fn check(&self) -> Result<(), WinRmError> {
        match (self.scheme, self.authentication) {
            (Scheme::Https, _) => Err(WinRmError::Tls(
                "this build speaks WinRM over HTTP with sealed messages, not over TLS".to_owned(),
            )),
            (Scheme::Http, Authentication::Basic) if !self.allow_clear_text => {
                Err(WinRmError::Settings(
                    "basic authentication over HTTP would send the password readable".to_owned(),
                ))
            }
            (Scheme::Http, _) => Ok(()),
        }
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub(super) fn authority(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}
