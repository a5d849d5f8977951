//! What is wrong with single pairs, where no root cause explains it.

use super::cause::{Answer, Cause, Place};
use super::fleet::{Agent, Fleet, Pair, Symptom, row_is_ready};
use super::history::History;
use super::notification_server::log_lines;
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::evidence::Seen;
use crate::itms::signature::{Signature, older_version};

/// An agent asks for its configuration every four hours by itself: a version that is younger than
/// this need not have been asked for yet, in seconds.
const NOT_YET_ASKED: u64 = 5 * 3600;

/// A report is a row within so many seconds, where events are worked off.
const REPORT: u64 = 15 * 60;

/// Not every agent tells since when it is done: with a version as young as this it was lately.
const JUST_MADE: u64 = 3600;

/// The finding for a symptom that nothing explains.
pub(super) fn cause(
    fleet: &Fleet<'_>,
    history: &History<'_>,
    index: usize,
    symptom: Symptom,
) -> Cause {
    let pair = &fleet.pairs[index];
    let found = match symptom {
        Symptom::RowBehind => notification_server_stale(fleet, pair, index),
        Symptom::Behind => behind(fleet, pair, index),
        Symptom::Downloading | Symptom::NotTaken => downloading(fleet, history, pair, index),
        Symptom::Invalid => invalid(fleet, history, pair, index),
        Symptom::FilesMissing | Symptom::FilesDamaged => damaged(fleet, history, pair, index),
        Symptom::NoSnapshot => {
            // Its row may well say Ready: what goes by rows would find nothing to do.
            let answer = Answer::Run(vec![Playbook::RedownloadPackages]);
            Cause::new(Verdict::SnapshotMissing, Place::Pair(index), answer)
                .certainty(Certainty::Likely)
                .seen("the agent says Ready, and the package has no snapshot.xml on the server")
        }
        Symptom::BeingRemoved => being_removed(fleet, pair, index),
        Symptom::NotSeen => {
            unknown(index, "its row is not Ready, and the server's side was not seen")
        }
        Symptom::OtherState => unknown(index, "the agent's word for its state is not known"),
        Symptom::Ahead => {
            unknown(index, "the package server has a newer version than the Notification Server")
        }
        Symptom::NotAssigned => {
            unknown(index, "its row is not Ready, and the agent does not list the package")
        }
    };
    found.seen(words::truths(pair)).seen_all(unread(fleet, pair)).reaching([index])
}

fn unknown(index: usize, line: &str) -> Cause {
    let instruction = "look at the package on the server, in the console and in agent.log; what was seen is above";
    let answer = Answer::Person(instruction.to_owned(), None);
    Cause::new(Verdict::Unknown, Place::Pair(index), answer)
        .certainty(Certainty::Possible)
        .severity(Severity::Warning)
        .seen(line)
}

/// What of the server's side could not be read: it may be what explains the rest.
fn unread(fleet: &Fleet<'_>, pair: &Pair<'_>) -> Vec<String> {
    let server = fleet.servers[pair.server].seen;
    let mut lines = Vec::new();
    let mut add = |what: &str, why: Option<&String>| {
        lines.extend(why.map(|why| format!("{what} could not be read: {why}")));
    };
    add("the agent's list", why(&server.held));
    add("the packages on the disk", why(&server.on_disk));
    if let Some(disk) = pair.disk {
        add("snapshot.xml", why(&disk.snapshot));
        add("PackageStatus.xml", why(&disk.status_file));
        add("the content", why(&disk.content));
        add("the content by its hashes", why(&disk.hashes));
    }
    lines
}

fn why<T>(seen: &Seen<T>) -> Option<&String> {
    match seen {
        Seen::Unreadable(why) => Some(why),
        Seen::Known(_) | Seen::NotAsked => None,
    }
}

fn notification_server_stale(fleet: &Fleet<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let now = fleet.servers[pair.server].seen.at.unwrap_or(fleet.taken);
    let since = pair.held.and_then(|held| held.since).filter(|since| *since <= now);
    let done = since.map(|since| words::seconds_between(since, now));
    let made = age_of_version(fleet, pair);
    if done.is_some_and(|age| age < REPORT) || made.is_some_and(|age| age < JUST_MADE) {
        let reason =
            "the agent's report is on its way through the event queue; look again in half an hour";
        let answer = Answer::Wait(reason.to_owned());
        return Cause::new(Verdict::StillDownloading, Place::Pair(index), answer)
            .certainty(Certainty::Likely)
            .severity(Severity::Note)
            .seen_all(
                made.map(|age| format!("the current version was made {} ago", words::span(age))),
            )
            .seen_all(done.map(|age| format!("the agent has been done for {}", words::span(age))));
    }
    let answer = Answer::Run(vec![Playbook::UpdateAndResend, Playbook::ResyncStalePackages]);
    let is_proven =
        pair.is_whole() && pair.disk_version() == pair.current() && pair.row().is_some();
    let certainty = if is_proven { Certainty::Proven } else { Certainty::Likely };
    let not_sent = fleet.recent(pair.server, Signature::EventNotSent).map(words::log);
    let outbound = fleet.servers[pair.server].seen.outbound.known().filter(|queue| queue.files > 0);
    let outbound = outbound.map(|queue| {
        let waits = words::either(queue.files as usize, "event waits", "events wait");
        format!("{waits} on the server to be sent")
    });
    let ns = pair.ns.map(|ns| log_lines(&fleet.notification_servers[ns])).unwrap_or_default();
    let files = pair.is_whole().then(|| {
        let listed = pair.snapshot().map_or(0, |snapshot| snapshot.files);
        format!("all {listed} listed files are there")
    });
    Cause::new(Verdict::NotificationServerStale, Place::Pair(index), answer)
        .certainty(certainty)
        .seen_all(files)
        .seen_all(outbound)
        .seen_all(not_sent)
        .seen_all(ns)
}

/// Seconds since the current version was made; none when it is no moment, or lies ahead.
fn age_of_version(fleet: &Fleet<'_>, pair: &Pair<'_>) -> Option<u64> {
    let made = pair.current()?.moment()?;
    (made <= fleet.taken).then(|| words::seconds_between(made, fleet.taken))
}

fn behind(fleet: &Fleet<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let place = Place::Pair(index);
    if let Some(age) = age_of_version(fleet, pair).filter(|age| *age < NOT_YET_ASKED) {
        let reason = "the version is new, and agents ask for their configuration every four hours; look again then";
        return Cause::new(Verdict::StillDownloading, place, Answer::Wait(reason.to_owned()))
            .certainty(Certainty::Likely)
            .severity(Severity::Note)
            .seen(format!("the current version was made {} ago", words::span(age)));
    }
    let answer = Answer::Run(vec![
        Playbook::ResyncStalePackages,
        Playbook::UpdateAndResend,
        Playbook::ManualSynchronization,
    ]);
    let is_ready = pair.row().is_some_and(row_is_ready);
    let verdict = if is_ready { Verdict::DriftedButReady } else { Verdict::PackageServerStale };
    let has = pair.version();
    let late = has.zip(pair.current()).and_then(|(has, current)| has.behind(current));
    let certainty = if has.is_some() { Certainty::Proven } else { Certainty::Likely };
    let log = fleet
        .recent(pair.server, Signature::PackageServerOlder)
        .filter(|finding| older_version(&finding.text).is_some());
    Cause::new(verdict, place, answer)
        .certainty(certainty)
        .seen_all(late.map(|late| format!("it is {} behind", words::span(late.as_secs()))))
        .seen_all(log.map(words::log))
}

/// A download is nothing but that for a while, and for as long as it gets on.
fn downloading(fleet: &Fleet<'_>, history: &History<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let grace = fleet.expectations.download_grace.as_secs();
    let host = fleet.host(pair.server);
    let now = fleet.servers[pair.server].seen.at.unwrap_or(fleet.taken);
    let since = pair.held.and_then(|held| held.since).filter(|since| *since <= now);
    let waited = since.map(|since| words::seconds_between(since, now));
    let gets_on = history.gets_on(host, pair);
    let is_new = age_of_version(fleet, pair).is_some_and(|age| age < grace);
    // However long it has tried: what is current now, it need not have asked for yet.
    let is_unasked = age_of_version(fleet, pair).is_some_and(|age| age < NOT_YET_ASKED);
    let is_in_time = is_unasked || waited.map_or(is_new, |waited| waited < grace);
    let is_told = waited.is_some() || is_new;
    let waits = waited.map(|waited| format!("on its way for {}", words::span(waited)));
    if gets_on || is_in_time || !is_told {
        let certainty = if gets_on || is_in_time { Certainty::Likely } else { Certainty::Possible };
        let reason = format!(
            "a download may take up to {}; look again then, with --watch to see whether it gets on",
            words::span(grace)
        );
        return Cause::new(Verdict::StillDownloading, Place::Pair(index), Answer::Wait(reason))
            .certainty(certainty)
            .severity(Severity::Note)
            .seen_all(waits)
            .seen_all(gets_on.then(|| "fewer files are missing than before".to_owned()));
    }
    unknown(index, "it is on its way for longer than a download takes").seen_all(waits)
}

/// The agent itself says Invalid (KB 181405, symptoms).
fn invalid(fleet: &Fleet<'_>, history: &History<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let has_damage = pair
        .disk
        .and_then(|disk| disk.content.known())
        .is_some_and(|content| !content.wrong_hash.is_empty() || !content.wrong_size.is_empty());
    let is_behind = pair.version().zip(pair.current()).is_some_and(|(has, now)| has < now);
    if is_behind {
        return behind(fleet, pair, index)
            .certainty(Certainty::Likely)
            .seen("the agent itself calls the old version invalid");
    }
    if has_damage {
        return damaged(fleet, history, pair, index);
    }
    unknown(index, "the agent says that the package is invalid")
}

/// Files that are missing at one look are a damage, or were deleted, or are moved just now: what has
/// the whole fleet download anew is proposed for what stays.
fn damaged(fleet: &Fleet<'_>, history: &History<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let content = pair.disk.and_then(|disk| disk.content.known());
    let lines = content.into_iter().flat_map(|content| {
        let line = |what: &str, names: &Vec<String>| {
            (!names.is_empty()).then(|| {
                let many = words::count(names.len(), "file");
                format!("{many} of {} {what}: {}", content.listed, words::list(names))
            })
        };
        [
            line("with the right size and another hash", &content.wrong_hash),
            line("with another size", &content.wrong_size),
            line("missing", &content.missing),
        ]
    });
    let certainty = match content {
        Some(content) if !content.wrong_hash.is_empty() => Certainty::Proven,
        Some(content) if !content.wrong_size.is_empty() => Certainty::Likely,
        _ if history.stays_missing(fleet.host(pair.server), pair) => Certainty::Likely,
        _ => Certainty::Possible,
    };
    let answer = Answer::Run(match certainty {
        Certainty::Possible => vec![Playbook::RedownloadLoop],
        Certainty::Proven | Certainty::Likely => vec![Playbook::RedownloadPackages],
    });
    let again = (certainty == Certainty::Possible).then(|| {
        "one look does not tell whether they stay missing: look again, with --watch".to_owned()
    });
    Cause::new(Verdict::HashDamaged, Place::Pair(index), answer)
        .certainty(certainty)
        .seen_all(lines.flatten())
        .seen_all(again)
}

/// The agent's own removal is under way: nothing may be touched (KB 178503, KB 433153).
fn being_removed(fleet: &Fleet<'_>, pair: &Pair<'_>, index: usize) -> Cause {
    let policy = fleet.servers[pair.server].seen.policy.known();
    let is_assigned = policy
        .and_then(|policy| policy.packages.as_ref())
        .is_some_and(|packages| packages.contains(&pair.package));
    let line = "it is marked Deleted: the agent's own removal is under way, and is left alone";
    let (answer, severity) = if is_assigned {
        let instruction = "a policy assigns the package that the agent is removing; see in the console that it is \
                           assigned, and let the agent refresh its packages; do not delete its folders (KB 433153)";
        (Answer::Person(instruction.to_owned(), None), Severity::Warning)
    } else {
        let reason = "the agent removes the package after the time in Package Service Settings";
        (Answer::Wait(reason.to_owned()), Severity::Note)
    };
    Cause::new(Verdict::Unknown, Place::Pair(index), answer)
        .severity(severity)
        .seen(line)
        .seen_all(fleet.recent(pair.server, Signature::MarkedDeleted).map(words::log))
        .seen_all(
            (pair.agent == Agent::Deleted && is_assigned)
                .then(|| "the server's policy assigns it".to_owned()),
        )
}
