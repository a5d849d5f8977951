//! The everyday repair: check, run, show, and what the Notification Server says of it.

use crate::world::{SmallLab, World, resync, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 4 }, { kind: invalid, hosts: 2 }]";

#[test]
fn check_says_what_would_change_and_changes_nothing() {
    let lab = SmallLab::start(8, 11, 200.0, FAULTS, 1);
    let world = World::new();
    let playbook = resync().display().to_string();
    let before = lab.lab().report().asked();

    let ended = world.run(&["run", "--check", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("would"), "{}", ended.stdout);
    assert_eq!(lab.lab().report().asked(), before, "a check asks no agent for anything");
}

#[test]
fn a_run_makes_every_pair_ready_and_show_tells_it_again() {
    let lab = SmallLab::start(8, 12, 200.0, FAULTS, 2);
    let world = World::new();
    let playbook = resync().display().to_string();

    let (events, ended) =
        world.events(&["run", "--yes", "--json", "--seed", "1", &playbook, "-i", &lab.inventory()]);
    assert_eq!(
        ended.code,
        Some(0),
        "{}\n{}",
        events.last().map(ToString::to_string).unwrap_or_default(),
        ended.stderr
    );
    let oracle = events.iter().rev().find(|e| text(e, "event") == "oracle_checked").expect("asked");
    let report = &oracle["report"];
    assert_eq!(report["ready"], report["of"], "{report}");
    assert!(report["of"].as_u64().is_some_and(|of| of > 0));
    assert_eq!(lab.lab().world().with(|world| world.not_ready().len()), 0);

    // What was booked is what was caused, give or take a tenth.
    let booked: u64 = events
        .iter()
        .filter(|event| text(event, "event") == "step_decided")
        .filter_map(|event| event.pointer("/cost/ns_iis"))
        .map(|draw| draw["now"].as_u64().unwrap_or(0) + draw["later"].as_u64().unwrap_or(0))
        .sum();
    let counted = lab.lab().report().asked();
    assert!(booked.abs_diff(counted) * 10 <= counted, "booked {booked}, counted {counted}");

    let run = text(&events[0], "run").to_owned();
    let shown = world.run(&["show", &run[..8]]);
    assert!(shown.stdout.contains("pairs Ready with the current version"), "{}", shown.stdout);
    let (again, _) = world.events(&["show", "--json", &run]);
    assert_eq!(again, events, "the journal holds what was streamed");
    let listed = world.run(&["runs"]);
    assert!(
        listed.stdout.contains(&run[..8]) && listed.stdout.contains("done"),
        "{}",
        listed.stdout
    );
}

#[test]
fn the_shipped_inventory_of_the_lab_is_the_one_that_the_lab_writes() {
    let faults = include_str!("../../src/lab/faults/default.yml");
    let lab = SmallLab::start_at(60, 7, 20.0, faults, std::net::Ipv4Addr::new(127, 87, 0, 1));
    let without_ports = |text: &str| {
        let mut words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        for at in 1..words.len() {
            if words[at - 1].ends_with("port: ") {
                words[at] = words[at].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
            }
        }
        words.concat().replace("'credentials.json'", "'lab-credentials.json'")
    };

    let written = std::fs::read_to_string(lab.lab().inventory()).expect("written");
    let shipped = std::fs::read_to_string("inventory/lab.yml").expect("shipped");

    let written =
        without_ports(&written).replace("'inventory-credentials.json'", "'lab-credentials.json'");
    assert_eq!(written, without_ports(&shipped));
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let playbook = resync().display().to_string();
    let outcome = || {
        let lab = SmallLab::start(8, 51, 200.0, FAULTS, 7);
        let world = World::new();
        let (events, ended) = world.events(&[
            "run",
            "--yes",
            "--json",
            "--seed",
            "3",
            &playbook,
            "-i",
            &lab.inventory(),
        ]);
        let waves: Vec<String> = events
            .iter()
            .filter(|event| text(event, "event") == "play_started")
            .map(|event| event["waves"].to_string())
            .collect();
        let mut hosts: Vec<String> = events
            .iter()
            .filter(|event| text(event, "event") == "host_finished")
            .map(|event| format!("{} {} {}", event["play"], event["host"], event["outcome"]))
            .collect();
        hosts.sort();
        (ended.code, waves, hosts, lab.lab().report().asked())
    };

    assert_eq!(outcome(), outcome());
}
