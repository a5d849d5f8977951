//! Tests of what `powershell` and `command` share.

use std::sync::Mutex;

use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::*;
use crate::transport::TransportErrorKind;

fn text(text: &str) -> Text {
    Text::try_from(text.to_owned()).expect("a text")
}

fn job(text: &Text, changes: bool) -> Job<'_> {
    Job {
        program: Program::Powershell,
        text,
        hints: Hints { creates: None, removes: None, changes, succeeds_on: &[0, 3010] },
    }
}

fn output(exit_code: i64, stdout: &str) -> Output {
    Output { exit_code: Some(exit_code), stdout: stdout.to_owned(), ..Output::default() }
}

#[test]
fn a_text_that_names_what_is_denied_is_refused_before_any_connection() {
    let error = Text::try_from("& .\\AeXAgentUtil.exe /Clean".to_owned()).expect_err("denied");

    assert!(error.starts_with("`aexagentutil` is never run"), "{error}");
    assert!(Text::try_from(" \n ".to_owned()).is_err());
    assert!(Text::try_from("x".repeat(LONGEST + 1)).is_err());
    assert!(Text::try_from("a\0b".to_owned()).is_err());
}

#[test]
fn an_exit_code_is_a_success_when_the_playbook_says_so() {
    assert_eq!(judged(&output(0, "\r\nfirst\r\nsecond"), &[0]), Ok("ran: first".to_owned()));
    assert_eq!(judged(&output(3010, ""), &[0, 3010]), Ok("ran, exit code 3010".to_owned()));
    assert_eq!(judged(&output(-1, ""), &[u32::MAX]), Ok(format!("ran, exit code {}", u32::MAX)));

    let failed = Output { stderr: "no such thing".to_owned(), ..output(1, "x") };
    let failure = judged(&failed, &[0]).expect_err("it failed");
    assert_eq!(failure.message, "the program ended with exit code 1");
    assert_eq!(failure.causes, ["no such thing"]);
}

#[test]
fn a_program_that_was_ended_by_force_failed() {
    for (ended, part) in [("output", "output limit"), ("time", "did not end in time")] {
        let ended = Output { ended: ended.to_owned(), ..Output::default() };
        assert!(judged(&ended, &[0]).expect_err("ended").message.contains(part));
    }
}

#[test]
fn a_long_complaint_is_cut_at_its_beginning_between_characters() {
    let failed = Output { stderr: "ü".repeat(SHOWN * 2), ..output(1, "") };

    let failure = judged(&failed, &[0]).expect_err("it failed");

    assert!(failure.causes[0].chars().count() <= SHOWN + 1);
}

#[test]
fn check_mode_shows_the_text_and_nothing_is_taken_back() {
    let text = text("Get-Thing\nRemove-Thing");
    let Verdict::Change(change) = decide(&job(&text, true), &State::Wanted) else {
        panic!("a change")
    };

    assert_eq!(describe(&change), ["run with PowerShell: Get-Thing", "    Remove-Thing"]);
    assert!(matches!(invert(), Undo::Impossible(_)));
}

#[tokio::test]
async fn a_text_that_changes_something_is_not_run_while_reading() {
    let host = ScriptedHost::new(|_, name, _| panic!("{name} is not needed"));
    let session = host.session(&[]);
    let text = text("Remove-Thing");

    let state = probe(&job(&text, true), &session.reader(soon(), nothing_before())).await;

    assert_eq!(state, Ok(State::Wanted));
}

#[tokio::test]
async fn a_text_travels_as_data_whatever_it_holds() {
    const HOSTILE: &str = "Write-Output '`\"$(Stop-Computer)\u{2019}'\r\n';}ü€😀";
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let sent = std::sync::Arc::clone(&seen);
    let host = ScriptedHost::new(move |_, name, input| {
        assert_eq!(name, "run-program");
        sent.lock().unwrap().push(input["text"].clone());
        Ok(json!({ "ended": "", "exit_code": 0, "stdout": "well", "stderr": "" }))
    });
    let session = host.session(&[]);
    let text = text(HOSTILE);
    let reading = job(&text, false);

    let state = probe(&reading, &session.reader(soon(), nothing_before())).await.expect("read");
    let Verdict::Unchanged { note, .. } = decide(&reading, &state) else { panic!("{state:?}") };
    let Verdict::Change(change) = decide(&job(&text, true), &State::Wanted) else {
        panic!("a change")
    };
    let applied = apply(&change, &session.changer(soon(), nothing_before())).await.expect("ran");

    assert_eq!((note.as_str(), applied.note.as_str()), ("ran: well", "ran: well"));
    assert_eq!(*seen.lock().unwrap(), [json!(HOSTILE), json!(HOSTILE)]);
}

#[tokio::test]
async fn a_text_whose_effect_is_there_is_not_needed() {
    let host = ScriptedHost::new(|_, name, input| {
        assert_eq!((name, &input["paths"]), ("paths-exist", &json!(["C:\\a", "C:\\b"])));
        Ok(json!({ "exist": [false, false] }))
    });
    let session = host.session(&[]);
    let text = text("Do-Thing");
    let job = Job {
        hints: Hints {
            creates: Some("C:\\a"),
            removes: Some("C:\\b"),
            changes: true,
            succeeds_on: &[0],
        },
        ..job(&text, true)
    };

    let state = probe(&job, &session.reader(soon(), nothing_before())).await;

    assert_eq!(state, Ok(State::NotNeeded("C:\\b does not exist".to_owned())));
}

#[tokio::test]
async fn a_text_whose_end_was_never_seen_is_in_doubt() {
    let host = ScriptedHost::new(|_, _, _| Err(TransportErrorKind::InDoubt));
    let session = host.session(&[]);
    let change = Change { program: Program::Cmd, text: "x".to_owned(), succeeds_on: vec![0] };

    let failure = apply(&change, &session.changer(soon(), nothing_before())).await;

    assert_eq!(failure.expect_err("in doubt").class, FailureClass::InDoubt);
    assert_eq!(host.ran(), ["run-program"], "it is never sent twice");
}
