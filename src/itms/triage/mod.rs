//! Triage: what is wrong with a fleet, from what an examination saw. Pure, and the same for the same
//! evidence.
//!
//! Root causes are looked for first, each by evidence of its own: at the Notification Server, at
//! packages, at servers, over time. A root cause explains its consequences; what is left is judged
//! pair by pair. What was not read is never taken for an absence, and what no rule explains is
//! `unknown`, with what was seen.

mod cause;
mod diagnosis;
mod fleet;
mod history;
mod location;
mod machine;
mod names;
mod notification_server;
mod package;
mod pair;
mod playbook;
mod server;
mod shape;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::itms::evidence::{AppliedCredential, FleetEvidence, OfferedPackage, Origin, Seen};
use crate::model::{Guid, HostName};
use cause::{Answer, Cause, Place};
use fleet::{Fleet, Pair, Symptom};
use history::History;
use shape::Pattern;

pub use diagnosis::{
    Cell, Certainty, Diagnosis, Finding, Matrix, MatrixPackage, Proposal, Scope, Severity, Shape,
};
pub use playbook::{Circumstances, Playbook, may_propose};
pub use verdict::Verdict;

/// What is expected of a fleet, where the evidence alone does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// The credential that the console has for package services; none when nobody said. Servers are
    /// then compared with each other.
    pub credential: Option<AppliedCredential>,
    /// For how long a package may be on its way before that is a fault.
    pub download_grace: Duration,
}

impl Default for Expectations {
    /// A day for downloads, and no credential.
    fn default() -> Self {
        Self { credential: None, download_grace: Duration::from_secs(86_400) }
    }
}

/// Says what is wrong.
///
/// `earlier` holds older examinations of the same fleet, in any order: only they tell a loop from a
/// download. Those that are not older than `now` are left out.
pub fn triage(
    now: &FleetEvidence,
    earlier: &[FleetEvidence],
    expectations: &Expectations,
) -> Diagnosis {
    let fleet = Fleet::new(now, expectations);
    let pattern = Pattern::of(&fleet);
    let mut causes = notification_server::causes(&fleet);
    causes.extend(package::causes(&fleet));
    causes.extend(server::causes(&fleet));
    causes.extend(machine::causes(&fleet));
    causes.extend(location::causes(&fleet));
    let history = History::before(&fleet, earlier);
    causes.extend(history::causes(&fleet, &history));
    let mut explained = Explained::by(&fleet, &pattern, &causes);
    for index in 0..fleet.pairs.len() {
        for symptom in explained.unexplained(&fleet, &causes, index) {
            if !explained.covers(&causes, index, symptom) {
                causes.push(pair::cause(&fleet, &history, index, symptom));
                explained.of_pair[index].push(causes.len() - 1);
            }
        }
    }
    let matrix = matrix(&fleet, &causes, &explained);
    let gate = Gate::of(&fleet, &pattern, &causes);
    let mut ranked: Vec<(usize, &Cause)> = causes.iter().enumerate().collect();
    ranked.sort_by_cached_key(|(_, cause)| {
        let shape = place_rank(cause.place, &pattern, None);
        (cause.severity, shape, cause.rank(&fleet), cause.verdict)
    });
    let felt = explained.pairs_by_cause(&fleet, &causes);
    let findings = ranked
        .into_iter()
        .map(|(number, cause)| finding(&fleet, cause, &felt[number], &gate))
        .collect();
    Diagnosis { taken: now.taken, shape: pattern.shape, findings, matrix }
}

/// Which causes reach which pair, those first that its shape makes likely.
struct Explained {
    of_pair: Vec<Vec<usize>>,
}

impl Explained {
    fn by(fleet: &Fleet<'_>, pattern: &Pattern, causes: &[Cause]) -> Self {
        let mut of_pair: Vec<Vec<usize>> = vec![Vec::new(); fleet.pairs.len()];
        for (number, cause) in causes.iter().enumerate() {
            for pair in &cause.reach {
                of_pair[*pair].push(number);
            }
        }
        for (index, numbers) in of_pair.iter_mut().enumerate() {
            let pair = &fleet.pairs[index];
            numbers.sort_by_key(|number| {
                let cause = &causes[*number];
                (place_rank(cause.place, pattern, Some(pair)), cause.certainty, cause.verdict)
            });
        }
        Self { of_pair }
    }

    fn covers(&self, causes: &[Cause], pair: usize, symptom: Symptom) -> bool {
        self.of_pair[pair].iter().any(|number| {
            let cause = &causes[*number];
            cause.explains(symptom)
                || cause.place == Place::Pair(pair) && is_same_matter(cause, symptom)
        })
    }

    fn unexplained(&self, fleet: &Fleet<'_>, causes: &[Cause], pair: usize) -> Vec<Symptom> {
        let symptoms = fleet.pairs[pair].symptoms.iter().copied();
        symptoms.filter(|symptom| !self.covers(causes, pair, *symptom)).collect()
    }

    /// For each cause the pairs that are not well because of it.
    fn pairs_by_cause(&self, fleet: &Fleet<'_>, causes: &[Cause]) -> Vec<Vec<usize>> {
        let mut pairs = vec![Vec::new(); causes.len()];
        for (index, numbers) in self.of_pair.iter().enumerate() {
            for number in numbers {
                let cause = &causes[*number];
                let is_own = matches!(cause.place, Place::Pair(_));
                let symptoms = &fleet.pairs[index].symptoms;
                if is_own || symptoms.iter().any(|symptom| cause.explains(*symptom)) {
                    pairs[*number].push(index);
                }
            }
        }
        pairs
    }
}

/// Whether a finding that was made for one symptom of a pair says all that there is to another one:
/// an `unknown` is not said twice.
fn is_same_matter(cause: &Cause, symptom: Symptom) -> bool {
    cause.verdict == Verdict::Unknown
        && matches!(
            symptom,
            Symptom::NotSeen | Symptom::OtherState | Symptom::Ahead | Symptom::NotAssigned
        )
}

/// Where the shape says to look first.
fn place_rank(place: Place, pattern: &Pattern, pair: Option<&Pair<'_>>) -> usize {
    let first = match (pattern.shape, pair) {
        (Shape::AllBad, _) => ["ns", "package", "server", "pair"],
        (_, Some(pair)) if pattern.packages.contains(&pair.package) => {
            ["package", "pair", "server", "ns"]
        }
        (_, Some(pair)) if pattern.servers.contains(&pair.server) => {
            ["server", "pair", "package", "ns"]
        }
        (Shape::PackageEverywhere, _) => ["package", "server", "pair", "ns"],
        (Shape::ServerForEverything, _) => ["server", "package", "pair", "ns"],
        (Shape::Unread | Shape::AllWell | Shape::Mixed, _) => ["pair", "package", "server", "ns"],
    };
    let word = match place {
        Place::NotificationServer(_) => "ns",
        Place::Package(..) => "package",
        Place::Server(_) => "server",
        Place::Pair(_) => "pair",
    };
    first.iter().position(|first| *first == word).unwrap_or(first.len())
}

fn matrix(fleet: &Fleet<'_>, causes: &[Cause], explained: &Explained) -> Matrix {
    let mut packages: BTreeMap<Guid, Option<&str>> = BTreeMap::new();
    for pair in &fleet.pairs {
        let name = packages.entry(pair.package).or_default();
        *name = name.or(pair.name());
    }
    let mut columns: Vec<(Option<&str>, Guid)> =
        packages.into_iter().map(|(id, name)| (name, id)).collect();
    columns.sort_by_key(|(name, id)| (name.is_none(), name.map(str::to_lowercase), *id));
    let column: BTreeMap<Guid, usize> =
        columns.iter().enumerate().map(|(at, (_, id))| (*id, at)).collect();
    let mut cells = vec![vec![Cell::Unassigned; columns.len()]; fleet.servers.len()];
    for (index, pair) in fleet.pairs.iter().enumerate() {
        cells[pair.server][column[&pair.package]] = cell(fleet, causes, explained, index);
    }
    Matrix {
        servers: fleet.servers.iter().map(|server| server.seen.host.clone()).collect(),
        packages: columns
            .into_iter()
            .map(|(name, id)| MatrixPackage { id, name: name.map(str::to_owned) })
            .collect(),
        cells,
    }
}

fn cell(fleet: &Fleet<'_>, causes: &[Cause], explained: &Explained, index: usize) -> Cell {
    let pair = &fleet.pairs[index];
    let own = explained.of_pair[index].iter().map(|number| &causes[*number]);
    let mut reaching = own.clone();
    let explains = |cause: &&Cause| pair.symptoms.iter().any(|symptom| cause.explains(*symptom));
    let is_of_pair =
        |cause: &&Cause| matches!(cause.place, Place::Pair(_)) || cause.verdict == Verdict::Orphan;
    let first = own.clone().find(explains).or_else(|| reaching.find(is_of_pair));
    first.map_or(Cell::Ready, |cause| Cell::Verdict(cause.verdict))
}

fn finding(fleet: &Fleet<'_>, cause: &Cause, pairs: &[usize], gate: &Gate) -> Finding {
    let servers: BTreeSet<usize> = pairs.iter().map(|pair| fleet.pairs[*pair].server).collect();
    Finding {
        verdict: cause.verdict,
        scope: scope(fleet, cause.place),
        severity: cause.severity,
        certainty: cause.certainty,
        evidence: cause.evidence.clone(),
        pairs: u32::try_from(pairs.len()).unwrap_or(u32::MAX),
        servers: servers.into_iter().map(|server| fleet.host(server).clone()).collect(),
        proposal: proposal(
            &cause.answer,
            &gate.circumstances(fleet, cause.place),
            ownerless(fleet, cause.place),
        ),
    }
}

fn scope(fleet: &Fleet<'_>, place: Place) -> Scope {
    let ns_host = |ns: usize| -> HostName { fleet.notification_servers[ns].host.clone() };
    match place {
        Place::NotificationServer(ns) => Scope::NotificationServer { host: ns_host(ns) },
        Place::Package(ns, id) => {
            let offered = fleet.offered().find(|(of, package)| *of == ns && package.id == id);
            let name = offered.and_then(|(_, package)| package.name.clone());
            Scope::Package { id, name, notification_server: ns_host(ns) }
        }
        Place::Server(server) => Scope::Server { host: fleet.host(server).clone() },
        Place::Pair(pair) => {
            let pair = &fleet.pairs[pair];
            Scope::Pair {
                host: fleet.host(pair.server).clone(),
                id: pair.package,
                name: pair.name().map(str::to_owned),
            }
        }
    }
}

/// The package of a place, of which nobody knows whether a parent owns it.
fn ownerless<'a>(fleet: &Fleet<'a>, place: Place) -> Option<&'a OfferedPackage> {
    offered_at(fleet, place).filter(|package| !fleet::is_owner_known(package))
}

fn offered_at<'a>(fleet: &Fleet<'a>, place: Place) -> Option<&'a OfferedPackage> {
    match place {
        Place::Package(ns, id) => {
            let found = fleet.offered().find(|(of, package)| *of == ns && package.id == id);
            found.map(|(_, package)| package)
        }
        Place::Pair(pair) => fleet.pairs[pair].offered,
        Place::NotificationServer(_) | Place::Server(_) => None,
    }
}

/// Turns what should be done into what may be proposed. `ownerless` is a package that could be a
/// parent's: what is not done to a parent's packages is then for a person to allow.
fn proposal(answer: &Answer, at: &Circumstances, ownerless: Option<&OfferedPackage>) -> Proposal {
    match answer {
        Answer::Person(instruction, afterwards) => {
            Proposal::Person { instruction: instruction.clone(), afterwards: *afterwards }
        }
        Answer::Wait(reason) => Proposal::Wait { reason: reason.clone() },
        Answer::Run(playbooks) => {
            let mut allowed =
                playbooks.iter().copied().filter(|playbook| may_propose(*playbook, at).is_ok());
            match allowed.next() {
                Some(playbook) => {
                    let afterwards = allowed.next();
                    ownerless.map_or(Proposal::Playbook { playbook, afterwards }, |package| {
                        unless_of_parent(playbook, afterwards, at, package)
                    })
                }
                None => Proposal::Wait { reason: refusal(playbooks, at) },
            }
        }
    }
}

/// What of two playbooks may be proposed for a package that could be a parent's.
fn unless_of_parent(
    first: Playbook,
    second: Option<Playbook>,
    at: &Circumstances,
    package: &OfferedPackage,
) -> Proposal {
    let of_parent = Circumstances { parent_owns_it: true, ..*at };
    let mut allowed = [Some(first), second]
        .into_iter()
        .flatten()
        .filter(|it| may_propose(*it, &of_parent).is_ok());
    if let Some(playbook) = allowed.next() {
        return Proposal::Playbook { playbook, afterwards: allowed.next() };
    }
    let instruction = match &package.origin {
        Seen::Known(Origin::Foreign { server, .. }) => {
            package::ask_for_parent(server.as_deref().unwrap_or("the server that it comes from"))
        }
        Seen::Known(Origin::Local) | Seen::Unreadable(_) | Seen::NotAsked => {
            "see in the CMDB which server the package originates from: it could not be read, and a \
             parent's packages are repaired at the parent (KB 181405, section 1)"
                .to_owned()
        }
    };
    Proposal::Person { instruction, afterwards: Some(first) }
}

fn refusal(playbooks: &[Playbook], at: &Circumstances) -> String {
    let first =
        playbooks.first().and_then(|playbook| Some((playbook, may_propose(*playbook, at).err()?)));
    match first {
        Some((playbook, why)) => format!("{playbook} would answer it, and not now: {why}"),
        None => "nothing answers it".to_owned(),
    }
}

/// What forbids playbooks, and where.
struct Gate {
    stalled: BTreeSet<usize>,
    long: BTreeSet<usize>,
    busy: BTreeSet<usize>,
    looping: BTreeSet<usize>,
    churning: BTreeSet<(usize, Guid)>,
    is_all_bad: bool,
}

impl Gate {
    fn of(fleet: &Fleet<'_>, pattern: &Pattern, causes: &[Cause]) -> Self {
        let mut gate = Self {
            stalled: BTreeSet::new(),
            long: BTreeSet::new(),
            busy: BTreeSet::new(),
            looping: BTreeSet::new(),
            churning: BTreeSet::new(),
            is_all_bad: pattern.shape == Shape::AllBad,
        };
        for cause in causes {
            match (cause.verdict, cause.place) {
                (Verdict::EventQueueStall, Place::NotificationServer(ns)) => {
                    gate.stalled.insert(ns);
                }
                (Verdict::EventQueueVolume, Place::NotificationServer(ns)) => {
                    gate.long.insert(ns);
                }
                // The Notification Server is busy for all of its servers.
                (Verdict::ServerBusy, Place::Server(server)) => {
                    gate.busy.extend(fleet.servers[server].ns);
                }
                (Verdict::ExternalDeletionLoop, Place::Pair(pair)) => {
                    gate.looping.insert(pair);
                }
                (Verdict::RefreshChurn, Place::Package(ns, package)) => {
                    gate.churning.insert((ns, package));
                }
                _ => {}
            }
        }
        gate
    }

    fn circumstances(&self, fleet: &Fleet<'_>, place: Place) -> Circumstances {
        let (ns, package, pair) = match place {
            Place::NotificationServer(ns) => (Some(ns), None, None),
            Place::Package(ns, package) => (Some(ns), Some(package), None),
            Place::Server(server) => (fleet.servers[server].ns, None, None),
            Place::Pair(index) => {
                let pair = &fleet.pairs[index];
                (pair.ns, Some(pair.package), Some((index, pair)))
            }
        };
        let is_in = |set: &BTreeSet<usize>| ns.is_some_and(|ns| set.contains(&ns));
        let offered = offered_at(fleet, place);
        let has = |symptom: Symptom| pair.is_some_and(|(_, pair)| pair.has(symptom));
        Circumstances {
            queue_stands: is_in(&self.stalled),
            queue_is_long: is_in(&self.long),
            parent_owns_it: offered.is_some_and(fleet::is_of_parent),
            is_being_removed: has(Symptom::BeingRemoved),
            is_in_deletion_loop: pair.is_some_and(|(index, _)| self.looping.contains(&index)),
            is_downloading: has(Symptom::Downloading),
            is_busy: is_in(&self.busy),
            is_all_bad: self.is_all_bad,
            is_churning: ns.zip(package).is_some_and(|key| self.churning.contains(&key)),
        }
    }
}
