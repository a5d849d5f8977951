//! One limit as several runs share it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bucket, ClaimId, Load, Moment, SharedSpec};
use crate::model::RunId;

/// How long one waits at least before it asks again for what another one must give back, or draw,
/// first. Who has waited long asks less often: an eighth of that, up to the longest.
const POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(1);
/// How long after the time that it was told a ticket keeps its place when its owner does not ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// A claim of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    run: RunId,
    claim: ClaimId,
}

/// A place in the queue of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ticket {
    owner: Owner,
    load: Load,
    since: Duration,
    /// When its owner should have asked again.
    until: Duration,
}

/// One limit: its bucket, the places in flight that are held, and who waits, in the order in which
/// they asked.
///
/// INVARIANT: `held` is at most the cap that holds when one is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedPool {
    stretch: String,
    bucket: Option<Bucket>,
    /// What each run that has drawn or waits allows; the tightest holds.
    declared: Vec<(RunId, SharedSpec)>,
    held: Vec<Owner>,
    queue: Vec<Ticket>,
}

impl SharedPool {
    /// A limit from which nothing was drawn.
    pub(super) fn new(now: &Moment) -> Self {
        let stretch = now.stretch.clone();
        Self { stretch, bucket: None, declared: Vec::new(), held: Vec::new(), queue: Vec::new() }
    }

    /// Goes on at this moment. When the clock began anew, or went back, the time in between gives
    /// back nothing.
    pub(super) fn arrive(&mut self, now: &Moment) {
        let has_begun_anew = self.stretch != now.stretch;
        let bucket = self.bucket.as_mut();
        let has_gone_back = bucket.as_ref().is_some_and(|bucket| !bucket.is_reached(now.at));
        if !has_begun_anew && !has_gone_back {
            return;
        }
        self.stretch.clone_from(&now.stretch);
        if let Some(bucket) = bucket {
            // All that a new clock counts came after the last draw.
            bucket.carry_over(if has_begun_anew { Duration::ZERO } else { now.at });
        }
        let latest = now.at + PATIENCE;
        self.queue.iter_mut().for_each(|ticket| ticket.until = ticket.until.min(latest));
    }

    /// Lets what a run allows hold, as far as it is tighter than what others allow.
    pub(super) fn declare(&mut self, run: RunId, spec: SharedSpec, now: Duration) {
        match self.declared.iter_mut().find(|(other, _)| *other == run) {
            Some((_, before)) if *before == spec => return,
            Some((_, before)) => *before = spec,
            None => self.declared.push((run, spec)),
        }
        self.retune(now);
    }

    /// What holds now.
    fn spec(&self) -> SharedSpec {
        let specs = self.declared.iter().map(|(_, spec)| *spec);
        specs.reduce(SharedSpec::tighter).unwrap_or(SharedSpec { rate: None, in_flight: None })
    }

    fn retune(&mut self, now: Duration) {
        match (self.spec().rate, &mut self.bucket) {
            (Some((rate, burst)), Some(bucket)) => bucket.retune(rate, burst, now),
            (Some((rate, burst)), none) => *none = Some(Bucket::new(rate, burst, now)),
            // What was drawn stays drawn, should somebody declare a rate again.
            (None, _) => {}
        }
    }

    pub(super) fn has(&self, run: RunId, claim: ClaimId) -> bool {
        self.held.contains(&Owner { run, claim })
    }

    /// How long a claim must wait at least; none when it may draw now.
    pub(super) fn wait(
        &mut self,
        run: RunId,
        claim: ClaimId,
        load: Load,
        now: Duration,
    ) -> Option<Duration> {
        let owner = Owner { run, claim };
        self.queue.retain(|ticket| ticket.until >= now || ticket.owner == owner);
        let spec = self.spec();
        let ahead = self.queue.iter().take_while(|ticket| ticket.owner != owner);
        let ahead: Vec<Load> = ahead.map(|ticket| ticket.load).collect();
        let mut wait = Duration::ZERO;
        if let Some(bucket) = self.bucket.as_ref().filter(|_| spec.rate.is_some()) {
            let (mut bucket, mut at) = (bucket.clone(), now);
            for load in &ahead {
                at = bucket.not_before(*load, at).max(at);
                bucket.draw(*load, at);
            }
            wait = bucket.not_before(load, at).max(at).saturating_sub(now);
        }
        let is_full = spec.in_flight.is_some_and(|cap| self.held.len() >= cap.max(1) as usize);
        if is_full {
            let own = self.queue.iter().find(|ticket| ticket.owner == owner);
            let waited = own.map_or(Duration::ZERO, |ticket| now.saturating_sub(ticket.since));
            wait = wait.max((waited / 8).clamp(POLL, LONGEST_POLL));
        } else if !ahead.is_empty() {
            wait = wait.max(POLL);
        }
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes what a claim draws; what it waits for no more is forgotten.
    pub(super) fn take(
        &mut self,
        run: RunId,
        claim: ClaimId,
        load: Load,
        now: Duration,
    ) -> Option<f64> {
        let owner = Owner { run, claim };
        self.queue.retain(|ticket| ticket.owner != owner);
        self.held.push(owner);
        let is_rated = self.spec().rate.is_some();
        let bucket = self.bucket.as_mut().filter(|_| is_rated)?;
        bucket.draw(load, now);
        Some(bucket.available(now))
    }

    /// Gives a claim a place in the queue, or lets it keep the one that it has.
    pub(super) fn enqueue(
        &mut self,
        run: RunId,
        claim: ClaimId,
        load: Load,
        now: Duration,
        told: Duration,
    ) {
        let owner = Owner { run, claim };
        match self.queue.iter_mut().find(|ticket| ticket.owner == owner) {
            // Most who ask again change nothing, so that nothing is written.
            Some(ticket) if ticket.until > told + PATIENCE / 2 => {}
            Some(ticket) => ticket.until = told + PATIENCE,
            None => {
                self.queue.push(Ticket { owner, load, since: now, until: told + PATIENCE });
            }
        }
    }

    /// Gives back what a claim holds here, and its place in the queue.
    pub(super) fn give_back(&mut self, run: RunId, claim: ClaimId) {
        let owner = Owner { run, claim };
        self.held.retain(|other| *other != owner);
        self.queue.retain(|ticket| ticket.owner != owner);
    }

    /// Forgets a run that has ended: its places, its tickets, and what it allowed. What it drew
    /// stays drawn.
    pub(super) fn forget(&mut self, run: RunId, now: Duration) {
        self.held.retain(|owner| owner.run != run);
        self.queue.retain(|ticket| ticket.owner.run != run);
        let before = self.declared.len();
        self.declared.retain(|(other, _)| *other != run);
        // Where nobody is left, the last word holds until somebody has another one.
        if self.declared.len() < before && !self.declared.is_empty() {
            self.retune(now);
        }
    }

    /// The runs that hold, wait or declare something here.
    pub fn runs(&self) -> impl Iterator<Item = RunId> {
        let held = self.held.iter().map(|owner| owner.run);
        let queued = self.queue.iter().map(|ticket| ticket.owner.run);
        held.chain(queued).chain(self.declared.iter().map(|(run, _)| *run))
    }

    /// How many places in flight are held.
    pub fn in_flight(&self) -> usize {
        self.held.len()
    }

    /// Whether it can be forgotten: nobody could tell it from a new one.
    pub fn is_idle(&self, now: &Moment) -> bool {
        self.stretch == now.stretch
            && self.runs().next().is_none()
            && self.bucket.as_ref().is_none_or(|bucket| bucket.is_idle(now.at))
    }
}
