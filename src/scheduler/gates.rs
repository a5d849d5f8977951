//! Gates: when each is asked, and what its answers mean for the play.
//!
//! Every gate is asked anew before each wave, the first one included, and no wave opens before
//! each has passed. One that watches is asked while the wave is under way as well; while its latest
//! answer is not a pass, no further host is taken. Answers that are not well, and tries that come to
//! no answer, are counted apart, each in a row. One too many of the first stops the play; one too
//! many of the others, or an answer that says neither, pauses it: nothing at all starts until an
//! operator says that it goes on, or, where nobody can be asked, until the gate passes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::health_gate::{Memory, judge_health};
use super::hold::Hold;
use super::play::PlayRun;
use super::scheduler::{Scheduler, Stage};
use super::wave_ready::{Left, judge_wave};
use super::{Command, GateReading};
use crate::event::{EventKind, Question, Reply, WaitReason};
use crate::model::{Elapsed, Gate, GateAsk, GateVerdict, HostName, Now, PlayNo, TimeScale};

/// The shortest real time between two questions, however fast the world runs.
const FLOOR: Duration = Duration::from_millis(500);

/// Whether a gate pauses its play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It does not.
    None,
    /// An operator is asked.
    Asked,
    /// Nobody can be asked: it goes on when the gate passes, and ends then if it has not.
    Alone(Elapsed),
    /// An operator said that this wave goes on without an answer.
    GoOn,
}

/// A gate of a play under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GateRun {
    /// Whether an answer is waited for.
    is_asked: bool,
    /// Whether that question was put for the wave before: its answer does not count.
    is_stale: bool,
    /// When it is asked next.
    next: Elapsed,
    /// Since when it is asked for this wave.
    since: Elapsed,
    /// The latest answer for this wave.
    verdict: Option<GateVerdict>,
    /// What was seen then.
    seen: String,
    /// Answers in a row that were not well.
    fails: u32,
    /// Tries in a row that came to no answer.
    errors: u32,
    pause: Pause,
    /// What earlier looks at the Notification Servers found.
    memory: BTreeMap<HostName, Memory>,
    /// The pairs that were left at the latest answer about the wave before.
    left: Left,
}

impl GateRun {
    pub(super) fn new() -> Self {
        Self {
            is_asked: false,
            is_stale: false,
            next: Elapsed::ZERO,
            since: Elapsed::ZERO,
            verdict: None,
            seen: String::new(),
            fails: 0,
            errors: 0,
            pause: Pause::None,
            memory: BTreeMap::new(),
            left: Left::default(),
        }
    }

    /// Forgets what was said for the wave before. A question that an operator has before him is
    /// left there: his answer counts for the next wave.
    fn renew(&mut self, now: Elapsed) {
        if self.pause == Pause::Asked {
            (self.fails, self.errors) = (0, 0);
            return;
        }
        let (is_asked, memory) = (self.is_asked, std::mem::take(&mut self.memory));
        *self = Self { is_asked, is_stale: is_asked, next: now, since: now, memory, ..Self::new() };
    }

    fn is_open(&self, is_check: bool) -> bool {
        match self.verdict {
            Some(GateVerdict::Pass) => true,
            Some(GateVerdict::Fail) | None => is_check && self.verdict.is_some(),
            Some(_) => is_check || self.pause == Pause::GoOn,
        }
    }

    fn pauses(&self) -> bool {
        matches!(self.pause, Pause::Asked | Pause::Alone(_))
    }
}

/// The gates of a play under way.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Gates {
    all: Vec<GateRun>,
    /// The wave for which they are asked.
    wave: Option<usize>,
    /// The wave for which all have passed.
    opened: Option<usize>,
}

impl Gates {
    pub(super) fn new(count: usize) -> Self {
        Self { all: vec![GateRun::new(); count], wave: None, opened: None }
    }
}

impl PlayRun {
    /// Whether a gate pauses the play: nothing at all starts.
    pub(super) fn is_paused(&self) -> bool {
        self.gates.all.iter().any(GateRun::pauses)
    }

    /// The gates that have a say now, with their declarations.
    fn asked_now<'p>(&'p self, declared: &'p [Gate]) -> impl Iterator<Item = (usize, &'p Gate)> {
        let has_opened = self.gates.opened == Some(self.wave);
        let before_first = self.wave == 0;
        declared.iter().enumerate().filter(move |(_, gate)| {
            // There is no wave before the first one that could be Ready.
            let is_void = before_first && gate.ask == GateAsk::WaveReady;
            !is_void && (!has_opened || gate.watch)
        })
    }
}

impl Scheduler {
    /// The gate for which the wave under way, or the next one, waits.
    pub(super) fn gated(&self) -> Option<Hold> {
        let Stage::Running(play) = &self.stage else { return None };
        if play.gates.all.is_empty() || play.waves.get(play.wave)?.open == 0 {
            return None;
        }
        let declared = self.gates_of(play.number);
        let is_check = self.draft.is_check();
        if is_check && play.gates.opened == Some(play.wave) {
            return None;
        }
        let is_current = play.gates.wave == Some(play.wave);
        let (at, gate) = play
            .asked_now(declared)
            .find(|(at, _)| !is_current || !play.gates.all[*at].is_open(is_check))?;
        let run = &play.gates.all[at];
        let will_be_asked =
            is_current && !run.is_asked && run.pause != Pause::Asked && !self.is_halted();
        let seen = if is_current { run.seen.clone() } else { String::new() };
        Some(Hold {
            why: WaitReason::Gate(gate.name.clone(), seen),
            until: will_be_asked.then_some(run.next),
        })
    }

    fn gates_of(&self, play: PlayNo) -> &[Gate] {
        self.draft.plays.get(usize::from(play.0)).map_or(&[], |play| &play.safeguards.gates)
    }

    /// All gates have passed: the wave opens.
    pub(super) fn note_gates_passed(&mut self) {
        if let Stage::Running(play) = &mut self.stage {
            play.gates.opened = Some(play.wave);
        }
    }

    /// Asks the gates that are due.
    pub(super) fn ask_gates(&mut self, now: Now) {
        if self.is_halted() || !self.has_gates_to_ask(now) {
            return;
        }
        let is_check = self.draft.is_check();
        let now = now.elapsed;
        let Stage::Running(play) = &mut self.stage else { return };
        let number = play.number;
        if play.gates.wave != Some(play.wave) {
            play.gates.wave = Some(play.wave);
            play.gates.all.iter_mut().for_each(|gate| gate.renew(now));
        }
        let wave = PlayRun::wave_no(play.wave);
        let declared = &self.draft.plays[usize::from(number.0)].safeguards.gates;
        let due: Vec<usize> = play
            .asked_now(declared)
            .map(|(at, _)| at)
            .filter(|at| {
                let gate = &play.gates.all[*at];
                let is_settled = is_check && gate.verdict.is_some();
                !gate.is_asked && gate.pause != Pause::Asked && gate.next <= now && !is_settled
            })
            .collect();
        for at in due {
            play.gates.all[at].is_asked = true;
            let gate = u16::try_from(at).unwrap_or(u16::MAX);
            self.out.push_back(Command::CheckGate { play: number, wave, gate });
        }
    }

    /// Whether gates have a say now: nothing else holds the wave up that they would be asked for,
    /// so that what they say is fresh when it opens.
    fn has_gates_to_ask(&self, now: Now) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        let is_open = play.waves.get(play.wave).is_some_and(|wave| wave.open > 0);
        let has_opened = play.gates.opened == Some(play.wave);
        let is_asked_for =
            if has_opened { !self.draft.is_check() } else { self.hold_before_gates(now).is_none() };
        !play.gates.all.is_empty() && is_open && is_asked_for
    }

    /// When the next gate is due.
    pub(super) fn next_gate(&self, now: Now) -> Option<Elapsed> {
        if self.is_halted() || !self.has_gates_to_ask(now) {
            return None;
        }
        let Stage::Running(play) = &self.stage else { return None };
        let is_check = self.draft.is_check();
        play.asked_now(self.gates_of(play.number))
            .map(|(at, _)| &play.gates.all[at])
            .filter(|gate| !gate.is_asked && gate.pause != Pause::Asked)
            .filter(|gate| !(is_check && gate.verdict.is_some()))
            .map(|gate| gate.next)
            .min()
    }

    /// Takes in what the driver found when it asked a gate.
    pub(super) fn on_gate_said(
        &mut self,
        number: PlayNo,
        gate: u16,
        reading: &GateReading,
        now: Elapsed,
    ) {
        let (is_check, is_halted) = (self.draft.is_check(), self.is_halted());
        let scale = self.draft.scale;
        let Stage::Running(play) = &mut self.stage else { return };
        let at = usize::from(gate);
        let Some(declared) = self
            .draft
            .plays
            .get(usize::from(number.0))
            .filter(|_| play.number == number)
            .and_then(|play| play.safeguards.gates.get(at))
        else {
            return;
        };
        let Some(run) = play.gates.all.get(at).filter(|run| run.is_asked) else { return };
        // The answer to a question for a wave that is through by now says nothing of the next one,
        // and one that does not watch has no say once the wave is open.
        let has_no_say = play.gates.opened == Some(play.wave) && !declared.watch;
        let is_late = run.is_stale || play.gates.wave != Some(play.wave) || has_no_say;
        let (since, mut memory, mut left) = (run.since, run.memory.clone(), run.left.clone());
        let (verdict, seen) = match (&declared.ask, reading) {
            (_, GateReading::Unreadable(failure)) => (GateVerdict::Unreadable, failure.to_string()),
            (GateAsk::NsHealthy(bounds), GateReading::Health(looks)) => {
                judge_health(bounds, &mut memory, looks, now, scale)
            }
            (GateAsk::WaveReady, GateReading::Ready(report)) => {
                let deadline = since.plus(scale.to_real(declared.within));
                judge_wave(play, report, &mut left, now, deadline, scale)
            }
            (GateAsk::Query(_), GateReading::Said { verdict, seen }) => (*verdict, seen.clone()),
            // The driver answered another question than it was asked.
            _ => (GateVerdict::Unreadable, "the answer does not fit the question".to_owned()),
        };
        let (limits, wait) =
            ((declared.fail_limit, declared.error_limit), scale.to_real(declared.every).max(FLOOR));
        let name = declared.name.clone();
        let run = &mut play.gates.all[at];
        (run.is_asked, run.is_stale) = (false, false);
        (run.memory, run.left) = (memory, left);
        if is_late || is_halted {
            return;
        }
        let is_news = run.verdict != Some(verdict);
        (run.verdict, run.seen) = (Some(verdict), seen.clone());
        run.next = now.plus(wait);
        if let Pause::Alone(until) = run.pause
            && verdict != GateVerdict::Pass
        {
            run.next = run.next.min(until.max(now));
        }
        run.count(verdict);
        let next = if is_check { Next::GoOn } else { run.next_of(verdict, limits, now) };
        let in_a_row = run.fails.max(run.errors);
        if next == Next::GoOn && verdict == GateVerdict::Pass && run.pauses() {
            run.pause = Pause::None;
            play.is_stirred = true;
        }
        let wave = PlayRun::wave_no(play.wave);
        if is_news || next != Next::GoOn {
            self.emit(EventKind::GateChecked {
                play: number,
                wave,
                gate: name.clone(),
                verdict,
                seen: seen.clone(),
                in_a_row,
            });
        }
        match next {
            Next::GoOn => {}
            Next::Stop => {
                self.emit(EventKind::GateFailed { play: number, wave, gate: name, seen });
                self.trip();
            }
            Next::Pause => {
                self.set_pause(at, Pause::Asked);
                let question = question(&name, verdict, &seen);
                self.emit(EventKind::GateAsked { play: number, wave, gate: name, question });
            }
            Next::Close => self.leave_unconfirmed(),
        }
    }

    /// Takes in what an operator said about a gate that could not be told.
    pub(super) fn on_gate_answered(
        &mut self,
        number: PlayNo,
        gate: u16,
        reply: Reply,
        now: Elapsed,
    ) {
        let scale = self.draft.scale;
        let at = usize::from(gate);
        let Some(declared) = self.gates_of(number).get(at) else { return };
        let (within, every) = (declared.within, declared.every);
        let is_halted = self.is_halted();
        let Stage::Running(play) = &mut self.stage else { return };
        let is_asked = |run: &&mut GateRun| run.pause == Pause::Asked;
        let Some(run) = play.gates.all.get_mut(at).filter(is_asked) else { return };
        if play.number != number || is_halted {
            return;
        }
        run.next = now.plus(scale.to_real(every).max(FLOOR));
        match reply {
            Reply::Confirmed => {
                run.pause = Pause::GoOn;
                play.is_stirred = true;
            }
            Reply::Declined => self.leave_unconfirmed(),
            Reply::NobodyThere => {
                let until = now.plus(scale.to_real(within));
                run.next = run.next.min(until);
                run.pause = Pause::Alone(until);
            }
        }
    }

    /// Whether an operator's answer about this gate would still count.
    pub fn awaits_answer(&self, number: PlayNo, gate: u16) -> bool {
        let Stage::Running(play) = &self.stage else { return false };
        let run = play.gates.all.get(usize::from(gate)).filter(|_| play.number == number);
        !self.is_halted() && run.is_some_and(|run| run.pause == Pause::Asked)
    }

    fn set_pause(&mut self, at: usize, pause: Pause) {
        if let Stage::Running(play) = &mut self.stage {
            play.gates.all[at].pause = pause;
        }
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing, or the wave opens.
    GoOn,
    /// The play stops.
    Stop,
    /// An operator is asked.
    Pause,
    /// Nobody could be asked, and the time is over.
    Close,
}

impl GateRun {
    fn count(&mut self, verdict: GateVerdict) {
        match verdict {
            GateVerdict::Pass => (self.fails, self.errors) = (0, 0),
            GateVerdict::Fail => (self.fails, self.errors) = (self.fails + 1, 0),
            GateVerdict::Unreadable | GateVerdict::Inconclusive => self.errors += 1,
            GateVerdict::Pending => self.errors = 0,
        }
    }

    fn next_of(&self, verdict: GateVerdict, limits: (u32, u32), now: Elapsed) -> Next {
        let (fail_limit, error_limit) = limits;
        let is_told = matches!(verdict, GateVerdict::Pass | GateVerdict::Pending);
        match (verdict, self.pause) {
            (GateVerdict::Fail, _) if self.fails > fail_limit => Next::Stop,
            (GateVerdict::Pass, _) => Next::GoOn,
            (_, Pause::Alone(until)) if until <= now => Next::Close,
            (GateVerdict::Inconclusive, Pause::None) => Next::Pause,
            (_, Pause::None) if !is_told && self.errors > error_limit => Next::Pause,
            _ => Next::GoOn,
        }
    }
}

fn question(gate: &str, verdict: GateVerdict, seen: &str) -> Question {
    let what = match verdict {
        GateVerdict::Inconclusive => "says neither yes nor no",
        _ => "could not be read",
    };
    Question {
        name: gate.to_owned(),
        say: format!("The gate {gate} {what} ({seen}): go on with this wave without it?"),
        console: None,
        typed: None,
    }
}

/// The span of real time in which something of the world is waited for.
pub(super) fn real(span: Duration, scale: TimeScale, floor: Duration) -> Duration {
    scale.to_real(span).max(floor)
}

#[cfg(test)]
mod tests;
