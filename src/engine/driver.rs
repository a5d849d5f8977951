//! The only loop: it asks the scheduler, does as told, and tells it what came of it.
//!
//! The loop is here, and what the driver holds. `steps` starts, grants and ends steps, `questions`
//! asks the Notification Servers, `asking` the operator; `hearing` takes in what those tasks tell,
//! `recording` writes events, and `unrecorded` ends a run whose journal is lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinSet};

use super::clock::Clock;
use super::config::{DriverConfig, Orders};
use super::message::{Message, TaskEnd};
use super::scope::{self, OnceResults};
use super::sessions::Sessions;
use crate::event::{
    Event, EventKind, Gauge, IllegalEvent, Journal, JournalError, Observer, RunResult, RunState,
    StopStage,
};
use crate::ledger::{Answer as LedgerAnswer, ClaimId, SharedLimits, Word};
use crate::model::{Elapsed, PlayNo, StepId};
use crate::scheduler::{Command, Input, Scheduler};

mod asking;
mod hearing;
mod questions;
mod recording;
mod steps;
mod unrecorded;

pub(super) use questions::in_time;
pub use unrecorded::Unrecorded;

use asking::Ask;
use questions::{LooksFor, Question};
use recording::survives;
use steps::Waiting;

/// How often readers are shown the gauge.
const TICK: Duration = Duration::from_millis(100);
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
    /// Tasks that ask the operator, those that are being ended included: they may still have the
    /// terminal.
    asking: HashSet<Id>,
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
            asking: HashSet::new(),
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
        self.take_back_questions();
        for question in self.questions.values() {
            question.abort.abort();
        }
        while self.tasks.join_next().await.is_some() {}
        self.sessions.close_all().await;
        result?;
        Ok(self.state)
    }

    /// How the run ended, when it has.
    pub fn result(&self) -> Option<RunResult> {
        self.state.result
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
            self.take_back_settled();
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
            Command::Cancel { step } => self.cancel(&step),
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
        let gauge = Gauge { asking: self.open_questions(), ..self.scheduler.gauge(now) };
        let state = &self.state;
        self.observers.retain_mut(|observer| survives(|| observer.tick(now, &gauge, state)));
    }
}

#[cfg(test)]
#[path = "driver/tests.rs"]
mod tests;
