//! The recap: what was done, what failed, where, and what to type next.

use std::fmt::Write;

use console::measure_text_width;
use indexmap::{IndexMap, IndexSet};

use super::confirm::answered;
use super::lines::why_adapted;
use super::screen::outcomes;
use super::window::{closed, opens};
use super::{Paint, clean_line, file_name, fold_hosts, group_failures};
use crate::event::{
    Adapted, Answer, Confirmation, GateState, NotReady, PlayState, Question, Reply, RunMode,
    RunResult, RunStarted, RunState, StepState, Tripped,
};
use crate::model::{GateVerdict, HostName, Outcome, PlayNo, StepId, format_span};

/// Writes the recap of a run, from its events alone: the live run and `show` print the same.
pub fn recap(state: &RunState, paint: Paint) -> String {
    let mut text = String::new();
    let Some(header) = &state.header else { return "the run has not started\n".to_owned() };
    headline(&mut text, header, state, paint);
    for (number, play) in &state.plays {
        one_play(&mut text, *number, play, header, state, paint);
    }
    all_failures(&mut text, state, paint);
    closing(&mut text, header, state, paint);
    text
}

/// The recap is read at 80 columns.
const WIDTH: usize = 80;
/// Where the text of a labelled line begins.
const INDENT: usize = 15;

/// Appends a labelled line, folded at blanks with what follows below its text.
fn line(text: &mut String, label: &str, content: &str) {
    let mut begin = format!("  {label:<12} ");
    for row in fold(content, WIDTH - INDENT) {
        text.push_str(format!("{begin}{row}").trim_end());
        text.push('\n');
        begin = " ".repeat(INDENT);
    }
}

/// Cuts a text into rows of at most `width` columns; colour codes take none, and a word that is
/// longer than a row has one of its own.
pub(super) fn fold(content: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for word in content.split(' ') {
        let wide = measure_text_width(word);
        if used > 0 && used + 1 + wide > width {
            rows.push(String::new());
            used = 0;
        }
        if let Some(row) = rows.last_mut() {
            if used > 0 {
                row.push(' ');
                used += 1;
            }
            row.push_str(word);
            // Two blanks in a row keep columns apart.
            used += wide.max(usize::from(word.is_empty()));
        }
    }
    rows
}

fn headline(text: &mut String, header: &RunStarted, state: &RunState, paint: Paint) {
    let what = match header.mode {
        RunMode::Run => "run",
        RunMode::Check => "check",
        RunMode::Undo { .. } => "undo",
    };
    let took = format_span(state.elapsed.as_duration());
    let world = header.scale.to_world(state.elapsed.as_duration());
    let times = if (header.scale.factor() - 1.0).abs() < f64::EPSILON {
        took
    } else {
        format!(
            "{took}, {} of the world's time at speed {}",
            format_span(world),
            header.scale.factor()
        )
    };
    let has_no_work = state.plays.values().any(|play| play.work_failure.is_some());
    let verdict = match state.result {
        Some(_) if has_no_work => paint.bad("STOPPED: THE WORK LIST COULD NOT BE READ"),
        Some(_) if state.breaker.is_some() => {
            paint.bad("STOPPED: A LOGON WAS REJECTED, AND MORE TRIES COULD LOCK THE ACCOUNT")
        }
        None => paint.bad("not finished"),
        Some(RunResult::Done) => paint.good("DONE"),
        Some(result) => paint.bad(&ending(state, result).to_uppercase()),
    };
    let title = paint.strong(&format!("{what} {}  {}", header.run, file_name(&header.playbook)));
    let _infallible = writeln!(text, "{title}  ({times})\n{verdict}\n");
}

/// How a run ended, in words: what stopped it is told where its result has several causes.
pub(super) fn ending(state: &RunState, result: RunResult) -> &'static str {
    let any = |is: fn(&PlayState) -> bool| state.plays.values().any(is);
    match result {
        RunResult::BudgetTripped if any(|play| play.once_failed.is_some()) => {
            "stopped: a task that runs once for all hosts failed"
        }
        RunResult::BudgetTripped if any(|play| play.gate_failed.is_some()) => {
            "stopped: a gate failed"
        }
        result => result.phrase(),
    }
}

fn one_play(
    text: &mut String,
    number: PlayNo,
    play: &PlayState,
    header: &RunStarted,
    state: &RunState,
    paint: Paint,
) {
    let name = header.plays.get(usize::from(number.0)).map_or("", |play| play.name.as_str());
    let _infallible = writeln!(text, "{}", paint.strong(&format!("play {number}  {name}")));
    if let Some(failure) = &play.work_failure {
        line(text, "work", &paint.bad(&clean_line(&failure.to_string(), 300)));
    }
    if let Some(work) = &play.work {
        let pairs: usize = work.by_host.values().map(Vec::len).sum();
        line(
            text,
            "work",
            &format!("{pairs} (server, package) pairs on {}", count(work.by_host.len(), "host")),
        );
        if !work.unmatched.is_empty() {
            let names = work.unmatched.iter().map(|row| {
                row.server
                    .fqdn
                    .clone()
                    .or_else(|| row.server.name.clone())
                    .unwrap_or_else(|| row.server.guid.to_string())
            });
            let names: Vec<String> = names.collect();
            let names = fold_hosts(names.iter().map(String::as_str));
            line(text, "no host for", &clean_line(&names, 300));
        }
        for (row, hosts) in work.ambiguous.iter().take(5) {
            let hosts = fold_hosts(hosts.iter().map(HostName::as_str));
            let server = row.server.name.clone().unwrap_or_else(|| row.server.guid.to_string());
            line(text, "ambiguous", &format!("{} could be {hosts}", clean_line(&server, 80)));
        }
    }
    if !play.started {
        return;
    }
    let mut counts: IndexMap<Outcome, usize> = IndexMap::new();
    for host in play.hosts.values() {
        if let Some(outcome) = host.outcome {
            *counts.entry(outcome).or_default() += 1;
        }
    }
    let ended: usize = counts.values().sum();
    let mut tally = outcomes(counts.into_iter(), paint);
    if ended < play.hosts.len() {
        let _infallible = write!(tally, "  not finished {}", play.hosts.len() - ended);
    }
    line(text, &count(play.hosts.len(), "host"), tally.trim_start());
    if let Some(Tripped { budget, bad, tolerated, .. }) = play.tripped {
        let (counted, key) = (budget.counts(bad), budget.key());
        let told = format!("{counted}, {tolerated} tolerated by {key}");
        line(text, "budget", &paint.bad(&told));
    }
    if let Some(step) = &play.once_failed {
        let what = format!("step {step} was to be done once for all hosts, and failed");
        line(text, "once", &paint.bad(&what));
    }
    for (name, gate) in &play.gates {
        gate_lines(text, name, gate, play, paint);
    }
    for (handler, hosts) in owed(play, header, number) {
        let hosts = fold_hosts(hosts.iter().map(|host| host.as_str()));
        let what = format!("{} was not run on {hosts}", clean_line(&handler, 120));
        line(text, "owed", &paint.bad(&clean_line(&what, 300)));
    }
    for confirmation in play.confirmations.values() {
        confirmed(text, &confirmation.question, confirmation.answer.as_ref(), paint);
    }
    if state.is_check() {
        would_change(text, number, state);
    }
    oracle(text, play, number, state, paint);
}

/// The handlers that hosts owe and did not run, each with those hosts: they were lost or left before.
fn owed<'a>(
    play: &'a PlayState,
    header: &RunStarted,
    number: PlayNo,
) -> IndexMap<String, Vec<&'a HostName>> {
    let mut owed: IndexMap<String, Vec<&HostName>> = IndexMap::new();
    let Some(header) = header.plays.get(usize::from(number.0)) else { return owed };
    let handlers = (0..).zip(&header.tasks).filter(|(_, task)| task.is_handler);
    for (nth, (place, handler)) in handlers.enumerate() {
        let notifies = |task: &u16| {
            header.tasks.get(usize::from(*task)).is_some_and(|task| task.notify.contains(nth))
        };
        for (name, host) in &play.hosts {
            let is_owed = host.steps.iter().any(|(task, step)| step.has_changed && notifies(task));
            let was_run = host.steps.get(&place).is_some_and(|step| step.outcome.is_some());
            if is_owed && !was_run {
                owed.entry(handler.name.clone()).or_default().push(name);
            }
        }
    }
    owed
}

/// What an operator was asked, and what he said when.
fn confirmed(
    text: &mut String,
    question: &Question,
    answer: Option<&(Answer, jiff::Timestamp)>,
    paint: Paint,
) {
    let (name, say) = (&question.name, &question.say);
    line(text, "confirm", &format!("{}: {}", clean_line(name, 80), clean_line(say, 300)));
    let said = match answer {
        Some((answer, at)) => {
            let said = format!("{}, {}", answered(answer), at.strftime("%Y-%m-%d %H:%M:%S UTC"));
            if answer.reply == Reply::Confirmed { paint.good(&said) } else { paint.bad(&said) }
        }
        None => paint.bad("not answered"),
    };
    line(text, "", &said);
}

/// What a gate said last, whether it stopped the play, and what an operator said about it when.
fn gate_lines(text: &mut String, name: &str, gate: &GateState, play: &PlayState, paint: Paint) {
    let has_failed = play.gate_failed.as_ref().is_some_and(|(failed, _)| failed == name);
    if let Some((wave, verdict)) = gate.checked {
        let seen = clean_line(&gate.seen, 300);
        let said = format!("{} {verdict}, wave {wave}: {seen}", clean_line(name, 80));
        let is_well = verdict == GateVerdict::Pass;
        let said = if is_well { paint.good(&said) } else { paint.bad(&said) };
        line(text, "gate", &said);
    }
    if has_failed {
        line(text, "", &paint.bad("it stopped the play; a resume asks it again"));
    }
    for asked in &gate.asked {
        confirmed(text, &asked.question, asked.answer.as_ref(), paint);
    }
}

/// What a run would change, by task.
fn would_change(text: &mut String, play: PlayNo, state: &RunState) {
    let mut by_task: IndexMap<u16, (usize, Vec<&str>)> = IndexMap::new();
    let changing =
        |(id, step): &(StepId, &StepState)| id.task.play == play && !step.changes.is_empty();
    for (id, step) in state.steps().filter(changing) {
        let entry = by_task.entry(id.task.task).or_default();
        entry.0 += 1;
        for (change, _) in &step.changes {
            entry.1.extend(change.lines.iter().map(String::as_str));
        }
    }
    by_task.sort_unstable_keys();
    for (task, (hosts, lines)) in by_task {
        let name = state
            .header
            .as_ref()
            .and_then(|header| header.plays.get(usize::from(play.0)))
            .and_then(|play| play.tasks.get(usize::from(task)))
            .map_or("", |task| task.name.as_str());
        line(
            text,
            "would",
            &format!("{name}: {} on {}", count(lines.len(), "effect"), count(hosts, "host")),
        );
        for example in lines.iter().take(3) {
            line(text, "", &clean_line(example, 160));
        }
        if lines.len() > 3 {
            line(text, "", &format!("… and {} more", lines.len() - 3));
        }
    }
}

fn oracle(text: &mut String, play: &PlayState, number: PlayNo, state: &RunState, paint: Paint) {
    if let Some(failure) = &play.oracle_failure {
        line(text, "oracle", &paint.bad(&clean_line(&failure.to_string(), 300)));
    }
    let Some(report) = &play.oracle else { return };
    let verdict = format!("{} of {} pairs Ready with the current version", report.ready, report.of);
    let verdict =
        if report.not_ready.is_empty() { paint.good(&verdict) } else { paint.bad(&verdict) };
    line(text, "oracle", &verdict);
    let mut by_host: IndexMap<&HostName, Vec<&NotReady>> = IndexMap::new();
    for row in &report.not_ready {
        by_host.entry(&row.host).or_default().push(row);
    }
    for (host, rows) in by_host.iter().take(20) {
        let packages: Vec<String> = rows
            .iter()
            .map(|row| row.package_name.clone().unwrap_or_else(|| row.package.to_string()))
            .collect();
        line(text, "not ready", &format!("{host}: {}", clean_line(&packages.join(", "), 120)));
        line(text, "", &paint.faint(&clean_line(&cause(host, rows, number, state), 300)));
    }
    if by_host.len() > 20 {
        line(text, "", &format!("… and {} more hosts", by_host.len() - 20));
    }
}

/// Why a host's pairs are not ready: its own failed step, else what the CMDB has for the pair.
fn cause(host: &HostName, rows: &[&NotReady], number: PlayNo, state: &RunState) -> String {
    let failed = state
        .plays
        .get(&number)
        .and_then(|play| play.hosts.get(host))
        .and_then(|host| host.steps.values().rev().find_map(|step| step.failure.as_ref()));
    if let Some(failure) = failed {
        return failure.to_string();
    }
    let Some(row) = rows.first() else { return String::new() };
    match (&row.status, &row.reported_version, &row.current_version) {
        (None, _, _) => "the CMDB has no row for it".to_owned(),
        (Some(status), Some(reported), Some(current)) if status == "Ready" => {
            format!("Ready with version {reported}; {current} is current")
        }
        (Some(status), Some(reported), _) => format!("status {status}, version field: {reported}"),
        (Some(status), None, _) => format!("status {status}"),
    }
}

fn all_failures(text: &mut String, state: &RunState, paint: Paint) {
    let groups = group_failures(state);
    if groups.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "{}", paint.strong("failures"));
    for group in groups.iter().take(20) {
        let (word, task) = if group.is_rescued {
            (Outcome::Rescued.word(), paint.change(&group.task))
        } else {
            (group.outcome.word(), paint.bad(&group.task))
        };
        line(text, &format!("{} {word}", group.count), &task);
        line(text, "", &group.message);
        line(text, "", &format!("on {}", group.hosts));
    }
    if groups.len() > 20 {
        let _infallible = writeln!(text, "  … and {} other kinds", groups.len() - 20);
    }
}

fn closing(text: &mut String, header: &RunStarted, state: &RunState, paint: Paint) {
    text.push('\n');
    for (limit, booked) in &state.booked {
        let held = state.adapted.get(limit).filter(|held| held.fell > 0).map(lowered);
        line(text, limit, &format!("{booked} booked{}", held.unwrap_or_default()));
    }
    if let Some(over) = &state.window.closed {
        line(text, "window", &paint.bad(&closed(over)));
    } else if let Some(until) = state.window.held.as_ref().filter(|_| state.result.is_none()) {
        line(text, "window", &format!("opens {}", opens(until)));
    }
    if let Some(host) = &state.breaker {
        let inventory = clean_line(&header.inventory, 200);
        let told = format!(
            "rejected by {host}; which credential that is, and how one logon proves it: fleetmend \
             credential list -i {inventory}"
        );
        line(text, "logon", &paint.bad(&told));
    }
    let in_doubt = state.in_doubt().count();
    if in_doubt > 0 {
        line(text, "in doubt", &paint.bad(&count(in_doubt, "step")));
    }
    let undoable = state
        .steps()
        .flat_map(|(_, step)| &step.changes)
        .filter(|(change, _)| matches!(change.undo, crate::event::Undo::With(_)))
        .count();
    if header.mode == RunMode::Run && state.may_go_on() {
        let confirmations = state.plays.values().flat_map(|play| play.confirmations.values());
        let is_open = |asked: &&Confirmation| {
            asked.answer.as_ref().is_none_or(|(answer, _)| answer.reply != Reply::Confirmed)
        };
        let names = confirmations.filter(is_open).map(|asked| asked.question.name.as_str());
        let gates = state.plays.values().flat_map(|play| play.gates.values());
        let gates = gates.filter_map(GateState::unconfirmed).map(|asked| asked.name.as_str());
        let names: IndexSet<&str> = names.chain(gates).collect();
        let approve: String =
            names.iter().map(|name| format!(" --approve {}", clean_line(name, 80))).collect();
        let wait = if state.window.closed.is_some() { " --wait" } else { "" };
        line(text, "go on", &format!("fleetmend resume {}{wait}{approve}", header.run));
    }
    if header.mode == RunMode::Run && undoable > 0 {
        line(
            text,
            "take back",
            &format!("fleetmend undo {}    ({})", header.run, count(undoable, "change")),
        );
    }
    if let Some(result) = state.result {
        line(text, "exit code", &result.exit_code().to_string());
    }
}

/// How far and why a limit was lowered that follows what its server bears.
fn lowered(held: &Adapted) -> String {
    let (lowest, why) = held.lowest;
    let times = count(usize::try_from(held.fell).unwrap_or(usize::MAX), "time");
    format!("; lowered {times}, down to {lowest} %: {}", why_adapted(why))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AdaptReason, HostState, PlayHeader, TaskHeader};
    use crate::model::{RunId, WaveNo};

    #[test]
    fn a_long_line_is_folded_at_blanks_and_a_long_word_is_not_cut() {
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
        assert_eq!(
            fold("C:\\a\\very\\long\\path is here", 8),
            ["C:\\a\\very\\long\\path", "is here"]
        );
        assert_eq!(fold("a  b", 9), ["a  b"]);
        assert_eq!(fold("", 9), [""]);
    }

    #[test]
    fn a_limit_that_was_lowered_tells_how_often_how_far_and_why() {
        let lowest = (8, AdaptReason::Slow);
        let held = Adapted { lowest, latest: 97, fell: 2 };
        assert_eq!(
            lowered(&held),
            "; lowered 2 times, down to 8 %: the Notification Server answers slowly"
        );
    }

    #[test]
    fn a_host_that_was_lost_owes_the_handlers_of_what_it_changed() {
        let notify = |numbers: &[usize]| numbers.iter().copied().collect();
        let tasks = vec![
            TaskHeader { notify: notify(&[1]), ..TaskHeader::new("Change", "agent") },
            TaskHeader { notify: notify(&[0]), ..TaskHeader::new("Look", "agent") },
            TaskHeader { is_handler: true, ..TaskHeader::new("First", "service") },
            TaskHeader { is_handler: true, ..TaskHeader::new("Second", "service") },
        ];
        let header = RunStarted {
            plays: vec![PlayHeader { name: String::new(), tasks }],
            ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(1)))
        };
        let step = |outcome| StepState {
            has_changed: outcome == Outcome::Changed,
            outcome: Some(outcome),
            ..StepState::default()
        };
        let mut play = PlayState::default();
        let hosts = [
            ("lost", vec![(0, Outcome::Changed), (1, Outcome::Unreachable)]),
            ("handled", vec![(0, Outcome::Changed), (1, Outcome::Unchanged), (3, Outcome::Failed)]),
            ("unchanged", vec![(0, Outcome::Unchanged), (1, Outcome::Unreachable)]),
        ];
        for (name, ends) in hosts {
            let steps = ends.into_iter().map(|(task, outcome)| (task, step(outcome))).collect();
            let host = HostState { wave: WaveNo(0), steps, outcome: None, class: None };
            play.hosts.insert(HostName::new(name), host);
        }

        let owed = owed(&play, &header, PlayNo(0));

        let owed: Vec<_> =
            owed.iter().map(|(handler, hosts)| (handler.as_str(), &hosts[..])).collect();
        assert_eq!(owed, [("Second", &[&HostName::new("lost")][..])]);
    }
}
