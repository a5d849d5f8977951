use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{Credential, HostName, Rejection};
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

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
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

fn is_rejection<T>(result: &Result<T, TransportError>) -> bool {
    matches!(result, Err(error) if error.kind == TransportErrorKind::AuthRejected)
}

/// The host that rejected a logon.
fn rejected_by<T>(result: &Result<T, TransportError>) -> Option<&str> {
    let error = result.as_ref().err()?;
    error.rejected_by.as_ref().map(HostName::as_str)
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
    let first = rejected_by(&results[0]).expect("it says by whom");
    assert!(results.iter().all(|result| rejected_by(result) == Some(first)));
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
    assert_eq!(rejected_by(&a), rejected_by(&b), "the same one");
    let later = guard().shell(&second, soon()).await;
    assert_eq!(rejected_by(&later), rejected_by(&a));
    let Err(refused) = later else { panic!("it was tried again") };
    assert!(refused.to_string().contains("rejected the credential of CORP\\admin"), "{refused}");
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

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
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
