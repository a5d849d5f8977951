//! What SMB shows of a package server: its stores, policy, lists and log.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::log;
use super::packages::{self, Store};
use super::part::{seen, then, understood};
use super::rights::has_full_control;
use crate::host::{HostFacts, Reader, Role};
use crate::itms::evidence::{
    LogFinding, OutboundQueue, PolicySeen, Seen, ServerEvidence, StoreAccess,
};
use crate::itms::policy::read_policy;
use crate::itms::signature::Signature;
use crate::itms::urgent_list::read_urgent_list;
use crate::model::{Guid, StepFailure, WindowsPath};
use crate::transport::security::Sid;
use crate::transport::{DirectoryEntry, TransportError, TransportErrorKind};

/// The most bytes that are read of a policy, an urgent list.
const LARGEST: u64 = 16 << 20;

/// Fills in what lies on the disk. `account` is the credential whose rights are looked at,
/// `budget` how many bytes of content may be read.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn examine(
    at: &Reader<'_>,
    facts: &HostFacts,
    account: Option<(String, Seen<Sid>)>,
    budget: u64,
    evidence: &mut ServerEvidence,
) -> Result<(), StepFailure> {
    evidence.policy = policy(at, facts).await?;
    let delivery = root(at, Role::PsDelivery, facts).await?;
    let status = root(at, Role::PsStatus, facts).await?;
    evidence.urgent_list = urgent_list(at, &status).await?;
    let stored = guid_folders(at, &delivery).await?;
    let known = guid_folders(at, &status).await?;
    evidence.orphan_folders = orphans(&stored, &known);
    evidence.log = match file_in(at, Role::AgentLog, facts, "agent.log").await? {
        Seen::Known(path) => log::findings(at, &path).await?,
        Seen::Unreadable(why) => Seen::Unreadable(why),
        Seen::NotAsked => Seen::NotAsked,
    };
    evidence.outbound = outbound(at, facts, evidence.at).await?;
    let (account, sid) = match account {
        Some((account, Seen::Known(sid))) => (account, Some(sid)),
        Some((_, Seen::Unreadable(why))) => {
            evidence.store_access = Seen::Unreadable(why);
            (String::new(), None)
        }
        Some((_, Seen::NotAsked)) | None => (String::new(), None),
    };
    let Seen::Known(delivery) = delivery else {
        evidence.on_disk = then(delivery, |_| Seen::NotAsked);
        return Ok(());
    };
    if let Some(sid) = &sid {
        let rights = has_full_control(at, &delivery, sid).await?;
        evidence.store_access =
            then(rights, |has_full_control| Seen::Known(StoreAccess { account, has_full_control }));
    }
    let store = Store {
        delivery,
        status: status.known().cloned(),
        computer: facts.computer.clone(),
        shares: evidence.shares.known().cloned().unwrap_or_default(),
        sid,
        held_by_others: held_by_others(&evidence.log),
    };
    let held = &evidence.held;
    let folders = [stored.known(), known.known()].into_iter().flatten().flatten().copied();
    let ids: BTreeSet<Guid> =
        folders.chain(held.known().into_iter().flatten().map(|package| package.id)).collect();
    let seen = packages::examine(at, &store, held, &ids, budget).await?;
    evidence.on_disk = match stored {
        Seen::Unreadable(why) if seen.is_empty() => Seen::Unreadable(why),
        _ => Seen::Known(seen),
    };
    Ok(())
}

/// The packages of which the log says that their snapshot was held.
fn held_by_others(log: &Seen<Vec<LogFinding>>) -> BTreeSet<Guid> {
    let all = log.known().into_iter().flatten();
    let locked = all.filter(|finding| finding.signature == Signature::SnapshotLocked.name());
    locked.flat_map(|finding| finding.packages.iter().copied()).collect()
}

/// The folder of a role.
pub(super) async fn root(
    at: &Reader<'_>,
    role: Role,
    facts: &HostFacts,
) -> Result<Seen<WindowsPath>, StepFailure> {
    seen(at.root_by(role, facts).await.map(|root| root.path))
}

/// A file of a role's folder.
pub(super) async fn file_in(
    at: &Reader<'_>,
    role: Role,
    facts: &HostFacts,
    name: &str,
) -> Result<Seen<WindowsPath>, StepFailure> {
    let folder = root(at, role, facts).await?;
    Ok(then(folder, |folder| understood("the name of a file", folder.join(name))))
}

/// The content of a file; `Known(None)` when there is none.
pub(super) async fn file(
    at: &Reader<'_>,
    path: &WindowsPath,
    limit: u64,
) -> Result<Seen<Option<Vec<u8>>>, StepFailure> {
    seen(or_missing(at.files().read(path, limit).await))
}

/// What is not there is no failure.
pub(super) fn or_missing<T>(
    result: Result<T, TransportError>,
) -> Result<Option<T>, TransportError> {
    match result {
        Err(error) if error.kind == TransportErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The entries of a folder; none when it is not there.
pub(super) async fn entries(
    at: &Reader<'_>,
    path: &WindowsPath,
) -> Result<Seen<Vec<DirectoryEntry>>, StepFailure> {
    seen(or_missing(at.files().list(path).await).map(Option::unwrap_or_default))
}

/// The folders that are named by a GUID.
async fn guid_folders(
    at: &Reader<'_>,
    folder: &Seen<WindowsPath>,
) -> Result<Seen<BTreeSet<Guid>>, StepFailure> {
    let path = match folder {
        Seen::Known(path) => path,
        Seen::Unreadable(why) => return Ok(Seen::Unreadable(why.clone())),
        Seen::NotAsked => return Ok(Seen::NotAsked),
    };
    let listed = entries(at, path).await?;
    Ok(then(listed, |listed| {
        let named = listed
            .iter()
            .filter(|entry| entry.attributes.is_directory() && !entry.attributes.is_link())
            .filter_map(|entry| entry.name.parse().ok());
        Seen::Known(named.collect())
    }))
}

/// Folders of the package store without one of the same name in the status store.
fn orphans(stored: &Seen<BTreeSet<Guid>>, known: &Seen<BTreeSet<Guid>>) -> Seen<Vec<Guid>> {
    match (stored, known) {
        (Seen::Known(stored), Seen::Known(known)) => {
            Seen::Known(stored.difference(known).copied().collect())
        }
        (Seen::Unreadable(why), _) | (_, Seen::Unreadable(why)) => Seen::Unreadable(why.clone()),
        (Seen::NotAsked, _) | (_, Seen::NotAsked) => Seen::NotAsked,
    }
}

/// The policy of the agent's own Notification Server; where that is not known, the only policy.
async fn policy(at: &Reader<'_>, facts: &HostFacts) -> Result<Seen<PolicySeen>, StepFailure> {
    let folder = match root(at, Role::PsPolicies, facts).await? {
        Seen::Known(folder) => folder,
        other => return Ok(then(other, |_| Seen::NotAsked)),
    };
    let name = match facts.agent.as_ref().and_then(|agent| agent.ns.clone()) {
        Some(server) => format!("{server}.xml"),
        None => match entries(at, &folder).await? {
            Seen::Known(listed) => match only_policy(&listed) {
                Some(name) => name,
                None => {
                    let why = format!("there is not one policy alone in {folder}");
                    return Ok(Seen::Unreadable(why));
                }
            },
            other => return Ok(then(other, |_| Seen::NotAsked)),
        },
    };
    let path = match understood("the name of the policy", folder.join(&name)) {
        Seen::Known(path) => path,
        other => return Ok(then(other, |_: WindowsPath| Seen::NotAsked)),
    };
    let written = seen(at.files().metadata(&path).await)?;
    let written = written.known().and_then(Option::as_ref).and_then(|it| timestamp(it.modified));
    let bytes = file(at, &path, LARGEST).await?;
    Ok(then(bytes, |bytes| match bytes {
        None => Seen::Unreadable(format!("there is no {path}")),
        Some(bytes) => then(understood("the policy", read_policy(&bytes)), |policy| {
            Seen::Known(PolicySeen {
                written,
                packages: policy.packages,
                credential: policy.credential,
            })
        }),
    }))
}

fn only_policy(listed: &[DirectoryEntry]) -> Option<String> {
    let mut policies = listed.iter().filter(|entry| {
        !entry.attributes.is_directory() && entry.name.to_lowercase().ends_with(".xml")
    });
    let first = policies.next()?;
    policies.next().is_none().then(|| first.name.clone())
}

async fn urgent_list(
    at: &Reader<'_>,
    status: &Seen<WindowsPath>,
) -> Result<Seen<Vec<Guid>>, StepFailure> {
    let path = match status {
        Seen::Known(status) => understood("a name", status.join("UrgentList.xml")),
        Seen::Unreadable(why) => Seen::Unreadable(why.clone()),
        Seen::NotAsked => Seen::NotAsked,
    };
    let Seen::Known(path) = path else { return Ok(then(path, |_| Seen::NotAsked)) };
    let bytes = file(at, &path, LARGEST).await?;
    Ok(then(bytes, |bytes| match bytes {
        None => Seen::Known(Vec::new()),
        Some(bytes) => understood("UrgentList.xml", read_urgent_list(&bytes)),
    }))
}

/// The events that wait to be sent.
async fn outbound(
    at: &Reader<'_>,
    facts: &HostFacts,
    now: Option<Timestamp>,
) -> Result<Seen<OutboundQueue>, StepFailure> {
    let folder = match root(at, Role::AgentQueue, facts).await? {
        Seen::Known(folder) => folder,
        other => return Ok(then(other, |_| Seen::NotAsked)),
    };
    let listed = entries(at, &folder).await?;
    Ok(then(listed, |listed| {
        let files = || listed.iter().filter(|entry| !entry.attributes.is_directory());
        let oldest = files().map(|entry| entry.modified).min();
        Seen::Known(OutboundQueue {
            files: u32::try_from(files().count()).unwrap_or(u32::MAX),
            oldest_seconds: oldest.and_then(|oldest| age(oldest, now)),
        })
    }))
}

/// The moment of a FILETIME ([MS-DTYP] 2.3.3); none for 0, which means that nobody knows.
pub(super) fn timestamp(filetime: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(filetime / 10_000_000).ok()?.checked_sub(11_644_473_600)?;
    let part = i32::try_from(filetime % 10_000_000).ok()?;
    (filetime > 0).then(|| Timestamp::new(seconds, part * 100).ok()).flatten()
}

/// How many seconds ago a FILETIME was, by the host's own clock.
pub(super) fn age(filetime: u64, now: Option<Timestamp>) -> Option<u64> {
    let then = timestamp(filetime)?;
    u64::try_from(now?.as_second().saturating_sub(then.as_second())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::FileAttributes;

    #[test]
    fn a_filetime_is_a_moment_and_zero_is_none() {
        // 2005-09-27 15:05:44 UTC, the version of KB 180560.
        let filetime = (1_127_833_544 + 11_644_473_600) * 10_000_000 + 5_000_000;

        let at = timestamp(filetime).expect("a moment");
        assert_eq!(at.to_string(), "2005-09-27T15:05:44.5Z");
        let later = "2005-09-27T15:06:44.5Z".parse().ok();
        assert_eq!(age(filetime, later), Some(60));
        assert_eq!(age(filetime, None), None);
        assert_eq!(timestamp(0), None);
    }

    #[test]
    fn a_folder_without_a_status_is_an_orphan_only_when_both_were_read() {
        let [a, b] = [1, 2].map(Guid::from_u128);
        let known = |ids: &[Guid]| Seen::Known(ids.iter().copied().collect());

        assert_eq!(orphans(&known(&[a, b]), &known(&[b])), Seen::Known(vec![a]));
        let lost = Seen::Unreadable("no answer".to_owned());
        assert!(matches!(orphans(&known(&[a]), &lost), Seen::Unreadable(_)));
    }

    #[test]
    fn a_policy_is_found_without_its_server_only_when_it_is_alone() {
        let entry = |name: &str| DirectoryEntry {
            name: name.to_owned(),
            size: 1,
            attributes: FileAttributes(0),
            modified: 1,
        };

        assert_eq!(only_policy(&[entry("smp01.XML"), entry("x.txt")]), Some("smp01.XML".into()));
        assert_eq!(only_policy(&[entry("a.xml"), entry("b.xml")]), None);
    }
}
