//! What the scheduler would tell an operator now.

use super::play::{PlayRun, Stay, WaitsFor};
use super::scheduler::{Scheduler, Stage};
use crate::event::{Gauge, InFlight, WaitReason};
use crate::model::Now;

impl Scheduler {
    /// The present state: what is in flight, what waits and why, and how the limits stand.
    pub fn gauge(&self, now: Now) -> Gauge {
        let Stage::Running(play) = &self.stage else {
            // A play that waits for its window has taken nobody.
            let waits = |number: crate::model::PlayNo| {
                let hosts = self.draft.plays.get(usize::from(number.0))?.hosts.len();
                self.hold(now).map(|hold| (hold.why, hosts))
            };
            let waiting = match &self.stage {
                Stage::Before(number) if self.hours_of == Some(*number) => waits(*number),
                _ => None,
            };
            let oracle_until = match &self.stage {
                Stage::Asking(_, watch) => Some(watch.deadline()),
                _ => None,
            };
            return Gauge {
                limits: self.limit_gauges(now),
                oracle_until,
                waiting: waiting.into_iter().collect(),
                ..Gauge::default()
            };
        };
        let limits = self.limiter.waiting(now.elapsed).into_iter();
        let mut waiting: Vec<(WaitReason, usize)> =
            limits.map(|((name, by), steps)| (WaitReason::Limit(name, by), steps)).collect();
        for ((name, by), steps) in self.sharing.waiting() {
            waiting.push((WaitReason::OtherRuns(name, by), steps));
        }
        if let Some((trouble, waiters)) = self.sharing.trouble() {
            waiting.push((WaitReason::Ledger(trouble.to_owned()), waiters));
        }
        let held = self.hold(now);
        let held_until = held.as_ref().and_then(|hold| hold.until);
        waiting.extend(waiting_hosts(play, held.map(|hold| hold.why)));
        waiting.sort();
        Gauge {
            in_flight: in_flight(play),
            waiting,
            limits: self.limit_gauges(now),
            held_until,
            oracle_until: None,
            // The driver knows.
            asking: 0,
            window: play.ramp.window(),
        }
    }
}

fn in_flight(play: &PlayRun) -> Vec<InFlight> {
    let mut steps: Vec<InFlight> = play
        .active
        .iter()
        .filter_map(|place| match &play.hosts[*place].stay {
            Stay::At(running) => Some(InFlight {
                step: play.step(*place),
                since: running.since,
                phase: running.phase,
            }),
            Stay::Pending | Stay::Entering | Stay::Waits(_) | Stay::Left | Stay::Ended(_) => None,
        })
        .collect();
    steps.sort_by_key(|step| step.since);
    steps
}

/// Hosts that are not in flight: those of this wave by the site that is full, else by what holds the
/// play up, else by the slow start or `throttle`; those of later waves.
fn waiting_hosts(play: &PlayRun, held: Option<WaitReason>) -> Vec<(WaitReason, usize)> {
    let (mut throttled, mut waiting) = (0, Vec::new());
    // A wave that is held up before it opens has asked for nothing yet.
    if let Some(wave) = play.waves.get(play.wave).filter(|wave| !wave.is_started) {
        throttled += wave.open;
    }
    for (limit, hosts) in play.admission.waiting() {
        match limit {
            Some((name, value)) => {
                waiting.push((WaitReason::Limit(name, Some(value)), hosts));
            }
            None => throttled += hosts,
        }
    }
    let count = |what| {
        let waits = |place: &&usize| play.hosts[**place].stay == Stay::Waits(what);
        play.active.iter().filter(waits).count()
    };
    waiting.push((WaitReason::Window, play.admission.waiting_outside()));
    waiting.push((WaitReason::Once, count(WaitsFor::Once)));
    waiting.push((WaitReason::Delegate, count(WaitsFor::Delegate)));
    if let Some(held) = &held {
        waiting.push((held.clone(), count(WaitsFor::Gate)));
    }
    let later = play.waves.iter().skip(play.wave + 1).map(|wave| wave.open).sum();
    let here = held.unwrap_or(match play.come_first().is_empty() {
        true => WaitReason::Throttle,
        false => WaitReason::Once,
    });
    match waiting.iter_mut().find(|(why, _)| *why == here) {
        Some((_, hosts)) => *hosts += throttled,
        None => waiting.push((here, throttled)),
    }
    waiting.push((WaitReason::Wave, later));
    waiting.retain(|(_, hosts)| *hosts > 0);
    waiting
}
