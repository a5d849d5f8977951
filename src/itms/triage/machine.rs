//! Causes that lie with a package server's machine and the agent's own state: disk, versions, IIS,
//! site, stores.

use std::collections::BTreeSet;

use super::cause::{Answer, Cause, Place};
use super::fleet::{Agent, Fleet, Pair, Symptom, ns_snapshot};
use super::server::all;
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::evidence::{LogFinding, Seen};
use crate::itms::signature::Signature;
use crate::model::Guid;

/// A volume with less than this is full, whatever is to come, in bytes.
const NEARLY_NOTHING: u64 = 64 << 20;

pub(super) fn causes(fleet: &Fleet<'_>) -> Vec<Cause> {
    let rules =
        [disk, versions, busy, secure_storage, iis, app_pools, site, urgent_list, orphan_folders];
    let servers = 0..fleet.servers.len();
    servers.flat_map(|server| rules.iter().filter_map(move |rule| rule(fleet, server))).collect()
}

/// Whether the agent wants a package and does not get it.
fn wants(pair: &Pair<'_>) -> bool {
    pair.has(Symptom::Downloading) || pair.has(Symptom::Invalid) || pair.has(Symptom::NotTaken)
}

fn disk(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let volume = fleet.servers[server].seen.store_volume.known();
    let log = fleet.recent(server, Signature::DiskFull);
    let needed = fleet
        .pairs_of(server)
        .filter(|(_, pair)| wants(pair))
        .filter_map(|(_, pair)| Some((ns_snapshot(pair.offered?)?.bytes?, pair.title())))
        .max();
    let is_wanted = fleet.pairs_of(server).any(|(_, pair)| wants(pair));
    let is_nothing =
        volume.is_some_and(|volume| volume.free < NEARLY_NOTHING.min(volume.size / 20));
    let too_large =
        needed.as_ref().filter(|(bytes, _)| volume.is_some_and(|volume| volume.free < *bytes));
    let by_log = volume.is_none() && log.is_some() && is_wanted;
    if !is_nothing && too_large.is_none() && !by_log {
        return None;
    }
    let certainty = if by_log { Certainty::Likely } else { Certainty::Proven };
    let instruction = "make room on the volume of the package store, or move the store (Settings > Notification \
                       Server > Site Server Settings > Package Service); the agent goes on by itself";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend));
    let cause = Cause::new(Verdict::DiskFull, Place::Server(server), answer)
        .certainty(certainty)
        .severity(if is_wanted { Severity::Error } else { Severity::Warning })
        .seen_all(volume.map(|volume| {
            let mib = |bytes: u64| bytes >> 20;
            format!("{} has {} MiB of {} MiB free", volume.root, mib(volume.free), mib(volume.size))
        }))
        .seen_all(too_large.map(|(bytes, name)| format!("{name} needs {} MiB", (bytes >> 20) + 1)))
        .seen_all(log.map(words::log));
    Some(cause.reaching(all(fleet, server)))
}

/// KB 181405, section 5: the versions should be current, or close to it, and equal.
fn versions(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let ns = fleet.servers[server].ns?;
    let (ns, seen) = (&fleet.notification_servers[ns], fleet.servers[server].seen);
    let plugin = match &seen.plugin_version {
        Seen::Known(Some(version)) => Some(version),
        Seen::Known(None) | Seen::Unreadable(_) | Seen::NotAsked => None,
    };
    let differs = |what: &str, has: Option<&String>, current: &Seen<String>| {
        let (has, current) = (has?, current.known()?);
        let is_other = !same_version(has, current);
        is_other.then(|| format!("its {what} is {has}, current is {current}"))
    };
    let unlike = seen.agent_version.known().zip(plugin).filter(|(agent, plugin)| {
        release(agent).zip(release(plugin)).is_some_and(|(agent, plugin)| agent != plugin)
    });
    let lines: Vec<String> = [
        differs("agent", seen.agent_version.known(), &ns.current_agent_version),
        differs("package server plug-in", plugin, &ns.current_plugin_version),
        unlike.map(|(agent, plugin)| format!("its agent is {agent}, its plug-in {plugin}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if lines.is_empty() {
        return None;
    }
    let busy = fleet
        .recent(server, Signature::ServerBusy)
        .filter(|_| fleet.pairs_of(server).any(|(_, pair)| wants(pair)));
    let answer = Answer::Run(vec![Playbook::CheckAgentVersions]);
    let cause = Cause::new(Verdict::VersionMismatch, Place::Server(server), answer)
        .severity(if busy.is_some() { Severity::Error } else { Severity::Warning })
        .seen_all(lines)
        .seen_all(busy.map(words::log));
    // Without its message it explains nothing (KB 181405, section 5).
    Some(if busy.is_some() { cause.reaching(all(fleet, server)) } else { cause })
}

/// The release of a version, `8.7` of `8.7.3268.0`: builds of agent and plug-in need not be the same.
fn release(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim().split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Whether two versions are the same: `8.7.1` and `8.7.1.0` are.
fn same_version(one: &str, other: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u64>> {
        let mut parts: Vec<u64> =
            text.trim().split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        while parts.last() == Some(&0) {
            parts.pop();
        }
        Some(parts)
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        // What is not written in numbers cannot be compared: it is no mismatch.
        (_, _) => true,
    }
}

/// KB 181405, introduction; KB 176788.
fn busy(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let log = fleet.recent(server, Signature::ServerBusy)?;
    let limit = fleet.recent(server, Signature::PackageInfoLimit);
    let waiting: Vec<usize> =
        fleet.pairs_of(server).filter(|(_, pair)| wants(pair)).map(|(index, _)| index).collect();
    if waiting.is_empty() || (limit.is_none() && versions(fleet, server).is_some()) {
        return None;
    }
    let certainty = if limit.is_some() { Certainty::Proven } else { Certainty::Likely };
    let instruction = "wait for the load to pass; if the number of packages that are Ready does not change, raise \
                       MaxConcurrentPackageInfoRequest in the NSConfigurator on the Notification Server (KB 181405)";
    let cause = Cause::new(
        Verdict::ServerBusy,
        Place::Server(server),
        Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend)),
    );
    let cause =
        cause.certainty(certainty).seen(words::log(log)).seen_all(limit.map(words::log)).seen(
            format!("{} not get on", words::either(waiting.len(), "package does", "packages do")),
        );
    Some(cause.reaching(waiting))
}

/// Whether a finding of the log is about a pair: it names the package, or none at all.
fn is_about(finding: &LogFinding, pair: &Pair<'_>) -> bool {
    finding.packages.is_empty() || finding.packages.contains(&pair.package)
}

fn secure_storage(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let log = fleet.recent(server, Signature::SecureStorage)?;
    let is_hit = |pair: &Pair<'_>| wants(pair) && is_about(log, pair);
    let hit: Vec<usize> =
        fleet.pairs_of(server).filter(|(_, pair)| is_hit(pair)).map(|(index, _)| index).collect();
    if hit.is_empty() {
        return None;
    }
    let instruction = "rebuild the agent's secure storage on the server (KB 251232), then let it fetch its \
                       packages anew";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend));
    let cause = Cause::new(Verdict::SecureStorage, Place::Server(server), answer)
        .seen(words::log(log))
        .seen(format!("{} not saved", words::either(hit.len(), "package is", "packages are")));
    Some(cause.reaching(all(fleet, server).into_iter().filter(|pair| wants(&fleet.pairs[*pair]))))
}

fn iis(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen.iis.known()?;
    if seen.is_installed {
        return None;
    }
    let others = fleet.servers.iter().filter_map(|other| other.seen.iis.known());
    let (with, known) =
        others.fold((0, 0), |(with, all), iis| (with + usize::from(iis.is_installed), all + 1));
    // A fleet without IIS anywhere offers packages by shares, and is meant to.
    let certainty = if with > 0 || known == 1 { Certainty::Proven } else { Certainty::Possible };
    let instruction = "install IIS with ASP, Windows authentication and the IIS 6 compatibility, then restart the \
                       agent: only its start makes the virtual directories (KB 150861)";
    let answer = Answer::Person(instruction.to_owned(), Some(Playbook::UpdateAndResend));
    let cause = Cause::new(Verdict::IisMissing, Place::Server(server), answer)
        .certainty(certainty)
        .severity(Severity::Warning)
        .seen("IIS is not installed, so that packages are not offered by HTTP")
        .seen(format!("{with} of {} have it", words::count(known, "examined server")));
    Some(cause.reaching(all(fleet, server)))
}

fn app_pools(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen.iis.known().filter(|iis| iis.is_installed)?;
    let stopped: Vec<&str> = seen
        .app_pools
        .iter()
        .filter(|pool| pool.serves_packages && !pool.is_started)
        .map(|pool| pool.name.as_str())
        .collect();
    if stopped.is_empty() {
        return None;
    }
    let answer = Answer::Run(vec![Playbook::StartServices]);
    let cause = Cause::new(Verdict::AppPoolStopped, Place::Server(server), answer)
        .seen(format!(
            "stopped, and the product's virtual directories run in it: {}",
            words::list(&stopped)
        ))
        .seen_all(fleet.recent(server, Signature::PartialData).map(words::log));
    Some(cause.reaching(all(fleet, server)))
}

fn site(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let (ns, guid) = (fleet.servers[server].ns?, fleet.servers[server].guid?);
    let with_site = fleet.notification_servers[ns].servers_with_site.known()?;
    if with_site.contains(&guid) {
        return None;
    }
    let instruction = "assign the server and its subnets to a site (Settings > Notification Server > Site Server \
                       Settings > Site Management > Sites); clients get wrong codebases until then (KB 181405)";
    let answer = Answer::Person(instruction.to_owned(), None);
    let cause = Cause::new(Verdict::SiteUnassigned, Place::Server(server), answer)
        .severity(Severity::Warning)
        .seen(format!("the server {guid} is in no site"))
        .seen(format!(
            "{} in one",
            words::either(with_site.len(), "package server is", "package servers are")
        ));
    Some(cause)
}

/// KB 181405, last section: the list names a package for which there is no policy.
fn urgent_list(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let listed = seen.urgent_list.known().filter(|listed| !listed.is_empty())?;
    let policy = seen.policy.known().and_then(|policy| policy.packages.as_ref());
    let held: Option<BTreeSet<Guid>> =
        seen.held.known().map(|held| held.iter().map(|package| package.id).collect());
    let is_known = |id: &Guid| match (policy, &held) {
        (Some(policy), _) => Some(policy.contains(id)),
        (None, Some(held)) => Some(held.contains(id)),
        (None, None) => None,
    };
    let strangers: Vec<Guid> =
        listed.iter().filter(|id| is_known(id) == Some(false)).copied().collect();
    if strangers.is_empty() {
        return None;
    }
    let (certainty, by) = match policy {
        Some(_) => (Certainty::Proven, "no policy of the server assigns"),
        None => (Certainty::Likely, "the agent does not list"),
    };
    let names = words::list(&strangers);
    let many = words::count(strangers.len(), "package");
    let answer = Answer::Run(vec![Playbook::ClearUrgentList]);
    let cause = Cause::new(Verdict::UrgentList, Place::Server(server), answer)
        .certainty(certainty)
        .severity(Severity::Warning)
        .seen(format!("UrgentList.xml names {many} that {by}: {names}"));
    Some(cause)
}

/// Folders of the store that neither the agent nor a policy knows.
fn orphan_folders(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let folders = seen.orphan_folders.known()?;
    let policy = seen.policy.known().and_then(|policy| policy.packages.as_ref());
    let held = seen.held.known();
    let is_known = |id: &Guid| {
        held.is_some_and(|held| held.iter().any(|package| package.id == *id))
            || policy.is_some_and(|policy| policy.contains(id))
            || fleet.pairs_of(server).any(|(_, pair)| {
                // A row without the agent's word: it may be its folder.
                pair.package == *id && !matches!(pair.agent, Agent::Absent)
            })
    };
    let strangers: Vec<Guid> = folders.iter().filter(|id| !is_known(id)).copied().collect();
    if strangers.is_empty() {
        return None;
    }
    let certainty = match (held, policy) {
        (None, None) => Certainty::Possible,
        (Some(_), _) | (None, Some(_)) => Certainty::Proven,
    };
    let instruction = "look whether anybody needs what is in these folders, let the agent refresh its packages, and \
                       move what is still left away by hand; fleetmend moves no folders";
    let names = words::list(&strangers);
    let many = words::count(strangers.len(), "folder");
    let answer = Answer::Person(instruction.to_owned(), None);
    let cause = Cause::new(Verdict::OrphanFolder, Place::Server(server), answer)
        .certainty(certainty)
        .severity(Severity::Warning)
        .seen(format!("{many} of the package store without one in the status store: {names}"));
    Some(cause)
}
