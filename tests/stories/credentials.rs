//! A rejected logon: one host sees the wrong password, no run of this controller tries it again,
//! and a person says when it may be used.

use std::process::Command;

use serde_json::Value;

use crate::world::{Ended, SmallLab, World, parse_events, text};

/// A look at a service of every server, as wide as it may be.
const LOOK: &str = "\
- name: Look at the agent
  hosts: package_servers
  throttle: 10
  max_fail_percentage: 100
  tasks:
    - service: { name: AeXNSClient }
";

/// Writes the playbook and returns the arguments that run it.
fn look(world: &World, lab: &SmallLab) -> Vec<String> {
    let playbook = world.path().join("look.yml");
    std::fs::write(&playbook, LOOK).expect("written");
    let playbook = playbook.display().to_string();
    ["run", "--yes", "--json", &playbook, "-i", &lab.inventory()].map(str::to_owned).to_vec()
}

/// Runs the program; with `password`, that is the administrator's.
fn run(world: &World, lab: &SmallLab, args: &[String], password: Option<&str>) -> Ended {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command: Command = world.command(&args);
    if let Some(password) = password {
        let (_, credential) = lab
            .lab()
            .credentials()
            .iter()
            .find(|(name, _)| *name == "lab-admin")
            .expect("the lab has an administrator");
        command.env("FLEETMEND_LAB_ADMIN_USER", &credential.user);
        command.env("FLEETMEND_LAB_ADMIN_PASSWORD", password);
    }
    Ended::from(command.output().expect("the program runs"))
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| text(event, "event") == kind).count()
}

fn credential(verb: &[&str], lab: &SmallLab) -> Vec<String> {
    let mut args: Vec<String> =
        ["credential"].iter().chain(verb).map(|s| (*s).to_owned()).collect();
    args.extend(["-i".to_owned(), lab.inventory()]);
    args
}

#[test]
fn a_wrong_password_is_seen_by_one_host_and_tried_by_no_later_run() {
    let lab = SmallLab::start(6, 51, 200.0, "faults: []", 51);
    let world = World::new();
    let args = look(&world, &lab);

    let first = run(&world, &lab, &args, Some("not the one"));
    assert_eq!(first.code, Some(3), "{}", first.stderr);
    let events = parse_events(&first.stdout);
    assert_eq!(count(&events, "breaker_opened"), 1);
    let reached = events.iter().filter(|event| {
        let why = event["failure"]["message"].as_str().unwrap_or_default();
        text(event, "event") == "step_finished" && !why.contains("did not log on")
    });
    assert_eq!(reached.count(), 1, "one host saw the password");

    // Neither the same command nor any other connects to anything.
    let second = run(&world, &lab, &args, Some("not the one"));
    assert_eq!(second.code, Some(7), "{}", second.stderr);
    assert_eq!(second.stdout, "", "nothing was begun");
    let host = events.iter().find(|event| text(event, "event") == "breaker_opened");
    let host = text(host.expect("it opened"), "host");
    for part in [
        "`lab-admin`",
        &format!("was rejected by {host} at "),
        "fleetmend credential test lab-admin",
    ] {
        assert!(second.stderr.contains(part), "{part}: {}", second.stderr);
    }
    assert!(!second.stderr.contains("not the one"), "{}", second.stderr);

    let listed = run(&world, &lab, &credential(&["list"], &lab), Some("not the one"));
    assert!(listed.stdout.contains(&format!("REJECTED by {host} at ")), "{}", listed.stdout);
    assert!(listed.stderr.contains("fleetmend credential test lab-admin"), "{}", listed.stderr);
    // What the run itself left on the screen says where to look.
    let recap = world.run(&["show", text(&events[0], "run")]).stdout;
    let recap: Vec<&str> = recap.split_whitespace().collect();
    let recap = recap.join(" ");
    assert!(recap.contains(&format!("logon rejected by {host}; which credential")), "{recap}");
    assert!(recap.contains("fleetmend credential list -i "), "{recap}");
    let tested = run(&world, &lab, &credential(&["test", "lab-admin"], &lab), Some("not the one"));
    assert_eq!(tested.code, Some(4), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("REJECTED"), "{}", tested.stdout);

    // Another secret is another version of the credential.
    let right = run(&world, &lab, &args, None);
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    let listed = run(&world, &lab, &credential(&["list"], &lab), None);
    assert!(!listed.stdout.contains("REJECTED"), "{}", listed.stdout);
}

#[test]
fn a_credential_that_a_host_rejected_is_used_again_when_a_test_proved_it() {
    let faults = "faults: [{ kind: wrong_password, hosts: 1 }]";
    let lab = SmallLab::start(6, 52, 200.0, faults, 52);
    let world = World::new();
    let args = look(&world, &lab);

    let first = run(&world, &lab, &args, None);
    assert_eq!(first.code, Some(3), "{}", first.stderr);
    let events = parse_events(&first.stdout);
    let opened = events.iter().find(|event| text(event, "event") == "breaker_opened");
    assert!(opened.is_some(), "the server with another password stopped the run");
    let refused = run(&world, &lab, &args, None);
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    let told = refused.stderr.split("was rejected by ").nth(1);
    let host = told.and_then(|rest| rest.split(' ').next()).expect("it says who rejected it");

    // The very host rejects it again, and that opens nothing.
    let there = credential(&["test", "lab-admin", "--host", host], &lab);
    assert_eq!(run(&world, &lab, &there, None).code, Some(4));
    assert_eq!(run(&world, &lab, &args, None).code, Some(7));

    let elsewhere = run(&world, &lab, &credential(&["test", "lab-admin"], &lab), None);
    assert_eq!(elsewhere.code, Some(0), "{}{}", elsewhere.stdout, elsewhere.stderr);
    assert!(elsewhere.stdout.contains("runs may use it again"), "{}", elsewhere.stdout);
    let again = run(&world, &lab, &args, None);
    assert_ne!(again.code, Some(7), "{}", again.stderr);

    let unknown = run(&world, &lab, &credential(&["test", "lab-adm"], &lab), None);
    assert_eq!(unknown.code, Some(7));
    assert!(unknown.stderr.contains("lab-admin"), "{}", unknown.stderr);
}

#[test]
fn who_rejected_the_logon_is_told_and_not_whose_step_it_was() {
    let faults = "faults: [{ kind: wrong_password, at: [ps-lon-01] }]";
    let lab = SmallLab::start(3, 53, 200.0, faults, 53);
    let world = World::new();
    let playbook = "\
- name: Look at a server for another one
  hosts: ps-osl-01.lab.example
  max_fail_percentage: 100
  tasks:
    - service: { name: AeXNSClient }
      delegate_to: ps-lon-01.lab.example
";
    let playbook = world.write("elsewhere.yml", playbook);

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let opened = events.iter().find(|event| text(event, "event") == "breaker_opened");
    let opened = text(opened.expect("it opened"), "host");
    assert_eq!(opened, "ps-lon-01.lab.example");
    let listed = run(&world, &lab, &credential(&["list"], &lab), None);
    assert!(listed.stdout.contains(&format!("REJECTED by {opened} at ")), "{}", listed.stdout);
}
