//! One Notification Server: the CMDB, its snapshots, its log and its queue.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answers::{DISPATCHER_SERVICE, ServerAnswer};
use super::disk::{age, entries, file_in, root};
use super::part::{contact, out_of_reach, seen, then};
use super::{cmdb, log, packages, shell};
use crate::action::scripts::EXAMINE_SERVER;
use crate::host::{HostFacts, Reader, Role, servers_in_sites};
use crate::itms::evidence::{
    Contact, EventQueue, LogFinding, NotificationServerEvidence, OfferedPackage, QueueSample, Seen,
    StatusRow,
};
use crate::itms::signature::Signature;
use crate::model::{FailureClass, Guid, ReadOnlySelect, StepFailure, WindowsPath};

/// How many snapshots are read.
const MOST_SNAPSHOTS: usize = 512;
/// Between two looks at the event queue, in the world's time: one that drains has moved on then.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// What a transport may take until its first answer, in the world's time.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// Examines the host as a Notification Server.
///
/// # Errors
///
/// A rejected logon; a server that answers on no transport.
pub(super) async fn examine(at: &Reader<'_>) -> Result<NotificationServerEvidence, StepFailure> {
    let mut evidence = NotificationServerEvidence {
        host: at.host().name.clone(),
        ..NotificationServerEvidence::default()
    };
    let mut winrm = Contact::NotTried;
    let mut facts = None;
    if at.has_winrm() {
        let asked = match at.at_most(FIRST_ANSWER).facts().await {
            Err(failure) if failure.class == FailureClass::AuthRejected => return Err(failure),
            asked => asked,
        };
        winrm = contact(&asked);
        facts = asked.ok();
    }
    let asked_at = Instant::now();
    if winrm == Contact::Answered {
        services(at, &mut evidence).await?;
    }
    evidence.rows = cmdb::status_rows(at).await?;
    evidence.packages = cmdb::offered(at).await?;
    versions(at, &mut evidence).await?;
    evidence.servers_with_site = sites(at).await?;
    let usual = HostFacts::usual(at.host().name.as_str());
    let known = facts.as_deref().unwrap_or(&usual);
    let now = || {
        let passed = at.scale().to_world(asked_at.elapsed());
        facts.as_deref().and_then(|facts| facts.time_utc?.checked_add(passed).ok())
    };
    let first = look_at_queue(at, known, now()).await?;
    let mut smb = Contact::NotTried;
    if at.has_smb() {
        let looked = at.at_most(FIRST_ANSWER).files().metadata(&known.program_data).await;
        let looked = looked.map_err(StepFailure::from);
        if let Err(failure) = &looked
            && failure.class == FailureClass::AuthRejected
        {
            return Err(failure.clone());
        }
        smb = contact(&looked);
    }
    if smb == Contact::Answered {
        evidence.log = match file_in(at, Role::NsLog, known, "a.log").await? {
            Seen::Known(path) => log::findings(at, &path).await?,
            other => then(other, |_| Seen::NotAsked),
        };
        snapshots(at, known, &mut evidence).await?;
    }
    evidence.queue = match first {
        Seen::Known(first) => {
            let second = if at.pause(BETWEEN_LOOKS).await {
                look_at_queue(at, known, now()).await?.known().cloned()
            } else {
                None
            };
            Seen::Known(EventQueue { first, second })
        }
        Seen::Unreadable(why) => Seen::Unreadable(why),
        Seen::NotAsked => Seen::NotAsked,
    };
    let has_cmdb = [is_known(&evidence.rows), is_known(&evidence.packages)].contains(&true);
    if !has_cmdb && winrm != Contact::Answered && smb != Contact::Answered {
        return Err(out_of_reach(&at.host().name, &[("WinRM", &winrm), ("SMB", &smb)]));
    }
    complete(&mut evidence);
    Ok(evidence)
}

fn is_known<T>(seen: &Seen<T>) -> bool {
    matches!(seen, Seen::Known(_))
}

async fn services(
    at: &Reader<'_>,
    evidence: &mut NotificationServerEvidence,
) -> Result<(), StepFailure> {
    match shell::ask::<ServerAnswer>(at, &EXAMINE_SERVER, &json!({})).await? {
        Seen::Known(answer) => {
            evidence.dispatcher =
                then(answer.service(DISPATCHER_SERVICE), |service| match service {
                    Some(service) => Seen::Known(service),
                    None => Seen::Unreadable(format!("there is no service {DISPATCHER_SERVICE}")),
                });
            evidence.current_agent_version = answer.agent_package();
        }
        Seen::Unreadable(why) => evidence.dispatcher = Seen::Unreadable(why),
        Seen::NotAsked => {}
    }
    Ok(())
}

/// The servers that are in a site, where the inventory says how to read that (`site_query` of
/// `cmdb`): where the product keeps it is not published.
async fn sites(at: &Reader<'_>) -> Result<Seen<Vec<Guid>>, StepFailure> {
    let query = at.host().vars.get("cmdb").and_then(|cmdb| cmdb.get("site_query"));
    let Some(text) = query.and_then(Value::as_str) else { return Ok(Seen::NotAsked) };
    match ReadOnlySelect::new(text, &["ServerGuid", "Site"]) {
        Ok(select) => seen(servers_in_sites(at, &select).await),
        Err(why) => Ok(Seen::Unreadable(format!("`site_query` is refused: {why}"))),
    }
}

/// The agent that the server hands out is current; where it does not tell, the newest that any
/// computer reports.
async fn versions(
    at: &Reader<'_>,
    evidence: &mut NotificationServerEvidence,
) -> Result<(), StepFailure> {
    let (agent, plugin) = match cmdb::versions(at).await? {
        Seen::Known(newest) => (newest.agent, newest.plugin),
        Seen::Unreadable(_) | Seen::NotAsked => (None, None),
    };
    if evidence.current_agent_version.known().is_none()
        && let Some(agent) = agent
    {
        evidence.current_agent_version = Seen::Known(agent);
    }
    evidence.current_plugin_version = plugin.map_or(Seen::NotAsked, Seen::Known);
    Ok(())
}

/// One look at the queue. Without the server's clock there is no telling when it was.
async fn look_at_queue(
    at: &Reader<'_>,
    facts: &HostFacts,
    now: Option<Timestamp>,
) -> Result<Seen<QueueSample>, StepFailure> {
    let length = cmdb::queue(at).await?;
    let oldest = if at.has_smb() { oldest_file(at, facts, now).await? } else { None };
    Ok(then(length, |(entries, oldest_id)| match now {
        Some(at) => {
            Seen::Known(QueueSample { at, entries, oldest_id, oldest_file_seconds: oldest })
        }
        None => Seen::Unreadable("the server's clock is not known".to_owned()),
    }))
}

/// The age of the oldest file in the queue's folders (KB 205352); none where it was not read.
async fn oldest_file(
    at: &Reader<'_>,
    facts: &HostFacts,
    now: Option<Timestamp>,
) -> Result<Option<u64>, StepFailure> {
    let Seen::Known(folder) = root(&at.at_most(FIRST_ANSWER), Role::NsQueue, facts).await? else {
        return Ok(None);
    };
    let Seen::Known(queues) = entries(at, &folder).await? else { return Ok(None) };
    let mut oldest: Option<u64> = None;
    for queue in queues.iter().filter(|entry| entry.attributes.is_directory()) {
        let Ok(path) = folder.join(&queue.name) else { continue };
        let Seen::Known(files) = entries(at, &path).await? else { continue };
        let files = files.iter().filter(|entry| !entry.attributes.is_directory());
        let first = files.map(|entry| entry.modified).min();
        oldest = oldest.into_iter().chain(first).min();
    }
    Ok(oldest.and_then(|oldest| age(oldest, now)))
}

/// Reads the snapshots of the packages that rows speak of.
async fn snapshots(
    at: &Reader<'_>,
    facts: &HostFacts,
    evidence: &mut NotificationServerEvidence,
) -> Result<(), StepFailure> {
    let spoken_of: BTreeSet<Guid> = spoken_of(&evidence.rows);
    let Seen::Known(offered) = &mut evidence.packages else { return Ok(()) };
    let folder = root(at, Role::NsSnapshots, facts).await?;
    let wanted = offered.iter_mut().filter(|package| spoken_of.contains(&package.id));
    for package in wanted.take(MOST_SNAPSHOTS) {
        if at.deadline().left() < at.scale().to_real(BETWEEN_LOOKS * 2) {
            return Ok(());
        }
        package.snapshot = match &folder {
            Seen::Known(folder) => {
                let name = format!("{}.xml", package.id);
                let path: Option<WindowsPath> = folder.join(&name).ok();
                match path {
                    Some(path) => packages::summary(&packages::snapshot(at, &path).await?),
                    None => Seen::NotAsked,
                }
            }
            Seen::Unreadable(why) => Seen::Unreadable(why.clone()),
            Seen::NotAsked => Seen::NotAsked,
        };
    }
    Ok(())
}

fn spoken_of(rows: &Seen<Vec<StatusRow>>) -> BTreeSet<Guid> {
    rows.known().into_iter().flatten().map(|row| row.package).collect()
}

/// Adds the packages that only rows speak of, and takes from the log which sources fail.
fn complete(evidence: &mut NotificationServerEvidence) {
    let rows = spoken_of(&evidence.rows);
    let failing = evidence.log.known().map(|findings| failing_sources(findings));
    let Seen::Known(packages) = &mut evidence.packages else { return };
    let offered: BTreeSet<Guid> = packages.iter().map(|package| package.id).collect();
    packages.extend(rows.difference(&offered).map(|id| OfferedPackage {
        id: *id,
        name: None,
        current_version: None,
        origin: Seen::NotAsked,
        snapshot: Seen::NotAsked,
        source_reachable: Seen::NotAsked,
    }));
    let Some(failing) = failing else { return };
    for package in packages.iter_mut().filter(|package| failing.contains(&package.id)) {
        package.source_reachable = Seen::Known(false);
    }
}

fn failing_sources(findings: &[LogFinding]) -> BTreeSet<Guid> {
    findings
        .iter()
        .filter(|finding| finding.signature == Signature::SourcePath.name())
        .flat_map(|finding| finding.packages.iter().copied())
        .collect()
}
