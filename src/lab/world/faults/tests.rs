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
fn damaged_secure_storage_keeps_packages_from_being_saved() {
    let text = "CAeXNSCPkgSvr::UpdatePackage failed";
    is_cured_by_hand_and_an_update("secure_storage", text, "Invalid");
}

#[test]
fn a_full_disk_takes_no_package() {
    is_cured_by_hand_and_an_update("disk_full", "0x80070070", "Retrying Download");
    assert_eq!(on_pair("disk_full").conditions(SERVER).free_bytes, 0);
}

#[test]
fn a_locked_snapshot_keeps_a_package_retrying_until_it_is_let_go() {
    is_cured_by_hand_and_an_update("snapshot_locked", "0x00000020", "Retrying Download");
    assert!(!quarantine(&on_pair("snapshot_locked")));
}

#[test]
fn a_server_that_is_told_busy_backs_off() {
    is_cured_by_hand_and_an_update("server_busy", "Server is busy", "Retrying Download");
    assert!(log(&on_pair("server_busy")).contains("MaxConcurrentPackageInfoRequest"));
}

#[test]
fn a_share_of_an_alternate_location_must_be_made_by_a_person() {
    is_cured_by_hand_and_an_update("share_missing", "0x80070043", "Retrying Download");

    let mut world = on_pair("share_missing");
    world.create_share(SERVER, "deployment", r"C:\Deployment");
    update_and_resend(&mut world, SERVER);
    assert_eq!(row(&world), "current");
    assert!(snapshot(&world).contains(r#"path="\\%COMPUTERNAME%\Deployment\"#));
}

#[test]
fn two_packages_in_one_folder_remove_each_others_files() {
    let text = "CleanupExpiredPackages";
    is_cured_by_hand_and_an_update("alternate_location_conflict", text, "Retrying Download");
}

#[test]
fn a_path_that_is_too_long_below_one_store_fits_below_the_others() {
    let mut world = on_pair("path_too_long");
    let known = world.fleet().packages[PACKAGE].clone();
    let longest = |world: &World, server: usize| {
        let layout = &world.fleet().servers[server].layout;
        known.files.iter().map(|(name, _)| layout.cached(known.guid, name).len()).max().unwrap()
    };
    assert!(longest(&world, SERVER) > 254 && longest(&world, 0) <= 254);
    assert!(log(&world).contains("0x800700CE") && state(&mut world) == "Invalid");
    assert_eq!(row_of(&world, SERVER, 0), "current");

    update_and_resend(&mut world, SERVER);
    assert_eq!(row(&world), "Invalid");
    world.mend_by_hand(FaultKind::PathTooLong, Some(SERVER));
    update_and_resend(&mut world, SERVER);
    assert_eq!((row(&world), state(&mut world)), ("current".into(), "Ready".into()));
}

#[test]
fn a_credential_that_was_not_applied_comes_with_the_first_policy_after_the_console() {
    let mut world = on_server("credential_not_applied");
    let policy = |world: &World| {
        let path =
            world.fleet().servers[SERVER].layout.policy(&world.fleet().notification_server.fqdn);
        let bytes = world.tree(MachineId::Server(SERVER)).read(&path).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert!(policy(&world).contains("credential=\"Anonymous\""));
    assert_eq!((row(&world), state(&mut world)), ("Invalid".into(), "Ready".into()));
    for text in ["0x80070005", "Access is denied (-2147024891)"] {
        assert!(log(&world).contains(text), "{}", log(&world));
    }

    update_and_resend(&mut world, SERVER);
    assert_eq!(row(&world), "Invalid");
    assert!(world.conditions(SERVER).outbound_events > 0);

    world.set_credential(AppliedCredential::Anonymous);
    update_and_resend(&mut world, SERVER);
    world.set_credential(AppliedCredential::AgentConnectivity);
    update_and_resend(&mut world, SERVER);
    assert!(policy(&world).contains("credential=\"AgentConnectivityCredential\""));
    assert_eq!((row(&world), world.conditions(SERVER).outbound_events), ("current".into(), 0));
}

#[test]
fn a_stopped_agent_is_silent_and_catches_up_when_it_is_started() {
    let mut world = on_pair("agent_stopped");
    let before = log(&world);
    let at = MachineId::Server(SERVER);
    let asked = world.run_script(at, "# fleetmend agent-update-configuration 1", &json!({}));
    assert!(asked.is_err(), "{asked:?}");
    wait(&mut world, 6 * 3600);
    assert_eq!((row(&world), log(&world)), ("Invalid".into(), before));

    assert!(world.start_service(at, AGENT_SERVICE) && !world.start_service(at, "Spooler"));
    wait(&mut world, 600);
    assert_eq!(row(&world), "current");
}

#[test]
fn an_application_pool_is_started_again_and_iis_must_be_there_for_it() {
    let mut stopped = on_server("app_pool_stopped");
    let mut without = on_server("iis_missing");
    assert!(log(&stopped).contains("Partial Data Received (0x000002C3)"));
    assert!(!stopped.conditions(SERVER).is_app_pool_started);
    assert_eq!((row(&stopped), row(&without)), ("current".into(), "current".into()));

    assert!(stopped.start_app_pool(SERVER) && stopped.conditions(SERVER).is_app_pool_started);
    assert!(!without.start_app_pool(SERVER));
}

#[test]
fn a_server_without_iis_offers_no_addresses_by_http_until_its_agent_restarts_with_it() {
    let mut world = on_server("iis_missing");
    let server = world.fleet().servers[SERVER].guid;
    let offers_http = |world: &mut World| {
        world.take_changes().iter().any(|change| {
            matches!(change, RowChange::Codebases { server: of, urls, .. }
                if *of == server && urls.iter().any(|url| url.starts_with("http:")))
        })
    };
    assert!(!offers_http(&mut world));

    world.mend_by_hand(FaultKind::IisMissing, Some(SERVER));
    world.restart_service(MachineId::Server(SERVER), AGENT_SERVICE);
    assert!(offers_http(&mut world));
}

#[test]
fn the_share_of_the_store_is_made_anew() {
    let mut world = on_server("share_missing");
    assert!(world.shares(SERVER).is_empty() && row(&world) == "current");

    world.create_share(SERVER, PACKAGE_SHARE, r"C:\x");

    let store = world.fleet().servers[SERVER].layout.package_delivery.clone();
    assert_eq!(world.shares(SERVER), [(PACKAGE_SHARE.to_owned(), store)]);
}

#[test]
fn other_bytes_of_the_right_size_are_replaced_when_the_package_is_fetched_anew() {
    let mut world = on_pair("hash_damaged");
    let known = world.fleet().packages[PACKAGE].clone();
    let path =
        |server: usize| world.fleet().servers[server].layout.cached(known.guid, &known.files[0].0);
    let (damaged, sound) = (path(SERVER), path(0));
    let read = |world: &World| world.tree(MachineId::Server(SERVER)).read(&damaged).unwrap();
    let sound = world.tree(MachineId::Server(0)).read(&sound).unwrap();
    assert_eq!((row(&world), read(&world).len()), ("current".into(), sound.len()));
    assert_ne!(read(&world), sound);

    update_and_resend(&mut world, SERVER);
    assert_ne!(read(&world), sound);
    assert!(quarantine(&world));
    update_and_resend(&mut world, SERVER);
    assert_eq!((read(&world), row(&world)), (sound, "current".into()));
}

#[test]
fn a_folder_without_a_status_belongs_to_no_package_of_the_agent() {
    for world in [on_pair("orphan_folder"), on_server("orphan_folder")] {
        let layout = &world.fleet().servers[SERVER].layout;
        let tree = world.tree(MachineId::Server(SERVER));
        let folders = |path: &str| -> Vec<String> {
            tree.list(path).into_iter().map(|entry| entry.name).collect()
        };
        let known = folders(&layout.package_status);
        let stored = folders(&layout.package_delivery);
        assert!(stored.iter().any(|name| !known.contains(name)), "{stored:?} {known:?}");
    }
}

#[test]
fn a_long_download_ends_and_the_credential_has_its_rights_again() {
    let mut world = on_pair("still_downloading");
    let guid = world.fleet().packages[PACKAGE].guid;
    let cache = format!(r"{}\cache", world.fleet().servers[SERVER].layout.package_folder(guid));
    let tree = world.tree(MachineId::Server(SERVER)).clone();
    wait(&mut world, 3600);
    assert_eq!(
        (row(&world), state(&mut world)),
        ("Download Pending".into(), "Download Pending".into())
    );
    assert!(!descriptors::grants_connectivity_account(&tree, &cache));

    wait(&mut world, 6 * 3600);
    assert_eq!((row(&world), state(&mut world)), ("current".into(), "Ready".into()));
    assert!(descriptors::grants_connectivity_account(&tree, &cache));
}

#[test]
fn an_outside_program_that_deletes_is_named_by_a_task_and_ends_with_it() {
    let mut world = on_pair("external_deletion_loop");
    let guid = world.fleet().packages[PACKAGE].guid;
    let folder = world.fleet().servers[SERVER].layout.package_folder(guid);
    assert!(world.conditions(SERVER).tasks[0].action.contains(&folder));
    let mut seen = Vec::new();
    for _ in 0..60 {
        wait(&mut world, 60);
        let now = state(&mut world);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    assert!(seen.len() >= 4, "{seen:?}");

    world.mend_by_hand(FaultKind::RedownloadLoop, Some(SERVER));
    wait(&mut world, 3600);
    let before = log(&world).matches("is ready, version").count();
    wait(&mut world, 3 * 3600);
    assert_eq!(log(&world).matches("is ready, version").count(), before);
    assert_eq!(row(&world), "current");
}

#[test]
fn churn_raises_the_version_and_leaves_the_files_alone() {
    let mut world = on_package("refresh_churn");
    let guid = world.fleet().packages[PACKAGE].guid;
    let hashes = |text: &str| -> Vec<String> {
        let is_hash = |word: &&str| word.len() == 64;
        text.split('"').filter(is_hash).map(str::to_owned).collect()
    };
    let (version, before) = (world.version(guid).unwrap(), snapshot(&world));
    wait(&mut world, 3600);
    let after = snapshot(&world);

    assert!(world.version(guid).unwrap() > version && before != after);
    assert_eq!(hashes(&before), hashes(&after));

    world.mend_by_hand(FaultKind::RefreshChurn, None);
    wait(&mut world, 1800);
    let last = world.version(guid);
    wait(&mut world, 2 * 3600);
    assert_eq!((world.version(guid), row(&world)), (last, "current".into()));
}

#[test]
fn without_a_snapshot_at_the_notification_server_a_package_is_well_nowhere_until_the_refresh() {
    let mut world = on_package("snapshot_missing");
    let guid = world.fleet().packages[PACKAGE].guid;
    let path = format!(r"C:\ProgramData\Symantec\SMP\Snapshots\{guid}.xml");
    assert!(!world.tree(MachineId::NotificationServer).exists(&path));
    for server in 0..4 {
        assert_eq!(row_of(&world, server, PACKAGE), "Retrying Download");
    }
    assert!(log(&world).contains("(404)"));
    update_and_resend(&mut world, SERVER);
    assert_ne!(row(&world), "current");

    refresh_packages_at_ns(&mut world);
    update_and_resend(&mut world, SERVER);
    assert_eq!(row(&world), "current");
}

#[test]
fn a_broken_source_and_a_foreign_origin_leave_the_snapshot_unbuilt_until_a_person_acts() {
    for kind in ["source_path_broken", "foreign_origin", "parent_owns_it"] {
        let mut world = on_package(kind);
        let guid = world.fleet().packages[PACKAGE].guid;
        let path = format!(r"C:\ProgramData\Symantec\SMP\Snapshots\{guid}.xml");
        let has_origin = world.take_changes().iter().any(|change| {
            matches!(change, RowChange::Origin { package, is_live_parent, .. }
                if *package == guid && *is_live_parent == (kind == "parent_owns_it"))
        });
        assert_eq!(has_origin, kind != "source_path_broken", "{kind}");
        let says = log_at_ns(&world).contains("Could not access the package path");
        assert_eq!(says, kind == "source_path_broken", "{kind}");

        refresh_packages_at_ns(&mut world);
        assert!(!world.tree(MachineId::NotificationServer).exists(&path), "{kind}");

        world.mend_by_hand(serde_json::from_value(json!(kind)).unwrap(), None);
        refresh_packages_at_ns(&mut world);
        update_and_resend(&mut world, SERVER);
        assert_eq!(row(&world), "current", "{kind}");
    }
}

#[test]
fn of_a_deleted_package_only_rows_and_addresses_are_left() {
    let mut world = on_package("orphan");
    let guid = world.fleet().packages[PACKAGE].guid;
    let changes = world.take_changes();
    let is_known = changes
        .iter()
        .any(|change| matches!(change, RowChange::Package { guid: known, .. } if *known == guid));
    let rows = changes
        .iter()
        .filter(|c| matches!(c, RowChange::PackageServer { package, .. } if *package == guid));
    let addresses = changes
        .iter()
        .filter(|c| matches!(c, RowChange::Codebases { package, .. } if *package == guid));

    assert_eq!((is_known, rows.count(), addresses.count()), (false, 4, 4));
    assert_eq!(state(&mut world), "none");
    refresh_packages_at_ns(&mut world);
    assert!(!world.take_changes().iter().any(|change| {
        matches!(change, RowChange::Package { guid: known, .. } if *known == guid)
    }));
}

#[test]
fn of_a_retired_server_rows_are_left() {
    let mut world = world("orphan", "everywhere");
    let known: Vec<Guid> = world.fleet().servers.iter().map(|server| server.guid).collect();
    let changes = world.take_changes();

    let rows = changes.iter().filter(
        |c| matches!(c, RowChange::PackageServer { server, .. } if !known.contains(server)),
    );
    assert_eq!(rows.count(), 3);
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
