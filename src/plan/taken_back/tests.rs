use indexmap::IndexMap;
use serde_json::Value;

use super::*;
use crate::event::{ChangeRecord, HostState, PlayHeader, PlayState, RunStarted, TaskHeader};
use crate::model::{Cost, Outcome, StepFailure, TaskId, WaveNo};
use crate::plan::{DraftHost, DraftPlay, DraftTask};

/// A step that decided so many changes, and how it ended.
fn step(changes: usize, outcome: Option<Outcome>) -> StepState {
    let change = ChangeRecord {
        action: "service".to_owned(),
        change: Value::Null,
        undo: Undo::With(Value::Null),
        lines: vec![],
    };
    StepState {
        changes: vec![(change, Cost::default()); changes],
        decided: (0..).take(changes).collect(),
        open: outcome.is_none(),
        outcome,
        ..StepState::default()
    }
}

/// A play that began: hosts with their steps, and whether they are through.
fn play(hosts: Vec<(&str, Vec<StepState>, bool)>) -> PlayState {
    let hosts: IndexMap<HostName, HostState> = hosts
        .into_iter()
        .map(|(name, steps, is_through)| {
            let steps = (0..).zip(steps).collect();
            let outcome = is_through.then_some(Outcome::Changed);
            (HostName::new(name), HostState { wave: WaveNo(0), steps, outcome, class: None })
        })
        .collect();
    let finished = hosts.values().all(|host| host.outcome.is_some());
    PlayState { started: true, finished, hosts, ..PlayState::default() }
}

fn id(number: u128) -> RunId {
    RunId::new(uuid::Uuid::from_u128(number << 96))
}

fn state(number: u128, plays: Vec<PlayState>) -> RunState {
    let headers = plays.iter().map(|_| PlayHeader {
        name: String::new(),
        tasks: (0..2).map(|task| TaskHeader::new(&format!("Task {task}"), "service")).collect(),
    });
    let header = RunStarted { plays: headers.collect(), ..RunStarted::bare(id(number)) };
    RunState {
        header: Some(Box::new(header)),
        plays: (0..).map(PlayNo).zip(plays).collect(),
        ..RunState::default()
    }
}

/// Plays of two tasks over these hosts.
fn draft(plays: &[&[&str]]) -> Draft {
    let play = |(number, hosts): (u16, &&[&str])| DraftPlay {
        tasks: (0..2)
            .map(|task| DraftTask::bare(TaskId { play: PlayNo(number), task }, "service"))
            .collect(),
        hosts: hosts.iter().map(|name| DraftHost::bare(HostName::new(*name))).collect(),
        ..DraftPlay::bare("A play")
    };
    Draft::bare((0..).zip(plays).map(play).collect())
}

fn done() -> StepState {
    step(1, Some(Outcome::Changed))
}

/// A run of one play: `a` and `b` are in the middle of it, `c` is through.
fn cut() -> RunState {
    state(
        1,
        vec![play(vec![
            ("a", vec![done()], false),
            ("b", vec![done()], false),
            ("c", vec![done(), done()], true),
        ])],
    )
}

/// A run that took hosts back, each as far as its steps say.
fn undo(hosts: Vec<(&str, Vec<StepState>)>) -> RunState {
    let hosts = hosts.into_iter().map(|(name, steps)| (name, steps, true)).collect();
    state(9, vec![play(hosts)])
}

fn verdict(draft: &Draft, left: &RunState, undos: &[RunState]) -> Result<(), TakenBack> {
    let undos: Vec<UndoRun<'_>> = undos.iter().map(|state| UndoRun { run: id(9), state }).collect();
    expect_not_taken_back(draft, left, &undos)
}

fn part(hosts: &[&str]) -> Result<(), TakenBack> {
    let hosts = hosts.iter().map(|name| HostName::new(*name)).collect();
    Err(TakenBack::Part { by: id(9), hosts })
}

#[test]
fn a_run_that_was_taken_back_does_not_go_on_though_only_others_are_left() {
    let draft = draft(&[&["a", "b", "c"]]);
    let all = undo(vec![("a", vec![done()]), ("b", vec![done()]), ("c", vec![done()])]);
    assert_eq!(verdict(&draft, &cut(), &[all]), Err(TakenBack::Whole { by: id(9) }));

    // Only the canary was changed, and is through; the others have not begun.
    let canary = state(
        1,
        vec![play(vec![("a", vec![], false), ("b", vec![], false), ("c", vec![done()], true)])],
    );
    let back = undo(vec![("c", vec![done()])]);
    assert_eq!(verdict(&draft, &canary, &[back]), Err(TakenBack::Whole { by: id(9) }));
    assert_eq!(verdict(&draft, &cut(), &[]), Ok(()));
}

#[test]
fn an_undo_that_was_cut_counts_as_it_was_meant() {
    let meant = undo(vec![("a", vec![done()]), ("b", vec![]), ("c", vec![])]);

    let refused = verdict(&draft(&[&["a", "b", "c"]]), &cut(), &[meant]);

    assert_eq!(refused, Err(TakenBack::Whole { by: id(9) }));
}

#[test]
fn where_single_hosts_were_taken_back_only_those_with_more_to_do_forbid_a_resume() {
    let draft = draft(&[&["a", "b", "c"]]);
    let back = |host| undo(vec![(host, vec![done()])]);

    assert_eq!(verdict(&draft, &cut(), &[back("c")]), Ok(()), "it is through");
    let refused = verdict(&draft, &cut(), &[back("c"), back("a")]);
    assert_eq!(refused, part(&["a"]));
    assert_eq!(
        refused.expect_err("it is refused").to_string(),
        "run 00000009 took back what was done on or for a, with more to do"
    );
    let open = undo(vec![("b", vec![step(1, None)])]);
    assert_eq!(verdict(&draft, &cut(), &[open]), part(&["b"]), "in doubt, it may be back");
}

#[test]
fn an_undo_that_took_nothing_back_forbids_nothing() {
    let draft = draft(&[&["a", "b", "c"]]);
    let refused = |changes| StepState {
        failure: Some(StepFailure::new(FailureClass::Drifted, "it is not as it was left")),
        ..step(changes, Some(Outcome::Failed))
    };

    assert_eq!(verdict(&draft, &cut(), &[undo(vec![("a", vec![])])]), Ok(()), "it was cut before");
    assert_eq!(verdict(&draft, &cut(), &[undo(vec![("a", vec![refused(1)])])]), Ok(()));
    let some = undo(vec![("a", vec![refused(2)])]);
    assert_eq!(verdict(&draft, &cut(), &[some]), part(&["a"]), "one of the two may be back");
}

#[test]
fn what_was_delegated_or_done_once_for_all_counts_for_those_it_was_done_for() {
    let server = || undo(vec![("server", vec![done()])]);
    let on_server = StepState { on: Some(HostName::new("server")), ..done() };
    let mut left = cut();
    let hosts = &mut left.plays[0].hosts;
    hosts[0].steps.insert(1, on_server.clone());
    let mut draft = draft(&[&["a", "b", "c"]]);

    assert_eq!(verdict(&draft, &left, &[server()]), part(&["a"]));
    draft.plays[0].tasks[1].flow.is_once = true;
    assert_eq!(verdict(&draft, &left, &[server()]), part(&["a", "b"]));
}

#[test]
fn a_host_that_a_later_play_takes_is_not_through() {
    let first = || play(vec![("a", vec![done()], true), ("b", vec![done()], true)]);
    let back = || undo(vec![("a", vec![done()])]);
    let draft = |hosts: &'static [&str]| draft(&[&["a", "b"], hosts]);
    let left = state(1, vec![first()]);

    assert_eq!(verdict(&draft(&["a"]), &left, &[back()]), part(&["a"]));
    assert_eq!(verdict(&draft(&["b"]), &left, &[back()]), Ok(()));
}
