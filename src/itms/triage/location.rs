//! Where packages lie and are offered: alternate locations, shares, paths, files that are kept open.

use std::collections::BTreeMap;

use super::cause::{Answer, Cause, Place};
use super::fleet::{Fleet, Pair};
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::evidence::{Seen, ShareSeen};
use crate::itms::signature::Signature;
use crate::model::HostName;

/// The share that package servers make for clients; more of the kind are made on other drives.
const OWN_SHARE: &str = "pkgsvrhost";
/// The longest path that the product takes (KB 152039).
const LONGEST: u32 = 254;

pub(super) fn causes(fleet: &Fleet<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for server in 0..fleet.servers.len() {
        causes.extend(conflict(fleet, server));
        causes.extend(shares(fleet, server));
        for (index, pair) in fleet.pairs_of(server) {
            causes.extend(locked(fleet, index, pair));
            causes.extend(path(fleet, index, pair));
        }
    }
    causes
}

/// A location in the form in which two can be compared.
fn folder(location: &str, host: &HostName) -> String {
    let lower = location.trim().replace('/', "\\").to_lowercase();
    let lower = lower.replace("%computername%", &host.short().to_lowercase());
    let own = format!("\\\\{}.", host.short().to_lowercase());
    let lower = match lower.strip_prefix(&own).and_then(|rest| rest.split_once('\\')) {
        Some((_, rest)) => format!("\\\\{}\\{rest}", host.short().to_lowercase()),
        None => lower,
    };
    lower.trim_end_matches('\\').to_owned()
}

/// KB 180394: each package needs a folder of its own, or the clean-up of one removes the others.
fn conflict(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let host = fleet.host(server);
    let mut folders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, pair) in fleet.pairs_of(server) {
        if let Some(location) = pair.held.and_then(|held| held.location.as_deref()) {
            let folder = folder(location, host);
            if !folder.is_empty() {
                folders.entry(folder).or_default().push(index);
            }
        }
    }
    let mut hit: Vec<usize> = Vec::new();
    let mut lines = Vec::new();
    for (folder, own) in &folders {
        let below = format!("{folder}\\");
        let nested: Vec<usize> = folders
            .iter()
            .filter(|(other, _)| other.starts_with(&below))
            .flat_map(|(_, pairs)| pairs.iter().copied())
            .collect();
        if own.len() + nested.len() < 2 {
            continue;
        }
        let all: Vec<usize> = own.iter().chain(&nested).copied().collect();
        let names: Vec<String> = all.iter().map(|pair| fleet.pairs[*pair].title()).collect();
        let how = if nested.is_empty() { "share" } else { "lie in or below" };
        lines.push(format!("{} {how} {folder}", words::list(&names)));
        hit.extend(all);
    }
    if hit.is_empty() {
        return None;
    }
    hit.sort_unstable();
    hit.dedup();
    let is_felt = hit.iter().any(|pair| !fleet.pairs[*pair].is_well());
    let answer = Answer::Run(vec![Playbook::FixAlternateLocation]);
    let cause = Cause::new(Verdict::AlternateLocationConflict, Place::Server(server), answer)
        .severity(if is_felt { Severity::Error } else { Severity::Warning })
        .seen_all(lines)
        .seen_all(fleet.recent(server, Signature::CleanupExpired).map(words::log));
    Some(cause.reaching(hit))
}

/// The share of a location on the server itself: `\\%COMPUTERNAME%\Share\…`.
fn own_share(location: &str, host: &HostName) -> Option<String> {
    let folder = folder(location, host);
    let mut parts = folder.strip_prefix("\\\\")?.split('\\');
    let computer = parts.next()?;
    let is_own = [host.short(), "localhost", ".", "127.0.0.1", host.as_str()]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(computer));
    parts.next().filter(|share| is_own && !share.is_empty()).map(str::to_owned)
}

fn has_own_share(shares: &[ShareSeen]) -> bool {
    shares.iter().any(|share| share.name.to_lowercase().starts_with(OWN_SHARE))
}

/// KB 433153: the package server does not make the share of an alternate location. Its own share is
/// missed where another server of the fleet has it: publishing by UNC is set for all of them.
fn shares(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let shares = fleet.servers[server].seen.shares.known()?;
    let host = fleet.host(server);
    let mut missing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, pair) in fleet.pairs_of(server) {
        let location = pair.held.and_then(|held| held.location.as_deref());
        let Some(share) = location.and_then(|location| own_share(location, host)) else { continue };
        // Administrative shares such as `D$` are not always listed.
        if !share.ends_with('$')
            && !shares.iter().any(|known| known.name.eq_ignore_ascii_case(&share))
        {
            missing.entry(share).or_default().push(index);
        }
    }
    let mut cause = Cause::new(
        Verdict::ShareMissing,
        Place::Server(server),
        Answer::Run(vec![Playbook::FixAlternateLocation]),
    );
    for (share, pairs) in &missing {
        let names: Vec<String> = pairs.iter().map(|pair| fleet.pairs[*pair].title()).collect();
        cause =
            cause.seen(format!("there is no share {share}, in which lie {}", words::list(&names)));
    }
    if !missing.is_empty() {
        return Some(cause.reaching(missing.into_values().flatten()));
    }
    let others = fleet.servers.iter().filter_map(|other| other.seen.shares.known());
    let (with, known) = others
        .fold((0, 0), |(with, all), shares| (with + usize::from(has_own_share(shares)), all + 1));
    if has_own_share(shares) || with == 0 {
        return None;
    }
    let instruction = "restart the agent on the server, which makes the share PkgSvrHost anew, and see in Package \
                       Service Settings that publishing by UNC is on";
    cause.answer = Answer::Person(instruction.to_owned(), Some(Playbook::FixSharePermissions));
    let line = format!(
        "there is no share PkgSvrHost; {with} of {} have it",
        words::count(known, "examined server")
    );
    Some(cause.certainty(Certainty::Likely).severity(Severity::Warning).seen(line))
}

/// KB 163475.
fn locked(fleet: &Fleet<'_>, index: usize, pair: &Pair<'_>) -> Option<Cause> {
    let log = fleet
        .recent(pair.server, Signature::SnapshotLocked)
        .filter(|finding| !pair.is_well() && finding.packages.contains(&pair.package));
    let is_locked = pair.disk.map(|disk| &disk.is_snapshot_locked);
    let certainty = match is_locked {
        Some(Seen::Known(true)) if !pair.is_well() => Certainty::Proven,
        Some(Seen::Known(true)) => Certainty::Likely,
        Some(Seen::Known(false)) => return None,
        _ if log.is_some() => Certainty::Likely,
        _ => return None,
    };
    let instruction = "find the program that keeps snapshot.xml open (`openfiles`, Process Explorer; often a virus \
                       scanner or a backup), close it or restart the server, then let the agent go on (KB 163475)";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend));
    let severity = if pair.is_well() { Severity::Warning } else { Severity::Error };
    let cause = Cause::new(Verdict::SnapshotLocked, Place::Pair(index), answer)
        .certainty(certainty)
        .severity(severity)
        .seen_all((is_locked == Some(&Seen::Known(true))).then(|| {
            "another program keeps snapshot.xml open, so that it cannot be replaced (0x20)"
                .to_owned()
        }))
        .seen(words::truths(pair))
        .seen_all(log.map(words::log));
    Some(cause.reaching([index]))
}

/// KB 152039.
fn path(fleet: &Fleet<'_>, index: usize, pair: &Pair<'_>) -> Option<Cause> {
    let log = fleet
        .recent(pair.server, Signature::PathTooLong)
        .filter(|finding| !pair.is_well() && finding.packages.contains(&pair.package));
    let longest = pair.disk.and_then(|disk| disk.longest_path);
    let certainty = match longest {
        Some(longest) if longest > LONGEST => Certainty::Proven,
        Some(_) => return None,
        None if log.is_some() => Certainty::Likely,
        None => return None,
    };
    let instruction = "shorten the names in the package's source, or move the package store to a shorter folder \
                       (Settings > Notification Server > Site Server Settings > Package Service), then update the \
                       distribution points (KB 152039)";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend));
    let severity = if pair.is_well() { Severity::Warning } else { Severity::Error };
    let cause = Cause::new(Verdict::PathTooLong, Place::Pair(index), answer)
        .certainty(certainty)
        .severity(severity)
        .seen_all(longest.map(|longest| {
            format!("its longest path has {longest} characters, {LONGEST} are allowed")
        }))
        .seen_all(log.map(words::log));
    Some(cause.reaching([index]))
}
