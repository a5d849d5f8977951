//! What stops a run or a step: the operator, a budget, a question without an answer, a deadline.

use super::Command;
use super::play::Stay;
use super::scheduler::{Scheduler, Stage};
use super::sharing::Holder;
use crate::event::{EventKind, Phase, StopStage};
use crate::model::Elapsed;

impl Scheduler {
    pub(super) fn on_stop(&mut self, stage: StopStage, now: Elapsed) {
        if self.stage == Stage::Ended || self.stopping.is_some_and(|before| before >= stage) {
            return;
        }
        self.stopping = Some(stage);
        self.emit(EventKind::Stopping { stage });
        self.cancel(|phase| {
            stage == StopStage::Cancel || matches!(phase, Phase::Waiting | Phase::Pausing)
        });
        if let Stage::Asking(_, watch) = &mut self.stage {
            watch.hurry(now);
        }
    }

    /// Nothing new starts; what reads goes on to its decision, what waits for a limit or for time to
    /// pass is cancelled, because its host is untouched, and what changes a host ends.
    pub(super) fn trip(&mut self) {
        self.is_tripped = true;
        self.cancel(|phase| matches!(phase, Phase::Waiting | Phase::Pausing));
    }

    /// What was asked was not confirmed: nothing new starts, and what waits is cancelled.
    pub(super) fn leave_unconfirmed(&mut self) {
        self.is_unconfirmed = true;
        self.cancel(|phase| matches!(phase, Phase::Waiting | Phase::Pausing));
    }

    fn cancel(&mut self, is_meant: impl Fn(Phase) -> bool) {
        let Stage::Running(play) = &mut self.stage else { return };
        for place in play.active.clone() {
            let Stage::Running(play) = &mut self.stage else { return };
            if play.at(place).is_some_and(|running| is_meant(running.phase)) {
                self.cancel_step(place);
            }
        }
    }

    /// Ends the step at a place, once; one that waits for limits draws nothing any more.
    pub(super) fn cancel_step(&mut self, place: usize) {
        let Stage::Running(play) = &mut self.stage else { return };
        let step = play.step(place);
        let Some(running) = play.at(place).filter(|running| !running.is_cancelled) else { return };
        running.is_cancelled = true;
        running.overdue = None;
        if running.phase == Phase::Waiting {
            self.limiter.release_waiter(&step);
            self.out.extend(self.sharing.give_back(&Holder::Step(step.clone())));
        }
        self.out.push_back(Command::Cancel { step });
    }

    pub(super) fn cancel_overdue(&mut self, now: Elapsed) {
        let Stage::Running(play) = &mut self.stage else { return };
        let is_overdue = |stay: &Stay| matches!(stay, Stay::At(running) if running.overdue.is_some_and(|at| at <= now));
        let places = play.active.iter().copied();
        let overdue: Vec<usize> = places.filter(|p| is_overdue(&play.hosts[*p].stay)).collect();
        for place in overdue {
            self.cancel_step(place);
        }
    }

    /// Whether nothing new starts.
    pub(super) fn is_halted(&self) -> bool {
        self.is_tripped || self.is_unconfirmed || self.is_window_closed || self.stopping.is_some()
    }
}
