//! Protects accounts from being locked: an unproven credential tries one host at a time, and a
//! rejected one is not tried again.
//!
//! A wrong password sent to every host of a fleet locks the account in the whole domain. So the
//! first logon of a credential is made alone, and after the first rejection nobody uses it any
//! more: not in this run, nor in others on this controller, until a person has dealt with it. That
//! is what a [`RejectionBook`] remembers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, RwLock};

use super::rejection_book::{BookError, FirstLogonRight, NoBook, RejectionBook};
use crate::model::CredentialVersion;
use crate::transport::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, HttpAnswer, HttpForm, HttpRequest,
    ReadSql, Target, TransportError, TransportErrorKind,
};

/// How long to wait before asking again whether another process has made its first logon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is known of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Never used.
    Unproven,
    /// A host accepted it.
    Proven,
    /// A host rejected it.
    Rejected,
}

/// A connector that guards the credentials of another one.
pub struct GuardedConnector {
    inner: Arc<dyn Connector>,
    book: Arc<dyn RejectionBook>,
    standings: Mutex<HashMap<CredentialVersion, Arc<RwLock<Standing>>>>,
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

    /// Runs one logon. The first of a credential holds all others back until its outcome is known.
    async fn logon<T>(
        &self,
        target: &Target,
        deadline: Deadline,
        connect: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<T, TransportError> {
        let version = self.book.version(&target.credential);
        let standing = {
            let mut standings = self.standings.lock().await;
            let unproven = || Arc::new(RwLock::new(Standing::Unproven));
            Arc::clone(standings.entry(version.clone()).or_insert_with(unproven))
        };
        let known = *standing.read().await;
        match known {
            Standing::Rejected => Err(rejected(target)),
            Standing::Proven => self.proven_logon(target, &version, &standing, connect).await,
            Standing::Unproven => {
                let waiting = deadline.of(standing.write()).await;
                let mut alone = waiting.map_err(|passed| {
                    TransportError::caused_by(
                        TransportErrorKind::TimedOut,
                        first_is_under_way(target),
                        passed,
                    )
                })?;
                match *alone {
                    Standing::Rejected => Err(rejected(target)),
                    Standing::Proven => {
                        drop(alone);
                        self.proven_logon(target, &version, &standing, connect).await
                    }
                    Standing::Unproven => {
                        let _right = self.first_logon(target, &version, deadline).await?;
                        self.refuse_rejected(target, &version)?;
                        let mut result = connect.await;
                        if is_rejection(&result) {
                            *alone = Standing::Rejected;
                            self.keep(target, &version, &mut result);
                        } else if result.is_ok() {
                            *alone = Standing::Proven;
                        }
                        result
                    }
                }
            }
        }
    }

    /// Runs a logon with a credential that another host accepted.
    async fn proven_logon<T>(
        &self,
        target: &Target,
        version: &CredentialVersion,
        standing: &RwLock<Standing>,
        connect: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<T, TransportError> {
        self.refuse_rejected(target, version)?;
        let mut result = connect.await;
        if is_rejection(&result) {
            *standing.write().await = Standing::Rejected;
            self.keep(target, version, &mut result);
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
            )),
            Err(error) => Err(not_known(target, error)),
        }
    }

    /// Keeps a rejection for other runs; where that fails, the error says so.
    fn keep<T>(
        &self,
        target: &Target,
        version: &CredentialVersion,
        result: &mut Result<T, TransportError>,
    ) {
        let Err(error) = result else { return };
        let chain = std::iter::successors(std::error::Error::source(error), |error| error.source());
        let said: Vec<String> = chain.map(ToString::to_string).collect();
        if let Err(not_kept) = self.book.reject(version, &target.host, &said.join(": ")) {
            let told = format!("; other runs do not know it, because {not_kept}");
            error.operation.push_str(&told);
        }
    }
}

fn is_rejection<T>(result: &Result<T, TransportError>) -> bool {
    matches!(result, Err(error) if error.kind == TransportErrorKind::AuthRejected)
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

fn rejected(target: &Target) -> TransportError {
    TransportError::new(
        TransportErrorKind::AuthRejected,
        format!(
            "did not log on to {}: the credential of {} was rejected elsewhere, and trying again \
             could lock the account",
            target.host, target.credential.user
        ),
    )
}

#[async_trait]
impl Connector for GuardedConnector {
    async fn shell(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        self.logon(target, deadline, self.inner.shell(target, deadline)).await
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
