//! Change windows: a run outside of its window is refused, waits when it is told to, and goes on in
//! the next window where it was.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use fleetmend::model::Zone;
use jiff::Timestamp;
use serde_json::Value;

use crate::world::{Ended, SmallLab, World, text};

const NO_FAULTS: &str = "faults: []";

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

#[expect(clippy::disallowed_methods, reason = "the program under test goes by the wall clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// A window in the one-line form, from so many seconds after now to so many.
fn window(from: i64, to: i64) -> String {
    let time = |seconds: i64| {
        let at = now() + jiff::SignedDuration::from_secs(seconds);
        Zone::utc().wall(at).strftime("%H:%M:%S").to_string()
    };
    format!("{}-{} UTC", time(from), time(to))
}

/// Writes a playbook that lets each host pause, one after the other.
fn playbook(world: &World, window: &str) -> String {
    let path = world.path().join("pause.yml");
    let text = format!(
        "- name: Let them settle\n  hosts: package_servers\n  throttle: 1\n  \
         max_fail_percentage: 5\n{window}  tasks:\n    - pause: {{ for: 120 s }}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn run(world: &World, playbook: &str, inventory: &str, more: &[&str]) -> Ended {
    let mut args = vec!["run", "--yes", playbook, "-i", inventory];
    args.extend(more);
    world.run(&args)
}

#[test]
fn a_run_outside_of_its_window_is_refused_before_any_connection() {
    let world = World::new();
    let path = world.path().join("fleet.yml");
    let fleet = "all:\n  vars: { credential: nobody }\n  children:\n    package_servers:\n      \
                 vars: { site_tz: Asia/Kolkata }\n      hosts: { 'ps-[01:03].example': }\n";
    std::fs::write(&path, fleet).expect("a file");
    let inventory = path.display().to_string();
    // From half an hour after now, for an hour.
    let line = window(1800, 5400);
    let own = playbook(&world, &format!("  window: {line}\n"));

    let ended = run(&world, &own, &inventory, &[]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the change window is closed: it opens next"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("--wait"), "{}", ended.stderr);
    assert!(!has_runs(&world), "nothing began");

    // The same by the option, though the play's own window is open.
    let open = playbook(&world, "  window: 00:00-24:00 site\n");
    let ended = run(&world, &open, &inventory, &["--window", &line]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);

    let past = playbook(&world, "  window: 2020-01-01 22:00-23:00 Europe/Oslo\n");
    let ended = run(&world, &past, &inventory, &["--wait"]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stderr.contains("does not open again"), "{}", ended.stderr);

    let ended = run(&world, &open, &inventory, &["--window", "22:00 Europe/Oslo"]);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
}

fn has_runs(world: &World) -> bool {
    let (_, listed) = world.events(&["runs", "--json"]);
    listed.stdout.trim() != "[]"
}

#[test]
fn lint_says_when_a_window_is_and_what_clocks_do_to_it() {
    let world = World::new();
    let path = world.path().join("fleet.yml");
    let fleet = "all:\n  vars: { calendars: { sundays: { days: [sun] } } }\n  children:\n    \
                 package_servers:\n      vars: { site_tz: Europe/Oslo }\n      hosts: { 'ps-[01:30].example': }\n";
    std::fs::write(&path, fleet).expect("a file");
    let inventory = path.display().to_string();
    let lint = |window: &str| {
        let playbook = playbook(&world, &format!("  window: {window}\n"));
        world.run(&["lint", &playbook, "-i", &inventory])
    };

    let calm = lint("{ open: 22:00, close: 23:30, tz: site, expect: 5 min }");
    assert_eq!(calm.code, Some(0), "{}", calm.stderr);
    assert!(calm.stdout.contains("22:00 Europe/Oslo ("), "{}", calm.stdout);
    assert!(calm.stdout.contains("30 hosts in waves of 30 take about 2h30m"), "{}", calm.stdout);

    let folded = lint("{ calendar: sundays, open: 02:30, close: 05:00, tz: site }");
    assert_eq!(folded.code, Some(7), "{}", folded.stdout);
    assert!(folded.stderr.contains("show twice"), "{}", folded.stderr);
    assert!(folded.stderr.contains("fold: first"), "{}", folded.stderr);

    let said = lint("{ calendar: sundays, open: 02:30, close: 05:00, tz: site, fold: second }");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("show Sun ") && said.stdout.contains("never"), "{}", said.stdout);
}

#[test]
fn a_run_that_waits_begins_when_its_window_opens() {
    let lab = SmallLab::start(2, 51, 400.0, NO_FAULTS, 91);
    let world = World::new();
    let playbook = playbook(&world, "");
    let line = format!("{} expect=4min margin=1s", window(2, 3600));

    let (events, ended) = world.events(&[
        "run",
        "--yes",
        "--json",
        "--wait",
        "--window",
        &line,
        &playbook,
        "-i",
        &lab.inventory(),
    ]);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("waits for the change window, which opens"), "{}", ended.stderr);
    let began: Timestamp = text(&events[0], "at").parse().expect("an instant");
    let opened = of(&events, "window_opened");
    assert_eq!(opened.len(), 1);
    // The journal begins when the window is open.
    let line: fleetmend::model::Window = line.parse().expect("a window");
    assert!(line.opening(&Zone::utc(), began).expect("it opens").holds(began), "{began}");
    assert_eq!(text(&events[0], "window"), line.to_string());
}

#[cfg(unix)]
#[test]
fn a_run_that_waits_for_its_window_is_left_by_ctrl_c_with_nothing_begun() {
    let lab = SmallLab::start(1, 53, 400.0, NO_FAULTS, 94);
    let world = World::new();
    let playbook = playbook(&world, "");
    let (line, inventory) = (window(1800, 5400), lab.inventory());
    let mut command =
        world.command(&["run", "--yes", "--wait", "--window", &line, &playbook, "-i", &inventory]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut waits = command.spawn().expect("it starts");
    let mut said = BufReader::new(waits.stderr.take().expect("what it says"));
    let mut seen = String::new();
    while !seen.contains("waits for the change window") {
        assert_ne!(said.read_line(&mut seen).expect("text"), 0, "it ended: {seen}");
    }

    let sent = Command::new("kill").args(["-INT", &waits.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    said.read_to_string(&mut seen).expect("text");

    assert_eq!(waits.wait().expect("it ended").code(), Some(6), "{seen}");
    assert!(seen.contains("left before the change window opened"), "{seen}");
    assert!(!has_runs(&world), "nothing began");
}

#[test]
fn what_a_closed_window_leaves_goes_on_in_the_next_one() {
    let lab = SmallLab::start(8, 52, 200.0, NO_FAULTS, 92);
    let world = World::new();
    let playbook = playbook(&world, "");
    let line = format!("{} expect=120s margin=100ms", window(-60, 4));

    let ended = run(&world, &playbook, &lab.inventory(), &["--window", &line]);

    assert_eq!(ended.code, Some(5), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("THE CHANGE WINDOW CLOSED WITH HOSTS LEFT"), "{}", ended.stdout);
    let resume =
        ended.stdout.lines().find(|line| line.contains("fleetmend resume")).expect("advice");
    assert!(resume.ends_with("--wait"), "{resume}");
    let run = resume.split_whitespace().rev().nth(1).expect("a run").to_owned();
    let (before, _) = world.events(&["show", "--json", &run]);
    let closed = of(&before, "window_closed");
    let left = closed[0]["left"].as_u64().expect("a number");
    let done = of(&before, "host_finished").len() as u64;
    assert!(left > 0 && done > 0 && left + done == 8, "{left} and {done}");

    // The window of the run opens again tomorrow; this one is open now.
    let refused = world.run(&["resume", &run]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    let resumed = world.run(&["resume", &run, "--window", "00:00-24:00 UTC", "--json"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let (all, _) = world.events(&["show", "--json", &run]);
    assert_eq!(of(&all, "host_finished").len(), 8);
    assert_eq!(of(&all, "step_started").len() as u64, 8, "nothing is done twice");
}
