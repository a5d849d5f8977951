//! An examination by pairs: what the three truths (the row, the agent's list, the disk) say of each
//! package on each package server.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Expectations;
use super::names::{Names, Owner};
use crate::itms::PackageVersion;
use crate::itms::agent_evidence::is_downloading;
use crate::itms::evidence::{
    Contact, FleetEvidence, HeldPackage, LogFinding, NotificationServerEvidence, OfferedPackage,
    Origin, PackageOnDisk, Seen, ServerEvidence, SnapshotSeen, StatusRow,
};
use crate::itms::package_status::PackageState;
use crate::itms::signature::Signature;
use crate::model::{Guid, HostName};

/// A log speaks of the present for a day.
pub(super) const RECENT: u64 = 86_400;

/// An examination, indexed.
pub(super) struct Fleet<'a> {
    pub(super) taken: Timestamp,
    pub(super) expectations: &'a Expectations,
    pub(super) notification_servers: &'a [NotificationServerEvidence],
    pub(super) servers: Vec<Server<'a>>,
    /// By server, then by package.
    pub(super) pairs: Vec<Pair<'a>>,
    /// The pairs of each package that a Notification Server offers, by index.
    by_package: BTreeMap<(usize, Guid), Vec<usize>>,
    /// What a Notification Server says of servers that could be more than one of those examined: the
    /// row's server, and those that it could be. Nothing of it is counted.
    pub(super) ambiguous: BTreeMap<(usize, Guid), Ambiguous<'a>>,
}

/// Rows of a server that could be several.
pub(super) struct Ambiguous<'a> {
    pub(super) name: &'a str,
    pub(super) rows: usize,
    pub(super) servers: Vec<usize>,
}

/// A package server.
pub(super) struct Server<'a> {
    pub(super) seen: &'a ServerEvidence,
    /// The Notification Server whose rows speak of it, or the only one.
    pub(super) ns: Option<usize>,
    pub(super) guid: Option<Guid>,
    /// Indices of its pairs.
    pub(super) pairs: Vec<usize>,
}

/// A package on a package server.
pub(super) struct Pair<'a> {
    pub(super) server: usize,
    pub(super) package: Guid,
    pub(super) ns: Option<usize>,
    pub(super) offered: Option<&'a OfferedPackage>,
    /// Its rows; more than one is a finding of its own.
    pub(super) rows: Vec<&'a StatusRow>,
    pub(super) held: Option<&'a HeldPackage>,
    pub(super) disk: Option<&'a PackageOnDisk>,
    pub(super) agent: Agent,
    pub(super) symptoms: Vec<Symptom>,
}

/// What the agent says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agent {
    /// It was not asked, or its answer was not understood.
    NotSeen,
    /// Its list was read, and the package is not in it.
    Absent,
    Ready,
    Deleted,
    /// Pending, being downloaded, or tried again.
    Downloading(String),
    Invalid(String),
    /// A state that is not known to mean anything.
    Other(String),
}

/// A way in which a pair is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symptom {
    /// The agent has the current version as Ready, and the row does not say so.
    RowBehind,
    /// The agent has an old version as Ready.
    Behind,
    /// The package server has a newer version than the Notification Server.
    Ahead,
    Downloading,
    Invalid,
    OtherState,
    /// Ready, and listed files are not there.
    FilesMissing,
    /// Ready, and files differ from the snapshot.
    FilesDamaged,
    /// Ready, and there is no snapshot on the package server.
    NoSnapshot,
    /// The policy assigns it, and the agent does not have it.
    NotTaken,
    /// A row that is not Ready of a package that the policy does not assign.
    NotAssigned,
    /// The row is not Ready, and nothing was seen on the package server.
    NotSeen,
    /// The agent is removing it.
    BeingRemoved,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(now: &'a FleetEvidence, expectations: &'a Expectations) -> Self {
        let mut fleet = Self {
            taken: now.taken,
            expectations,
            notification_servers: &now.notification_servers,
            servers: Vec::new(),
            pairs: Vec::new(),
            by_package: BTreeMap::new(),
            ambiguous: BTreeMap::new(),
        };
        let names = Names::of(&now.servers);
        let mut rows: BTreeMap<(usize, Guid), (usize, Vec<&StatusRow>)> = BTreeMap::new();
        let mut ns_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut guids: BTreeMap<usize, Guid> = BTreeMap::new();
        // Of which servers the rows of which Notification Server speak.
        let mut spoken: BTreeSet<(usize, Guid)> = BTreeSet::new();
        for (ns, seen) in now.notification_servers.iter().enumerate() {
            for row in seen.rows.known().into_iter().flatten() {
                spoken.insert((ns, row.server));
                let server = match names.owner_of(row) {
                    Owner::Server(server) => server,
                    Owner::Nobody => continue,
                    Owner::Several { name, servers } => {
                        let fresh = || Ambiguous { name, rows: 0, servers };
                        fleet.ambiguous.entry((ns, row.server)).or_insert_with(fresh).rows += 1;
                        continue;
                    }
                };
                ns_of.entry(server).or_insert(ns);
                guids.entry(server).or_insert(row.server);
                rows.entry((server, row.package)).or_insert((ns, Vec::new())).1.push(row);
            }
        }
        let offers = offers(&now.notification_servers);
        for (number, seen) in now.servers.iter().enumerate() {
            let only = (now.notification_servers.len() == 1).then_some(0);
            let ns = ns_of.get(&number).copied().or(only);
            let mut packages: BTreeSet<Guid> = rows
                .range((number, Guid::from_u128(0))..)
                .map_while(|((server, package), _)| (*server == number).then_some(*package))
                .collect();
            packages.extend(seen.held.known().into_iter().flatten().map(|held| held.id).filter(
                // What is not offered any more is left over, and the agent removes it.
                |id| {
                    ns.is_none_or(|ns| {
                        now.notification_servers[ns].packages.known().is_none()
                            || offers.contains_key(&(ns, *id))
                    })
                },
            ));
            let mut server = Server {
                seen,
                ns,
                guid: seen.guid.or_else(|| guids.get(&number).copied()),
                pairs: Vec::new(),
            };
            let held = by_id(&seen.held, |held| held.id);
            let disks = by_id(&seen.on_disk, |disk| disk.id);
            for package in packages {
                let found = rows.remove(&(number, package));
                let ns = found.as_ref().map(|(ns, _)| *ns).or(ns);
                let mut pair = Pair {
                    server: number,
                    package,
                    ns,
                    offered: ns.and_then(|ns| offers.get(&(ns, package)).copied()),
                    rows: found.map(|(_, rows)| rows).unwrap_or_default(),
                    held: held.get(&package).copied(),
                    disk: disks.get(&package).copied(),
                    agent: Agent::NotSeen,
                    symptoms: Vec::new(),
                };
                pair.agent = pair.agent_in(seen);
                pair.symptoms = pair.symptoms_in(&server, &spoken);
                server.pairs.push(fleet.pairs.len());
                if let Some(ns) = pair.ns {
                    fleet.by_package.entry((ns, package)).or_default().push(fleet.pairs.len());
                }
                fleet.pairs.push(pair);
            }
            fleet.servers.push(server);
        }
        fleet
    }

    pub(super) fn host(&self, server: usize) -> &'a HostName {
        &self.servers[server].seen.host
    }

    /// The pairs of a server.
    pub(super) fn pairs_of(&self, server: usize) -> impl Iterator<Item = (usize, &Pair<'a>)> {
        self.servers[server].pairs.iter().map(|pair| (*pair, &self.pairs[*pair]))
    }

    /// The pairs of a package that a Notification Server offers.
    pub(super) fn pairs_of_package(
        &self,
        ns: usize,
        package: Guid,
    ) -> impl Iterator<Item = (usize, &Pair<'a>)> {
        let indices = self.by_package.get(&(ns, package)).into_iter().flatten();
        indices.map(|index| (*index, &self.pairs[*index]))
    }

    /// Every package that a Notification Server offers or speaks of.
    pub(super) fn offered(&self) -> impl Iterator<Item = (usize, &'a OfferedPackage)> {
        let servers = self.notification_servers.iter().enumerate();
        servers.flat_map(|(ns, seen)| {
            seen.packages.known().into_iter().flatten().map(move |package| (ns, package))
        })
    }

    /// A signature in a package server's log that speaks of the present.
    pub(super) fn recent(&self, server: usize, signature: Signature) -> Option<&'a LogFinding> {
        recent(&self.servers[server].seen.log, signature)
    }
}

/// A signature in a log, not older than a day where that can be told.
pub(super) fn recent(log: &Seen<Vec<LogFinding>>, signature: Signature) -> Option<&LogFinding> {
    let all = log.known()?;
    all.iter().find(|finding| {
        finding.signature == signature.name()
            && finding.seconds_ago.is_none_or(|seconds| seconds <= RECENT)
    })
}

fn offers(servers: &[NotificationServerEvidence]) -> BTreeMap<(usize, Guid), &OfferedPackage> {
    let mut offers = BTreeMap::new();
    for (ns, seen) in servers.iter().enumerate() {
        for package in seen.packages.known().into_iter().flatten() {
            offers.entry((ns, package.id)).or_insert(package);
        }
    }
    offers
}

/// What was seen, by package; the first where there are several.
pub(super) fn by_id<T>(seen: &Seen<Vec<T>>, id: impl Fn(&T) -> Guid) -> BTreeMap<Guid, &T> {
    let mut all = BTreeMap::new();
    for one in seen.known().into_iter().flatten() {
        all.entry(id(one)).or_insert(one);
    }
    all
}

impl<'a> Pair<'a> {
    /// Whether the package is gone from the Notification Server, and only rows are left.
    pub(super) fn is_gone(&self) -> bool {
        self.offered.is_some_and(is_gone)
    }

    /// The version that is current: that of the snapshot, which is what servers can get; else the
    /// CMDB's.
    pub(super) fn current(&self) -> Option<PackageVersion> {
        let offered = self.offered?;
        let of_snapshot =
            ns_snapshot(offered).and_then(|snapshot| version(snapshot.version.as_deref()));
        of_snapshot.or_else(|| version(offered.current_version.as_deref()))
    }

    /// The snapshot on the package server.
    pub(super) fn snapshot(&self) -> Option<&'a SnapshotSeen> {
        self.disk?.snapshot.known()?.as_ref()
    }

    /// The version of the snapshot on the package server.
    pub(super) fn disk_version(&self) -> Option<PackageVersion> {
        version(self.snapshot()?.version.as_deref())
    }

    /// The version that the agent says it has.
    pub(super) fn held_version(&self) -> Option<PackageVersion> {
        version(self.held?.version.as_deref())
    }

    /// The oldest version that anything on the package server shows.
    pub(super) fn version(&self) -> Option<PackageVersion> {
        self.disk_version().into_iter().chain(self.held_version()).min()
    }

    /// The row that counts: the best of them.
    pub(super) fn row(&self) -> Option<&'a StatusRow> {
        let is_best =
            |row: &&&StatusRow| (row_is_ready(row), version(row.reported_version.as_deref()));
        self.rows.iter().max_by_key(is_best).copied()
    }

    /// Whether the row says Ready with the current version, as far as versions are numbers.
    pub(super) fn row_is_current(&self) -> bool {
        let Some(row) = self.row().filter(|row| row_is_ready(row)) else { return false };
        match (version(row.reported_version.as_deref()), self.current()) {
            (Some(reported), Some(current)) => reported >= current,
            (None, _) | (_, None) => true,
        }
    }

    pub(super) fn is_well(&self) -> bool {
        self.symptoms.is_empty()
    }

    pub(super) fn has(&self, symptom: Symptom) -> bool {
        self.symptoms.contains(&symptom)
    }

    /// Files that the snapshot lists and that are not there; 0 where that was not seen.
    pub(super) fn missing(&self) -> usize {
        let content = self.disk.and_then(|disk| disk.content.known());
        content.map_or(0, |content| content.missing.len())
    }

    fn agent_in(&self, server: &ServerEvidence) -> Agent {
        let word_of_file =
            self.disk.and_then(|disk| disk.status_file.known()).and_then(|word| word.as_deref());
        // The agent's own clean-up must be seen wherever it shows.
        if word_of_file.is_some_and(|word| PackageState::of(word) == PackageState::Deleted) {
            return Agent::Deleted;
        }
        match (self.held, &server.held) {
            (Some(held), _) => agent_of(&held.status),
            (None, Seen::Known(_)) => Agent::Absent,
            (None, Seen::Unreadable(_) | Seen::NotAsked) => {
                word_of_file.map_or(Agent::NotSeen, agent_of)
            }
        }
    }

    /// `spoken` has the servers of which the rows of each Notification Server speak.
    fn symptoms_in(&self, server: &Server<'_>, spoken: &BTreeSet<(usize, Guid)>) -> Vec<Symptom> {
        if self.is_gone() {
            return Vec::new();
        }
        // Rows that could not be read say nothing; rows that were read and lack this pair do, as long
        // as they speak of the server at all.
        let speaks = self.ns.zip(server.guid).is_some_and(|key| spoken.contains(&key));
        let knows_rows = !self.rows.is_empty() || speaks;
        let row_is_wrong = knows_rows && !self.row_is_current();
        let is_behind = self.version().zip(self.current()).is_some_and(|(has, now)| has < now);
        let is_ahead = self.version().zip(self.current()).is_some_and(|(has, now)| has > now);
        match &self.agent {
            Agent::Downloading(_) => vec![Symptom::Downloading],
            Agent::Invalid(_) => vec![Symptom::Invalid],
            Agent::Other(_) => vec![Symptom::OtherState],
            Agent::Deleted => vec![Symptom::BeingRemoved],
            Agent::Absent => {
                let assigned =
                    server.seen.policy.known().and_then(|policy| policy.packages.as_ref());
                match assigned.map(|packages| packages.contains(&self.package)) {
                    Some(true) => vec![Symptom::NotTaken],
                    Some(false) | None if row_is_wrong => vec![Symptom::NotAssigned],
                    Some(false) | None => Vec::new(),
                }
            }
            Agent::Ready => self.symptoms_of_ready(row_is_wrong, is_behind, is_ahead),
            Agent::NotSeen => {
                let row_drifted = self.row().is_some_and(row_is_ready) && row_is_wrong;
                let is_seen = self.disk_version().is_some();
                match () {
                    () if is_behind || (row_drifted && !is_seen) => vec![Symptom::Behind],
                    () if row_is_wrong && is_seen && self.is_whole() => vec![Symptom::RowBehind],
                    () if row_is_wrong => vec![Symptom::NotSeen],
                    () => Vec::new(),
                }
            }
        }
    }

    fn symptoms_of_ready(
        &self,
        row_is_wrong: bool,
        is_behind: bool,
        is_ahead: bool,
    ) -> Vec<Symptom> {
        let mut symptoms = Vec::new();
        if is_behind {
            symptoms.push(Symptom::Behind);
        }
        if let Some(disk) = self.disk {
            if disk.snapshot == Seen::Known(None) {
                symptoms.push(Symptom::NoSnapshot);
            }
            if let Some(content) = disk.content.known() {
                if !content.missing.is_empty() {
                    symptoms.push(Symptom::FilesMissing);
                } else if !content.wrong_hash.is_empty() || !content.wrong_size.is_empty() {
                    symptoms.push(Symptom::FilesDamaged);
                }
            }
        }
        if symptoms.is_empty() && row_is_wrong {
            symptoms.push(if is_ahead { Symptom::Ahead } else { Symptom::RowBehind });
        }
        symptoms
    }

    /// Whether the content was compared and nothing is wrong with it.
    pub(super) fn is_whole(&self) -> bool {
        let content = self.disk.and_then(|disk| disk.content.known());
        content.is_some_and(|content| {
            content.missing.is_empty()
                && content.wrong_size.is_empty()
                && content.wrong_hash.is_empty()
        })
    }

    pub(super) fn name(&self) -> Option<&'a str> {
        let held = self.held.and_then(|held| held.name.as_deref());
        self.offered.and_then(|offered| offered.name.as_deref()).or(held)
    }

    /// The name for sentences: with the GUID where there is no name.
    pub(super) fn title(&self) -> String {
        self.name().map_or_else(|| self.package.to_string(), str::to_owned)
    }
}

/// Whether a package is gone, and only rows speak of it.
pub(super) fn is_gone(package: &OfferedPackage) -> bool {
    package.name.is_none() && package.current_version.is_none()
}

/// The snapshot of a package at the Notification Server.
pub(super) fn ns_snapshot(package: &OfferedPackage) -> Option<&SnapshotSeen> {
    package.snapshot.known()?.as_ref()
}

/// Whether a parent that exists is the authority on a package.
pub(super) fn is_of_parent(package: &OfferedPackage) -> bool {
    matches!(package.origin, Seen::Known(Origin::Foreign { is_live_parent: Some(true), .. }))
}

/// Whether it is known whose a package is: this server's, a parent's, or nobody's.
pub(super) fn is_owner_known(package: &OfferedPackage) -> bool {
    match &package.origin {
        Seen::Known(Origin::Local) => true,
        Seen::Known(Origin::Foreign { is_live_parent, .. }) => is_live_parent.is_some(),
        Seen::Unreadable(_) | Seen::NotAsked => false,
    }
}

pub(super) fn version(text: Option<&str>) -> Option<PackageVersion> {
    PackageVersion::parse(text?)
}

/// Whether a row says Ready.
pub(super) fn row_is_ready(row: &StatusRow) -> bool {
    row.status.as_deref().is_some_and(is_ready)
}

/// `Codebase Enabled` is how package status events say Ready (KB 179701).
fn is_ready(word: &str) -> bool {
    PackageState::of(word) == PackageState::Ready
        || word.trim().eq_ignore_ascii_case("codebase enabled")
}

pub(super) fn agent_of(word: &str) -> Agent {
    let word = word.trim();
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    match PackageState::of(word) {
        PackageState::Deleted => Agent::Deleted,
        _ if is_ready(word) => Agent::Ready,
        _ if is_downloading(word) => Agent::Downloading(word.to_owned()),
        _ if is("invalid") || is("not ready") => Agent::Invalid(word.to_owned()),
        _ if word.is_empty() => Agent::NotSeen,
        _ => Agent::Other(word.to_owned()),
    }
}

/// Whether no transport answered, and one failed.
pub(super) fn is_out_of_reach(server: &ServerEvidence) -> bool {
    let failed = |contact: &Contact| matches!(contact, Contact::Failed { .. });
    let answered = server.winrm == Contact::Answered || server.smb == Contact::Answered;
    !answered && (failed(&server.winrm) || failed(&server.smb))
}
