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
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, RwLock};

use crate::model::{Credential, CredentialVersion, HostName, Rejection};
use crate::transport::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, HttpAnswer, HttpForm, HttpRequest,
    ReadSql, Target, TransportError, TransportErrorKind,
};

/// How long to wait before asking again whether another process has made its first logon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

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
struct NoBook;

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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
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

    fn target(number: usize, password: &str) -> Target {
        Target {
            host: HostName::new(format!("ps-{number:03}")),
            address: "127.0.0.1".to_owned(),
            port: 1,
            credential: Credential {
                user: "CORP\\admin".to_owned(),
                password: Secret::new(password.to_owned()),
            },
            option: None,
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_wrong_password_reaches_one_host_of_a_whole_fleet() {
        let inner = Arc::new(WrongPassword(AtomicUsize::new(0)));
        let guarded = GuardedConnector::new(Arc::clone(&inner) as Arc<dyn Connector>);
        let targets: Vec<Target> = (0..1000).map(|number| target(number, "wrong")).collect();

        let logons = targets.iter().map(|target| guarded.shell(target, soon()));
        let results = futures::future::join_all(logons).await;

        assert_eq!(inner.0.load(Ordering::Relaxed), 1);
        assert!(results.iter().all(is_rejection));
    }

    /// A book in memory that two guards share, as two processes share a state directory.
    #[derive(Default)]
    struct SharedBook {
        rejected: std::sync::Mutex<HashMap<CredentialVersion, Rejection>>,
        first: Arc<Mutex<()>>,
        is_lost: std::sync::atomic::AtomicBool,
    }

    impl RejectionBook for SharedBook {
        fn version(&self, credential: &Credential) -> CredentialVersion {
            NoBook.version(credential)
        }

        fn rejection(&self, version: &CredentialVersion) -> Result<Option<Rejection>, BookError> {
            if self.is_lost.load(Ordering::Relaxed) {
                return Err("the disk is gone".into());
            }
            Ok(self.rejected.lock().expect("a lock").get(version).cloned())
        }

        fn reject(
            &self,
            version: &CredentialVersion,
            host: &HostName,
            said: &str,
        ) -> Result<(), BookError> {
            let (host, said) = (host.clone(), said.to_owned());
            let rejection = Rejection { host, since: jiff::Timestamp::UNIX_EPOCH, said };
            self.rejected.lock().expect("a lock").insert(version.clone(), rejection);
            Ok(())
        }

        fn first_logon(&self, _: &CredentialVersion) -> Result<Option<FirstLogonRight>, BookError> {
            let right = Arc::clone(&self.first).try_lock_owned().ok();
            Ok(right.map(|right| Box::new(right) as FirstLogonRight))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_that_begin_together_send_a_wrong_password_once() {
        let inner = Arc::new(WrongPassword(AtomicUsize::new(0)));
        let book = Arc::new(SharedBook::default());
        let guard = || {
            let (inner, book) = (Arc::clone(&inner), Arc::clone(&book));
            GuardedConnector::with_book(inner, book)
        };
        let (one, other) = (guard(), guard());
        let (first, second) = (target(1, "wrong"), target(2, "wrong"));

        let (a, b) = tokio::join!(one.shell(&first, soon()), other.shell(&second, soon()));

        assert!(is_rejection(&a) && is_rejection(&b));
        assert_eq!(inner.0.load(Ordering::Relaxed), 1);
        let later = guard().shell(&first, soon()).await;
        let Err(refused) = later else { panic!("it was tried again") };
        assert!(
            refused.to_string().contains("rejected the credential of CORP\\admin"),
            "{refused}"
        );
        assert_eq!(inner.0.load(Ordering::Relaxed), 1, "a later process does not try it either");

        let _rejected = guard().shell(&target(3, "another"), soon()).await;
        assert_eq!(inner.0.load(Ordering::Relaxed), 2, "another secret is another credential");
    }

    /// Accepts the first logon, which takes a while, and rejects all others.
    struct AcceptsOne(AtomicUsize);

    #[async_trait]
    impl Connector for AcceptsOne {
        async fn shell(
            &self,
            target: &Target,
            deadline: Deadline,
        ) -> Result<Box<dyn ChangeShell>, TransportError> {
            WrongPassword(AtomicUsize::new(0)).shell(target, deadline).await
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

        async fn post_form(
            &self,
            target: &Target,
            _: &HttpForm,
            _: Deadline,
        ) -> Result<HttpAnswer, TransportError> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(HttpAnswer { status: 200, ..HttpAnswer::default() });
            }
            Err(TransportError::new(
                TransportErrorKind::AuthRejected,
                format!("{} rejected the logon", target.host),
            ))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejection_after_the_first_logon_succeeded_is_kept_as_well() {
        let inner = Arc::new(AcceptsOne(AtomicUsize::new(0)));
        let book = Arc::new(SharedBook::default());
        let shared = Arc::clone(&book) as Arc<dyn RejectionBook>;
        let guarded = GuardedConnector::with_book(Arc::clone(&inner) as Arc<dyn Connector>, shared);
        let (first, second, third) = (target(1, "x"), target(2, "x"), target(3, "x"));
        let form = HttpForm { path: "/page", fields: Vec::new() };

        // The second one waits for the first, and goes when that has succeeded.
        let (accepted, rejected) = tokio::join!(
            guarded.post_form(&first, &form, soon()),
            guarded.post_form(&second, &form, soon()),
        );
        let refused = guarded.post_form(&third, &form, soon()).await;

        assert!(accepted.is_ok() && is_rejection(&rejected) && is_rejection(&refused));
        assert_eq!(inner.0.load(Ordering::Relaxed), 2, "the third is not tried");
        assert_eq!(book.rejected.lock().expect("a lock").len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_tried_while_nobody_knows_what_was_rejected() {
        let inner = Arc::new(WrongPassword(AtomicUsize::new(0)));
        let book = Arc::new(SharedBook::default());
        book.is_lost.store(true, Ordering::Relaxed);
        let guarded = GuardedConnector::with_book(Arc::clone(&inner) as Arc<dyn Connector>, book);

        let result = guarded.shell(&target(1, "x"), soon()).await;

        assert!(matches!(result, Err(error) if error.kind == TransportErrorKind::Refused));
        assert_eq!(inner.0.load(Ordering::Relaxed), 0);
    }
}
