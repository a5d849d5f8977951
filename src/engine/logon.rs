//! Protects accounts from being locked: an unproven credential tries one host at a time, and a
//! rejected one is not tried again.
//!
//! A wrong password sent to every host of a fleet locks the account in the whole domain. So the
//! first logon of a credential is made alone, and after the first rejection nobody uses it any
//! more in this run.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, RwLock};

use crate::transport::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, HttpAnswer, HttpForm, HttpRequest,
    ReadSql, Target, TransportError, TransportErrorKind,
};

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
    standings: Mutex<HashMap<String, Arc<RwLock<Standing>>>>,
}

impl GuardedConnector {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn Connector>) -> Self {
        Self { inner, standings: Mutex::new(HashMap::new()) }
    }

    /// Runs one logon. The first of a credential holds all others back until its outcome is known.
    async fn logon<T>(
        &self,
        target: &Target,
        deadline: Deadline,
        connect: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<T, TransportError> {
        let standing = {
            let mut standings = self.standings.lock().await;
            let user = target.credential.user.to_lowercase();
            Arc::clone(
                standings.entry(user).or_insert_with(|| Arc::new(RwLock::new(Standing::Unproven))),
            )
        };
        let known = *standing.read().await;
        match known {
            Standing::Rejected => Err(rejected(target)),
            Standing::Proven => {
                let result = connect.await;
                if is_rejection(&result) {
                    *standing.write().await = Standing::Rejected;
                }
                result
            }
            Standing::Unproven => {
                let waiting = deadline.of(standing.write()).await;
                let mut alone = waiting.map_err(|passed| {
                    TransportError::caused_by(
                        TransportErrorKind::TimedOut,
                        format!(
                            "could not log on to {}: the first logon with this credential is \
                             still under way",
                            target.host
                        ),
                        passed,
                    )
                })?;
                match *alone {
                    Standing::Rejected => Err(rejected(target)),
                    Standing::Proven => {
                        drop(alone);
                        connect.await
                    }
                    Standing::Unproven => {
                        let result = connect.await;
                        if is_rejection(&result) {
                            *alone = Standing::Rejected;
                        } else if result.is_ok() {
                            *alone = Standing::Proven;
                        }
                        result
                    }
                }
            }
        }
    }
}

fn is_rejection<T>(result: &Result<T, TransportError>) -> bool {
    matches!(result, Err(error) if error.kind == TransportErrorKind::AuthRejected)
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::model::{Credential, HostName};
    use crate::secret::Secret;

    /// Rejects every logon and counts how many reached a host.
    struct WrongPassword(AtomicUsize);

    #[async_trait]
    impl Connector for WrongPassword {
        async fn shell(
            &self,
            target: &Target,
            _: Deadline,
        ) -> Result<Box<dyn ChangeShell>, TransportError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(TransportError::new(
                TransportErrorKind::AuthRejected,
                format!("{} rejected the logon", target.host),
            ))
        }

        async fn files(
            &self,
            _: &Target,
            _: Deadline,
        ) -> Result<Box<dyn ChangeFiles>, TransportError> {
            Err(TransportError::new(TransportErrorKind::Unreachable, "no files here"))
        }

        async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
            Err(TransportError::new(TransportErrorKind::Unreachable, "no SQL here"))
        }
    }

    #[tokio::test]
    async fn a_wrong_password_reaches_one_host_of_a_whole_fleet() {
        let inner = Arc::new(WrongPassword(AtomicUsize::new(0)));
        let guarded = GuardedConnector::new(Arc::clone(&inner) as Arc<dyn Connector>);
        let deadline = Deadline::after(Duration::from_secs(5));
        let targets: Vec<Target> = (0..1000)
            .map(|number| Target {
                host: HostName::new(format!("ps-{number:03}")),
                address: "127.0.0.1".to_owned(),
                port: 1,
                credential: Credential {
                    user: "CORP\\admin".to_owned(),
                    password: Secret::new("wrong".to_owned()),
                },
                option: None,
            })
            .collect();

        let logons = targets.iter().map(|target| guarded.shell(target, deadline));
        let results = futures::future::join_all(logons).await;

        assert_eq!(inner.0.load(Ordering::Relaxed), 1);
        assert!(results.iter().all(is_rejection));
    }
}
