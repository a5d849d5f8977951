use super::*;
use crate::event::{RunMode, RunResult};
use crate::model::{Batch, FailureClass, GateQuery, NsBounds, NsHealth, StepFailure, WaveNo};
use crate::plan::Draft;
use crate::scheduler::Input;
use crate::scheduler::scheduler::tests::{at, commands, draft, finish, started};

const PLAY: PlayNo = PlayNo(0);

/// Two waves of one host each, in a world twenty times as fast, with a gate over a query.
fn gated(change: impl FnOnce(&mut Gate)) -> Draft {
    let mut draft = draft(2, 2, None);
    draft.plays[0].serial = vec![Batch::Hosts(1)];
    let query = GateQuery {
        query: "event_queue".to_owned(),
        parameters: serde_json::Map::new(),
        pass: "row.Entries < 2000".to_owned(),
        fail: None,
    };
    let mut gate = Gate::new("queue_low", GateAsk::Query(query));
    change(&mut gate);
    draft.plays[0].safeguards.gates = vec![gate];
    draft
}

fn asks(commands: &[Command]) -> usize {
    commands.iter().filter(|command| matches!(command, Command::CheckGate { .. })).count()
}

fn emitted(commands: &[Command], is: impl Fn(&EventKind) -> bool) -> bool {
    commands.iter().any(|command| matches!(command, Command::Emit(event) if is(event)))
}

fn say(scheduler: &mut Scheduler, millis: u64, verdict: GateVerdict) -> Vec<Command> {
    let reading = match verdict {
        GateVerdict::Unreadable => {
            GateReading::Unreadable(StepFailure::new(FailureClass::Unreachable, "no answer"))
        }
        verdict => GateReading::Said { verdict, seen: "Entries 4120".to_owned() },
    };
    scheduler.handle(at(millis), Input::GateSaid { play: PLAY, gate: 0, reading });
    commands(scheduler, at(millis))
}

fn answer(scheduler: &mut Scheduler, millis: u64, reply: Reply) -> Vec<Command> {
    scheduler.handle(at(millis), Input::GateAnswered { play: PLAY, gate: 0, reply });
    commands(scheduler, at(millis))
}

#[test]
fn each_wave_has_a_pass_of_its_own() {
    let mut scheduler = Scheduler::new(gated(|_| {}));

    let first = commands(&mut scheduler, at(0));
    assert_eq!((asks(&first), started(&first).len()), (1, 0));
    assert_eq!(scheduler.next_wakeup(), None, "an answer is waited for, and nothing else");
    let waiting = scheduler.gauge(at(0)).waiting;
    let gate = |seen: &str| WaitReason::Gate("queue_low".to_owned(), seen.to_owned());
    assert_eq!(waiting, [(gate(""), 1), (WaitReason::Wave, 1)]);

    let mut steps = started(&say(&mut scheduler, 10, GateVerdict::Pass));
    while let Some(step) = steps.pop() {
        finish(&mut scheduler, &step, None, at(20));
        let next = commands(&mut scheduler, at(20));
        steps = started(&next);
        assert_eq!(asks(&next) == 1, steps.is_empty(), "asked when the wave is through");
    }
    let second = say(&mut scheduler, 30, GateVerdict::Pass);
    assert!(emitted(&second, |event| matches!(
        event,
        EventKind::GateChecked { wave: WaveNo(1), verdict: GateVerdict::Pass, .. }
    )));
    assert_eq!(started(&second).len(), 1);
}

#[test]
fn the_answer_after_the_last_one_that_is_tolerated_stops_the_play() {
    let mut scheduler = Scheduler::new(gated(|gate| gate.fail_limit = 1));
    commands(&mut scheduler, at(0));

    let first = say(&mut scheduler, 10, GateVerdict::Fail);
    assert!(!emitted(&first, |event| matches!(event, EventKind::GateFailed { .. })));
    // Thirty seconds of that world.
    assert_eq!(scheduler.next_wakeup(), Some(at(1_510).elapsed));
    let waiting = scheduler.gauge(at(20)).waiting;
    let gate = WaitReason::Gate("queue_low".to_owned(), "Entries 4120".to_owned());
    assert!(waiting.contains(&(gate, 1)), "{waiting:?}");
    assert_eq!(asks(&commands(&mut scheduler, at(1_510))), 1);
    let second = say(&mut scheduler, 1_520, GateVerdict::Fail);

    assert!(emitted(&second, |event| matches!(event, EventKind::GateFailed { .. })));
    assert_eq!(second.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}

#[test]
fn no_answer_is_counted_apart_and_pauses_until_somebody_says_go_on() {
    let mut scheduler = Scheduler::new(gated(|gate| gate.error_limit = 1));
    commands(&mut scheduler, at(0));
    let is_asked = |event: &EventKind| matches!(event, EventKind::GateAsked { .. });

    assert!(!emitted(&say(&mut scheduler, 10, GateVerdict::Unreadable), is_asked));
    commands(&mut scheduler, at(1_510));
    assert!(emitted(&say(&mut scheduler, 1_520, GateVerdict::Unreadable), is_asked));
    assert_eq!(asks(&commands(&mut scheduler, at(60_000))), 0, "the operator has the word");
    assert_eq!(started(&answer(&mut scheduler, 90_000, Reply::Confirmed)).len(), 1);
}

#[test]
fn what_is_declined_or_answered_by_nobody_in_time_ends_unconfirmed() {
    let pausing = || {
        let mut scheduler = Scheduler::new(gated(|gate| {
            gate.within = Duration::from_secs(60);
        }));
        commands(&mut scheduler, at(0));
        say(&mut scheduler, 10, GateVerdict::Inconclusive);
        scheduler
    };

    let mut declined = pausing();
    let end = answer(&mut declined, 20, Reply::Declined);
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::Unconfirmed)));

    // It is asked on for a minute of that world, and goes on when it passes.
    let mut alone = pausing();
    answer(&mut alone, 20, Reply::NobodyThere);
    assert_eq!(asks(&commands(&mut alone, at(1_520))), 1);
    assert_eq!(started(&say(&mut alone, 1_530, GateVerdict::Pass)).len(), 1);

    let mut closed = pausing();
    answer(&mut closed, 20, Reply::NobodyThere);
    assert_eq!(asks(&commands(&mut closed, at(3_020))), 1, "once more when the time is over");
    let end = say(&mut closed, 3_030, GateVerdict::Inconclusive);
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::Unconfirmed)));
}

#[test]
fn a_play_that_is_paused_midway_keeps_its_hosts_between_two_steps() {
    let mut scheduler = Scheduler::new(gated(|gate| (gate.watch, gate.error_limit) = (true, 0)));
    commands(&mut scheduler, at(0));
    let first = started(&say(&mut scheduler, 10, GateVerdict::Pass));
    assert_eq!(asks(&commands(&mut scheduler, at(1_510))), 1);
    say(&mut scheduler, 1_520, GateVerdict::Unreadable);

    finish(&mut scheduler, &first[0], None, at(1_600));
    assert_eq!(started(&commands(&mut scheduler, at(1_600))), []);
    assert_eq!(started(&answer(&mut scheduler, 1_700, Reply::Confirmed)).len(), 1);
}

#[test]
fn what_is_asked_when_the_play_stops_does_not_keep_the_driver_awake() {
    let mut scheduler = Scheduler::new(gated(|gate| gate.watch = true));
    commands(&mut scheduler, at(0));
    say(&mut scheduler, 10, GateVerdict::Pass);
    scheduler.handle(at(20), Input::Operator(crate::event::StopStage::Drain));
    commands(&mut scheduler, at(20));

    assert!(scheduler.next_wakeup().is_none_or(|wakeup| wakeup > at(5_000).elapsed));
    assert_eq!(asks(&commands(&mut scheduler, at(9_000))), 0);
}

#[test]
fn an_operators_answer_counts_only_while_the_play_can_still_go_on() {
    let paused = || {
        let mut draft = gated(|gate| gate.watch = true);
        let also = Gate { name: "other".to_owned(), ..draft.plays[0].safeguards.gates[0].clone() };
        draft.plays[0].safeguards.gates.push(also);
        let mut scheduler = Scheduler::new(draft);
        commands(&mut scheduler, at(0));
        assert!(!scheduler.awaits_answer(PLAY, 0));
        say(&mut scheduler, 10, GateVerdict::Inconclusive);
        assert!(scheduler.awaits_answer(PLAY, 0) && !scheduler.awaits_answer(PLAY, 1));
        assert!(!scheduler.awaits_answer(PlayNo(1), 0), "the question of another play");
        scheduler
    };

    let mut stopped = paused();
    stopped.handle(at(20), Input::Operator(crate::event::StopStage::Drain));
    assert!(!stopped.awaits_answer(PLAY, 0));

    let mut failed = paused();
    let reading = GateReading::Said { verdict: GateVerdict::Fail, seen: String::new() };
    failed.handle(at(20), Input::GateSaid { play: PLAY, gate: 1, reading });
    assert!(!failed.awaits_answer(PLAY, 0), "another gate stopped the play");

    let mut answered = paused();
    answer(&mut answered, 20, Reply::Confirmed);
    assert!(!answered.awaits_answer(PLAY, 0));
}

#[test]
fn in_check_mode_a_gate_is_asked_once_and_stops_nothing() {
    let mut draft = gated(|_| {});
    draft.mode = RunMode::Check;
    let mut scheduler = Scheduler::new(draft);
    assert_eq!(asks(&commands(&mut scheduler, at(0))), 1);

    let said = say(&mut scheduler, 10, GateVerdict::Fail);

    assert_eq!(started(&said).len(), 1);
    assert!(!emitted(&said, |event| matches!(event, EventKind::GateFailed { .. })));
}

#[test]
fn the_first_wave_does_not_ask_whether_the_one_before_is_ready() {
    let mut draft = gated(|gate| *gate = Gate::new("wave_ready", GateAsk::WaveReady));
    draft.plays[0].tasks.truncate(1);
    let mut scheduler = Scheduler::new(draft);
    let first = started(&commands(&mut scheduler, at(0)));
    finish(&mut scheduler, &first[0], None, at(10));

    assert_eq!(asks(&commands(&mut scheduler, at(10))), 1);
}

#[test]
fn a_busy_server_is_ill_and_an_answer_to_another_question_is_none() {
    let mut scheduler = Scheduler::new(gated(|gate| {
        *gate = Gate::new("ns_healthy", GateAsk::NsHealthy(NsBounds::default()));
        gate.fail_limit = 0;
    }));
    commands(&mut scheduler, at(0));
    let other = say(&mut scheduler, 10, GateVerdict::Pass);
    assert!(emitted(&other, |event| matches!(
        event,
        EventKind::GateChecked { verdict: GateVerdict::Unreadable, .. }
    )));
    commands(&mut scheduler, at(2_000));
    let busy = NsHealth { is_busy: true, ..NsHealth::default() };
    let reading = GateReading::Health(vec![(HostName::new("smp01"), busy)]);
    scheduler.handle(at(2_010), Input::GateSaid { play: PLAY, gate: 0, reading });

    let end = commands(&mut scheduler, at(2_010));
    assert_eq!(end.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}
