//! The state machine.

use std::collections::VecDeque;
use std::time::Duration;

use super::adapting::Adapting;
use super::ending::Tally;
use super::hours::PlayHours;
use super::limiter::Limiter;
use super::oracle::{OracleWatch, is_satisfied};
use super::play::{Once, PlayRun, Stay, is_rescuable};
use super::sharing::{Holder, Sharing};
use super::window::{Jump, is_untouched};
use super::{Command, Input};
use crate::event::{EventKind, Phase, StopStage};
use crate::model::{
    Cost, Elapsed, FailureClass, HostName, MatchedWork, Now, Outcome, PlayNo, StepFailure, StepId,
};
use crate::plan::{Draft, DraftTask, Onward, Resumption};

/// The shortest real deadline of a step, however fast the world runs: networks do not run faster.
pub(super) const STEP_FLOOR: Duration = Duration::from_secs(10);
/// How long after a step's deadline the driver may be silent before it is told to cancel it.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Where the run stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    /// A play is about to begin, or there is none left.
    Before(PlayNo),
    /// The work query of a play is under way.
    FindingWork(PlayNo),
    /// A play's waves are under way.
    Running(PlayRun),
    /// A play's hosts are through, and the CMDB is asked.
    Asking(PlayRun, OracleWatch),
    /// The run is over.
    Ended,
}

/// Decides what starts when, and why a run stops. See the module for how it is driven.
///
/// The same draft and the same inputs at the same instants give the same commands.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(super) draft: Draft,
    pub(super) limiter: Limiter,
    /// Where `ns_iis` follows what the Notification Server bears.
    pub(super) adapting: Option<Adapting>,
    pub(super) sharing: Sharing,
    /// Steps to which the ledger granted what they draw, and that have not begun.
    pub(super) granted: Vec<StepId>,
    pub(super) stage: Stage,
    pub(super) resumption: Option<Resumption>,
    pub(super) stopping: Option<StopStage>,
    /// A budget or the breaker tripped, or a task that one host does for all failed: nothing new
    /// starts.
    pub(super) is_tripped: bool,
    /// Something was to be confirmed and was not: nothing new starts.
    pub(super) is_unconfirmed: bool,
    /// The window closed with hosts left: nothing new starts.
    pub(super) is_window_closed: bool,
    /// The windows of a play, and of which one; none for a play that is always open.
    pub(super) hours: Option<PlayHours>,
    pub(super) hours_of: Option<PlayNo>,
    /// The day on which the windows opened that the run goes by.
    pub(super) session: Option<jiff::civil::Date>,
    /// What the run was told to wait for.
    pub(super) awaited: Option<jiff::Timestamp>,
    /// The clock at the latest look, and by how much it is off since it jumped.
    pub(super) clock: Option<Now>,
    pub(super) jump: Option<Jump>,
    /// A step that one host does for all and whose outcome was lost with the earlier process.
    pub(super) lost_once: Option<StepId>,
    /// Who rejected the logon of the step whose end is told next, where that is another host.
    pub(super) rejected_by: Option<HostName>,
    pub(super) tally: Tally,
    pub(super) out: VecDeque<Command>,
    /// Nothing happened since the last look at everything, until `wakeup`.
    is_settled: bool,
    wakeup: Option<Elapsed>,
}

impl Scheduler {
    /// A scheduler at the beginning of a run.
    pub fn new(draft: Draft) -> Self {
        Self {
            limiter: Limiter::new(draft.scale),
            adapting: None,
            sharing: Sharing::default(),
            granted: Vec::new(),
            draft,
            stage: Stage::Before(PlayNo(0)),
            resumption: None,
            stopping: None,
            is_tripped: false,
            is_unconfirmed: false,
            is_window_closed: false,
            hours: None,
            hours_of: None,
            session: None,
            awaited: None,
            clock: None,
            jump: None,
            lost_once: None,
            rejected_by: None,
            tally: Tally::default(),
            out: VecDeque::new(),
            is_settled: false,
            wakeup: None,
        }
    }

    /// A scheduler that goes on with a run: what is finished stays, waves stay as they were fixed,
    /// and work that was found is not looked for again.
    ///
    /// The first commands follow upon `RunResumed`, which the driver writes.
    pub fn resume(draft: Draft, resumption: Resumption) -> Self {
        let mut scheduler = Self::new(draft);
        scheduler.recall(&resumption);
        scheduler.resumption = Some(resumption);
        scheduler
    }

    /// Lets the run share its limits with other runs that work with these Notification Servers. Said
    /// before it begins; without it, the run's limits are its own.
    pub fn share(&mut self, servers: Vec<String>) {
        self.sharing = Sharing::with(servers);
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.is_settled = false;
        self.watch_windows(now);
        let now = now.elapsed;
        match input {
            Input::Work { play, matched } => self.on_work(play, matched, now),
            Input::WorkFailed { play, failure } => self.on_work_failed(play, failure),
            Input::Decided { step, cost } => self.on_decided(&step, &cost, true, now),
            Input::WantsToRead { step, cost } => self.on_decided(&step, &cost, false, now),
            Input::Drawn { claim, answer } => self.on_drawn(claim, answer, now),
            Input::WentOn { step, pause, has_changed } => {
                self.on_went_on(&step, pause, has_changed, now);
            }
            Input::LogonRejected { by } => self.rejected_by = Some(by),
            Input::Finished { step, outcome, class } => {
                self.on_finished(&step, outcome, class, now);
            }
            Input::Oracle { play, report } => {
                let Some((run, watch)) = asking(&mut self.stage, play) else { return };
                let is_satisfied = is_satisfied(&report, run);
                let last = watch.answered(now, &report, run);
                self.emit(EventKind::OracleChecked { play, report, last });
                if last {
                    self.oracle_said(is_satisfied);
                }
            }
            Input::OracleFailed { play, failure } => {
                let Some((_, watch)) = asking(&mut self.stage, play) else { return };
                let last = watch.failed(now);
                self.emit(EventKind::OracleNotRead { play, failure, last });
                if last {
                    self.oracle_said(false);
                }
            }
            Input::GateSaid { play, gate, reading } => {
                self.on_gate_said(play, gate, &reading, now);
            }
            Input::GateAnswered { play, gate, reply } => {
                self.on_gate_answered(play, gate, reply, now);
            }
            Input::Health { health, .. } => self.on_health(&health, now),
            Input::Busy => self.on_busy(now),
            Input::Operator(stage) => self.on_stop(stage, now),
        }
    }

    /// Returns the next thing to do, or `None` until something happens or time passes
    /// [`Scheduler::next_wakeup`]. Spurious calls are harmless.
    pub fn poll(&mut self, now: Now) -> Option<Command> {
        let is_due = self.wakeup.is_some_and(|wakeup| wakeup <= now.elapsed);
        if self.out.is_empty() && (!self.is_settled || is_due) {
            self.settle(now);
            self.is_settled = true;
            self.wakeup = self.find_wakeup(now);
        }
        self.out.pop_front()
    }

    /// Returns the instant at which [`Scheduler::poll`] must be called again though nothing
    /// happened. The answer holds after `poll` returned `None`, until the next
    /// [`Scheduler::handle`].
    pub fn next_wakeup(&self) -> Option<Elapsed> {
        self.wakeup
    }

    fn on_work(&mut self, play: PlayNo, matched: MatchedWork, now: Elapsed) {
        if self.stage != Stage::FindingWork(play) {
            return;
        }
        self.emit(EventKind::WorkFound { play, work: matched.clone() });
        self.start_play(play, Some(&matched), now);
    }

    fn on_work_failed(&mut self, play: PlayNo, failure: StepFailure) {
        if self.stage != Stage::FindingWork(play) {
            return;
        }
        self.tally.has_bug |= failure.class == FailureClass::Bug;
        self.tally.add(failure.class.outcome());
        self.emit(EventKind::WorkNotFound { play, failure });
        self.conclude();
    }

    fn on_decided(&mut self, step: &StepId, cost: &Cost, changes: bool, now: Elapsed) {
        if self.draft.is_check() {
            return;
        }
        let is_halted = self.is_halted();
        let Stage::Running(play) = &mut self.stage else { return };
        let Some(place) = play.running(step) else { return };
        let Some(running) = play.at(place) else { return };
        if !matches!(running.phase, Phase::Probing | Phase::Pausing) || running.is_cancelled {
            return;
        }
        running.phase = Phase::Waiting;
        running.will_change = changes;
        running.overdue = None;
        if is_halted {
            return self.cancel_step(place);
        }
        self.limiter.ask(step.clone(), cost, play.values(place), now);
    }

    fn on_went_on(&mut self, step: &StepId, pause: Duration, has_changed: bool, now: Elapsed) {
        let is_halted = self.is_halted();
        let Stage::Running(play) = &mut self.stage else { return };
        let Some(place) = play.running(step) else { return };
        if has_changed {
            play.changed(place);
        }
        let Some(running) = play.at(place) else { return };
        self.limiter.release(step);
        self.out.extend(self.sharing.give_back(&Holder::Step(step.clone())));
        if running.is_cancelled {
            return;
        }
        running.has_gone_on = true;
        running.phase = if pause.is_zero() { Phase::Probing } else { Phase::Pausing };
        running.overdue = Some(now.plus(pause).plus(running.deadline).plus(GRACE));
        if is_halted {
            self.cancel_step(place);
        }
    }

    fn on_finished(
        &mut self,
        step: &StepId,
        outcome: Outcome,
        class: Option<FailureClass>,
        now: Elapsed,
    ) {
        let rejected_by = self.rejected_by.take();
        let Stage::Running(play) = &mut self.stage else { return };
        let Some(place) = play.running(step) else { return };
        let Some(running) = play.at(place) else { return };
        let is_shut = running.is_shut;
        // What has ended is not cancelled any more by what follows from its end.
        running.is_cancelled = true;
        running.overdue = None;
        // What could not be reached was not changed, unless an earlier attempt did.
        let before_change =
            !running.has_applied || (outcome == Outcome::Unreachable && !running.has_gone_on);
        let before_change = before_change && !play.once_begun.contains(&step.task.task);
        self.limiter.release(step);
        self.out.extend(self.sharing.give_back(&Holder::Step(step.clone())));
        play.free_target(place);
        self.tally.has_bug |= class == Some(FailureClass::Bug);
        if class == Some(FailureClass::Unconfirmed) {
            self.leave_unconfirmed();
        }
        if is_shut && is_untouched(class) && !self.is_halted() {
            return self.left_by_window(place, before_change);
        }
        let is_left = matches!(class, Some(FailureClass::Cancelled | FailureClass::Unconfirmed));
        if is_left && self.is_halted() {
            return self.leave(place);
        }
        let task = self.task(place).map(|task| task.flow).unwrap_or_default();
        let is_ignored = is_rescuable(outcome, class) && task.ignores_errors;
        if class == Some(FailureClass::AuthRejected)
            && !self.is_tripped
            && !self.tolerates_rejections()
        {
            let host = rejected_by.unwrap_or_else(|| step.host.clone());
            self.emit(EventKind::BreakerOpened { host });
            self.trip();
        }
        if task.is_once {
            self.once_ended(step, outcome, is_ignored, before_change);
        }
        let is_halted = self.is_halted();
        let Stage::Running(play) = &mut self.stage else { return };
        let onward = play.pass(place, outcome, class, task);
        match onward {
            Ok(Onward::At(_)) if is_halted || self.ends_here(place) => self.leave(place),
            Ok(Onward::At(_)) => self.start_step(place, now),
            Ok(Onward::Through) => {
                let Stage::Running(play) = &self.stage else { return };
                let outcome = play.hosts[place].outcome();
                self.end_host(place, outcome, now);
            }
            Ok(Onward::Failed) => self.end_host(place, Outcome::Failed, now),
            Err(outcome) => self.end_host(place, outcome, now),
        }
    }

    /// A task that one host does for all has ended there.
    fn once_ended(
        &mut self,
        step: &StepId,
        outcome: Outcome,
        is_ignored: bool,
        before_change: bool,
    ) {
        let Stage::Running(play) = &mut self.stage else { return };
        play.is_stirred = true;
        let task = step.task.task;
        if is_ignored || (outcome.is_well() && outcome != Outcome::Skipped) {
            play.once.insert(task, Once::Done);
            return;
        }
        // Another host takes it over: this one was skipped, or failed untouched.
        play.once.remove(&task);
        play.once_begun.remove(&task);
        if !outcome.is_well() && !before_change {
            self.tell_once_failed(step.clone());
        }
    }

    pub(super) fn tell_once_failed(&mut self, step: StepId) {
        self.emit(EventKind::OnceFailed { step });
        self.trip();
    }

    /// The task that a host is at.
    pub(super) fn task(&self, place: usize) -> Option<&DraftTask> {
        let Stage::Running(play) = &self.stage else { return None };
        let draft = self.draft.plays.get(usize::from(play.number.0))?;
        draft.tasks.get(usize::from(play.hosts[place].task))
    }

    /// Goes on until nothing more can be done now.
    fn settle(&mut self, now: Now) {
        self.watch_windows(now);
        self.move_on(now);
        self.give_back_hosts();
    }

    fn move_on(&mut self, now: Now) {
        loop {
            match &mut self.stage {
                Stage::Before(play) => {
                    let play = *play;
                    if !self.begin(play, now) {
                        return;
                    }
                }
                Stage::FindingWork(_) => {
                    if self.stopping.is_none() {
                        return;
                    }
                    self.conclude();
                }
                Stage::Running(_) => {
                    self.end_outside(now);
                    self.give_back_hosts();
                    self.adapt(now);
                    self.ask_gates(now);
                    self.apply_granted(now.elapsed);
                    self.cancel_overdue(now.elapsed);
                    if !self.advance(now) {
                        return;
                    }
                }
                Stage::Asking(play, watch) => {
                    let number = play.number;
                    if self.stopping == Some(StopStage::Cancel) {
                        self.conclude();
                    } else if watch.ask(now.elapsed) {
                        self.out.push_back(Command::CheckOracle { play: number });
                        return;
                    } else {
                        return;
                    }
                }
                Stage::Ended => return,
            }
        }
    }

    /// Begins a play, or goes on with it. Returns whether it did anything: it may wait for its
    /// window.
    fn begin(&mut self, number: PlayNo, now: Now) -> bool {
        let draft = self.draft.plays.get(usize::from(number.0));
        let Some(draft) = draft.filter(|_| !self.is_halted()) else {
            self.conclude();
            return true;
        };
        let finds_work = draft.work.is_some();
        if !self.may_begin(number, now) {
            if self.is_window_closed {
                self.conclude();
            }
            return self.is_window_closed;
        }
        if self.restore(number, now.elapsed) {
            return true;
        }
        if finds_work {
            self.stage = Stage::FindingWork(number);
            self.out.push_back(Command::FindWork { play: number });
        } else {
            self.start_play(number, None, now.elapsed);
        }
        true
    }

    pub(super) fn start_play(&mut self, number: PlayNo, work: Option<&MatchedWork>, now: Elapsed) {
        let waves = self.draft.waves(number, work);
        let draft = &self.draft.plays[usize::from(number.0)];
        self.limiter.retune(&draft.limits, now);
        self.begin_adapting(number, now);
        let draft = &self.draft.plays[usize::from(number.0)];
        self.stage = Stage::Running(PlayRun::new(number, draft, &waves));
        self.emit(EventKind::PlayStarted { play: number, waves });
    }

    fn find_wakeup(&self, now: Now) -> Option<Elapsed> {
        match &self.stage {
            Stage::Running(play) => {
                let overdue = play.active.iter().filter_map(|p| match &play.hosts[*p].stay {
                    Stay::At(running) => running.overdue,
                    Stay::Pending
                    | Stay::Entering
                    | Stay::Waits(_)
                    | Stay::Left
                    | Stay::Ended(_) => None,
                });
                // What waits for more than time is not awaited: a look at it would be in vain.
                let draws = !self.draws_nothing();
                let shared = self.sharing.next_wakeup().filter(|_| draws).into_iter();
                let shared = shared.chain(play.admission.next_wakeup(now.elapsed));
                let overdue = overdue.chain(shared);
                let held = self.hold(now).and_then(|hold| hold.until);
                let looks = self.next_look(now);
                let granted = self.limiter.next_wakeup(now.elapsed).filter(|_| draws);
                let instants = overdue
                    .chain(granted)
                    .chain(held)
                    .chain(looks)
                    .chain(self.next_health_look(now));
                // All that was due now was done, or waits for something that will be told.
                instants.chain(self.next_gate(now)).filter(|at| *at > now.elapsed).min()
            }
            Stage::Asking(_, watch) => watch.next_wakeup(),
            Stage::Before(_) => self.next_look(now),
            Stage::FindingWork(_) | Stage::Ended => None,
        }
    }

    pub(super) fn emit(&mut self, event: EventKind) {
        self.out.push_back(Command::Emit(event));
    }
}

/// The play that waits for an answer of the CMDB.
fn asking(stage: &mut Stage, number: PlayNo) -> Option<(&PlayRun, &mut OracleWatch)> {
    match stage {
        Stage::Asking(play, watch) if play.number == number && watch.is_asked() => {
            Some((play, watch))
        }
        Stage::Asking(..)
        | Stage::Before(_)
        | Stage::FindingWork(_)
        | Stage::Running(_)
        | Stage::Ended => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
