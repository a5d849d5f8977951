//! Causes that lie with a package: whose it is, its source, its snapshot at the Notification Server,
//! the rows that are left of it.

use std::collections::BTreeMap;

use super::cause::{Answer, Cause, Place};
use super::fleet::{Fleet, RECENT, is_gone, ns_snapshot, recent, version};
use super::notification_server::log_lines;
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::PackageVersion;
use crate::itms::evidence::{LogFinding, OfferedPackage, Origin, Seen, StatusRow};
use crate::itms::signature::Signature;
use crate::model::Guid;

pub(super) fn causes(fleet: &Fleet<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (ns, package) in fleet.offered() {
        if is_gone(package) {
            causes.extend(rows_of_nothing(fleet, ns, package));
            continue;
        }
        let own = [
            origin(fleet, ns, package),
            source(fleet, ns, package),
            snapshot_missing(fleet, ns, package),
            snapshot_differs(fleet, ns, package),
        ];
        causes.extend(own.into_iter().flatten());
        causes.extend(duplicates(fleet, ns, package));
    }
    causes.extend(rows_of_retired_servers(fleet));
    causes
}

fn reach(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Vec<usize> {
    fleet.pairs_of_package(ns, package.id).map(|(index, _)| index).collect()
}

/// How many of its pairs are not well, of how many.
fn unwell(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> (usize, usize) {
    let pairs = fleet.pairs_of_package(ns, package.id);
    pairs.fold((0, 0), |(bad, all), (_, pair)| (bad + usize::from(!pair.is_well()), all + 1))
}

/// The rows of a package that is gone.
fn rows_of_nothing(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Option<Cause> {
    let rows = fleet.notification_servers[ns].rows.known()?;
    let rows: Vec<&StatusRow> = rows.iter().filter(|row| row.package == package.id).collect();
    let first = rows.first()?;
    let place = Place::Package(ns, package.id);
    let answer = Answer::Run(vec![Playbook::RebuildPackageStatus]);
    let line = format!(
        "{} for a package that SWDPackage does not have; the first: {}",
        words::count(rows.len(), "row"),
        words::row(Some(first))
    );
    let cause = Cause::new(Verdict::Orphan, place, answer).severity(Severity::Warning).seen(line);
    Some(cause.reaching(reach(fleet, ns, package)))
}

/// The rows of servers that are no resource any more.
fn rows_of_retired_servers(fleet: &Fleet<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (ns, seen) in fleet.notification_servers.iter().enumerate() {
        let mut retired: BTreeMap<Guid, usize> = BTreeMap::new();
        for row in seen.rows.known().into_iter().flatten() {
            if row.server_name.is_none() {
                *retired.entry(row.server).or_default() += 1;
            }
        }
        if retired.is_empty() {
            continue;
        }
        let answer = Answer::Run(vec![Playbook::RebuildPackageStatus]);
        let lines = retired.iter().map(|(server, rows)| {
            format!(
                "{} for server {server}, which is no resource any more",
                words::count(*rows, "row")
            )
        });
        causes.push(
            Cause::new(Verdict::Orphan, Place::NotificationServer(ns), answer)
                .severity(Severity::Warning)
                .seen_all(lines),
        );
    }
    causes
}

fn origin(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Option<Cause> {
    let Seen::Known(Origin::Foreign { server, is_live_parent }) = &package.origin else {
        return None;
    };
    let place = Place::Package(ns, package.id);
    let name = server.as_deref().unwrap_or("a server without a name");
    let (bad, all) = unwell(fleet, ns, package);
    let is_felt = bad > 0 || package.snapshot == Seen::Known(None);
    let lines = [format!("it originates from {name}, not from this server"), not_well(bad, all)];
    let otherwise = |severity| if is_felt { Severity::Error } else { severity };
    let cause = match is_live_parent {
        Some(true) => {
            let instruction = format!(
                "nothing is to be done here: this server builds no snapshot of the package and sends its \
                 package servers to {name}; repair it there (KB 181405, section 1)"
            );
            Cause::new(Verdict::ParentOwnsIt, place, Answer::Person(instruction, None))
                .seen(format!("{name} is a parent in a hierarchy that exists, and the authority"))
                .severity(otherwise(Severity::Note))
        }
        Some(false) => {
            Cause::new(Verdict::ForeignOrigin, place, Answer::Run(vec![Playbook::FixOrigin]))
                .seen(format!(
                    "{name} is no parent of this server, so that nobody builds its snapshot"
                ))
                .severity(otherwise(Severity::Warning))
        }
        None => {
            let answer = Answer::Person(ask_for_parent(name), Some(Playbook::FixOrigin));
            Cause::new(Verdict::ForeignOrigin, place, answer)
                .certainty(Certainty::Possible)
                .seen(format!("the inventory does not say whether {name} is a parent that exists"))
                .severity(otherwise(Severity::Note))
        }
    };
    Some(cause.seen_all(lines).reaching(reach(fleet, ns, package)))
}

/// What a person does where nobody said whether the server that a package comes from is a parent.
pub(super) fn ask_for_parent(server: &str) -> String {
    format!(
        "say in the inventory, at the Notification Server, whether {server} is a parent in a hierarchy that \
         exists: name it in `parent_servers`, or write `parent_servers: []` when there is no parent; then \
         diagnose again (KB 181405, section 1)"
    )
}

fn not_well(bad: usize, all: usize) -> String {
    format!("it is not well on {bad} of {}", words::count(all, "server"))
}

fn is_foreign(package: &OfferedPackage) -> bool {
    matches!(package.origin, Seen::Known(Origin::Foreign { .. }))
}

fn source(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Option<Cause> {
    let log = recent(&fleet.notification_servers[ns].log, Signature::SourcePath)
        .filter(|finding| finding.packages.contains(&package.id));
    let is_unreachable = package.source_reachable == Seen::Known(false);
    if !is_unreachable && (log.is_none() || package.source_reachable == Seen::Known(true)) {
        return None;
    }
    let (bad, all) = unwell(fleet, ns, package);
    if log.is_some_and(|log| was_reached_since(fleet, package, log, bad == 0)) {
        return None;
    }
    let is_missing = package.snapshot == Seen::Known(None);
    let certainty =
        if is_unreachable || is_missing { Certainty::Proven } else { Certainty::Likely };
    let instruction = "open the package in the console (Manage > Software > its package, tab Package), \
                       point it to a folder that the Notification Server can read, and save it (KB 181405, \
                       section 1)";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateDistributionPoints));
    let cause = Cause::new(Verdict::SourcePathBroken, Place::Package(ns, package.id), answer)
        .certainty(certainty)
        .seen("the Notification Server cannot reach the folder of its source")
        .seen_all(is_missing.then(|| "there is no snapshot of it".to_owned()))
        .seen(not_well(bad, all))
        .seen_all(log.map(words::log));
    Some(cause.reaching(reach(fleet, ns, package)))
}

/// Whether a snapshot was built after the log's last word about the source. That word is at least
/// as old as the log tells, since a log ends before it is read. Where the order of the two cannot be
/// told, a package of the last day that is well everywhere speaks against the log.
fn was_reached_since(
    fleet: &Fleet<'_>,
    package: &OfferedPackage,
    log: &LogFinding,
    is_well: bool,
) -> bool {
    let has_snapshot = package.snapshot.known().is_some_and(Option::is_some);
    let current = version(package.current_version.as_deref());
    let made = current.and_then(PackageVersion::moment).filter(|made| *made <= fleet.taken);
    made.filter(|_| has_snapshot).is_some_and(|made| {
        let age = words::seconds_between(made, fleet.taken);
        log.seconds_ago.is_some_and(|said| age < said) || (is_well && age < RECENT)
    })
}

fn snapshot_missing(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Option<Cause> {
    if package.snapshot != Seen::Known(None)
        || is_foreign(package)
        || source(fleet, ns, package).is_some()
    {
        return None;
    }
    // A package without a version was never built: nothing was lost.
    package.current_version.as_ref()?;
    let (bad, all) = unwell(fleet, ns, package);
    let certainty = match package.origin {
        Seen::Known(_) => Certainty::Proven,
        Seen::Unreadable(_) | Seen::NotAsked => Certainty::Likely,
    };
    let answer = Answer::Run(vec![Playbook::UpdateDistributionPoints]);
    let current = words::version_text(package.current_version.as_deref());
    let cause = Cause::new(Verdict::SnapshotMissing, Place::Package(ns, package.id), answer)
        .certainty(certainty)
        .seen(format!("the Notification Server has no snapshot of it; SWDPackage has {current}"))
        .seen(not_well(bad, all));
    Some(cause.reaching(reach(fleet, ns, package)))
}

/// The CMDB has another version than the snapshot: a transaction was undone while it was built
/// (KB 181405, causes).
fn snapshot_differs(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Option<Cause> {
    let in_cmdb = version(package.current_version.as_deref())?;
    let in_file = version(ns_snapshot(package)?.version.as_deref())?;
    if in_cmdb == in_file {
        return None;
    }
    let seen = &fleet.notification_servers[ns];
    let answer = Answer::Run(vec![Playbook::UpdateDistributionPoints]);
    let cause =
        Cause::new(Verdict::NotificationServerStale, Place::Package(ns, package.id), answer)
            .seen(format!("SWDPackage has version {in_cmdb}, its snapshot has version {in_file}"))
            .seen_all(log_lines(seen));
    Some(cause.reaching(reach(fleet, ns, package)))
}

/// Pairs with more than one row (KB 181405, additional queries). Rows have no time, so that nothing in
/// them tells which of two that differ is right: the server says so by reporting again. Rows that
/// differ even then go, all of them, and the server reports anew (the article's section 2).
fn duplicates(fleet: &Fleet<'_>, ns: usize, package: &OfferedPackage) -> Vec<Cause> {
    let pairs = fleet.pairs_of_package(ns, package.id);
    pairs
        .filter(|(_, pair)| pair.rows.len() > 1)
        .map(|(index, pair)| {
            let is_same = pair.rows.iter().all(|row| *row == pair.rows[0]);
            let (kind, playbooks) = if is_same {
                ("the same", vec![Playbook::RemoveDuplicates])
            } else {
                ("that differ", vec![Playbook::UpdateAndResend, Playbook::RebuildPackageStatus])
            };
            let answer = Answer::Run(playbooks);
            let each = pair.rows.iter().map(|row| words::row(Some(row)));
            Cause::new(Verdict::DuplicateRows, Place::Pair(index), answer)
                .severity(Severity::Warning)
                .seen(format!("{} {kind}", words::count(pair.rows.len(), "row")))
                .seen_all(each.take(4))
                .reaching([index])
        })
        .collect()
}
