//! Plain lines for a pipe or a log: one for each change of state, and progress now and then.

use std::io::Write;
use std::time::Duration;

use super::confirm::answered;
use super::recap::ending;
use super::{clean_line, file_name, fold_hosts, journal_trouble};
use crate::event::{
    AdaptReason, Event, EventKind, Gauge, JournalError, Observer, RunState, StopStage, WaitReason,
};
use crate::model::{Elapsed, LimitName, Now, Outcome, PlayNo, format_span};

/// Progress is told after this long, or after a twentieth of the hosts.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
const PROGRESS_SHARE: usize = 20;

/// Writes one line for what a log's reader must know.
pub struct PlainLines<W> {
    out: W,
    told_at: Elapsed,
    told_hosts: usize,
    told_ready: Option<u32>,
    told_soak: Option<Elapsed>,
    /// Whether it was told that shared limits cannot be read, since they last could.
    told_trouble: bool,
}

impl<W: Write + Send> PlainLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            told_at: Elapsed::ZERO,
            told_hosts: 0,
            told_ready: None,
            told_soak: None,
            told_trouble: false,
        }
    }

    fn line(&mut self, elapsed: Elapsed, text: &str) {
        // A reader that closed the pipe has what it wanted; the run goes on.
        let _closed = writeln!(self.out, "{:>7.1}s  {text}", elapsed.as_duration().as_secs_f64());
    }

    /// Tells once that nothing starts because the wave before is watched.
    fn soaking(&mut self, now: Now, gauge: &Gauge) {
        let soaks = gauge.waiting.iter().find(|(why, _)| *why == WaitReason::Soak);
        let until = gauge.held_until.filter(|_| soaks.is_some());
        if until == self.told_soak {
            return;
        }
        self.told_soak = until;
        if let (Some((_, hosts)), Some(until)) = (soaks, until) {
            let left = format_span(until.since(now.elapsed));
            let text =
                format!("soak: nothing starts for {left}; {hosts} hosts wait in the next wave");
            self.line(now.elapsed, &text);
        }
    }

    fn progress(&mut self, play: PlayNo, now: Elapsed, state: &RunState) {
        let Some(play_state) = state.plays.get(&play) else { return };
        let ended = play_state.hosts.values().filter(|host| host.outcome.is_some()).count();
        let total = play_state.hosts.len();
        let share = (total / PROGRESS_SHARE).max(1);
        if ended == self.told_hosts
            || (ended < self.told_hosts + share && now.since(self.told_at) < PROGRESS_EVERY)
        {
            return;
        }
        self.told_hosts = ended;
        self.told_at = now;
        let count = |outcome| {
            play_state.hosts.values().filter(|host| host.outcome == Some(outcome)).count()
        };
        let mut text = format!("play {play}  {ended}/{total} hosts");
        for outcome in [
            Outcome::Changed,
            Outcome::Unchanged,
            Outcome::Rescued,
            Outcome::Failed,
            Outcome::Unreachable,
            Outcome::Unknown,
            Outcome::Skipped,
        ] {
            let hosts = count(outcome);
            if hosts > 0 {
                text.push_str(&format!("  {outcome} {hosts}"));
            }
        }
        self.line(now, &text);
    }
}

impl<W: Write + Send> Observer for PlainLines<W> {
    fn observe(&mut self, event: &Event, state: &RunState) {
        let at = event.elapsed;
        match &event.kind {
            EventKind::RunStarted(header) => {
                self.line(at, &format!("run {}  {}", header.run, file_name(&header.playbook)));
            }
            EventKind::RunResumed { again, .. } if again.is_empty() => self.line(at, "resumed"),
            EventKind::RunResumed { again, .. } => {
                self.line(at, &format!("resumed, {} failed hosts taken up again", again.len()));
            }
            EventKind::WorkFound { play, work } => {
                let pairs: usize = work.by_host.values().map(Vec::len).sum();
                let mut text =
                    format!("play {play}  work: {pairs} rows on {} hosts", work.by_host.len());
                let lost = work.unmatched.len() + work.ambiguous.len();
                if lost > 0 {
                    text.push_str(&format!("; {lost} rows met no host of the inventory"));
                }
                self.line(at, &text);
            }
            EventKind::WorkNotFound { play, failure } => {
                self.line(at, &format!("play {play}  {}", clean_line(&failure.to_string(), 300)));
            }
            EventKind::PlayStarted { play, waves } => {
                self.told_hosts = 0;
                self.told_ready = None;
                self.told_at = at;
                let sizes: Vec<String> = waves.iter().map(|wave| wave.len().to_string()).collect();
                self.line(at, &format!("play {play}  started, waves of {}", sizes.join(", ")));
            }
            EventKind::WaveStarted { play, wave } => {
                self.line(at, &format!("play {play}  wave {wave} started"));
            }
            EventKind::WaveFinished { play, wave } => {
                self.line(at, &format!("play {play}  wave {wave} finished"));
            }
            EventKind::StepFinished { step, outcome, failure, .. } if !outcome.is_well() => {
                let why = failure.as_ref().map_or_else(String::new, ToString::to_string);
                let why = clean_line(&why, 300);
                self.line(at, &format!("{outcome}  step {step}: {why}"));
            }
            EventKind::ConfirmAsked { step, question } => {
                let say = clean_line(&question.say, 300);
                let name = clean_line(&question.name, 80);
                self.line(at, &format!("step {step} asks to confirm {name}: {say}"));
            }
            EventKind::ConfirmAnswered { answer, .. } => {
                self.line(at, &answered(answer));
            }
            EventKind::GateChecked { play, wave, gate, verdict, seen, .. } => {
                let (gate, seen) = (clean_line(gate, 80), clean_line(seen, 300));
                let text = format!("play {play}  wave {wave}  gate {gate}: {verdict}, {seen}");
                self.line(at, &text);
            }
            EventKind::GateAsked { play, wave, question, .. } => {
                let say = clean_line(&question.say, 400);
                let text = format!("play {play}  wave {wave}  nothing new starts. {say}");
                self.line(at, &text);
            }
            EventKind::GateAnswered { gate, answer, .. } => {
                self.line(at, &format!("gate {}: {}", clean_line(gate, 80), answered(answer)));
            }
            EventKind::GateFailed { play, wave, gate, seen } => {
                let (gate, seen) = (clean_line(gate, 80), clean_line(seen, 300));
                let text = format!(
                    "play {play}  wave {wave}  gate {gate} failed ({seen}); nothing new starts"
                );
                self.line(at, &text);
            }
            EventKind::OnceFailed { step } => {
                let text =
                    format!("step {step} was to be done once, and failed; nothing new starts");
                self.line(at, &text);
            }
            EventKind::HostFinished { play, .. } => self.progress(*play, at, state),
            EventKind::BudgetTripped { play, wave, budget, bad, tolerated } => {
                let text = format!(
                    "play {play}  wave {wave}: {}, {tolerated} tolerated by {}; nothing new starts",
                    budget.counts(*bad),
                    budget.key()
                );
                self.line(at, &text);
            }
            EventKind::BreakerOpened { host } => {
                let text = format!("{host} rejected the logon; nothing new starts");
                self.line(at, &text);
            }
            EventKind::LimitAdapted { limit, percent, why } => {
                self.line(at, &adapted(limit, *percent, *why));
            }
            EventKind::OracleChecked { report, last: false, .. }
                if self.told_ready == Some(report.ready) => {}
            EventKind::OracleChecked { play, report, last } => {
                self.told_ready = Some(report.ready);
                let mut text =
                    format!("play {play}  the CMDB says {} of {} Ready", report.ready, report.of);
                if !report.not_ready.is_empty() {
                    let hosts = fold_hosts(report.not_ready.iter().map(|row| row.host.as_str()));
                    let words = if *last { "not ready" } else { "not yet" };
                    text.push_str(&format!("; {words}: {}", clean_line(&hosts, 300)));
                }
                self.line(at, &text);
            }
            EventKind::OracleNotRead { play, failure, .. } => {
                let why = clean_line(&failure.to_string(), 300);
                self.line(at, &format!("play {play}  the CMDB could not be asked: {why}"));
            }
            EventKind::PlayFinished { play } => self.line(at, &format!("play {play}  finished")),
            EventKind::WindowOpened { play, closes } => {
                let says = clean_line(&closes.says, 80);
                self.line(at, &format!("play {play}  the window is open until {says}"));
            }
            EventKind::WindowAwaited { play, opens } => {
                let says = clean_line(&opens.says, 80);
                self.line(at, &format!("play {play}  waits for the window, which opens {says}"));
            }
            EventKind::WindowClosed(closed) => {
                let text = format!("play {}  {}", closed.play, super::window::closed(closed));
                self.line(at, &text);
            }
            EventKind::ClockJumped { expected, found } => {
                let text = format!(
                    "the wall clock jumped from {} to {}; no host is taken",
                    expected.strftime("%H:%M:%S UTC"),
                    found.strftime("%Y-%m-%d %H:%M:%S UTC")
                );
                self.line(at, &text);
            }
            EventKind::ClockReturned => self.line(at, "the wall clock is right again"),
            EventKind::Stopping { stage: StopStage::Drain } => {
                self.line(at, "stopping: steps under way end, nothing new starts");
            }
            EventKind::Stopping { stage: StopStage::Cancel } => {
                self.line(at, "stopping: steps under way are cancelled");
            }
            EventKind::RunFinished { result } => self.line(at, ending(state, *result)),
            EventKind::StepStarted { .. }
            | EventKind::StepWentOn { .. }
            | EventKind::StepDecided { .. }
            | EventKind::StepFinished { .. } => {}
        }
    }

    fn tick(&mut self, now: Now, gauge: &Gauge, state: &RunState) {
        self.soaking(now, gauge);
        let trouble = gauge.waiting.iter().find_map(|(why, _)| match why {
            WaitReason::Ledger(why) => Some(clean_line(why, 300)),
            _ => None,
        });
        if let Some(why) = trouble.as_ref().filter(|_| !self.told_trouble) {
            let text = format!("nothing more starts: the limits of all runs cannot be read: {why}");
            self.line(now.elapsed, &text);
        }
        self.told_trouble = trouble.is_some();
        if let Some((play, _)) =
            state.plays.iter().rfind(|(_, play)| play.started && !play.finished)
            && now.elapsed.since(self.told_at) >= PROGRESS_EVERY
        {
            self.progress(*play, now.elapsed, state);
        }
    }

    fn journal_failed(&mut self, now: Now, error: &JournalError, under_way: usize) {
        self.line(now.elapsed, &journal_trouble(error, under_way));
    }
}

/// Why a limit that adapts is as it is.
pub(super) fn why_adapted(why: AdaptReason) -> &'static str {
    match why {
        AdaptReason::Well => "the Notification Server answers as it does at rest",
        AdaptReason::Full => "the Notification Server bears no more",
        AdaptReason::Slow => "the Notification Server answers slowly",
        AdaptReason::Busy => "the Notification Server says that it is busy",
        AdaptReason::Queue => "the Notification Server's event queue grows or stands still",
        AdaptReason::Unreadable => "the Notification Server does not answer",
    }
}

fn adapted(limit: &LimitName, percent: u8, why: AdaptReason) -> String {
    let why = why_adapted(why);
    match percent {
        0 => format!("{limit}: nothing is drawn until it answers: {why}"),
        100 => format!("{limit}: all that is declared: {why}"),
        _ => format!("{limit}: {percent} % of what is declared: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_is_told_once_with_its_end() {
        let mut out = Vec::new();
        let mut lines = PlainLines::new(&mut out);
        let at = |seconds: u64| Now {
            elapsed: Elapsed::from_millis(seconds * 1000),
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        let gauge = Gauge {
            waiting: vec![(WaitReason::Soak, 40)],
            held_until: Some(at(600).elapsed),
            ..Gauge::default()
        };
        for seconds in [0, 1, 300] {
            lines.tick(at(seconds), &gauge, &RunState::default());
        }
        lines.tick(at(601), &Gauge::default(), &RunState::default());

        let text = String::from_utf8(out).expect("a text");
        assert_eq!(
            text,
            "    0.0s  soak: nothing starts for 10m00s; 40 hosts wait in the next wave\n"
        );
    }
}
