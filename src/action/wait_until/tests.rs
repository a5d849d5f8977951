//! Tests of `wait_until`.

use std::sync::Arc;

use super::super::scripted_host::{ScriptedHost, soon};
use super::*;
use crate::host::PriorChange;

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);

fn path(package: Guid, extension: &str) -> String {
    format!("C:\\ProgramData\\Symantec\\SMP\\Snapshots\\{package}.{extension}")
}

fn moved(package: Guid) -> Value {
    json!({ "package": package, "from": path(package, "xml"), "modified": 10 })
}

/// Package A was moved away: its snapshot and the signature.
fn prior() -> Arc<[PriorChange]> {
    let signature = json!({ "package": A, "from": path(A, "sig"), "modified": 10 });
    Arc::from([PriorChange {
        action: "quarantine_files".to_owned(),
        change: json!({
            "role": "ns_snapshots",
            "packages_moved": [A],
            "moves": [moved(A), signature],
        }),
    }])
}

fn params(within: Option<&str>) -> Params {
    let mut params = json!({ "files": [A, B], "role": "ns_snapshots" });
    if let Some(within) = within {
        params["within"] = json!(within);
    }
    serde_json::from_value(params).expect("parameters")
}

fn silent() -> Arc<ScriptedHost> {
    ScriptedHost::new(|_, name, _| panic!("{name} is not needed"))
}

async fn decide(host: &Arc<ScriptedHost>) -> Verdict<Change> {
    let session = host.session(&[]);
    let params = params(Some("5 min"));
    let state = WaitUntil::probe(&params, &session.reader(soon(), prior())).await.expect("a state");
    WaitUntil::decide(&params, &state)
}

#[test]
fn a_file_is_back_when_it_is_newer_than_the_one_moved_away() {
    let file: MovedFile = serde_json::from_value(moved(A)).expect("a file");

    assert!(is_back(&file, Some(11)));
    assert!(!is_back(&file, Some(10)), "restored, or never moved");
    assert!(!is_back(&file, None));
}

#[tokio::test]
async fn only_files_that_were_moved_are_waited_for_and_no_signatures() {
    let Verdict::Change(change) = decide(&silent()).await else { panic!("a change") };

    assert_eq!(change.pending.len(), 1);
    assert_eq!(change.within, Some(Duration::from_secs(300)));
    assert_eq!(WaitUntil::describe(&change), [format!("wait for a new {}", path(A, "xml"))]);
}

#[tokio::test]
async fn nothing_is_waited_for_when_the_files_are_there() {
    let host = silent();
    host.write(&path(A, "xml"), "<snapshot/>", 11);

    let Verdict::Unchanged { note, .. } = decide(&host).await else { panic!("unchanged") };
    assert_eq!(note, "the file is there again");
}

#[tokio::test]
async fn the_step_ends_when_the_file_is_written() {
    let host = silent();
    let Verdict::Change(change) = decide(&host).await else { panic!("a change") };
    let session = host.session(&[]);
    let at = session.changer(soon(), prior());

    let (applied, ()) = tokio::join!(WaitUntil::apply(&change, &at), async {
        tokio::task::yield_now().await;
        host.write(&path(A, "xml"), "<snapshot/>", 11);
    });

    assert_eq!(applied.expect("it is there").note, "the file is there again");
}

#[tokio::test]
async fn files_that_do_not_come_are_named() {
    let host = silent();
    let Verdict::Change(change) = decide(&host).await else { panic!("a change") };
    let session = host.session(&[]);

    let failure =
        WaitUntil::apply(&change, &session.changer(soon(), prior())).await.expect_err("missing");

    assert_eq!(failure.class, FailureClass::TimedOut);
    assert_eq!(failure.message, format!("1 of 1 files were not there again in time: {A}"));
}

#[test]
fn a_long_list_is_cut_in_messages() {
    let file: MovedFile = serde_json::from_value(moved(A)).expect("a file");

    assert!(named(&vec![file; 12]).ends_with(", and 2 more"));
}
