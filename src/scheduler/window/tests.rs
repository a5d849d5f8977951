use std::collections::BTreeMap;

use super::*;
use crate::event::{HostState, Reply, RunResult, RunState, StepState, WaveState};
use crate::model::{
    Block, Cost, Gate, GateAsk, GateQuery, GateVerdict, HostName, Hours, Safeguards, StepId,
    TaskId, WaveNo, WindowZone, Zone,
};
use crate::plan::{Draft, DraftHost, DraftPlay, DraftTask, Resumption};
use crate::scheduler::{Command, GateReading, Input};

/// A play of some tasks on hosts, each at a site; two at once.
fn draft(window: &str, sites: &[&str], tasks: u16) -> Draft {
    let task = |number| DraftTask {
        within: Duration::from_secs(60),
        ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, "agent")
    };
    let host = |(number, site): (usize, &&str)| DraftHost {
        values: BTreeMap::from([(WindowZone::VARIABLE.to_owned(), (*site).to_owned())]),
        ..DraftHost::bare(HostName::new(format!("ps-{number}")))
    };
    let zone = |site: &&str| ((*site).to_owned(), Zone::find(site).expect("a zone"));
    let hours = Hours {
        windows: vec![window.parse().expect(window)],
        zones: sites.iter().map(zone).collect(),
    };
    let play = DraftPlay {
        tasks: (0..tasks).map(task).collect(),
        hosts: sites.iter().enumerate().map(host).collect(),
        throttle: 60,
        max_fail_percentage: Some(100.0),
        safeguards: Safeguards { hours, ..Safeguards::default() },
        ..DraftPlay::bare("A play")
    };
    Draft::bare(vec![play])
}

/// The first of December, so many seconds after the run began; the wall clock is `off` seconds
/// ahead of where it should be.
fn at_off(start: &str, seconds: u64, off: i64) -> Now {
    let start: Timestamp = format!("2026-12-01T{start}Z").parse().expect(start);
    Now {
        elapsed: Elapsed::from_millis(seconds * 1000),
        wall: start + Duration::from_secs(seconds) + SignedDuration::from_secs(off),
    }
}

fn at(start: &str, seconds: u64) -> Now {
    at_off(start, seconds, 0)
}

fn commands(scheduler: &mut Scheduler, now: Now) -> Vec<Command> {
    std::iter::from_fn(|| scheduler.poll(now)).collect()
}

fn started(commands: &[Command]) -> Vec<StepId> {
    let step = |command: &Command| match command {
        Command::Start { step, .. } => Some(step.clone()),
        _ => None,
    };
    commands.iter().filter_map(step).collect()
}

fn finish(scheduler: &mut Scheduler, step: &StepId, class: Option<FailureClass>, now: Now) {
    let outcome = class.map_or(Outcome::Changed, FailureClass::outcome);
    scheduler.handle(now, Input::Finished { step: step.clone(), outcome, class });
}

fn closed(commands: &[Command]) -> Option<&WindowClosed> {
    commands.iter().find_map(|command| match command {
        Command::Emit(EventKind::WindowClosed(closed)) => Some(closed),
        _ => None,
    })
}

#[test]
fn the_evening_of_another_site_is_waited_for_and_the_next_evening_is_not() {
    let window = "22:00-23:00 site expect=60s";
    let mut scheduler = Scheduler::new(draft(window, &["Europe/Oslo", "America/New_York"], 1));
    // 22:30 in Oslo, 16:30 in New York.
    let first = commands(&mut scheduler, at("21:30:00", 0));
    assert_eq!(started(&first).len(), 1, "Oslo only");
    assert!(scheduler.gauge(at("21:30:00", 0)).waiting.contains(&(WaitReason::Window, 1)));
    finish(&mut scheduler, &started(&first)[0], None, at("21:30:00", 20));

    let waits = commands(&mut scheduler, at("21:30:00", 20));
    let says = waits.iter().find_map(|command| match command {
        Command::Emit(EventKind::WindowAwaited { opens, .. }) => Some(opens.says.clone()),
        _ => None,
    });
    assert_eq!(says.as_deref(), Some("Tue 2026-12-01 22:00 America/New_York"));

    let evening = at("21:30:00", 5 * 3600 + 1800);
    let second = started(&commands(&mut scheduler, evening));
    assert_eq!(second.len(), 1, "New York");
    finish(&mut scheduler, &second[0], None, at("21:30:00", 5 * 3600 + 1900));
    let last = commands(&mut scheduler, at("21:30:00", 5 * 3600 + 1900));
    assert_eq!(last.last(), Some(&Command::Finish(RunResult::Done)));

    // Half an hour after the evening of New York, Oslo has another day.
    let mut late = Scheduler::new(draft(window, &["America/New_York", "Europe/Oslo"], 1));
    let first = started(&commands(&mut late, at("03:30:00", 0)));
    finish(&mut late, &first[0], None, at("03:30:00", 10));
    let end = commands(&mut late, at("03:30:00", 10));
    let closed = closed(&end).expect("it closes");
    let opens = closed.opens.as_ref().map(|opens| opens.says.as_str());
    assert_eq!((closed.left, opens), (1, Some("Tue 2026-12-01 22:00 Europe/Oslo")));
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::WindowClosed)));
}

#[test]
fn a_task_for_all_that_a_closed_window_leaves_is_done_by_a_host_whose_window_is_open() {
    let window = "22:00-23:00 site expect=1s margin=1s";
    let mut draft = draft(window, &["Europe/Oslo", "UTC"], 2);
    draft.plays[0].tasks[1].flow.is_once = true;
    let mut scheduler = Scheduler::new(draft);
    // A quarter of a minute before the close in Oslo.
    let start = "21:59:45";
    let oslo = started(&commands(&mut scheduler, at(start, 0)));
    finish(&mut scheduler, &oslo[0], None, at(start, 1));
    let once = started(&commands(&mut scheduler, at(start, 1)));
    assert_eq!(once[0].task.task, 1);

    let end = commands(&mut scheduler, at(start, 15));
    assert!(end.contains(&Command::Cancel { step: once[0].clone() }), "{end:?}");
    finish(&mut scheduler, &once[0], Some(FailureClass::Cancelled), at(start, 16));
    let utc = started(&commands(&mut scheduler, at(start, 16)));
    assert_eq!(utc[0].host, HostName::new("ps-1"));
    finish(&mut scheduler, &utc[0], None, at(start, 17));
    let again = started(&commands(&mut scheduler, at(start, 17)));
    assert_eq!(again.first().map(|step| step.task.task), Some(1), "done by the other host");
    finish(&mut scheduler, &again[0], None, at(start, 18));
    let last = commands(&mut scheduler, at(start, 18));
    assert_eq!(closed(&last).map(|closed| closed.left), Some(1));
}

#[test]
fn a_task_for_all_that_a_closed_window_ends_half_way_is_nobody_elses_and_nobody_waits_for_it() {
    let window = "22:00-23:00 site expect=1s margin=1s at_close=terminate";
    let mut draft = draft(window, &["Europe/Oslo", "UTC", "UTC"], 2);
    let once = &mut draft.plays[0].tasks[0];
    (once.flow.is_once, once.flow.is_loop, once.replay_is_safe) = (true, true, false);
    let mut scheduler = Scheduler::new(draft);
    // A quarter of a minute before the close in Oslo; in UTC the window opens in three quarters of an
    // hour, and is waited for.
    let start = "21:59:45";
    let oslo = started(&commands(&mut scheduler, at(start, 0))).remove(0);
    let cost = Cost::none();
    scheduler.handle(at(start, 1), Input::Decided { step: oslo.clone(), cost });
    commands(&mut scheduler, at(start, 1));
    let pause = Duration::from_secs(600);
    scheduler.handle(at(start, 2), Input::WentOn { step: oslo.clone(), pause, has_changed: true });
    commands(&mut scheduler, at(start, 2));

    let close = commands(&mut scheduler, at(start, 15));
    assert!(close.contains(&Command::Cancel { step: oslo.clone() }), "{close:?}");
    finish(&mut scheduler, &oslo, Some(FailureClass::Cancelled), at(start, 16));
    let end = commands(&mut scheduler, at(start, 16));

    assert_eq!(started(&end), [], "a file was changed already: the loop is not begun elsewhere");
    let told = closed(&end).expect("it closes");
    assert_eq!(told.left, 3);
    assert_eq!(told.why, WindowEnd::InTheMiddle { step: oslo }, "and not that it is closed in UTC");
    let opens = told.opens.as_ref().map(|opens| opens.says.as_str());
    assert_eq!(opens, Some("Wed 2026-12-02 22:00 Europe/Oslo"), "the host's own");
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::WindowClosed)));
}

#[test]
fn a_clock_that_jumps_holds_the_run_until_it_is_right_again() {
    let window = "22:00-23:00 UTC expect=10s";
    let mut scheduler = Scheduler::new(draft(window, &["UTC"; 4], 1));
    let start = "22:10:00";
    let first = started(&commands(&mut scheduler, at(start, 0)));

    // Half a minute is what clocks that are set right may move.
    finish(&mut scheduler, &first[0], None, at_off(start, 5, 30));
    let second = started(&commands(&mut scheduler, at_off(start, 5, 30)));
    assert_eq!(second.len(), 2);

    for step in &second {
        finish(&mut scheduler, step, None, at_off(start, 9, -600));
    }
    let jumped = commands(&mut scheduler, at_off(start, 9, -600));
    let expected = at_off(start, 9, 30).wall;
    let found = at_off(start, 9, -600).wall;
    assert!(jumped.contains(&Command::Emit(EventKind::ClockJumped { expected, found })));
    assert_eq!(started(&jumped), []);
    assert_eq!(scheduler.gauge(at_off(start, 9, -600)).waiting, [(WaitReason::Clock, 1)]);

    let right = commands(&mut scheduler, at_off(start, 60, 25));
    assert!(right.contains(&Command::Emit(EventKind::ClockReturned)));
    assert_eq!(started(&right).len(), 1);
}

#[test]
fn a_clock_that_stays_wrong_ends_the_run() {
    let mut scheduler = Scheduler::new(draft("22:00-23:00 UTC expect=10s", &["UTC"; 3], 1));
    let start = "22:10:00";
    let first = started(&commands(&mut scheduler, at(start, 0)));
    // The controller slept for ten minutes.
    finish(&mut scheduler, &first[0], None, at_off(start, 5, 600));
    assert_eq!(started(&commands(&mut scheduler, at_off(start, 5, 600))), []);
    assert_eq!(started(&commands(&mut scheduler, at_off(start, 304, 600))), []);

    let end = commands(&mut scheduler, at_off(start, 305, 600));

    let told = closed(&end).expect("it ends");
    assert_eq!((&told.why, told.left), (&WindowEnd::Clock, 2));
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::WindowClosed)));
}

#[test]
fn a_change_under_way_has_its_grace_and_is_cancelled_then() {
    let window = "22:00-23:00 UTC expect=1s margin=1s at_close=terminate grace=20s";
    let mut scheduler = Scheduler::new(draft(window, &["UTC"; 3], 2));
    let start = "22:59:50";
    let first = started(&commands(&mut scheduler, at(start, 0)));
    let cost = Cost::none();
    scheduler.handle(at(start, 1), Input::Decided { step: first[0].clone(), cost });
    let apply = commands(&mut scheduler, at(start, 1));
    assert!(apply.contains(&Command::Apply { step: first[0].clone() }));

    assert_eq!(commands(&mut scheduler, at(start, 10)), [], "it has its grace");
    assert_eq!(commands(&mut scheduler, at(start, 29)), []);
    assert_eq!(scheduler.next_wakeup(), Some(Elapsed::from_millis(30_000)));
    let end = commands(&mut scheduler, at(start, 30));
    assert_eq!(end, [Command::Cancel { step: first[0].clone() }]);
    finish(&mut scheduler, &first[0], Some(FailureClass::InDoubt), at(start, 31));
    let last = commands(&mut scheduler, at(start, 31));
    assert_eq!(closed(&last).map(|closed| closed.left), Some(2), "one is in doubt, and counted");
}

#[test]
fn a_host_that_only_waited_for_another_one_is_not_begun_after_the_close() {
    let window = "22:00-23:00 UTC expect=1s margin=1s at_close=finish";
    let mut draft = draft(window, &["UTC"; 3], 1);
    // All act on the first host, one after the other.
    for host in &mut draft.plays[0].hosts[1..] {
        host.delegates.insert(0, HostName::new("ps-0"));
    }
    let mut scheduler = Scheduler::new(draft);
    let start = "22:59:50";
    let first = started(&commands(&mut scheduler, at(start, 0)));
    finish(&mut scheduler, &first[0], None, at(start, 1));
    let second = started(&commands(&mut scheduler, at(start, 1)));
    assert_eq!(second.len(), 1, "the third host waits");

    commands(&mut scheduler, at(start, 10));
    finish(&mut scheduler, &second[0], None, at(start, 12));
    let last = commands(&mut scheduler, at(start, 12));

    assert_eq!(started(&last), [], "nothing begins after the close");
    assert_eq!(closed(&last).map(|closed| closed.left), Some(1));
}

#[test]
fn a_clock_that_jumps_past_the_close_closes_the_window_for_hosts_in_flight() {
    let window = "22:00-02:00 UTC expect=10s at_close=terminate";
    let mut scheduler = Scheduler::new(draft(window, &["UTC"; 4], 6));
    let start = "22:10:00";
    let first = started(&commands(&mut scheduler, at(start, 0)));

    // The controller slept for four hours.
    let four_hours = 4 * 3600;
    finish(&mut scheduler, &first[0], None, at_off(start, 5, four_hours));

    let woken = commands(&mut scheduler, at_off(start, 5, four_hours));
    assert_eq!(started(&woken), [], "its other tasks are for the next window");
    let end = commands(&mut scheduler, at_off(start, 305, four_hours));
    assert_eq!(
        closed(&end).map(|closed| (closed.why.clone(), closed.left)),
        Some((WindowEnd::Clock, 4))
    );
}

#[test]
fn while_the_clock_is_off_a_window_is_open_for_hosts_in_flight_only_when_both_clocks_say_so() {
    let window = "22:00-23:00 UTC expect=1s margin=1s at_close=terminate";
    let begin = |start: &str| {
        let mut scheduler = Scheduler::new(draft(window, &["UTC"; 3], 2));
        let first = started(&commands(&mut scheduler, at(start, 0))).remove(0);
        (scheduler, first)
    };
    // Somebody sets the clock back by ten minutes, in the middle of the window: that it closes is
    // known by the time that passed.
    let start = "22:59:00";
    let (mut scheduler, step) = begin(start);
    assert!(
        !commands(&mut scheduler, at_off(start, 10, -600))
            .contains(&Command::Cancel { step: step.clone() })
    );
    let end = commands(&mut scheduler, at_off(start, 60, -600));
    assert!(end.contains(&Command::Cancel { step }), "{end:?}");

    // Before the opening is closed as well.
    let start = "22:05:00";
    let (mut scheduler, step) = begin(start);
    let end = commands(&mut scheduler, at_off(start, 10, -600));
    assert!(end.contains(&Command::Cancel { step }), "{end:?}");

    // What the jump closed is open again when the clock is right again.
    let (mut scheduler, step) = begin(start);
    let cost = Cost::none();
    scheduler.handle(at(start, 1), Input::Decided { step: step.clone(), cost });
    commands(&mut scheduler, at(start, 1));
    commands(&mut scheduler, at_off(start, 11, -600));
    commands(&mut scheduler, at_off(start, 20, 0));
    finish(&mut scheduler, &step, None, at_off(start, 200, 0));
    let next = started(&commands(&mut scheduler, at_off(start, 200, 0)));
    assert_eq!(next.first().map(|step| step.task.task), Some(1), "it goes on");
}

#[test]
fn a_change_under_way_has_its_grace_from_when_a_jump_closed_the_window() {
    let window = "22:00-02:00 UTC expect=1s at_close=terminate grace=20s";
    let mut scheduler = Scheduler::new(draft(window, &["UTC"; 3], 2));
    let start = "22:10:00";
    let first = started(&commands(&mut scheduler, at(start, 0)));
    let cost = Cost::none();
    scheduler.handle(at(start, 1), Input::Decided { step: first[0].clone(), cost });
    commands(&mut scheduler, at(start, 1));
    let cancel = Command::Cancel { step: first[0].clone() };

    let four_hours = 4 * 3600;
    for (seconds, is_cancelled) in [(11, false), (30, false), (31, true)] {
        let said = commands(&mut scheduler, at_off(start, seconds, four_hours));
        assert_eq!(said.contains(&cancel), is_cancelled, "{seconds}: {said:?}");
    }
}

/// A play with a gate that is asked while hosts are under way.
fn watched(window: &str, hosts: usize) -> Draft {
    let query = GateQuery {
        query: "event_queue".to_owned(),
        parameters: serde_json::Map::new(),
        pass: "row.Entries < 2000".to_owned(),
        fail: None,
    };
    let mut gate = Gate::new("queue_low", GateAsk::Query(query));
    gate.watch = true;
    let mut draft = draft(window, &vec!["UTC"; hosts], 2);
    // Both tasks belong together.
    draft.plays[0].blocks = vec![Block { start: 0, rescue: 2, always: 2, end: 2 }];
    draft.plays[0].safeguards.gates = vec![gate];
    draft
}

fn say(scheduler: &mut Scheduler, verdict: GateVerdict, now: Now) -> Vec<Command> {
    let reading = GateReading::Said { verdict, seen: "Entries 4120".to_owned() };
    scheduler.handle(now, Input::GateSaid { play: PlayNo(0), gate: 0, reading });
    commands(scheduler, now)
}

/// Begins a watched play, whose gate pauses it half a minute later. Returns the step that is
/// under way then.
fn paused(draft: Draft, start: &str) -> (Scheduler, StepId) {
    let mut scheduler = Scheduler::new(draft);
    commands(&mut scheduler, at(start, 0));
    let first = started(&say(&mut scheduler, GateVerdict::Pass, at(start, 0))).remove(0);
    let asked = commands(&mut scheduler, at(start, 30));
    assert!(asked.iter().any(|command| matches!(command, Command::CheckGate { .. })), "{asked:?}");
    let pause = say(&mut scheduler, GateVerdict::Inconclusive, at(start, 30));
    assert!(pause.iter().any(|it| matches!(it, Command::Emit(EventKind::GateAsked { .. }))));
    (scheduler, first)
}

#[test]
fn who_waits_for_a_gate_at_the_close_is_left_in_every_block() {
    for at_close in ["finish", "stop_after_block"] {
        let window = format!("22:00-23:00 UTC expect=1s margin=1s at_close={at_close}");
        let start = "22:59:00";
        let (mut scheduler, step) = paused(watched(&window, 2), start);
        finish(&mut scheduler, &step, None, at(start, 40));
        assert_eq!(commands(&mut scheduler, at(start, 40)), [], "it waits for the gate");

        let end = commands(&mut scheduler, at(start, 60));

        assert_eq!(closed(&end).map(|closed| closed.left), Some(2), "{at_close}");
        assert_eq!(end.last(), Some(&Command::Finish(RunResult::WindowClosed)));
    }
}

#[test]
fn a_change_that_may_not_begin_while_a_gate_pauses_is_left_at_the_close() {
    for at_close in ["finish", "stop_after_block"] {
        let window = format!("22:00-23:00 UTC expect=1s margin=1s at_close={at_close}");
        let start = "22:59:00";
        let (mut scheduler, first) = paused(watched(&window, 1), start);
        let cost = Cost::none();
        scheduler.handle(at(start, 40), Input::Decided { step: first.clone(), cost });
        assert_eq!(commands(&mut scheduler, at(start, 40)), [], "nothing is drawn");

        let end = commands(&mut scheduler, at(start, 60));
        assert_eq!(end, [Command::Cancel { step: first.clone() }], "{at_close}");
        finish(&mut scheduler, &first, Some(FailureClass::Cancelled), at(start, 61));
        let last = commands(&mut scheduler, at(start, 61));
        assert_eq!(closed(&last).map(|closed| closed.left), Some(1), "{at_close}");
    }
}

#[test]
fn the_time_that_a_person_takes_at_a_gate_says_nothing_about_hosts() {
    // One host is between two steps when the play is paused, the other one waits to change it.
    for is_waiting in [false, true] {
        let window = "22:00-23:00 UTC expect=1min margin=1s";
        let start = "22:00:00";
        let (mut scheduler, step) = paused(watched(window, 2), start);
        let cost = Cost::none();
        if is_waiting {
            scheduler.handle(at(start, 40), Input::Decided { step: step.clone(), cost });
        } else {
            finish(&mut scheduler, &step, None, at(start, 40));
        }
        commands(&mut scheduler, at(start, 40));
        // The operator answers after three quarters of an hour.
        let reply = Reply::Confirmed;
        scheduler.handle(at(start, 2700), Input::GateAnswered { play: PlayNo(0), gate: 0, reply });
        let mut steps = started(&commands(&mut scheduler, at(start, 2700)));
        if is_waiting {
            finish(&mut scheduler, &step, None, at(start, 2710));
            steps = started(&commands(&mut scheduler, at(start, 2710)));
        }
        assert_eq!(steps.len(), 1, "its second task");
        finish(&mut scheduler, &steps[0], None, at(start, 2720));
        let mut next = commands(&mut scheduler, at(start, 2720));
        next.extend(say(&mut scheduler, GateVerdict::Pass, at(start, 2720)));

        let next = started(&next);
        assert_eq!(next.len(), 1, "a quarter of an hour is left for the other host");
    }
}

#[test]
fn one_quick_host_does_not_say_how_long_others_take() {
    for outcome in [Outcome::Changed, Outcome::Unchanged, Outcome::Skipped] {
        let window = "22:00-23:00 UTC expect=10min margin=1s";
        let start = "22:49:55";
        let mut scheduler = Scheduler::new(draft(window, &["UTC"; 3], 1));
        let step = started(&commands(&mut scheduler, at(start, 0))).remove(0);
        scheduler.handle(at(start, 10), Input::Finished { step, outcome, class: None });

        let end = commands(&mut scheduler, at(start, 10));

        assert_eq!(started(&end), [], "{outcome:?}");
        let needs = Duration::from_secs(601);
        assert_eq!(closed(&end).map(|it| it.why.clone()), Some(WindowEnd::TooLate { needs }));
    }
}

#[test]
fn how_long_a_host_that_failed_took_is_not_how_long_one_takes() {
    let window = "22:00-23:00 UTC expect=1min margin=1s";
    let start = "22:10:00";
    let mut scheduler = Scheduler::new(draft(window, &["UTC"; 2], 1));
    let first = started(&commands(&mut scheduler, at(start, 0)));
    finish(&mut scheduler, &first[0], Some(FailureClass::TimedOut), at(start, 2400));

    let next = started(&commands(&mut scheduler, at(start, 2400)));

    assert_eq!(next.len(), 1, "ten minutes are left, and one is needed");
}

#[test]
fn after_a_resume_only_the_time_of_the_steps_themselves_says_how_long_a_host_takes() {
    let seconds = |seconds: u64| Elapsed::from_millis(seconds * 1000);
    let step = |started: u64, finished: u64| StepState {
        started: seconds(started),
        finished: Some(seconds(finished)),
        outcome: Some(Outcome::Changed),
        ..StepState::default()
    };
    // A person was asked between the steps.
    let asked = [step(0, 10), step(2710, 2720)];
    // An earlier resume went on with a step: what the process before it did is not in its time, and
    // what it waited for is not known.
    let cut = StepState { decided_at: vec![seconds(5)], ..step(700, 2700) };
    for steps in [asked, [cut, step(2700, 2710)]] {
        let draft = draft("22:00-23:00 UTC expect=1min margin=1s", &["UTC"; 2], 2);
        let mut state = RunState::default();
        let play = state.plays.entry(PlayNo(0)).or_default();
        play.started = true;
        play.waves = vec![WaveState {
            hosts: 2,
            started: true,
            finished: false,
            finished_at: None,
            ended: indexmap::IndexMap::new(),
            forgiven: 0,
        }];
        let host = |steps, outcome| HostState { wave: WaveNo(0), steps, outcome, class: None };
        let done = host((0..).zip(steps).collect(), Some(Outcome::Changed));
        play.hosts.insert(HostName::new("ps-0"), done);
        play.hosts.insert(HostName::new("ps-1"), host(indexmap::IndexMap::new(), None));
        let resumption =
            Resumption { state, again: Vec::new(), in_doubt: Vec::new(), hosts_left: 1 };
        let mut scheduler = Scheduler::resume(draft, resumption);

        let next = started(&commands(&mut scheduler, at("22:00:00", 2800)));

        assert_eq!(next.len(), 1, "a quarter of an hour is left for the other host");
    }
}

#[test]
fn a_question_that_nobody_answered_before_the_close_is_taken_back_and_asked_in_the_next_window() {
    let window = "22:00-23:00 UTC expect=1s margin=1s at_close=finish";
    let mut draft = draft(window, &["UTC"; 3], 3);
    let confirm = &mut draft.plays[0].tasks[1].flow;
    (confirm.is_once, confirm.is_idle) = (true, true);
    let mut scheduler = Scheduler::new(draft);
    let start = "22:59:00";
    let mut steps = started(&commands(&mut scheduler, at(start, 0)));
    let mut asks = Vec::new();
    while let Some(step) = steps.pop() {
        if step.task.task == 1 {
            asks.push(step);
            continue;
        }
        finish(&mut scheduler, &step, None, at(start, 1));
        steps.extend(started(&commands(&mut scheduler, at(start, 1))));
    }
    assert_eq!(asks.len(), 1, "one asks for all");

    let close = commands(&mut scheduler, at(start, 60));
    assert!(close.contains(&Command::Cancel { step: asks[0].clone() }), "{close:?}");
    finish(&mut scheduler, &asks[0], Some(FailureClass::Cancelled), at(start, 61));
    let end = commands(&mut scheduler, at(start, 61));

    assert_eq!(started(&end), [], "nobody else asks");
    assert_eq!(closed(&end).map(|closed| closed.left), Some(3));
}
