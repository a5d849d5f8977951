//! Killed at any point and resumed, a run ends where an undisturbed one does, and does nothing
//! twice whose outcome was recorded.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::{SmallLab, UnderWay, World, resync, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 3 }, { kind: invalid, hosts: 1 }]";
const SERVERS: u32 = 5;
const SPEED: f64 = 400.0;

/// The points at which a run is killed: 8 in the short form, `FLEETMEND_CRASH_POINTS` in the long. The
/// many points of a whole fleet are in `crash_points`.
const POINTS: usize = 8;

/// A number that the long form sets.
pub(crate) fn asked(name: &str, otherwise: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "the long form asks for more")]
    let asked = std::env::var(name);
    asked.ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The pairs that are not ready at the end.
fn end_state(lab: &SmallLab) -> Vec<String> {
    lab.lab().world().with(|world| {
        world.not_ready().iter().map(|(server, package)| format!("{server} {package}")).collect()
    })
}

#[test]
fn killed_anywhere_and_resumed_a_run_ends_where_an_undisturbed_one_does() {
    let playbook = resync().display().to_string();
    let undisturbed = {
        let lab = SmallLab::start(SERVERS, 21, SPEED, FAULTS, 4);
        let world = World::new();
        let (events, ended) = world.events(&[
            "run",
            "--yes",
            "--json",
            "--seed",
            "5",
            &playbook,
            "-i",
            &lab.inventory(),
        ]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        (end_state(&lab), events.len())
    };
    let points = asked("FLEETMEND_CRASH_POINTS", POINTS);
    for point in 0..points {
        let lab = SmallLab::start(SERVERS, 21, SPEED, FAULTS, 4);
        let world = World::new();
        let inventory = lab.inventory();
        let mut under_way = UnderWay::start(
            world.command(&["run", "--yes", "--json", "--seed", "5", &playbook, "-i", &inventory]),
        );
        // Spread over the whole run, from its first event on.
        let kill_after = 1 + point * undisturbed.1 / points;
        let seen = under_way.read(kill_after);
        under_way.kill();
        let run = text(&seen[0], "run").to_owned();
        let (before, _) = world.events(&["show", "--json", &run]);

        let resumed = world.run(&["resume", "--json", &run]);
        let answered = answer_doubts(&world, &run, resumed.code);
        let (all, _) = world.events(&["show", "--json", &run]);

        let what = format!("killed after {kill_after} events, resumed with {answered:?}");
        assert_nothing_twice(&before, &all, &what);
        assert_eq!(end_state(&lab), undisturbed.0, "{what}");
        let last = all.iter().rfind(|event| text(event, "event") == "run_finished");
        let last = last.unwrap_or_else(|| panic!("{what}: no end\n{}", resumed.stderr));
        assert_eq!(text(last, "result"), "done", "{what}: {last}");
    }
}

/// A step in doubt whose action is not safe to repeat is the operator's to answer: here he looked,
/// and lets it run again.
fn answer_doubts(world: &World, run: &str, code: Option<i32>) -> Option<i32> {
    if code == Some(0) {
        return code;
    }
    let (events, _) = world.events(&["show", "--json", run]);
    let doubtful: BTreeSet<String> = events
        .iter()
        .filter(|event| {
            text(event, "event") == "step_finished" && text(event, "outcome") == "unknown"
        })
        .filter_map(|event| event["step"]["host"].as_str().map(str::to_owned))
        .collect();
    let mut args = vec!["resume", "--json", run];
    for host in &doubtful {
        args.extend(["--retry", host.as_str()]);
    }
    world.run(&args).code
}

/// A step whose end was recorded before the kill does not start again.
pub(crate) fn assert_nothing_twice(before: &[Value], all: &[Value], what: &str) {
    let finished: Vec<&Value> = before
        .iter()
        .filter(|event| {
            text(event, "event") == "step_finished" && text(event, "outcome") != "unknown"
        })
        .map(|event| &event["step"])
        .collect();
    for event in &all[before.len()..] {
        if text(event, "event") == "step_started" {
            assert!(!finished.contains(&&event["step"]), "{what}: {event}");
        }
    }
}
