//! Faults of packages, on all servers.

use super::*;

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
