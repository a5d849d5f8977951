//! Protects accounts from being locked: an unproven credential tries one host at a time, and a
//! rejected one is not tried again.
//!
//! A wrong password sent to every host of a fleet locks the account in the whole domain. So the
//! first logon of a credential is made alone, and after the first rejection nobody uses it any
//! more: not in this run, nor in others on this controller, until a person has dealt with it. That
//! is what a [`RejectionBook`] remembers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, RwLock};

use super::rejection_book::{BookError, FirstLogonRight, NoBook, RejectionBook};
use crate::model::{CredentialVersion, HostName};
use crate::transport::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, HttpAnswer, HttpForm, HttpRequest,
    LaterLogons, ReadSql, Target, TransportError, TransportErrorKind, WithheldLogon,
};

/// How long to wait before asking again whether another process has made its first logon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is known of a credential in this process.
#[derive(Debug, Default)]
struct Standing {
    /// Whether a host accepted it. Locked by the first logon, which is made alone.
    is_proven: RwLock<bool>,
    /// The first host that rejected it.
    rejected_by: OnceLock<HostName>,
}

/// A connector that guards the credentials of another one.
pub struct GuardedConnector {
    inner: Arc<dyn Connector>,
    book: Arc<dyn RejectionBook>,
    standings: Mutex<HashMap<CredentialVersion, Arc<Standing>>>,
}

impl GuardedConnector {
    /// Guards `inner` within this process.
    pub fn new(inner: Arc<dyn Connector>) -> Self {
        Self::with_book(inner, Arc::new(NoBook))
    }

    /// Guards `inner`, with what other processes know, and for them.
    pub fn with_book(inner: Arc<dyn Connector>, book: Arc<dyn RejectionBook>) -> Self {
        Self { inner, book, standings: Mutex::new(HashMap::new()) }
    }

    async fn standing(&self, version: &CredentialVersion) -> Arc<Standing> {
        let mut standings = self.standings.lock().await;
        Arc::clone(standings.entry(version.clone()).or_default())
    }

    /// Runs one logon. The first of a credential holds all others back until its outcome is known.
    async fn logon<T>(
        &self,
        target: &Target,
        deadline: Deadline,
        connect: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<T, TransportError> {
        let version = self.book.version(&target.credential);
        let standing = self.standing(&version).await;
        let too_long = |passed| {
            let operation = first_is_under_way(target);
            TransportError::caused_by(TransportErrorKind::TimedOut, operation, passed)
        };
        if *deadline.of(standing.is_proven.read()).await.map_err(too_long)? {
            return self.proven_logon(target, &version, &standing, connect).await;
        }
        let mut is_proven = deadline.of(standing.is_proven.write()).await.map_err(too_long)?;
        if *is_proven {
            drop(is_proven);
            return self.proven_logon(target, &version, &standing, connect).await;
        }
        refuse_known(target, &standing)?;
        let _right = self.first_logon(target, &version, deadline).await?;
        let result = self.proven_logon(target, &version, &standing, connect).await;
        *is_proven = result.is_ok();
        result
    }

    /// Runs a logon with a credential that another host accepted, or alone.
    async fn proven_logon<T>(
        &self,
        target: &Target,
        version: &CredentialVersion,
        standing: &Standing,
        connect: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<T, TransportError> {
        refuse_known(target, standing)?;
        self.refuse_rejected(target, version)?;
        let mut result = connect.await;
        if let Err(error) = &mut result
            && error.kind == TransportErrorKind::AuthRejected
        {
            standing.rejected_by.get_or_init(|| target.host.clone());
            error.rejected_by = Some(target.host.clone());
            self.keep(target, version, error);
        }
        result
    }

    /// Waits until no other process makes its first logon with the credential.
    async fn first_logon(
        &self,
        target: &Target,
        version: &CredentialVersion,
        deadline: Deadline,
    ) -> Result<FirstLogonRight, TransportError> {
        loop {
            let right = self.book.first_logon(version).map_err(|error| not_known(target, error))?;
            if let Some(right) = right {
                return Ok(right);
            }
            deadline.of(tokio::time::sleep(BETWEEN_LOOKS)).await.map_err(|passed| {
                TransportError::caused_by(
                    TransportErrorKind::TimedOut,
                    first_is_under_way(target),
                    passed,
                )
            })?;
        }
    }

    /// Refuses what was rejected in another run, now or before.
    fn refuse_rejected(
        &self,
        target: &Target,
        version: &CredentialVersion,
    ) -> Result<(), TransportError> {
        match self.book.rejection(version) {
            Ok(None) => Ok(()),
            Ok(Some(rejection)) => Err(TransportError::new(
                TransportErrorKind::AuthRejected,
                format!(
                    "did not log on to {}: {} rejected the credential of {} at {}, and trying again \
                     could lock the account",
                    target.host, rejection.host, target.credential.user, rejection.since
                ),
            )
            .rejected_by(rejection.host)),
            Err(error) => Err(not_known(target, error)),
        }
    }

    /// Keeps a rejection for other runs; where that fails, the error says so.
    fn keep(&self, target: &Target, version: &CredentialVersion, error: &mut TransportError) {
        let chain = std::iter::successors(std::error::Error::source(error), |error| error.source());
        let said: Vec<String> = chain.map(ToString::to_string).collect();
        if let Err(not_kept) = self.book.reject(version, &target.host, &said.join(": ")) {
            let told = format!("; other runs do not know it, because {not_kept}");
            error.operation.push_str(&told);
        }
    }
}

/// Guards the logons that a shell makes by itself, over new connections.
struct Later {
    book: Arc<dyn RejectionBook>,
    standing: Arc<Standing>,
    version: CredentialVersion,
    host: HostName,
    user: String,
}

impl LaterLogons for Later {
    fn ask(&self) -> Result<(), WithheldLogon> {
        let Self { host, user, .. } = self;
        let by = match self.standing.rejected_by.get() {
            Some(by) => Some(by.clone()),
            None => match self.book.rejection(&self.version) {
                Ok(rejection) => rejection.map(|rejection| rejection.host),
                Err(error) => {
                    let why = format!(
                        "did not log on to {host} again: whether the credential of {user} was \
                         rejected is not known: {error}"
                    );
                    return Err(WithheldLogon { why, by: None });
                }
            },
        };
        by.map_or(Ok(()), |by| {
            let why = format!(
                "did not log on to {host} again: {by} rejected the credential of {user}, and trying \
                 again could lock the account"
            );
            Err(WithheldLogon { why, by: Some(by) })
        })
    }

    fn rejected(&self, said: &str) {
        self.standing.rejected_by.get_or_init(|| self.host.clone());
        if let Err(error) = self.book.reject(&self.version, &self.host, said) {
            let host = self.host.as_str();
            tracing::error!(%error, host, "Other runs do not know that a logon was rejected");
        }
    }
}

fn first_is_under_way(target: &Target) -> String {
    format!(
        "could not log on to {}: the first logon with this credential is still under way",
        target.host
    )
}

/// Whether the credential was rejected before cannot be found out: it is not tried.
fn not_known(target: &Target, error: BookError) -> TransportError {
    let operation = format!(
        "did not log on to {}: whether the credential of {} was rejected before is not known",
        target.host, target.credential.user
    );
    TransportError::caused_by(TransportErrorKind::Refused, operation, error)
}

/// Refuses what was rejected in this process.
fn refuse_known(target: &Target, standing: &Standing) -> Result<(), TransportError> {
    let Some(by) = standing.rejected_by.get() else { return Ok(()) };
    let operation = format!(
        "did not log on to {}: {by} rejected the credential of {}, and trying again could lock the \
         account",
        target.host, target.credential.user
    );
    let error = TransportError::new(TransportErrorKind::AuthRejected, operation);
    Err(error.rejected_by(by.clone()))
}

#[async_trait]
impl Connector for GuardedConnector {
    async fn shell(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        let version = self.book.version(&target.credential);
        let standing = self.standing(&version).await;
        let later = Later {
            book: Arc::clone(&self.book),
            standing,
            version,
            host: target.host.clone(),
            user: target.credential.user.clone(),
        };
        let connect = self.inner.lasting_shell(target, Arc::new(later), deadline);
        self.logon(target, deadline, connect).await
    }

    async fn files(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError> {
        self.logon(target, deadline, self.inner.files(target, deadline)).await
    }

    async fn sql(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ReadSql>, TransportError> {
        self.logon(target, deadline, self.inner.sql(target, deadline)).await
    }

    async fn change_sql(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeSql>, TransportError> {
        self.logon(target, deadline, self.inner.change_sql(target, deadline)).await
    }

    async fn fetch(
        &self,
        request: &HttpRequest,
        deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        self.inner.fetch(request, deadline).await
    }

    async fn post_form(
        &self,
        target: &Target,
        form: &HttpForm,
        deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        self.logon(target, deadline, self.inner.post_form(target, form, deadline)).await
    }
}

#[cfg(test)]
mod tests;
