//! Tests of `scheduled_task`.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::*;

const REFRESH: &str = "NS.Package Refresh.{7A4B5D6E-0000-4000-8000-000000000001}";

fn task(name: &str, status: &str, last_run: Option<&str>, last_result: Option<i64>) -> Task {
    Task {
        name: name.to_owned(),
        status: status.to_owned(),
        last_run: last_run.map(|text| text.parse().expect("a time")),
        last_result,
        run_as: Some("SYSTEM".to_owned()),
        action: None,
    }
}

fn prefix(text: &str) -> Prefix {
    Prefix::try_from(text.to_owned()).expect(text)
}

fn decide(run: &str, tasks: &[Task]) -> Verdict<Change> {
    ScheduledTask::decide(&Params { run: Some(prefix(run)), list: None }, &tasks.to_vec())
}

#[test]
fn a_prefix_matches_either_spelling_and_ends_where_a_word_ends() {
    for run in ["NS.Package Refresh", "ns.package.refresh", "NS.Package Refresh.", "NS.Package"] {
        assert!(prefix(run).matches(REFRESH), "{run}");
    }
    assert!(prefix("NS.Package Refresh").matches("Altiris\\NS.Package.Refresh"));
    for run in ["NS.Package Ref", "Package Refresh", "NS.PackageXRefresh", "NS.Package Refresher"] {
        assert!(!prefix(run).matches(REFRESH), "{run}");
    }
    assert!(Prefix::try_from("  ".to_owned()).is_err());
}

#[test]
fn exactly_one_task_must_match_and_the_others_are_named() {
    let tasks = [
        task(REFRESH, "Ready", None, Some(RESULT_NEVER_RAN)),
        task("NS.Package Server Status Event Capture Item.{1}", "Ready", None, None),
    ];

    let Verdict::Change(change) = decide("NS.Package Refresh", &tasks) else { panic!("a change") };
    assert_eq!(change.name, REFRESH);

    let Verdict::Refuse(two) = decide("NS.Package", &tasks) else { panic!("a refusal") };
    assert_eq!(two.class, FailureClass::Refused);
    assert!(two.message.contains(REFRESH) && two.message.contains("Capture"), "{two}");

    let Verdict::Refuse(none) = decide("NS.Nothing", &tasks) else { panic!("a refusal") };
    assert_eq!(none.message, "no scheduled task starts with `NS.Nothing`");
}

#[test]
fn a_disabled_task_is_refused_and_a_running_one_is_joined() {
    let disabled = [task(REFRESH, "Disabled", None, None)];
    assert!(matches!(decide("NS.Package Refresh", &disabled), Verdict::Refuse(_)));

    let running = [task(REFRESH, "Running", None, Some(RESULT_RUNNING))];
    let Verdict::Change(change) = decide("NS.Package Refresh", &running) else {
        panic!("a change")
    };
    assert!(change.running);
    assert_eq!(
        ScheduledTask::describe(&change),
        [format!(
            "wait for the end of the scheduled task `{REFRESH}` (runs as SYSTEM), which is running"
        )]
    );
}

#[test]
fn a_task_has_ended_when_it_ran_later_and_runs_no_more() {
    let then = "2026-05-16T11:00:00Z";
    let later = "2026-05-16T12:00:00Z";
    let before = Some(then.parse().expect("a time"));
    let look = |status, last_run, result| {
        progress(before, false, &task(REFRESH, status, Some(last_run), Some(result)))
    };

    assert_eq!(look("Ready", then, 0), Progress::Going, "not started yet");
    assert_eq!(look("Running", later, RESULT_RUNNING), Progress::Going);
    assert_eq!(look("Ready", later, RESULT_RUNNING), Progress::Going);
    assert_eq!(look("Ready", later, 0), Progress::Ended);
    assert_eq!(look("Ready", later, 2), Progress::Failed(2));
    let never = task(REFRESH, "Ready", None, Some(RESULT_NEVER_RAN));
    assert_eq!(progress(None, false, &never), Progress::Going);
    let joined = task(REFRESH, "Ready", Some(then), Some(0));
    assert_eq!(progress(before, true, &joined), Progress::Ended);
}

#[test]
fn a_result_is_shown_as_windows_shows_it() {
    assert_eq!(shown(2), "0x00000002");
    assert_eq!(shown(-2_147_024_629), "0x8007010B");
}

/// A host whose task runs for two looks and then ends with `result`.
fn host(result: i64, start: Option<TransportErrorKind>) -> std::sync::Arc<ScriptedHost> {
    let looks = AtomicU32::new(u32::MAX);
    ScriptedHost::new(move |_, name, input| match name {
        "scheduled-tasks" => {
            let look = looks.load(Ordering::SeqCst);
            if look < 10 {
                looks.fetch_add(1, Ordering::SeqCst);
            }
            let (status, last_run, result) = match look {
                u32::MAX => ("Ready", "2026-05-16T11:00:00Z", 0),
                0 | 1 => ("Running", "2026-05-16T12:00:00Z", RESULT_RUNNING),
                _ => ("Ready", "2026-05-16T12:00:00Z", result),
            };
            Ok(json!({ "tasks": [{
                "name": REFRESH, "status": status, "last_run": last_run,
                "last_result": result, "run_as": "SYSTEM",
            }] }))
        }
        "scheduled-task-run" => {
            assert_eq!(input["name"], REFRESH);
            if start != Some(TransportErrorKind::Fault) {
                looks.store(0, Ordering::SeqCst);
            }
            start.map_or_else(|| Ok(json!({ "started": true })), Err)
        }
        other => panic!("{other}"),
    })
}

async fn run(host: &std::sync::Arc<ScriptedHost>) -> Result<Applied, StepFailure> {
    let session = host.session(&[]);
    let params = Params { run: Some(prefix("NS.Package Refresh")), list: None };
    let state = ScheduledTask::probe(&params, &session.reader(soon(), nothing_before())).await?;
    let Verdict::Change(change) = ScheduledTask::decide(&params, &state) else {
        panic!("a change")
    };
    ScheduledTask::apply(&change, &session.changer(soon(), nothing_before())).await
}

#[tokio::test]
async fn a_task_is_started_once_and_waited_for() {
    let host = host(0, None);

    let applied = run(&host).await.expect("it ran");

    assert_eq!(applied.note, format!("`{REFRESH}` ran"));
    assert_eq!(applied.value["run_as"], "SYSTEM");
    let starts = host.ran().iter().filter(|name| *name == "scheduled-task-run").count();
    assert_eq!(starts, 1);
}

#[tokio::test]
async fn a_task_that_ends_badly_fails_with_its_result() {
    let failure = run(&host(-2_147_024_629, None)).await.expect_err("it failed");

    assert_eq!(failure.class, FailureClass::RemoteFault);
    assert!(failure.message.ends_with("ended with result 0x8007010B"), "{failure}");
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_looked_for_not_repeated() {
    let host = host(0, Some(TransportErrorKind::InDoubt));

    run(&host).await.expect("it was seen to run");

    assert_eq!(host.ran().iter().filter(|name| *name == "scheduled-task-run").count(), 1);
}

#[tokio::test]
async fn a_task_that_does_not_end_is_in_doubt_and_one_that_was_refused_failed() {
    let failure = run(&host(RESULT_RUNNING, None)).await.expect_err("it never ends");
    assert_eq!(failure.class, FailureClass::InDoubt);

    let failure = run(&host(0, Some(TransportErrorKind::Fault))).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::RemoteFault);
}

#[test]
fn tasks_are_listed_by_a_pattern_and_nothing_is_run() {
    let tasks = [
        task("NS.Package Refresh.{A}", "Ready", None, Some(0x8007_010B)),
        task("Site\\Clean up deployment", "Ready", None, None),
    ];
    let names = |pattern: Option<&str>| {
        let params = Params { run: None, list: pattern.map(str::to_owned) };
        match ScheduledTask::decide(&params, &tasks.to_vec()) {
            Verdict::Unchanged { value, .. } => value["tasks"].as_array().map_or(0, Vec::len),
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(names(None), 2);
    assert_eq!(names(Some("ns.*")), 1);
    assert_eq!(names(Some("*deploy*")), 1);
    assert_eq!(names(Some("\\Site\\*")), 1);
    assert_eq!(names(Some("*x*")), 0);
    let Verdict::Unchanged { value, .. } = listed(&tasks, "NS*") else { panic!("unchanged") };
    assert_eq!(value["tasks"][0]["last_result"], "0x8007010B");
}

#[test]
fn the_parts_of_a_pattern_follow_one_another() {
    for (pattern, name, does_fit) in [
        ("a*b*c", "aXXbYYc", true),
        ("a*b*c", "acb", false),
        ("*", "", true),
        ("ab*ba", "aba", false),
        ("abc", "ABC", true),
        ("a**c", "abc", true),
    ] {
        assert_eq!(fits(pattern, name), does_fit, "{pattern} {name}");
    }
}
