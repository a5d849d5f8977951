//! How a host, a play and a run end, and what counts for the result.

use super::Command;
use super::budget::Budget;
use super::oracle::OracleWatch;
use super::play::PlayRun;
use super::scheduler::{Scheduler, Stage};
use crate::event::{EventKind, RunResult, StopStage};
use crate::model::{BudgetKind, Elapsed, Oracle, Outcome, PlayNo, Unmet, WaveNo};

/// What counts for the result of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) unreachable: u32,
    pub(super) failed: u32,
    pub(super) has_bug: bool,
    pub(super) is_oracle_unsatisfied: bool,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Unchanged | Outcome::Changed | Outcome::Skipped | Outcome::Rescued => {}
            Outcome::Unreachable => self.unreachable += 1,
            Outcome::Failed | Outcome::Unknown => self.failed += 1,
        }
    }
}

impl Scheduler {
    /// Books that a host is through, and stops the run where that spends a budget.
    pub(super) fn end_host(&mut self, place: usize, outcome: Outcome, now: Elapsed) {
        self.note_duration(place, outcome, now);
        let Stage::Running(play) = &mut self.stage else { return };
        let spent = play.end(place, outcome);
        let (number, host) = (play.number, &play.hosts[place]);
        let (name, wave) = (host.name.clone(), PlayRun::wave_no(host.wave));
        let class = host.class.filter(|_| !outcome.is_well());
        self.tally.add(outcome);
        self.emit(EventKind::HostFinished { play: number, host: name, outcome, class });
        // The breaker may have stopped the run with the same result; the budget is told all the
        // same, once.
        let is_spent = !spent.is_empty();
        for (budget, spent) in spent {
            self.tell_spent(number, wave, budget, spent);
        }
        if is_spent {
            self.trip();
        }
    }

    pub(super) fn tell_spent(
        &mut self,
        play: PlayNo,
        wave: WaveNo,
        budget: BudgetKind,
        spent: Budget,
    ) {
        let (bad, tolerated) = (spent.bad(), spent.tolerated());
        self.emit(EventKind::BudgetTripped { play, wave, budget, bad, tolerated });
    }

    /// Whether the play declares that it goes on when a logon is rejected.
    pub(super) fn tolerates_rejections(&self) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        let draft = self.draft.plays.get(usize::from(play.number.0));
        draft.is_some_and(|draft| draft.safeguards.max_fail.auth.is_some_and(|hosts| hosts > 0))
    }

    /// No host of the play is in flight and none will be: asks the CMDB, or ends the play.
    pub(super) fn end_waves(&mut self, now: Elapsed) {
        let is_last = self.is_halted();
        self.give_back_hosts();
        self.out.extend(self.sharing.give_up_turns());
        let Stage::Running(play) = std::mem::replace(&mut self.stage, Stage::Ended) else { return };
        let oracle = self.draft.plays[usize::from(play.number.0)].oracle;
        let is_asked = !self.draft.is_check()
            && !play.hosts.is_empty()
            && !self.is_window_closed
            && self.stopping != Some(StopStage::Cancel);
        match oracle.filter(|_| is_asked) {
            Some(Oracle { within, .. }) => {
                let is_last = is_last || !play.hosts.iter().any(|host| play.is_well(&host.name));
                let watch = OracleWatch::new(now, within, self.draft.scale, is_last);
                self.stage = Stage::Asking(play, watch);
            }
            None => self.end_play(&play),
        }
    }

    pub(super) fn oracle_said(&mut self, is_satisfied: bool) {
        if let Stage::Asking(play, _) = std::mem::replace(&mut self.stage, Stage::Ended) {
            self.tally.is_oracle_unsatisfied |= !is_satisfied && self.is_judged(play.number);
            self.end_play(&play);
        }
    }

    /// Whether the oracle of a play counts for the result; one with `unmet: go_on` leaves that to a
    /// later play.
    pub(super) fn is_judged(&self, play: PlayNo) -> bool {
        let oracle = self.draft.plays.get(usize::from(play.0)).and_then(|play| play.oracle);
        oracle.is_none_or(|oracle| oracle.unmet == Unmet::Fail)
    }

    /// A play that the operator stopped, or that has hosts left, is not finished: a resume goes on
    /// with it.
    fn end_play(&mut self, play: &PlayRun) {
        let number = play.number;
        self.stage = Stage::Before(PlayNo(number.0 + 1));
        if play.is_through() && self.stopping.is_none() {
            self.emit(EventKind::PlayFinished { play: number });
        } else {
            self.conclude();
        }
    }

    pub(super) fn conclude(&mut self) {
        let result = self.result();
        self.stage = Stage::Ended;
        self.emit(EventKind::RunFinished { result });
        self.out.push_back(Command::Finish(result));
    }

    fn result(&self) -> RunResult {
        let tally = &self.tally;
        let all = [
            (tally.has_bug, RunResult::Bug),
            (self.stopping.is_some(), RunResult::Stopped),
            (self.is_tripped, RunResult::BudgetTripped),
            (self.is_window_closed, RunResult::WindowClosed),
            (self.is_unconfirmed, RunResult::Unconfirmed),
            (tally.is_oracle_unsatisfied, RunResult::OracleNotSatisfied),
            (tally.unreachable > 0 && tally.failed == 0, RunResult::UnreachableOnly),
            (tally.failed > 0, RunResult::SomeFailed),
        ];
        all.into_iter().find(|(holds, _)| *holds).map_or(RunResult::Done, |(_, result)| result)
    }
}
