//! What change windows allow: who is taken, what becomes of hosts under way when a window closes,
//! and when the run ends because of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::hold::Hold;
use super::hours::{PlayHours, Standing, is_telling};
use super::play::{Once, PlayRun, Stay, WaitsFor};
use super::scheduler::{STEP_FLOOR, Scheduler, Stage};
use crate::event::{EventKind, Phase, StepState, WaitReason, WindowClosed, WindowEnd};
use crate::model::{AtClose, Elapsed, FailureClass, Now, Outcome, PlayNo};

/// How far the wall clock may move against the time that passed, between two looks at it.
const JUMP: SignedDuration = SignedDuration::from_secs(30);
/// How long a run waits for a clock that jumped to come back.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the clock is looked at while a play with a window is under way.
const LOOK: Duration = Duration::from_secs(10);

/// A jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jump {
    /// By how much it is off.
    off: SignedDuration,
    /// When it was seen.
    since: Elapsed,
}

impl Scheduler {
    /// The windows of a play that begins, or goes on.
    pub(super) fn open_hours(&mut self, number: PlayNo) {
        if self.hours_of == Some(number) {
            return;
        }
        self.hours_of = Some(number);
        let play = &self.draft.plays[usize::from(number.0)];
        let in_rescue = |task: u16| {
            play.blocks.iter().any(|block| (block.rescue..block.always).contains(&task))
        };
        let asks_a_person = |task: u16| {
            let flow = play.tasks.get(usize::from(task)).map(|task| task.flow).unwrap_or_default();
            flow.is_idle && flow.is_once
        };
        let counts = |task: &&crate::plan::DraftTask| {
            let task_no = task.id.task;
            task.flow.is_taken && !asks_a_person(task_no) && !in_rescue(task_no)
        };
        let deadlines = play.tasks.iter().filter(counts);
        let of_deadlines: Duration =
            deadlines.map(|task| self.draft.scale.to_real(task.within).max(STEP_FLOOR)).sum();
        let expected = play.safeguards.hours.expect().map(|world| self.draft.scale.to_real(world));
        self.hours = PlayHours::new(play, expected.unwrap_or(of_deadlines));
        let known = self.resumption.as_ref().and_then(|it| it.state.plays.get(&number));
        let Some((hours, state)) = self.hours.as_mut().zip(known) else { return };
        for host in state.hosts.values() {
            // What lies between two steps is a wait for somebody, or for a resume.
            let own = host.steps.iter().filter(|(task, _)| !asks_a_person(**task));
            let spans = own.filter_map(|(_, step)| Some(step.finished?.since(step.started)));
            // Of a step that was begun anew, only the last part is known.
            let is_whole = |step: &StepState| step.decided_at.iter().all(|at| *at >= step.started);
            let is_known = host.steps.values().all(is_whole);
            if is_known && host.outcome.is_some_and(is_telling) {
                hours.took(spans.sum());
            }
        }
    }

    /// Looks at the wall clock: has it jumped, has a window opened or closed?
    pub(super) fn watch_windows(&mut self, now: Now) {
        if self.hours.is_none() || matches!(self.stage, Stage::Asking(..) | Stage::Ended) {
            return;
        }
        self.watch_clock(now);
        self.note_held_up();
        let undisturbed = self.jump.and_then(|jump| now.wall.checked_sub(jump.off).ok());
        let Some(hours) = &mut self.hours else { return };
        let opened = hours.look(now, undisturbed);
        if self.session.is_none() {
            self.session = hours.session(now.wall);
        }
        let Some(play) = self.hours_of else { return };
        for closes in opened {
            self.emit(EventKind::WindowOpened { play, closes });
        }
    }

    /// Steps that wait for a grant while nothing is drawn take longer than their work does.
    fn note_held_up(&mut self) {
        if !self.draws_nothing() {
            return;
        }
        let Stage::Running(play) = &mut self.stage else { return };
        for place in play.active.clone() {
            let waits = play.at(place).is_some_and(|running| running.phase == Phase::Waiting);
            play.hosts[place].has_waited |= waits;
        }
    }

    fn watch_clock(&mut self, now: Now) {
        let Some(last) = self.clock.replace(now) else { return };
        let passed = now.elapsed.since(last.elapsed);
        let Ok(expected) = last.wall.checked_add(passed) else { return };
        let off = now.wall.duration_since(expected);
        match &mut self.jump {
            None if off.abs() > JUMP => {
                self.jump = Some(Jump { off, since: now.elapsed });
                self.emit(EventKind::ClockJumped { expected, found: now.wall });
            }
            None => {}
            Some(jump) => {
                jump.off += off;
                if jump.off.abs() <= JUMP {
                    self.jump = None;
                    self.emit(EventKind::ClockReturned);
                }
            }
        }
    }

    /// What holds the play up: the clock jumped, or no site is open.
    pub(super) fn outside(&self, now: Now) -> Option<Hold> {
        let hours = self.hours.as_ref()?;
        if let Some(jump) = &self.jump {
            let until = jump.since.plus(PATIENCE);
            return Some(Hold { why: WaitReason::Clock, until: Some(until) });
        }
        let standings = hours.standings(now.wall, self.session);
        if standings.contains(&Standing::Open) {
            return None;
        }
        let later = standings.iter().filter_map(|standing| match standing {
            Standing::Later(at) => Some(*at),
            Standing::Open | Standing::Over(_) => None,
        });
        let until = later.min().map(|at| elapsed_at(at, now));
        Some(Hold { why: WaitReason::Window, until })
    }

    /// Whether a play may begin: some window of its hosts is open. Says when it waits for one, and
    /// ends the run when none of this session opens any more.
    pub(super) fn may_begin(&mut self, number: PlayNo, now: Now) -> bool {
        self.open_hours(number);
        self.watch_windows(now);
        if self.outside(now).is_none() {
            return true;
        }
        let mut hosts = self.draft.plays[usize::from(number.0)].hosts.len();
        if hosts == 0 {
            return true;
        }
        let known = self.resumption.as_ref().and_then(|it| it.state.plays.get(&number));
        if let Some(play) = known.filter(|play| play.started) {
            hosts = play.hosts.values().filter(|host| host.outcome.is_none()).count();
            // All that is left of it is to ask the CMDB, or to say that it ended.
            if play.finished || hosts == 0 {
                return true;
            }
        }
        let all: Vec<usize> = (0..self.site_count()).collect();
        self.wait_or_close(number, &all, hosts, now);
        false
    }

    fn site_count(&self) -> usize {
        self.hours_of
            .map_or(0, |number| super::hours::sites(&self.draft.plays[usize::from(number.0)]).len())
    }

    /// Nobody is in flight: ends the run where no host that waits can be taken in this session.
    /// Returns whether it does.
    pub(super) fn close_when_over(&mut self, now: Now) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        if self.hours.is_none() || !play.active.is_empty() {
            return false;
        }
        let Some(wave) = play.waves.get(play.wave) else { return false };
        let first = play.come_first();
        let pending = wave.hosts.iter().filter(|place| play.hosts[**place].stay == Stay::Pending);
        // While a host comes before all others, its window is the one that counts.
        let pending = pending.filter(|place| first.is_empty() || first.contains(*place));
        let mut sites: Vec<usize> = pending.map(|place| play.hosts[*place].site).collect();
        sites.sort_unstable();
        sites.dedup();
        let is_not_through = |host: &&super::play::HostRun| !matches!(host.stay, Stay::Ended(_));
        let left = play.hosts.iter().filter(is_not_through).count();
        let number = play.number;
        let awaited = first.into_iter().find(|place| play.hosts[*place].stay == Stay::Left);
        if let Some(place) = awaited.filter(|_| sites.is_empty()) {
            // Whether the others' windows are open does not matter.
            let (site, step) = (play.hosts[place].site, play.step(place));
            let why = match self.jump {
                Some(_) => WindowEnd::Clock,
                None => WindowEnd::InTheMiddle { step },
            };
            self.close_window(number, &[site], left, why, now);
            return true;
        }
        if sites.is_empty() {
            // All of the wave that are left were left by a window that closed.
            let mut of_left: Vec<usize> =
                play.hosts.iter().filter(is_not_through).map(|host| host.site).collect();
            of_left.sort_unstable();
            of_left.dedup();
            sites = of_left;
            let why = if self.jump.is_some() { WindowEnd::Clock } else { WindowEnd::Closed };
            self.close_window(number, &sites, left, why, now);
            return true;
        }
        self.wait_or_close(number, &sites, left, now)
    }

    /// Waits for the first of some sites, or ends the run when none of them opens any more.
    /// Returns whether it ends.
    fn wait_or_close(&mut self, number: PlayNo, sites: &[usize], left: usize, now: Now) -> bool {
        let Some(hours) = &self.hours else { return false };
        if let Some(jump) = &self.jump {
            if jump.since.plus(PATIENCE) > now.elapsed {
                return false;
            }
            self.close_window(number, sites, left, WindowEnd::Clock, now);
            return true;
        }
        let mut later: Option<Timestamp> = None;
        let mut why = WindowEnd::Closed;
        for site in sites {
            match hours.standing(*site, now.wall, self.session) {
                Standing::Open => return false,
                Standing::Later(at) => later = Some(later.map_or(at, |other| other.min(at))),
                Standing::Over(end @ WindowEnd::TooLate { .. }) => why = end,
                Standing::Over(_) => {}
            }
        }
        let Some(at) = later else {
            self.close_window(number, sites, left, why, now);
            return true;
        };
        if self.awaited != Some(at) {
            self.awaited = Some(at);
            let opens = hours.says(at);
            self.emit(EventKind::WindowAwaited { play: number, opens });
        }
        false
    }

    fn close_window(
        &mut self,
        play: PlayNo,
        sites: &[usize],
        left: usize,
        why: WindowEnd,
        now: Now,
    ) {
        let opens = self.hours.as_ref().and_then(|hours| hours.opens_next(sites, now.wall));
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        self.is_window_closed = true;
        self.emit(EventKind::WindowClosed(WindowClosed { play, left, why, opens }));
    }

    /// Sites at which no host may be taken now.
    pub(super) fn shut_sites(&self, now: Now) -> Vec<bool> {
        let Some(hours) = &self.hours else { return Vec::new() };
        let standings = hours.standings(now.wall, self.session);
        standings.iter().map(|standing| *standing != Standing::Open).collect()
    }

    /// Whether a host that was taken and only waited so far is one too many: no host of its site may be
    /// taken any more.
    pub(super) fn comes_too_late(&self, place: usize, now: Now) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        let host = &play.hosts[place];
        let Some(hours) = self.hours.as_ref().filter(|_| host.last.is_none()) else { return false };
        hours.standing(host.site, now.wall, self.session) != Standing::Open
    }

    /// Whether a host between two steps goes no further because its window is closed.
    pub(super) fn ends_here(&self, place: usize) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        let host = &play.hosts[place];
        let over = self.hours.as_ref().and_then(|hours| hours.over(host.site));
        over.is_some_and(|over| match over.at_close() {
            AtClose::Finish => false,
            AtClose::StopAfterBlock => play.opens_block(place),
            AtClose::Terminate => true,
        })
    }

    /// Ends what a closed window ends: steps that have changed nothing, changes whose grace is over,
    /// and whatever waits until a gate or a lost server lets it go on.
    pub(super) fn end_outside(&mut self, now: Now) {
        let draws_nothing = self.draws_nothing();
        let Stage::Running(play) = &mut self.stage else { return };
        let Some(hours) = &self.hours else { return };
        let is_paused = play.is_paused();
        let tasks = &self.draft.plays[usize::from(play.number.0)].tasks;
        let (mut left, mut ended) = (Vec::new(), Vec::new());
        for place in play.active.clone() {
            let Some(over) = hours.over(play.hosts[place].site) else { continue };
            let is_overtime = over.end_of_grace().is_some_and(|end| end <= now.elapsed);
            let opens_block = play.opens_block(place);
            let has_begun = play.hosts[place].last.is_some();
            let waits_for_gate = play.hosts[place].stay == Stay::Waits(WaitsFor::Gate);
            let task = tasks.get(usize::from(play.hosts[place].task)).map(|task| task.flow);
            let waits_for_person = task.is_some_and(|flow| flow.is_idle && flow.is_once);
            let Some(running) = play.at(place) else {
                // It waits for another host, or for a gate or a person, which may take for ever.
                let is_left = match over.at_close() {
                    AtClose::Finish => !has_begun,
                    AtClose::StopAfterBlock => opens_block,
                    AtClose::Terminate => true,
                };
                let is_left = is_left || (waits_for_gate && is_paused) || waits_for_person;
                left.extend(is_left.then_some(place));
                continue;
            };
            let is_ended = match over.at_close() {
                AtClose::Finish => false,
                AtClose::StopAfterBlock => {
                    running.opens_block && !running.has_applied && running.phase != Phase::Applying
                }
                AtClose::Terminate => running.phase != Phase::Applying || is_overtime,
            };
            // Nobody knows when it could begin, and this part of it has changed nothing.
            let is_held_up = running.phase == Phase::Waiting && draws_nothing;
            if (is_ended || is_held_up || waits_for_person) && !running.is_cancelled {
                running.is_shut = true;
                ended.push(place);
            }
        }
        for place in ended {
            self.cancel_step(place);
        }
        for place in left {
            self.leave(place);
        }
    }

    /// A step was cancelled because its window closed. A task that one host does for all is another
    /// one's to do, unless an item or attempt before had begun to change something.
    pub(super) fn left_by_window(&mut self, place: usize, before_change: bool) {
        let may_be_repeated = before_change || self.task(place).is_some_and(|it| it.replay_is_safe);
        let Stage::Running(play) = &mut self.stage else { return };
        let task = play.hosts[place].task;
        if play.once.get(&task) == Some(&Once::Taken(place)) {
            if may_be_repeated && !play.once_begun.contains(&task) {
                play.once.remove(&task);
            } else {
                play.once_begun.insert(task);
            }
        }
        play.is_stirred = true;
        play.leave(place, Stay::Left);
    }

    /// Takes in how long a host took, where that says something about others.
    pub(super) fn note_duration(&mut self, place: usize, outcome: Outcome, now: Elapsed) {
        let Stage::Running(play) = &self.stage else { return };
        let Some(hours) = &mut self.hours else { return };
        let host = &play.hosts[place];
        let since = host.since.filter(|_| !host.has_waited && is_telling(outcome));
        if let Some(since) = since {
            hours.took(now.since(since));
        }
    }

    /// When the clock is to be looked at again.
    pub(super) fn next_look(&self, now: Now) -> Option<Elapsed> {
        let hours = self.hours.as_ref()?;
        let next = hours.next_look(now.wall).map(|at| elapsed_at(at, now));
        let look = now.elapsed.plus(LOOK);
        let patience = self.jump.map(|jump| jump.since.plus(PATIENCE));
        let patience = patience.filter(|at| *at > now.elapsed);
        let grace = hours.next_end_of_grace(now.elapsed);
        next.into_iter().chain(grace).chain(patience).chain([look]).min()
    }
}

/// Whether a step that ended so was cancelled before it changed anything.
pub(super) fn is_untouched(class: Option<FailureClass>) -> bool {
    class == Some(FailureClass::Cancelled)
}

/// When the wall clock shows an instant, if it goes on as it does.
fn elapsed_at(at: Timestamp, now: Now) -> Elapsed {
    let span = Duration::try_from(at.duration_since(now.wall)).unwrap_or_default();
    now.elapsed.plus(span)
}

impl PlayRun {
    /// Whether the task that a host is at, or would be at next, begins a block for it: it did not
    /// begin a task of that block in this process. A task outside of blocks is a block of its own.
    pub(super) fn opens_block(&self, place: usize) -> bool {
        let host = &self.hosts[place];
        let now = self.course.outermost(host.task);
        host.last.is_none_or(|last| {
            last != host.task && (now.is_none() || self.course.outermost(last) != now)
        })
    }
}

#[cfg(test)]
mod tests;
