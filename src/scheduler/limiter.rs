//! The named limits that changes draw from.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use indexmap::IndexMap;

use super::admission::is_for_hosts;
use super::curb::{Curb, Share};
use super::sharing::Drawn;
use crate::event::LimitGauge;
use crate::ledger::{Bucket, Load};
use crate::model::{
    Cost, Draw, Elapsed, LimitName, LimitScope, LimitSpec, Limits, StepId, TimeScale,
};

/// A limit; for one that is split by a host variable, one of its values. Hosts without the
/// variable share one.
type Key = (LimitName, Option<String>);

/// What was drawn since it was last asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fresh {
    /// What comes at once, and what comes later at a time that nobody knows.
    pub(super) draw: Draw,
    /// Units that fall due, and how long after the draw, in real time.
    pub(super) due: Vec<(u32, Duration)>,
}

impl Fresh {
    pub(super) fn is_empty(&self) -> bool {
        self.draw.total() == 0 && self.due.is_empty()
    }

    fn take(&mut self, load: Load) {
        self.draw.now = self.draw.now.saturating_add(load.draw.now);
        self.draw.later = self.draw.later.saturating_add(load.draw.later);
        self.due.extend(load.due.filter(|(units, _)| *units > 0));
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pool {
    bucket: Option<Bucket>,
    cap: Option<u32>,
    /// Where the limit adapts: what holds it below the declared one.
    curb: Option<Curb>,
    in_flight: u32,
    booked: u64,
    /// Where the limit adapts: what was drawn since it was last asked for.
    fresh: Fresh,
}

impl Pool {
    fn has_slot(&self) -> bool {
        let is_curbed = self.curb.as_ref().is_some_and(|curb| !curb.has_slot(self.in_flight));
        !is_curbed && self.cap.is_none_or(|cap| self.in_flight < cap)
    }

    fn not_before(&self, load: Load, now: Elapsed) -> Elapsed {
        let not_before = |bucket: &Bucket| Elapsed::ZERO.plus(bucket.not_before(load, now));
        let declared = self.bucket.as_ref().map_or(now, not_before);
        let curbed = self.curb.as_ref().map_or(now, |curb| curb.not_before(load, now));
        declared.max(curbed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiter {
    step: StepId,
    draws: Vec<(usize, Load)>,
}

/// All limits, and the steps that wait for them.
///
/// A step takes all that it draws or nothing. Waiters of one limit are served in the order in
/// which they came: a large draw is never overtaken at any of its limits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limiter {
    limits: Limits,
    scale: TimeScale,
    pools: IndexMap<Key, Pool>,
    waiters: VecDeque<Waiter>,
    held: HashMap<StepId, Vec<(usize, Load)>>,
    /// The share of each limit that adapts.
    shares: BTreeMap<LimitName, Share>,
}

impl Limiter {
    pub(super) fn new(scale: TimeScale) -> Self {
        let limits = Limits(IndexMap::new());
        let (pools, waiters, held) = (IndexMap::new(), VecDeque::new(), HashMap::new());
        Self { limits, scale, pools, waiters, held, shares: BTreeMap::new() }
    }

    /// Lets other limits hold; what was drawn stays drawn.
    pub(super) fn retune(&mut self, limits: &Limits, now: Elapsed) {
        self.limits = limits.clone();
        for ((name, _), pool) in &mut self.pools {
            let spec = limits.0.get(name);
            pool.cap = spec.and_then(|spec| spec.in_flight).map(|cap| cap.max(1));
            match (spec.and_then(|spec| Some((spec.rate?, spec.burst))), &mut pool.bucket) {
                (Some((rate, burst)), Some(bucket)) => {
                    bucket.retune(rate.per_second(self.scale), burst, now);
                }
                (Some((rate, burst)), none) => {
                    *none = Some(Bucket::new(rate.per_second(self.scale), burst, now));
                }
                (None, bucket) => *bucket = None,
            }
        }
        for (name, share) in self.shares.clone() {
            self.adapt(&name, Some(share), now);
        }
    }

    /// Holds a limit at this share of what is declared, or lets the declared limit hold alone.
    pub(super) fn adapt(&mut self, name: &LimitName, share: Option<Share>, now: Elapsed) {
        match share {
            Some(share) => drop(self.shares.insert(name.clone(), share)),
            None => drop(self.shares.remove(name)),
        }
        let spec = self.limits.0.get(name);
        let own = self.pools.iter_mut().filter(|((own, _), _)| own == name);
        for pool in own.map(|(_, pool)| pool) {
            pool.curb = spec.zip(share).map(|(spec, share)| {
                let curb = pool.curb.take();
                let mut curb = curb.unwrap_or_else(|| Curb::new(spec, self.scale, now));
                curb.set(spec, share, self.scale, now);
                curb
            });
        }
    }

    /// What was drawn from a limit since this was last asked.
    pub(super) fn take_drawn(&mut self, name: &LimitName) -> Fresh {
        let own = self.pools.iter_mut().filter(|((own, _), _)| own == name);
        own.fold(Fresh::default(), |mut all, (_, pool)| {
            let fresh = std::mem::take(&mut pool.fresh);
            all.take(fresh.draw.into());
            all.due.extend(fresh.due);
            all
        })
    }

    /// Lets a step wait for what it draws.
    pub(super) fn ask(
        &mut self,
        step: StepId,
        cost: &Cost,
        values: &BTreeMap<String, String>,
        now: Elapsed,
    ) {
        let draws = self.draws(cost, values, now);
        self.waiters.push_back(Waiter { step, draws });
    }

    /// Books what an earlier process drew.
    pub(super) fn book(&mut self, cost: &Cost, values: &BTreeMap<String, String>, at: Elapsed) {
        for (place, draw) in self.draws(cost, values, at) {
            self.pools[place].booked += draw.total();
            if let Some(bucket) = &mut self.pools[place].bucket {
                bucket.draw(draw, at);
            }
        }
    }

    /// Takes what waiting steps draw, as far as there is room, and returns those steps.
    pub(super) fn grant(&mut self, now: Elapsed) -> Vec<StepId> {
        let mut granted = Vec::new();
        let mut blocked = HashSet::new();
        for waiter in std::mem::take(&mut self.waiters) {
            if self.obstacle(&waiter, &blocked, now).is_some() {
                blocked.extend(waiter.draws.iter().map(|(place, _)| *place));
                self.waiters.push_back(waiter);
                continue;
            }
            for (place, draw) in &waiter.draws {
                let pool = &mut self.pools[*place];
                // INVARIANT: in_flight <= cap
                pool.in_flight += 1;
                pool.booked += draw.total();
                if let Some(bucket) = &mut pool.bucket {
                    bucket.draw(*draw, now);
                }
                if let Some(curb) = &mut pool.curb {
                    curb.draw(*draw, now);
                    pool.fresh.take(*draw);
                }
            }
            self.held.insert(waiter.step.clone(), waiter.draws);
            granted.push(waiter.step);
        }
        granted
    }

    /// What a step was granted.
    pub(super) fn drawn(&self, step: &StepId) -> impl Iterator<Item = Drawn<'_>> {
        let held = self.held.get(step).into_iter().flatten();
        held.filter_map(|(place, load)| {
            let ((name, by), _) = self.pools.get_index(*place)?;
            let spec = self.limits.0.get(name)?;
            Some(Drawn { name, by: by.as_ref(), spec, load: *load })
        })
    }

    /// Takes in what the ledger said is left where a step drew from limits that are shared, in the
    /// order of those: what other runs drew is missing here as well, and is not asked for in vain.
    pub(super) fn learn(&mut self, step: &StepId, left: &[Option<f64>], now: Elapsed) {
        let is_shared = |place: &usize| {
            let name = self.pools.get_index(*place).map(|((name, _), _)| name);
            let spec = name.and_then(|name| self.limits.0.get(name));
            spec.is_some_and(|spec| spec.scope == LimitScope::Controller)
        };
        let places = self.held.get(step).into_iter().flatten().map(|(place, _)| *place);
        let places: Vec<usize> = places.filter(is_shared).collect();
        for (place, left) in places.into_iter().zip(left) {
            if let (Some(bucket), Some(left)) = (&mut self.pools[place].bucket, left) {
                bucket.lower_to(*left, now);
            }
        }
    }

    /// Gives back what a step held, or stops its waiting.
    pub(super) fn release(&mut self, step: &StepId) {
        for (place, _) in self.held.remove(step).unwrap_or_default() {
            let pool = &mut self.pools[place];
            pool.in_flight = pool.in_flight.saturating_sub(1);
        }
        self.release_waiter(step);
    }

    /// Lets a step wait anew that was granted what it draws and did not begin; it comes before all
    /// others. The time that it drew from limits over time is lost.
    pub(super) fn put_back(&mut self, step: &StepId) {
        let Some(draws) = self.held.remove(step) else { return };
        for (place, load) in &draws {
            let pool = &mut self.pools[*place];
            pool.in_flight = pool.in_flight.saturating_sub(1);
            pool.booked = pool.booked.saturating_sub(load.total());
        }
        self.waiters.push_front(Waiter { step: step.clone(), draws });
    }

    /// Stops the waiting of a step.
    pub(super) fn release_waiter(&mut self, step: &StepId) {
        self.waiters.retain(|waiter| waiter.step != *step);
    }

    /// The next instant at which a waiting step may go by the passing of time alone.
    pub(super) fn next_wakeup(&self, now: Elapsed) -> Option<Elapsed> {
        let mut blocked = HashSet::new();
        let mut next: Option<Elapsed> = None;
        for waiter in &self.waiters {
            let is_first = waiter.draws.iter().all(|(place, _)| !blocked.contains(place));
            if is_first && waiter.draws.iter().all(|(place, _)| self.pools[*place].has_slot()) {
                let instants = waiter.draws.iter();
                let instant =
                    instants.map(|(place, draw)| self.pools[*place].not_before(*draw, now)).max();
                next = next.into_iter().chain(instant).min();
            }
            blocked.extend(waiter.draws.iter().map(|(place, _)| *place));
        }
        next
    }

    /// How many steps wait, by the limit that holds them up.
    pub(super) fn waiting(&self, now: Elapsed) -> IndexMap<Key, usize> {
        let mut counts = IndexMap::new();
        let mut blocked = HashSet::new();
        for waiter in &self.waiters {
            let obstacle = self.obstacle(waiter, &blocked, now);
            blocked.extend(waiter.draws.iter().map(|(place, _)| *place));
            if let Some((key, _)) = obstacle.and_then(|place| self.pools.get_index(place)) {
                *counts.entry(key.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// The limits that something was drawn from, that of the Notification Server first.
    pub(super) fn gauges(&self, now: Elapsed) -> Vec<LimitGauge> {
        let drawn = self.pools.iter().filter(|(_, pool)| pool.booked > 0 || pool.in_flight > 0);
        let mut gauges: Vec<LimitGauge> = drawn
            .map(|((name, by), pool)| LimitGauge {
                name: name.clone(),
                by: by.clone(),
                booked: pool.booked,
                available: pool.bucket.as_ref().map(|bucket| bucket.available(now)),
                in_flight: pool.in_flight,
                cap: pool.curb.as_ref().map_or(pool.cap, Curb::cap),
                share: pool
                    .curb
                    .as_ref()
                    .and_then(|_| self.shares.get(name))
                    .map(|share| share.least()),
                why: None,
            })
            .collect();
        gauges.sort_by_key(|gauge| gauge.name.as_str() != LimitName::NS_IIS);
        gauges
    }

    /// The first limit that holds a waiter up, if any.
    fn obstacle(&self, waiter: &Waiter, blocked: &HashSet<usize>, now: Elapsed) -> Option<usize> {
        let is_free = |place: &usize, draw: Load| {
            let pool = &self.pools[*place];
            !blocked.contains(place) && pool.has_slot() && pool.not_before(draw, now) <= now
        };
        waiter.draws.iter().find(|(place, draw)| !is_free(place, *draw)).map(|(place, _)| *place)
    }

    fn draws(
        &mut self,
        cost: &Cost,
        values: &BTreeMap<String, String>,
        now: Elapsed,
    ) -> Vec<(usize, Load)> {
        let mut draws = Vec::new();
        for (name, draw) in cost.draws() {
            let due = cost.due(name).map(|due| (due.units, self.scale.to_real(due.after)));
            let load = Load { draw, due };
            let spec = self.limits.0.get(name);
            // The host holds its unit already.
            if load.total() == 0 || spec.is_some_and(is_for_hosts) {
                continue;
            }
            let by = spec.and_then(|spec| values.get(spec.by.as_ref()?).cloned());
            let mut pool = spec.map(|spec| pool(spec, self.scale, now)).unwrap_or_default();
            if let Some((spec, share)) = spec.zip(self.shares.get(name)) {
                let curb = pool.curb.insert(Curb::new(spec, self.scale, now));
                curb.set(spec, *share, self.scale, now);
            }
            let entry = self.pools.entry((name.clone(), by));
            draws.push((entry.index(), load));
            entry.or_insert(pool);
        }
        draws
    }
}

fn pool(spec: &LimitSpec, scale: TimeScale, now: Elapsed) -> Pool {
    Pool {
        bucket: spec.rate.map(|rate| Bucket::new(rate.per_second(scale), spec.burst, now)),
        cap: spec.in_flight.map(|cap| cap.max(1)),
        ..Pool::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Draw, HostName, PlayNo, TaskId};

    const NOW: Elapsed = Elapsed::ZERO;

    fn step(number: u16) -> StepId {
        let task = TaskId { play: PlayNo(0), task: 0 };
        StepId { task, host: HostName::new(format!("ps-{number}")) }
    }

    fn limiter() -> Limiter {
        let mut limiter = Limiter::new(TimeScale::REAL);
        limiter.retune(&Limits::default(), NOW);
        limiter
    }

    fn ask(limiter: &mut Limiter, number: u16, cost: &Cost) {
        limiter.ask(step(number), cost, &BTreeMap::new(), NOW);
    }

    #[test]
    fn a_large_draw_is_not_overtaken_by_small_ones() {
        let mut limiter = limiter();
        ask(&mut limiter, 1, &Cost::ns_iis(1, 0));
        ask(&mut limiter, 2, &Cost::ns_iis(3, 0));
        ask(&mut limiter, 3, &Cost::ns_iis(1, 0));

        assert_eq!(limiter.grant(NOW), [step(1)]);
        // One token is missing, and comes after three seconds at 20 a minute.
        assert_eq!(limiter.next_wakeup(NOW), Some(Elapsed::from_millis(3001)));
        assert_eq!(limiter.grant(Elapsed::from_millis(3001)), [step(2)]);
    }

    #[test]
    fn a_step_takes_all_its_limits_or_none() {
        let mut limiter = limiter();
        let cmdb = || Cost::none().and(LimitName::new(LimitName::CMDB), Draw { now: 1, later: 0 });
        ask(&mut limiter, 1, &cmdb());
        ask(&mut limiter, 2, &cmdb());
        let both = cmdb().and(LimitName::new(LimitName::NS_IIS), Draw { now: 1, later: 0 });
        ask(&mut limiter, 3, &both);

        assert_eq!(limiter.grant(NOW), [step(1), step(2)]);
        assert_eq!(limiter.gauges(NOW).len(), 1, "nothing is drawn from ns_iis yet");

        limiter.release(&step(1));
        assert_eq!(limiter.grant(NOW), [step(3)]);
    }

    #[test]
    fn a_unit_in_flight_is_held_until_the_step_ends() {
        let mut limiter = limiter();
        (0..6).for_each(|number| ask(&mut limiter, number, &Cost::ns_iis(0, 1)));
        let later = Elapsed::from_millis(600_000);
        let first = limiter.grant(NOW).len() + limiter.grant(later).len();

        assert!(first <= 5, "{first} changes are in flight");
    }

    #[test]
    fn a_share_of_a_limit_is_never_more_than_the_limit_whatever_it_was_before() {
        let name = LimitName::new(LimitName::NS_IIS);
        // 20 a minute, burst 3, 5 in flight; the share goes up and down.
        for seed in 0..50_u64 {
            let mut limiter = limiter();
            let (mut drawn, mut asked) = (Vec::new(), 0_u16);
            for second in 0..240_u64 {
                let now = Elapsed::from_millis(second * 1000);
                let dice = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(second * 97);
                let share = [0.0, 0.2, 0.55, 1.0, 7.0][(dice % 5) as usize];
                if dice.is_multiple_of(3) {
                    limiter.adapt(&name, Some(Share::of_both(share)), now);
                }
                if dice.is_multiple_of(41) {
                    limiter.retune(&Limits::default(), now);
                }
                asked += 1;
                limiter.ask(step(asked), &Cost::ns_iis(1, 1), &BTreeMap::new(), now);
                for granted in limiter.grant(now) {
                    assert!(limiter.pools[0].in_flight <= 5);
                    drawn.push(second);
                    limiter.release(&granted);
                }
            }
            for (place, from) in drawn.iter().enumerate() {
                for (count, until) in drawn[place..].iter().enumerate() {
                    // Each draw takes two units, of which the last needs one at once.
                    let units = u32::try_from(count * 2 + 1).expect("few draws");
                    let most = 3.0 + f64::from(u32::try_from(until - from).expect("few")) / 3.0;
                    assert!(f64::from(units) <= most + 1e-6, "seed {seed}: {units} of {most}");
                }
            }
        }
    }

    #[test]
    fn a_limit_that_is_held_at_nothing_grants_nothing_and_wakes_nobody() {
        let name = LimitName::new(LimitName::NS_IIS);
        let mut limiter = limiter();
        limiter.adapt(&name, Some(Share::NOTHING), NOW);
        ask(&mut limiter, 1, &Cost::ns_iis(1, 0));

        assert_eq!(limiter.grant(Elapsed::from_millis(600_000)), []);
        assert_eq!(limiter.next_wakeup(NOW), None);
        limiter.adapt(&name, Some(Share::of_both(0.2)), NOW);
        assert_eq!(limiter.grant(NOW), [step(1)]);
        assert_eq!(limiter.take_drawn(&name).draw, Draw { now: 1, later: 0 });
        assert!(limiter.take_drawn(&name).is_empty());
    }
}
