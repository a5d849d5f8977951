//! A shell that logs on again, after the password was changed meanwhile: one host sees the old
//! password once, and everybody knows of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fleetmend::engine::{BookError, FirstLogonRight, GuardedConnector, RejectionBook};
use fleetmend::model::{Credential, CredentialVersion, HostName, Rejection};
use fleetmend::transport::{
    Connector as _, NetworkConnector, Target, TransportError, TransportErrorKind,
};
use serde_json::json;

use super::ECHO;
use super::lab::{Lab, lab, soon};

/// What other runs would know.
#[derive(Default)]
struct Book(Mutex<BTreeMap<CredentialVersion, Rejection>>);

impl RejectionBook for Book {
    fn version(&self, credential: &Credential) -> CredentialVersion {
        CredentialVersion {
            user: credential.user.clone(),
            hash: credential.password.expose().len().to_string(),
        }
    }

    fn rejection(&self, version: &CredentialVersion) -> Result<Option<Rejection>, BookError> {
        Ok(self.0.lock().expect("a lock").get(version).cloned())
    }

    fn reject(
        &self,
        version: &CredentialVersion,
        host: &HostName,
        said: &str,
    ) -> Result<(), BookError> {
        let (host, said) = (host.clone(), said.to_owned());
        let rejection = Rejection { host, since: jiff::Timestamp::UNIX_EPOCH, said };
        self.0.lock().expect("a lock").entry(version.clone()).or_insert(rejection);
        Ok(())
    }

    fn first_logon(&self, _: &CredentialVersion) -> Result<Option<FirstLogonRight>, BookError> {
        Ok(Some(Box::new(())))
    }
}

fn target(lab: &Lab, host: &str) -> Target {
    let settings = lab.settings();
    Target {
        host: HostName::new(host),
        address: settings.address,
        port: settings.port,
        credential: settings.credential,
        option: None,
    }
}

fn rejected_by<T>(result: &Result<T, TransportError>) -> Option<&str> {
    let error = result.as_ref().err()?;
    assert_eq!(error.kind, TransportErrorKind::AuthRejected, "{error}");
    error.rejected_by.as_ref().map(HostName::as_str)
}

#[tokio::test]
async fn an_old_password_is_tried_once_by_all_shells_that_log_on_again_and_is_kept() {
    let lab = lab().await;
    let book = Arc::new(Book::default());
    let known = Arc::clone(&book) as Arc<dyn RejectionBook>;
    let guarded = GuardedConnector::with_book(Arc::new(NetworkConnector), known);
    let (one, other, third) =
        (target(&lab, "ps-one"), target(&lab, "ps-other"), target(&lab, "ps-third"));
    let shells = [
        guarded.shell(&one, soon()).await.expect("the password is right"),
        guarded.shell(&other, soon()).await.expect("the password is right"),
    ];
    for shell in &shells {
        shell.as_read().read(&ECHO, &json!({}), soon()).await.expect("it answers");
    }

    let lab = lab.with_another_password().await;
    let first = shells[0].as_read().read(&ECHO, &json!({}), soon()).await;
    let again = shells[0].as_read().read(&ECHO, &json!({}), soon()).await;
    let second = shells[1].as_read().read(&ECHO, &json!({}), soon()).await;
    let fresh = guarded.shell(&third, soon()).await;
    for shell in &shells {
        shell.as_read().close().await;
    }

    assert_eq!(rejected_by(&first), Some("ps-one"));
    assert_eq!(rejected_by(&again), Some("ps-one"));
    assert_eq!(rejected_by(&second), Some("ps-one"));
    assert_eq!(rejected_by(&fresh), Some("ps-one"));
    let counters = lab.front.counters();
    assert_eq!((counters.rejected, counters.logons), (1, 0), "the old password came once");
    let kept = book.0.lock().expect("a lock");
    let kept: Vec<&str> = kept.values().map(|rejection| rejection.host.as_str()).collect();
    assert_eq!(kept, ["ps-one"]);
}
