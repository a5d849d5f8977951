//! Tests of `agent`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::agent_effect::AgentPlaces;
use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::*;
use crate::host::PriorChange;
use crate::model::{ServerIdentity, WorkRow};
use crate::transport::{Deadline, TransportErrorKind};

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);
const LOG: &str = "C:\\Logs\\agent.log";
const SNAPSHOT: &str = "C:\\Store\\A\\snapshot.xml";

fn list(status: &str) -> Value {
    json!({ "package_server": true, "packages": [
        { "id": A, "name": "Firefox", "status": status, "version": "1601867730", "custom_location": false },
    ] })
}

fn packages(answer: Value, work: &[Guid]) -> State {
    let list = serde_json::from_value(answer).expect("a list");
    State::Packages { list, work: work.to_vec() }
}

fn decide(command: Command, state: &State) -> Verdict<Change> {
    Agent::decide(&Params { command }, state)
}

fn refusal(command: Command, state: &State) -> String {
    match decide(command, state) {
        Verdict::Refuse(failure) => {
            assert_eq!(failure.class, FailureClass::Refused);
            failure.message
        }
        other => panic!("{other:?}"),
    }
}

fn change(command: Command, state: &State) -> Change {
    match decide(command, state) {
        Verdict::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_that_is_no_package_server_is_told_so() {
    let none = packages(json!({ "package_server": false, "packages": [] }), &[A]);

    for command in [Command::ResendPackageStatus, Command::RefreshPackages, Command::ListPackages] {
        assert_eq!(
            refusal(command, &none),
            "not a package server: the package server plug-in is not installed"
        );
    }
    assert_eq!(
        refusal(Command::UpdateConfiguration, &State::NoAgent),
        "the Symantec Management Agent is not installed"
    );
}

#[test]
fn nothing_is_asked_whose_effect_could_not_be_seen() {
    assert!(refusal(Command::ResendPackageStatus, &State::Blind).contains("nothing would show"));
}

#[test]
fn a_configuration_costs_a_request_now_and_two_later_for_each_package_that_the_agent_asks_for() {
    let asks = "ask the agent for its configuration";
    for (packages_moved, packages_lacking, later, line) in [
        (0, 0, 0, String::new()),
        (3, 0, 6, "; it will download 3 packages again".to_owned()),
        (0, 1, 2, "; it will ask for 1 package that it lacks".to_owned()),
        (
            1,
            2,
            6,
            "; it will download 1 package again and ask for 2 others that it lacks".to_owned(),
        ),
    ] {
        let state = State::Configuration { packages_moved, packages_lacking };
        let change = change(Command::UpdateConfiguration, &state);

        assert_eq!(Agent::cost(&change), Cost::ns_iis(1, later));
        assert_eq!(Agent::describe(&change), [format!("{asks}{line}")]);
    }
}

#[test]
fn a_configuration_of_a_journal_that_counted_no_lacking_packages_is_read() {
    let old = json!({ "command": "update_configuration", "packages_moved": 2 });

    let change: Change = serde_json::from_value(old).expect("a change");

    assert_eq!(Agent::cost(&change), Cost::ns_iis(1, 4));
}

#[test]
fn a_resent_status_costs_a_request_for_each_pair_of_the_work_and_at_least_one() {
    let two = change(Command::ResendPackageStatus, &packages(list("Ready"), &[A, B]));
    let none = change(Command::ResendPackageStatus, &packages(list("Ready"), &[]));

    assert_eq!(Agent::cost(&two), Cost::ns_iis(2, 0));
    assert_eq!(Agent::cost(&none), Cost::ns_iis(1, 0));
}

#[test]
fn a_refresh_costs_two_requests_for_each_package_that_the_agent_has() {
    let refresh = change(Command::RefreshPackages, &packages(list("Ready"), &[A, B]));

    assert_eq!(Agent::cost(&refresh), Cost::ns_iis(0, 2));
}

#[test]
fn listing_only_reads() {
    let Verdict::Unchanged { note, value } =
        decide(Command::ListPackages, &packages(list("Ready"), &[]))
    else {
        panic!("unchanged")
    };

    assert_eq!(note, "1 package: 1 Ready");
    assert_eq!(value["packages"][0]["name"], "Firefox");
}

#[test]
fn a_change_survives_the_journal() {
    for change in [
        Change::UpdateConfiguration { packages_moved: 2, packages_lacking: 7 },
        Change::ResendPackageStatus { pairs: 1, packages: vec![A] },
        Change::RefreshPackages { packages: 9 },
    ] {
        let journalled = serde_json::to_value(&change).expect("a value");
        assert_eq!(serde_json::from_value::<Change>(journalled).expect("a change"), change);
        assert_eq!(Agent::invert(&change), Undo::Nothing);
    }
}

/// A package server that downloads for two looks, and writes its log when asked to send.
fn server(never_ends: bool) -> Arc<ScriptedHost> {
    let looks = AtomicU32::new(0);
    ScriptedHost::new(move |host, name, _| match name {
        "agent-packages" => {
            let look = looks.fetch_add(1, Ordering::SeqCst);
            let is_done = look >= 2 && !never_ends;
            Ok(list(if is_done { "Ready" } else { "Download Pending" }))
        }
        "agent-resend-package-status" => {
            host.append(
                LOG,
                "<event date='May 16 11:51:05' severity='4' source='Package Server' module='AeXNSCPackageServer.dll' ><![CDATA[Package status sent for 1 packages]]></event>\n",
                2,
            );
            Ok(json!({ "package_server": true, "called": true }))
        }
        other => panic!("{other}"),
    })
}

async fn resend(
    host: &Arc<ScriptedHost>,
    prior: Arc<[PriorChange]>,
) -> Result<Applied, StepFailure> {
    let session = host.session(&[A]);
    let at = session.changer(soon(), prior);
    let places = AgentPlaces { log: Some(LOG.parse().expect("a path")), policy: None };
    let change = Change::ResendPackageStatus { pairs: 1, packages: vec![A] };
    Agent::wait_before(&change, &at).await?;
    host.note("granted");
    apply_with(&change, places, &at).await
}

#[tokio::test]
async fn a_status_is_sent_after_the_downloads() {
    let host = server(false);

    let applied = resend(&host, nothing_before()).await.expect("it was sent");

    assert_eq!(
        host.ran(),
        [
            "agent-packages",
            "agent-packages",
            "agent-packages",
            "granted",
            "agent-packages",
            "agent-resend-package-status"
        ],
        "nothing is drawn while the downloads are waited for"
    );
    assert_eq!(applied.note, "package status sent (agent.log: Package status sent for 1 packages)");
}

#[tokio::test]
async fn downloads_that_do_not_end_are_waited_for_half_of_the_time_and_then_said_so() {
    let applied = resend(&server(true), nothing_before()).await.expect("it was sent");

    assert!(applied.note.ends_with("although 1 package was still on its way"), "{}", applied.note);
    assert_eq!(applied.value["still_on_their_way"], json!([A]));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long it waits is what is tested")]
async fn downloads_that_the_agent_put_off_are_not_waited_for_once_nothing_happens() {
    let looks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&looks);
    // It starts a download, and then is told to come back later.
    let host = ScriptedHost::new(move |_, name, _| {
        assert_eq!(name, "agent-packages");
        let look = counted.fetch_add(1, Ordering::SeqCst);
        Ok(list(if look == 1 { "Download Pending" } else { "Retrying Download" }))
    });
    let session = host.session(&[A]);
    // An hour of the world's time.
    let deadline = Deadline::after(std::time::Duration::from_millis(3600));
    let at = session.reader(deadline, nothing_before());
    let began = std::time::Instant::now();

    let change = Change::ResendPackageStatus { pairs: 1, packages: vec![A] };
    Agent::wait_before(&change, &at).await.expect("it waited");

    let waited = began.elapsed().as_millis();
    assert!((180..1500).contains(&waited), "{waited} ms, at a thousandth of the world's time");
    assert!(looks.load(Ordering::SeqCst) > 3);
}

#[tokio::test]
async fn a_snapshot_that_this_run_moved_away_must_be_back_before() {
    let prior: Arc<[PriorChange]> = Arc::from([PriorChange {
        action: "quarantine_files".to_owned(),
        change: json!({
            "role": "ps_delivery",
            "packages_moved": [A],
            "moves": [{ "package": A, "from": SNAPSHOT, "modified": 1 }],
        }),
    }]);

    let gone = resend(&server(false), Arc::clone(&prior)).await.expect("it was sent");
    assert_eq!(gone.value["still_on_their_way"], json!([A]));

    let host = server(false);
    host.write(SNAPSHOT, "<snapshot/>", 2);
    let back = resend(&host, prior).await.expect("it was sent");
    assert_eq!(back.value["still_on_their_way"], json!([]));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_fails_the_step_before_anything_is_asked() {
    let host = ScriptedHost::new(|_, _, _| Err(TransportErrorKind::Unreachable));

    let failure = resend(&host, nothing_before()).await.expect_err("unreachable");

    assert_eq!(failure.class, FailureClass::Unreachable);
    assert_eq!(host.ran(), ["agent-packages"]);
}

/// A package server as its scripts and files show it; without a folder for the agent's log when
/// `is_blind`.
fn whole_server(is_blind: bool) -> Arc<ScriptedHost> {
    server_with(is_blind, || Ok(list("Ready")))
}

/// The same, with another list of packages.
fn server_with(
    is_blind: bool,
    packages: impl Fn() -> Result<Value, TransportErrorKind> + Send + Sync + 'static,
) -> Arc<ScriptedHost> {
    const ROOT: &str = "D:\\Altiris\\Altiris Agent";
    let host = ScriptedHost::new(move |host, name, _| match name {
        "host-facts" => Ok(json!({
            "computer": "PS-01", "domain": "corp.example", "time_utc": null,
            "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
            "agent": {
                "install_dir": ROOT, "version": "8.6", "machine_guid": null,
                "ns": "smp01.corp.example", "plugin_version": "8.6", "log_dir": null,
                "package_delivery": null,
            },
            "notification_server": null,
        })),
        "agent-update-configuration" => {
            host.write(&format!("{ROOT}\\Client Policies\\smp01.corp.example.xml"), "<p/>", 20);
            Ok(json!({ "called": true }))
        }
        "agent-packages" => packages(),
        other => panic!("{other}"),
    });
    host.write(&format!("{ROOT}\\Client Policies\\smp01.corp.example.xml"), "<p/>", 10);
    if !is_blind {
        host.write(&format!("{ROOT}\\Logs\\agent.log"), "", 1);
    }
    host
}

#[tokio::test]
async fn a_configuration_is_asked_for_where_the_host_keeps_its_policies() {
    let host = whole_server(true);
    let session = host.session(&[]);
    let params = Params { command: Command::UpdateConfiguration };

    let state =
        Agent::probe(&params, &session.reader(soon(), nothing_before())).await.expect("a state");
    let change = change(Command::UpdateConfiguration, &state);
    let applied = Agent::apply(&change, &session.changer(soon(), nothing_before())).await;

    assert_eq!(
        applied.expect("it was seen").note,
        "configuration fetched (the policy file is newer)"
    );
}

#[tokio::test]
async fn a_status_is_not_sent_where_no_log_would_show_it() {
    let session = whole_server(true).session(&[]);
    let params = Params { command: Command::ResendPackageStatus };

    let state = Agent::probe(&params, &session.reader(soon(), nothing_before())).await;
    assert_eq!(state, Ok(State::Blind));

    let session = whole_server(false).session(&[A]);
    let state = Agent::probe(&params, &session.reader(soon(), nothing_before())).await;
    assert!(matches!(state, Ok(State::Packages { work, .. }) if work == [A]));
}

#[tokio::test]
async fn a_configuration_counts_what_the_agent_lacks_besides_what_was_moved() {
    let listed = |id: u128, status: &str| json!({ "id": Guid::from_u128(id), "name": "", "status": status, "version": "7" });
    let packages = json!([
        listed(0xA, "Ready"),
        listed(0xB, "Invalid"),
        listed(0xC, "Retrying Download"),
        listed(0xD, "Deleted"),
        listed(0xE, "Ready"),
        listed(0xF, "a word of tomorrow"),
    ]);
    let list = json!({ "package_server": true, "packages": packages });
    let session = server_with(false, move || Ok(list.clone())).session(&[A]);
    // The snapshot of one package that is lacking anyway was moved, and of one that is Ready.
    let prior: Arc<[PriorChange]> = Arc::from([PriorChange {
        action: "quarantine_files".to_owned(),
        change: json!({ "role": "ps_delivery", "packages_moved": [B, Guid::from_u128(0xE)] }),
    }]);
    let params = Params { command: Command::UpdateConfiguration };

    let state = Agent::probe(&params, &session.reader(soon(), prior)).await;

    assert_eq!(state, Ok(State::Configuration { packages_moved: 2, packages_lacking: 2 }));
}

#[tokio::test]
async fn an_agent_that_gives_no_list_is_taken_to_lack_the_work_of_its_host() {
    let params = Params { command: Command::UpdateConfiguration };
    let probe = async |error| {
        let session = server_with(false, move || Err(error)).session(&[A, B]);
        Agent::probe(&params, &session.reader(soon(), nothing_before())).await
    };

    assert_eq!(
        probe(TransportErrorKind::Fault).await,
        Ok(State::Configuration { packages_moved: 0, packages_lacking: 2 })
    );
    let unreachable = probe(TransportErrorKind::Unreachable).await.expect_err("no connection");
    assert_eq!(unreachable.class, FailureClass::Unreachable);
}

#[test]
fn a_package_that_is_ready_in_an_old_version_is_asked_for_as_far_as_the_work_tells() {
    let list: PackageList = serde_json::from_value(list("Ready")).expect("a list");
    let row = |current: &str| WorkRow {
        server: ServerIdentity { guid: Guid::from_u128(1), name: None, fqdn: None },
        package: A,
        package_name: None,
        status: "Ready".to_owned(),
        current_version: Some(current.to_owned()),
        reported_version: None,
    };

    assert!(list.lacking(&[]).is_empty());
    assert!(list.lacking(&[row("1601867730")]).is_empty());
    assert_eq!(list.lacking(&[row("1601999999")]).len(), 1);
}
