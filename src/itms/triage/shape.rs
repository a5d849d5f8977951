//! The matrix's shape: the quickest triage there is. A package that is well nowhere points at the
//! package, a server on which nothing is well at the server, all of it at the Notification Server.

use std::collections::{BTreeMap, BTreeSet};

use super::Shape;
use super::fleet::{Fleet, Pair, Symptom};
use crate::model::Guid;

/// The shape, and what it is made of.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    pub(super) shape: Shape,
    /// Packages that are well on none of at least two servers.
    pub(super) packages: BTreeSet<Guid>,
    /// Servers on which none of at least two packages is well.
    pub(super) servers: BTreeSet<usize>,
}

/// A package that the agent removes is not well, and no fault.
pub(super) fn is_bad(pair: &Pair<'_>) -> bool {
    pair.symptoms.iter().any(|symptom| *symptom != Symptom::BeingRemoved)
}

impl Pattern {
    pub(super) fn of(fleet: &Fleet<'_>) -> Self {
        let mut packages: BTreeMap<Guid, (usize, usize)> = BTreeMap::new();
        let mut servers: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let (mut bad, mut all) = (0_usize, 0_usize);
        for pair in fleet.pairs.iter().filter(|pair| !pair.is_gone()) {
            let is_bad = usize::from(is_bad(pair));
            for (bad, all) in
                [packages.entry(pair.package).or_default(), servers.entry(pair.server).or_default()]
            {
                (*bad, *all) = (*bad + is_bad, *all + 1);
            }
            (bad, all) = (bad + is_bad, all + 1);
        }
        let is_whole = |(bad, all): &(usize, usize)| *all > 1 && bad == all;
        let is_wide = packages.len() > 1 && servers.len() > 1;
        let pattern = Self {
            shape: Shape::Mixed,
            packages: packages.iter().filter(|(_, n)| is_whole(n)).map(|(id, _)| *id).collect(),
            servers: servers.iter().filter(|(_, n)| is_whole(n)).map(|(id, _)| *id).collect(),
        };
        let mut bad_pairs = fleet.pairs.iter().filter(|pair| !pair.is_gone() && is_bad(pair));
        let mut again = bad_pairs.clone();
        let shape = if all == 0 {
            Shape::Unread
        } else if bad == 0 {
            Shape::AllWell
        } else if is_wide && bad * 10 >= all * 9 {
            Shape::AllBad
        } else if bad_pairs.all(|pair| pattern.packages.contains(&pair.package)) {
            Shape::PackageEverywhere
        } else if again.all(|pair| pattern.servers.contains(&pair.server)) {
            Shape::ServerForEverything
        } else {
            Shape::Mixed
        };
        Self { shape, ..pattern }
    }
}
