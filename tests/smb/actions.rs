//! The actions over files, from the decision to the undo, over the wire.

use std::sync::Arc;

use fleetmend::action::{Applied, Decision, find};
use fleetmend::event::{ChangeRecord, Undo};
use fleetmend::model::{FailureClass, Guid, StepFailure};
use fleetmend::protocol::security_descriptor::{SecurityDescriptor, Sid};
use serde_json::{Value, json};

use super::lab::{AGENT, NOW, Server, soon};

const PACKAGE: Guid = Guid::from_u128(0xA);
const KEPT: &str = r"C:\ProgramData\fleetmend\quarantine";

fn snapshot() -> String {
    format!(r"{AGENT}\Package Delivery\{PACKAGE}\snapshot.xml")
}

fn params() -> Value {
    json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"], "packages": [PACKAGE] })
}

async fn decide(server: &Server, action: &str, params: Value) -> Result<Decision, StepFailure> {
    let session = server.session(1);
    let at = session.reader(soon(), Arc::from([]));
    let decision = find(action).unwrap().prepare(params).unwrap().decide(&at).await;
    session.close().await;
    decision
}

async fn change(server: &Server, action: &str, params: Value) -> ChangeRecord {
    match decide(server, action, params).await {
        Ok(Decision::Change(record, _)) => record,
        other => panic!("{other:?}"),
    }
}

async fn apply(
    server: &Server,
    run: u128,
    action: &str,
    change: &Value,
) -> Result<Applied, StepFailure> {
    let session = server.session(run);
    let at = session.changer(soon(), Arc::from([]));
    let applied = find(action).unwrap().apply(change, &at).await;
    session.close().await;
    applied
}

fn undo_of(record: &ChangeRecord) -> &Value {
    match &record.undo {
        Undo::With(inverse) => inverse,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_goes_into_a_closed_quarantine_and_comes_back() {
    let server = Server::start().await;
    server.tree.write(&snapshot(), "<snapshot/>", NOW).unwrap();

    let record = change(&server, "quarantine_files", params()).await;
    let applied = apply(&server, 1, "quarantine_files", &record.change).await.unwrap();
    assert_eq!(applied.note, "moved 1 file into quarantine");
    assert!(!server.tree.exists(&snapshot()));
    let run = format!(r"{KEPT}\00000000000000000000000000000001");
    let kept = format!(r"{run}\ps_delivery\{PACKAGE}\snapshot.xml");
    assert_eq!(server.tree.read(&kept).unwrap(), b"<snapshot/>");
    let closed = SecurityDescriptor::parse(&server.tree.descriptor(&run).unwrap()).unwrap();
    assert!(closed.is_protected());
    assert_eq!(closed.granted_to(&[Sid::users(), Sid::everyone()]), 0);

    server.tree.write(&snapshot(), "written meanwhile", NOW).unwrap();
    let undone = apply(&server, 2, "quarantine_files", undo_of(&record)).await.unwrap();
    assert_eq!(undone.note, "moved 1 file back, kept 1 file that stood in the way");
    assert_eq!(server.tree.read(&snapshot()).unwrap(), b"<snapshot/>");
}

#[tokio::test]
async fn a_junction_in_the_store_is_not_followed() {
    let server = Server::start().await;
    server.tree.write(r"C:\Elsewhere\snapshot.xml", "x", NOW).unwrap();
    let folder = format!(r"{AGENT}\Package Delivery\{PACKAGE}");
    server.tree.add_junction(&folder, r"C:\Elsewhere", NOW).unwrap();

    let failure = decide(&server, "quarantine_files", params()).await.unwrap_err();

    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains("link"), "{failure}");
}

#[tokio::test]
async fn a_file_that_is_held_for_a_moment_is_moved_when_it_is_let_go() {
    let server = Server::start().await;
    server.tree.write(&snapshot(), "x", NOW).unwrap();
    let record = change(&server, "quarantine_files", params()).await;

    let hold = server.tree.hold_open(&snapshot()).unwrap();
    let letting_go = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(hold);
    });
    let applied = apply(&server, 1, "quarantine_files", &record.change).await.unwrap();

    assert_eq!(applied.note, "moved 1 file into quarantine");
    letting_go.await.unwrap();
}

#[tokio::test]
async fn rights_are_given_and_taken_back() {
    let server = Server::start().await;
    let store = format!(r"{AGENT}\Package Delivery");
    let before = SecurityDescriptor::parse(&server.tree.descriptor(&store).unwrap()).unwrap();
    let sid: Sid = "S-1-5-21-1-2-3-1105".parse().unwrap();
    let params = json!({ "role": "ps_delivery", "account": sid.to_string(), "rights": "modify" });

    let record = change(&server, "acl", params.clone()).await;
    apply(&server, 1, "acl", &record.change).await.unwrap();
    let after = SecurityDescriptor::parse(&server.tree.descriptor(&store).unwrap()).unwrap();
    assert_eq!(after.aces().len(), before.aces().len() + 1);
    assert_eq!(after.owner(), before.owner());
    let again = decide(&server, "acl", params).await.unwrap();
    assert!(matches!(again, Decision::Unchanged { .. }), "{again:?}");

    apply(&server, 2, "acl", undo_of(&record)).await.unwrap();
    let back = SecurityDescriptor::parse(&server.tree.descriptor(&store).unwrap()).unwrap();
    assert_eq!(back.dacl(), before.dacl());
}
