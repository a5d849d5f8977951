//! Faults of package servers and of pairs.

use super::*;

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
