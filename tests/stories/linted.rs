//! What `lint` says of files in which nothing is wrong, and of some in which something is.

use crate::world::World;

/// The shipped playbooks, in order.
fn shipped() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
    let files = std::fs::read_dir(folder).expect("the playbooks");
    let mut files: Vec<String> =
        files.map(|file| file.expect("a file").path().display().to_string()).collect();
    files.sort();
    files
}

#[test]
fn nothing_is_said_against_the_shipped_playbooks_with_and_without_an_inventory() {
    let world = World::new();
    let files = shipped();
    let mut args = vec!["lint"];
    args.extend(files.iter().map(String::as_str));

    let alone = world.run(&args);
    args.extend(["-i", "inventory/example.yml"]);
    let beside = world.run(&args);

    for (ended, end) in [
        (&alone, format!("{} playbooks: no errors, no warnings", files.len())),
        (&beside, format!("1 inventory, {} playbooks: no errors, no warnings", files.len())),
    ] {
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        assert_eq!(ended.stdout.lines().last(), Some(end.as_str()));
    }
}

#[test]
fn errors_and_warnings_of_all_files_are_counted_at_the_end() {
    let world = World::new();
    let write = |name: &str, text: &str| {
        let path = world.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let tasks = "  tasks:\n    - agent: update_configuration\n";
    let one = format!("- hosts: package_servers\n  serial: 5\n{tasks}");
    let risky = write("risky.yml", &format!("{one}{one}"));
    let broken =
        write("broken.yml", "- hosts: package_servers\n  tasks: [{ agnet: list_packages }]\n");

    let ended = world.run(&["lint", &risky, &broken]);

    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    let last = ended.stdout.lines().last().unwrap_or_default();
    assert_eq!(last, "2 playbooks: errors in 1 file, 1 warning");
    let told = "the first failure stops this play (here and at 1 other place)";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}
