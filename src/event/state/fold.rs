//! The fold itself: how each event changes what is known of the run, and which events cannot be.

use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;

use super::{
    Adapted, Confirmation, GateQuestion, GateState, HostState, PlayState, RunState, StepPart,
    StepState, Tripped, WaveState,
};
use crate::event::{AdaptReason, ChangeRecord, Event, EventKind};
use crate::model::{
    Cost, Elapsed, FailureClass, HostName, LimitName, Outcome, PlayNo, StepId, WaveNo,
};

/// An event that cannot follow what came before it: a mistake in this program, or a journal that
/// was tampered with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {seq} ({what}) cannot follow: {reason}")]
pub struct IllegalEvent {
    /// The event's number.
    pub seq: u64,
    /// What it says.
    pub what: String,
    /// Why it cannot be.
    pub reason: String,
}

impl RunState {
    /// Takes in the next event.
    ///
    /// # Errors
    ///
    /// An event out of order, of a step that is not open, or after the end.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let refuse = |reason: String| {
            let what = serde_json::to_value(&event.kind)
                .ok()
                .and_then(|value| value.get("event").and_then(Value::as_str).map(str::to_owned))
                .unwrap_or_default();
            Err(IllegalEvent { seq: event.seq, what, reason })
        };
        if event.seq != self.next_seq {
            return refuse(format!("number {} was expected", self.next_seq));
        }
        if event.elapsed < self.elapsed {
            return refuse("its time lies before that of the event before".to_owned());
        }
        let is_first = matches!(event.kind, EventKind::RunStarted(_));
        if is_first != self.header.is_none() {
            return refuse("a run starts with `run_started`, once".to_owned());
        }
        if self.result.is_some() && !matches!(event.kind, EventKind::RunResumed { .. }) {
            return refuse("the run has ended".to_owned());
        }
        if let Err(reason) = self.take(event) {
            return refuse(reason);
        }
        self.next_seq += 1;
        self.elapsed = event.elapsed;
        self.span = Some((self.span.map_or(event.at, |(first, _)| first), event.at));
        Ok(())
    }

    /// Folds a whole journal.
    ///
    /// # Errors
    ///
    /// The first event that cannot be.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, IllegalEvent> {
        let mut state = Self::default();
        events.into_iter().try_for_each(|event| state.apply(event))?;
        Ok(state)
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        let (elapsed, at) = (event.elapsed, event.at);
        match &event.kind {
            EventKind::RunStarted(header) => {
                self.window.of_run.clone_from(&header.window);
                self.header = Some(header.clone());
            }
            EventKind::RunResumed { again, window, .. } => {
                self.resumed += 1;
                self.reopen(again);
                if window.is_some() {
                    self.window.of_run.clone_from(window);
                }
            }
            EventKind::WorkFound { play, work } => {
                let state = self.plays.entry(*play).or_default();
                state.work = Some(work.clone());
                state.work_failure = None;
            }
            EventKind::WorkNotFound { play, failure } => {
                self.plays.entry(*play).or_default().work_failure = Some(failure.clone());
            }
            EventKind::PlayStarted { play, waves } => self.start_play(*play, waves)?,
            EventKind::WaveStarted { play, wave } => self.wave(*play, *wave)?.started = true,
            EventKind::StepStarted { step, on } => self.start_step(step, on.as_ref(), elapsed)?,
            EventKind::StepDecided { step, change, cost } => {
                self.decide(event, step, change, cost)?;
            }
            EventKind::StepWentOn {
                step, item, attempt, settled, outcome, failure, value, ..
            } => {
                let state = self.open_step(step)?;
                state.open = false;
                state.settled = state.changes.len();
                state.has_changed |= *outcome == Outcome::Changed;
                state.parts.push(StepPart {
                    item: *item,
                    attempt: *attempt,
                    settled: *settled,
                    outcome: *outcome,
                    failure: failure.clone(),
                    value: value.clone(),
                });
            }
            EventKind::ConfirmAsked { step, question } => {
                self.open_step(step)?;
                let asked =
                    Confirmation { step: step.clone(), question: question.clone(), answer: None };
                self.play(step.task.play)?.confirmations.insert(step.task.task, asked);
            }
            EventKind::ConfirmAnswered { step, answer } => {
                let asked = self.play(step.task.play)?.confirmations.get_mut(&step.task.task);
                let asked = asked.ok_or_else(|| format!("step {step} did not ask"))?;
                asked.answer = Some((answer.clone(), at));
            }
            EventKind::StepFinished { step, outcome, failure, note, value } => {
                let state = self.open_step(step)?;
                state.open = false;
                state.outcome = Some(*outcome);
                state.has_changed |= *outcome == Outcome::Changed;
                state.finished = Some(elapsed);
                state.failure.clone_from(failure);
                state.note.clone_from(note);
                state.value = value.clone();
            }
            EventKind::HostFinished { play, host, outcome, class } => {
                self.finish_host(*play, host, *outcome, *class)?;
            }
            EventKind::WaveFinished { play, wave } => {
                let state = self.wave(*play, *wave)?;
                state.finished = true;
                state.finished_at = Some(elapsed);
            }
            EventKind::BudgetTripped { play, wave, budget, bad, tolerated } => {
                let (budget, wave, bad, tolerated) = (*budget, *wave, *bad, *tolerated);
                let tripped = Tripped { budget, wave, bad, tolerated };
                self.play(*play)?.tripped.get_or_insert(tripped);
            }
            EventKind::GateChecked { play, wave, gate, verdict, seen, .. } => {
                self.wave(*play, *wave)?;
                let state = self.play(*play)?.gates.entry(gate.clone()).or_default();
                state.checked = Some((*wave, *verdict));
                state.seen.clone_from(seen);
            }
            EventKind::GateAsked { play, wave, gate, question } => {
                let state = self.gate(*play, gate)?;
                let question = question.clone();
                state.asked.push(GateQuestion { wave: *wave, question, answer: None });
            }
            EventKind::GateAnswered { play, gate, answer, .. } => {
                let asked = self.gate(*play, gate)?.asked.last_mut();
                let asked = asked.filter(|asked| asked.answer.is_none());
                let asked = asked.ok_or_else(|| format!("nobody was asked about {gate}"))?;
                asked.answer = Some((answer.clone(), at));
            }
            EventKind::GateFailed { play, gate, seen, .. } => {
                self.gate(*play, gate)?;
                self.play(*play)?.gate_failed = Some((gate.clone(), seen.clone()));
            }
            EventKind::OnceFailed { step } => {
                self.play(step.task.play)?.once_failed = Some(step.clone());
            }
            EventKind::LimitAdapted { limit, percent, why } => {
                self.limit_adapted(limit, *percent, *why);
            }
            EventKind::BreakerOpened { host } => self.breaker = Some(host.clone()),
            EventKind::OracleChecked { play, report, last } => {
                let state = self.play(*play)?;
                state.oracle = Some(report.clone());
                state.oracle_done = *last;
                state.oracle_failure = None;
            }
            EventKind::OracleNotRead { play, failure, last } => {
                let state = self.play(*play)?;
                state.oracle_failure = Some(failure.clone());
                state.oracle_done = *last;
            }
            EventKind::PlayFinished { play } => {
                self.plays.entry(*play).or_default().finished = true;
            }
            EventKind::WindowOpened { .. } => self.window.held = None,
            EventKind::WindowAwaited { opens, .. } => self.window.held = Some(opens.clone()),
            EventKind::WindowClosed(closed) => {
                self.window.held = None;
                self.window.closed = Some(closed.clone());
            }
            EventKind::ClockJumped { expected, found } => {
                self.window.jumped = Some((*expected, *found));
            }
            EventKind::ClockReturned => self.window.jumped = None,
            EventKind::Stopping { stage } => self.stopping = Some(*stage),
            EventKind::RunFinished { result } => self.result = Some(*result),
        }
        Ok(())
    }

    fn play(&mut self, play: PlayNo) -> Result<&mut PlayState, String> {
        self.plays.get_mut(&play).ok_or_else(|| format!("play {play} has not started"))
    }

    fn gate(&mut self, play: PlayNo, gate: &str) -> Result<&mut GateState, String> {
        let state = self.play(play)?.gates.get_mut(gate);
        state.ok_or_else(|| format!("gate {gate} of play {play} was not asked"))
    }

    fn wave(&mut self, play: PlayNo, wave: WaveNo) -> Result<&mut WaveState, String> {
        self.play(play)?
            .waves
            .get_mut(usize::from(wave.0))
            .ok_or_else(|| format!("play {play} has no wave {wave}"))
    }

    fn host(&mut self, play: PlayNo, host: &HostName) -> Result<&mut HostState, String> {
        self.play(play)?
            .hosts
            .get_mut(host)
            .ok_or_else(|| format!("host {host} is not in play {play}"))
    }

    fn open_step(&mut self, step: &StepId) -> Result<&mut StepState, String> {
        let host = self.host(step.task.play, &step.host)?;
        match host.steps.get_mut(&step.task.task) {
            None => Err(format!("step {step} has not started")),
            Some(state) if state.outcome.is_some() => Err(format!("step {step} has ended")),
            Some(state) => Ok(state),
        }
    }

    fn start_play(&mut self, play: PlayNo, waves: &[Vec<HostName>]) -> Result<(), String> {
        let state = self.plays.entry(play).or_default();
        if state.started {
            return Err(format!("play {play} has started"));
        }
        state.started = true;
        for (number, hosts) in (0..).zip(waves) {
            state.waves.push(WaveState {
                hosts: hosts.len(),
                started: false,
                finished: false,
                finished_at: None,
                ended: IndexMap::new(),
                forgiven: 0,
            });
            for host in hosts {
                let fresh = HostState {
                    wave: WaveNo(number),
                    steps: IndexMap::new(),
                    outcome: None,
                    class: None,
                };
                if state.hosts.insert(host.clone(), fresh).is_some() {
                    return Err(format!("host {host} is in two waves"));
                }
            }
        }
        Ok(())
    }

    fn start_step(
        &mut self,
        step: &StepId,
        on: Option<&HostName>,
        elapsed: Elapsed,
    ) -> Result<(), String> {
        let host = self.host(step.task.play, &step.host)?;
        if host.outcome.is_some() {
            return Err(format!("host {} is through with the play", step.host));
        }
        let state = host.steps.entry(step.task.task).or_default();
        if state.outcome.is_some() {
            return Err(format!("step {step} has ended"));
        }
        state.started = elapsed;
        state.on = on.cloned();
        if let Some(on) = on {
            let steps = self.delegated.entry(on.clone()).or_default();
            if !steps.contains(step) {
                steps.push(step.clone());
            }
        }
        Ok(())
    }

    fn decide(
        &mut self,
        event: &Event,
        step: &StepId,
        change: &ChangeRecord,
        cost: &Cost,
    ) -> Result<(), String> {
        let is_check = self.is_check();
        let state = self.open_step(step)?;
        state.open = !is_check;
        state.changes.push((change.clone(), cost.clone()));
        state.decided.push(event.seq);
        state.decided_at.push(event.elapsed);
        if !is_check {
            for (limit, draw) in cost.draws() {
                let booked = self.booked.entry(limit.as_str().to_owned()).or_default();
                *booked += u64::from(draw.total());
            }
            for (limit, due) in cost.dues() {
                let booked = self.booked.entry(limit.as_str().to_owned()).or_default();
                *booked += u64::from(due.units);
            }
        }
        Ok(())
    }

    fn limit_adapted(&mut self, limit: &LimitName, percent: u8, why: AdaptReason) {
        let first = Adapted { lowest: (percent, why), latest: 100, fell: 0 };
        let adapted = self.adapted.entry(limit.as_str().to_owned()).or_insert(first);
        if percent < adapted.latest {
            adapted.fell = adapted.fell.saturating_add(1);
        }
        if percent < adapted.lowest.0 {
            adapted.lowest = (percent, why);
        }
        adapted.latest = percent;
    }

    fn finish_host(
        &mut self,
        play: PlayNo,
        host: &HostName,
        outcome: Outcome,
        class: Option<FailureClass>,
    ) -> Result<(), String> {
        let state = self.host(play, host)?;
        if state.outcome.replace(outcome).is_some() {
            return Err(format!("host {host} was through with the play"));
        }
        state.class = class;
        let wave = state.wave;
        let row = &mut self.play(play)?.row;
        match outcome {
            // A host on which every step was skipped says nothing.
            Outcome::Skipped => {}
            outcome if outcome.is_well() => row.clear(),
            _ => row.push(host.clone()),
        }
        *self.wave(play, wave)?.ended.entry(outcome).or_default() += 1;
        Ok(())
    }
}
