use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::action::{Decision, find};
use crate::event::ChangeRecord;
use crate::host::memory::{AGENT, MemoryHost, changer, reader};

const ACCOUNT: &str = "S-1-5-21-1-2-3-1105";

fn store() -> String {
    format!("{AGENT}\\Package Delivery")
}

fn params(rights: &str) -> Value {
    json!({ "role": "ps_delivery", "account": ACCOUNT, "rights": rights })
}

async fn decide(host: &Arc<MemoryHost>, params: Value) -> Result<Decision, StepFailure> {
    let session = host.session(1);
    let at = reader(&session);
    find("acl").expect("acl").prepare(params).expect("parameters").decide(&at).await
}

async fn change(host: &Arc<MemoryHost>, params: Value) -> ChangeRecord {
    match decide(host, params).await {
        Ok(Decision::Change(record, _)) => record,
        other => panic!("{other:?}"),
    }
}

async fn apply(host: &Arc<MemoryHost>, change: &Value) -> Result<Applied, StepFailure> {
    let session = host.session(1);
    let at = changer(&session);
    find("acl").expect("acl").apply(change, &at).await
}

fn undo_of(record: &ChangeRecord) -> &Value {
    match &record.undo {
        Undo::With(inverse) => inverse,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_account_gets_rights_once_and_undo_puts_the_bytes_back() {
    let host = MemoryHost::package_server();
    let before = host.stored_descriptor(&store());

    let record = change(&host, params("full_control")).await;
    assert_eq!(record.lines, [format!("give {ACCOUNT} ({ACCOUNT}) full control on {}", store())]);
    apply(&host, &record.change).await.expect("applied");
    let after = SecurityDescriptor::parse(&host.stored_descriptor(&store())).expect("parsed");
    assert!(holds(&after, &ACCOUNT.parse().expect("a SID"), FileRights::FULL_CONTROL));

    for rights in ["full_control", "modify", "read"] {
        let again = decide(&host, params(rights)).await;
        assert!(matches!(again, Ok(Decision::Unchanged { .. })), "{rights}: {again:?}");
    }
    let again = apply(&host, &record.change).await.expect("resume");
    assert_eq!(again.note, "the rights are so already");

    apply(&host, undo_of(&record)).await.expect("undone");
    assert_eq!(host.stored_descriptor(&store()), before);
}

#[tokio::test]
async fn rights_that_somebody_changed_meanwhile_are_left_alone() {
    let host = MemoryHost::package_server();
    let record = change(&host, params("modify")).await;
    apply(&host, &record.change).await.expect("applied");
    host.describe(&store(), &SecurityDescriptor::administrators_only());

    for drifted in [&record.change, undo_of(&record)] {
        let failure = apply(&host, drifted).await.expect_err("drift");
        assert_eq!(failure.class, FailureClass::Refused);
    }
    let stored = host.stored_descriptor(&store());
    assert_eq!(stored, SecurityDescriptor::administrators_only().encode());
}

#[tokio::test]
async fn a_folder_without_a_list_stays_open_with_a_note() {
    let host = MemoryHost::package_server();
    let open = SecurityDescriptor::machine_default().with_dacl(Dacl::Null);
    host.describe(&store(), &open);

    match decide(&host, params("read")).await {
        Ok(Decision::Unchanged { note, .. }) => assert!(note.contains("no list"), "{note}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_denial_that_outweighs_the_grant_and_a_grant_to_everybody_are_refused() {
    let host = MemoryHost::package_server();
    let sid: Sid = ACCOUNT.parse().expect("a SID");
    let flags = AceFlags::THIS_FOLDER_AND_BELOW;
    let denied = SecurityDescriptor::machine_default()
        .with_deny_ace(&sid, FileRights::WRITE_DATA, flags)
        .expect("fits");
    host.describe(&store(), &denied);
    let failure = decide(&host, params("modify")).await.expect_err("denied");
    assert!(failure.message.contains("denial"), "{failure}");

    let everybody = json!({ "role": "ps_delivery", "account": "S-1-1-0", "rights": "modify" });
    let failure = decide(&host, everybody).await.expect_err("everybody");
    assert_eq!(failure.class, FailureClass::Refused);
}

#[tokio::test]
async fn a_name_is_resolved_by_the_host() {
    let host = MemoryHost::package_server();
    host.answer("resolve-account", json!({ "account": "CORP\\altiris-acc", "sid": ACCOUNT }));
    let named = json!({ "role": "ps_delivery", "account": "altiris-acc", "rights": "read" });

    let record = change(&host, named).await;

    assert!(record.lines[0].starts_with(&format!("give CORP\\altiris-acc ({ACCOUNT})")));
}
