//! Causes by which a verdict comes about in another way than in its cycle, each repaired and taken
//! back as there.

use fleetmend::event::RunResult;
use fleetmend::itms::triage::{Diagnosis, Finding, Playbook, Proposal, Verdict};
use fleetmend::lab::world::{self, MachineId};
use fleetmend::protocol::security_descriptor::SecurityDescriptor;

use crate::cycles::{
    Cycle, diagnose, names, repair, run_for, speed, take_back, take_back_to, told,
};
use crate::picture::Picture;
use crate::scenario::Scenario;
use crate::world::Examined;

/// A fleet in which all is well, half an hour old.
async fn well() -> Examined {
    let well = Scenario { causes: Vec::new(), ..Scenario::of("nothing", &[], &[]) };
    let examined = Examined::running(well.world(5), speed());
    examined.wait(30).await;
    examined
}

/// Which of two rows that differ is right, the server itself says: its report makes them the same.
#[tokio::test(start_paused = true)]
async fn rows_that_differ_are_reported_anew_and_the_surplus_goes() {
    let examined = Examined::running(Scenario::of("duplicate-rows", &[2], &[4]).world(5), speed());
    let row = |verdict: &str, playbook: Playbook, then: Option<Playbook>| {
        (verdict.to_owned(), Proposal::Playbook { playbook, afterwards: then })
    };
    examined.wait(30).await;
    let named = |diagnosis: &Diagnosis| -> Vec<(String, Proposal)> {
        let of = |it: &Finding| (it.verdict.name().to_owned(), it.proposal.clone());
        diagnosis.findings.iter().map(of).collect()
    };
    let differ = diagnose(&examined.examine().await, &[]);
    let then = Some(Playbook::RebuildPackageStatus);
    assert_eq!(named(&differ), [row("duplicate-rows", Playbook::UpdateAndResend, then)]);

    let state = run_for(&examined, &differ.findings[0], Playbook::UpdateAndResend).await;
    assert_eq!(state.result, Some(RunResult::Done), "{}", told(&state));
    examined.wait(30).await;
    let same = diagnose(&examined.examine().await, &[]);
    assert_eq!(
        named(&same),
        [row("duplicate-rows", Playbook::RemoveDuplicates, None)],
        "{:#?}{}",
        same.findings,
        told(&state)
    );

    let before = Picture::of(examined.world());
    let state = run_for(&examined, &same.findings[0], Playbook::RemoveDuplicates).await;
    assert_eq!(state.result, Some(RunResult::Done), "{}", told(&state));
    assert_eq!(diagnose(&examined.examine().await, &[]).findings, []);
    let cycle = Cycle {
        verdict: Verdict::DuplicateRows,
        fault: "duplicate-rows",
        servers: &[2],
        packages: &[4],
    };
    take_back(&cycle, &examined, Playbook::RemoveDuplicates, &state, &before).await;
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_is_stopped_is_started_and_undo_stops_it_again() {
    let examined = well().await;
    let stop = |world: &mut world::World| {
        world.stop_service(MachineId::NotificationServer, world::DISPATCHER_SERVICE)
    };
    assert!(examined.world().with(stop));
    let before = Picture::of(examined.world());
    let diagnosis = diagnose(&examined.examine().await, &[]);
    let stall = Verdict::EventQueueStall.name();
    assert_eq!(names(&diagnosis), [stall]);
    let finding = &diagnosis.findings[0];
    let playbook = Playbook::RestartEventDispatcher;
    assert_eq!(finding.proposal.playbook(), Some(playbook));

    let state = run_for(&examined, finding, playbook).await;

    assert_eq!(state.result, Some(RunResult::Done), "{}", told(&state));
    assert_eq!(diagnose(&examined.examine().await, &[]).findings, []);
    take_back_to(Some(&[stall.to_owned()]), &examined, playbook, &state, &before).await;
}

/// Rights are given back before a package suffers, too: no row says that anything is wrong.
#[tokio::test(start_paused = true)]
async fn rights_are_given_while_every_package_is_still_ready() {
    let examined = well().await;
    examined.world().with(|world| {
        let store = world.fleet().servers[1].layout.package_delivery.clone();
        let rights = SecurityDescriptor::machine_default().encode();
        world.tree(MachineId::Server(1)).set_descriptor(&store, &rights).expect("it is there");
    });
    let cycle =
        Cycle { verdict: Verdict::AclMissing, fault: "acl-missing", servers: &[2], packages: &[] };
    let diagnosis = diagnose(&examined.examine().await, &[]);
    assert_eq!(names(&diagnosis), [cycle.verdict.name()]);
    assert_eq!(diagnosis.findings[0].pairs, 0, "nothing suffers");

    repair(&cycle, &examined, &diagnosis.findings[0], Playbook::FixStorePermissions).await;
}

/// KB 433153: nobody but a person or this program makes the share of an alternate location.
#[tokio::test(start_paused = true)]
async fn the_share_of_a_location_is_made_and_undo_ends_it_again() {
    let examined = Examined::running(Scenario::of("share-missing", &[2], &[4]).world(5), speed());
    examined.wait(30).await;
    let now = examined.world().filetime();
    let made = examined
        .world()
        .with(|world| world.tree(MachineId::Server(1)).create_dir_all(r"C:\Deployment", now));
    made.expect("there is room");
    let cycle = Cycle {
        verdict: Verdict::ShareMissing,
        fault: "share-missing",
        servers: &[2],
        packages: &[4],
    };
    let diagnosis = diagnose(&examined.examine().await, &[]);
    assert_eq!(names(&diagnosis), [cycle.verdict.name()]);

    repair(&cycle, &examined, &diagnosis.findings[0], Playbook::FixAlternateLocation).await;
}

/// A Ready package whose snapshot.xml is gone: the server's own copy of it is fetched again.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_one_server_lost_is_fetched_and_undo_keeps_it() {
    let examined = well().await;
    let removed = examined.world().with(|world| {
        let fleet = world.fleet();
        let path = fleet.servers[1].layout.snapshot(fleet.packages[3].guid);
        world.tree(MachineId::Server(1)).remove(&path)
    });
    assert!(removed);
    let cycle = Cycle {
        verdict: Verdict::SnapshotMissing,
        fault: "snapshot-missing",
        servers: &[2],
        packages: &[4],
    };
    let diagnosis = diagnose(&examined.examine().await, &[]);
    assert_eq!(names(&diagnosis), [cycle.verdict.name()]);
    let finding = &diagnosis.findings[0];
    assert_eq!(finding.proposal.playbook(), Some(Playbook::RedownloadPackages));

    repair(&cycle, &examined, finding, Playbook::RedownloadPackages).await;
}
