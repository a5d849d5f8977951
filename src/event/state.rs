//! The fold over events: resume, recap, progress and `show` all read this and nothing else.

use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;

use super::{
    Answer, ChangeRecord, Event, EventKind, OracleReport, Question, Reply, RunResult, RunStarted,
    StopStage, WindowState,
};
use crate::model::{
    BudgetKind, Cost, Elapsed, FailureClass, GateVerdict, HostName, MatchedWork, Outcome, PlayNo,
    StepFailure, StepId, TaskId, WaveNo,
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

/// A step so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepState {
    /// When it started.
    pub started: Elapsed,
    /// Every change it decided on, in order; more than one after a resume.
    pub changes: Vec<(ChangeRecord, Cost)>,
    /// For each of those, the number of the event that decided it: the order among the changes of
    /// all steps.
    pub decided: Vec<u64>,
    /// For each of those, when it drew from its limits.
    pub decided_at: Vec<Elapsed>,
    /// Whether a decided change has no recorded end: after a crash, it is in doubt.
    pub open: bool,
    /// The host on which it acts, where that is another one.
    pub on: Option<HostName>,
    /// Its attempts and items that ended and after which it went on.
    pub parts: Vec<StepPart>,
    /// How many of the changes belong to those.
    pub settled: usize,
    /// Whether it changed its host, with an attempt, with an item, or before it was taken up again.
    pub has_changed: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub finished: Option<Elapsed>,
    /// Why it ended badly.
    pub failure: Option<StepFailure>,
    /// What was seen or done.
    pub note: Option<String>,
    /// The value that `register` keeps.
    pub value: Value,
}

/// An attempt of a step, or an item of its loop, that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPart {
    /// The item, from 0; none in a task without a loop.
    pub item: Option<u32>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether the item is through.
    pub settled: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended badly.
    pub failure: Option<StepFailure>,
    /// The value that it came to.
    pub value: Value,
}

/// A question to an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmation {
    /// The step that asked.
    pub step: StepId,
    /// What was asked.
    pub question: Question,
    /// What was said, and when.
    pub answer: Option<(Answer, jiff::Timestamp)>,
}

/// A gate so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GateState {
    /// The latest answer that was told, with the wave for which it was asked.
    pub checked: Option<(WaveNo, GateVerdict)>,
    /// What was seen then.
    pub seen: String,
    /// What an operator was asked about it, each time.
    pub asked: Vec<GateQuestion>,
}

/// A question to an operator about a gate that came to no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GateQuestion {
    /// The wave.
    pub wave: WaveNo,
    /// What was asked.
    pub question: Question,
    /// What was said, and when.
    pub answer: Option<(Answer, jiff::Timestamp)>,
}

impl GateState {
    /// The question that still has to be answered with a yes, if there is one.
    pub fn unconfirmed(&self) -> Option<&Question> {
        let GateQuestion { question, answer, .. } = self.asked.last()?;
        let is_open = answer.as_ref().is_none_or(|(said, _)| said.reply != Reply::Confirmed);
        let has_passed = self.checked.is_some_and(|(_, verdict)| verdict == GateVerdict::Pass);
        (is_open && !has_passed).then_some(question)
    }
}

/// A host's share of one play.
#[derive(Debug, Clone, PartialEq)]
pub struct HostState {
    /// Its wave.
    pub wave: WaveNo,
    /// Its steps by the task's place in the play.
    pub steps: IndexMap<u16, StepState>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended badly.
    pub class: Option<FailureClass>,
}

/// A wave so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveState {
    /// Its hosts.
    pub hosts: usize,
    /// Whether it began.
    pub started: bool,
    /// Whether all its hosts are through.
    pub finished: bool,
    /// When they were: the soak after it is counted from there.
    pub finished_at: Option<Elapsed>,
    /// How its hosts ended, by outcome.
    pub ended: IndexMap<Outcome, usize>,
    /// Bad hosts that no longer count against its budget: the operator resumed after they had
    /// tripped it.
    pub forgiven: usize,
}

impl WaveState {
    /// Hosts that ended badly.
    pub fn bad(&self) -> usize {
        self.ended.iter().filter(|(outcome, _)| !outcome.is_well()).map(|(_, hosts)| hosts).sum()
    }
}

/// A budget that was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    /// Which.
    pub budget: BudgetKind,
    /// The wave of the host that spent it.
    pub wave: WaveNo,
    /// Hosts that it counted.
    pub bad: u32,
    /// Hosts that it tolerates.
    pub tolerated: u32,
}

/// A play so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlayState {
    /// The work found for it.
    pub work: Option<MatchedWork>,
    /// Why no work could be found.
    pub work_failure: Option<StepFailure>,
    /// Whether its waves are fixed.
    pub started: bool,
    /// Its waves.
    pub waves: Vec<WaveState>,
    /// Its hosts, in the order of the waves.
    pub hosts: IndexMap<HostName, HostState>,
    /// The budget that tripped, the first of them.
    pub tripped: Option<Tripped>,
    /// Hosts that no longer count against its budgets: the operator resumed after they had tripped
    /// one.
    pub forgiven: IndexMap<BudgetKind, usize>,
    /// The bad hosts that ended one after the other, up to now.
    pub row: Vec<HostName>,
    /// The step that one host did for all and that failed.
    pub once_failed: Option<StepId>,
    /// Its gates, by name.
    pub gates: IndexMap<String, GateState>,
    /// The gate that stopped it, and what was seen.
    pub gate_failed: Option<(String, String)>,
    /// What an operator was asked, by the task's place in the play.
    pub confirmations: IndexMap<u16, Confirmation>,
    /// The latest word of the CMDB.
    pub oracle: Option<OracleReport>,
    /// Whether it was the last word.
    pub oracle_done: bool,
    /// Why the CMDB could not be read at last.
    pub oracle_failure: Option<StepFailure>,
    /// Whether it ended.
    pub finished: bool,
}

impl PlayState {
    /// Whether it stopped by itself: nothing after it may run.
    pub fn is_stopped(&self) -> bool {
        self.tripped.is_some() || self.once_failed.is_some() || self.gate_failed.is_some()
    }

    /// A host is not through any more; it is before a step that it did.
    fn take_up(&mut self, name: &HostName, task: u16) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.rewind(task);
        host.class = None;
        if let Some(outcome) = host.outcome.take() {
            self.row.retain(|ended| ended != name);
            self.finished = false;
            reopen_wave(&mut self.waves, host.wave, outcome);
        }
    }

    /// Hosts over all waves that a budget counts; none are counted so for the budgets that count
    /// something else.
    pub fn bad(&self, budget: BudgetKind) -> usize {
        let is_counted = |host: &&HostState| {
            host.outcome.is_some_and(|outcome| !outcome.is_well())
                && match budget {
                    BudgetKind::Fleet => true,
                    BudgetKind::Unreachable => host.class == Some(FailureClass::Unreachable),
                    BudgetKind::Auth => host.class == Some(FailureClass::AuthRejected),
                    BudgetKind::Drifted => host.class == Some(FailureClass::Drifted),
                    BudgetKind::Wave | BudgetKind::Consecutive => false,
                }
        };
        self.hosts.values().filter(is_counted).count()
    }

    fn reopen(&mut self, is_check: bool) {
        let bad_of_play: IndexMap<BudgetKind, usize> =
            BudgetKind::OF_PLAY.into_iter().map(|budget| (budget, self.bad(budget))).collect();
        let bad: Vec<usize> = self.waves.iter().map(WaveState::bad).collect();
        let once_failed = self.once_failed.take();
        let gate_failed = self.gate_failed.take();
        for (name, host) in &mut self.hosts {
            let is_through = host.outcome.is_some();
            let mut is_doubted = host.outcome == Some(Outcome::Unknown);
            for (task, step) in &mut host.steps {
                // What one host did for all and failed halfway is not another host's to repeat.
                let is_once = |id: &StepId| id.host == *name && id.task.task == *task;
                if once_failed.as_ref().is_some_and(is_once) {
                    step.doubt(is_check);
                    is_doubted = true;
                } else {
                    step.reopen(is_through, is_check);
                }
            }
            if is_doubted && let Some(outcome) = host.outcome.take() {
                host.class = None;
                self.row.retain(|ended| ended != name);
                self.finished = false;
                reopen_wave(&mut self.waves, host.wave, outcome);
            }
        }
        self.oracle_done &= self.finished;
        let has_hosts_left = self.hosts.values().any(|host| host.outcome.is_none());
        // Gates are asked anew where there is something to ask them for.
        self.gate_failed = gate_failed.filter(|_| !has_hosts_left);
        if has_hosts_left && self.tripped.take().is_some() {
            for (wave, bad) in self.waves.iter_mut().zip(bad) {
                wave.forgiven = bad;
            }
            self.forgiven = bad_of_play;
            self.row.clear();
        }
    }
}

/// A host of a wave is not through any more.
fn reopen_wave(waves: &mut [WaveState], wave: WaveNo, outcome: Outcome) {
    let Some(wave) = waves.get_mut(usize::from(wave.0)) else { return };
    wave.finished = false;
    wave.finished_at = None;
    if let Some(ended) = wave.ended.get_mut(&outcome) {
        *ended = ended.saturating_sub(1);
    }
}

impl HostState {
    /// Puts the host before a step; nothing from there on is in doubt, for its end is known.
    fn rewind(&mut self, from: u16) {
        for (task, step) in self.steps.iter_mut().filter(|(task, _)| **task >= from) {
            // Tries are counted anew; items of a loop that are through stay so at the step itself.
            step.parts.retain(|part| *task == from && part.settled);
            step.settled = step.changes.len();
            step.doubt(false);
        }
    }
}

impl StepState {
    fn reopen(&mut self, host_is_through: bool, is_check: bool) {
        let is_left = |class| matches!(class, FailureClass::Cancelled | FailureClass::Unconfirmed);
        let is_cancelled =
            !host_is_through && self.failure.as_ref().is_some_and(|f| is_left(f.class));
        if self.outcome == Some(Outcome::Unknown) || is_cancelled {
            self.doubt(is_check);
        }
    }

    /// Forgets how it ended: it is in doubt where its latest change is not settled.
    fn doubt(&mut self, is_check: bool) {
        let before = std::mem::take(self);
        *self = Self {
            started: before.started,
            open: before.changes.len() > before.settled && !is_check,
            changes: before.changes,
            decided: before.decided,
            decided_at: before.decided_at,
            settled: before.settled,
            has_changed: before.has_changed,
            parts: before.parts,
            on: before.on,
            ..Self::default()
        };
    }
}

/// All that is known of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    /// The first event.
    pub header: Option<Box<RunStarted>>,
    /// The plays that began, or had their work found.
    pub plays: IndexMap<PlayNo, PlayState>,
    /// Units booked by limit: now and later together.
    pub booked: IndexMap<String, u64>,
    /// The steps that act on another host than their own, by that host.
    pub delegated: IndexMap<HostName, Vec<StepId>>,
    /// Whether the operator asked for an end.
    pub stopping: Option<StopStage>,
    /// What is known of its windows.
    pub window: WindowState,
    /// The host that rejected a logon.
    pub breaker: Option<HostName>,
    /// How it ended.
    pub result: Option<RunResult>,
    /// The number that the next event must have.
    pub next_seq: u64,
    /// The elapsed time of the latest event.
    pub elapsed: Elapsed,
    /// The wall clock of the first and of the latest event.
    pub span: Option<(jiff::Timestamp, jiff::Timestamp)>,
    /// How often the run was resumed.
    pub resumed: u32,
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

    /// A step, if it began.
    pub fn step(&self, step: &StepId) -> Option<&StepState> {
        self.plays.get(&step.task.play)?.hosts.get(&step.host)?.steps.get(&step.task.task)
    }

    /// Every step that began, in the order of plays, hosts and tasks.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &StepState)> {
        self.plays.iter().flat_map(|(play, state)| {
            state.hosts.iter().flat_map(move |(host, host_state)| {
                host_state.steps.iter().map(move |(task, step)| {
                    let task = TaskId { play: *play, task: *task };
                    (StepId { task, host: host.clone() }, step)
                })
            })
        })
    }

    /// Steps whose effect was asked for and never seen to end.
    pub fn in_doubt(&self) -> impl Iterator<Item = StepId> {
        self.steps().filter(|(_, step)| step.open).map(|(id, _)| id)
    }

    /// Whether nothing was changed and nothing was asked to change.
    pub fn is_check(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.mode == super::RunMode::Check)
    }

    /// Whether every play ended, or one that ended forbids those after it.
    pub fn is_through(&self) -> bool {
        let plays = self.header.as_ref().map_or(0, |header| header.plays.len());
        for number in (0..).map(PlayNo).take(plays) {
            match self.plays.get(&number) {
                Some(play) if play.finished && play.is_stopped() => return true,
                Some(play) if play.finished => {}
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Whether a resume would find anything to do.
    pub fn may_go_on(&self) -> bool {
        let mut reopened = self.clone();
        reopened.reopen(&[]);
        !reopened.is_through()
    }

    /// Takes back what a resume does not take as settled: the stop, the open breaker, tripped
    /// budgets, steps that were cancelled before their host was through, and steps whose effect is
    /// unknown, which are in doubt again, as is what one host did for all and failed after its
    /// change began. Doing it twice changes nothing.
    ///
    /// A play whose budget tripped and that has no host left stays tripped: going on past it would
    /// run the next play on what the playbook says must not be tolerated.
    ///
    /// `again` are steps of hosts that failed or could not be reached; these are taken up there.
    pub fn reopen(&mut self, again: &[StepId]) {
        let is_check = self.is_check();
        for step in again {
            if let Some(play) = self.plays.get_mut(&step.task.play) {
                play.take_up(&step.host, step.task.task);
            }
        }
        self.stopping = None;
        self.result = None;
        self.breaker = None;
        let of_run = self.window.of_run.take();
        self.window = WindowState { of_run, ..WindowState::default() };
        for play in self.plays.values_mut() {
            play.reopen(is_check);
        }
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
            EventKind::LimitAdapted { .. } => {}
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
