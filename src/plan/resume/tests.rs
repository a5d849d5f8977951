use serde_json::Value;

use super::*;
use crate::event::{ChangeRecord, Event, EventKind, PlayHeader, TaskHeader, Undo};
use crate::model::{Cost, Elapsed, FailureClass, Outcome, StepFailure, TaskId, WaveNo};
use crate::plan::{DraftPlay, DraftTask, takeback};

fn draft(replay_is_safe: bool) -> Draft {
    let task = |number| DraftTask {
        name: format!("Task {number}"),
        replay_is_safe,
        ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, "service")
    };
    let play = DraftPlay { tasks: (0..2).map(task).collect(), ..DraftPlay::bare("A play") };
    Draft {
        seed: 1,
        playbook_sha256: "aaaaaaaaaa".to_owned(),
        inventory_sha256: "bbbbbbbbbb".to_owned(),
        ..Draft::bare(vec![play])
    }
}

fn header() -> RunStarted {
    let tasks = (0..2).map(|number| TaskHeader::new(&format!("Task {number}"), "service"));
    RunStarted {
        playbook: "p.yml".to_owned(),
        playbook_sha256: "aaaaaaaaaa".to_owned(),
        inventory: "i.yml".to_owned(),
        inventory_sha256: "bbbbbbbbbb".to_owned(),
        seed: 1,
        plays: vec![PlayHeader { name: "A play".to_owned(), tasks: tasks.collect() }],
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(1)))
    }
}

fn step(task: u16) -> StepId {
    StepId { task: TaskId { play: PlayNo(0), task }, host: HostName::new("ps-1") }
}

fn decided(task: u16, undo: Undo) -> EventKind {
    let change = ChangeRecord {
        action: "service".to_owned(),
        change: Value::from(task),
        undo,
        lines: vec![format!("change {task}")],
    };
    EventKind::StepDecided { step: step(task), change, cost: Cost::ns_iis(1, 2) }
}

fn finished(task: u16, outcome: Outcome, class: Option<FailureClass>) -> EventKind {
    let failure = class.map(|class| StepFailure::new(class, "it failed"));
    EventKind::StepFinished { step: step(task), outcome, failure, note: None, value: Value::Null }
}

fn fold(kinds: impl IntoIterator<Item = EventKind>) -> RunState {
    let opening = [
        EventKind::RunStarted(Box::new(header())),
        EventKind::PlayStarted { play: PlayNo(0), waves: vec![vec![HostName::new("ps-1")]] },
        EventKind::WaveStarted { play: PlayNo(0), wave: WaveNo(0) },
    ];
    let events: Vec<Event> = (0..)
        .zip(opening.into_iter().chain(kinds))
        .map(|(seq, kind)| Event {
            seq,
            at: jiff::Timestamp::UNIX_EPOCH,
            elapsed: Elapsed::from_millis(seq),
            kind,
        })
        .collect();
    RunState::replay(&events).expect("a legal journal")
}

fn in_doubt() -> RunState {
    fold([
        EventKind::StepStarted { step: step(0), on: None },
        decided(0, Undo::With(Value::from("back 0"))),
        finished(0, Outcome::Changed, None),
        EventKind::StepStarted { step: step(1), on: None },
        decided(1, Undo::With(Value::from("back 1"))),
    ])
}

fn answers(retry: &[&str], accept: &[&str]) -> Answers {
    let hosts = |names: &[&str]| names.iter().map(|name| HostName::new(*name)).collect();
    Answers { retry: hosts(retry), accept: hosts(accept), failed: false }
}

#[test]
fn a_step_in_doubt_goes_by_its_action_and_by_the_operator() {
    let resolved = |is_safe, answers: &Answers| {
        let resumption = resume(&draft(is_safe), &in_doubt(), answers).expect("it goes on");
        assert_eq!(resumption.resolution(&step(0)), None, "it ended");
        resumption.resolution(&step(1)).expect("it is in doubt")
    };

    assert_eq!(resolved(true, &Answers::default()), Resolution::Again);
    assert_eq!(resolved(false, &Answers::default()), Resolution::Unknown);
    assert_eq!(resolved(false, &answers(&["ps-1"], &[])), Resolution::Again);
    assert_eq!(resolved(true, &answers(&[], &["ps-1"])), Resolution::Accept);
}

#[test]
fn an_answer_about_a_host_that_is_not_in_doubt_is_refused() {
    let refused = |answers: Answers| {
        resume(&draft(false), &in_doubt(), &answers).expect_err("a wrong answer").to_string()
    };

    let run = "could not resume run 00000000";
    let other = refused(answers(&["ps-2"], &[]));
    assert_eq!(other, format!("{run}: no change is in doubt on host ps-2"));
    let both = refused(answers(&["ps-1"], &["ps-1"]));
    assert_eq!(both, format!("{run}: both --retry and --accept name host ps-1"));
}

#[test]
fn an_unknown_step_can_be_answered_by_a_later_resume() {
    let unknown = [
        finished(1, Outcome::Unknown, Some(FailureClass::InDoubt)),
        EventKind::HostFinished {
            play: PlayNo(0),
            host: HostName::new("ps-1"),
            outcome: Outcome::Unknown,
            class: Some(FailureClass::InDoubt),
        },
        EventKind::WaveFinished { play: PlayNo(0), wave: WaveNo(0) },
        EventKind::PlayFinished { play: PlayNo(0) },
    ];
    let state = fold(
        [EventKind::StepStarted { step: step(1), on: None }, decided(1, Undo::Nothing)]
            .into_iter()
            .chain(unknown),
    );

    let resumption = resume(&draft(false), &state, &answers(&[], &["ps-1"])).expect("it goes on");

    assert!(state.may_go_on(), "the recap says so, whatever the run's result is");
    assert_eq!(resumption.resolution(&step(1)), Some(Resolution::Accept));
    assert_eq!(resumption.hosts_left, 1);
}

#[test]
fn another_playbook_is_refused_with_the_difference() {
    let mut other = draft(true);
    other.playbook_sha256 = "cccccccccc".to_owned();
    other.plays[0].tasks[1].name = "Another task".to_owned();

    let error = resume(&other, &in_doubt(), &Answers::default()).expect_err("it differs");

    assert_eq!(
        error.to_string(),
        "could not resume run 00000000: playbook p.yml has changed: SHA-256 was aaaaaaaa, is \
         cccccccc; task 1.2 was \"Task 1\" (service), is \"Another task\" (service)"
    );
}

#[test]
fn a_run_that_is_through_has_nothing_left() {
    let state = fold([
        EventKind::HostFinished {
            play: PlayNo(0),
            host: HostName::new("ps-1"),
            outcome: Outcome::Changed,
            class: None,
        },
        EventKind::PlayFinished { play: PlayNo(0) },
        EventKind::RunFinished { result: RunResult::Done },
    ]);

    let error = resume(&draft(true), &state, &Answers::default()).expect_err("it is done");

    assert!(!state.may_go_on());
    assert_eq!(error.to_string(), "could not resume run 00000000: nothing is left to do (done)");
}

#[test]
fn undo_takes_back_the_newest_change_first_and_tells_what_stays() {
    let state = fold([
        EventKind::StepStarted { step: step(0), on: None },
        decided(0, Undo::With(Value::from("back 0"))),
        finished(0, Outcome::Changed, None),
        EventKind::StepStarted { step: step(1), on: None },
        decided(1, Undo::Impossible("it was sent".to_owned())),
        decided(1, Undo::With(Value::from("back 1"))),
    ]);

    let back = takeback(&state, None).expect("a takeback");

    let list = &back.hosts[&HostName::new("ps-1")];
    let told: Vec<_> = list.iter().map(|i| (i.change.clone(), i.is_certain)).collect();
    assert_eq!(told, [(Value::from("back 1"), false), (Value::from("back 0"), true)]);
    assert_eq!(back.stays[0].impossible.as_deref(), Some("it was sent"));
    assert_eq!(back.tasks, [step(1).task, step(0).task]);
    // The first task of the undo run takes back the last task of the run.
    assert_eq!(back.inverses(&step(0)).next().expect("one").change, Value::from("back 1"));

    let other = BTreeSet::from([HostName::new("ps-9")]);
    takeback(&state, Some(&other)).expect_err("the run did not touch it");
}

/// Two hosts, of which each has a task done on `ns`: `ps-2` does its own, the later task, first.
fn delegated_backwards() -> RunState {
    let of = |host: &str, task| StepId {
        task: TaskId { play: PlayNo(0), task },
        host: HostName::new(host),
    };
    let ns = Some(HostName::new("ns"));
    let change = |step: &StepId, what: &str| EventKind::StepDecided {
        step: step.clone(),
        change: ChangeRecord {
            action: "service".to_owned(),
            change: Value::Null,
            undo: Undo::With(Value::from(what)),
            lines: vec![what.to_owned()],
        },
        cost: Cost::none(),
    };
    let end = |step: &StepId| EventKind::StepFinished {
        step: step.clone(),
        outcome: Outcome::Changed,
        failure: None,
        note: None,
        value: Value::Null,
    };
    let (a, b, late) = (of("ps-1", 0), of("ps-2", 0), of("ps-2", 1));
    let hosts = ["ps-1", "ps-2"].map(HostName::new).to_vec();
    let mut kinds = vec![
        EventKind::RunStarted(Box::new(header())),
        EventKind::PlayStarted { play: PlayNo(0), waves: vec![hosts] },
        EventKind::WaveStarted { play: PlayNo(0), wave: WaveNo(0) },
    ];
    for (step, what) in [(&b, "first"), (&late, "second"), (&a, "third")] {
        kinds.push(EventKind::StepStarted { step: step.clone(), on: ns.clone() });
        kinds.extend([change(step, what), end(step)]);
    }
    let events: Vec<Event> = (0..)
        .zip(kinds)
        .map(|(seq, kind)| Event {
            seq,
            at: jiff::Timestamp::UNIX_EPOCH,
            elapsed: Elapsed::from_millis(seq),
            kind,
        })
        .collect();
    RunState::replay(&events).expect("a legal journal")
}

#[test]
fn what_hosts_delegated_to_one_machine_is_taken_back_newest_first_by_time() {
    let back = takeback(&delegated_backwards(), None).expect("a takeback");

    let ns = HostName::new("ns");
    assert_eq!(back.hosts.keys().collect::<Vec<_>>(), [&ns]);
    let turns = (0..).take(back.tasks.len()).flat_map(|task| {
        let step = StepId { task: TaskId { play: PlayNo(0), task }, host: ns.clone() };
        back.inverses(&step).map(|inverse| inverse.change.clone()).collect::<Vec<_>>()
    });
    assert_eq!(turns.collect::<Vec<_>>(), ["third", "second", "first"].map(Value::from));
}
