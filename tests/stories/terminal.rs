//! A run at a real terminal: `script` of util-linux has the program talk to a pseudo-terminal,
//! where it asks, is answered by keys, is stopped and left, and which can go away.

#![cfg(target_os = "linux")]

use std::process::Command;

use serde_json::Value;

use crate::at_terminal::AtTerminal;
use crate::world::{SmallLab, World, text};

const PLAYBOOK: &str = "\
- hosts: notification_servers
  tasks:
    - name: Hands at the console
      confirm: { name: acc-restored, say: The credential was set again, type: REPLACE }
    - name: Afterwards
      assert: { that: 'true' }
";

/// A lab, and a playbook that asks.
fn ground(network: u8) -> (SmallLab, World, String) {
    let lab = SmallLab::start(1, 66, 400.0, "faults: []", network);
    let world = World::new();
    let path = world.path().join("confirm.yml").display().to_string();
    std::fs::write(&path, PLAYBOOK).expect("written");
    (lab, world, path)
}

/// Answers the question of a run or of a resumed one by keys.
fn answer(world: &World, args: &[&str], keys: &str) -> (String, Option<i32>) {
    let mut program = AtTerminal::start(world, args);
    program.wait_for("type \"REPLACE\" to confirm: ");
    program.press(keys);
    program.end()
}

/// The run of a world in which there is one, and its answers: what was said, and how.
fn answers(world: &World) -> (String, Vec<(String, String)>) {
    let listed = world.run(&["runs", "--json"]).stdout;
    let runs: Value = serde_json::from_str(&listed).expect("a list");
    let run = text(&runs[0], "run").to_owned();
    let (events, _) = world.events(&["show", "--json", &run]);
    let answered = events.iter().filter(|event| text(event, "event") == "confirm_answered");
    let said = |event: &Value| {
        let answer = &event["answer"];
        (text(answer, "reply").to_owned(), text(answer, "by").to_owned())
    };
    (run, answered.map(said).collect())
}

#[test]
fn what_a_terminal_declines_is_asked_again_by_resume_and_goes_on_when_it_is_typed() {
    let (lab, world, path) = ground(66);

    let (screen, code) =
        answer(&world, &["run", "--yes", &path, "-i", &lab.inventory()], "replace\n");
    assert_eq!(code, Some(9), "{screen}");
    assert!(screen.contains("A CONFIRMATION WAS NOT GIVEN"), "{screen}");
    let (run, _) = answers(&world);
    let (screen, code) = answer(&world, &["resume", &run], "REPLACE\n");

    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("at the terminal"), "{screen}");
    let (_, said) = answers(&world);
    let terminal = |reply: &str| (reply.to_owned(), "terminal".to_owned());
    assert_eq!(said, [terminal("declined"), terminal("confirmed")]);
}

#[test]
fn a_question_at_a_terminal_can_be_left_by_ctrl_c_and_the_run_goes_on_later() {
    let (lab, world, path) = ground(67);

    let (screen, code) = answer(&world, &["run", "--yes", &path, "-i", &lab.inventory()], "\u{3}");

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("STOPPED BY THE OPERATOR"), "{screen}");
    let (run, said) = answers(&world);
    assert_eq!(said, [], "nobody answered");
    let resumed = world.run(&["resume", &run, "--approve", "acc-restored=REPLACE"]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
}

/// Two gates of which nobody can say whether they are well: both pause the play.
const GATED: &str = "\
- hosts: package_servers
  max_fail_percentage: 0
  gates:
    - { name: left_hand, query: event_queue, pass: row.Entries < 0, fail: row.Entries < 0 }
    - { name: right_hand, query: event_queue, pass: row.Entries < 0, fail: row.Entries < 0 }
  tasks:
    - assert: { that: 'true' }
";
const GO_ON: &str = "go on with this wave without it? [y/N] ";

/// A run that two gates pause at once, when both questions are open and the first one is shown.
fn asked_twice(network: u8) -> (SmallLab, World, AtTerminal) {
    let lab = SmallLab::start(2, u64::from(network), 400.0, "faults: []", network);
    let world = World::new();
    let path = world.write("gated.yml", GATED);
    let args = ["run", "--yes", &path, "-i", &lab.inventory()];
    let mut program = AtTerminal::start_in_shell(&world, &args);
    program.wait_for(GO_ON);
    // Each look takes its time; it is a bound for a test that hangs.
    let are_open = (0..500).any(|_| about_gates(&world, "gate_asked").len() == 2);
    assert!(are_open, "the second gate is asked: {}", program.seen);
    (lab, world, program)
}

/// The events of a kind of the only run of a world: the gate, and how it was answered.
fn about_gates(world: &World, kind: &str) -> Vec<(String, String)> {
    let listed = world.run(&["runs", "--json"]).stdout;
    let runs: Value = serde_json::from_str(&listed).expect("a list");
    let (events, _) = world.events(&["show", "--json", text(&runs[0], "run")]);
    let events = events.iter().filter(|event| text(event, "event") == kind);
    let told = |event: &Value| {
        (text(event, "gate").to_owned(), text(&event["answer"], "reply").to_owned())
    };
    events.map(told).collect()
}

/// The gates of the questions that the screen has shown, in order.
fn shown(screen: &str) -> Vec<&str> {
    let after = screen.split("\nconfirm ").skip(1);
    after.filter_map(|rest| rest.split(['\r', '\n']).next()).collect()
}

#[test]
fn two_gates_that_pause_at_once_are_asked_one_after_the_other_and_each_has_its_own_answer() {
    let (_lab, world, mut program) = asked_twice(140);
    let asked: Vec<String> =
        about_gates(&world, "gate_asked").into_iter().map(|(gate, _)| gate).collect();
    assert_eq!(shown(&program.seen), [asked[0].as_str()], "one at a time: {}", program.seen);

    // The second line was typed before the second question was there: it is not its answer.
    program.press("y\ny\n");
    program.wait_for(&format!("\nconfirm {}", asked[1]));
    program.seen = program.seen.split_off(program.seen.rfind("\nconfirm ").expect("shown"));
    program.wait_for(GO_ON);
    let so_far = about_gates(&world, "gate_answered");
    assert_eq!(so_far, [(asked[0].clone(), "confirmed".to_owned())]);
    program.press("n\n");
    let (screen, code) = program.end();

    assert_eq!(code, Some(9), "{screen}");
    let declined = (asked[1].clone(), "declined".to_owned());
    assert_eq!(about_gates(&world, "gate_answered"), [so_far[0].clone(), declined]);
    assert_usable(&screen);
}

#[test]
fn a_no_to_the_first_of_two_gates_ends_the_run_and_the_other_is_not_asked_any_more() {
    let (_lab, world, mut program) = asked_twice(141);
    let first = about_gates(&world, "gate_asked")[0].0.clone();

    program.press("n\n");
    let (screen, code) = program.end();

    assert_eq!(code, Some(9), "{screen}");
    assert_eq!(shown(&screen), [first.as_str()], "{screen}");
    assert_eq!(about_gates(&world, "gate_answered"), [(first, "declined".to_owned())]);
    assert_usable(&screen);
}

#[test]
fn ctrl_c_takes_back_the_questions_about_gates_and_says_so() {
    let (_lab, world, mut program) = asked_twice(142);
    let first = about_gates(&world, "gate_asked")[0].0.clone();

    program.press("\u{3}");
    let (screen, code) = program.end();

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains(&format!("{first} is not asked any more")), "{screen}");
    assert_eq!(shown(&screen), [first.as_str()], "{screen}");
    assert_eq!(about_gates(&world, "gate_answered"), []);
    assert_usable(&screen);
}

/// Asks for the configuration again and again: there is always something under way.
const LONG: &str = "\
- hosts: package_servers
  tasks:
    - name: Again and again
      agent: update_configuration
      loop: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
";

/// A lab of one server, and a playbook that changes it for a long time.
fn long_ground(network: u8, speed: f64) -> (SmallLab, World, String) {
    let lab = SmallLab::start(1, u64::from(network), speed, "faults: []", network);
    let world = World::new();
    let path = world.path().join("long.yml").display().to_string();
    std::fs::write(&path, LONG).expect("written");
    (lab, world, path)
}

/// A run that changes one server for a long time, shown on the live screen.
fn long_run(network: u8, speed: f64) -> (SmallLab, World, AtTerminal) {
    let (lab, world, path) = long_ground(network, speed);
    let args = ["run", "--yes", &path, "-i", &lab.inventory()];
    let mut program = AtTerminal::start_in_shell(&world, &args);
    program.wait_for("changing");
    (lab, world, program)
}

/// The terminal takes keys as before, and its cursor is seen.
fn assert_usable(screen: &str) {
    let words: Vec<&str> = screen.split_whitespace().collect();
    for mode in ["echo", "icanon", "isig"] {
        assert!(words.contains(&mode), "{mode}: {screen}");
    }
    let (hidden, shown) = (screen.rfind("\u{1b}[?25l"), screen.rfind("\u{1b}[?25h"));
    assert!(hidden <= shown, "the cursor stays hidden: {screen}");
    assert!(!screen.contains("panicked"), "{screen}");
}

/// The only run of a world: its number, how it ended, and what it wrote.
fn told(world: &World) -> (String, Value, Vec<Value>) {
    let listed = world.run(&["runs", "--json"]).stdout;
    let runs: Value = serde_json::from_str(&listed).expect("a list");
    let run = text(&runs[0], "run").to_owned();
    let verified = world.run(&["runs", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    let (events, _) = world.events(&["show", "--json", &run]);
    (run, runs[0]["result"].clone(), events)
}

/// The run ended by itself after what was under way, and goes on later.
fn assert_drained(world: &World) {
    let (run, result, events) = told(world);
    assert_eq!(result, "stopped");
    let stages = events.iter().filter(|event| text(event, "event") == "stopping");
    let stages: Vec<&str> = stages.map(|event| text(event, "stage")).collect();
    assert_eq!(stages, ["drain"]);
    let resumed = world.run(&["resume", &run]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
}

#[test]
fn ctrl_c_once_at_a_terminal_drains_and_leaves_it_usable() {
    let (_lab, world, mut program) = long_run(68, 400.0);

    program.press("\u{3}");
    let (screen, code) = program.end();

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("STOPPED BY THE OPERATOR"), "{screen}");
    assert_usable(&screen);
    assert_drained(&world);
}

#[test]
fn a_polite_request_to_end_drains_as_ctrl_c_does() {
    let (_lab, world, program) = long_run(69, 400.0);

    program.signal(&["TERM"]);
    let (screen, code) = program.end();

    assert_eq!(code, Some(6), "{screen}");
    assert_usable(&screen);
    assert_drained(&world);
}

#[test]
fn ctrl_c_twice_cancels_what_is_under_way_and_says_that_its_end_is_unknown() {
    let (_lab, world, mut program) = long_run(70, 1.0);

    program.press("\u{3}");
    program.wait_for("stopping");
    program.press("\u{3}");
    let (screen, code) = program.end();

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("unknown 1"), "{screen}");
    assert_usable(&screen);
    let (_, result, events) = told(&world);
    assert_eq!(result, "stopped");
    assert!(events.iter().any(|event| text(event, "stage") == "cancel"), "{events:?}");
}

#[test]
fn the_third_request_leaves_at_once_and_the_run_can_go_on() {
    let (_lab, world, mut program) = long_run(71, 1.0);

    program.press("\u{3}");
    program.wait_for("stopping");
    // The second and the third one reach it together.
    program.signal(&["STOP", "INT", "TERM", "CONT"]);
    let (screen, code) = program.end();

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("left at once"), "{screen}");
    assert_usable(&screen);
    let (run, result, events) = told(&world);
    assert_eq!(result, Value::Null);
    assert_eq!(events.iter().filter(|event| text(event, "event") == "run_finished").count(), 0);
    let listed = world.run(&["runs"]).stdout;
    assert!(listed.contains(&format!("fleetmend resume {}", &run[..8])), "{listed}");
}

#[test]
fn a_terminal_that_goes_away_drains_the_run_and_ends_nothing_else() {
    let (lab, world, path) = long_ground(72, 400.0);
    let pipe = world.path().join("ended").display().to_string();
    assert!(Command::new("/usr/bin/mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()));
    // It has this pipe open as long as it lives, and never writes to it.
    let ended = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read_to_string(pipe).expect("its end"))
    };
    let args = ["run", "--yes", &path, "-i", &lab.inventory()];
    let mut program =
        AtTerminal::start_within(&world, &args, |program| format!("exec {program} 9> '{pipe}'"));
    program.wait_for("changing");

    program.go_away();
    ended.join().expect("the program has ended");

    assert_drained(&world);
}
