use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::action::{Decision, find};
use crate::event::ChangeRecord;
use crate::host::below_here;
use crate::host::memory::{AGENT, MemoryHost, changer, reader};

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);

async fn decide(host: &Arc<MemoryHost>, params: Value) -> Result<Decision, StepFailure> {
    let session = host.session(7);
    let at = reader(&session);
    find("collect_files")
        .expect("it is there")
        .prepare(params)
        .expect("parameters")
        .decide(&at)
        .await
}

async fn change(host: &Arc<MemoryHost>, params: Value) -> ChangeRecord {
    match decide(host, params).await {
        Ok(Decision::Change(record, cost)) => {
            assert!(cost.is_none());
            record
        }
        other => panic!("{other:?}"),
    }
}

async fn apply(host: &Arc<MemoryHost>, record: &ChangeRecord) -> Applied {
    let session = host.session(7);
    let at = changer(&session);
    find("collect_files").expect("it is there").apply(&record.change, &at).await.expect("applied")
}

fn snapshot(package: Guid) -> String {
    format!("{AGENT}\\Package Delivery\\{package}\\snapshot.xml")
}

#[tokio::test]
async fn files_are_copied_with_a_manifest_and_the_host_keeps_its_own() {
    let (_here, into) = below_here();
    let host = MemoryHost::package_server();
    host.write(&snapshot(A), "abc");
    let params = json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"],
        "packages": [A, B], "into": into });

    let record = change(&host, params.clone()).await;
    assert_eq!(record.lines, [format!("copy {} (3 bytes) into {into}", snapshot(A))]);
    assert_eq!(record.undo, Undo::Nothing);
    assert!(!PathBuf::from(&into).join("00000000000000000000000000000007").exists(), "not yet");

    let applied = apply(&host, &record).await;
    let folder = PathBuf::from(applied.value["folder"].as_str().expect("a folder"));
    let kept = folder.join(format!("ps_delivery/{A}/snapshot.xml"));
    assert_eq!(std::fs::read(kept).expect("kept"), b"abc");
    let manifest = std::fs::read(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let file = &manifest["files"][0];
    assert_eq!(file["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!((&file["size"], &file["package"]), (&json!(3), &json!(A)));
    assert!(file["modified"].as_str().is_some_and(|at| at.starts_with("1601-01-01T")));
    assert_eq!(host.content(&snapshot(A)).as_deref(), Some("abc"));

    let again = apply(&host, &change(&host, params).await).await;
    assert_eq!(again.value["manifest"], "manifest.json.2", "nothing is written over");
}

#[tokio::test]
async fn of_a_log_the_end_is_kept() {
    let (_here, into) = below_here();
    let host = MemoryHost::package_server();
    let log = format!("{AGENT}\\Logs\\agent.log");
    host.write(&log, &format!("{}{}", "x".repeat(2000), "y".repeat(1024)));
    let params = json!({ "role": "agent_log", "files": ["agent.log"], "into": into,
        "tail_kib": 1 });

    let record = change(&host, params).await;
    assert_eq!(record.lines, [format!("copy the last 1 KiB of {log} into {into}")]);
    let applied = apply(&host, &record).await;

    let file = &applied.value["files"][0];
    assert_eq!((&file["from_byte"], &file["bytes"]), (&json!(2000), &json!(1024)));
    let folder = PathBuf::from(applied.value["folder"].as_str().expect("a folder"));
    let kept = std::fs::read(folder.join("agent_log/agent.log")).expect("kept");
    assert_eq!(kept, "y".repeat(1024).as_bytes());
}

#[tokio::test]
async fn a_file_that_vanished_is_named_and_the_others_are_kept() {
    let (_here, into) = below_here();
    let host = MemoryHost::package_server();
    host.write(&snapshot(A), "a");
    host.write(&snapshot(B), "b");
    let record = change(
        &host,
        json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"], "packages": [A, B],
            "into": into }),
    )
    .await;
    host.remove(&snapshot(A));

    let applied = apply(&host, &record).await;

    assert!(applied.note.starts_with("kept 1 of 2 files (1 bytes)"), "{}", applied.note);
    assert_eq!(applied.value["files"][0]["not_kept"], "it is gone");
}

#[tokio::test]
async fn what_holds_credentials_or_is_content_is_not_copied() {
    let host = MemoryHost::package_server();
    for (role, file) in [
        ("ps_policies", "{ns}.xml"),
        ("ns_settings", "CoreSettings.config"),
        ("ps_delivery", "{package}/cache/setup.exe"),
        ("ps_delivery", "x.xml"),
        ("ps_status", "x.xml"),
        ("agent_log", "{package}.log"),
        ("agent_queue", "x.nse"),
    ] {
        let params = json!({ "role": role, "files": [file], "packages": [A] });
        let failure = decide(&host, params).await.expect_err(file);
        assert_eq!(failure.class, FailureClass::Refused, "{role} {file}");
        assert!(failure.message.starts_with("could not collect"), "{failure}");
    }
}

#[tokio::test]
async fn more_files_than_a_bundle_has_are_refused() {
    let host = MemoryHost::package_server();
    let packages: Vec<Guid> = (1..=501).map(Guid::from_u128).collect();
    packages.iter().for_each(|package| host.write(&snapshot(*package), "x"));
    let params = json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"],
        "packages": packages });

    let failure = decide(&host, params).await.expect_err("too many");

    assert!(failure.message.contains("501 files"), "{failure}");
}

#[test]
fn a_folder_outside_of_the_working_directory_is_not_taken() {
    for into in ["/tmp/x", "../x", "a/../../b"] {
        let params = json!({ "role": "agent_log", "files": ["agent.log"], "into": into });
        assert!(find("collect_files").expect("it is there").prepare(params).is_err(), "{into}");
    }
}
