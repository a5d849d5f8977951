//! A disk that is full or may only be read: nothing is changed that cannot be recorded.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::crash_points::Fleet;
use crate::world::{Ended, World, parse_events, resync, text};

/// The program under a shell that prepares its world: `"$@"` in the script is the program.
fn under(world: &World, shell: &[&str], script: &str, args: &[&str]) -> Command {
    let program = world.command(args);
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["sh", "-c", script, "sh"]);
    command.arg(program.get_program()).args(program.get_args()).env_clear();
    for (name, value) in program.get_envs() {
        command.env(name, value.expect("it is set"));
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// Mounts of its own, where this machine lets us have them; says loudly where it does not.
fn room() -> Option<[&'static str; 4]> {
    let room = ["unshare", "--user", "--map-root-user", "--mount"];
    let made = Command::new(room[0]).args(&room[1..]).arg("true").stderr(Stdio::null()).status();
    if made.is_ok_and(|status| status.success()) {
        return Some(room);
    }
    // Past the capture of the test harness: it shows nothing of a test that passes.
    let line = "NOT RUN: a small disk of its own needs user namespaces (unshare --user --mount)\n";
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
    None
}

/// The journal broke: the program says so, what it showed is kept, and nothing is half begun.
fn broke(ended: &Ended) {
    assert_eq!(ended.code, Some(70), "{}", ended.stderr);
    assert!(ended.stderr.contains("the journal cannot be written"), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing new starts"), "{}", ended.stderr);
    assert!(ended.stderr.contains("fleetmend resume "), "{}", ended.stderr);
}

/// What a run showed that broke: of changes, and all of it kept.
fn shown_and_kept(shown: &[Value], kept: &[Value]) {
    let has_begun = shown.iter().any(|event| text(event, "event") == "step_decided");
    assert!(has_begun, "it broke before anything was changed: {} events", shown.len());
    assert!(kept.len() >= shown.len() && kept[..shown.len()] == *shown, "shown and not kept");
    assert!(kept.iter().all(|event| text(event, "event") != "run_finished"));
}

/// A limit on the size of files stands for a disk that is full: it needs no rights.
#[cfg(unix)]
#[test]
fn a_journal_that_cannot_grow_ends_the_run_in_good_order_and_resume_finishes_it() {
    let fleet = Fleet::start(40, 47, 95);
    let (world, inventory) = (&fleet.world, fleet.lab.inventory());
    let playbook = fleet.playbook("limited");
    let limited = "trap '' XFSZ; ulimit -f 400; exec \"$@\"";
    let args = ["run", "--yes", "--json", "--seed", "5", &playbook, "-i", &inventory];
    let ended = Ended::from(under(world, &["env"], limited, &args).output().expect("it runs"));
    broke(&ended);
    let shown = parse_events(&ended.stdout);
    let run = text(&shown[0], "run").to_owned();
    let (mut kept, _) = world.events(&["show", "--json", &run]);
    shown_and_kept(&shown, &kept);

    let mut answers = Vec::new();
    for _ in 0..4 {
        let mut args = vec!["resume".to_owned(), "--json".to_owned(), run.clone()];
        args.append(&mut answers);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let resumed = world.run(&args);
        (kept, _) = world.events(&["show", "--json", &run]);
        answers = fleet.answers("limited", &kept);
        if resumed.code == Some(0) {
            break;
        }
        assert!(!answers.is_empty(), "{:?} {}", resumed.code, resumed.stderr);
    }
    fleet.assert_each_effect_once(&["limited".to_owned()]);
    let verified = world.run(&["runs", "verify"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_in_good_order_and_resume_goes_on_when_there_is_room() {
    let Some(room) = room() else { return };
    let fleet = Fleet::start(40, 48, 96);
    let (world, inventory) = (&fleet.world, fleet.lab.inventory());
    let playbook = fleet.playbook("full");
    std::fs::create_dir(world.path().join("state")).expect("a directory");
    let out = world.path().join("shown").display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=600k small \"$FLEETMEND_STATE_DIR\" && \"$@\" > '{out}'; echo \"code \
         $?\"; run=$(head -n 1 '{out}' | grep -o '\"run\":\"[^\"]*' | head -n 1 | cut -d '\"' -f 4); \
         mount -o remount,size=40m \"$FLEETMEND_STATE_DIR\"; \"$1\" export \"$run\" -o '{out}.kept' >&2; \
         \"$1\" resume \"$run\" --json > '{out}.resumed'; echo \"resumed $?\""
    );
    let args = ["run", "--yes", "--json", "--seed", "5", &playbook, "-i", &inventory];
    let ended = Ended::from(under(world, &room, &script, &args).output().expect("it runs"));

    assert!(ended.stdout.contains("code 70\n"), "{}{}", ended.stdout, ended.stderr);
    broke(&Ended { code: Some(70), ..ended });
    let read = |end: &str| {
        parse_events(&std::fs::read_to_string(format!("{out}{end}")).expect("it is there"))
    };
    let (shown, kept, resumed) = (read(""), read(".kept"), read(".resumed"));
    shown_and_kept(&shown, &kept);
    assert_eq!(text(resumed.last().expect("it goes on"), "event"), "run_finished");
    // What is still to be answered was told to be unknown, and nothing else is left.
    let all: Vec<Value> = kept.into_iter().chain(resumed).collect();
    for (server, left) in (0..fleet.servers).map(|server| (server, fleet.effects(server))) {
        let unknown = fleet.answers("full", &all);
        let name = fleet.name(server);
        assert!(left.len() == 2 || unknown.contains(&name), "{name}: {left:?}");
        assert!(left.len() <= 2, "{name}: {left:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_state_directory_that_is_read_only_is_refused_before_anything_connects() {
    let Some(room) = room() else { return };
    let world = World::new();
    // Whoever connects to it is seen.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("it does not wait");
    let port = server.local_addr().expect("an address").port();
    let inventory = world.path().join("inventory.yml").display().to_string();
    let hosts = format!(
        "all:\n  vars: {{ credential: fleet }}\n  children:\n    notification_servers:\n      hosts:\n        \
         smp01: {{ ansible_host: 127.0.0.1, ansible_port: {port}, cmdb: {{ server: 127.0.0.1, port: \
         {port}, database: CMDB, credential: fleet }} }}\n    package_servers:\n      hosts:\n        ps-1: {{ \
         ansible_host: 127.0.0.1, ansible_port: {port} }}\nsources:\n  - cmdb: package_servers\n"
    );
    std::fs::write(&inventory, hosts).expect("written");
    let state = world.path().join("state");
    std::fs::create_dir(&state).expect("a directory");
    let playbook = resync().display().to_string();
    for options in ["ro", "size=64k"] {
        let script =
            format!("mount -t tmpfs -o {options} small \"$FLEETMEND_STATE_DIR\" && exec \"$@\"");
        let args = ["run", "--yes", &playbook, "-i", &inventory];
        let mut command = under(&world, &room, &script, &args);
        command.env("FLEETMEND_FLEET_USER", "u").env("FLEETMEND_FLEET_PASSWORD", "p");
        let ended = Ended::from(command.output().expect("it runs"));

        assert_eq!(ended.code, Some(7), "{options}: {}", ended.stderr);
        assert!(ended.stderr.contains("--state-dir"), "{options}: {}", ended.stderr);
        assert!(ended.stderr.contains(&state.display().to_string()), "{}", ended.stderr);
        let connected = server.accept().map(|_| ());
        let nobody = connected.expect_err("nobody connects").kind();
        assert_eq!(nobody, std::io::ErrorKind::WouldBlock, "{options}");
    }
}
