//! Runs that draw from the same limits, as the ledger sees them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use fleetmend::ledger::{Answer, ClaimId, Ledger, LimitKey, Moment, SharedDraw, Word};
use fleetmend::model::RunId;

use super::World;

/// A run among others that draw from the same limits.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) run: RunId,
    /// When it starts, in milliseconds of the ledger's clock.
    pub(crate) start: u64,
    /// The Notification Servers that it works with.
    pub(crate) servers: Vec<String>,
    pub(crate) shared: Rc<RefCell<Shared>>,
}

/// What runs have in common, and what became of it.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) log: Vec<(u64, RunId, Told)>,
}

/// A line of the ledger's log.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Granted(ClaimId, Vec<SharedDraw>),
    Refused,
    GivenBack(ClaimId, Vec<LimitKey>),
    Gone,
}

impl World<'_> {
    /// Lets the run share its limits.
    pub(crate) fn sharing(mut self, party: Party) -> Self {
        self.scheduler.share(party.servers.clone());
        self.party = Some(party);
        self
    }

    /// When something happens next in the run, on the ledger's clock; none when it has ended.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.settle();
        let start = self.party.as_ref().map_or(0, |party| party.start);
        self.result.is_none().then(|| start + self.next_instant().max(self.now))
    }

    /// The process of the run is killed.
    pub(crate) fn kill(self) {
        let Some(Party { run, start, shared, .. }) = &self.party else { return };
        let mut shared = shared.borrow_mut();
        let now = moment(start + self.now);
        shared.ledger.forget(&BTreeSet::from([*run]), &now);
        shared.log.push((start + self.now, *run, Told::Gone));
    }

    /// Tells the ledger and keeps what it said.
    pub(super) fn tell(&mut self, word: Word) -> Vec<(ClaimId, Answer)> {
        let party = self.party.as_ref().expect("nothing is asked where nothing is shared");
        let at = party.start + self.now;
        let mut shared = party.shared.borrow_mut();
        let answers = shared.ledger.tell(party.run, std::slice::from_ref(&word), &moment(at));
        let told = match (word, answers.first()) {
            (Word::GiveBack { claim, keys }, _) => Told::GivenBack(claim, keys),
            (Word::Draw { claim, draws }, Some((_, Answer::Granted { .. }))) => {
                Told::Granted(claim, draws)
            }
            (Word::Draw { .. } | Word::Renew, _) => Told::Refused,
        };
        shared.log.push((at, party.run, told));
        answers
    }
}

/// An instant of the ledger's clock.
fn moment(millis: u64) -> Moment {
    Moment { stretch: "a boot".to_owned(), at: Duration::from_millis(millis) }
}
