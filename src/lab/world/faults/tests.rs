//! Each fault shows what its verdict is proven by, and is cured by what `docs/lab.md` says.

mod packages;
mod servers;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::lab::world::conditions::{AppliedCredential, DISPATCHER_SERVICE};
use crate::lab::world::descriptors;
use crate::lab::world::rows::RowChange;
use crate::lab::world::simulation::{MachineId, World};
use crate::lab::world::spec::FleetSpec;
use crate::lab::world::{AGENT_SERVICE, PACKAGE_SHARE};

/// The package that faults are put on.
const PACKAGE: usize = 2;
/// The server that they are put on.
const SERVER: usize = 1;

/// Four servers with six packages each, and one fault on the second server, or on the third package.
fn world(kind: &str, more: &str) -> World {
    let spec = FleetSpec {
        packages: 6,
        is_uniform: true,
        ..FleetSpec::new(4, 11, "2026-05-16T20:00:00Z".parse().unwrap())
    };
    let name = World::new(spec.clone(), &FaultPlan::none()).fleet().servers[SERVER].fqdn.clone();
    let at = if more.contains("everywhere") { String::new() } else { format!("at: [{name}],") };
    let more = more.replace("everywhere", "");
    let text = format!("faults: [{{kind: {kind}, {at} {more} }}]");
    World::new(spec, &FaultPlan::parse(&text).unwrap())
}

fn on_pair(kind: &str) -> World {
    world(kind, "packages: [3]")
}

fn on_server(kind: &str) -> World {
    world(kind, "")
}

fn on_package(kind: &str) -> World {
    world(kind, "everywhere packages: [3]")
}

fn wait(world: &mut World, seconds: u64) {
    let to = world.now().plus(Duration::from_secs(seconds));
    world.advance(to);
}

fn script(world: &mut World, machine: MachineId, name: &str, input: &Value) -> Value {
    world.run_script(machine, &format!("# fleetmend {name} 1\n"), input).unwrap()
}

/// What the everyday playbook does, and the time until it shows.
fn update_and_resend(world: &mut World, server: usize) {
    for call in ["agent-update-configuration", "agent-resend-package-status"] {
        script(world, MachineId::Server(server), call, &json!({}));
        wait(world, 120);
    }
}

fn refresh_packages_at_ns(world: &mut World) {
    let at = MachineId::NotificationServer;
    let tasks = script(world, at, "scheduled-tasks", &json!({"prefix": "NS.Package Refresh"}));
    script(world, at, "scheduled-task-run", &json!({"name": tasks["tasks"][0]["name"]}));
    wait(world, 90);
}

/// The status of the pair in the CMDB, `current` where it is Ready with the current version.
fn row(world: &World) -> String {
    row_of(world, SERVER, PACKAGE)
}

fn row_of(world: &World, server: usize, package: usize) -> String {
    let package = world.fleet().packages[package].guid;
    let row = world.row(world.fleet().servers[server].guid, package).unwrap();
    let is_well = row.is_ready_with(world.version(package).unwrap());
    if is_well { "current".to_owned() } else { row.status.clone() }
}

/// The agent's own word for the package.
fn state(world: &mut World) -> String {
    let id = world.fleet().packages[PACKAGE].guid.to_string();
    let listed = script(world, MachineId::Server(SERVER), "agent-packages", &json!({}));
    let found = listed["packages"].as_array().unwrap().iter().find(|p| p["id"] == json!(id));
    found.map_or_else(|| "none".to_owned(), |p| p["status"].as_str().unwrap().to_owned())
}

fn log(world: &World) -> String {
    let path = world.fleet().servers[SERVER].layout.log();
    String::from_utf8(world.tree(MachineId::Server(SERVER)).read(&path).unwrap()).unwrap()
}

fn log_at_ns(world: &World) -> String {
    let path = r"C:\ProgramData\Symantec\SMP\Logs\a.log";
    let bytes = world.tree(MachineId::NotificationServer).read(path).unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

fn snapshot(world: &World) -> String {
    let path = world.fleet().servers[SERVER].layout.snapshot(world.fleet().packages[PACKAGE].guid);
    let bytes = world.tree(MachineId::Server(SERVER)).read(&path).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Moves the package's manifest away, as the playbooks do; whether that could be done.
fn quarantine(world: &World) -> bool {
    let path = world.fleet().servers[SERVER].layout.snapshot(world.fleet().packages[PACKAGE].guid);
    let tree = world.tree(MachineId::Server(SERVER));
    let folder = format!(r"{}\ProgramData\fleetmend", &path[..2]);
    tree.create_dir_all(&folder, 1).unwrap();
    tree.rename(&path, &format!(r"{folder}\snapshot.xml"), 1).is_ok()
}

/// A fault that keeps a server from storing packages: it shows in the log, it stays through an update
/// and a resend, and when a person has done his part the next update makes it well.
fn is_cured_by_hand_and_an_update(kind: &str, signature: &str, expected_state: &str) {
    let mut world = on_pair(kind);
    let fault: FaultKind = serde_json::from_value(json!(kind)).unwrap();
    assert!(log(&world).contains(signature), "{kind}: {}", log(&world));
    assert_eq!(state(&mut world), expected_state, "{kind}");
    assert_ne!(row(&world), "current", "{kind}");
    assert_eq!(row_of(&world, 0, PACKAGE), "current", "{kind}");

    update_and_resend(&mut world, SERVER);
    assert_ne!(row(&world), "current", "{kind} went away by itself");
    assert!(log(&world).matches(signature).count() > 1, "{kind}: {}", log(&world));

    world.mend_by_hand(fault, Some(SERVER));
    wait(&mut world, 1200);
    update_and_resend(&mut world, SERVER);
    assert_eq!((row(&world), state(&mut world)), ("current".into(), "Ready".into()), "{kind}");
}

#[test]
fn a_pair_can_have_two_rows() {
    let mut world = on_pair("duplicate_rows");
    let changes = world.take_changes();
    let second = changes.iter().filter(|change| matches!(change, RowChange::SecondRow { .. }));

    assert_eq!((second.count(), row(&world)), (1, "current".into()));
}

#[test]
fn an_old_version_and_a_missing_site_show_in_the_rows_until_a_person_acts() {
    let mut old = on_server("version_mismatch");
    let mut nowhere = on_server("site_unassigned");
    let guid = old.fleet().servers[SERVER].guid;
    let newest = old.fleet().notification_server.version.clone();
    let is_old = |changes: Vec<RowChange>| {
        let mut versions = changes.into_iter().filter_map(|change| match change {
            RowChange::Versions { server, plugin, .. } if server == guid => Some(plugin),
            _ => None,
        });
        versions.next_back().map(|plugin| plugin != newest)
    };
    assert_eq!(is_old(old.take_changes()), Some(true));
    assert!(nowhere.take_changes().contains(&RowChange::NoSite { server: guid }));

    old.mend_by_hand(FaultKind::VersionMismatch, Some(SERVER));
    nowhere.mend_by_hand(FaultKind::SiteUnassigned, Some(SERVER));
    assert_eq!(is_old(old.take_changes()), Some(false));
    assert!(matches!(nowhere.take_changes()[..], [RowChange::Site { .. }]));
}

#[test]
fn a_long_queue_drains_and_a_stalled_one_does_not_until_its_service_restarts() {
    let queue = |world: &mut World| {
        let changes = world.take_changes().into_iter();
        let mut sizes = changes.filter_map(|change| match change {
            RowChange::Queue { oldest, length } => Some((oldest, length)),
            _ => None,
        });
        sizes.next_back()
    };
    let mut long = world("event_queue_volume", "everywhere");
    let first = queue(&mut long).unwrap();
    wait(&mut long, 60);
    let second = queue(&mut long).unwrap();
    assert!(second.0 > first.0 && second.1 < first.1 && second.1 > 4000, "{first:?} {second:?}");

    let mut stalled = world("event_queue_stall", "everywhere");
    let first = queue(&mut stalled).unwrap();
    assert!(first.1 < 50);
    script(&mut stalled, MachineId::Server(SERVER), "agent-refresh-packages", &json!({}));
    wait(&mut stalled, 12 * 3600);
    assert!(queue(&mut stalled).is_none_or(|(oldest, _)| oldest == first.0));

    stalled.restart_service(MachineId::NotificationServer, DISPATCHER_SERVICE);
    wait(&mut stalled, 120);
    assert_eq!(queue(&mut stalled).map(|(_, length)| length), Some(0));
}

#[test]
fn faults_mix_on_one_server_and_each_keeps_its_own_signature() {
    let spec = FleetSpec::new(4, 11, "2026-05-16T20:00:00Z".parse().unwrap());
    let host = World::new(spec.clone(), &FaultPlan::none()).fleet().servers[0].fqdn.clone();
    let every: String = FaultKind::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, FaultKind::Offline | FaultKind::AgentStopped))
        .map(|kind| {
            let name = serde_json::to_value(kind).unwrap();
            format!("  - {{ kind: {}, at: [{host}] }}\n", name.as_str().unwrap())
        })
        .collect();
    let mut world = World::new(spec, &FaultPlan::parse(&format!("faults:\n{every}")).unwrap());
    wait(&mut world, 12 * 3600);

    let path = world.fleet().servers[0].layout.log();
    let bytes = world.tree(MachineId::Server(0)).read(&path).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for signature in ["0x80070005", "0x80043005", "0x80070070", "0x00000020", "-2147024891"] {
        assert!(text.contains(signature), "{signature}");
    }
}

#[test]
fn every_kind_is_seedable_by_its_name_and_by_the_name_of_its_verdict() {
    for kind in FaultKind::ALL {
        let name = serde_json::to_value(kind).unwrap();
        let name = name.as_str().unwrap();
        let plan = FaultPlan::parse(&format!("faults: [{{kind: {name}}}]")).unwrap();
        assert_eq!(plan.faults[0].kind, kind);
    }
    for (verdict, kind) in [
        ("package_server_stale", FaultKind::Stale),
        ("notification_server_stale", FaultKind::Invalid),
        ("acl_missing", FaultKind::MissingAce),
        ("external_deletion_loop", FaultKind::RedownloadLoop),
        ("unreachable", FaultKind::Offline),
    ] {
        let plan = FaultPlan::parse(&format!("faults: [{{kind: {verdict}}}]")).unwrap();
        assert_eq!(plan.faults[0].kind, kind);
    }
}
