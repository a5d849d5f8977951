//! Goes on where a run was cut, from the fold over its events.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::budget::Budget;
use super::play::PlayRun;
use super::ramp::Ramp;
use super::scheduler::{Scheduler, Stage};
use crate::event::{EventKind, HostState, OracleReport, PlayState};
use crate::model::{
    Cost, Elapsed, FailureClass, HostName, Outcome, PlayNo, StepFailure, StepId, TaskId,
};
use crate::plan::{Resolution, Resumption};

/// Where a host of the earlier process goes on.
enum GoesOn {
    /// With the next task.
    At,
    /// Nowhere: it is through, though that was not yet written.
    Ends(Outcome),
}

impl Scheduler {
    /// Takes in what counts for the result and what was drawn from limits.
    pub(super) fn recall(&mut self, resumption: &Resumption) {
        let state = &resumption.state;
        for play in state.plays.values() {
            play.hosts.values().filter_map(|host| host.outcome).for_each(|o| self.tally.add(o));
            if play.finished && !is_oracle_well(play) {
                self.tally.is_oracle_unsatisfied = true;
            }
        }
        self.tally.has_bug = state.steps().any(|(_, step)| {
            step.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Bug)
        });
        if self.draft.is_check() {
            return;
        }
        // When a change drew is not recorded, only when its step ended. Booking it then, which is
        // later, leaves less in the bucket than there really was, never more.
        let mut draws: Vec<(Elapsed, StepId, &Cost)> = state
            .steps()
            .flat_map(|(id, step)| {
                let at = step.finished.unwrap_or(state.elapsed);
                step.changes.iter().map(move |(_, cost)| (at, id.clone(), cost))
            })
            .collect();
        draws.sort_by_key(|(at, ..)| *at);
        let mut values: HashMap<(PlayNo, &HostName), &BTreeMap<String, String>> = HashMap::new();
        for (number, play) in (0..).map(PlayNo).zip(&self.draft.plays) {
            values.extend(play.hosts.iter().map(|host| ((number, &host.name), &host.values)));
        }
        let mut tuned = None;
        for (at, step, cost) in draws {
            let Some(play) = self.draft.plays.get(usize::from(step.task.play.0)) else { continue };
            if tuned != Some(step.task.play) {
                tuned = Some(step.task.play);
                self.limiter.retune(&play.limits, at);
            }
            if let Some(values) = values.get(&(step.task.play, &step.host)) {
                self.limiter.book(cost, values, at);
            }
        }
    }

    /// Puts a play where it was; `false` when it has to begin from its work query.
    pub(super) fn restore(&mut self, number: PlayNo, now: Elapsed) -> bool {
        let Some(resumption) = self.resumption.take() else { return false };
        let is_restored = match resumption.state.plays.get(&number) {
            Some(play) if play.finished => {
                self.is_tripped |= play.tripped.is_some();
                self.stage = Stage::Before(PlayNo(number.0 + 1));
                true
            }
            Some(play) if play.started => {
                self.restore_started(number, play, &resumption, now);
                true
            }
            Some(PlayState { work: Some(work), .. }) => {
                self.start_play(number, Some(work), now);
                true
            }
            Some(_) | None => false,
        };
        self.resumption = Some(resumption);
        is_restored
    }

    fn restore_started(
        &mut self,
        number: PlayNo,
        state: &PlayState,
        resumption: &Resumption,
        now: Elapsed,
    ) {
        let draft = &self.draft.plays[usize::from(number.0)];
        let mut waves: Vec<Vec<HostName>> = vec![Vec::new(); state.waves.len()];
        for (name, host) in &state.hosts {
            if let Some(wave) = waves.get_mut(usize::from(host.wave.0)) {
                wave.push(name.clone());
            }
        }
        let throttle = draft.throttle;
        self.limiter.retune(&draft.limits, now);
        let mut run = PlayRun::new(number, draft, &waves);
        for (wave, told) in run.waves.iter_mut().zip(&state.waves) {
            let forgiven = u32::try_from(told.forgiven).unwrap_or(u32::MAX);
            wave.budget = Budget::new(wave.budget.tolerated(), forgiven);
            wave.is_started = told.started;
            wave.is_finished = told.finished;
        }
        let mut ends = Vec::new();
        for place in 0..run.hosts.len() {
            let name = run.hosts[place].name.clone();
            let Some(host) = state.hosts.get(&name) else { continue };
            if let Some(outcome) = host.outcome {
                run.end(place, outcome);
                continue;
            }
            match self.go_on(&mut run, place, host, resumption) {
                GoesOn::At => {}
                GoesOn::Ends(outcome) => ends.push((place, outcome)),
            }
        }
        // The slow start begins anew; what went before says nothing about now.
        run.ramp = Ramp::new(throttle);
        let spent = run.waves.iter().position(|wave| wave.budget.is_spent());
        self.stage = Stage::Running(run);
        if let Some(wave) = spent {
            self.tell_spent(number, wave);
        }
        for (place, outcome) in ends {
            self.end_host(place, outcome);
        }
    }

    fn go_on(
        &mut self,
        run: &mut PlayRun,
        place: usize,
        state: &HostState,
        resumption: &Resumption,
    ) -> GoesOn {
        for task in 0..run.tasks {
            run.hosts[place].task = task;
            let Some(step) = state.steps.get(&task) else { return GoesOn::At };
            let outcome = match (step.outcome, step.open) {
                (Some(outcome), _) => outcome,
                (None, false) => return GoesOn::At,
                (None, true) => {
                    let task = TaskId { play: run.number, task };
                    let id = StepId { task, host: run.hosts[place].name.clone() };
                    match resumption.resolution(&id) {
                        Some(Resolution::Again) => return GoesOn::At,
                        Some(Resolution::Accept) => self.accept(id),
                        Some(Resolution::Unknown) | None => self.mark_unknown(id),
                    }
                }
            };
            run.hosts[place].add(outcome);
            if !outcome.is_well() {
                return GoesOn::Ends(outcome);
            }
        }
        GoesOn::Ends(run.hosts[place].outcome())
    }

    fn accept(&mut self, step: StepId) -> Outcome {
        let outcome = Outcome::Changed;
        let note = Some("accepted as done by the operator".to_owned());
        self.emit(EventKind::StepFinished {
            step,
            outcome,
            failure: None,
            note,
            value: Value::Null,
        });
        outcome
    }

    fn mark_unknown(&mut self, step: StepId) -> Outcome {
        let outcome = Outcome::Unknown;
        let failure = Some(StepFailure::new(
            FailureClass::InDoubt,
            "the run was cut while the change was under way, and it is not safe to repeat",
        ));
        self.emit(EventKind::StepFinished {
            step,
            outcome,
            failure,
            note: None,
            value: Value::Null,
        });
        outcome
    }

    /// The journal was cut between a bad result and the trip that it caused.
    fn tell_spent(&mut self, play: PlayNo, wave: usize) {
        let Stage::Running(run) = &self.stage else { return };
        let budget = run.waves[wave].budget;
        let wave = PlayRun::wave_no(wave);
        let (bad, tolerated) = (budget.bad(), budget.tolerated());
        self.emit(EventKind::BudgetTripped { play, wave, bad, tolerated });
        self.is_tripped = true;
    }
}

fn is_oracle_well(play: &PlayState) -> bool {
    let is_well = |name: &HostName| {
        play.hosts.get(name).and_then(|host| host.outcome).is_some_and(Outcome::is_well)
    };
    let says_so = |report: &OracleReport| {
        report.of > 0 && report.not_ready.iter().all(|pair| !is_well(&pair.host))
    };
    !play.oracle_done
        || (play.oracle_failure.is_none() && play.oracle.as_ref().is_some_and(says_so))
}
