use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::descriptors;
use super::*;
use crate::model::Guid;

const SEEDS: [u64; 3] = [1, 7, 987_654_321];

fn spec(servers: u32, seed: u64) -> FleetSpec {
    FleetSpec::new(servers, seed, "2026-05-16T20:00:00Z".parse().unwrap())
}

fn demo(seed: u64) -> World {
    World::new(spec(60, seed), &FaultPlan::built_in())
}

/// A world with one fault of each given kind and nothing else.
fn with_faults(text: &str) -> World {
    World::new(spec(20, 3), &FaultPlan::parse(text).unwrap())
}

fn call(world: &mut World, server: usize, script: &str) {
    let text = format!("# fleetmend {script} 1\nignored");
    world.run_script(MachineId::Server(server), &text, &json!({})).unwrap();
}

fn wait(world: &mut World, seconds: u64) {
    let to = world.now().plus(Duration::from_secs(seconds));
    world.advance(to);
}

fn server_of(world: &World, guid: Guid) -> usize {
    world.fleet().servers.iter().position(|server| server.guid == guid).unwrap()
}

/// The pairs that are not well, drifted ones included: the work list of the controller.
fn work(world: &World) -> Vec<(usize, Guid)> {
    let mut found = Vec::new();
    for (number, server) in world.fleet().servers.iter().enumerate() {
        for package in world.fleet().packages.iter().map(|package| package.guid) {
            let version = world.version(package).unwrap();
            if world.row(server.guid, package).is_some_and(|row| !row.is_ready_with(version)) {
                found.push((number, package));
            }
        }
    }
    found
}

fn move_away(world: &World, machine: MachineId, path: &str) {
    let tree = world.tree(machine);
    if tree.exists(path) {
        let name = path.replace(['\\', ':'], "_");
        let drive = &path[..2];
        let folder = format!(r"{drive}\ProgramData\fleetmend\quarantine\run");
        tree.create_dir_all(&folder, 1).unwrap();
        tree.rename(path, &format!(r"{folder}\{name}"), 2).unwrap();
    }
}

/// What the first play does: new manifests for the packages of the work list.
fn renew_packages(world: &mut World) {
    let packages: BTreeSet<Guid> = work(world).into_iter().map(|(_, package)| package).collect();
    for package in &packages {
        for ending in ["xml", "sig"] {
            let path = format!(r"C:\ProgramData\Symantec\SMP\Snapshots\{package}.{ending}");
            move_away(world, MachineId::NotificationServer, &path);
        }
    }
    let query = json!({"prefix": "NS.Package Refresh"});
    let at = MachineId::NotificationServer;
    let found = world.run_script(at, "# fleetmend scheduled-tasks 1", &query).unwrap();
    let name = json!({"name": found["tasks"][0]["name"]});
    world.run_script(at, "# fleetmend scheduled-task-run 1", &name).unwrap();
    wait(world, 90);
}

/// What the second play does to one server before it calls the agent; how many pairs it moved.
fn prepare(world: &World, server: usize, packages: &[Guid]) -> u64 {
    let machine = MachineId::Server(server);
    let layout = &world.fleet().servers[server].layout;
    let tree = world.tree(machine);
    let mut moved = 0;
    for package in packages {
        move_away(world, machine, &layout.snapshot(*package));
        moved += 1;
        let status = String::from_utf8(tree.read(&layout.status(*package)).unwrap()).unwrap();
        if !status.contains("Status=\"Deleted\"") {
            move_away(world, machine, &layout.status(*package));
        }
    }
    tree.set_descriptor(&layout.package_delivery, &descriptors::package_store(true)).unwrap();
    moved
}

fn log_of(world: &World, server: usize) -> String {
    let path = world.fleet().servers[server].layout.log();
    let bytes = world.tree(MachineId::Server(server)).read(&path).unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

/// Repairs a fleet as a patient controller does: at most 20 requests per minute. Returns the
/// requests it booked.
fn repair_paced(world: &mut World) -> u64 {
    renew_packages(world);
    let pairs = work(world);
    let servers: BTreeSet<usize> = pairs.iter().map(|(server, _)| *server).collect();
    let (mut booked, began) = (0, world.now());
    let mut book = |world: &mut World, cost: u64| {
        booked += cost;
        let earliest = began.plus(Duration::from_secs(booked * 3));
        world.advance(earliest);
    };
    for server in servers {
        if !world.is_listening(MachineId::Server(server)) {
            continue;
        }
        let packages: Vec<Guid> =
            pairs.iter().filter(|(other, _)| *other == server).map(|(_, p)| *p).collect();
        let moved = prepare(world, server, &packages);
        book(world, 1 + 2 * moved);
        call(world, server, "agent-update-configuration");
        book(world, packages.len() as u64);
        wait(world, 10);
        call(world, server, "agent-resend-package-status");
    }
    wait(world, 600);
    booked
}

#[test]
fn the_demo_fleet_has_work_on_half_of_its_servers_and_fits_a_minute_of_the_default_limit() {
    for seed in SEEDS {
        let world = demo(seed);

        let pairs = work(&world);
        let servers: BTreeSet<usize> = pairs.iter().map(|(server, _)| *server).collect();
        let packages: BTreeSet<Guid> = pairs.iter().map(|(_, package)| *package).collect();

        assert!((30..=36).contains(&servers.len()), "{} servers, seed {seed}", servers.len());
        assert!((70..=100).contains(&pairs.len()), "{} pairs, seed {seed}", pairs.len());
        assert_eq!(packages.len(), 8, "seed {seed}");
        let causes: Vec<FaultKind> = world.expected_broken().iter().map(|b| b.cause).collect();
        assert_eq!(causes.len(), 2, "{causes:?}");
    }
}

#[test]
fn the_same_seed_and_the_same_calls_give_the_same_rows_and_the_same_counts() {
    let run = |seed| {
        let mut world = demo(seed);
        repair_paced(&mut world);
        (world.take_changes(), world.report())
    };

    let first = run(7);

    assert_eq!(first, run(7));
    assert_ne!(first.1, run(8).1);
}

#[test]
fn a_paced_repair_makes_every_pair_ready_but_those_broken_for_good_and_is_never_refused() {
    for seed in SEEDS {
        let mut world = demo(seed);

        let booked = repair_paced(&mut world);

        let tally = world.report();
        let left: BTreeSet<String> =
            work(&world).iter().map(|(at, _)| world.fleet().servers[*at].fqdn.clone()).collect();
        let broken: BTreeSet<String> =
            world.expected_broken().iter().map(|broken| broken.server.clone()).collect();
        assert_eq!(left, broken, "seed {seed}");
        assert_eq!(tally.refused, 0, "seed {seed}: {tally:?}");
        assert!(booked <= 380, "seed {seed}: {booked}");
        let difference = booked.abs_diff(tally.asked());
        assert!(difference * 10 <= booked, "booked {booked}, counted {}", tally.asked());
    }
}

#[test]
fn a_storm_exceeds_what_the_iis_can_bear_and_agents_back_off_a_bounded_number_of_times() {
    let mut world = demo(7);
    renew_packages(&mut world);
    let pairs = work(&world);
    for server in 0..60 {
        let packages: Vec<Guid> =
            pairs.iter().filter(|(other, _)| *other == server).map(|(_, p)| *p).collect();
        prepare(&world, server, &packages);
        if world.is_listening(MachineId::Server(server)) {
            call(&mut world, server, "agent-update-configuration");
            call(&mut world, server, "agent-resend-package-status");
        }
    }

    wait(&mut world, 300);
    let early = world.report();
    wait(&mut world, 3 * 3600);
    let late = world.report();

    assert!(early.refused > 20, "{early:?}");
    assert!(early.peak_per_minute > 60, "{early:?}");
    assert!((0..60).any(|server| log_of(&world, server).contains("Server is busy")));
    let needed = 60 + 3 * work(&demo(7)).len() as u64;
    assert!(late.asked() < needed * 4, "{late:?}");
    // Nothing goes on for ever: an hour later nobody asks for anything any more.
    wait(&mut world, 3600);
    assert_eq!(world.report().asked(), late.asked());
}

#[test]
fn a_stale_package_stays_stale_until_its_manifest_is_moved_away() {
    let mut world = with_faults("faults: [{kind: stale}]");
    let (server, package) = work(&world)[0];

    call(&mut world, server, "agent-update-configuration");
    wait(&mut world, 120);
    call(&mut world, server, "agent-resend-package-status");
    wait(&mut world, 120);
    assert!(work(&world).contains(&(server, package)));
    assert_eq!(world.report().of(Cause::PackageInfo), 0);

    prepare(&world, server, &[package]);
    call(&mut world, server, "agent-update-configuration");
    call(&mut world, server, "agent-resend-package-status");
    wait(&mut world, 300);
    assert!(!work(&world).contains(&(server, package)));
    assert_eq!(world.report().of(Cause::PackageInfo), 1);
    assert_eq!(world.report().of(Cause::SnapshotDownload), 1);
}

#[test]
fn a_lost_report_is_cured_by_sending_it_again() {
    let mut world = with_faults("faults: [{kind: invalid}]");
    let pairs = work(&world);

    call(&mut world, pairs[0].0, "agent-resend-package-status");
    wait(&mut world, 120);

    assert_eq!(work(&world), []);
    assert_eq!(world.report().of(Cause::StatusPost), pairs.len() as u64);
}

#[test]
fn without_rights_of_its_account_an_agent_cannot_store_and_says_so() {
    let mut world = with_faults("faults: [{kind: missing_ace}]");
    let (server, package) = work(&world)[0];

    let layout = world.fleet().servers[server].layout.clone();
    let tree = world.tree(MachineId::Server(server)).clone();
    let folder = layout.package_folder(package);
    assert!(!descriptors::grants_connectivity_account(&tree, &folder));
    move_away(&world, MachineId::Server(server), &layout.snapshot(package));
    call(&mut world, server, "agent-update-configuration");
    wait(&mut world, 120);

    assert!(log_of(&world, server).contains("0x80070005 [Access is denied]"));
    assert!(!tree.exists(&layout.snapshot(package)));
    let well = (0..20).find(|other| *other != server).unwrap();
    let layout = &world.fleet().servers[well].layout;
    let package = world.fleet().packages[world.fleet().servers[well].packages[0]].guid;
    let tree = world.tree(MachineId::Server(well));
    assert!(descriptors::grants_connectivity_account(tree, &layout.package_folder(package)));
}

#[test]
fn lost_trust_is_reported_for_every_package_until_a_new_policy_cures_it() {
    for (for_good, left) in [(true, true), (false, false)] {
        let mut world =
            with_faults(&format!("faults: [{{kind: trust_1789, for_good: {for_good}}}]"));
        let (server, package) = work(&world)[0];
        let row = world.row(world.fleet().servers[server].guid, package).unwrap();
        assert!(row.version.contains("(1789)"));

        call(&mut world, server, "agent-update-configuration");
        wait(&mut world, 60);
        call(&mut world, server, "agent-resend-package-status");
        wait(&mut world, 120);

        assert_eq!(!work(&world).is_empty(), left);
    }
}

#[test]
fn content_deleted_from_outside_makes_a_package_flip_between_ready_and_pending_for_ever() {
    let mut world = with_faults("faults: [{kind: redownload_loop, for_good: true}]");
    let (server, package) = work(&world)[0];
    let guid = world.fleet().servers[server].guid;

    let mut seen: Vec<String> = Vec::new();
    for _ in 0..400 {
        wait(&mut world, 15);
        let status = world.row(guid, package).unwrap().status.clone();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }

    assert!(seen.len() >= 5, "{seen:?}");
    assert_eq!(world.report().asked(), 0);
}

#[test]
fn a_report_becomes_a_row_only_when_the_queue_has_drained() {
    let mut world = with_faults("faults: [{kind: invalid}]");
    let (server, _) = work(&world)[0];
    world.take_changes();
    call(&mut world, server, "agent-resend-package-status");

    let mut longest = 0;
    while !work(&world).is_empty() {
        wait(&mut world, 1);
        for change in world.take_changes() {
            if let RowChange::Queue { length, .. } = change {
                longest = longest.max(length);
            }
        }
    }

    assert!(longest >= 1);
    assert_eq!(world.report().queue_peak, longest);
}

#[test]
fn a_missing_manifest_at_the_notification_server_leaves_the_package_retrying() {
    let mut world = with_faults("faults: [{kind: stale}]");
    let (server, package) = work(&world)[0];
    let path = format!(r"C:\ProgramData\Symantec\SMP\Snapshots\{package}.xml");
    move_away(&world, MachineId::NotificationServer, &path);

    prepare(&world, server, &[package]);
    call(&mut world, server, "agent-update-configuration");
    wait(&mut world, 300);

    let text = "# fleetmend agent-packages 1";
    let packages = world.run_script(MachineId::Server(server), text, &json!({})).unwrap();
    let found = packages["packages"].as_array().unwrap().iter().find(|p| {
        p["id"] == json!(package.to_string()) && p["status"] == json!("Retrying Download")
    });
    assert!(found.is_some(), "{packages}");
}

#[test]
fn an_agent_whose_service_is_stopped_is_not_started_by_a_question() {
    let mut world = with_faults("faults: [{kind: stale}]");
    let (server, _) = work(&world)[0];
    let machine = MachineId::Server(server);
    let stop = json!({ "name": "AeXNSClient", "verb": "stop", "start_mode": "", "dependents": [] });
    world.run_script(machine, "# fleetmend service-change 1", &stop).unwrap();

    let asked = world.run_script(machine, "# fleetmend agent-packages 1", &json!({}));

    assert_eq!(asked, Err("the agent's service does not run".to_owned()));
    let state = json!({ "name": "AeXNSClient" });
    let found = world.run_script(machine, "# fleetmend service-state 1", &state).unwrap();
    assert_eq!(found["state"], "Stopped");
}

#[test]
fn what_is_not_known_is_refused_and_never_answered_with_silence() {
    let mut world = with_faults("faults: []");
    let ns = MachineId::NotificationServer;

    for script in ["", "Get-Date", "# fleetmend host-facts 2", "# fleetmend format-disk 1"] {
        let error = world.run_script(ns, script, &json!({})).unwrap_err();
        assert!(error.starts_with("not simulated: "), "{error}");
    }
    let text = "# fleetmend scheduled-task-run 1";
    assert!(world.run_script(ns, text, &json!({"name": "NS.Nothing"})).is_err());
    assert!(world.run_script(ns, text, &json!({})).is_err());
}

#[test]
fn a_week_of_the_world_passes_quickly_and_stays_quiet() {
    let mut world = demo(7);

    world.advance(WorldTime::from_minutes(10_000));

    let tally = world.report();
    assert_eq!((tally.minutes, tally.refused, tally.asked()), (10_000, 0, 0));
    assert!(tally.of(Cause::Background) < 30_000, "{tally:?}");
    assert!(world.next_event().is_some_and(|next| next > world.now()));
}

#[test]
fn faults_can_be_put_on_servers_by_name() {
    let world = with_faults("faults: [{kind: offline, at: [ps-lon-01], for_good: true}]");

    let broken = &world.expected_broken()[0];
    assert_eq!(
        (broken.server.as_str(), broken.cause),
        ("ps-lon-01.lab.example", FaultKind::Offline)
    );
    let at = world.fleet().servers.iter().position(|s| s.short() == "ps-lon-01").unwrap();
    assert!(!world.is_listening(MachineId::Server(at)));
    assert_eq!(server_of(&world, world.fleet().servers[at].guid), at);
}
