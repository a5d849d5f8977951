//! Goes on where a run was cut, from the fold over its events.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::budget::Budget;
use super::budgets::Budgets;
use super::play::{Once, PlayRun, is_rescuable};
use super::ramp::Ramp;
use super::scheduler::{Scheduler, Stage};
use crate::event::{EventKind, HostState, OracleReport, PlayState, StepState};
use crate::model::{
    BudgetKind, Cost, Elapsed, FailureClass, HostName, Outcome, PlayNo, StepFailure, StepId, TaskId,
};
use crate::plan::{DraftPlay, DraftTask, Onward, Resolution, Resumption};

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
        for (number, play) in &state.plays {
            play.hosts.values().filter_map(|host| host.outcome).for_each(|o| self.tally.add(o));
            if play.finished && !is_oracle_well(play) && self.is_judged(*number) {
                self.tally.is_oracle_unsatisfied = true;
            }
        }
        self.tally.has_bug = state.steps().any(|(_, step)| {
            step.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Bug)
        });
        if self.draft.is_check() {
            return;
        }
        let mut draws: Vec<(Elapsed, StepId, Option<&HostName>, &Cost)> = state
            .steps()
            .flat_map(|(id, step)| {
                let on = step.on.as_ref();
                let changes = step.changes.iter().zip(&step.decided_at);
                changes.map(move |((_, cost), at)| (*at, id.clone(), on, cost))
            })
            .collect();
        draws.sort_by_key(|(at, ..)| *at);
        let mut values: HashMap<(PlayNo, &HostName), &BTreeMap<String, String>> = HashMap::new();
        for (number, play) in (0..).map(PlayNo).zip(&self.draft.plays) {
            values.extend(play.hosts.iter().map(|host| ((number, &host.name), &host.values)));
        }
        let mut tuned = None;
        for (at, step, on, cost) in draws {
            let Some(play) = self.draft.plays.get(usize::from(step.task.play.0)) else { continue };
            if tuned != Some(step.task.play) {
                tuned = Some(step.task.play);
                self.limiter.retune(&play.limits, at);
            }
            let delegate = on.and_then(|on| play.delegate_values.get(on));
            let own = values.get(&(step.task.play, &step.host)).copied();
            if let Some(values) = delegate.or(own) {
                self.limiter.book(cost, values, at);
            }
        }
    }

    /// Puts a play where it was; `false` when it has to begin from its work query.
    pub(super) fn restore(&mut self, number: PlayNo, now: Elapsed) -> bool {
        let Some(resumption) = self.resumption.take() else { return false };
        let is_restored = match resumption.state.plays.get(&number) {
            Some(play) if play.finished => {
                self.is_tripped |= play.is_stopped();
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
            wave.finished_at = told.finished_at;
        }
        let forgiven = |kind| {
            let hosts = state.forgiven.get(&kind).copied().unwrap_or_default();
            u32::try_from(hosts).unwrap_or(u32::MAX)
        };
        run.budgets = Budgets::new(&draft.safeguards.max_fail, run.hosts.len(), forgiven);
        run.once = done_once(draft, state);
        let mut ends = Vec::new();
        for place in 0..run.hosts.len() {
            let name = run.hosts[place].name.clone();
            let Some(host) = state.hosts.get(&name) else { continue };
            if let Some(outcome) = host.outcome {
                run.hosts[place].class = host.class;
                // What is spent is looked at when all are booked.
                let _spent = run.end(place, outcome);
                continue;
            }
            match self.go_on(&mut run, place, host, resumption) {
                GoesOn::At => {}
                GoesOn::Ends(outcome) => ends.push((place, outcome)),
            }
        }
        // Hosts were booked in the order of the waves, not in that in which they ended.
        run.budgets.set_row(state.row.len());
        // The slow start begins anew; what went before says nothing about now.
        run.ramp = Ramp::new(throttle);
        // What tripped and was not forgiven stays so.
        self.is_tripped |= state.tripped.is_some();
        let spent = spent(&run);
        self.is_tripped |= !spent.is_empty();
        self.stage = Stage::Running(run);
        self.begin_adapting(number, now);
        // The journal was cut between a bad result and the trip that it caused.
        for (wave, kind, budget) in spent {
            self.tell_spent(number, PlayRun::wave_no(wave), kind, budget);
        }
        if let Some(step) = self.lost_once.take() {
            self.tell_once_failed(step);
        }
        for (place, outcome) in ends {
            self.end_host(place, outcome, now);
        }
    }

    fn go_on(
        &mut self,
        run: &mut PlayRun,
        place: usize,
        state: &HostState,
        resumption: &Resumption,
    ) -> GoesOn {
        let mut onward = run.begin(place);
        if state.steps.is_empty() {
            return GoesOn::At;
        }
        // What an earlier process did of it is missing in the time that it takes now.
        run.hosts[place].has_waited = true;
        while let Onward::At(task) = onward {
            let (flow, replay_is_safe) = self.draft.plays[usize::from(run.number.0)]
                .tasks
                .get(usize::from(task))
                .map(|task| (task.flow, task.replay_is_safe))
                .unwrap_or_default();
            let Some(step) = state.steps.get(&task) else {
                if flow.is_once && run.once.contains_key(&task) {
                    onward = run.after(place);
                    continue;
                }
                return GoesOn::At;
            };
            if step.has_changed {
                run.changed(place);
            }
            let class = step.failure.as_ref().map(|failure| failure.class);
            let id = || StepId {
                task: TaskId { play: run.number, task },
                host: run.hosts[place].name.clone(),
            };
            let (outcome, class) = match (step.outcome, step.open) {
                (Some(outcome), _) => {
                    let is_ignored = flow.ignores_errors && is_rescuable(outcome, class);
                    // The journal was cut between the failure and what follows from it.
                    if flow.is_once
                        && !outcome.is_well()
                        && (outcome != Outcome::Unreachable || !step.parts.is_empty())
                        && !is_ignored
                        && !step.changes.is_empty()
                    {
                        self.lost_once.get_or_insert_with(id);
                    }
                    (outcome, class)
                }
                (None, false) => {
                    // Its step would never end if another host took over.
                    if flow.is_once {
                        let is_untouched = step.changes.is_empty();
                        run.keep_once(task, place, is_untouched || replay_is_safe);
                    }
                    return GoesOn::At;
                }
                (None, true) => {
                    let id = id();
                    match resumption.resolution(&id) {
                        Some(Resolution::Again) => {
                            if flow.is_once {
                                // The operator allowed it, unless there are items before.
                                run.keep_once(task, place, replay_is_safe || step.settled == 0);
                            }
                            return GoesOn::At;
                        }
                        Some(Resolution::Accept) if flow.is_loop => {
                            self.accept_item(id, step);
                            run.changed(place);
                            if flow.is_once {
                                run.keep_once(task, place, replay_is_safe);
                            }
                            return GoesOn::At;
                        }
                        Some(Resolution::Accept) => {
                            if flow.is_once {
                                run.once.insert(task, Once::Done);
                            }
                            (self.accept(id), None)
                        }
                        Some(Resolution::Unknown) | None => {
                            if flow.is_once {
                                self.lost_once.get_or_insert_with(|| id.clone());
                            }
                            (self.mark_unknown(id), Some(FailureClass::InDoubt))
                        }
                    }
                }
            };
            onward = match run.pass(place, outcome, class, flow) {
                Ok(onward) => onward,
                Err(outcome) => return GoesOn::Ends(outcome),
            };
        }
        match onward {
            Onward::Failed => GoesOn::Ends(Outcome::Failed),
            Onward::At(_) | Onward::Through => GoesOn::Ends(run.hosts[place].outcome()),
        }
    }

    /// The item of a loop that is in doubt counts as done; the step goes on with the next one.
    fn accept_item(&mut self, step: StepId, state: &StepState) {
        let settled = state.parts.iter().filter(|part| part.settled).count();
        self.emit(EventKind::StepWentOn {
            step,
            item: u32::try_from(settled).ok(),
            attempt: 1,
            settled: true,
            outcome: Outcome::Changed,
            failure: None,
            note: Some("accepted as done by the operator".to_owned()),
            value: Value::Null,
        });
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
            "the change began, nobody knows how far it came, and it is not safe to repeat",
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
}

/// The budgets of a play that are spent, each with the place of the wave in which it was.
fn spent(run: &PlayRun) -> Vec<(usize, BudgetKind, Budget)> {
    let of_wave = run.waves.iter().position(|wave| wave.budget.is_spent());
    let of_wave = of_wave.map(|wave| (wave, BudgetKind::Wave, run.waves[wave].budget));
    let latest = run.waves.iter().rposition(|wave| wave.is_started).unwrap_or_default();
    let of_play = run.budgets.spent().map(|(kind, budget)| (latest, kind, budget));
    of_wave.into_iter().chain(of_play).collect()
}

/// The tasks that one host does for all and that are done.
fn done_once(draft: &DraftPlay, state: &PlayState) -> BTreeMap<u16, Once> {
    let is_done = |task: &DraftTask, step: &StepState| {
        let class = step.failure.as_ref().map(|failure| failure.class);
        step.outcome.is_some_and(|outcome| {
            (outcome.is_well() && outcome != Outcome::Skipped)
                || (task.flow.ignores_errors && is_rescuable(outcome, class))
        })
    };
    let once = draft.tasks.iter().filter(|task| task.flow.is_once);
    once.filter(|task| {
        let steps = state.hosts.values().filter_map(|host| host.steps.get(&task.id.task));
        steps.into_iter().any(|step| is_done(task, step))
    })
    .map(|task| (task.id.task, Once::Done))
    .collect()
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
