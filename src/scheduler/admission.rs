//! Which host of a wave comes next: limits that a host holds for its whole stay in a play.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use indexmap::IndexMap;

use super::sharing::Drawn;
use crate::ledger::Load;
use crate::model::{Draw, Elapsed, LimitName, LimitScope, LimitSpec, Limits};

/// Whether hosts hold a unit of the limit for their whole stay, rather than changes for their own
/// time: one that is split by a host variable and only caps what is in flight, like `site`.
pub(super) fn is_for_hosts(spec: &LimitSpec) -> bool {
    spec.by.is_some() && spec.rate.is_none()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    name: LimitName,
    value: String,
    spec: LimitSpec,
    cap: u32,
    held: u32,
    /// Until when nobody is admitted: other runs hold all that is there.
    taken_until: Option<Elapsed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Group {
    pools: Vec<usize>,
    site: usize,
    waiting: VecDeque<usize>,
}

/// The hosts of a wave that wait, by the limits they will hold. Hosts are known by their place in
/// the play; the lowest place whose limits have room comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Admission {
    limits: Vec<(LimitName, String, LimitSpec)>,
    pools: IndexMap<(LimitName, String), Pool>,
    /// By the limits of their hosts, and by the site whose clocks they go by.
    groups: IndexMap<(Vec<usize>, usize), Group>,
    /// Sites whose window is closed.
    shut: Vec<bool>,
    /// Hosts that come before all others, by the task at which they are; the furthest comes first.
    first: BTreeMap<usize, u16>,
}

/// By what hosts that wait are ordered.
fn rank(first: &BTreeMap<usize, u16>, host: usize) -> (Reverse<Option<u16>>, usize) {
    (Reverse(first.get(&host).copied()), host)
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        let for_hosts = limits.0.iter().filter(|(_, spec)| is_for_hosts(spec));
        let limits = for_hosts.filter_map(|(name, spec)| {
            spec.in_flight?;
            Some((name.clone(), spec.by.clone()?, spec.clone()))
        });
        Self { limits: limits.collect(), ..Self::default() }
    }

    /// The group of a host with these variables, at a site with clocks of its own. A host without the variable of a limit is not
    /// limited by it.
    pub(super) fn group(&mut self, values: &BTreeMap<String, String>, site: usize) -> usize {
        let mut key = Vec::new();
        for (name, var, spec) in &self.limits {
            if let Some(value) = values.get(var) {
                let entry = self.pools.entry((name.clone(), value.clone()));
                key.push(entry.index());
                entry.or_insert_with(|| Pool {
                    name: name.clone(),
                    value: value.clone(),
                    spec: spec.clone(),
                    cap: spec.in_flight.unwrap_or(u32::MAX).max(1),
                    held: 0,
                    taken_until: None,
                });
            }
        }
        let entry = self.groups.entry((key.clone(), site));
        let place = entry.index();
        let group = entry.or_default();
        (group.pools, group.site) = (key, site);
        place
    }

    /// Lets a host wait; hosts come in the order of their places, after those that come first.
    pub(super) fn wait(&mut self, group: usize, host: usize) {
        let first = &self.first;
        if let Some((_, group)) = self.groups.get_index_mut(group) {
            let rank = rank(first, host);
            let at = group.waiting.partition_point(|other| self::rank(first, *other) < rank);
            group.waiting.insert(at, host);
        }
    }

    /// Hosts of these sites are not taken.
    pub(super) fn shut(&mut self, sites: Vec<bool>) {
        self.shut = sites;
    }

    fn is_shut(&self, group: &Group) -> bool {
        self.shut.get(group.site).copied().unwrap_or_default()
    }

    /// How many hosts wait for their window.
    pub(super) fn waiting_outside(&self) -> usize {
        let shut = self.groups.values().filter(|group| self.is_shut(group));
        shut.map(|group| group.waiting.len()).sum()
    }

    /// Takes the next host whose window is open and whose limits have room, and holds them for it; one
    /// of `only`, if there are any.
    pub(super) fn admit(&mut self, now: Elapsed, only: &[usize]) -> Option<usize> {
        for pool in self.pools.values_mut() {
            pool.taken_until = pool.taken_until.filter(|until| now < *until);
        }
        let has_room = |group: &Group| {
            !self.is_shut(group) && group.pools.iter().all(|pool| self.has_room(*pool))
        };
        let (place, _) = self
            .groups
            .values()
            .enumerate()
            .filter(|(_, group)| has_room(group))
            .filter_map(|(place, group)| Some((place, *group.waiting.front()?)))
            .filter(|(_, host)| only.is_empty() || only.contains(host))
            .min_by_key(|(_, host)| rank(&self.first, *host))?;
        let (_, group) = self.groups.get_index_mut(place)?;
        let host = group.waiting.pop_front();
        for pool in &group.pools {
            if let Some((_, pool)) = self.pools.get_index_mut(*pool) {
                pool.held += 1;
            }
        }
        host
    }

    /// Gives back what a host of the group held.
    pub(super) fn release(&mut self, group: usize) {
        let Some((_, group)) = self.groups.get_index(group) else { return };
        for pool in &group.pools {
            if let Some((_, pool)) = self.pools.get_index_mut(*pool) {
                pool.held = pool.held.saturating_sub(1);
            }
        }
    }

    /// What a host of the group holds.
    pub(super) fn drawn(&self, group: usize) -> impl Iterator<Item = Drawn<'_>> {
        let pools = self.groups.get_index(group).into_iter().flat_map(|(_, group)| &group.pools);
        let pools = pools.filter_map(|pool| self.pools.get_index(*pool));
        pools.map(|(_, pool)| Drawn {
            name: &pool.name,
            by: Some(&pool.value),
            spec: &pool.spec,
            load: Load::from(Draw::default()),
        })
    }

    /// Takes back an admission: other runs hold all of a limit, the one at a place among those that
    /// the group shares with them, or of an unknown one. The host waits again.
    pub(super) fn refuse(&mut self, group: usize, host: usize, by: Option<usize>, until: Elapsed) {
        self.release(group);
        let Some((_, places)) = self.groups.get_index(group) else { return };
        let shared: Vec<usize> = places
            .pools
            .iter()
            .copied()
            .filter(|place| {
                let pool = self.pools.get_index(*place);
                pool.is_some_and(|(_, pool)| pool.spec.scope == LimitScope::Controller)
            })
            .collect();
        for (number, place) in shared.into_iter().enumerate() {
            if let Some((_, pool)) = self.pools.get_index_mut(place)
                && by.is_none_or(|by| by == number)
            {
                pool.taken_until = Some(until);
            }
        }
        self.wait(group, host);
    }

    /// When other runs may have given back what a host that waits would hold.
    pub(super) fn next_wakeup(&self, now: Elapsed) -> Option<Elapsed> {
        let waiting = self.groups.values().filter(|group| !group.waiting.is_empty());
        let pools = waiting.flat_map(|group| &group.pools);
        let pools = pools.filter_map(|pool| self.pools.get_index(*pool));
        pools.filter_map(|(_, pool)| pool.taken_until.filter(|until| now < *until)).min()
    }

    /// Nobody waits any more; `first` are the hosts of those to come that come before all others.
    pub(super) fn clear(&mut self, first: BTreeMap<usize, u16>) {
        self.first = first;
        self.groups.values_mut().for_each(|group| group.waiting.clear());
    }

    /// How many hosts wait whose window is open, and for the limit that has no room; `None` where
    /// all have.
    pub(super) fn waiting(&self) -> Vec<(Option<(LimitName, String)>, usize)> {
        let is_meant = |group: &&Group| !group.waiting.is_empty() && !self.is_shut(group);
        let waiting = self.groups.values().filter(is_meant);
        waiting
            .map(|group| {
                let full = group.pools.iter().find(|pool| !self.has_room(**pool));
                let full = full.and_then(|pool| self.pools.get_index(*pool));
                (full.map(|(_, p)| (p.name.clone(), p.value.clone())), group.waiting.len())
            })
            .collect()
    }

    fn has_room(&self, pool: usize) -> bool {
        self.pools
            .get_index(pool)
            .is_none_or(|(_, pool)| pool.held < pool.cap && pool.taken_until.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(site: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("site".to_owned(), site.to_owned())])
    }

    #[test]
    fn a_full_site_lets_others_pass_and_goes_on_in_order_when_it_has_room() {
        let mut limits = Limits::default();
        limits.0.get_mut(&LimitName::new(LimitName::SITE)).expect("a default").in_flight = Some(1);
        let mut admission = Admission::new(&limits);
        for (host, site) in ["LON", "LON", "OSL", "LON"].iter().enumerate() {
            let group = admission.group(&at(site), 0);
            admission.wait(group, host);
        }

        assert_eq!(
            [
                admission.admit(Elapsed::ZERO, &[]),
                admission.admit(Elapsed::ZERO, &[]),
                admission.admit(Elapsed::ZERO, &[])
            ],
            [Some(0), Some(2), None]
        );
        assert_eq!(admission.waiting()[0].1, 2);

        let london = admission.group(&at("LON"), 0);
        admission.release(london);
        assert_eq!(
            [admission.admit(Elapsed::ZERO, &[]), admission.admit(Elapsed::ZERO, &[])],
            [Some(1), None]
        );
    }

    #[test]
    fn hosts_of_a_site_whose_window_is_closed_let_others_pass() {
        let mut admission = Admission::new(&Limits::default());
        for (host, site) in [0, 1, 0].into_iter().enumerate() {
            let group = admission.group(&BTreeMap::new(), site);
            admission.wait(group, host);
        }
        admission.shut(vec![true, false]);

        assert_eq!(
            [admission.admit(Elapsed::ZERO, &[]), admission.admit(Elapsed::ZERO, &[])],
            [Some(1), None]
        );
        assert_eq!((admission.waiting_outside(), admission.waiting()), (2, Vec::new()));

        admission.shut(Vec::new());
        assert_eq!(admission.admit(Elapsed::ZERO, &[]), Some(0));
    }

    #[test]
    fn a_host_without_a_site_is_not_limited_by_one() {
        let mut admission = Admission::new(&Limits::default());
        let group = admission.group(&BTreeMap::new(), 0);
        (0..9).for_each(|host| admission.wait(group, host));

        assert_eq!(std::iter::from_fn(|| admission.admit(Elapsed::ZERO, &[])).count(), 9);
    }
}
