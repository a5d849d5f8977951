//! Budgets of a play, `strict`, and what a resume forgives.

use super::*;
use crate::model::{BudgetKind, MaxFail, Tolerance};

/// The commands of a run in which each host that starts ends with the next of these classes.
fn ends(scheduler: &mut Scheduler, classes: &[Option<FailureClass>]) -> Vec<Command> {
    let mut all = Vec::new();
    let mut waiting = VecDeque::new();
    let mut classes = classes.iter();
    for millis in 0.. {
        let now = at(millis);
        let next = commands(scheduler, now);
        waiting.extend(started(&next));
        all.extend(next);
        let (Some(step), Some(class)) = (waiting.pop_front(), classes.next()) else { break };
        finish(scheduler, &step, *class, now);
    }
    all
}

fn trips(commands: &[Command]) -> Vec<(BudgetKind, u32, u32)> {
    let trip = |command: &Command| match command {
        Command::Emit(EventKind::BudgetTripped { budget, bad, tolerated, .. }) => {
            Some((*budget, *bad, *tolerated))
        }
        _ => None,
    };
    commands.iter().filter_map(trip).collect()
}

#[test]
fn of_several_budgets_the_first_that_is_spent_stops_the_run_and_says_so() {
    let mut draft = draft(20, 1, Some(100.0));
    draft.plays[0].throttle = 1;
    draft.plays[0].safeguards.max_fail = MaxFail {
        fleet: Some(Tolerance::Percent(20.0)),
        unreachable: Some(Tolerance::Hosts(1)),
        ..MaxFail::default()
    };
    let mut scheduler = Scheduler::new(draft);
    let lost = Some(FailureClass::Unreachable);

    let all = ends(&mut scheduler, &[Some(FailureClass::RemoteFault), lost, None, lost, None]);

    assert_eq!(trips(&all), [(BudgetKind::Unreachable, 2, 1)]);
    assert_eq!(started(&all).len(), 4, "nothing starts after the second lost host");
    assert_eq!(all.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}

#[test]
fn with_strict_the_hosts_in_flight_are_as_many_as_may_end_badly() {
    let mut draft = draft(20, 1, Some(100.0));
    draft.plays[0].safeguards.max_fail =
        MaxFail { fleet: Some(Tolerance::Hosts(2)), strict: true, ..MaxFail::default() };
    let mut scheduler = Scheduler::new(draft);
    // The slow start has let more than two in when four have ended well.
    let mut under_way = VecDeque::from(started(&commands(&mut scheduler, at(0))));
    for _ in 0..6 {
        let step = under_way.pop_front().expect("a step is under way");
        finish(&mut scheduler, &step, None, at(1));
        under_way.extend(started(&commands(&mut scheduler, at(1))));
    }

    assert_eq!(under_way.len(), 3, "two may fail, and the third would stop the run");
    let waiting = scheduler.gauge(at(1)).waiting;
    assert!(waiting.iter().any(|(why, _)| *why == WaitReason::Budget), "{waiting:?}");
    let step = under_way.pop_front().expect("a step is under way");
    finish(&mut scheduler, &step, Some(FailureClass::RemoteFault), at(2));
    assert_eq!(started(&commands(&mut scheduler, at(2))), [], "one less may fail now");
}

#[test]
fn a_declared_number_of_rejected_logons_is_a_budget_and_the_default_is_none() {
    let rejected = Some(FailureClass::AuthRejected);
    let run = |auth| {
        let mut draft = draft(20, 1, Some(100.0));
        draft.plays[0].throttle = 1;
        draft.plays[0].safeguards.max_fail = MaxFail { auth, ..MaxFail::default() };
        ends(&mut Scheduler::new(draft), &[None, rejected, rejected, rejected, None])
    };
    let opened = |commands: &[Command]| {
        let is = |c: &&Command| matches!(c, Command::Emit(EventKind::BreakerOpened { .. }));
        commands.iter().filter(is).count()
    };

    for auth in [None, Some(0)] {
        let all = run(auth);
        assert_eq!((opened(&all), started(&all).len()), (1, 2), "{auth:?}");
    }
    let all = run(Some(1));
    assert_eq!((opened(&all), started(&all).len()), (0, 3));
    assert_eq!(trips(&all), [(BudgetKind::Auth, 2, 1)]);
}

/// The journal of a run over ten hosts, one after the other, that ended so.
fn journal_of(draft: &Draft, classes: &[Option<FailureClass>]) -> RunState {
    let (_, before) = once::once_failed();
    let header = before.header.clone().expect("it began");
    let header = RunStarted {
        playbook_sha256: draft.playbook_sha256.clone(),
        plays: vec![PlayHeader {
            name: "A play".to_owned(),
            tasks: vec![TaskHeader::new("A task", "agent")],
        }],
        ..*header
    };
    let mut scheduler = Scheduler::new(draft.clone());
    let mut kinds = vec![EventKind::RunStarted(Box::new(header))];
    for command in ends(&mut scheduler, classes) {
        match command {
            Command::Emit(EventKind::HostFinished { play, host, outcome, class }) => {
                let task = TaskId { play, task: 0 };
                let failure = class.map(|class| StepFailure::new(class, "it failed"));
                kinds.push(EventKind::StepFinished {
                    step: StepId { task, host: host.clone() },
                    outcome,
                    failure,
                    note: None,
                    value: serde_json::Value::Null,
                });
                kinds.push(EventKind::HostFinished { play, host, outcome, class });
            }
            Command::Emit(kind) => kinds.push(kind),
            Command::Start { step, on, .. } => kinds.push(EventKind::StepStarted { step, on }),
            _ => {}
        }
    }
    let events = (0..).zip(kinds).map(|(seq, kind)| Event {
        seq,
        at: jiff::Timestamp::UNIX_EPOCH,
        elapsed: Elapsed::from_millis(seq),
        kind,
    });
    RunState::replay(&events.collect::<Vec<_>>()).expect("a legal journal")
}

#[test]
fn a_resume_past_any_budget_tolerates_as_many_again() {
    let bad = Some(FailureClass::Drifted);
    for (max_fail, expected) in [
        (
            MaxFail { fleet: Some(Tolerance::Hosts(1)), ..MaxFail::default() },
            (BudgetKind::Fleet, 4, 3),
        ),
        (
            MaxFail { drifted: Some(Tolerance::Hosts(1)), ..MaxFail::default() },
            (BudgetKind::Drifted, 4, 3),
        ),
        (MaxFail { consecutive: Some(1), ..MaxFail::default() }, (BudgetKind::Consecutive, 2, 1)),
    ] {
        let mut draft = draft(10, 1, Some(100.0));
        draft.plays[0].throttle = 1;
        draft.plays[0].safeguards.max_fail = max_fail;
        let state = journal_of(&draft, &[None, bad, bad]);
        let tripped = state.plays[&PlayNo(0)].tripped.expect("it tripped");
        assert_eq!((tripped.budget, tripped.bad, tripped.tolerated), (expected.0, 2, 1));
        let resumption = plan::resume(&draft, &state, &Answers::default()).expect("it goes on");
        let mut scheduler = Scheduler::resume(draft, resumption);

        let all = ends(&mut scheduler, &[bad, bad, None, None]);

        assert_eq!(trips(&all), [expected], "{max_fail:?}");
        assert_eq!(started(&all).len(), 2, "{max_fail:?}");
    }
}

#[test]
fn a_resume_goes_on_with_a_soak_where_it_stood() {
    let mut draft = draft(3, 1, None);
    draft.plays[0].serial = vec![Batch::Hosts(1)];
    // Half a minute of real time.
    draft.plays[0].safeguards.soak = Some(Duration::from_secs(600));
    let state = journal_of(&draft, &[None]);
    let finished = state.plays[&PlayNo(0)].waves[0].finished_at.expect("the wave is through");
    let resumption = plan::resume(&draft, &state, &Answers::default()).expect("it goes on");
    let mut scheduler = Scheduler::resume(draft, resumption);

    let until = finished.as_millis() + 30_000;
    assert_eq!(started(&commands(&mut scheduler, at(until - 1))), []);
    assert_eq!(scheduler.next_wakeup(), Some(at(until).elapsed));
    assert_eq!(started(&commands(&mut scheduler, at(until))).len(), 1);
}
