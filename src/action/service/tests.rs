//! Tests of `service`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::*;

fn found(state: &str, start_mode: &str) -> Found {
    Found {
        found: true,
        name: "AeXNSClient".to_owned(),
        state: state.to_owned(),
        start_mode: start_mode.to_owned(),
        ..Found::default()
    }
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).expect("parameters")
}

fn change(value: Value, now: &Found) -> Change {
    match Service::decide(&params(value), now) {
        Verdict::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

fn refusal(value: Value, now: &Found) -> String {
    match Service::decide(&params(value), now) {
        Verdict::Refuse(failure) => failure.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_that_does_not_exist_is_named() {
    let text = refusal(json!({ "name": "NoSuch'; Stop-Computer" }), &Found::default());

    assert_eq!(text, "there is no service `NoSuch'; Stop-Computer`");
}

#[test]
fn what_is_so_already_is_left_alone_and_reading_is_the_default() {
    for wanted in [json!({ "name": "x" }), json!({ "name": "x", "state": "started" })] {
        let verdict = Service::decide(&params(wanted), &found("Running", "Auto"));
        let Verdict::Unchanged { note, value } = verdict else { panic!("{verdict:?}") };
        assert_eq!(note, "running, starts automatically");
        assert_eq!(value["state"], "running");
    }
}

#[test]
fn the_inverse_is_the_state_and_the_start_mode_of_before() {
    let wanted = json!({ "name": "x", "state": "started", "start_mode": "automatic" });
    let change = change(wanted, &found("Stopped", "Disabled"));

    let Undo::With(inverse) = Service::invert(&change) else { panic!("no inverse") };
    let inverse: Change = serde_json::from_value(inverse).expect("a change");

    assert_eq!(inverse.verb, Some(Verb::Stop));
    assert_eq!(inverse.start_mode, Some((StartMode::Automatic, StartMode::Disabled)));
    let Undo::With(again) = Service::invert(&inverse) else { panic!("no inverse") };
    assert_eq!(serde_json::from_value::<Change>(again).expect("a change"), change);
}

#[test]
fn a_restart_of_what_stood_is_a_start() {
    let restart = json!({ "name": "x", "state": "restarted" });

    let stood = change(restart, &found("Stopped", "Auto"));

    assert_eq!(stood.verb, Some(Verb::Start));
    assert!(matches!(Service::invert(&stood), Undo::With(_)));
}

#[test]
fn what_others_need_is_not_stopped_and_is_restarted_with_them() {
    let mut now = found("Running", "Auto");
    now.dependents = vec!["W3SVC".to_owned()];

    assert!(refusal(json!({ "name": "x", "state": "stopped" }), &now).contains("W3SVC need it"));
    let restart = change(json!({ "name": "x", "state": "restarted" }), &now);
    assert_eq!(restart.dependents, ["W3SVC"]);
    assert_eq!(
        Service::describe(&restart),
        ["restart the service `AeXNSClient`, and with it W3SVC"]
    );
}

#[test]
fn a_disabled_service_is_not_started_unless_its_mode_changes() {
    let now = found("Stopped", "Disabled");

    assert!(refusal(json!({ "name": "x", "state": "started" }), &now).contains("disabled"));
    change(json!({ "name": "x", "state": "started", "start_mode": "manual" }), &now);
}

#[test]
fn a_service_between_two_states_is_not_touched() {
    let text = refusal(json!({ "name": "x", "state": "started" }), &found("Stop Pending", "Auto"));

    assert!(text.contains("`Stop Pending`"), "{text}");
}

#[test]
fn a_delayed_start_is_told_apart() {
    let now = Found { delayed: true, ..found("Running", "Auto") };
    let change = change(json!({ "name": "x", "start_mode": "automatic" }), &now);

    assert_eq!(change.start_mode, Some((StartMode::AutomaticDelayed, StartMode::Automatic)));
    assert_eq!(change.verb, None);
}

/// A host whose service answers as it says, whatever is asked of it.
fn host(state: &'static str, start_mode: &'static str) -> Arc<ScriptedHost> {
    ScriptedHost::new(move |_, name, _| match name {
        "service-state" => Ok(json!({
            "found": true, "name": "AeXNSClient", "state": state, "start_mode": start_mode,
        })),
        "service-change" => Ok(json!({ "done": true })),
        other => panic!("{other}"),
    })
}

async fn apply(host: &Arc<ScriptedHost>, change: &Change) -> Result<Applied, StepFailure> {
    let session = host.session(&[]);
    Service::apply(change, &session.changer(soon(), nothing_before())).await
}

#[tokio::test]
async fn a_call_that_returned_is_no_proof_that_the_service_runs() {
    let change = change(json!({ "name": "x", "state": "started" }), &found("Stopped", "Auto"));

    let failure = apply(&host("Stopped", "Auto"), &change).await.expect_err("it never runs");

    assert_eq!(failure.class, FailureClass::InDoubt);
    assert!(failure.message.contains("did not see it running"), "{}", failure.message);
}

#[tokio::test]
async fn a_start_mode_that_drifted_is_not_overwritten() {
    let change = change(json!({ "name": "x", "start_mode": "manual" }), &found("Running", "Auto"));
    let host = host("Running", "Disabled");

    let failure = apply(&host, &change).await.expect_err("drift");

    assert_eq!(failure.class, FailureClass::Drifted);
    assert_eq!(host.ran(), ["service-state"]);
}

#[tokio::test]
async fn an_undo_that_was_done_already_does_nothing() {
    let change = change(json!({ "name": "x", "state": "stopped" }), &found("Running", "Auto"));
    let host = host("Stopped", "Auto");

    let applied = apply(&host, &change).await.expect("it is so already");

    assert!(applied.was_so_already);
    assert_eq!(host.ran(), ["service-state"]);
}

#[test]
fn a_restart_is_taken_back_by_seeing_that_the_service_runs() {
    let mut now = found("Running", "Auto");
    now.dependents = vec!["W3SVC".to_owned()];
    let restart = change(json!({ "name": "x", "state": "restarted" }), &now);

    let Undo::With(inverse) = Service::invert(&restart) else { panic!("no inverse") };
    let inverse: Change = serde_json::from_value(inverse).expect("a change");

    assert_eq!(inverse.verb, Some(Verb::Start));
    assert_eq!(inverse.dependents, ["W3SVC"]);
    assert_eq!(Service::invert(&inverse), Undo::Nothing);
}

#[tokio::test]
async fn a_start_that_cannot_be_asked_for_any_more_leaves_the_restart_in_doubt() {
    let restart = change(json!({ "name": "x", "state": "restarted" }), &found("Running", "Auto"));
    let host = ScriptedHost::new(|_, name, input| match (name, &input["verb"]) {
        ("service-state", _) => Ok(json!({
            "found": true, "name": "x", "state": "Stopped", "start_mode": "Auto",
        })),
        ("service-change", verb) if verb == "restart" => Ok(json!({ "done": false })),
        ("service-change", _) => Err(TransportErrorKind::Unreachable),
        other => panic!("{other:?}"),
    });

    let failure = apply(&host, &restart).await.expect_err("it is down");

    assert_eq!(failure.class, FailureClass::InDoubt);
    assert!(failure.message.ends_with("it is stopped now"), "{}", failure.message);
}

/// A host whose service stops after several looks: its own wait for that ends before.
fn slow_to_stop(looks: u32) -> Arc<ScriptedHost> {
    let seen = AtomicU32::new(0);
    let runs = AtomicBool::new(false);
    ScriptedHost::new(move |_, name, input| match name {
        "service-state" => {
            let is_stopped = seen.fetch_add(1, Ordering::SeqCst) > looks;
            let state = match (runs.load(Ordering::SeqCst), is_stopped) {
                (true, _) => "Running",
                (false, true) => "Stopped",
                (false, false) => "Stop Pending",
            };
            Ok(json!({ "found": true, "name": "x", "state": state, "start_mode": "Auto" }))
        }
        "service-change" => {
            let starts = input["verb"] == "start" && seen.load(Ordering::SeqCst) > looks;
            runs.store(starts, Ordering::SeqCst);
            Ok(json!({ "done": starts }))
        }
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn a_service_that_is_slow_to_stop_is_started_when_it_has_stopped() {
    let restart = change(json!({ "name": "x", "state": "restarted" }), &found("Running", "Auto"));
    let host = slow_to_stop(3);

    let applied = apply(&host, &restart).await.expect("it is started in the end");

    assert_eq!(applied.note, "restarted, and running");
    let asked = host.ran().iter().filter(|name| *name == "service-change").count();
    assert_eq!(asked, 2, "the restart, and the start that it did not come to");
}

#[tokio::test]
async fn a_service_that_does_not_stop_in_time_leaves_the_restart_in_doubt() {
    let restart = change(json!({ "name": "x", "state": "restarted" }), &found("Running", "Auto"));

    let failure = apply(&slow_to_stop(u32::MAX - 1), &restart).await.expect_err("never stops");

    assert_eq!(failure.class, FailureClass::InDoubt);
    assert!(failure.message.contains("did not see it stop"), "{}", failure.message);
}

#[tokio::test]
async fn a_restart_that_fails_half_way_is_in_doubt_and_one_that_changed_nothing_failed() {
    for (state, class) in
        [("Stopped", FailureClass::InDoubt), ("Running", FailureClass::RemoteFault)]
    {
        let restart =
            change(json!({ "name": "x", "state": "restarted" }), &found("Running", "Auto"));
        let host = ScriptedHost::new(move |_, name, _| match name {
            "service-state" => Ok(json!({
                "found": true, "name": "x", "state": state, "start_mode": "Auto",
            })),
            "service-change" => Err(TransportErrorKind::Fault),
            other => panic!("{other}"),
        });

        let failure = apply(&host, &restart).await.expect_err("it failed");

        assert_eq!(failure.class, class, "{state}: {}", failure.message);
    }
}

#[tokio::test]
async fn an_undo_does_not_stop_what_others_came_to_need() {
    let started = change(json!({ "name": "x", "state": "started" }), &found("Stopped", "Auto"));
    let Undo::With(inverse) = Service::invert(&started) else { panic!("no inverse") };
    let inverse: Change = serde_json::from_value(inverse).expect("a change");
    let host = ScriptedHost::new(|_, name, _| match name {
        "service-state" => Ok(json!({
            "found": true, "name": "x", "state": "Running", "start_mode": "Auto",
            "dependents": ["W3SVC"],
        })),
        other => panic!("{other}"),
    });

    let failure = apply(&host, &inverse).await.expect_err("W3SVC needs it");

    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains("W3SVC need it and run"), "{}", failure.message);
}
