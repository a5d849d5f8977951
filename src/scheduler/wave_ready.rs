//! Whether the wave before is Ready, by what the CMDB says of its hosts' work.
//!
//! It is asked again until all of it is Ready, until `within` has passed, or until more waiting
//! cannot help, as for the oracle. What is left then is measured by the wave's budget: hosts that
//! ended badly and hosts that are not Ready are counted together.

use std::collections::BTreeSet;

use super::oracle::SETTLED;
use super::play::PlayRun;
use crate::event::{NotReady, OracleReport};
use crate::model::{Elapsed, GateVerdict, HostName, TimeScale};

/// Hosts that are named.
const NAMED: usize = 5;

/// The pairs that were left at the latest answer, and since when they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Left(Option<(Elapsed, Vec<NotReady>)>);

/// Judges the wave before the next one of the play.
pub(super) fn judge_wave(
    play: &PlayRun,
    report: &OracleReport,
    left: &mut Left,
    now: Elapsed,
    deadline: Elapsed,
    scale: TimeScale,
) -> (GateVerdict, String) {
    let told = report.ready as usize + report.not_ready.len();
    if report.of == 0 || told < report.of as usize {
        return (GateVerdict::Unreadable, "the CMDB says nothing of the wave's work".to_owned());
    }
    let waited_for: Vec<NotReady> =
        report.not_ready.iter().filter(|pair| play.is_well(&pair.host)).cloned().collect();
    let hosts: BTreeSet<&HostName> = waited_for.iter().map(|pair| &pair.host).collect();
    let of = format!("{} of {} pairs Ready", report.ready, report.of);
    if hosts.is_empty() {
        return (GateVerdict::Pass, of);
    }
    let mut names: Vec<&str> = hosts.iter().take(NAMED).map(|host| host.short()).collect();
    if hosts.len() > NAMED {
        names.push("…");
    }
    let seen = format!("{of}; not yet: {}", names.join(", "));
    let is_hopeless = waited_for.iter().all(|pair| pair.is_refused);
    let count = hosts.len();
    let since = match left.0.take() {
        Some((since, before)) if before == waited_for => since,
        Some(_) | None => now,
    };
    left.0 = Some((since, waited_for));
    let is_settled = is_hopeless && now.since(since) >= scale.to_real(SETTLED);
    if now < deadline && !is_settled {
        return (GateVerdict::Pending, seen);
    }
    let budget = play.wave.checked_sub(1).and_then(|wave| play.waves.get(wave)).map(|w| w.budget);
    let (bad, tolerated) = budget.map_or((0, 0), |budget| (budget.bad(), budget.tolerated()));
    let bad = bad as usize + count;
    if bad <= tolerated as usize {
        return (GateVerdict::Pass, format!("{seen}; {bad} bad hosts, {tolerated} tolerated"));
    }
    (GateVerdict::Fail, seen)
}
