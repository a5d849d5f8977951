//! The order in which a play takes its hosts.

use indexmap::IndexMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::DraftHost;
use crate::model::{Order, PlayNo};

/// Puts hosts, which come in inventory order, into the order of the play.
///
/// `seed` is the run's; each play shuffles with a stream of its own, so that a change in one play
/// does not reorder the next.
pub fn in_order(
    mut hosts: Vec<DraftHost>,
    order: &Order,
    seed: u64,
    play: PlayNo,
) -> Vec<DraftHost> {
    match order {
        Order::Inventory => hosts,
        Order::Sorted => {
            hosts.sort_by(|a, b| a.name.cmp(&b.name));
            hosts
        }
        Order::Shuffle => {
            shuffle(&mut hosts, seed, play);
            hosts
        }
        Order::Interleave(var) => turn(hosts, |host| host.values.get(var).cloned()),
    }
}

/// Takes one of each group in turn, groups in the order in which they first appear, and keeps the
/// order inside a group. Items without a group are one group of their own.
pub fn turn<T>(items: Vec<T>, group: impl Fn(&T) -> Option<String>) -> Vec<T> {
    let mut groups: IndexMap<Option<String>, Vec<T>> = IndexMap::new();
    for item in items {
        groups.entry(group(&item)).or_default().push(item);
    }
    let mut queues: Vec<_> = groups.into_values().map(Vec::into_iter).collect();
    let mut taken = Vec::new();
    while !queues.is_empty() {
        queues.retain_mut(|queue| {
            let next = queue.next();
            let goes_on = next.is_some();
            taken.extend(next);
            goes_on
        });
    }
    taken
}

/// Fisher and Yates' shuffle over a generator whose output never changes between releases.
fn shuffle<T>(items: &mut [T], seed: u64, play: PlayNo) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(u64::from(play.0));
    for last in (1..items.len()).rev() {
        let bound = last as u64 + 1;
        // Draws above the largest multiple of the bound would favour low places.
        let fair = u64::MAX - u64::MAX % bound;
        let draw = loop {
            let draw = random.next_u64();
            if draw < fair {
                break draw % bound;
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "it is at most `last`, a usize")]
        items.swap(last, draw as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::HostName;

    fn hosts(list: &[(&str, &str)]) -> Vec<DraftHost> {
        list.iter()
            .map(|(name, site)| DraftHost {
                values: BTreeMap::from([("site".to_owned(), (*site).to_owned())]),
                ..DraftHost::bare(HostName::new(*name))
            })
            .collect()
    }

    fn names(order: &Order, seed: u64, play: u16) -> Vec<String> {
        let list = hosts(&[("d", "L"), ("b", "L"), ("a", "L"), ("c", "O"), ("e", "O")]);
        in_order(list, order, seed, PlayNo(play)).iter().map(|h| h.name.to_string()).collect()
    }

    #[test]
    fn interleaving_takes_one_of_each_value_in_turn() {
        assert_eq!(names(&Order::Interleave("site".to_owned()), 0, 0), ["d", "c", "b", "e", "a"]);
        assert_eq!(names(&Order::Sorted, 0, 0), ["a", "b", "c", "d", "e"]);
        assert_eq!(names(&Order::Inventory, 0, 0), ["d", "b", "a", "c", "e"]);
    }

    #[test]
    fn a_shuffle_is_the_same_for_the_same_seed_and_never_changes_between_releases() {
        assert_eq!(names(&Order::Shuffle, 7, 0), names(&Order::Shuffle, 7, 0));
        assert_ne!(names(&Order::Shuffle, 7, 0), names(&Order::Shuffle, 7, 1));
        let mut sorted = names(&Order::Shuffle, 7, 0);
        sorted.sort();
        assert_eq!(sorted, ["a", "b", "c", "d", "e"]);
    }
}
