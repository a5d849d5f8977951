//! What only several examinations tell: a download from a loop, and who makes it go round (KB 433153).
//!
//! Nothing changed and files are gone again: something outside of the product deletes them. The
//! version went up and the content is the same: the Notification Server makes new versions for
//! nothing. The content changed: that is what packages do.

use std::collections::BTreeMap;

use super::cause::{Answer, Cause, Place};
use super::fleet::{Agent, Fleet, Pair, Symptom, agent_of, by_id, ns_snapshot, version};
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::PackageVersion;
use crate::itms::evidence::{
    FleetEvidence, HeldPackage, OfferedPackage, PackageOnDisk, ServerEvidence, SnapshotSeen,
    TaskSeen,
};
use crate::itms::signature::Signature;
use crate::model::{Guid, HostName};

/// How many earlier examinations still say something of the present.
const LOOKS: usize = 8;

pub(super) fn causes(fleet: &Fleet<'_>, history: &History<'_>) -> Vec<Cause> {
    let mut causes: Vec<Cause> =
        fleet.offered().filter_map(|(ns, package)| churn(fleet, history, ns, package)).collect();
    let pairs = fleet.pairs.iter().enumerate();
    causes.extend(pairs.filter_map(|(index, pair)| deletion(fleet, history, index, pair)));
    causes
}

/// The earlier examinations that still say something, indexed.
pub(super) struct History<'a> {
    /// What each one saw on a server, oldest first.
    servers: BTreeMap<&'a HostName, Vec<Past<'a>>>,
    /// What each one saw offered, oldest first.
    offers: Vec<BTreeMap<&'a HostName, BTreeMap<Guid, &'a OfferedPackage>>>,
}

/// A server at an earlier examination.
struct Past<'a> {
    /// Its place in `offers`.
    look: usize,
    held: BTreeMap<Guid, &'a HeldPackage>,
    disk: BTreeMap<Guid, &'a PackageOnDisk>,
}

impl<'a> History<'a> {
    /// The last of those that are older than the fleet.
    pub(super) fn before(fleet: &Fleet<'_>, earlier: &'a [FleetEvidence]) -> Self {
        let mut before: Vec<&FleetEvidence> =
            earlier.iter().filter(|evidence| evidence.taken < fleet.taken).collect();
        before.sort_by_key(|evidence| evidence.taken);
        let recent = before.split_off(before.len().saturating_sub(LOOKS));
        let mut history = Self { servers: BTreeMap::new(), offers: Vec::new() };
        for (look, evidence) in recent.into_iter().enumerate() {
            let mut offers = BTreeMap::new();
            for seen in &evidence.notification_servers {
                offers.entry(&seen.host).or_insert_with(|| by_id(&seen.packages, |one| one.id));
            }
            history.offers.push(offers);
            for server in &evidence.servers {
                history.servers.entry(&server.host).or_default().push(Past {
                    look,
                    held: by_id(&server.held, |one| one.id),
                    disk: by_id(&server.on_disk, |one| one.id),
                });
            }
        }
        history
    }

    /// `ns` is the Notification Server that offers the package.
    fn looks(&self, host: &HostName, ns: Option<&HostName>, package: Guid) -> Vec<Look<'a>> {
        let servers = self.servers.get(host).into_iter().flatten();
        servers
            .map(|past| Look {
                current: ns.and_then(|ns| current(self.offers[past.look].get(ns)?.get(&package)?)),
                ..Look::of(past.held.get(&package).copied(), past.disk.get(&package).copied())
            })
            .collect()
    }

    /// Whether fewer files are missing than at an earlier look: a download that gets on.
    pub(super) fn gets_on(&self, host: &HostName, pair: &Pair<'_>) -> bool {
        let missing = pair.missing();
        self.looks(host, None, pair.package).iter().any(|look| {
            look.is_downloading()
                && look.missing.is_some_and(|before| before > missing && pair.disk.is_some())
        })
    }

    /// Whether files were missing before already, of the same snapshot and with the agent at rest.
    pub(super) fn stays_missing(&self, host: &HostName, pair: &Pair<'_>) -> bool {
        let now = Look::of(pair.held, pair.disk);
        now.is_ready()
            && self
                .looks(host, None, pair.package)
                .iter()
                .any(|look| look.is_ready() && look.is_same_content(&now) && look.missing > Some(0))
    }
}

/// The version that was current at an earlier examination.
fn current(offered: &OfferedPackage) -> Option<PackageVersion> {
    let of_snapshot =
        ns_snapshot(offered).and_then(|snapshot| version(snapshot.version.as_deref()));
    of_snapshot.or_else(|| version(offered.current_version.as_deref()))
}

/// What one examination saw of a package on a server.
#[derive(Debug, Clone)]
struct Look<'a> {
    agent: Option<Agent>,
    version: Option<PackageVersion>,
    /// The version that was current then, where that was seen.
    current: Option<PackageVersion>,
    snapshot: Option<&'a SnapshotSeen>,
    /// How many files were missing; none where that was not seen.
    missing: Option<usize>,
}

impl<'a> Look<'a> {
    fn of(held: Option<&HeldPackage>, disk: Option<&'a PackageOnDisk>) -> Self {
        let snapshot = disk.and_then(|disk| disk.snapshot.known()?.as_ref());
        let content = disk.and_then(|disk| disk.content.known());
        Self {
            agent: held.map(|held| agent_of(&held.status)),
            version: version(held.and_then(|held| held.version.as_deref()))
                .or_else(|| version(snapshot.and_then(|snapshot| snapshot.version.as_deref()))),
            current: None,
            snapshot,
            missing: content.map(|content| content.missing.len()),
        }
    }

    /// Whether nothing of the package's snapshot changed between two looks.
    fn is_same_content(&self, other: &Self) -> bool {
        match (self.snapshot, other.snapshot) {
            (Some(one), Some(other)) => one.sha256 == other.sha256 && one.path == other.path,
            _ => self.version.is_some() && self.version == other.version,
        }
    }

    fn is_ready(&self) -> bool {
        self.agent == Some(Agent::Ready)
    }

    fn is_downloading(&self) -> bool {
        matches!(self.agent, Some(Agent::Downloading(_)))
    }
}

/// What is said for files that something outside of the product deletes.
#[derive(Debug, Default)]
struct Signs {
    /// Whole at one look and not at the next, with the same snapshot.
    lost: usize,
    /// Ready at one look and on its way at the next, with the same snapshot.
    flips: usize,
    /// The content or its version changed.
    changes: usize,
}

fn signs(looks: &[Look<'_>]) -> Signs {
    let mut signs = Signs::default();
    for step in looks.windows(2) {
        let [before, after] = step else { continue };
        if !before.is_same_content(after) {
            signs.changes += usize::from(before.version != after.version);
            continue;
        }
        let is_lost = before.missing == Some(0) && after.missing.is_some_and(|missing| missing > 0);
        let is_behind = after.version.zip(after.current).is_some_and(|(has, now)| has < now);
        signs.lost += usize::from(is_lost && !is_behind);
        // A download of a newer version is none of the same one again.
        let is_current = after.version.is_some() && after.version == after.current;
        signs.flips += usize::from(before.is_ready() && after.is_downloading() && is_current);
    }
    signs
}

fn deletion(
    fleet: &Fleet<'_>,
    history: &History<'_>,
    index: usize,
    pair: &Pair<'_>,
) -> Option<Cause> {
    let server = fleet.servers[pair.server].seen;
    let ns = pair.ns.map(|ns| &fleet.notification_servers[ns].host);
    let mut looks = history.looks(&server.host, ns, pair.package);
    looks.push(Look { current: pair.current(), ..Look::of(pair.held, pair.disk) });
    let signs = signs(&looks);
    let task = deleter(server, pair);
    let is_ready_without_files = pair.has(Symptom::FilesMissing);
    let is_on_its_way = pair.has(Symptom::Downloading);
    // The content of a new version is missing while it is fetched; that of the current one is not.
    let has_current = pair.version().is_some() && pair.version() == pair.current();
    let is_fetched_again = is_on_its_way && has_current;
    let location = pair.held.and_then(|held| held.location.as_deref());
    let repeats = fleet.recent(pair.server, Signature::DownloadCompleted).filter(|finding| {
        finding.packages.contains(&pair.package)
            && finding.count as usize > finding.packages.len() + 1
            && (is_ready_without_files || is_fetched_again)
    });
    let is_felt = !pair.is_well();
    let is_strong = task.is_some() || repeats.is_some();
    let certainty = if signs.lost + signs.flips >= 2 || (signs.lost > 0 && is_ready_without_files) {
        Certainty::Proven
    } else if signs.lost + signs.flips > 0
        || (is_strong && (is_ready_without_files || is_fetched_again))
        || (task.is_some() && is_felt && has_current)
    {
        Certainty::Likely
    } else if location.is_some() && is_ready_without_files {
        Certainty::Possible
    } else {
        return None;
    };
    let several = looks.len();
    let lines = [
        (signs.lost > 0).then(|| {
            let times = words::count(signs.lost, "time");
            format!("in {several} looks, files vanished {times} while the snapshot stayed the same")
        }),
        (signs.flips > 0).then(|| {
            let times = words::count(signs.flips, "time");
            format!(
                "in {several} looks, Ready turned into a download {times} with the same version"
            )
        }),
        (pair.missing() > 0).then(|| {
            let listed = pair.snapshot().map_or(0, |snapshot| snapshot.files);
            format!("{} of {listed} listed files are not there", pair.missing())
        }),
        Some(words::truths(pair)),
        location.map(|location| format!("it lies in an alternate location, {location}")),
        task.map(|task| format!("scheduled task {} names the folder: {}", task.name, task.action)),
        repeats.map(words::log),
    ];
    let answer = Answer::Run(vec![Playbook::RedownloadLoop]);
    let cause = Cause::new(Verdict::ExternalDeletionLoop, Place::Pair(index), answer)
        .certainty(certainty)
        .seen_all(lines.into_iter().flatten());
    Some(cause.reaching([index]))
}

/// A task that names the folder of a package: its alternate location, or its own folder in the store.
fn deleter<'a>(server: &'a ServerEvidence, pair: &Pair<'_>) -> Option<&'a TaskSeen> {
    let bare = pair.package.bare().to_lowercase();
    let location = pair.held.and_then(|held| held.location.as_deref());
    let folder = location.map(|location| {
        let lower = location.trim().trim_end_matches('\\').to_lowercase();
        let names_share = lower.strip_prefix("\\\\").and_then(|rest| rest.split_once('\\'));
        names_share.map_or(lower.clone(), |(_, rest)| rest.to_owned())
    });
    // The path that the snapshot has is where its files lie.
    let path = pair.snapshot().and_then(|snapshot| snapshot.path.as_ref());
    let path = path.map(|path| path.trim_end_matches('\\').to_lowercase());
    let is_folder = |text: &String| text.len() > 3;
    server.tasks.known()?.iter().find(|task| {
        let action = task.action.to_lowercase();
        action.contains(&bare)
            || folder
                .iter()
                .chain(&path)
                .filter(|text| is_folder(text))
                .any(|text| action.contains(text))
    })
}

/// Whether a version is newer than another one of the same content.
fn is_new_for_nothing(old: &SnapshotSeen, new: &SnapshotSeen) -> bool {
    let versions = version(old.version.as_deref()).zip(version(new.version.as_deref()));
    let content = old.content_sha256.as_ref().zip(new.content_sha256.as_ref());
    versions.is_some_and(|(old, new)| old < new) && content.is_some_and(|(old, new)| old == new)
}

fn churn(
    fleet: &Fleet<'_>,
    history: &History<'_>,
    ns: usize,
    package: &OfferedPackage,
) -> Option<Cause> {
    let now = ns_snapshot(package)?;
    let host = &fleet.notification_servers[ns].host;
    let mut seen: Vec<&SnapshotSeen> = history
        .offers
        .iter()
        .filter_map(|offers| ns_snapshot(offers.get(host)?.get(&package.id)?))
        .collect();
    seen.push(now);
    let bumps = seen.windows(2).filter(|step| is_new_for_nothing(step[0], step[1])).count();
    let pairs: Vec<(usize, &Pair<'_>)> = fleet.pairs_of_package(ns, package.id).collect();
    let behind = pairs
        .iter()
        .filter(|(_, pair)| pair.snapshot().is_some_and(|old| is_new_for_nothing(old, now)))
        .count();
    // Without an earlier look: every server has an older version of the very same content.
    let is_everywhere = pairs.len() > 1 && behind == pairs.len();
    let certainty = match bumps {
        0 if is_everywhere => Certainty::Possible,
        0 => return None,
        1 => Certainty::Likely,
        _ => Certainty::Proven,
    };
    let answer = Answer::Run(vec![Playbook::RedownloadLoop]);
    let current = words::version_text(now.version.as_deref());
    let cause = Cause::new(Verdict::RefreshChurn, Place::Package(ns, package.id), answer)
        .certainty(certainty)
        .severity(Severity::Warning)
        .seen_all((bumps > 0).then(|| {
            let bumps = words::count(bumps, "new version");
            format!("in {} looks it got {bumps} of the same content; now {current}", seen.len())
        }))
        .seen_all((behind > 0).then(|| {
            let all = words::count(pairs.len(), "server");
            format!("{behind} of {all} have an older version with the same files, sizes and hashes")
        }));
    Some(cause.reaching(pairs.iter().map(|(index, _)| *index)))
}
