//! How a session gets its connections.

use std::sync::Arc;

use async_trait::async_trait;

use super::http::not_offered;
use super::{
    ChangeFiles, ChangeShell, ChangeSql, Deadline, HttpAnswer, HttpForm, HttpRequest, LaterLogons,
    ReadSql, TransportError, TransportErrorKind,
};
use crate::model::{Credential, HostName};

/// Where and as whom to connect; made from a host's variables.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host, for messages.
    pub host: HostName,
    /// A DNS name or an address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// User and password.
    pub credential: Credential,
    /// For WinRM `negotiate` (default), `ntlm` or `basic`; for SQL the database's name.
    pub option: Option<String>,
}

/// Makes connections. The real one dials sockets; tests and the driver's laws use others.
#[async_trait]
pub trait Connector: Send + Sync {
    /// A WinRM shell on the target.
    async fn shell(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError>;

    /// The same for a shell that may log on again later: it asks before it does, and tells when that
    /// was rejected. A connector whose shells log on once need not say anything.
    async fn lasting_shell(
        &self,
        target: &Target,
        _later: Arc<dyn LaterLogons>,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        self.shell(target, deadline).await
    }

    /// The target's file system over SMB.
    async fn files(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError>;

    /// A read-only session with a SQL Server.
    async fn sql(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ReadSql>, TransportError>;

    /// A transaction at a SQL Server, begun on a connection of its own; the target's credential
    /// is the writer's.
    ///
    /// # Errors
    ///
    /// Refused by connectors that only read.
    async fn change_sql(
        &self,
        target: &Target,
        _deadline: Deadline,
    ) -> Result<Box<dyn ChangeSql>, TransportError> {
        let operation = format!("could not change the CMDB of {}", target.host);
        Err(TransportError::new(TransportErrorKind::Refused, operation))
    }

    /// Fetches something from a web server without a logon.
    ///
    /// # Errors
    ///
    /// An answer with any status is none; it is an error when there is no answer.
    async fn fetch(
        &self,
        _request: &HttpRequest,
        _deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        Err(not_offered())
    }

    /// Sends a form to a page of the target's web server, logged on with the target's credential.
    ///
    /// # Errors
    ///
    /// As [`Connector::fetch`]; when the form may have arrived and no answer came, the kind is
    /// `InDoubt`. It is never sent twice.
    async fn post_form(
        &self,
        _target: &Target,
        _form: &HttpForm,
        _deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        Err(not_offered())
    }
}
