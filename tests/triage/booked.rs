//! What a run books at the Notification Server before it asks, beside what the server then counts.

use std::sync::Arc;

use fleetmend::event::RunState;
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::world::{Cause, FaultPlan, FleetSpec, IisSpec, Tally, World};
use serde_json::{Value, json};

use crate::cycles::speed;
use crate::run::{self, Asked, AtTheConsole};
use crate::world::Examined;

/// Most pairs of this fleet are not well, and few of them can be repaired: agents that are asked for
/// their configuration ask for all of that again.
const FAULTS: &str = "\
faults:
  - { kind: source_path_broken, packages: [5] }
  - { kind: source_path_broken, packages: [8] }
  - { kind: parent_owns_it, packages: [6] }
  - { kind: snapshot_missing, packages: [4] }
  - { kind: stale, at: [ps-osl-01, ps-ber-01, ps-par-01], packages: [2, 3] }
  - { kind: invalid, at: [ps-osl-03, ps-ber-02, ps-par-02, ps-lon-02], packages: [1, 3, 7] }
  - { kind: disk_full, at: [ps-sin-02] }
  - { kind: secure_storage, at: [ps-osl-02] }
  - { kind: path_too_long, at: [ps-lon-03], packages: [2] }
  - { kind: snapshot_locked, at: [ps-par-03], packages: [7] }
  - { kind: trust_1789, at: [ps-ber-03], for_good: true }
  - { kind: deleted, at: [ps-nyc-02], packages: [3, 9] }
  - { kind: agent_stopped, at: [ps-nyc-03] }
  - { kind: still_downloading, at: [ps-lon-04], packages: [9] }
";

/// Requests that a run booked; of one command of the agent alone where it is named.
fn booked(state: &RunState, command: Option<&str>) -> u64 {
    let is_it = |change: &Value| command.is_none_or(|word| change["command"] == word);
    let changes = state.steps().flat_map(|(_, step)| &step.changes);
    changes
        .filter(|(change, _)| is_it(&change.change))
        .map(|(_, cost)| u64::from(cost.of("ns_iis").total()))
        .sum()
}

fn is_near(booked: u64, caused: u64) -> bool {
    booked * 10 >= caused * 9 && booked * 10 <= caused * 11
}

/// What is confirmed needs nothing done in the world.
fn nothing_to_do(_: &LiveWorld, _: &str) {}

#[tokio::test(start_paused = true)]
async fn a_run_over_a_fleet_with_many_faults_books_what_it_causes() {
    let faults = FaultPlan::parse(FAULTS).expect("faults");
    let spec = FleetSpec {
        iis: IisSpec { per_minute: 60, queue: 50 },
        ..FleetSpec::new(24, 21, "2026-05-16T06:00:00Z".parse().expect("a date"))
    };
    let examined = Examined::running(World::new(spec, &faults), speed());
    examined.wait(30).await;
    let asked = Asked {
        playbook: "resynchronize.yml",
        vars: json!({}),
        limit: &[],
        // The world has no web server here, so that somebody must answer for the gates.
        operator: Arc::new(AtTheConsole(Arc::clone(examined.world()), nothing_to_do)),
    };

    let state = run::run(examined.world(), asked).await;

    let tally: Tally = examined.world().with(|world| world.report());
    let causes = [Cause::ConfigUpdate, Cause::PackageInfo, Cause::SnapshotDownload];
    let of_updates: u64 = causes.iter().map(|cause| tally.of(*cause)).sum();
    let told = format!(
        "update_configuration {} for {of_updates}, resend_package_status {} for {}, all {} for {}; \
         refused {}\n{tally:#?}",
        booked(&state, Some("update_configuration")),
        booked(&state, Some("resend_package_status")),
        tally.of(Cause::StatusPost),
        booked(&state, None),
        tally.asked(),
        tally.refused,
    );
    assert!(tally.asked() > 400, "the fleet is worth it: {told}");
    assert!(is_near(booked(&state, Some("update_configuration")), of_updates), "{told}");
    assert!(is_near(booked(&state, None), tally.asked()), "{told}");
    assert_eq!(tally.refused, 0, "{told}");
}
