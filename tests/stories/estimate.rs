//! What new snapshots make package servers and clients download is said before anything starts.

use std::collections::BTreeSet;
use std::process::Stdio;

#[cfg(target_os = "linux")]
use crate::at_terminal::AtTerminal;
use crate::world::{SmallLab, World, resync};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 3 }, { kind: invalid, hosts: 1 }]";

/// The packages that the first play moves the snapshots of, the downloads that follow, and the most
/// servers of a package, as the world itself counts them.
fn counted(lab: &SmallLab) -> (usize, usize, usize) {
    lab.lab().world().with(|world| {
        let stale: BTreeSet<_> =
            world.not_ready().into_iter().map(|(_, package)| package).collect();
        let servers: Vec<_> = world.fleet().servers.iter().map(|server| server.guid).collect();
        let holders = |package: &fleetmend::model::Guid| {
            servers.iter().filter(|server| world.row(**server, *package).is_some()).count()
        };
        let each: Vec<usize> = stale.iter().map(holders).collect();
        (stale.len(), each.iter().sum(), each.into_iter().max().unwrap_or(0))
    })
}

fn line(packages: usize, downloads: usize, servers: usize) -> String {
    assert!(packages > 1 && servers > 1 && downloads > servers, "the world is worth it");
    format!(
        "Move the stale snapshots and their signatures away: builds {packages} packages anew, each \
         on up to {servers} package servers: {downloads} downloads, "
    )
}

const UNKNOWN: &str = "; clients download as well, how many is not known";

#[cfg(target_os = "linux")]
#[test]
fn a_run_says_packages_by_servers_by_bytes_before_it_asks_whether_it_may() {
    let lab = SmallLab::start(6, 43, 400.0, FAULTS, 43);
    let world = World::new();
    let (packages, downloads, servers) = counted(&lab);
    let playbook = resync().display().to_string();
    let asked = lab.lab().report().asked();

    let mut terminal = AtTerminal::start(&world, &["run", &playbook, "-i", &lab.inventory()]);
    terminal.wait_for("[y/N]");
    terminal.press("n\n");
    let (screen, code) = terminal.end();

    assert_eq!(code, Some(6), "{screen}");
    let told = screen.find(&line(packages, downloads, servers)).unwrap_or_else(|| {
        panic!("{packages} {downloads} {servers}:\n{screen}");
    });
    let question = screen.find("[y/N]").expect("the question");
    assert!(told < question, "{screen}");
    let told = screen[told..].lines().next().unwrap_or_default();
    assert!(told.trim_end().ends_with(UNKNOWN), "{told}");
    assert!(told.contains("B;") || told.contains("bytes;"), "the bytes are told: {told}");
    assert_eq!(lab.lab().report().asked(), asked, "nothing was started");
    assert!(!world.run(&["runs"]).stdout.contains("resync"), "there is no run");
}

#[test]
fn a_check_begins_with_what_the_run_would_set_off() {
    let lab = SmallLab::start(6, 43, 400.0, FAULTS, 44);
    let world = World::new();
    let (packages, downloads, servers) = counted(&lab);
    let playbook = resync().display().to_string();
    let screen = world.path().join("screen.txt");
    let file = std::fs::File::create(&screen).expect("a file");
    let mut command = world.command(&["run", "--check", &playbook, "-i", &lab.inventory()]);

    // Both streams in one file, in the order in which they are written.
    command.stdout(Stdio::from(file.try_clone().expect("a file"))).stderr(Stdio::from(file));
    let ended = command.status().expect("the program runs");

    let told = std::fs::read_to_string(&screen).expect("the screen");
    assert_eq!(ended.code(), Some(0), "{told}");
    let (before, after) =
        told.split_once(&line(packages, downloads, servers)).unwrap_or_else(|| {
            panic!("{packages} {downloads} {servers}:\n{told}");
        });
    assert!(!before.contains(" run ") && after.contains(" run "), "{told}");
    assert!(after.lines().next().is_some_and(|rest| rest.ends_with(UNKNOWN)), "{told}");
}
