//! A repair of the CMDB as people run it: planned, made, and taken back.

use fleetmend::lab::cmdb::Cmdb;

use crate::world::{SmallLab, World, text};

fn playbook(package: &str) -> String {
    format!(
        "- name: Clean the status of a package\n  hosts: notification_servers\n  tasks:\n    \
         - name: Require a backup\n      cmdb_backup: 24 h\n    \
         - name: Delete the rows\n      cmdb_repair:\n        repair: delete_package_status\n        \
         packages: ['{package}']\n        expect: {{ max: 10 }}\n        \
         attest_unused_package_setting: true\n"
    )
}

#[test]
fn rows_that_a_playbook_deleted_are_copied_and_back_after_undo() {
    let lab = SmallLab::start(3, 5, 1.0, "faults: []", 17);
    let world = World::new();
    let (cmdb, package): (Cmdb, String) = (
        lab.lab().world().cmdb().clone(),
        lab.lab().world().with(|world| world.fleet().packages[0].guid.to_string()),
    );
    let path = world.path().join("repair.yml");
    std::fs::write(&path, playbook(&package)).expect("written");
    let path = path.display().to_string();
    let rows = || cmdb.dump("SWDPackageServer").expect("rows");
    let before = rows();

    let checked = world.run(&["run", "--check", &path, "-i", &lab.inventory()]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert_eq!(rows(), before, "a check changes nothing");

    let (events, ended) = world.events(&["run", "--yes", "--json", &path, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let is_of_package = |row: &String| row.contains(package.trim_matches(['{', '}']));
    let left: Vec<String> = before.iter().filter(|row| !is_of_package(row)).cloned().collect();
    assert!(left.len() < before.len());
    assert_eq!(rows(), left);
    let run = text(&events[0], "run").to_owned();
    let made = cmdb.made_tables().expect("tables");
    assert!(made.len() == 1 && made[0].contains(&run[..8]), "{run}: {made:?}");
    let decided = events.iter().find(|event| text(event, "event") == "step_decided");
    let lines = decided.expect("a decision")["change"]["lines"].to_string();
    assert!(lines.contains("DELETE FROM [dbo].[SWDPackageServer] WHERE [PackageId] IN (@P1);"));

    let undone = world.run(&["undo", "--yes", &run]);
    assert_eq!(undone.code, Some(0), "{}{}", undone.stdout, undone.stderr);
    assert_eq!(rows(), before);
    assert_eq!(cmdb.made_tables().expect("tables"), made, "the copy stays");
}
