//! The live screen: at most 22 lines at any fleet size, drawn ten times a second.

use std::fmt::Write;
use std::time::Duration;

use console::measure_text_width;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Paint, clean_line, file_name, group_failures, journal_trouble};
use crate::event::{
    AdaptReason, Event, EventKind, GateState, Gauge, JournalError, Observer, OracleReport, Phase,
    PlayState, RunState, StopStage, WaitReason,
};
use crate::model::{GateVerdict, Now, Outcome, StepId, format_span};

/// Waves shown besides the running one.
const WAVES: usize = 4;
/// Steps in flight shown.
const OLDEST: usize = 5;
/// Failures shown.
const FAILURES: usize = 4;
/// The label of every line is this wide.
const LABEL: usize = 10;

/// The text of one screen, made from data alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<String>);

/// Draws the screen for the present state; no line is wider than `width` columns.
pub fn frame(now: Now, gauge: &Gauge, state: &RunState, width: usize, paint: Paint) -> Frame {
    let mut lines = Vec::new();
    let Some(header) = &state.header else { return Frame(lines) };
    let current = state.plays.iter().rfind(|(_, play)| play.started || play.work.is_some());
    let mut title = format!("{}  run {}", file_name(&header.playbook), header.run);
    if let Some((number, _)) = current {
        let name = header.plays.get(usize::from(number.0)).map_or("", |play| play.name.as_str());
        let _infallible =
            write!(title, "  play {number}/{}  {}", header.plays.len(), clean_line(name, width));
    }
    lines.push(paint.strong(&fit(&title, width)));
    if let Some((_, play)) = current {
        waves(&mut lines, play, width, paint);
        totals(&mut lines, play, paint);
        gates(&mut lines, play, width, paint);
        if let Some(report) = &play.oracle {
            let mut share =
                format!("{} of {} pairs Ready with the current version", report.ready, report.of);
            if let Some(left) = gauge.oracle_until.map(|until| until.since(now.elapsed)) {
                let _infallible = write!(share, "   waits {} at most", format_span(left));
            }
            lines.push(labelled("oracle", &share, width));
            not_yet(&mut lines, report, width);
        } else if let Some(failure) = &play.oracle_failure {
            lines.push(labelled("oracle", &clean_line(&failure.to_string(), width), width));
        }
    }
    flow(&mut lines, now, gauge, width);
    oldest(&mut lines, now, gauge, state, width);
    failures(&mut lines, state, width, paint);
    match state.stopping {
        Some(StopStage::Drain) => lines.push(labelled(
            "stopping",
            "steps under way end, nothing new starts; Ctrl-C again cancels them",
            width,
        )),
        Some(StopStage::Cancel) => {
            lines.push(labelled("stopping", "cancelling; Ctrl-C again leaves at once", width));
        }
        None => {}
    }
    Frame(lines)
}

fn waves(lines: &mut Vec<String>, play: &PlayState, width: usize, paint: Paint) {
    let running = play.waves.iter().position(|wave| wave.started && !wave.finished);
    let through = play.waves.iter().filter(|wave| wave.finished).count();
    let last_shown = running.map_or(through, |at| at + 1);
    let first_shown = last_shown.saturating_sub(WAVES);
    for (at, wave) in play.waves.iter().enumerate().take(last_shown).skip(first_shown) {
        let ended: usize = wave.ended.values().sum();
        let tally = outcomes(wave.ended.iter().map(|(outcome, count)| (*outcome, *count)), paint);
        let label = format!("wave {}", at + 1);
        let text = if Some(at) == running {
            let bar = bar(ended, wave.hosts, 24.min(width / 4));
            format!("{bar} {ended}/{}  {tally}", wave.hosts)
        } else {
            format!("{ended}/{}  {tally}", wave.hosts)
        };
        lines.push(labelled(&label, &text, width));
    }
    let waiting: usize = play.waves.iter().skip(last_shown).map(|wave| wave.hosts).sum();
    if waiting > 0 {
        let left = play.waves.len() - last_shown;
        let text =
            format!("{waiting} hosts in {left} later wave{}", if left == 1 { "" } else { "s" });
        lines.push(labelled("", &paint.faint(&text), width));
    }
}

/// The gates that have not passed: what each said last.
fn gates(lines: &mut Vec<String>, play: &PlayState, width: usize, paint: Paint) {
    let is_ill =
        |gate: &&GateState| gate.checked.is_some_and(|(_, verdict)| verdict != GateVerdict::Pass);
    let ill: Vec<String> = play
        .gates
        .iter()
        .filter(|(_, gate)| is_ill(gate))
        .filter_map(|(name, gate)| {
            let (name, seen) = (clean_line(name, 60), clean_line(&gate.seen, 120));
            Some(format!("{name} {}: {seen}", gate.checked?.1))
        })
        .collect();
    if !ill.is_empty() {
        let room = width.saturating_sub(LABEL + 1);
        lines.push(labelled("gate", &paint.bad(&fit(&ill.join("; "), room)), width));
    }
}

/// Who is not well yet, with the number of packages.
fn not_yet(lines: &mut Vec<String>, report: &OracleReport, width: usize) {
    let mut by_host = indexmap::IndexMap::<&str, usize>::new();
    for pair in &report.not_ready {
        *by_host.entry(pair.host.short()).or_default() += 1;
    }
    if by_host.is_empty() {
        return;
    }
    let total = by_host.len();
    let mut text = String::new();
    let room = width.saturating_sub(LABEL + 1 + 24);
    let mut named = 0;
    for (host, packages) in by_host {
        let word = format!("{}{host} ({packages})", if named > 0 { ", " } else { "" });
        if measure_text_width(&text) + measure_text_width(&word) > room && named > 0 {
            break;
        }
        text.push_str(&word);
        named += 1;
    }
    if named < total {
        let _infallible = write!(text, " and {} more hosts", total - named);
    }
    lines.push(labelled("not yet", &text, width));
}

fn totals(lines: &mut Vec<String>, play: &PlayState, paint: Paint) {
    if play.hosts.is_empty() {
        return;
    }
    let mut counts = indexmap::IndexMap::<Outcome, usize>::new();
    for outcome in play.hosts.values().filter_map(|host| host.outcome) {
        *counts.entry(outcome).or_default() += 1;
    }
    let ended: usize = counts.values().sum();
    let tally = outcomes(counts.into_iter(), paint);
    lines.push(labelled("totals", &format!("{ended}/{} hosts  {tally}", play.hosts.len()), 200));
}

/// Why a limit that adapts is held, in few words: the line has little room.
fn in_short(why: AdaptReason) -> &'static str {
    match why {
        AdaptReason::Well => "growing",
        AdaptReason::Full => "bears no more",
        AdaptReason::Slow => "answers slowly",
        AdaptReason::Busy => "says busy",
        AdaptReason::Queue => "event queue",
        AdaptReason::Unreadable => "no answer",
    }
}

fn flow(lines: &mut Vec<String>, now: Now, gauge: &Gauge, width: usize) {
    for limit in gauge.limits.iter().filter(|limit| limit.by.is_none() && limit.booked > 0) {
        let mut text = format!("{} booked", limit.booked);
        if let Some(cap) = limit.cap {
            let _infallible = write!(text, "   {}/{cap} in flight", limit.in_flight);
        }
        if let Some(share) = limit.share.filter(|share| *share < 1.0) {
            let _infallible = write!(text, "   held at {:.0} %", share * 100.0);
            if let Some(why) = limit.why {
                let _infallible = write!(text, " ({})", in_short(why));
            }
        }
        match limit.available {
            Some(available) if available < 0.0 => {
                let _infallible = write!(text, "   {:.0} being worked off", -available);
            }
            Some(available) => {
                let _infallible = write!(text, "   {available:.0} free");
            }
            None => {}
        }
        lines.push(labelled(limit.name.as_str(), &text, width));
    }
    let mut text = format!("{} of {} hosts", gauge.in_flight.len(), gauge.window);
    // Later waves have a line of their own.
    let here = gauge.waiting.iter().filter(|(why, _)| *why != WaitReason::Wave);
    let waits: Vec<String> = here.take(4).map(|(why, count)| wait(why, *count)).collect();
    if !waits.is_empty() {
        let _infallible = write!(text, "    waiting: {}", waits.join(", "));
    }
    if let Some(until) = gauge.held_until {
        let _infallible = write!(text, "    next in {}", format_span(until.since(now.elapsed)));
    }
    lines.push(labelled("in flight", &text, width));
}

fn wait(why: &WaitReason, count: usize) -> String {
    match why {
        WaitReason::Limit(name, Some(value)) => format!("{count} on {name} {value}"),
        WaitReason::Limit(name, None) => format!("{count} on {name}"),
        WaitReason::OtherRuns(name, Some(value)) => {
            format!("{count} on {name} {value} of other runs")
        }
        WaitReason::OtherRuns(name, None) => format!("{count} on {name} of other runs"),
        WaitReason::Ledger(why) => {
            format!(
                "{count} because the limits of all runs cannot be read: {}",
                clean_line(why, 120)
            )
        }
        WaitReason::Throttle => format!("{count} on slow start"),
        WaitReason::Window => format!("{count} for their window"),
        WaitReason::Clock => format!("{count} because the wall clock jumped"),
        WaitReason::Gate(name, seen) if seen.is_empty() => format!("{count} on gate {name}"),
        WaitReason::Gate(name, seen) => {
            format!("{count} on gate {} ({})", clean_line(name, 60), clean_line(seen, 120))
        }
        WaitReason::Soak => format!("{count} on what the wave before causes"),
        WaitReason::Budget => format!("{count} on the strict budget"),
        WaitReason::Once => format!("{count} on a task that runs once"),
        WaitReason::Delegate => format!("{count} on the host they delegate to"),
        WaitReason::NotificationServer => {
            format!("{count} on the Notification Server, which does not answer")
        }
        WaitReason::Wave => format!("{count} on the wave"),
    }
}

fn oldest(lines: &mut Vec<String>, now: Now, gauge: &Gauge, state: &RunState, width: usize) {
    for (at, flight) in gauge.in_flight.iter().take(OLDEST).enumerate() {
        let phase = match flight.phase {
            Phase::Probing => "reading",
            Phase::Waiting | Phase::Pausing => "waiting",
            Phase::Applying => "changing",
        };
        let age = format_span(now.elapsed.since(flight.since));
        let tail = format!("  {age:>7}  {phase:<8}");
        let host = flight.step.host.short();
        let room = width.saturating_sub(LABEL + 1 + tail.len());
        let text = fit(&format!("{host:<14} {}", task_name(state, &flight.step)), room);
        let pad = room.saturating_sub(measure_text_width(&text));
        let label = if at == 0 { "oldest" } else { "" };
        lines.push(labelled(label, &format!("{text}{}{tail}", " ".repeat(pad)), width));
    }
}

fn failures(lines: &mut Vec<String>, state: &RunState, width: usize, paint: Paint) {
    let mut groups = group_failures(state);
    groups.retain(|group| !group.is_rescued);
    for (at, group) in groups.iter().take(FAILURES).enumerate() {
        let text = format!("{} × {}  {}", group.count, group.hosts, group.message);
        let label = if at == 0 { "failures" } else { "" };
        lines.push(labelled(
            label,
            &paint.bad(&fit(&text, width.saturating_sub(LABEL + 1))),
            width,
        ));
    }
    if groups.len() > FAILURES {
        let more = format!("and {} other kinds", groups.len() - FAILURES);
        lines.push(labelled("", &paint.faint(&more), width));
    }
}

fn task_name(state: &RunState, step: &StepId) -> String {
    state
        .header
        .as_ref()
        .and_then(|header| header.plays.get(usize::from(step.task.play.0)))
        .and_then(|play| play.tasks.get(usize::from(step.task.task)))
        .map_or_else(|| step.task.to_string(), |task| task.name.clone())
}

/// `changed 12  failed 1`, in the order of [`Outcome`], with colour.
pub(super) fn outcomes(counts: impl Iterator<Item = (Outcome, usize)>, paint: Paint) -> String {
    let mut counts: Vec<(Outcome, usize)> = counts.filter(|(_, count)| *count > 0).collect();
    counts.sort_unstable();
    let words = counts.into_iter().map(|(outcome, count)| {
        let text = format!("{outcome} {count}");
        match outcome {
            Outcome::Unchanged => paint.good(&text),
            Outcome::Changed | Outcome::Rescued => paint.change(&text),
            Outcome::Skipped => paint.faint(&text),
            Outcome::Failed | Outcome::Unreachable | Outcome::Unknown => paint.bad(&text),
        }
    });
    words.collect::<Vec<_>>().join("  ")
}

fn bar(done: usize, of: usize, width: usize) -> String {
    let full = (done * width).checked_div(of).unwrap_or(width);
    format!("{}{}", "█".repeat(full), "─".repeat(width - full))
}

fn labelled(label: &str, text: &str, width: usize) -> String {
    fit(&format!("{label:<LABEL$} {text}"), width)
}

/// Cuts a line to `width` columns; colour codes take none.
fn fit(line: &str, width: usize) -> String {
    console::truncate_str(line, width, "…").into_owned()
}

/// Draws frames on the terminal through indicatif.
pub struct Screen {
    lines: MultiProgress,
    bars: Vec<ProgressBar>,
    /// Why nothing new starts any more: the journal failed.
    trouble: Option<String>,
    paint: Paint,
    width: Box<dyn Fn() -> usize + Send>,
}

impl Screen {
    /// The most lines a frame has.
    pub const HEIGHT: usize = 22;

    /// Draws to standard error; `width` tells the columns of the terminal now.
    pub fn new(paint: Paint, width: Box<dyn Fn() -> usize + Send>) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { lines, bars: Vec::new(), trouble: None, paint, width }
    }

    /// Takes the screen away, so that the recap stands alone.
    pub fn clear(&mut self) {
        // Nothing can be done about a terminal that has gone.
        let _gone = self.lines.clear();
        self.bars.clear();
    }

    fn draw(&mut self, frame: Frame) {
        let mut frame = frame.0;
        frame.truncate(Self::HEIGHT);
        while self.bars.len() < frame.len() {
            let bar = self.lines.add(ProgressBar::new_spinner().with_style(plain_style()));
            bar.enable_steady_tick(Duration::from_secs(3600));
            self.bars.push(bar);
        }
        for (at, bar) in self.bars.iter().enumerate() {
            bar.set_message(frame.get(at).cloned().unwrap_or_default());
        }
    }
}

fn plain_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Drop for Screen {
    /// Whoever leaves at once finds the terminal as it was.
    fn drop(&mut self) {
        self.clear();
    }
}

impl Observer for Screen {
    fn observe(&mut self, event: &Event, _state: &RunState) {
        match &event.kind {
            EventKind::RunFinished { .. }
            | EventKind::ConfirmAsked { .. }
            | EventKind::GateAsked { .. } => self.clear(),
            _ => {}
        }
    }

    fn tick(&mut self, now: Now, gauge: &Gauge, state: &RunState) {
        // Every question that is open has the terminal, or will have it next.
        if gauge.asking > 0 {
            return;
        }
        let width = (self.width)().clamp(40, 200);
        let width = width.saturating_sub(1);
        let mut frame = frame(now, gauge, state, width, self.paint);
        if let Some(trouble) = &self.trouble {
            frame.0.truncate(Self::HEIGHT - 1);
            frame.0.push(self.paint.bad(&fit(trouble, width)));
        }
        self.draw(frame);
    }

    fn journal_failed(&mut self, _now: Now, error: &JournalError, under_way: usize) {
        self.trouble = Some(journal_trouble(error, under_way));
    }
}

#[cfg(test)]
#[path = "screen/tests.rs"]
mod tests;
