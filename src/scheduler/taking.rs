//! Takes hosts: waves one after the other, hosts into the wave, and each host from task to task.

use super::Command;
use super::play::{Once, PlayRun, Stay, WaitsFor};
use super::scheduler::{GRACE, STEP_FLOOR, Scheduler, Stage};
use super::sharing::Holder;
use crate::event::{EventKind, Phase};
use crate::model::{Elapsed, Now, Outcome, StepId, TaskId};
use crate::plan::Onward;

impl Scheduler {
    /// Moves the play on: hosts into the wave, waves one after the other, the play to its end.
    /// Returns whether there is more to do at once.
    pub(super) fn advance(&mut self, now: Now) -> bool {
        let is_halted = self.is_halted();
        self.take_entered(now);
        self.stir(now);
        let Stage::Running(play) = &mut self.stage else { return true };
        let number = play.number;
        if let Some(wave) = play.waves.get_mut(play.wave) {
            if wave.open == 0 {
                let is_news = wave.is_started && !wave.is_finished;
                wave.is_finished = true;
                if is_news {
                    wave.finished_at = Some(now.elapsed);
                }
                let finished_at = wave.finished_at;
                let wave = PlayRun::wave_no(play.wave);
                play.wave += 1;
                let soak = self.draft.plays[usize::from(number.0)].safeguards.soak;
                let soak = soak.map(|soak| self.draft.scale.to_real(soak));
                // After a resume an earlier wave can end later than this one did.
                let until = finished_at.zip(soak).map(|(at, soak)| at.plus(soak));
                play.soak_until = play.soak_until.max(until);
                if is_news {
                    self.emit(EventKind::WaveFinished { play: number, wave });
                }
                return true;
            }
            if !is_halted {
                return self.close_when_over(now) || self.fill_wave(now);
            }
        }
        if !play.active.is_empty() {
            return false;
        }
        self.end_waves(now.elapsed);
        true
    }

    /// Opens the wave if it is not open, and admits hosts. Returns whether a host was through or left
    /// at once: one that has no task, or that would wait for what does not come.
    fn fill_wave(&mut self, now: Now) -> bool {
        if self.hold(now).is_some() {
            self.out.extend(self.sharing.give_up_turns());
            return false;
        }
        self.note_gates_passed();
        let Stage::Running(play) = &mut self.stage else { return true };
        let (number, at) = (play.number, play.wave);
        let wave = &mut play.waves[at];
        if !wave.is_started {
            wave.is_started = true;
            let wave = PlayRun::wave_no(at);
            self.out.push_back(Command::Emit(EventKind::WaveStarted { play: number, wave }));
        }
        play.queue_wave(at);
        let shut = self.shut_sites(now);
        if let Stage::Running(play) = &mut self.stage {
            play.admission.shut(shut);
        }
        let mut has_ended = false;
        loop {
            // Each host that is taken may be what holds up the next one.
            let is_held = self.hold(now).is_some();
            let Stage::Running(play) = &mut self.stage else { return true };
            if is_held || play.active.len() >= play.ramp.window() as usize {
                self.out.extend(self.sharing.give_up_turns());
                return has_ended;
            }
            let only = play.come_first();
            let Some(place) = play.admission.admit(now.elapsed, &only) else { return has_ended };
            play.active.push(place);
            play.hosts[place].since = Some(now.elapsed);
            if self.enter(place) {
                continue;
            }
            self.start_step(place, now.elapsed);
            if let Stage::Running(play) = &mut self.stage {
                has_ended |= matches!(play.hosts[place].stay, Stay::Ended(_) | Stay::Left);
            }
        }
    }

    /// Asks the ledger for a place in flight of a host that was admitted here; `false` when it
    /// shares none with other runs.
    fn enter(&mut self, place: usize) -> bool {
        let Stage::Running(play) = &mut self.stage else { return false };
        let host = &play.hosts[place];
        let draws = self.sharing.draws(play.admission.drawn(host.group), self.draft.scale);
        if draws.is_empty() {
            return false;
        }
        let holder = Holder::Host(host.name.clone());
        play.hosts[place].stay = Stay::Entering;
        self.out.push_back(self.sharing.ask(holder, draws));
        true
    }

    /// Starts hosts that the ledger gave a place in flight, or puts them back where they may not be
    /// taken any more.
    fn take_entered(&mut self, now: Now) {
        let Stage::Running(play) = &mut self.stage else { return };
        for place in std::mem::take(&mut play.entered) {
            let may_enter = !self.is_halted() && self.hold_of_admitted(now).is_none();
            let Stage::Running(play) = &mut self.stage else { return };
            if !matches!(play.hosts[place].stay, Stay::Entering) {
                continue;
            }
            if may_enter && !self.comes_too_late(place, now) {
                self.start_step(place, now.elapsed);
            } else if let Stage::Running(play) = &mut self.stage {
                play.put_back(place);
            }
        }
        // A host that is put back may be taken again at once, with a claim of its own.
        self.give_back_hosts();
    }

    /// Lets hosts go on that waited for another one, or leaves them when nothing new starts.
    fn stir(&mut self, now: Now) {
        let is_halted = self.is_halted();
        let Stage::Running(play) = &mut self.stage else { return };
        if !is_halted && !std::mem::take(&mut play.is_stirred) {
            return;
        }
        for place in play.waiters() {
            if self.is_halted() || self.comes_too_late(place, now) {
                self.leave(place);
            } else {
                self.start_step(place, now.elapsed);
            }
        }
    }

    /// Starts the step of the task that a host is at, lets it wait for another host, or ends it
    /// when all that is left is done for it.
    pub(super) fn start_step(&mut self, place: usize, now: Elapsed) {
        let Stage::Running(play) = &mut self.stage else { return };
        let draft = &self.draft.plays[usize::from(play.number.0)];
        let mut onward = match draft.tasks.get(usize::from(play.hosts[place].task)) {
            Some(task) if play.takes(place) => Onward::At(task.id.task),
            // The first task is not one that the host does, or there is none.
            Some(_) | None => play.begin(place),
        };
        while let Onward::At(task) = onward {
            if play.is_paused() {
                play.hosts[place].has_waited = true;
                return play.wait(place, WaitsFor::Gate);
            }
            let Some(task) = draft.tasks.get(usize::from(task)) else { break };
            let at = task.id.task;
            if task.flow.is_once {
                match play.once.get(&at) {
                    Some(Once::Done) => {
                        onward = play.after(place);
                        continue;
                    }
                    // The host that took it is gone from flight: another one does it.
                    Some(Once::Taken(by))
                        if *by != place
                            && !play.active.contains(by)
                            && !play.once_begun.contains(&at) =>
                    {
                        play.once.insert(at, Once::Taken(place));
                    }
                    // It does not go on with it in this run.
                    Some(Once::Taken(by)) if *by != place && play.hosts[*by].stay == Stay::Left => {
                        return self.leave(place);
                    }
                    // Its wave begins only when this host is through: nobody can go on.
                    Some(Once::Taken(by))
                        if *by != place && play.hosts[*by].wave > play.hosts[place].wave =>
                    {
                        let task = TaskId { play: play.number, task: at };
                        let step = StepId { task, host: play.hosts[*by].name.clone() };
                        self.leave(place);
                        return self.tell_once_failed(step);
                    }
                    Some(Once::Taken(by)) if *by != place => {
                        play.hosts[place].has_waited = true;
                        return play.wait(place, WaitsFor::Once);
                    }
                    Some(Once::Taken(_)) | None => {
                        play.once.insert(at, Once::Taken(place));
                    }
                }
            }
            if play.is_busy(place) {
                play.hosts[place].has_waited = true;
                return play.wait(place, WaitsFor::Delegate);
            }
            let deadline = self.draft.scale.to_real(task.within).max(STEP_FLOOR);
            let phase = if task.flow.is_idle { Phase::Pausing } else { Phase::Probing };
            // A person takes the time that he needs.
            let is_bounded = !(task.flow.is_idle && task.flow.is_once);
            play.hosts[place].has_waited |= !is_bounded;
            let overdue = is_bounded.then(|| now.plus(deadline).plus(GRACE));
            play.start(place, phase, now, deadline, overdue);
            let (step, on) = (play.step(place), play.delegate(place).cloned());
            self.out.push_back(Command::Start { step, on, deadline });
            return;
        }
        let outcome = match onward {
            Onward::Failed => Outcome::Failed,
            Onward::At(_) | Onward::Through => play.hosts[place].outcome(),
        };
        // Its place in flight is given back when it ends.
        play.wait(place, WaitsFor::Once);
        self.end_host(place, outcome, now);
    }

    /// A host that was taken goes no further in this run.
    pub(super) fn leave(&mut self, place: usize) {
        if let Stage::Running(play) = &mut self.stage {
            // One that was taken just now has its place in flight to give back as well.
            play.wait(place, WaitsFor::Once);
            play.leave(place, Stay::Left);
        }
    }
}
