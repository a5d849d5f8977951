//! Asks the CMDBs: what work there is, and whether it is done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use indexmap::IndexMap;

use super::config::{DriverConfig, Orders};
use crate::event::{NotReady, OracleReport, RunState};
use crate::host::{PairStatus, Session, readiness, work};
use crate::model::{
    FailureClass, Guid, Host, HostName, MatchedWork, PlayNo, StepFailure, WaveNo, WorkQuery,
    WorkRow, match_work,
};
use crate::transport::Deadline;

/// The longest that a CMDB may take for one question.
const QUESTION: Duration = Duration::from_secs(60);
/// Questions at one CMDB at a time: the default of the limit `cmdb`.
const AT_ONCE: usize = 2;

type CmdbSessions = Vec<(HostName, Arc<Session>)>;

/// The rows of a play's work query, by host.
pub(super) async fn find_work(
    config: &DriverConfig,
    sessions: &CmdbSessions,
    play: PlayNo,
) -> Result<MatchedWork, StepFailure> {
    let Orders::Playbook(playbook) = &config.orders else { return Ok(MatchedWork::default()) };
    let Some(play) = playbook.plays.get(usize::from(play.0)) else {
        return Ok(MatchedWork::default());
    };
    let Some(query) = play.work else { return Ok(MatchedWork::default()) };
    if sessions.is_empty() {
        return Err(StepFailure::new(
            FailureClass::Refused,
            "could not find the work: no host of the inventory has a `cmdb`",
        ));
    }
    let mut by_server: IndexMap<HostName, Vec<WorkRow>> = IndexMap::new();
    for (name, session) in sessions {
        let own = retrying(|deadline| async move {
            work(&session.reader(deadline, Arc::from([])), query).await
        })
        .await?;
        by_server.insert(name.clone(), own);
    }
    let hosts: Vec<Host> = config.hosts.values().cloned().collect();
    let is_meant = |name: &HostName| play.hosts.matches(name, &config.inventory);
    let is_within = |name: &HostName| {
        config.limit.as_ref().is_none_or(|limit| limit.matches(name, &config.inventory))
    };
    let mut matched = share_out(by_server, &hosts, is_meant);
    matched.by_host.retain(|name, _| is_within(name));
    Ok(matched)
}

/// Gives the rows to the hosts that a play means. Package servers get their own. Notification
/// Servers get all rows of their own CMDB, but in a play that means nothing else: one that is a
/// package server as well, among others, must not be repaired for the packages of all of them.
fn share_out(
    by_server: IndexMap<HostName, Vec<WorkRow>>,
    hosts: &[Host],
    is_meant: impl Fn(&HostName) -> bool,
) -> MatchedWork {
    let rows: Vec<WorkRow> = by_server.values().flatten().cloned().collect();
    // Rows meet all hosts of the inventory, so that the row of a host that this play leaves out is
    // told from that of a server that nobody knows.
    let mut matched = match_work(&rows, hosts);
    let is_for_servers = hosts
        .iter()
        .filter(|host| is_meant(&host.name))
        .all(|host| by_server.contains_key(&host.name));
    if is_for_servers {
        matched.by_host.extend(by_server);
    }
    matched.by_host.retain(|name, rows| !rows.is_empty() && is_meant(name));
    matched
}

/// The work list of the hosts that a play took.
pub(super) fn pairs_of(state: &RunState, play: PlayNo) -> Vec<(HostName, Vec<WorkRow>)> {
    let Some(play) = state.plays.get(&play) else { return Vec::new() };
    let Some(work) = &play.work else { return Vec::new() };
    play.hosts
        .keys()
        .filter_map(|host| Some((host.clone(), work.by_host.get(host)?.clone())))
        .collect()
}

/// The work list of the hosts of one wave.
pub(super) fn pairs_of_wave(
    state: &RunState,
    play: PlayNo,
    wave: WaveNo,
) -> Vec<(HostName, Vec<WorkRow>)> {
    let Some(hosts) = state.plays.get(&play).map(|play| &play.hosts) else { return Vec::new() };
    let mut pairs = pairs_of(state, play);
    pairs.retain(|(host, _)| hosts.get(host).is_some_and(|host| host.wave == wave));
    pairs
}

/// The query of a play's work.
pub(super) fn query_of(config: &DriverConfig, play: PlayNo) -> Option<WorkQuery> {
    match &config.orders {
        Orders::Playbook(playbook) => playbook.plays.get(usize::from(play.0))?.work,
        Orders::TakeBack(_) => None,
    }
}

/// Asks for every pair whether it is Ready with the current version, and no longer a row of the
/// work query where that asks for something else. A pair without a row is not, and neither is one
/// of whose rows any is not.
pub(super) async fn ask_oracle(
    sessions: &CmdbSessions,
    query: Option<WorkQuery>,
    pairs: Vec<(HostName, Vec<WorkRow>)>,
) -> Result<OracleReport, StepFailure> {
    let servers: IndexMap<Guid, ()> =
        pairs.iter().flat_map(|(_, rows)| rows).map(|row| (row.server.guid, ())).collect();
    let mut known: HashMap<(Guid, Guid), PairStatus> = HashMap::new();
    for (_, session) in sessions {
        let answers: Vec<(Guid, Vec<PairStatus>)> = futures::stream::iter(servers.keys().copied())
            .map(|server| async move {
                let pairs = retrying(|deadline| async move {
                    readiness(&session.reader(deadline, Arc::from([])), server).await
                })
                .await?;
                Ok::<_, StepFailure>((server, pairs))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for (server, pairs) in answers {
            for pair in pairs {
                let worst = known.entry((server, pair.package)).or_insert_with(|| pair.clone());
                if worst.is_ready() {
                    *worst = pair;
                }
            }
        }
    }
    let mut still = HashSet::new();
    if let Some(query) = query.filter(|query| query.outlasts_ready()) {
        for (_, session) in sessions {
            let rows = retrying(|deadline| async move {
                work(&session.reader(deadline, Arc::from([])), query).await
            })
            .await?;
            still.extend(rows.iter().map(|row| (row.server.guid, row.package)));
        }
    }
    Ok(judge(&pairs, &known, &still))
}

/// Compares the work list with what the CMDBs say; pairs in `still` are rows of the work query yet.
fn judge(
    pairs: &[(HostName, Vec<WorkRow>)],
    known: &HashMap<(Guid, Guid), PairStatus>,
    still: &HashSet<(Guid, Guid)>,
) -> OracleReport {
    let mut report = OracleReport::default();
    for (host, row) in pairs.iter().flat_map(|(host, rows)| rows.iter().map(move |r| (host, r))) {
        report.of += 1;
        let status = known.get(&(row.server.guid, row.package));
        let is_work = still.contains(&(row.server.guid, row.package));
        if !is_work && status.is_some_and(PairStatus::is_ready) {
            report.ready += 1;
            continue;
        }
        report.not_ready.push(NotReady {
            host: host.clone(),
            package: row.package,
            package_name: row.package_name.clone(),
            status: status.map(|pair| pair.status.clone().unwrap_or_default()),
            reported_version: status.and_then(|pair| pair.reported_version.clone()),
            current_version: status.and_then(|pair| pair.current_version.clone()),
            is_refused: status.is_some_and(PairStatus::is_refused),
        });
    }
    report
}

/// Asks a question that only reads, and once more when it lost against another transaction, or
/// when a connection that stood idle since the last question turned out to be gone.
pub(super) async fn retrying<T, F>(question: impl Fn(Deadline) -> F) -> Result<T, StepFailure>
where
    F: Future<Output = Result<T, StepFailure>>,
{
    const TRIES: u32 = 3;
    let mut tries = 0;
    loop {
        tries += 1;
        match question(Deadline::after(QUESTION)).await {
            Err(failure)
                if tries < TRIES
                    && matches!(
                        failure.class,
                        FailureClass::RemoteFault
                            | FailureClass::Unreachable
                            | FailureClass::InDoubt
                            | FailureClass::Throttled
                    ) =>
            {
                tokio::time::sleep(Duration::from_millis(200) * tries).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServerIdentity;

    fn row(server: u128, package: u128) -> WorkRow {
        WorkRow {
            server: ServerIdentity { guid: Guid::from_u128(server), name: None, fqdn: None },
            package: Guid::from_u128(package),
            package_name: None,
            status: "Invalid".to_owned(),
            current_version: Some("2".to_owned()),
            reported_version: Some("1".to_owned()),
        }
    }

    #[test]
    fn a_pair_without_a_row_is_not_ready() {
        let pairs = [(HostName::new("ps-01"), vec![row(1, 1), row(1, 2)])];
        let ready = PairStatus {
            package: Guid::from_u128(1),
            status: Some("Ready".to_owned()),
            reported_version: Some("2".to_owned()),
            current_version: Some("2".to_owned()),
        };
        let known = HashMap::from([((Guid::from_u128(1), Guid::from_u128(1)), ready)]);

        let report = judge(&pairs, &known, &HashSet::new());

        assert_eq!((report.ready, report.of), (1, 2));
        assert_eq!(report.not_ready[0].status, None);
    }

    #[test]
    fn a_pair_that_is_work_yet_is_not_well_although_it_is_ready() {
        let pairs = [(HostName::new("ps-01"), vec![row(1, 1)])];
        let key = (Guid::from_u128(1), Guid::from_u128(1));
        let ready = PairStatus {
            package: key.1,
            status: Some("Ready".to_owned()),
            reported_version: Some("2".to_owned()),
            current_version: Some("2".to_owned()),
        };
        let known = HashMap::from([(key, ready)]);

        assert_eq!(judge(&pairs, &known, &HashSet::from([key])).ready, 0);
        assert_eq!(judge(&pairs, &known, &HashSet::new()).ready, 1);
    }

    #[test]
    fn a_notification_server_gets_the_work_of_all_only_in_a_play_of_its_own() {
        let host = |name: &str, guid: u128| Host {
            name: HostName::new(name),
            groups: Arc::from([]),
            vars: Arc::new(
                [("itms_guid".to_owned(), serde_json::json!(Guid::from_u128(guid)))]
                    .into_iter()
                    .collect(),
            ),
        };
        // The Notification Server is a package server, too.
        let hosts = [host("smp01", 1), host("ps-01", 2)];
        let rows = || {
            let all = vec![row(1, 1), row(2, 2), row(2, 3)];
            IndexMap::from([(HostName::new("smp01"), all)])
        };
        let count = |work: &MatchedWork, name: &str| {
            work.by_host.get(&HostName::new(name)).map_or(0, Vec::len)
        };

        let servers = share_out(rows(), &hosts, |name| name.as_str() == "smp01");
        assert_eq!((count(&servers, "smp01"), count(&servers, "ps-01")), (3, 0));
        assert!(servers.unmatched.is_empty());

        let packages = share_out(rows(), &hosts, |_| true);
        assert_eq!((count(&packages, "smp01"), count(&packages, "ps-01")), (1, 2));
    }

    #[test]
    fn an_empty_work_list_counts_no_pair_as_ready() {
        assert_eq!(judge(&[], &HashMap::new(), &HashSet::new()), OracleReport::default());
    }
}
