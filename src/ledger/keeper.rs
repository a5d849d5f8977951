//! The ledger over several limits: all of a claim or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, ClaimId, LimitKey, Moment, SharedDraw, SharedPool, Word};
use crate::model::RunId;

/// The limits that runs share.
///
/// A claim draws from all its limits or from none. Those who wait at one limit are served in the
/// order in which they asked, whichever run they are of: who draws much is not overtaken. As a claim
/// joins the queues of all its limits at once, of two claims the same one is first wherever they
/// meet, so that no two wait for each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    pools: BTreeMap<String, SharedPool>,
}

impl Ledger {
    /// A ledger, or the part of one that words speak of; by the text of each limit's key.
    pub fn new(pools: BTreeMap<String, SharedPool>) -> Self {
        Self { pools }
    }

    /// The limits, by the text of their keys.
    pub fn pools(&self) -> &BTreeMap<String, SharedPool> {
        &self.pools
    }

    /// The limits that words speak of: all that a ledger must know to take them in.
    pub fn keys(words: &[Word]) -> BTreeSet<String> {
        let keys = |word: &Word| -> Vec<String> {
            match word {
                Word::Draw { draws, .. } => draws.iter().map(|draw| draw.key.to_string()).collect(),
                Word::GiveBack { keys, .. } => keys.iter().map(LimitKey::to_string).collect(),
                Word::Renew => Vec::new(),
            }
        };
        words.iter().flat_map(keys).collect()
    }

    /// The runs that hold, wait or declare something.
    pub fn runs(&self) -> BTreeSet<RunId> {
        self.pools.values().flat_map(SharedPool::runs).collect()
    }

    /// Takes in what a run says; the answers to its draws come in their order. Runs whose process
    /// is gone are to be forgotten before.
    pub fn tell(&mut self, run: RunId, words: &[Word], now: &Moment) -> Vec<(ClaimId, Answer)> {
        self.pools.values_mut().for_each(|pool| pool.arrive(now));
        // What is given back in the same breath is free for what is drawn.
        for word in words {
            if let Word::GiveBack { claim, keys } = word {
                for key in keys {
                    if let Some(pool) = self.pools.get_mut(&key.to_string()) {
                        pool.give_back(run, *claim);
                    }
                }
            }
        }
        let mut answers = Vec::new();
        for (place, word) in words.iter().enumerate() {
            if let Word::Draw { claim, draws } = word {
                let is_withdrawn = words[place + 1..].iter().any(
                    |later| matches!(later, Word::GiveBack { claim: other, .. } if other == claim),
                );
                if !is_withdrawn {
                    answers.push((*claim, self.draw(run, *claim, draws, now)));
                }
            }
        }
        answers
    }

    /// Forgets runs that have ended; what they drew stays drawn.
    pub fn forget(&mut self, runs: &BTreeSet<RunId>, now: &Moment) {
        for pool in self.pools.values_mut() {
            pool.arrive(now);
            runs.iter().for_each(|run| pool.forget(*run, now.at));
        }
    }

    fn draw(&mut self, run: RunId, claim: ClaimId, draws: &[SharedDraw], now: &Moment) -> Answer {
        let keys: Vec<String> = draws.iter().map(|draw| draw.key.to_string()).collect();
        for (key, draw) in keys.iter().zip(draws) {
            let pool = self.pools.entry(key.clone()).or_insert_with(|| SharedPool::new(now));
            pool.declare(run, draw.spec, now.at);
        }
        // The answer to an earlier question was lost on its way.
        let has_all = keys.iter().all(|key| self.pools.get(key).is_some_and(|p| p.has(run, claim)));
        if has_all {
            return Answer::Granted { at: now.at, left: vec![None; draws.len()] };
        }
        let mut longest = None;
        for (place, (key, draw)) in keys.iter().zip(draws).enumerate() {
            let wait = self.pools.get_mut(key).and_then(|p| p.wait(run, claim, draw.load, now.at));
            longest = longest.max(wait.map(|span| (span, std::cmp::Reverse(place))));
        }
        if let Some((span, std::cmp::Reverse(by))) = longest {
            for (key, draw) in keys.iter().zip(draws) {
                if let Some(pool) = self.pools.get_mut(key) {
                    pool.enqueue(run, claim, draw.load, now.at, now.at + span);
                }
            }
            return Answer::Wait { span, by };
        }
        let take = |(key, draw): (&String, &SharedDraw)| {
            self.pools.get_mut(key).and_then(|pool| pool.take(run, claim, draw.load, now.at))
        };
        Answer::Granted { at: now.at, left: keys.iter().zip(draws).map(take).collect() }
    }
}

#[cfg(test)]
#[path = "keeper/tests.rs"]
mod tests;
