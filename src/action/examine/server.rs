//! One package server: what WinRM tells, what SMB shows.

use std::sync::Arc;
use std::time::Duration;

use super::part::{contact, out_of_reach};
use super::{disk, shell};
use crate::host::{HostFacts, Reader};
use crate::itms::evidence::{Contact, Seen, ServerEvidence};
use crate::model::{FailureClass, StepFailure};
use crate::transport::security::Sid;

/// What each transport may take until its first answer, in the world's time.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// Examines the host as a package server. `account` is the credential whose rights are looked at,
/// `budget` how many bytes of content may be read.
///
/// # Errors
///
/// A rejected logon; a host that answers on no transport.
pub(super) async fn examine(
    account: Option<&str>,
    budget: u64,
    at: &Reader<'_>,
) -> Result<ServerEvidence, StepFailure> {
    let (mut evidence, facts) = over_winrm(at).await?;
    let mut sid = None;
    if let Some(account) = account {
        let can_ask = evidence.winrm == Contact::Answered;
        sid = Some(account_of(account, can_ask, at).await?);
    }
    if at.has_smb() {
        let usual = HostFacts::usual(at.host().name.as_str());
        let known = facts.as_deref().unwrap_or(&usual);
        let quick = at.at_most(FIRST_ANSWER);
        let looked = quick.files().metadata(&known.program_data).await.map_err(Into::into);
        evidence.smb = contact(&unless_rejected(looked)?);
        if evidence.smb == Contact::Answered {
            disk::examine(at, known, sid, budget, &mut evidence).await?;
        }
    }
    let contacts = [("WinRM", &evidence.winrm), ("SMB", &evidence.smb)];
    if contacts.iter().all(|(_, contact)| **contact != Contact::Answered) {
        return Err(out_of_reach(&at.host().name, &contacts));
    }
    Ok(evidence)
}

/// Examines the host's services, shares and tasks, and none of its files.
///
/// # Errors
///
/// A rejected logon; a host that does not answer over WinRM.
pub(super) async fn examine_services(at: &Reader<'_>) -> Result<ServerEvidence, StepFailure> {
    let (evidence, _) = over_winrm(at).await?;
    if evidence.winrm == Contact::Answered {
        Ok(evidence)
    } else {
        Err(out_of_reach(&at.host().name, &[("WinRM", &evidence.winrm)]))
    }
}

/// What WinRM tells, and the facts of the host.
async fn over_winrm(
    at: &Reader<'_>,
) -> Result<(ServerEvidence, Option<Arc<HostFacts>>), StepFailure> {
    let mut evidence = ServerEvidence {
        host: at.host().name.clone(),
        guid: at.host().guid(),
        ..ServerEvidence::default()
    };
    let mut facts: Option<Arc<HostFacts>> = None;
    if at.has_winrm() {
        let asked = unless_rejected(at.at_most(FIRST_ANSWER).facts().await)?;
        evidence.winrm = contact(&asked);
        facts = asked.ok();
    }
    if evidence.winrm == Contact::Answered {
        shell::examine(at, facts.as_deref(), &mut evidence).await?;
    }
    Ok((evidence, facts))
}

/// The account's name with its SID.
async fn account_of(
    account: &str,
    can_ask: bool,
    at: &Reader<'_>,
) -> Result<(String, Seen<Sid>), StepFailure> {
    let sid = if can_ask || account.parse::<Sid>().is_ok() {
        super::part::then(super::part::seen(at.account(account).await)?, |account| {
            Seen::Known(account.sid)
        })
    } else {
        Seen::Unreadable(format!("the SID of {account} could not be asked for"))
    };
    Ok((account.to_owned(), sid))
}

/// A rejected logon ends the examination; every other failure is kept.
fn unless_rejected<T>(
    result: Result<T, StepFailure>,
) -> Result<Result<T, StepFailure>, StepFailure> {
    match result {
        Err(failure) if failure.class == FailureClass::AuthRejected => Err(failure),
        other => Ok(other),
    }
}
