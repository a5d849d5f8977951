//! What a resume does not take as settled, and takes back: of the run, its plays, hosts and steps.

use indexmap::IndexMap;

use super::{HostState, PlayState, RunState, StepState, WaveState};
use crate::event::WindowState;
use crate::model::{BudgetKind, FailureClass, HostName, Outcome, StepId, WaveNo};

impl RunState {
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
}

impl PlayState {
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
