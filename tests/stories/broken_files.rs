//! A mistake in a file is reported before anything is connected to, with exit code 7.

use std::path::PathBuf;

use crate::world::World;

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from("tests/fixtures/broken").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_broken_playbook_ends_with_7_before_any_connection() {
    let world = World::new();
    let files = fixtures("playbooks");
    assert!(files.len() >= 30, "{} files", files.len());

    for file in files {
        let ended = world.run(&[
            "run",
            "--yes",
            file.to_str().expect("a name"),
            "-i",
            "inventory/example.yml",
        ]);
        assert_eq!(ended.code, Some(7), "{}: {}", file.display(), ended.stderr);
        assert!(ended.stderr.contains("nothing was connected to"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "{}", file.display());
    }
}

#[test]
fn every_broken_inventory_ends_with_7_before_any_connection() {
    let world = World::new();

    for file in fixtures("inventories") {
        let ended = world.run(&["inventory", "-i", file.to_str().expect("a name")]);
        assert_eq!(ended.code, Some(7), "{}: {}", file.display(), ended.stderr);
        assert!(ended.stderr.contains("nothing was connected to"), "{}", ended.stderr);
    }
}

#[test]
fn a_missing_file_and_a_wrong_argument_end_with_7_and_say_what_to_do() {
    let world = World::new();

    let missing = world.run(&["lint", "no-such-playbook.yml"]);
    assert_eq!(missing.code, Some(7));
    assert!(missing.stderr.contains("could not read the playbook no-such-playbook.yml"));

    let wrong = world.run(&["run", "--chekc"]);
    assert_eq!(wrong.code, Some(7));
    assert!(wrong.stderr.contains("--check"), "{}", wrong.stderr);

    let action = world.run(&["actions", "quarantine_file"]);
    assert_eq!(action.code, Some(7));
    assert!(action.stderr.contains("did you mean `quarantine_files`?"), "{}", action.stderr);
}

#[test]
fn a_run_that_would_change_hosts_is_not_started_when_nobody_can_be_asked() {
    let world = World::new();

    let ended =
        world.run(&["run", "playbooks/resync-stale-packages.yml", "-i", "inventory/example.yml"]);

    assert_eq!(ended.code, Some(7));
    assert!(ended.stderr.contains("--yes") && ended.stderr.contains("--check"), "{}", ended.stderr);
}
