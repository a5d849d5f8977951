//! Causes that lie with a Notification Server: its queue, and what could not be read of it.

use super::cause::{Answer, Cause, Place};
use super::fleet::{Fleet, recent};
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::evidence::{
    EventQueue, NotificationServerEvidence, QueueSample, Seen, ServiceSeen,
};
use crate::itms::signature::Signature;

/// A queue that stands has fewer entries than this (KB 205352).
const FEW: u64 = 50;
/// So many entries are a long queue, however young they are.
const MANY: u64 = 200;
/// Entries that are as old as this are not worked off as they should be, in seconds.
const OLD: u64 = 15 * 60;
/// A few entries that are as old as this stand, in seconds.
const VERY_OLD: u64 = 3600;

pub(super) fn causes(fleet: &Fleet<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (ns, seen) in fleet.notification_servers.iter().enumerate() {
        let pairs = fleet.pairs.iter().enumerate();
        let reach: Vec<usize> =
            pairs.filter(|(_, pair)| pair.ns == Some(ns)).map(|(index, _)| index).collect();
        causes.extend(queue(ns, seen, reach));
        causes.extend(unread(ns, seen));
        causes.extend(ambiguous(fleet, ns));
    }
    causes
}

/// What the queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Fine,
    Long(Certainty),
    Stands(Certainty),
}

fn queue(ns: usize, seen: &NotificationServerEvidence, reach: Vec<usize>) -> Option<Cause> {
    let is_stopped = |service: &ServiceSeen| service.state.trim().eq_ignore_ascii_case("stopped");
    let dispatcher = seen.dispatcher.known().filter(|service| is_stopped(service));
    let (flow, lines) = match &seen.queue {
        Seen::Known(queue) => (flow(queue), told(queue)),
        Seen::Unreadable(_) | Seen::NotAsked => (Flow::Fine, Vec::new()),
    };
    let flow = if dispatcher.is_some() { Flow::Stands(Certainty::Proven) } else { flow };
    let place = Place::NotificationServer(ns);
    let stopped = dispatcher
        .map(|service| format!("service AltirisClientMsgDispatcher is {}", service.state.trim()));
    match flow {
        Flow::Fine => None,
        Flow::Long(certainty) => {
            let answer = Answer::Wait(
                "the queue is worked off; look again when it is short, and start nothing that makes \
                 more events until then"
                    .to_owned(),
            );
            let cause = Cause::new(Verdict::EventQueueVolume, place, answer)
                .severity(Severity::Warning)
                .certainty(certainty);
            Some(cause.seen_all(lines).reaching(reach))
        }
        Flow::Stands(certainty) => {
            let answer = Answer::Run(vec![Playbook::RestartEventDispatcher]);
            let cause = Cause::new(Verdict::EventQueueStall, place, answer).certainty(certainty);
            Some(cause.seen_all(lines).seen_all(stopped).reaching(reach))
        }
    }
}

/// KB 205352: few entries that are hours old and do not move stand; many that move are a volume.
fn flow(queue: &EventQueue) -> Flow {
    let last = queue.second.as_ref().unwrap_or(&queue.first);
    if last.entries == 0 {
        return Flow::Fine;
    }
    let age = last.oldest_file_seconds;
    let is_old = |limit: u64| age.is_some_and(|seconds| seconds >= limit);
    match moves(queue) {
        Some(false) if is_old(OLD) => Flow::Stands(Certainty::Proven),
        // Without the age of its files: the first entry of a queue that works is soon another.
        Some(false) if age.is_none() => Flow::Stands(Certainty::Likely),
        Some(false) => Flow::Fine,
        Some(true) if last.entries >= MANY || (last.entries >= FEW && is_old(OLD)) => {
            Flow::Long(Certainty::Proven)
        }
        Some(true) => Flow::Fine,
        None if last.entries >= MANY => Flow::Long(Certainty::Possible),
        None if last.entries < FEW && is_old(VERY_OLD) => Flow::Stands(Certainty::Likely),
        None => Flow::Fine,
    }
}

/// Whether the oldest entry is another one at the second look; none without two looks that can be
/// compared.
fn moves(queue: &EventQueue) -> Option<bool> {
    let second = queue.second.as_ref()?;
    let (before, after) = (queue.first.oldest_id?, second.oldest_id?);
    (second.at > queue.first.at).then_some(after > before)
}

fn told(queue: &EventQueue) -> Vec<String> {
    let look = |sample: &QueueSample| {
        let age = sample.oldest_file_seconds;
        let age =
            age.map_or(String::new(), |age| format!(", the oldest file {} old", words::span(age)));
        let oldest = sample.oldest_id;
        let oldest = oldest.map_or(String::new(), |id| format!(", the oldest has id {id}"));
        let entries = if sample.entries == 1 { "entry" } else { "entries" };
        format!("{}: {} {entries}{oldest}{age}", sample.at.strftime("%H:%M:%S UTC"), sample.entries)
    };
    std::iter::once(&queue.first).chain(&queue.second).map(look).collect()
}

/// What of the CMDB could not be read hides everything else.
fn unread(ns: usize, seen: &NotificationServerEvidence) -> Option<Cause> {
    let mut lines = Vec::new();
    for (what, why) in [
        ("the rows of SWDPackageServer", unread_of(&seen.rows)),
        ("the packages that are offered", unread_of(&seen.packages)),
    ] {
        lines.extend(why.map(|why| format!("{what} {why}")));
    }
    if lines.is_empty() {
        return None;
    }
    let answer = Answer::Person(
        "see that the CMDB can be reached (server, port, tunnel) and that the account may read it, then \
         diagnose again: without the rows only half is seen"
            .to_owned(),
        None,
    );
    Some(Cause::new(Verdict::Unknown, Place::NotificationServer(ns), answer).seen_all(lines))
}

/// Rows of a server whose name several of those examined have are counted for none of them.
fn ambiguous(fleet: &Fleet<'_>, ns: usize) -> Option<Cause> {
    let rows = fleet.ambiguous.iter().filter(|((of, _), _)| *of == ns);
    let lines: Vec<String> = rows
        .map(|((_, guid), found)| {
            let hosts: Vec<&str> =
                found.servers.iter().map(|server| fleet.host(*server).as_str()).collect();
            let count = words::count(found.rows, "row");
            format!("{count} for {} {guid}, which could be {}", found.name, hosts.join(" or "))
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let answer = Answer::Person(
        "say in the inventory by `itms_guid` which host is which server, then diagnose again: until \
         then these rows are counted for none of them"
            .to_owned(),
        None,
    );
    let place = Place::NotificationServer(ns);
    Some(Cause::new(Verdict::Unknown, place, answer).severity(Severity::Warning).seen_all(lines))
}

fn unread_of<T>(seen: &Seen<T>) -> Option<String> {
    match seen {
        Seen::Known(_) => None,
        Seen::Unreadable(why) => Some(format!("could not be read: {why}")),
        Seen::NotAsked => Some("were not asked for".to_owned()),
    }
}

/// What the Notification Server's log has on events and snapshots.
pub(super) fn log_lines(seen: &NotificationServerEvidence) -> Vec<String> {
    [Signature::EventNotProcessed, Signature::SnapshotRollback]
        .into_iter()
        .filter_map(|signature| recent(&seen.log, signature))
        .map(|finding| format!("Notification Server's {}", words::log(finding)))
        .collect()
}
