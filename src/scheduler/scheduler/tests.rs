mod budgets;
mod once;
mod sharing;

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::*;
use crate::event::{
    ChangeRecord, Event, OracleReport, PlayHeader, RunMode, RunResult, RunStarted, RunState,
    TaskHeader, Undo, WaitReason,
};
use crate::ledger::{Answer, ClaimId};
use crate::model::{
    Adapt, Batch, Block, HostName, LimitName, Limits, NsHealth, Oracle, RunId, TaskId, TimeScale,
    Unmet, WaveNo,
};
use crate::plan::{self, Answers, DraftHost, DraftPlay, DraftTask, Resolution};

pub(in crate::scheduler) fn draft(
    hosts: usize,
    tasks: u16,
    max_fail_percentage: Option<f64>,
) -> Draft {
    let task = |number| DraftTask {
        name: "A task".to_owned(),
        within: Duration::from_secs(600),
        ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, "agent")
    };
    let host = |number| DraftHost::bare(HostName::new(format!("ps-{number}")));
    let play = DraftPlay {
        tasks: (0..tasks).map(task).collect(),
        hosts: (0..hosts).map(host).collect(),
        throttle: 60,
        max_fail_percentage,
        ..DraftPlay::bare("A play")
    };
    let scale = TimeScale::new(20.0).expect("a scale");
    Draft { scale, ..Draft::bare(vec![play]) }
}

pub(in crate::scheduler) fn at(millis: u64) -> Now {
    Now { elapsed: Elapsed::from_millis(millis), wall: jiff::Timestamp::UNIX_EPOCH }
}

pub(in crate::scheduler) fn commands(scheduler: &mut Scheduler, now: Now) -> Vec<Command> {
    std::iter::from_fn(|| scheduler.poll(now)).collect()
}

pub(in crate::scheduler) fn started(commands: &[Command]) -> Vec<StepId> {
    let step = |command: &Command| match command {
        Command::Start { step, .. } => Some(step.clone()),
        _ => None,
    };
    commands.iter().filter_map(step).collect()
}

pub(in crate::scheduler) fn finish(
    scheduler: &mut Scheduler,
    step: &StepId,
    class: Option<FailureClass>,
    now: Now,
) {
    let outcome = class.map_or(Outcome::Changed, FailureClass::outcome);
    scheduler.handle(now, Input::Finished { step: step.clone(), outcome, class });
}

#[test]
fn one_host_starts_first_and_each_good_round_doubles_them() {
    let mut scheduler = Scheduler::new(draft(20, 1, None));
    let mut rounds = Vec::new();
    let mut steps = started(&commands(&mut scheduler, at(0)));

    while !steps.is_empty() {
        rounds.push(steps.len());
        steps.iter().for_each(|step| finish(&mut scheduler, step, None, at(0)));
        let next = commands(&mut scheduler, at(0));
        steps = started(&next);
        if steps.is_empty() {
            assert_eq!(next.last(), Some(&Command::Finish(RunResult::Done)));
        }
    }

    assert_eq!(rounds, [1, 2, 4, 8, 5]);
}

#[test]
fn the_first_rejected_logon_stops_everything_new() {
    let mut scheduler = Scheduler::new(draft(20, 2, Some(100.0)));
    let first = started(&commands(&mut scheduler, at(0)));
    for step in &first {
        finish(&mut scheduler, step, Some(FailureClass::AuthRejected), at(5));
    }

    let commands = commands(&mut scheduler, at(5));

    let host = first[0].host.clone();
    assert!(commands.contains(&Command::Emit(EventKind::BreakerOpened { host })));
    assert_eq!(started(&commands), []);
    assert_eq!(commands.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}

#[test]
fn the_breaker_names_who_rejected_the_logon_and_not_whose_step_told_of_it() {
    let mut scheduler = Scheduler::new(draft(20, 2, Some(100.0)));
    let first = started(&commands(&mut scheduler, at(0)));
    let host = HostName::new("elsewhere");
    scheduler.handle(at(5), Input::LogonRejected { by: host.clone() });
    finish(&mut scheduler, &first[0], Some(FailureClass::AuthRejected), at(5));

    let commands = commands(&mut scheduler, at(5));

    assert!(commands.contains(&Command::Emit(EventKind::BreakerOpened { host })));
}

#[test]
fn a_driver_that_says_nothing_is_told_to_cancel() {
    let mut scheduler = Scheduler::new(draft(1, 1, None));
    let first = commands(&mut scheduler, at(0));
    // Ten minutes of a world that runs twenty times as fast.
    let deadline = Duration::from_secs(30);
    let step = started(&first)[0].clone();
    assert_eq!(first.last(), Some(&Command::Start { step: step.clone(), on: None, deadline }));
    assert_eq!(scheduler.next_wakeup(), Some(Elapsed::from_millis(35_000)));

    assert_eq!(commands(&mut scheduler, at(34_999)), []);
    assert_eq!(commands(&mut scheduler, at(35_000)), [Command::Cancel { step }]);
    assert_eq!(scheduler.next_wakeup(), None, "it is told once");
}

#[test]
fn a_drain_lets_steps_end_and_leaves_their_hosts_for_a_resume() {
    let mut scheduler = Scheduler::new(draft(5, 2, None));
    let first = started(&commands(&mut scheduler, at(0)));
    scheduler.handle(at(1), Input::Operator(StopStage::Drain));

    let stage = StopStage::Drain;
    assert_eq!(commands(&mut scheduler, at(1)), [Command::Emit(EventKind::Stopping { stage })]);
    finish(&mut scheduler, &first[0], None, at(2));

    let result = RunResult::Stopped;
    let end = [Command::Emit(EventKind::RunFinished { result }), Command::Finish(result)];
    assert_eq!(commands(&mut scheduler, at(2)), end);
}

#[test]
fn a_change_that_waits_for_a_limit_is_cancelled_by_a_drain() {
    let mut scheduler = Scheduler::new(draft(1, 1, None));
    let step = started(&commands(&mut scheduler, at(0)))[0].clone();
    // One change uses up what there is.
    scheduler.limiter.book(&Cost::ns_iis(3, 40), &BTreeMap::new(), at(0).elapsed);
    scheduler.handle(at(1), Input::Decided { step: step.clone(), cost: Cost::ns_iis(1, 0) });
    assert_eq!(commands(&mut scheduler, at(1)), []);
    assert!(scheduler.next_wakeup().is_some(), "it waits for its limit only");

    scheduler.handle(at(2), Input::Operator(StopStage::Drain));

    assert!(commands(&mut scheduler, at(2)).contains(&Command::Cancel { step }));
}

#[test]
fn the_gauge_says_why_things_wait() {
    let mut scheduler = Scheduler::new(draft(9, 1, None));
    let step = started(&commands(&mut scheduler, at(0)))[0].clone();
    scheduler.handle(at(1), Input::Decided { step, cost: Cost::ns_iis(1, 6) });
    commands(&mut scheduler, at(1));

    let gauge = scheduler.gauge(at(1));

    assert_eq!(gauge.waiting, [(WaitReason::Throttle, 8)]);
    assert_eq!((gauge.window, gauge.in_flight[0].phase), (1, Phase::Applying));
    assert_eq!((gauge.limits[0].booked, gauge.limits[0].in_flight), (7, 1));
    let available = gauge.limits[0].available.expect("it has a rate");
    assert!((available - -4.0).abs() < 0.01, "{available}");
}

#[test]
fn an_oracle_without_rows_is_no_success() {
    let mut draft = draft(1, 1, None);
    let within = Duration::from_secs(20);
    draft.plays[0].oracle = Some(Oracle { within, unmet: Unmet::Fail });
    let mut scheduler = Scheduler::new(draft);
    let step = started(&commands(&mut scheduler, at(0)))[0].clone();
    finish(&mut scheduler, &step, None, at(0));
    let play = PlayNo(0);
    assert!(commands(&mut scheduler, at(0)).contains(&Command::CheckOracle { play }));

    for millis in [0, 750, 1000] {
        let report = OracleReport::default();
        scheduler.handle(at(millis), Input::Oracle { play, report });
        let next = commands(&mut scheduler, at(millis));
        if millis == 1000 {
            assert_eq!(next.last(), Some(&Command::Finish(RunResult::OracleNotSatisfied)));
        } else {
            let wakeup = scheduler.next_wakeup().expect("it asks again");
            let asked = commands(&mut scheduler, at(wakeup.as_millis()));
            assert_eq!(asked, [Command::CheckOracle { play }]);
        }
    }
}

#[test]
fn an_oracle_that_lets_the_run_go_on_does_not_judge_it() {
    for (unmet, result) in
        [(Unmet::GoOn, RunResult::Done), (Unmet::Fail, RunResult::OracleNotSatisfied)]
    {
        let mut draft = draft(1, 1, None);
        draft.plays[0].oracle = Some(Oracle { within: Duration::ZERO, unmet });
        let mut scheduler = Scheduler::new(draft);
        let step = started(&commands(&mut scheduler, at(0)))[0].clone();
        finish(&mut scheduler, &step, None, at(0));
        commands(&mut scheduler, at(0));

        let report = OracleReport::default();
        scheduler.handle(at(0), Input::Oracle { play: PlayNo(0), report });

        assert_eq!(commands(&mut scheduler, at(0)).last(), Some(&Command::Finish(result)));
    }
}

#[test]
fn ten_thousand_hosts_cost_little() {
    let mut wide = draft(10_000, 1, Some(100.0));
    wide.plays[0].throttle = 500;
    wide.plays[0].limits = Limits(IndexMap::new());
    let mut scheduler = Scheduler::new(wide);
    let (mut turns, mut queue) = (0_u32, VecDeque::new());
    loop {
        for command in commands(&mut scheduler, at(0)) {
            match command {
                Command::Start { step, .. } => queue.push_back(step),
                Command::Finish(result) => {
                    assert_eq!((result, turns), (RunResult::Done, 10_000));
                    return;
                }
                _ => {}
            }
        }
        let step = queue.pop_front().expect("a step is under way");
        finish(&mut scheduler, &step, None, at(0));
        turns += 1;
    }
}

#[test]
fn a_rescued_host_does_not_count_against_the_budget() {
    let mut draft = draft(1, 2, None);
    draft.plays[0].blocks = vec![Block { start: 0, rescue: 1, always: 2, end: 2 }];
    let mut scheduler = Scheduler::new(draft);
    let first = started(&commands(&mut scheduler, at(0)));
    finish(&mut scheduler, &first[0], Some(FailureClass::RemoteFault), at(1));
    let rescue = started(&commands(&mut scheduler, at(1)));
    assert_eq!(rescue[0].task.task, 1);
    finish(&mut scheduler, &rescue[0], None, at(2));

    let end = commands(&mut scheduler, at(2));

    let is_rescued = |command: &Command| matches!(command, Command::Emit(EventKind::HostFinished { outcome, .. }) if *outcome == Outcome::Rescued);
    assert!(end.iter().any(is_rescued), "{end:?}");
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::Done)));
}

#[test]
fn a_host_that_is_lost_is_not_rescued_and_its_always_does_not_run() {
    for class in [FailureClass::Unreachable, FailureClass::InDoubt, FailureClass::Bug] {
        let mut draft = draft(1, 3, None);
        draft.plays[0].blocks = vec![Block { start: 0, rescue: 1, always: 2, end: 3 }];
        draft.plays[0].tasks[0].flow.ignores_errors = true;
        let mut scheduler = Scheduler::new(draft);
        let first = started(&commands(&mut scheduler, at(0)));
        finish(&mut scheduler, &first[0], Some(class), at(1));

        assert_eq!(started(&commands(&mut scheduler, at(1))), [], "{class:?}");
    }
}

#[test]
fn the_next_wave_waits_until_the_one_before_has_soaked() {
    let mut draft = draft(2, 1, None);
    draft.plays[0].serial = vec![Batch::Hosts(1)];
    // Ten minutes of a world that runs twenty times as fast.
    draft.plays[0].safeguards.soak = Some(Duration::from_secs(600));
    let mut scheduler = Scheduler::new(draft);
    let first = started(&commands(&mut scheduler, at(0)));

    finish(&mut scheduler, &first[0], None, at(1_000));
    assert!(started(&commands(&mut scheduler, at(1_000))).is_empty());
    assert_eq!(scheduler.next_wakeup(), Some(at(31_000).elapsed));
    assert_eq!(scheduler.gauge(at(1_000)).waiting, [(WaitReason::Soak, 1)]);

    let second = started(&commands(&mut scheduler, at(31_000)));
    assert_eq!(second.len(), 1);
    finish(&mut scheduler, &second[0], None, at(32_000));
    let last = commands(&mut scheduler, at(32_000));
    assert_eq!(last.last(), Some(&Command::Finish(RunResult::Done)), "nothing soaks at the end");
}

/// A draft whose `ns_iis` follows what the server bears, in real time.
fn adapting(hosts: usize) -> Draft {
    let mut draft = draft(hosts, 1, None);
    draft.scale = TimeScale::REAL;
    let name = LimitName::new(LimitName::NS_IIS);
    draft.plays[0].limits.0.get_mut(&name).expect("a default").adapt = Some(Adapt::default());
    draft
}

/// Answers every look of some seconds alike, and returns what else there was to do.
fn seconds(
    scheduler: &mut Scheduler,
    from: u64,
    count: u64,
    latency: Option<Duration>,
) -> Vec<Command> {
    let mut rest = Vec::new();
    for second in from..from + count {
        for command in commands(scheduler, at(second * 1000)) {
            match command {
                Command::CheckHealth { play } => {
                    let health = NsHealth { latency, ..NsHealth::default() };
                    scheduler.handle(at(second * 1000 + 1), Input::Health { play, health });
                }
                other => rest.push(other),
            }
        }
        rest.extend(commands(scheduler, at(second * 1000 + 2)));
    }
    rest
}

#[test]
fn nothing_is_changed_before_five_looks_found_the_server_at_rest() {
    let mut scheduler = Scheduler::new(adapting(1));
    let quick = Some(Duration::from_millis(40));
    let first = started(&seconds(&mut scheduler, 0, 1, quick));
    scheduler.handle(at(10), Input::Decided { step: first[0].clone(), cost: Cost::ns_iis(1, 0) });

    let apply = Command::Apply { step: first[0].clone() };
    assert!(!seconds(&mut scheduler, 1, 3, quick).contains(&apply));
    assert!(seconds(&mut scheduler, 4, 2, quick).contains(&apply));
}

#[test]
fn a_server_that_does_not_answer_pauses_the_play_until_it_does() {
    let mut scheduler = Scheduler::new(adapting(20));
    let quick = Some(Duration::from_millis(40));
    let first = started(&seconds(&mut scheduler, 0, 8, quick));
    let told = seconds(&mut scheduler, 8, 7, None);
    let is_told = |commands: &[Command], percent: u8| {
        commands.iter().any(|command| {
            matches!(command, Command::Emit(EventKind::LimitAdapted { percent: p, .. }) if *p == percent)
        })
    };
    assert!(is_told(&told, 0), "{told:?}");

    finish(&mut scheduler, &first[0], None, at(15_000));
    assert_eq!(started(&seconds(&mut scheduler, 15, 60, None)), [], "hosts wait");
    let waiting = scheduler.gauge(at(75_500)).waiting;
    assert!(waiting.contains(&(WaitReason::NotificationServer, 19)), "{waiting:?}");

    let after = seconds(&mut scheduler, 76, 3, quick);
    assert_eq!(started(&after).len(), 2);
    assert!(!is_told(&after, 0));
}

#[test]
fn that_a_server_never_answered_is_told_once() {
    let mut scheduler = Scheduler::new(adapting(1));

    let told = seconds(&mut scheduler, 0, 200, None);

    let news: Vec<_> = told
        .iter()
        .filter_map(|command| match command {
            Command::Emit(EventKind::LimitAdapted { percent, why, .. }) => Some((*percent, *why)),
            _ => None,
        })
        .collect();
    assert_eq!(news, [(0, crate::event::AdaptReason::Unreadable)], "nobody else would say why");
}

#[test]
fn in_check_mode_nobody_looks_at_the_server() {
    let mut draft = adapting(2);
    draft.mode = RunMode::Check;
    let mut scheduler = Scheduler::new(draft);

    let commands = commands(&mut scheduler, at(0));
    assert!(!commands.iter().any(|command| matches!(command, Command::CheckHealth { .. })));
}
