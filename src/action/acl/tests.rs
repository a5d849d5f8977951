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
        assert_eq!(failure.class, FailureClass::Drifted);
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

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);

fn sid() -> Sid {
    ACCOUNT.parse().expect("a SID")
}

fn tree() -> Value {
    json!({ "role": "ps_delivery", "account": ACCOUNT, "rights": "full_control", "tree": true })
}

fn folder(package: Guid, below: &str) -> String {
    format!("{}\\{package}{below}", store())
}

fn has_rights(host: &MemoryHost, folder: &str) -> bool {
    let stored = SecurityDescriptor::parse(&host.stored_descriptor(folder)).expect("parsed");
    holds(&stored, &sid(), FileRights::FULL_CONTROL)
}

fn agent_says(host: &MemoryHost, status: &str) {
    host.answer(
        "agent-packages",
        json!({ "package_server": true, "packages": [
            { "id": A, "name": "a", "status": "Ready", "version": "1", "custom_location": true,
              "location": "E:\\Images\\A" },
            { "id": B, "name": "b", "status": status, "version": "1" },
        ] }),
    );
}

/// Two packages whose folders only SYSTEM and the administrators may use (KB 179719).
fn host_with_broken_folders() -> Arc<MemoryHost> {
    let host = MemoryHost::package_server();
    for package in [A, B] {
        host.folder(&folder(package, "\\cache\\lang"));
        host.describe(&folder(package, ""), &SecurityDescriptor::administrators_only());
    }
    host.folder(&format!("{}\\Other", store()));
    host.folder("E:\\Images\\A");
    agent_says(&host, "Ready");
    host
}

#[tokio::test]
async fn folders_of_packages_get_an_entry_of_their_own_and_undo_puts_every_byte_back() {
    let host = host_with_broken_folders();
    let all: Vec<String> = [A, B]
        .into_iter()
        .flat_map(|id| ["", "\\cache", "\\cache\\lang"].map(|below| folder(id, below)))
        .chain([store()])
        .collect();
    let before: Vec<Vec<u8>> = all.iter().map(|path| host.stored_descriptor(path)).collect();

    let record = change(&host, tree()).await;
    assert_eq!(record.lines.len(), 7, "{:?}", record.lines);
    let applied = apply(&host, &record.change).await.expect("applied");
    assert_eq!(applied.note, format!("gave {ACCOUNT} full control on 7 folders"));
    assert!(all.iter().all(|path| has_rights(&host, path)));
    assert!(!has_rights(&host, &format!("{}\\Other", store())));
    assert!(!has_rights(&host, "E:\\Images\\A"), "nobody asked for other places");

    let again = decide(&host, tree()).await;
    assert!(matches!(again, Ok(Decision::Unchanged { .. })), "{again:?}");
    let resumed = apply(&host, &record.change).await.expect("resume");
    assert!(resumed.was_so_already);

    apply(&host, undo_of(&record)).await.expect("undone");
    let after: Vec<Vec<u8>> = all.iter().map(|path| host.stored_descriptor(path)).collect();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_package_that_is_downloaded_or_removed_is_left_alone() {
    for (status, words) in [("Download Pending", "is being downloaded"), ("Deleted", "removed")] {
        let host = host_with_broken_folders();
        agent_says(&host, status);

        let record = change(&host, tree()).await;
        let applied = apply(&host, &record.change).await.expect("applied");

        assert!(applied.note.contains(words), "{}", applied.note);
        assert!(has_rights(&host, &folder(A, "")));
        assert!(!has_rights(&host, &folder(B, "")));
    }
}

#[tokio::test]
async fn another_place_is_changed_only_when_the_agent_names_it_and_never_one_of_the_system() {
    let host = host_with_broken_folders();
    let params = || {
        json!({ "role": "ps_delivery", "account": ACCOUNT, "rights": "modify", "packages": [A],
            "alternate_locations": true })
    };

    let record = change(&host, params()).await;
    apply(&host, &record.change).await.expect("applied");
    let place = SecurityDescriptor::parse(&host.stored_descriptor("E:\\Images\\A"));
    assert!(holds(&place.expect("parsed"), &sid(), FileRights::MODIFY));
    assert!(!has_rights(&host, &folder(B, "")), "it was not named");
    for refused in ["C:\\Users\\x", "C:\\ProgramData\\Microsoft"] {
        host.folder(refused);
        host.answer(
            "agent-packages",
            json!({ "package_server": true, "packages": [{ "id": A, "name": "a",
                "status": "Ready", "version": "1", "custom_location": true,
                "location": refused }] }),
        );
        let failure = decide(&host, params()).await.expect_err(refused);
        assert!(failure.message.contains("other programs or of users"), "{failure}");
    }

    host.folder("C:\\Windows\\Temp");
    host.answer(
        "agent-packages",
        json!({ "package_server": true, "packages": [{ "id": A, "name": "a", "status": "Ready",
            "version": "1", "custom_location": true, "location": "C:\\Windows\\Temp" }] }),
    );
    let failure = decide(&host, params()).await.expect_err("a folder of the system");
    assert!(failure.message.contains("it belongs to the system"), "{failure}");
}

#[tokio::test]
async fn inside_another_place_only_the_folders_of_the_packages_own_files_are_changed() {
    let host = host_with_broken_folders();
    for below in ["E:\\Images\\A\\Lang\\de", "E:\\Images\\A\\Payroll"] {
        host.folder(below);
    }
    host.write(
        &folder(A, "\\snapshot.xml"),
        "<s version='1'><f name='setup.exe' size='1'/><f name='lang/de/x.mst' size='1'/></s>",
    );
    let params = json!({ "role": "ps_delivery", "account": ACCOUNT, "rights": "full_control",
        "packages": [A], "alternate_locations": true });

    let record = change(&host, params).await;
    apply(&host, &record.change).await.expect("applied");

    for own in ["E:\\Images\\A", "E:\\Images\\A\\Lang", "E:\\Images\\A\\Lang\\de"] {
        assert!(has_rights(&host, own), "{own}");
    }
    assert!(!has_rights(&host, "E:\\Images\\A\\Payroll"), "it is nobody's here");
}

#[tokio::test]
async fn one_folder_that_changed_meanwhile_stops_the_rest_and_says_how_far_it_came() {
    let host = host_with_broken_folders();
    let record = change(&host, tree()).await;
    host.describe(&folder(B, ""), &SecurityDescriptor::machine_default());

    let failure = apply(&host, &record.change).await.expect_err("drift");

    assert_eq!(failure.class, FailureClass::Drifted);
    assert!(failure.message.ends_with("(after 4 of 7 folders)"), "{failure}");
}

#[tokio::test]
async fn packages_are_looked_for_in_the_store_alone() {
    let host = host_with_broken_folders();
    let params = json!({ "role": "ps_status", "account": ACCOUNT, "rights": "read", "tree": true });

    let failure = decide(&host, params).await.expect_err("no packages there");

    assert!(failure.message.contains("only ps_delivery"), "{failure}");
}
