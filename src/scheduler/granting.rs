//! Lets changes begin when all that they draw from is drawn, here and in the ledger.

use super::Command;
use super::scheduler::{GRACE, Scheduler, Stage};
use super::sharing::{Holder, Said};
use crate::event::Phase;
use crate::ledger::{Answer, ClaimId};
use crate::model::{Elapsed, StepId};

impl Scheduler {
    pub(super) fn on_drawn(&mut self, claim: ClaimId, answer: Answer, now: Elapsed) {
        let Some(said) = self.sharing.answered(claim, answer, now) else { return };
        let Stage::Running(play) = &mut self.stage else { return };
        match said {
            Said::Granted(Holder::Step(step), left) => {
                self.limiter.learn(&step, &left, now);
                self.granted.push(step);
            }
            // What holds hosts up is looked at again first: the answer took its time.
            Said::Granted(Holder::Host(host), _) => play.entered.extend(play.entering(&host)),
            Said::Refused(Holder::Host(host), until, by) => {
                if let Some(place) = play.entering(&host) {
                    play.refuse(place, by, until);
                }
            }
            Said::Refused(Holder::Step(_), ..) => {}
        }
    }

    /// Makes the changes whose limits are drawn; those that other runs draw from too are asked for
    /// first.
    pub(super) fn apply_granted(&mut self, now: Elapsed) {
        let granted = std::mem::take(&mut self.granted);
        if self.draws_nothing() {
            // The play was paused while the ledger was asked: nothing may begin, and what is not
            // begun now is drawn anew, when it may.
            for step in granted {
                self.limiter.put_back(&step);
                self.out.extend(self.sharing.give_back(&Holder::Step(step)));
            }
            return;
        }
        for step in granted {
            self.apply(step, now);
        }
        for step in self.limiter.grant(now) {
            let draws = self.sharing.draws(self.limiter.drawn(&step), self.draft.scale);
            if draws.is_empty() {
                self.apply(step, now);
            } else {
                self.out.push_back(self.sharing.ask(Holder::Step(step), draws));
            }
        }
        self.note_drawn(now);
        self.out.extend(self.sharing.ask_again(now));
    }

    /// Whether a gate pauses the play, or the Notification Server does not answer.
    pub(super) fn draws_nothing(&self) -> bool {
        let Stage::Running(play) = &self.stage else { return true };
        play.is_paused() || self.is_server_lost()
    }

    fn apply(&mut self, step: StepId, now: Elapsed) {
        let Stage::Running(play) = &mut self.stage else { return };
        let running = play.running(&step).and_then(|place| play.at(place));
        if let Some(running) = running.filter(|running| !running.is_cancelled) {
            running.phase = Phase::Applying;
            running.has_applied |= running.will_change;
            running.overdue = Some(now.plus(running.deadline).plus(GRACE));
            self.out.push_back(Command::Apply { step });
        }
    }

    /// Tells the ledger of hosts that are not in flight any more.
    pub(super) fn give_back_hosts(&mut self) {
        let Stage::Running(play) = &mut self.stage else { return };
        for host in std::mem::take(&mut play.freed) {
            self.out.extend(self.sharing.give_back(&Holder::Host(host)));
        }
    }
}
