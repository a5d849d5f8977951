//! The same scenarios over TCP: the program itself looks at a lab on the network, and its evidence comes
//! to the same diagnosis as that of the same world in memory.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use fleetmend::itms::evidence::{FleetEvidence, Seen};
use fleetmend::itms::triage::{Diagnosis, triage};
use fleetmend::lab::{Lab, LabConfig};
use fleetmend::model::TimeScale;
use futures::future::join_all;

use crate::direct::servers_with_site;
use crate::named::expectations;
use crate::scenario::{self, Scenario};
use crate::world::Examined;

/// How fast the labs run. Half an hour passes before they are looked at, as in memory.
const SPEED: f64 = 240.0;
/// How many labs are up at one time.
const AT_ONCE: usize = 5;

/// The first twenty that can be told at one look: a loop and a churn take an hour of looks.
fn chosen() -> Vec<(u64, Scenario)> {
    let all = (0..).map(|seed| (seed, scenario::random(seed)));
    all.filter(|(_, scenario)| !scenario.causes.iter().any(scenario::Cause::needs_history))
        .take(20)
        .collect()
}

/// What a diagnosis names: everything but the words, in which times stand.
fn named(diagnosis: &Diagnosis) -> BTreeSet<String> {
    let of = |finding: &fleetmend::itms::triage::Finding| {
        let scope = serde_json::to_string(&finding.scope).expect("JSON");
        let playbook = finding.proposal.playbook().map(|playbook| playbook.file());
        format!("{} at {scope}: {playbook:?}", finding.verdict)
    };
    diagnosis.findings.iter().map(of).collect()
}

async fn over_tcp(number: u8, seed: u64, scenario: &Scenario) -> BTreeSet<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let fleet = scenario.spec(seed);
    let config = LabConfig {
        faults: scenario.faults(),
        speed: TimeScale::new(SPEED).expect("a speed"),
        first_address: Ipv4Addr::new(127, 160 + number, 0, 1),
        ..LabConfig::new(1, seed, fleet.started, dir.path().to_owned())
    };
    let lab = Lab::start(LabConfig { fleet, ..config }).await.expect("the lab starts");
    tokio::time::sleep(lab.world().to_real(Duration::from_secs(30 * 60))).await;
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_fleetmend"))
        .args(["diagnose", "--evidence", "-i"])
        .arg(lab.inventory())
        .env_clear()
        .env("FLEETMEND_STATE_DIR", dir.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    let mut evidence: FleetEvidence = serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {told}", scenario.name));
    // Where sites are kept is not published: the operator's own query is asked beside it.
    for ns in &mut evidence.notification_servers {
        if ns.servers_with_site == Seen::NotAsked {
            ns.servers_with_site = Seen::Known(servers_with_site(lab.world()));
        }
    }
    lab.stop().await;
    named(&triage(&evidence, &[], &expectations()))
}

fn in_memory(seed: u64, scenario: &Scenario) -> BTreeSet<String> {
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    clock.block_on(async {
        let world = Examined::new(scenario.world(seed));
        world.wait(30).await;
        named(&triage(&world.examine().await, &[], &expectations()))
    })
}

#[test]
fn twenty_scenarios_come_to_the_same_over_the_network_as_in_memory() {
    let scenarios = chosen();
    let network = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");

    for batch in scenarios.chunks(AT_ONCE) {
        let looks = (0..).zip(batch).map(|(at, (seed, scenario))| over_tcp(at, *seed, scenario));
        let over_network = network.block_on(join_all(looks));
        for ((seed, scenario), found) in batch.iter().zip(over_network) {
            assert_eq!(
                found,
                in_memory(*seed, scenario),
                "{}: {:?}",
                scenario.name,
                scenario.causes
            );
        }
    }
}
