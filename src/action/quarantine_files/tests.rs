use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::action::{Decision, find};
use crate::event::ChangeRecord;
use crate::host::memory::{AGENT, MemoryHost, changer, reader};

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);

fn snapshot(package: Guid) -> String {
    format!("{AGENT}\\Package Delivery\\{package}\\snapshot.xml")
}

fn status(package: Guid) -> String {
    format!("{AGENT}\\Package Server Agent\\PackageStatus\\{package}\\PackageStatus.xml")
}

fn snapshots(packages: &[Guid]) -> Value {
    json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"], "packages": packages,
        "expect": { "max": 2 } })
}

fn states(packages: &[Guid]) -> Value {
    json!({ "role": "ps_status", "files": ["{package}/PackageStatus.xml"], "packages": packages })
}

async fn decide(
    host: &Arc<MemoryHost>,
    run: u128,
    action: &str,
    params: Value,
) -> Result<Decision, StepFailure> {
    let session = host.session(run);
    let at = reader(&session);
    find(action).expect(action).prepare(params).expect("parameters").decide(&at).await
}

async fn change(host: &Arc<MemoryHost>, run: u128, action: &str, params: Value) -> ChangeRecord {
    match decide(host, run, action, params).await {
        Ok(Decision::Change(record, cost)) => {
            assert!(cost.is_none(), "moving files asks nothing of the Notification Server");
            record
        }
        other => panic!("{other:?}"),
    }
}

async fn apply(host: &Arc<MemoryHost>, run: u128, record: &ChangeRecord) -> Applied {
    let session = host.session(run);
    let at = changer(&session);
    find(&record.action).expect("the action").apply(&record.change, &at).await.expect("applied")
}

async fn undo(host: &Arc<MemoryHost>, run: u128, record: &ChangeRecord) -> Applied {
    let Undo::With(inverse) = &record.undo else { panic!("{:?}", record.undo) };
    let action = find(&record.action).expect("the action");
    let (inverse, _) = action.record(inverse).expect("a change of this action");
    apply(host, run, &inverse).await
}

async fn refusal(host: &Arc<MemoryHost>, params: Value) -> StepFailure {
    let failure = decide(host, 1, "quarantine_files", params).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused, "{failure}");
    failure
}

#[tokio::test]
async fn files_are_moved_away_and_undo_brings_the_bytes_back() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(A), "<snapshot of='A'/>");
    host.write(&snapshot(B).to_uppercase(), "<snapshot of='B'/>");

    let record = change(&host, 1, "quarantine_files", snapshots(&[A, B])).await;
    assert_eq!(record.lines.len(), 2);
    assert_eq!(record.change["packages_moved"], json!([A, B]));
    let applied = apply(&host, 1, &record).await;
    assert_eq!(applied.note, "moved 2 files into quarantine");
    assert_eq!(applied.value["moved"][0]["package"], json!(A));
    assert_eq!(host.content(&snapshot(A)), None);

    let again = decide(&host, 1, "quarantine_files", snapshots(&[A, B])).await;
    assert!(matches!(again, Ok(Decision::Unchanged { .. })), "{again:?}");

    assert_eq!(undo(&host, 2, &record).await.note, "moved 2 files back");
    assert_eq!(host.content(&snapshot(A)).as_deref(), Some("<snapshot of='A'/>"));
    assert_eq!(host.content(&snapshot(B)).as_deref(), Some("<snapshot of='B'/>"));
}

#[tokio::test]
async fn more_files_than_expected_are_refused() {
    let host = MemoryHost::package_server();
    let packages: Vec<Guid> = (1..=3).map(Guid::from_u128).collect();
    packages.iter().for_each(|package| host.write(&snapshot(*package), "x"));

    let failure = refusal(&host, snapshots(&packages)).await;

    assert!(failure.message.contains("3 files"), "{failure}");
}

#[tokio::test]
async fn a_status_that_says_deleted_is_refused() {
    let host = MemoryHost::package_server();
    host.write(&status(A), "<PackageStatus Status='Ready'/>");
    host.write(&status(B), "<PackageStatus Status='Deleted'/>");

    let failure = refusal(&host, states(&[A, B])).await;

    assert!(failure.message.contains(&status(B)), "{failure}");
    change(&host, 1, "quarantine_files", states(&[A])).await;
}

#[tokio::test]
async fn a_status_that_cannot_be_read_needs_the_agents_word() {
    let host = MemoryHost::package_server();
    host.write(&status(A), "<PackageStatus");
    let agent_says = |packages: Value| {
        host.answer("agent-packages", json!({ "package_server": true, "packages": packages }));
    };

    agent_says(json!([]));
    refusal(&host, states(&[A])).await;
    agent_says(json!([{ "id": A, "name": "a", "status": "Deleted", "version": "1" }]));
    refusal(&host, states(&[A])).await;
    agent_says(json!([{ "id": A, "name": "a", "status": "Invalid", "version": "1" }]));
    change(&host, 1, "quarantine_files", states(&[A])).await;
}

#[tokio::test]
async fn the_snapshot_of_a_package_that_is_being_removed_stays() {
    let host = MemoryHost::package_server();
    for package in [A, B] {
        host.write(&snapshot(package), "x");
    }
    host.write(&status(B), "<PackageStatus Status='Deleted'/>");

    let failure = refusal(&host, snapshots(&[A, B])).await;
    assert!(failure.message.contains(&format!("{B} says Deleted")), "{failure}");
    assert!(!failure.message.contains(&A.to_string()), "{failure}");
    change(&host, 1, "quarantine_files", snapshots(&[A])).await;

    host.write(&status(A), "<PackageStatus");
    let agent_says = |status: &str| {
        let packages = json!([{ "id": A, "name": "a", "status": status, "version": "1" }]);
        host.answer("agent-packages", json!({ "package_server": true, "packages": packages }));
    };
    agent_says("Deleted");
    refusal(&host, snapshots(&[A])).await;
    agent_says("Ready");
    change(&host, 1, "quarantine_files", snapshots(&[A])).await;
}

#[tokio::test]
async fn nothing_is_moved_on_a_client_computer() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(A), "x");
    host.answer(
        "host-facts",
        json!({
            "computer": "PC-01", "domain": "corp.example", "time_utc": null,
            "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
            "agent": { "install_dir": AGENT, "version": "8.6" },
            "notification_server": null,
        }),
    );

    let failure = refusal(&host, snapshots(&[A])).await;

    assert!(failure.message.starts_with("not a package server"), "{failure}");
}

#[tokio::test]
async fn the_notification_servers_files_are_found_in_every_spelling() {
    let host = MemoryHost::package_server();
    let folder = "C:\\ProgramData\\Symantec\\SMP\\Snapshots";
    host.write(&format!("{folder}\\{A}.xml"), "1");
    host.write(&format!("{folder}\\{}.sig", A.bare()), "2");
    host.write(&format!("{folder}\\{{{}.EN_US}}.xml", A.bare()), "3");
    host.write(&format!("{folder}\\{B}.xml"), "4");
    let params = json!({ "role": "ns_snapshots", "files": ["{package}.xml", "{package}.sig"],
        "packages": [A] });

    let record = change(&host, 1, "quarantine_files", params.clone()).await;
    assert_eq!(record.lines.len(), 4, "{:?}", record.lines);
    let said = &record.lines[0];
    assert!(said.starts_with("builds 1 package anew"), "what it sets off comes first: {said}");
    assert!(said.contains("the size of 1 package is not known"), "{said}");
    assert!(said.contains("whose number is not known"), "there is no CMDB here: {said}");
    apply(&host, 1, &record).await;
    assert_eq!(host.files_below(folder), [format!("{folder}\\{B}.xml")]);

    let mut back = params;
    back["run"] = json!("00000000000000000000000000000001");
    let record = change(&host, 2, "restore_files", back).await;
    assert_eq!(apply(&host, 2, &record).await.note, "moved 3 files back");
    assert_eq!(host.files_below(folder).len(), 4);
}

#[tokio::test]
async fn what_a_run_moved_away_can_be_restored_by_name() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(A), "old");
    let run = 0xABCD_EF01 << 96;
    let record = change(&host, run, "quarantine_files", snapshots(&[A])).await;
    apply(&host, run, &record).await;
    host.write(&snapshot(A), "new");
    let mut params = snapshots(&[A, B]);
    params.as_object_mut().expect("a map").shift_remove("expect");
    params["run"] = json!("abcdef01");

    let record = change(&host, 2, "restore_files", params).await;
    let applied = apply(&host, 2, &record).await;

    assert_eq!(applied.note, "moved 1 file back, kept 1 file that stood in the way");
    assert_eq!(host.content(&snapshot(A)).as_deref(), Some("old"));
    undo(&host, 3, &record).await;
    assert_eq!(host.content(&snapshot(A)), None);
}

#[tokio::test]
async fn a_restore_from_a_run_that_kept_nothing_is_refused() {
    let host = MemoryHost::package_server();
    let params = json!({ "run": "abcdef01", "role": "ps_delivery",
        "files": ["{package}/snapshot.xml"], "packages": [A] });

    let failure = decide(&host, 1, "restore_files", params).await.expect_err("no such run");

    assert_eq!(failure.class, FailureClass::Refused);
}

#[test]
fn parameters_that_could_mean_more_than_named_files_are_not_taken() {
    let action = find("quarantine_files").expect("it is there");
    for files in [json!(["*"]), json!(["{package}/../x"]), json!(["{package}\\"]), json!("x")] {
        let params = json!({ "role": "ps_delivery", "files": files, "packages": [A] });
        assert!(action.prepare(params).is_err(), "{files}");
    }
    let none = json!({ "role": "ps_delivery", "files": ["{package}/x"], "expect": { "max": 0 } });
    assert!(action.prepare(none).is_err());
}

const URGENT: &str = "C:\\Program Files\\Altiris\\Altiris Agent\\Package Server Agent\\PackageStatus\\UrgentList.xml";
const POLICIES: &str =
    "C:\\Program Files\\Altiris\\Altiris Agent\\Client Policies\\smp01.corp.example.xml";

fn urgent() -> Value {
    json!({ "role": "ps_status", "files": ["UrgentList.xml"] })
}

#[tokio::test]
async fn the_urgent_list_goes_when_it_lists_a_package_without_a_policy_and_undo_brings_it_back() {
    let host = MemoryHost::package_server();
    let list = format!("<UrgentList><Package Id='{A}'/><Package Id='{B}'/></UrgentList>");
    host.write(URGENT, &list);
    let policies = |packages: &str| format!("<p><PackageServer>{packages}</PackageServer></p>");
    host.write(POLICIES, &policies(&format!("<Package Id='{A}'/><Package Id='{B}'/>")));
    host.answer("agent-packages", json!({ "package_server": true, "packages": [] }));

    let failure = refusal(&host, urgent()).await;
    assert!(failure.message.contains("every package of UrgentList.xml has a policy"), "{failure}");

    host.write(POLICIES, &policies(&format!("<Package Id='{A}'/>")));
    let record = change(&host, 1, "quarantine_files", urgent()).await;
    apply(&host, 1, &record).await;
    assert_eq!(host.content(URGENT), None);
    undo(&host, 2, &record).await;
    assert_eq!(host.content(URGENT), Some(list));

    host.write(URGENT, "<UrgentList");
    let failure = refusal(&host, urgent()).await;
    assert!(failure.message.contains("not understood"), "{failure}");
}

#[tokio::test]
async fn of_the_policies_only_the_file_of_the_agents_own_server_is_moved() {
    let host = MemoryHost::package_server();
    host.write(POLICIES, "<p/>");
    host.write(&POLICIES.replace("smp01", "smp02"), "<p/>");
    let params = |name: &str| json!({ "role": "ps_policies", "files": [name] });

    let failure = refusal(&host, params("smp02.corp.example.xml")).await;
    assert!(failure.message.contains("only smp01.corp.example.xml"), "{failure}");

    let record = change(&host, 1, "quarantine_files", params("{ns}.xml")).await;
    assert_eq!(record.change["packages_moved"], json!([]));
    apply(&host, 1, &record).await;
    assert_eq!(host.content(POLICIES), None);
    assert!(host.content(&POLICIES.replace("smp01", "smp02")).is_some());
    undo(&host, 2, &record).await;
    assert!(host.content(POLICIES).is_some());
}
