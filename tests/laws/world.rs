//! A driver on a virtual clock: it jumps from one thing that happens to the next.

mod answers;
mod party;

use std::collections::BTreeMap;
use std::time::Duration;

use fleetmend::event::{
    Answer, AnsweredBy, ChangeRecord, Event, EventKind, PlayHeader, Reply, RunMode, RunResult,
    RunStarted, RunState, StopStage, TaskHeader, Undo,
};
use fleetmend::ledger::Word;
use fleetmend::model::{
    Cost, Elapsed, FailureClass, HostName, Now, NsHealth, Outcome, PlayNo, RunId, StepFailure,
    StepId, WaveNo,
};
use fleetmend::plan::Resumption;
use fleetmend::scheduler::{Command, Input, Scheduler};
use serde_json::Value;

pub(crate) use self::party::{Party, Shared, Told};
use crate::case::{Case, Fate};

/// More turns than any of these runs needs: a run that takes them does not end.
const TURNS: usize = 200_000;

/// What a step under way will do next, and when.
enum Next {
    Decides,
    Ends(Outcome, Option<FailureClass>),
    /// Ends an attempt or an item; it goes on where there is another one.
    Goes(Outcome, Option<FailureClass>),
}

impl From<(Outcome, Option<FailureClass>)> for Next {
    fn from((outcome, class): (Outcome, Option<FailureClass>)) -> Self {
        Self::Ends(outcome, class)
    }
}

/// A run, driven to its end.
pub(crate) struct World<'a> {
    case: &'a Case,
    scheduler: Scheduler,
    now: u64,
    /// The wall clock at the start of the run, were it to go on without a stop.
    wall: jiff::Timestamp,
    /// What will happen, by instant and by the order in which it was set off.
    agenda: BTreeMap<(u64, u64), Happens>,
    set_off: u64,
    steps: BTreeMap<StepId, (u64, u64)>,
    asked: BTreeMap<PlayNo, u32>,
    gates_asked: BTreeMap<(PlayNo, WaveNo, u16), u32>,
    pub(crate) events: Vec<Event>,
    pub(crate) state: RunState,
    /// Every command with its instant, in milliseconds, between the inputs that led to it.
    pub(crate) log: Vec<(u64, Entry)>,
    pub(crate) result: Option<RunResult>,
    /// What it shares with other runs.
    party: Option<Party>,
    /// When the ledger's latest answer comes.
    answered: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    In(Input),
    Out(Command),
}

enum Happens {
    Step(StepId, Next),
    Other(Input),
}

impl<'a> World<'a> {
    /// A run from its beginning.
    pub(crate) fn new(case: &'a Case) -> Self {
        let mut world = Self::with(case, Scheduler::new(case.draft.clone()));
        world.write(EventKind::RunStarted(Box::new(header(case))));
        world.plan_stops();
        world
    }

    /// A run that goes on after a cut.
    pub(crate) fn resumed(case: &'a Case, before: &[Event], resumption: Resumption) -> Self {
        let again = resumption.again.clone();
        let mut world = Self::with(case, Scheduler::resume(case.draft.clone(), resumption));
        world.events = before.to_vec();
        world.state = RunState::replay(before).expect("a journal that was written is legal");
        world.now = world.state.elapsed.as_millis();
        world.write(EventKind::RunResumed { program: "0".to_owned(), again, window: None });
        world
    }

    /// A run that goes on after a cut, when the wall clock shows this.
    pub(crate) fn resumed_at(
        case: &'a Case,
        before: &[Event],
        resumption: Resumption,
        wall: jiff::Timestamp,
    ) -> Self {
        let mut world = Self::resumed(case, before, resumption);
        world.wall = wall - Duration::from_millis(world.now);
        world
    }

    fn with(case: &'a Case, scheduler: Scheduler) -> Self {
        Self {
            case,
            scheduler,
            now: 0,
            wall: case.wall,
            agenda: BTreeMap::new(),
            set_off: 0,
            steps: BTreeMap::new(),
            asked: BTreeMap::new(),
            gates_asked: BTreeMap::new(),
            events: Vec::new(),
            state: RunState::default(),
            log: Vec::new(),
            result: None,
            party: None,
            answered: 0,
        }
    }

    fn plan_stops(&mut self) {
        for (at, stage) in self.case.stops.clone() {
            self.plan(at, Happens::Other(Input::Operator(stage)));
        }
    }

    /// Drives the run to its end.
    pub(crate) fn drive(mut self) -> Self {
        for _ in 0..TURNS {
            self.settle();
            if self.result.is_some() {
                assert!(self.scheduler.poll(self.now()).is_none());
                return self;
            }
            self.turn();
        }
        panic!("the run does not end");
    }

    /// Obeys until nothing is left to do.
    fn settle(&mut self) {
        while let Some(command) = self.scheduler.poll(self.now()) {
            assert_eq!(self.result, None, "a command after the end: {command:?}");
            self.log.push((self.now, Entry::Out(command.clone())));
            self.obey(command);
        }
    }

    fn next_instant(&self) -> u64 {
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        let wakeup = self.scheduler.next_wakeup().map(Elapsed::as_millis);
        let next = next.into_iter().chain(wakeup).min();
        next.unwrap_or_else(|| panic!("the run hangs: {:#?}", self.scheduler))
    }

    /// Lets the next thing happen.
    pub(crate) fn turn(&mut self) {
        self.now = self.now.max(self.next_instant());
        if let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let happens = entry.remove();
            self.happen(happens);
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: Elapsed::from_millis(self.now), wall: self.wall_at(self.now) }
    }

    /// What the wall clock shows at an instant of the log.
    pub(crate) fn wall_at(&self, millis: u64) -> jiff::Timestamp {
        self.wall + Duration::from_millis(millis)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::FindWork { play } => self.find_work(play),
            Command::Start { step, on, .. } => {
                self.write(EventKind::StepStarted { step: step.clone(), on });
                let fate = self.case.fate(&step);
                let next = match (self.case.answer(&step), fate.decision) {
                    (Some(answer), _) => answer.into(),
                    (None, Ok(_)) => Next::Decides,
                    (None, Err((outcome, class))) => Next::Goes(outcome, class),
                };
                self.plan_step(step, fate.probe, next);
            }
            Command::Apply { step } => {
                let Fate { decision, apply, end: (outcome, class), .. } = self.case.fate(&step);
                self.write_decided(&step, decision.expect("only what was decided is applied"));
                self.plan_step(step, apply, Next::Goes(outcome, class));
            }
            Command::Draw { claim, draws } => {
                let answer = self.tell(Word::Draw { claim, draws });
                let (_, answer) = answer.into_iter().next().expect("a draw is answered");
                // The disk takes its time, and answers in order.
                let at = self.now + self.case.latency(claim.0);
                self.answered = self.answered.max(at);
                self.plan(self.answered, Happens::Other(Input::Drawn { claim, answer }));
            }
            Command::GiveBack { claim, keys } => {
                self.tell(Word::GiveBack { claim, keys });
            }
            Command::CheckOracle { play } => self.ask_oracle(play),
            Command::CheckHealth { play } => {
                // Every third look is slow, every fifth busy, every seventh not answered.
                let turn = self.now / 1000 + self.case.seed % 105;
                let millis = if turn.is_multiple_of(3) { 9000 } else { 40 };
                let latency = (!turn.is_multiple_of(7)).then(|| Duration::from_millis(millis));
                let is_busy = latency.is_some() && turn.is_multiple_of(5);
                let health = NsHealth { latency, is_busy, ..NsHealth::default() };
                let input = Input::Health { play, health };
                self.plan(self.now + 20, Happens::Other(input));
            }
            Command::Cancel { step } => {
                let is_open = self.state.step(&step).is_some_and(|step| step.open);
                let class = if is_open { FailureClass::InDoubt } else { FailureClass::Cancelled };
                self.plan_step(step, 3, Next::Ends(class.outcome(), Some(class)));
            }
            Command::CheckGate { play, wave, gate } => self.check_gate(play, wave, gate),
            Command::Emit(kind) => {
                self.write(kind.clone());
                if let EventKind::GateAsked { play, wave, gate, .. } = kind {
                    self.ask_about_gate(play, wave, &gate);
                }
            }
            Command::Finish(result) => self.result = Some(result),
        }
    }

    fn happen(&mut self, happens: Happens) {
        let input = match happens {
            Happens::Other(Input::GateAnswered { play, gate, reply }) => {
                let name = self.case.gates(play)[usize::from(gate)].name.clone();
                let wave = self.state.plays[&play].gates[&name].asked.last().expect("asked").wave;
                let by = AnsweredBy::Terminal;
                let answer = Answer { reply, user: "ana".to_owned(), by };
                self.write(EventKind::GateAnswered { play, wave, gate: name, answer });
                Input::GateAnswered { play, gate, reply }
            }
            Happens::Other(input) => input,
            Happens::Step(step, Next::Decides) => {
                self.steps.remove(&step);
                let cost = self.case.fate(&step).decision.expect("it decides on a change");
                if self.case.draft.mode == RunMode::Check {
                    self.write_decided(&step, cost);
                    self.write_finished(&step, Outcome::Changed, None);
                    Input::Finished { step, outcome: Outcome::Changed, class: None }
                } else {
                    Input::Decided { step, cost }
                }
            }
            Happens::Step(step, Next::Goes(outcome, _)) if self.goes_on(&step, outcome) => {
                let item = self.state.step(&step).map_or(0, |state| state.parts.len());
                let pause = self.case.pause(&step);
                self.write(EventKind::StepWentOn {
                    step: step.clone(),
                    item: u32::try_from(item).ok(),
                    attempt: 1,
                    settled: true,
                    outcome,
                    failure: None,
                    note: None,
                    value: Value::Null,
                });
                let fate = self.case.fate(&step);
                let next = match fate.decision {
                    Ok(_) => Next::Decides,
                    Err((outcome, class)) => Next::Goes(outcome, class),
                };
                self.plan_step(step.clone(), pause + fate.probe, next);
                let pause = Duration::from_millis(pause);
                Input::WentOn { step, pause, has_changed: outcome == Outcome::Changed }
            }
            Happens::Step(step, Next::Ends(outcome, class) | Next::Goes(outcome, class)) => {
                self.steps.remove(&step);
                self.write_finished(&step, outcome, class);
                Input::Finished { step, outcome, class }
            }
        };
        self.log.push((self.now, Entry::In(input.clone())));
        let now = self.now();
        self.scheduler.handle(now, input);
    }

    /// Whether a loop has another item.
    fn goes_on(&self, step: &StepId, outcome: Outcome) -> bool {
        let done = self.state.step(step).map_or(0, |state| state.parts.len());
        outcome.is_well() && done + 1 < self.case.items(step)
    }

    fn plan(&mut self, at: u64, happens: Happens) -> (u64, u64) {
        self.set_off += 1;
        self.agenda.insert((at, self.set_off), happens);
        (at, self.set_off)
    }

    /// Replaces what the step was about to do.
    fn plan_step(&mut self, step: StepId, delay: u64, next: Next) {
        if let Some(before) = self.steps.remove(&step) {
            self.agenda.remove(&before);
        }
        let key = self.plan(self.now + delay, Happens::Step(step.clone(), next));
        self.steps.insert(step, key);
    }

    fn write_decided(&mut self, step: &StepId, cost: Cost) {
        let change = ChangeRecord {
            action: "agent".to_owned(),
            change: Value::from(1),
            undo: Undo::With(Value::from(2)),
            lines: vec!["change".to_owned()],
        };
        self.write(EventKind::StepDecided { step: step.clone(), change, cost });
    }

    fn write_finished(&mut self, step: &StepId, outcome: Outcome, class: Option<FailureClass>) {
        let failure = class.map(|class| StepFailure::new(class, "it failed"));
        let (step, value) = (step.clone(), Value::Null);
        self.write(EventKind::StepFinished { step, outcome, failure, note: None, value });
    }

    /// Every event must be a legal one.
    fn write(&mut self, kind: EventKind) {
        let event = Event {
            seq: self.state.next_seq,
            at: self.wall_at(self.now),
            elapsed: Elapsed::from_millis(self.now),
            kind,
        };
        if let Err(illegal) = self.state.apply(&event) {
            panic!("{illegal}: {event:?}");
        }
        self.events.push(event);
    }

    /// What it depends on.
    pub(crate) fn case(&self) -> &'a Case {
        self.case
    }

    /// How each host ended in each play; none for one that did not.
    pub(crate) fn outcomes(&self) -> Vec<(PlayNo, HostName, Option<Outcome>)> {
        let plays = self.state.plays.iter();
        plays
            .flat_map(|(play, state)| {
                state.hosts.iter().map(|(name, host)| (*play, name.clone(), host.outcome))
            })
            .collect()
    }

    /// Whether something stopped the run early.
    pub(crate) fn is_cut_short(&self) -> bool {
        let stop = |event: &Event| {
            matches!(
                event.kind,
                EventKind::BudgetTripped { .. }
                    | EventKind::BreakerOpened { .. }
                    | EventKind::OnceFailed { .. }
                    | EventKind::WindowClosed(_)
                    | EventKind::GateFailed { .. }
                    | EventKind::Stopping { stage: StopStage::Drain | StopStage::Cancel }
            )
        };
        self.events.iter().any(stop) || self.is_unconfirmed()
    }

    /// Whether something was to be confirmed and was not.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        let questions = self.state.plays.values().flat_map(|play| play.gates.values());
        let mut questions = questions.filter_map(|gate| gate.asked.last());
        let is_no = questions.any(|asked| {
            asked.answer.as_ref().is_none_or(|(answer, _)| answer.reply != Reply::Confirmed)
        });
        (is_no && self.result == Some(RunResult::Unconfirmed))
            || self.log.iter().any(|(_, entry)| {
                let class = Some(FailureClass::Unconfirmed);
                matches!(entry, Entry::In(Input::Finished { class: told, .. }) if *told == class)
            })
    }
}

fn header(case: &Case) -> RunStarted {
    let task = |task: &fleetmend::plan::DraftTask| TaskHeader {
        notify: task.flow.notify,
        is_handler: task.flow.is_handler,
        ..TaskHeader::new(&task.name, &task.action)
    };
    let plays = case.draft.plays.iter().map(|play| PlayHeader {
        name: play.name.clone(),
        tasks: play.tasks.iter().map(task).collect(),
    });
    RunStarted {
        mode: case.draft.mode,
        playbook_sha256: case.draft.playbook_sha256.clone(),
        inventory_sha256: case.draft.inventory_sha256.clone(),
        seed: case.draft.seed,
        scale: case.draft.scale,
        plays: plays.collect(),
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(7)))
    }
}
