use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::*;
use crate::event::{OracleReport, RunMode, WaitReason};
use crate::model::{Block, HostName, Limits, Order, TaskId, TimeScale};
use crate::plan::{DraftFlow, DraftHost, DraftPlay, DraftTask};

fn draft(hosts: usize, tasks: u16, max_fail_percentage: Option<f64>) -> Draft {
    let task = |number| DraftTask {
        id: TaskId { play: PlayNo(0), task: number },
        name: "A task".to_owned(),
        action: "agent".to_owned(),
        within: Duration::from_secs(600),
        replay_is_safe: true,
        flow: DraftFlow::default(),
    };
    let host = |number| DraftHost {
        name: HostName::new(format!("ps-{number}")),
        values: BTreeMap::new(),
        delegates: BTreeMap::new(),
    };
    let play = DraftPlay {
        name: "A play".to_owned(),
        tasks: (0..tasks).map(task).collect(),
        blocks: Vec::new(),
        delegate_values: BTreeMap::new(),
        hosts: (0..hosts).map(host).collect(),
        work: None,
        order: Order::Inventory,
        serial: Vec::new(),
        throttle: 60,
        max_fail_percentage,
        limits: Limits::default(),
        oracle: None,
    };
    Draft {
        mode: RunMode::Run,
        seed: 1,
        scale: TimeScale::new(20.0).expect("a scale"),
        playbook_sha256: String::new(),
        inventory_sha256: String::new(),
        plays: vec![play],
    }
}

fn at(millis: u64) -> Now {
    Now { elapsed: Elapsed::from_millis(millis), wall: jiff::Timestamp::UNIX_EPOCH }
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

/// Three hosts side by side, whose first task runs once.
fn once() -> (Scheduler, Vec<StepId>) {
    let mut draft = draft(3, 2, Some(100.0));
    draft.plays[0].tasks[0].flow.is_once = true;
    let mut scheduler = Scheduler::new(draft);
    let first = started(&commands(&mut scheduler, at(0)));
    assert_eq!(first.len(), 1);
    (scheduler, first)
}

#[test]
fn the_next_host_takes_over_what_runs_once_when_the_first_is_untouched() {
    for class in [FailureClass::Unreachable, FailureClass::Refused] {
        let (mut scheduler, first) = once();
        finish(&mut scheduler, &first[0], Some(class), at(1));

        let next = started(&commands(&mut scheduler, at(1)));

        assert_eq!(next.len(), 1, "{next:?}");
        assert_eq!(next[0].task.task, 0);
        assert_ne!(next[0].host, first[0].host);
        finish(&mut scheduler, &next[0], None, at(2));
        let after: Vec<u16> =
            started(&commands(&mut scheduler, at(2))).iter().map(|step| step.task.task).collect();
        assert!(!after.is_empty() && after.iter().all(|task| *task == 1), "{after:?}");
    }
}

#[test]
fn nobody_takes_over_what_runs_once_when_a_change_had_begun() {
    let (mut scheduler, first) = once();
    let step = first[0].clone();
    scheduler.handle(at(1), Input::Decided { step: step.clone(), cost: Cost::none() });
    assert_eq!(commands(&mut scheduler, at(1)), [Command::Apply { step: step.clone() }]);
    finish(&mut scheduler, &step, Some(FailureClass::RemoteFault), at(2));

    let next = commands(&mut scheduler, at(2));

    assert_eq!(started(&next), []);
    assert!(next.contains(&Command::Emit(EventKind::OnceFailed { step })), "{next:?}");
    assert_eq!(next.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}

#[test]
fn a_host_that_skips_what_runs_once_leaves_it_to_the_next() {
    let (mut scheduler, first) = once();
    let step = first[0].clone();
    scheduler.handle(at(1), Input::Finished { step, outcome: Outcome::Skipped, class: None });

    // The first host goes on; the next one is asked when it comes there.
    let next = started(&commands(&mut scheduler, at(1)));
    assert_eq!((next[0].task.task, &next[0].host), (1, &first[0].host));
    finish(&mut scheduler, &next[0], None, at(2));
    let next = started(&commands(&mut scheduler, at(2)));
    assert_eq!(next.iter().map(|step| step.task.task).collect::<Vec<_>>(), [0], "{next:?}");
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
