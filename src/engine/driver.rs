//! The only loop: it asks the scheduler, does as told, and tells it what came of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::clock::Clock;
use super::config::{DriverConfig, Orders};
use super::gates::GateVars;
use super::message::{Message, StepEnd, TaskEnd};
use super::scope::OnceResults;
use super::sessions::Sessions;
use super::step::{Errand, Job};
use super::{cmdb, gates, health, scope, step};
use crate::event::{
    self, Ack, Answer, AnsweredBy, ChangeRecord, Event, EventKind, IllegalEvent, Journal,
    JournalError, Observer, Reply, RunResult, RunState, StopStage,
};
use crate::ledger::{Answer as LedgerAnswer, ClaimId, SharedLimits, Word};
use crate::model::{
    Cost, Elapsed, FailureClass, GateAsk, HostName, NsHealth, Outcome, PlayNo, StepFailure, StepId,
    WaveNo,
};
use crate::scheduler::{Command, GateReading, Input, Scheduler};

mod unrecorded;

pub use unrecorded::Unrecorded;

/// How often readers are shown the gauge.
const TICK: Duration = Duration::from_millis(100);
/// The longest that the CMDBs may take to name the work of a play, or to say what is ready. Each
/// statement has its own, shorter deadline; this bounds all of them together.
const QUESTION: Duration = Duration::from_secs(10 * 60);
/// How often the ledger is told that this process is alive and keeps what it holds. It is asked to
/// be told each minute.
const RENEWAL: Duration = Duration::from_secs(15);
/// Words from steps that may wait for the driver.
const INBOX: usize = 1024;

/// The driver could not go on: its own fault, never a host's.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal cannot be written. From then on nothing was started and no change begun; what was
    /// being changed was awaited.
    #[error("could not record what happened")]
    Journal {
        /// What the journal said.
        source: JournalError,
        /// Changes whose end is not on record.
        unrecorded: Vec<Unrecorded>,
    },
    /// An event contradicts those before it.
    #[error("the run contradicts itself")]
    Illegal(#[from] IllegalEvent),
}

impl From<JournalError> for DriveError {
    fn from(source: JournalError) -> Self {
        Self::Journal { source, unrecorded: Vec::new() }
    }
}

/// What waits for the scheduler's grant.
enum Waiting {
    /// A change; its intent goes to disk first.
    Change { record: Box<ChangeRecord>, cost: Cost, grant: oneshot::Sender<Ack> },
    /// A reading that draws from limits.
    Reading(oneshot::Sender<()>),
}

/// Who waits for a look at the Notification Servers.
#[derive(Debug, Clone, Copy)]
enum LooksFor {
    /// The scheduler, for a play.
    Health(PlayNo),
    /// A gate of a play.
    Gate(PlayNo, u16),
}

/// What is asked that only reads.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Work(PlayNo),
    Oracle(PlayNo),
    Gate(PlayNo, u16),
    /// A look at the Notification Servers; one at a time.
    Look,
}

/// A question to the Notification Servers that is under way.
struct Question {
    asked: Asked,
    /// Ends it: it only reads.
    abort: AbortHandle,
}

/// A question to the operator.
struct Ask {
    reply: oneshot::Sender<(Answer, Ack)>,
    /// Ends the asking, once it has begun.
    abort: Option<AbortHandle>,
}

/// Executes one run.
pub struct Driver {
    config: Arc<DriverConfig>,
    scheduler: Scheduler,
    state: RunState,
    journal: Arc<dyn Journal>,
    observers: Vec<Box<dyn Observer>>,
    clock: Clock,
    sessions: Sessions,
    tasks: JoinSet<TaskEnd>,
    /// The step that each task runs, for tasks that panic.
    running: HashMap<Id, StepId>,
    questions: HashMap<Id, Question>,
    /// Who waits for the look that is under way.
    looking: Vec<LooksFor>,
    /// Questions to the operator about gates.
    gate_asks: HashMap<(PlayNo, u16), AbortHandle>,
    cancels: HashMap<StepId, oneshot::Sender<()>>,
    waiting: HashMap<StepId, Waiting>,
    /// Results of tasks that one host did for all.
    once: OnceResults,
    /// Questions of steps to the operator.
    asks: HashMap<StepId, Ask>,
    /// The limits that other runs share, if they do.
    limits: Option<Arc<dyn SharedLimits>>,
    /// What the ledger is to be told next.
    words: Vec<Word>,
    /// Answers of the ledger that are under way.
    answers: FuturesUnordered<BoxFuture<'static, Vec<(ClaimId, LedgerAnswer)>>>,
    /// When it was last told that this process is alive.
    renewed: Elapsed,
    /// Events on their way to the disk, in order.
    unwritten: FuturesOrdered<BoxFuture<'static, (Event, Result<(), JournalError>)>>,
    /// Events that did not get there.
    lost: Vec<Event>,
    inbox: mpsc::Receiver<Message>,
    outbox: mpsc::Sender<Message>,
}

impl Driver {
    /// Prepares a run whose state so far is `state`: empty for a new one, replayed for one that is
    /// resumed.
    pub fn new(
        config: DriverConfig,
        scheduler: Scheduler,
        state: RunState,
        journal: Arc<dyn Journal>,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        let (outbox, inbox) = mpsc::channel(INBOX);
        let config = Arc::new(config);
        let state_elapsed = state.elapsed;
        Self {
            clock: Clock::start_at(state.elapsed),
            once: match &config.orders {
                Orders::Playbook(playbook) => scope::once_results(playbook, &state),
                Orders::TakeBack(_) => OnceResults::new(),
            },
            asks: HashMap::new(),
            sessions: Sessions::new(Arc::clone(&config)),
            config,
            scheduler,
            state,
            journal,
            observers,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            questions: HashMap::new(),
            looking: Vec::new(),
            gate_asks: HashMap::new(),
            cancels: HashMap::new(),
            waiting: HashMap::new(),
            limits: None,
            words: Vec::new(),
            answers: FuturesUnordered::new(),
            renewed: state_elapsed,
            unwritten: FuturesOrdered::new(),
            lost: Vec::new(),
            inbox,
            outbox,
        }
    }

    /// Shares the limits of these Notification Servers with other runs.
    #[must_use]
    pub fn sharing(mut self, servers: Vec<String>, limits: Arc<dyn SharedLimits>) -> Self {
        self.scheduler.share(servers);
        self.limits = Some(limits);
        self
    }

    /// Runs to the end and returns all that is known of the run. `opening` is its first event;
    /// `stops` are the operator's wishes.
    ///
    /// # Errors
    ///
    /// The journal failed, and what was being changed was awaited; or this program contradicted
    /// itself, and steps under way were cancelled.
    pub async fn drive(
        mut self,
        opening: EventKind,
        mut stops: mpsc::Receiver<StopStage>,
    ) -> Result<RunState, DriveError> {
        let result = match self.turns(opening, &mut stops).await {
            Err(DriveError::Journal { source, .. }) => {
                let unrecorded = self.drain_unrecorded(&source, &mut stops).await;
                Err(DriveError::Journal { source, unrecorded })
            }
            other => other,
        };
        for (_, cancel) in self.cancels.drain() {
            let _ended = cancel.send(());
        }
        self.waiting.clear();
        for ask in self.asks.drain().filter_map(|(_, ask)| ask.abort) {
            ask.abort();
        }
        for question in self.questions.values() {
            question.abort.abort();
        }
        for ask in self.gate_asks.values() {
            ask.abort();
        }
        while self.tasks.join_next().await.is_some() {}
        self.sessions.close_all().await;
        result?;
        Ok(self.state)
    }

    async fn turns(
        &mut self,
        opening: EventKind,
        stops: &mut mpsc::Receiver<StopStage>,
    ) -> Result<(), DriveError> {
        let written = self.emit(opening)?;
        written.await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut operator_is_there = true;
        loop {
            while let Some(command) = self.scheduler.poll(self.clock.now()) {
                if self.execute(command)? {
                    self.tell_ledger();
                    return self.flush().await;
                }
            }
            self.tell_ledger();
            let wakeup = self.scheduler.next_wakeup();
            let wakeup = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(self.clock.instant_of(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wakeup => {}
                Some(message) = self.inbox.recv() => self.hear(message)?,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended)?,
                Some(written) = self.unwritten.next() => self.written(written)?,
                Some(answers) = self.answers.next() => {
                    for (claim, answer) in answers {
                        self.tell(Input::Drawn { claim, answer });
                    }
                }
                stop = stops.recv(), if operator_is_there => match stop {
                    Some(stage) => self.tell(Input::Operator(stage)),
                    None => operator_is_there = false,
                },
                _ = tick.tick() => self.show(),
            }
        }
    }

    /// Does what the scheduler says; `true` when the run has ended.
    fn execute(&mut self, command: Command) -> Result<bool, DriveError> {
        match command {
            Command::FindWork { play } => self.find_work(play),
            Command::Start { step, on, deadline } => self.start(step, on, deadline)?,
            Command::Draw { claim, draws } => self.words.push(Word::Draw { claim, draws }),
            Command::GiveBack { claim, keys } => self.words.push(Word::GiveBack { claim, keys }),
            Command::Apply { step } => self.grant(&step)?,
            Command::CheckOracle { play } => self.check_oracle(play),
            Command::CheckHealth { play } => self.look(LooksFor::Health(play)),
            Command::CheckGate { play, wave, gate } => self.check_gate(play, wave, gate),
            Command::Cancel { step } => {
                if let Some(cancel) = self.cancels.remove(&step) {
                    let _ended = cancel.send(());
                }
            }
            Command::Emit(kind) => {
                if let EventKind::HostFinished { host, .. } = &kind
                    && let Some(session) = self.sessions.remove(host)
                {
                    self.tasks.spawn(async move {
                        session.close().await;
                        TaskEnd::Closed
                    });
                }
                // What the operator accepted as done for all.
                if let EventKind::StepFinished { step, outcome, value, .. } = &kind {
                    self.note_once(step, *outcome, value);
                }
                self.record(kind)?;
            }
            // The scheduler has emitted `RunFinished` before.
            Command::Finish(_) => return Ok(true),
        }
        Ok(false)
    }

    fn start(
        &mut self,
        step: StepId,
        on: Option<HostName>,
        within: Duration,
    ) -> Result<(), DriveError> {
        self.record(EventKind::StepStarted { step: step.clone(), on: on.clone() })?;
        let (play, now) = (step.task.play, self.clock.now().elapsed);
        let target = on.as_ref().unwrap_or(&step.host);
        for session in self.sessions.take_stale(target, now) {
            self.tasks.spawn(async move {
                session.close().await;
                TaskEnd::Closed
            });
        }
        self.sessions.note_use(target, now);
        let session = match &on {
            Some(host) => self.sessions.delegated(host, play, &self.state),
            None => self.sessions.get(&step.host, play, &self.state),
        };
        let errand = match &self.config.orders {
            Orders::Playbook(playbook) => {
                scope::errand(&self.config, playbook, &self.state, &self.once, &step)
            }
            Orders::TakeBack(takeback) => {
                Some(Errand::TakeBack(takeback.inverses(&step).cloned().collect()))
            }
        };
        let Some((errand, session)) = errand.zip(session) else {
            let failure = StepFailure::new(
                FailureClass::Bug,
                format!("step {step} is not part of the playbook or its host not of the inventory"),
            );
            return self.finished(step, StepEnd::failed(failure));
        };
        let job = Job {
            step: step.clone(),
            errand,
            is_check: self.config.is_check,
            session,
            prior: scope::prior_changes(&self.state, on.as_ref().unwrap_or(&step.host)),
            parts: self
                .state
                .step(&step)
                .map(|state| state.parts.clone().into())
                .unwrap_or_default(),
            within,
            inbox: self.outbox.clone(),
        };
        let (cancel, cancelled) = oneshot::channel();
        self.cancels.insert(step.clone(), cancel);
        let task = {
            let step = step.clone();
            self.tasks.spawn(async move { TaskEnd::Step(step, step::run(job, cancelled).await) })
        };
        self.running.insert(task.id(), step);
        Ok(())
    }

    /// Lets a step go on: one that changes its host when its intent is on disk.
    fn grant(&mut self, step: &StepId) -> Result<(), DriveError> {
        // A step that was cancelled meanwhile does not listen any more and changes nothing.
        match self.waiting.remove(step) {
            Some(Waiting::Change { record, cost, grant }) => {
                let step = step.clone();
                let decided = EventKind::StepDecided { step, change: *record, cost };
                let _cancelled = grant.send(self.emit(decided)?);
            }
            Some(Waiting::Reading(grant)) => {
                let _cancelled = grant.send(());
            }
            None => {}
        }
        Ok(())
    }

    fn find_work(&mut self, play: PlayNo) {
        let config = Arc::clone(&self.config);
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move {
            TaskEnd::Work(play, in_time(cmdb::find_work(&config, &sessions, play)).await)
        });
        self.questions.insert(abort.id(), Question { asked: Asked::Work(play), abort });
    }

    fn check_oracle(&mut self, play: PlayNo) {
        let pairs = cmdb::pairs_of(&self.state, play);
        let query = cmdb::query_of(&self.config, play);
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move {
            TaskEnd::Oracle(play, in_time(cmdb::ask_oracle(&sessions, query, pairs)).await)
        });
        self.questions.insert(abort.id(), Question { asked: Asked::Oracle(play), abort });
    }

    /// Looks at the Notification Servers, or waits for the look that is under way.
    fn look(&mut self, who: LooksFor) {
        self.looking.push(who);
        if self.looking.len() > 1 {
            return;
        }
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move { TaskEnd::Looked(health::look(sessions).await) });
        self.questions.insert(abort.id(), Question { asked: Asked::Look, abort });
    }

    fn looked(&mut self, looks: &[(HostName, NsHealth)]) {
        for who in std::mem::take(&mut self.looking) {
            self.tell(match who {
                LooksFor::Health(play) => {
                    let health = NsHealth::together(looks.iter().map(|(_, look)| look.clone()));
                    Input::Health { play, health }
                }
                LooksFor::Gate(play, gate) => {
                    let reading = GateReading::Health(looks.to_vec());
                    Input::GateSaid { play, gate, reading }
                }
            });
        }
    }

    fn check_gate(&mut self, play: PlayNo, wave: WaveNo, gate: u16) {
        let declared = match &self.config.orders {
            Orders::Playbook(playbook) => playbook.plays.get(usize::from(play.0)),
            Orders::TakeBack(_) => None,
        };
        let found = declared
            .and_then(|own| Some((own.safeguards.gates.get(usize::from(gate))?.ask.clone(), own)));
        let Some((ask, own)) = found else {
            let failure = StepFailure::new(FailureClass::Bug, "there is no such gate");
            let reading = GateReading::Unreadable(failure);
            return self.tell(Input::GateSaid { play, gate, reading });
        };
        let sessions = self.sessions.notification_servers();
        let abort = match ask {
            GateAsk::NsHealthy(_) => return self.look(LooksFor::Gate(play, gate)),
            GateAsk::WaveReady => {
                let before = WaveNo(wave.0.saturating_sub(1));
                let pairs = cmdb::pairs_of_wave(&self.state, play, before);
                let query = cmdb::query_of(&self.config, play);
                self.tasks.spawn(async move {
                    TaskEnd::Gate(play, gate, gates::ask_wave(&sessions, query, pairs).await)
                })
            }
            GateAsk::Query(query) => {
                let vars = GateVars {
                    play: Arc::new(own.vars.clone()),
                    extra: Arc::new(self.config.extra_vars.clone()),
                };
                self.tasks.spawn(async move {
                    TaskEnd::Gate(play, gate, gates::ask_query(&sessions, &query, &vars).await)
                })
            }
        };
        self.questions.insert(abort.id(), Question { asked: Asked::Gate(play, gate), abort });
    }

    fn hear(&mut self, message: Message) -> Result<(), DriveError> {
        match message {
            Message::Decided { step, record, cost, grant } => {
                let input = Input::Decided { step: step.clone(), cost: cost.clone() };
                let record = Box::new(record);
                self.waiting.insert(step, Waiting::Change { record, cost, grant });
                self.tell(input);
            }
            Message::WantsToRead { step, cost, grant } => {
                self.waiting.insert(step.clone(), Waiting::Reading(grant));
                self.tell(Input::Decided { step, cost });
            }
            Message::WentOn { step, item, attempt, settled, end, pause } => {
                let StepEnd { outcome, failure, note, value } = end;
                let went_on = EventKind::StepWentOn {
                    step: step.clone(),
                    item,
                    attempt,
                    settled,
                    outcome,
                    failure,
                    note,
                    value,
                };
                self.record(went_on)?;
                self.tell(Input::WentOn { step, pause, has_changed: outcome == Outcome::Changed });
            }
            Message::Asks { step, question, reply } => self.wants_to_ask(step, question, reply)?,
            Message::WouldChange { step, record, cost } => {
                self.record(EventKind::StepDecided { step, change: record, cost })?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Id, TaskEnd), JoinError>) -> Result<(), DriveError> {
        match ended {
            Ok((id, end)) => {
                self.running.remove(&id);
                self.questions.remove(&id);
                match end {
                    TaskEnd::Step(step, end) => {
                        self.hear_all()?;
                        self.finished(step, end)?;
                    }
                    TaskEnd::Work(play, Ok(matched)) => self.tell(Input::Work { play, matched }),
                    TaskEnd::Work(play, Err(failure)) => {
                        self.tell(Input::WorkFailed { play, failure });
                    }
                    TaskEnd::Oracle(play, Ok(report)) => self.tell(Input::Oracle { play, report }),
                    TaskEnd::Oracle(play, Err(failure)) => {
                        self.tell(Input::OracleFailed { play, failure });
                    }
                    TaskEnd::Looked(looks) => self.looked(&looks),
                    TaskEnd::Gate(play, gate, reading) => {
                        self.tell(Input::GateSaid { play, gate, reading });
                    }
                    TaskEnd::GateAnswered(play, gate, answer) => {
                        self.gate_answered(play, gate, answer)?;
                    }
                    TaskEnd::Answered(step, answer) => self.answered(&step, answer)?,
                    TaskEnd::Closed => {}
                }
            }
            Err(error) => self.panicked(&error)?,
        }
        Ok(())
    }

    /// A task ended by a mistake in this program. Whoever waits for it is told.
    fn panicked(&mut self, error: &JoinError) -> Result<(), DriveError> {
        if let Some(step) = self.running.remove(&error.id()) {
            self.hear_all()?;
            let failure = StepFailure::caused_by(FailureClass::Bug, "the step panicked", error);
            let mut end = StepEnd::failed(failure);
            // Nobody knows how far a change came that was under way.
            if self.state.step(&step).is_some_and(|state| state.open) {
                end.outcome = Outcome::Unknown;
            }
            self.finished(step, end)?;
        }
        let is_ask = |ask: &Ask| ask.abort.as_ref().is_some_and(|abort| abort.id() == error.id());
        if let Some(step) = self.asks.iter().find(|(_, ask)| is_ask(ask)).map(|(s, _)| s.clone()) {
            let (user, by) = (String::new(), AnsweredBy::Terminal);
            self.answered(&step, Answer { reply: Reply::NobodyThere, user, by })?;
        }
        let is_gate = |ask: &AbortHandle| ask.id() == error.id();
        if let Some(key) = self.gate_asks.iter().find(|(_, ask)| is_gate(ask)).map(|(key, _)| *key)
        {
            let (user, by) = (String::new(), AnsweredBy::Terminal);
            self.gate_answered(key.0, key.1, Answer { reply: Reply::NobodyThere, user, by })?;
        }
        if let Some(Question { asked, .. }) = self.questions.remove(&error.id()) {
            let failure = StepFailure::caused_by(FailureClass::Bug, "the question panicked", error);
            match asked {
                Asked::Work(play) => self.tell(Input::WorkFailed { play, failure }),
                Asked::Oracle(play) => self.tell(Input::OracleFailed { play, failure }),
                Asked::Gate(play, gate) => {
                    let reading = GateReading::Unreadable(failure);
                    self.tell(Input::GateSaid { play, gate, reading });
                }
                Asked::Look => self.looked(&[]),
            }
        }
        Ok(())
    }

    /// Takes in the words that wait: those that a step sent before it ended are heard before its
    /// end.
    fn hear_all(&mut self) -> Result<(), DriveError> {
        while let Ok(message) = self.inbox.try_recv() {
            self.hear(message)?;
        }
        Ok(())
    }

    /// A step asks. What was confirmed before, in this process or an earlier one, stays so.
    fn wants_to_ask(
        &mut self,
        step: StepId,
        question: event::Question,
        reply: oneshot::Sender<(Answer, Ack)>,
    ) -> Result<(), DriveError> {
        let asked = self.state.plays.get(&step.task.play);
        let asked = asked.and_then(|play| play.confirmations.get(&step.task.task));
        if let Some((answer, _)) = asked.and_then(|asked| asked.answer.as_ref())
            && answer.reply == Reply::Confirmed
        {
            let on_disk = std::future::ready(Ok(())).boxed();
            let _cancelled = reply.send((answer.clone(), on_disk));
            return Ok(());
        }
        self.asks.insert(step.clone(), Ask { reply, abort: None });
        self.record(EventKind::ConfirmAsked { step, question })
    }

    /// Asks, now that the question is on disk and was shown.
    fn ask(&mut self, step: &StepId, question: event::Question) {
        let Some(ask) = self.asks.get_mut(step) else { return };
        let (operator, step) = (Arc::clone(&self.config.operator), step.clone());
        ask.abort = Some(self.tasks.spawn(async move {
            let answer = operator.ask(&question).await;
            TaskEnd::Answered(step, answer)
        }));
    }

    /// Asks about a gate, now that the question is on disk and was shown.
    fn ask_gate(&mut self, play: PlayNo, gate: &str, question: event::Question) {
        let Orders::Playbook(playbook) = &self.config.orders else { return };
        let gates = playbook.plays.get(usize::from(play.0)).map(|play| &play.safeguards.gates);
        let place = gates.and_then(|gates| gates.iter().position(|known| known.name == gate));
        let Some(place) = place.and_then(|place| u16::try_from(place).ok()) else { return };
        let operator = Arc::clone(&self.config.operator);
        let abort = self.tasks.spawn(async move {
            let answer = operator.ask(&question).await;
            TaskEnd::GateAnswered(play, place, answer)
        });
        self.gate_asks.insert((play, place), abort);
    }

    fn gate_answered(&mut self, play: PlayNo, gate: u16, answer: Answer) -> Result<(), DriveError> {
        self.gate_asks.remove(&(play, gate));
        let Orders::Playbook(playbook) = &self.config.orders else { return Ok(()) };
        let own = playbook.plays.get(usize::from(play.0));
        let own = own.and_then(|play| play.safeguards.gates.get(usize::from(gate)));
        let state = self.state.plays.get(&play);
        let Some((own, state)) = own.zip(state) else { return Ok(()) };
        let asked = state.gates.get(&own.name).and_then(|gate| gate.asked.last());
        let Some(asked) = asked.filter(|asked| asked.answer.is_none()) else { return Ok(()) };
        let (wave, gate_name, reply) = (asked.wave, own.name.clone(), answer.reply);
        self.record(EventKind::GateAnswered { play, wave, gate: gate_name, answer })?;
        self.tell(Input::GateAnswered { play, gate, reply });
        Ok(())
    }

    fn answered(&mut self, step: &StepId, answer: Answer) -> Result<(), DriveError> {
        // A step that was cancelled meanwhile does not listen any more.
        let Some(ask) = self.asks.remove(step) else { return Ok(()) };
        let told = EventKind::ConfirmAnswered { step: step.clone(), answer: answer.clone() };
        let on_disk = self.emit(told)?;
        let _cancelled = ask.reply.send((answer, on_disk));
        Ok(())
    }

    fn finished(&mut self, step: StepId, end: StepEnd) -> Result<(), DriveError> {
        self.cancels.remove(&step);
        if let Some(abort) = self.asks.remove(&step).and_then(|ask| ask.abort) {
            abort.abort();
        }
        self.note_once(&step, end.outcome, &end.value);
        let on = self.state.step(&step).and_then(|state| state.on.clone());
        self.sessions.note_use(on.as_ref().unwrap_or(&step.host), self.clock.now().elapsed);
        self.waiting.remove(&step);
        let class = end.failure.as_ref().map(|failure| failure.class);
        let outcome = end.outcome;
        self.record(EventKind::StepFinished {
            step: step.clone(),
            outcome,
            failure: end.failure,
            note: end.note,
            value: end.value,
        })?;
        let target = on.unwrap_or_else(|| step.host.clone());
        if class == Some(FailureClass::Throttled) && self.sessions.has_cmdb(&target) {
            self.tell(Input::Busy);
        }
        self.tell(Input::Finished { step, outcome, class });
        Ok(())
    }

    /// Keeps the result of a task that one host does for all.
    fn note_once(&mut self, step: &StepId, outcome: Outcome, value: &Value) {
        let Orders::Playbook(playbook) = &self.config.orders else { return };
        let play = playbook.plays.get(usize::from(step.task.play.0));
        let task = play.and_then(|play| play.tasks.get(usize::from(step.task.task)));
        let is_done = outcome.is_well() && outcome != Outcome::Skipped;
        if is_done && task.is_some_and(scope::is_once) {
            self.once.insert(step.task, value.clone());
        }
    }

    fn tell(&mut self, input: Input) {
        self.scheduler.handle(self.clock.now(), input);
    }

    /// Tells the ledger all that has come together, in one transaction.
    fn tell_ledger(&mut self) {
        if let Some(limits) = self.limits.as_ref().filter(|_| !self.words.is_empty()) {
            self.answers.push(limits.tell(std::mem::take(&mut self.words)));
        }
    }

    fn show(&mut self) {
        let now = self.clock.now();
        if self.limits.is_some() && now.elapsed.since(self.renewed) >= RENEWAL {
            self.renewed = now.elapsed;
            self.words.push(Word::Renew);
        }
        let gauge = self.scheduler.gauge(now);
        let state = &self.state;
        self.observers.retain_mut(|observer| survives(|| observer.tick(now, &gauge, state)));
    }

    /// Emits an event whose durability nobody waits for here; a failure ends the run.
    fn record(&mut self, kind: EventKind) -> Result<(), DriveError> {
        self.emit(kind).map(drop)
    }

    /// Numbers and stamps an event, folds it and queues it for the disk. Readers are shown it when
    /// it is there: what was shown is never lost.
    fn emit(&mut self, kind: EventKind) -> Result<Ack, DriveError> {
        let now = self.clock.now();
        let event = Event { seq: self.state.next_seq, at: now.wall, elapsed: now.elapsed, kind };
        self.state.apply(&event)?;
        let written = self.journal.append(event.clone()).shared();
        let shown = written.clone().map(|written| (event, written)).boxed();
        self.unwritten.push_back(shown);
        Ok(written.boxed())
    }

    fn written(
        &mut self,
        (event, written): (Event, Result<(), JournalError>),
    ) -> Result<(), DriveError> {
        if let Err(error) = written {
            self.lost.push(event);
            return Err(error.into());
        }
        let state = &self.state;
        self.observers.retain_mut(|observer| survives(|| observer.observe(&event, state)));
        match event.kind {
            EventKind::ConfirmAsked { step, question } => self.ask(&step, question),
            EventKind::GateAsked { play, gate, question, .. } => {
                self.ask_gate(play, &gate, question);
            }
            _ => {}
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DriveError> {
        while let Some(written) = self.unwritten.next().await {
            self.written(written)?;
        }
        Ok(())
    }

    /// How the run ended, when it has.
    pub fn result(&self) -> Option<RunResult> {
        self.state.result
    }
}

/// Bounds a question to the CMDBs, which could hang one statement after the other.
pub(super) async fn in_time<T>(
    question: impl Future<Output = Result<T, StepFailure>>,
) -> Result<T, StepFailure> {
    tokio::time::timeout(QUESTION, question).await.unwrap_or_else(|_| {
        Err(StepFailure::new(
            FailureClass::TimedOut,
            "could not ask the CMDB: the answers took longer than ten minutes",
        ))
    })
}

/// Whether a reader got through without a panic. One that did not is not shown anything more: a
/// mistake on the screen must not leave changes on hosts half done.
fn survives(show: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(show)).is_ok()
}

#[cfg(test)]
#[path = "driver/tests.rs"]
mod tests;
