//! Tasks that one host does for all: who takes them over, and who waits for whom after a cut.

use super::sharing::asked;
use super::*;

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

/// How the run of a draft began.
fn begun(draft: &Draft) -> EventKind {
    let told = |task: &DraftTask| TaskHeader::new(&task.name, &task.action);
    EventKind::RunStarted(Box::new(RunStarted {
        seed: draft.seed,
        scale: draft.scale,
        plays: vec![PlayHeader {
            name: "A play".to_owned(),
            tasks: draft.plays[0].tasks.iter().map(told).collect(),
        }],
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(1)))
    }))
}

/// The state of a run of which these events are all that is known.
fn replay(kinds: impl IntoIterator<Item = EventKind>) -> RunState {
    let event = |(seq, kind)| Event {
        seq,
        at: jiff::Timestamp::UNIX_EPOCH,
        elapsed: Elapsed::from_millis(seq),
        kind,
    };
    let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
    RunState::replay(&events).expect("a legal journal")
}

fn ran_a_script() -> ChangeRecord {
    ChangeRecord {
        action: "powershell".to_owned(),
        change: serde_json::Value::Null,
        undo: Undo::Nothing,
        lines: vec!["run a script".to_owned()],
    }
}

/// The draft of three hosts whose first task runs once and is not safe to repeat, and its run: the
/// second host began the change and failed, which stopped the run.
pub(super) fn once_failed() -> (Draft, RunState) {
    let mut draft = draft(3, 2, Some(100.0));
    draft.plays[0].tasks[0].flow.is_once = true;
    draft.plays[0].tasks[0].replay_is_safe = false;
    let play = PlayNo(0);
    let hosts: Vec<HostName> = draft.plays[0].hosts.iter().map(|host| host.name.clone()).collect();
    let step = StepId { task: TaskId { play, task: 0 }, host: hosts[1].clone() };
    let kinds = [
        begun(&draft),
        EventKind::PlayStarted { play, waves: vec![hosts.clone()] },
        EventKind::WaveStarted { play, wave: WaveNo(0) },
        EventKind::StepStarted { step: step.clone(), on: None },
        EventKind::StepDecided { step: step.clone(), change: ran_a_script(), cost: Cost::none() },
        EventKind::StepFinished {
            step: step.clone(),
            outcome: Outcome::Failed,
            failure: Some(StepFailure::new(FailureClass::RemoteFault, "it ended with 3")),
            note: None,
            value: serde_json::Value::Null,
        },
        EventKind::OnceFailed { step },
        EventKind::HostFinished {
            play,
            host: hosts[1].clone(),
            outcome: Outcome::Failed,
            class: Some(FailureClass::RemoteFault),
        },
        EventKind::RunFinished { result: RunResult::BudgetTripped },
    ];
    let state = replay(kinds);
    (draft, state)
}

/// What a resume of [`once_failed`] starts and says first.
fn resumed(retry: &[&str], accept: &[&str]) -> (Scheduler, Vec<Command>) {
    let (draft, state) = once_failed();
    let hosts = |names: &[&str]| names.iter().map(|name| HostName::new(*name)).collect();
    let answers = Answers { retry: hosts(retry), accept: hosts(accept), failed: false };
    let resumption = plan::resume(&draft, &state, &answers).expect("it goes on");
    let mut scheduler = Scheduler::resume(draft, resumption);
    let first = commands(&mut scheduler, at(100));
    (scheduler, first)
}

#[test]
fn what_runs_once_and_failed_after_its_change_began_is_in_doubt_at_a_resume() {
    let (draft, state) = once_failed();
    let resumption = plan::resume(&draft, &state, &Answers::default()).expect("it goes on");
    let undecided: Vec<_> = resumption.undecided().collect();
    assert_eq!(undecided.len(), 1);
    assert_eq!(undecided[0].step.host, HostName::new("ps-1"));
    assert_eq!(undecided[0].resolution, Resolution::Unknown);

    let (_, first) = resumed(&[], &[]);

    assert_eq!(started(&first), [], "no host repeats it");
    let again = |command: &Command| matches!(command, Command::Emit(EventKind::OnceFailed { .. }));
    assert!(first.iter().any(again), "{first:?}");
}

#[test]
fn what_runs_once_is_repeated_by_its_host_where_the_operator_says_so() {
    let (mut scheduler, first) = resumed(&["ps-1"], &[]);

    let steps = started(&first);
    assert_eq!(steps.len(), 1, "{first:?}");
    assert_eq!((&steps[0].host, steps[0].task.task), (&HostName::new("ps-1"), 0));
    finish(&mut scheduler, &steps[0], None, at(101));
    let mut left = started(&commands(&mut scheduler, at(101)));
    while let Some(step) = left.pop() {
        assert_eq!(step.task.task, 1, "it is done for all");
        finish(&mut scheduler, &step, None, at(102));
        left.extend(started(&commands(&mut scheduler, at(102))));
    }
}

#[test]
fn what_runs_once_and_is_accepted_is_done_for_all() {
    let (mut scheduler, first) = resumed(&[], &["ps-1"]);

    let mut left = started(&first);
    let mut seen = Vec::new();
    while let Some(step) = left.pop() {
        seen.push((step.host.to_string(), step.task.task));
        finish(&mut scheduler, &step, None, at(101));
        left.extend(started(&commands(&mut scheduler, at(101))));
    }
    seen.sort();
    let expected = ["ps-0", "ps-1", "ps-2"].map(|host| (host.to_owned(), 1));
    assert_eq!(seen, expected, "nobody repeats it");
}

/// Three hosts whose first task runs once, as a loop over files that is not safe to repeat, and a run
/// that was cut when the second host had changed the first file.
fn cut_in_a_loop() -> (Draft, RunState) {
    let mut draft = draft(3, 1, Some(100.0));
    let task = &mut draft.plays[0].tasks[0];
    (task.flow.is_once, task.flow.is_loop, task.replay_is_safe) = (true, true, false);
    let play = PlayNo(0);
    let hosts: Vec<HostName> = draft.plays[0].hosts.iter().map(|host| host.name.clone()).collect();
    let step = StepId { task: TaskId { play, task: 0 }, host: hosts[1].clone() };
    let state = replay([
        begun(&draft),
        EventKind::PlayStarted { play, waves: vec![hosts] },
        EventKind::WaveStarted { play, wave: WaveNo(0) },
        EventKind::StepStarted { step: step.clone(), on: None },
        EventKind::StepDecided { step: step.clone(), change: ran_a_script(), cost: Cost::none() },
        EventKind::StepWentOn {
            step,
            item: Some(0),
            attempt: 1,
            settled: true,
            outcome: Outcome::Changed,
            failure: None,
            note: None,
            value: serde_json::Value::Null,
        },
    ]);
    (draft, state)
}

fn goes_on(draft: Draft, state: &RunState) -> Scheduler {
    let resumption = plan::resume(&draft, state, &Answers::default()).expect("it goes on");
    Scheduler::resume(draft, resumption)
}

#[test]
fn the_host_in_the_middle_of_a_task_for_all_comes_first_though_other_runs_fill_its_site() {
    let (mut draft, state) = cut_in_a_loop();
    for (host, site) in draft.plays[0].hosts.iter_mut().zip(["OSL", "LON", "OSL"]) {
        host.values = BTreeMap::from([("site".to_owned(), site.to_owned())]);
    }
    let mut scheduler = goes_on(draft, &state);
    scheduler.share(vec!["sql01".to_owned()]);
    let london = asked(&commands(&mut scheduler, at(100)));
    assert_eq!(london.len(), 1, "nobody else is taken: {london:?}");

    let full = Answer::Wait { span: Duration::from_millis(500), by: 0 };
    scheduler.handle(at(101), Input::Drawn { claim: london[0].0, answer: full });
    assert_eq!(commands(&mut scheduler, at(101)), []);
    let waiting = scheduler.gauge(at(101)).waiting;
    assert!(waiting.contains(&(WaitReason::Once, 2)), "{waiting:?}");

    let again = asked(&commands(&mut scheduler, at(700)));
    assert_eq!(again.len(), 1, "{again:?}");
    let answer = Answer::Granted { at: Duration::ZERO, left: vec![None] };
    scheduler.handle(at(701), Input::Drawn { claim: again[0].0, answer });
    let next = commands(&mut scheduler, at(701));
    assert_eq!(started(&next)[0].host, HostName::new("ps-1"));
}

#[test]
fn failed_hosts_are_not_taken_up_to_wait_for_a_task_that_a_later_wave_is_in_the_middle_of() {
    let (draft, _) = cut_in_a_loop();
    let play = PlayNo(0);
    let [first, second, third] = [0, 1, 2].map(|n| draft.plays[0].hosts[n].name.clone());
    let step = |host: &HostName| StepId { task: TaskId { play, task: 0 }, host: host.clone() };
    let finished = |host: &HostName, outcome| EventKind::HostFinished {
        play,
        host: host.clone(),
        outcome,
        class: None,
    };
    let lost = StepFailure::new(FailureClass::Unreachable, "no route");
    let cut = [
        begun(&draft),
        EventKind::PlayStarted {
            play,
            waves: vec![vec![first.clone()], vec![second.clone(), third]],
        },
        EventKind::WaveStarted { play, wave: WaveNo(0) },
        EventKind::StepStarted { step: step(&first), on: None },
        EventKind::StepFinished {
            step: step(&first),
            outcome: Outcome::Unreachable,
            failure: Some(lost),
            note: None,
            value: serde_json::Value::Null,
        },
        finished(&first, Outcome::Unreachable),
        EventKind::WaveFinished { play, wave: WaveNo(0) },
        EventKind::WaveStarted { play, wave: WaveNo(1) },
        EventKind::StepStarted { step: step(&second), on: None },
        EventKind::StepDecided { step: step(&second), change: ran_a_script(), cost: Cost::none() },
    ];
    let failed_there = [
        EventKind::StepFinished {
            step: step(&second),
            outcome: Outcome::Failed,
            failure: Some(StepFailure::new(FailureClass::RemoteFault, "it ended with 3")),
            note: None,
            value: serde_json::Value::Null,
        },
        EventKind::OnceFailed { step: step(&second) },
        finished(&second, Outcome::Failed),
    ];
    for more in [&[][..], &failed_there] {
        let state = replay(cut.iter().chain(more).cloned());

        let failed = Answers { failed: true, ..Answers::default() };
        let error = plan::resume(&draft, &state, &failed).expect_err("they would wait for ever");

        let text = error.to_string();
        assert!(
            text.ends_with(
                "ps-1, of a later wave, is in the middle of \"A task\", which it does for all"
            ),
            "{text}"
        );
        assert!(
            plan::resume(&draft, &state, &Answers::default()).is_ok(),
            "without them it goes on"
        );
    }
}

#[test]
fn a_host_of_an_earlier_wave_does_not_wait_for_a_task_that_a_later_one_is_in_the_middle_of() {
    let (draft, state) = cut_in_a_loop();
    // The wave of the first host is open again: its outcome was unknown.
    let mut resumption = plan::resume(&draft, &state, &Answers::default()).expect("it goes on");
    let play = resumption.state.plays.get_mut(&PlayNo(0)).expect("it began");
    play.waves.push(play.waves[0].clone());
    for (host, wave) in play.hosts.values_mut().zip([0, 1, 1]) {
        host.wave = WaveNo(wave);
    }
    let mut scheduler = Scheduler::resume(draft, resumption);

    let first = commands(&mut scheduler, at(100));

    let told = |command: &Command| matches!(command, Command::Emit(EventKind::OnceFailed { step }) if step.host.as_str() == "ps-1");
    assert!(first.iter().any(told), "{first:?}");
    assert_eq!(first.last(), Some(&Command::Finish(RunResult::BudgetTripped)));
}

#[test]
fn the_next_host_takes_over_a_reading_for_all_that_drew_from_limits_and_failed() {
    let (mut scheduler, first) = once();
    let step = first[0].clone();
    scheduler.handle(at(1), Input::WantsToRead { step: step.clone(), cost: Cost::ns_iis(1, 0) });
    assert_eq!(commands(&mut scheduler, at(1)), [Command::Apply { step: step.clone() }]);
    finish(&mut scheduler, &step, Some(FailureClass::Refused), at(2));

    let next = started(&commands(&mut scheduler, at(2)));

    assert_eq!(
        next.iter().map(|step| step.task.task).collect::<Vec<_>>(),
        [0],
        "nothing was changed"
    );
}
