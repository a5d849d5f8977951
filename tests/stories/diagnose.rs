//! The morning's question: which servers are not well, why, and what is to be run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::{SmallLab, World, text};

const FAULTS: &str = "faults:
  - { kind: stale, hosts: 1 }
  - { kind: invalid, hosts: 1 }
  - { kind: missing_ace, hosts: 1 }
  - { kind: offline, hosts: 1, for_good: true }";

/// Each verdict with a server that it is about.
fn verdicts(diagnosis: &Value) -> BTreeSet<(String, String)> {
    let findings = diagnosis["findings"].as_array().expect("findings");
    let of = |finding: &Value| {
        let host = text(&finding["scope"], "host").to_owned();
        (text(finding, "verdict").to_owned(), host)
    };
    findings.iter().map(of).collect()
}

#[test]
fn each_fault_is_named_on_its_server_and_nothing_is_asked_of_the_notification_server() {
    let lab = SmallLab::start(6, 21, 200.0, FAULTS, 30);
    let world = World::new();
    let asked = lab.lab().report().asked();

    let ended = world.run(&["diagnose", "-i", &lab.inventory(), "--json"]);

    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    let diagnosis: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    let found = verdicts(&diagnosis);
    let names: BTreeSet<&str> = found.iter().map(|(verdict, _)| verdict.as_str()).collect();
    let expected =
        ["acl-missing", "notification-server-stale", "package-server-stale", "unreachable"];
    assert_eq!(names, BTreeSet::from(expected), "{found:?}");
    let hosts: BTreeSet<&str> = found.iter().map(|(_, host)| host.as_str()).collect();
    assert_eq!(hosts.len(), 4, "each server has one cause: {found:?}");
    let off = lab.lab().world().with(|world| world.expected_broken()[0].server.clone());
    assert!(found.contains(&("unreachable".to_owned(), off)), "{found:?}");
    assert_eq!(lab.lab().report().asked(), asked, "a diagnosis asks no agent for anything");
}

#[test]
fn people_are_told_what_it_means_what_to_run_and_what_they_must_do_themselves() {
    let lab = SmallLab::start(6, 21, 200.0, FAULTS, 31);
    let world = World::new();
    let page = world.path().join("fleet.html");

    let ended =
        world.run(&["diagnose", "-i", &lab.inventory(), "--html", &page.display().to_string()]);

    let told = &ended.stdout;
    assert_eq!(ended.code, Some(2), "{told}{}", ended.stderr);
    for part in [
        "4 CAUSES:",
        "verdict                        sure       servers  packages   pairs  who acts",
        "what to run, look first with --check",
        "fleetmend run playbooks/",
        "--limit '",
        "what a person must do",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let is_a_command = |line: &&str| line.contains("fleetmend run") || line.contains(".yml");
    let wide =
        told.lines().filter(|line| line.chars().count() > 80).find(|line| !is_a_command(line));
    assert_eq!(wide, None, "{told}");
    let html = std::fs::read_to_string(&page).expect("the page");
    assert!(html.contains("acl-missing") && html.contains("Servers and packages"));
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!html.contains(outside), "the page needs {outside}");
    }
}

#[test]
fn a_fleet_that_is_well_is_said_to_be_and_only_unreachable_servers_have_their_own_end() {
    let world = World::new();
    let well = SmallLab::start(3, 5, 200.0, "faults: []", 32);

    let ended = world.run(&["diagnose", "-i", &well.inventory()]);

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("ALL IS WELL"), "{}", ended.stdout);

    let one_off = "faults: [{ kind: offline, hosts: 1, for_good: true }]";
    let lab = SmallLab::start(3, 5, 200.0, one_off, 33);
    let ended = world.run(&["diagnose", "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_watch_says_what_changed_since_the_last_look() {
    let lab = SmallLab::start(3, 6, 200.0, "faults: [{ kind: invalid, hosts: 1 }]", 34);
    let world = World::new();

    let ended = world.run(&[
        "diagnose",
        "-i",
        &lab.inventory(),
        "--watch",
        "--every",
        "10s",
        "--times",
        "2",
    ]);

    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.matches("diagnosis of").count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("0 new since"), "{}", ended.stdout);
}

#[test]
fn a_pattern_picks_package_servers_and_the_notification_server_is_looked_at_all_the_same() {
    let lab = SmallLab::start(4, 6, 200.0, "faults: []", 35);
    let world = World::new();
    let first = lab.lab().world().with(|world| world.fleet().servers[0].fqdn.clone());

    let ended = world.run(&["diagnose", "-i", &lab.inventory(), &first, "--evidence"]);

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let evidence: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    assert_eq!(evidence["servers"].as_array().map(Vec::len), Some(1));
    assert!(evidence["notification_servers"][0]["rows"]["known"].is_array());

    let nobody = world.run(&["diagnose", "-i", &lab.inventory(), "notification_servers"]);
    assert_eq!(nobody.code, Some(7), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("no package server is meant"), "{}", nobody.stderr);
}
