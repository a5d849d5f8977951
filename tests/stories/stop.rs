//! Ctrl-C: what is under way ends, nothing new starts, and the run can go on later.

use std::process::Command;

use crate::world::{SmallLab, UnderWay, World, resync, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 5 }]";

#[cfg(unix)]
#[test]
fn the_first_ctrl_c_drains_and_resume_finishes_the_work() {
    let lab = SmallLab::start(8, 41, 200.0, FAULTS, 6);
    let world = World::new();
    let playbook = resync().display().to_string();
    let mut under_way = UnderWay::run(&world, &playbook, &lab.inventory());
    // Until the second play is under way.
    let mut seen = under_way.read(1);
    while !seen.iter().any(|e| text(e, "event") == "step_decided" && e["step"]["task"]["play"] == 1)
    {
        seen.extend(under_way.read(1));
    }

    let interrupt = Command::new("kill").args(["-INT", &under_way.id().to_string()]).status();
    assert!(interrupt.is_ok_and(|status| status.success()));
    let (rest, code) = under_way.wait();
    seen.extend(rest);

    assert_eq!(code, Some(6));
    let stop = seen.iter().position(|e| text(e, "event") == "stopping").expect("it says so");
    assert!(seen[stop..].iter().all(|e| text(e, "event") != "step_started"), "nothing new starts");
    let run = text(&seen[0], "run").to_owned();

    let resumed = world.run(&["resume", "--json", &run]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert_eq!(lab.lab().world().with(|world| world.not_ready().len()), 0);
}
