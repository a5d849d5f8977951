use serde_json::json;

use super::*;
use crate::action::scripted_host::{ScriptedHost, nothing_before};
use crate::itms::evidence::ServiceSeen;
use crate::model::Guid;
use crate::transport::{Deadline, TransportErrorKind};

const AGENT: &str = "C:\\Program Files\\Altiris\\Altiris Agent";
const PACKAGE: Guid = Guid::from_u128(7);
const ORPHAN: Guid = Guid::from_u128(8);

fn params() -> Params {
    serde_json::from_value(json!({ "what": "package_server" })).expect("parameters")
}

fn long() -> Deadline {
    Deadline::after(std::time::Duration::from_secs(20))
}

/// A package server with one package, whose second file is missing and whose third is damaged, and
/// the folder of another package that the agent does not know.
fn host(service: &'static str, winrm: Option<TransportErrorKind>) -> std::sync::Arc<ScriptedHost> {
    let host = ScriptedHost::new(move |_, name, _| {
        if let Some(kind) = winrm {
            return Err(kind);
        }
        Ok(match name {
            "host-facts" => json!({
                "computer": "PS-01", "time_utc": "2026-05-16T20:00:00Z",
                "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
                "agent": { "install_dir": AGENT, "version": "8.6.1", "ns": "smp01" },
                "notification_server": null,
            }),
            "examine-server" => json!({
                "services": { "known": { "AeXNSClient": { "state": service, "start_mode": "Auto" } } },
                "shares": { "unreadable": "access denied" },
                "disks": { "known": { "C:\\": { "free": 1, "size": 2 } } },
                "secure_channel": { "known": true },
            }),
            "examine-iis" => return Err(TransportErrorKind::Fault),
            "examine-tasks" => json!({ "tasks": [] }),
            "agent-packages" => json!({ "package_server": true, "packages": [
                { "id": PACKAGE, "name": "Firefox", "status": "Ready", "version": "5" },
            ] }),
            other => panic!("{other} is not needed"),
        })
    });
    let folder = format!("{AGENT}\\Package Delivery\\{PACKAGE}");
    let hash = |text: &str| {
        use sha2::{Digest, Sha256};
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    host.write(
        &format!("{folder}\\snapshot.xml"),
        &format!(
            "<snapshot version=\"5\"><file name=\"a.msi\" size=\"4\" hash=\"{}\"/>\
             <file name=\"b.ini\" size=\"9\"/><file name=\"c.txt\" size=\"4\" hash=\"{}\"/></snapshot>",
            hash("good"),
            hash("good"),
        ),
        1,
    );
    host.write(&format!("{folder}\\cache\\a.msi"), "good", 1);
    host.write(&format!("{folder}\\cache\\c.txt"), "evil", 1);
    let status = format!("{AGENT}\\Package Server Agent\\PackageStatus");
    host.write(
        &format!("{status}\\{PACKAGE}\\PackageStatus.xml"),
        "<PackageStatus Status=\"Ready\"/>",
        1,
    );
    host.write(&format!("{AGENT}\\Package Delivery\\{ORPHAN}\\old.txt"), "x", 1);
    host.write(&format!("{AGENT}\\Queue\\1.nse"), "x", 1);
    host.write("C:\\ProgramData\\x", "x", 1);
    host
}

async fn examined(host: &std::sync::Arc<ScriptedHost>) -> Result<ServerEvidence, StepFailure> {
    let session = host.session(&[]);
    match Examine::probe(&params(), &session.reader(long(), nothing_before())).await? {
        State::Server(seen) => Ok(*seen),
        State::NotificationServer(_) => panic!("it is a package server"),
    }
}

#[tokio::test]
async fn a_package_is_compared_with_its_snapshot_file_by_file() {
    let seen = examined(&host("Running", None)).await.expect("evidence");

    let package = &seen.on_disk.known().expect("the disk")[0];
    let content = package.content.known().expect("its files");
    assert_eq!(content.missing, ["b.ini"]);
    assert_eq!(content.wrong_hash, ["c.txt"]);
    assert_eq!((content.listed, content.wrong_size.len()), (3, 0));
    assert_eq!(package.status_file, Seen::Known(Some("Ready".to_owned())));
    let snapshot = package.snapshot.known().and_then(Option::as_ref).expect("a snapshot");
    assert_eq!(snapshot.version.as_deref(), Some("5"));
    assert_eq!(seen.orphan_folders, Seen::Known(vec![ORPHAN]));
    assert_eq!(seen.outbound.known().map(|queue| queue.files), Some(1));
    assert_eq!(seen.urgent_list, Seen::Known(Vec::new()));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_with_its_reason_and_the_rest_goes_on() {
    let seen = examined(&host("Running", None)).await.expect("evidence");

    assert_eq!(seen.shares, Seen::Unreadable("access denied".to_owned()));
    assert!(matches!(&seen.iis, Seen::Unreadable(why) if why.contains("examine-iis")));
    assert!(matches!(&seen.policy, Seen::Unreadable(_)), "there is no policy");
    assert_eq!(seen.held.known().map(Vec::len), Some(1));
    assert_eq!((seen.winrm, seen.smb), (Contact::Answered, Contact::Answered));
}

#[tokio::test]
async fn a_stopped_agent_is_not_asked_because_asking_would_start_it() {
    let host = host("Stopped", None);

    let seen = examined(&host).await.expect("evidence");

    assert!(!host.ran().contains(&"agent-packages".to_owned()));
    assert!(matches!(seen.held, Seen::Unreadable(_)));
    let stopped = ServiceSeen { state: "Stopped".into(), start_mode: "Auto".into() };
    assert_eq!(seen.agent_service, Seen::Known(Some(stopped)));
}

#[tokio::test]
async fn a_server_that_answers_over_smb_alone_is_examined_there() {
    let seen = examined(&host("Running", Some(TransportErrorKind::Unreachable))).await;
    let seen = seen.expect("evidence");

    assert!(matches!(seen.winrm, Contact::Failed { .. }));
    assert_eq!(seen.smb, Contact::Answered);
    assert_eq!(seen.held, Seen::NotAsked);
    assert_eq!(seen.on_disk.known().map(Vec::len), Some(2));
}

#[tokio::test]
async fn without_the_agents_list_files_that_are_not_in_the_store_are_not_missing() {
    let unreachable = Some(TransportErrorKind::Unreachable);
    for (service, winrm) in [("Stopped", None), ("Running", unreachable)] {
        let host = host(service, winrm);
        let content = |seen: &ServerEvidence| seen.on_disk.known().unwrap()[0].content.clone();

        let seen = examined(&host).await.expect("evidence");
        assert!(
            matches!(content(&seen), Seen::Unreadable(why) if why.contains("kept elsewhere")),
            "{service}: {:?}",
            content(&seen)
        );

        // What is whole in the store is there, whoever says so.
        let cache = format!("{AGENT}\\Package Delivery\\{PACKAGE}\\cache");
        host.write(&format!("{cache}\\b.ini"), "123456789", 1);
        host.write(&format!("{cache}\\c.txt"), "good", 1);
        let seen = examined(&host).await.expect("evidence");
        let whole = content(&seen);
        assert_eq!(whole.known().map(|content| content.missing.len()), Some(0), "{whole:?}");
    }
}

#[tokio::test]
async fn a_rejected_logon_ends_the_step_so_that_the_breaker_sees_it() {
    let failure = examined(&host("Running", Some(TransportErrorKind::AuthRejected)))
        .await
        .expect_err("a rejected logon");

    assert_eq!(failure.class, FailureClass::AuthRejected);
}

#[test]
fn only_a_notification_server_costs_statements_at_the_cmdb() {
    let of = |what: &str| {
        Examine::probe_cost(&serde_json::from_value(json!({ "what": what })).expect("parameters"))
    };

    assert!(of("package_server").is_none());
    assert_eq!(of("notification_server").draws().count(), 1);
}

#[tokio::test]
async fn services_are_looked_at_without_a_file_being_read() {
    let session = host("Running", None).session(&[]);
    let params: Params = serde_json::from_value(json!({ "what": "services" })).expect("parameters");

    let state = Examine::probe(&params, &session.reader(long(), nothing_before())).await;

    let Ok(State::Server(seen)) = state else { panic!("a server") };
    assert_eq!((&seen.winrm, &seen.smb), (&Contact::Answered, &Contact::NotTried));
    assert!(seen.agent_service.known().is_some() && seen.on_disk.known().is_none());

    let session = host("Running", Some(TransportErrorKind::Unreachable)).session(&[]);
    let state = Examine::probe(&params, &session.reader(long(), nothing_before())).await;
    let failure = state.err().expect("nothing answers");
    assert_eq!(failure.class, FailureClass::Unreachable);
}

#[tokio::test]
async fn packages_for_which_no_time_is_left_are_unreadable_and_say_so() {
    let host = host("Running", None);
    let session = host.session(&[]);
    let over = session.reader(Deadline::after(std::time::Duration::ZERO), nothing_before());
    let store = packages::Store {
        delivery: format!("{AGENT}\\Package Delivery").parse().expect("a path"),
        status: None,
        computer: "PS-01".to_owned(),
        shares: Vec::new(),
        sid: None,
        held_by_others: std::collections::BTreeSet::new(),
    };

    let ids = std::collections::BTreeSet::from([PACKAGE]);
    let seen = packages::examine(&over, &store, &Seen::NotAsked, &ids, 64).await.expect("packages");

    let is_told = |why: &str| why.contains("no time was left");
    assert!(matches!(&seen[0].content, Seen::Unreadable(why) if is_told(why)), "{seen:?}");
    assert!(matches!(&seen[0].snapshot, Seen::Unreadable(why) if is_told(why)), "{seen:?}");
    assert_eq!(seen[0].id, PACKAGE);
}

#[tokio::test]
async fn a_file_that_cannot_be_hashed_is_told_and_not_taken_for_sound() {
    let host = host("Running", None);
    let session = host.session(&[]);
    let at = session.reader(long(), nothing_before());
    let snapshot = "<snapshot version=\"5\"><file name=\"a.msi\" size=\"4\" hash=\"";
    let snapshot = format!("{snapshot}{}\"/></snapshot>", "0".repeat(64));
    let manifest = crate::itms::snapshot::read_snapshot(snapshot.as_bytes()).manifest;
    let manifest = manifest.expect("it is understood");
    let listed = || crate::itms::content::FileOnDisk { name: "a.msi".into(), size: 4, hash: None };
    let hashes = async |folder: String| {
        let folder = folder.parse().expect("a path");
        content::hash(&at, &folder, &manifest, &mut [listed()], &mut 64).await.expect("an answer")
    };

    let there = hashes(format!("{AGENT}\\Package Delivery\\{PACKAGE}\\cache")).await;
    let gone = hashes(format!("{AGENT}\\Package Delivery\\{ORPHAN}\\cache")).await;

    assert_eq!(there, Seen::Known(1));
    assert!(matches!(gone, Seen::Unreadable(_)), "{gone:?}");
}
