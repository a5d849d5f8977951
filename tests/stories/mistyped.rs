//! What a stranger mistypes, and what he is told: what, where, and what to do instead.

use crate::world::{SmallLab, World, text};

const PLAYBOOK: &str = "\
- name: Look
  hosts: package_servers
  serial: [1, 100%]
  max_fail_percentage: 100
  gates: [ns_healthy]
  tasks:
    - name: Ask
      confirm: { name: agreed, say: It is so }
      tags: [asking]
    - name: Claim
      assert: { that: 'true' }
      tags: [looking]
";

/// A playbook in the world's directory.
fn written(world: &World, content: &str) -> String {
    let path = world.path().join("look.yml");
    std::fs::write(&path, content).expect("written");
    path.display().to_string()
}

#[test]
fn a_mistake_on_the_command_line_of_a_run_is_told_with_what_was_meant() {
    let world = World::new();
    let playbook = written(&world, PLAYBOOK);
    for (mistake, told) in [
        (&["--start-at-task", "Claim"][..], &["there is no --start-at-task", "resume RUN"][..]),
        (&["--limit", "ps-lon-1"], &["no host `ps-lon-1`", "did you mean `ps-lon-"]),
        (&["--limit", "ps-[01"], &["a bracket is not closed", "'ps-lon-[01:20]'"]),
        (
            &["--limit", "notification_servers"],
            &["--limit notification_servers leaves no host of any play", "`package_servers`"],
        ),
        (
            &["--tags", "lookng"],
            &["has the tag `lookng`", "did you mean `looking`? its tags are asking, looking"],
        ),
        (&["--skip-tags", "asking,looking"], &["no task is left"]),
        (&["--approve", "ns_helthy"], &["no gate named `ns_helthy`", "did you mean `ns_healthy`?"]),
        (&["--approve", "xyz"], &["named `xyz`", "it has agreed, ns_healthy"]),
        (&["--window", "nights"], &["`nights` is not a day", "nor times", "as in --window"]),
        (&["--window", "22:00-02:00"], &["says no time zone"]),
        (
            &["--window", "22:00-02:00 Europe/Olso"],
            &["`Europe/Olso` is not a time zone", "did you mean `Europe/Oslo`?"],
        ),
        (&["--wait"], &["no change window to wait for", "--window"]),
    ] {
        let mut args = vec!["run", "--yes", &playbook, "-i", "inventory/example.yml"];
        args.extend(mistake);

        let ended = world.run(&args);

        assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""), "{mistake:?}");
        for part in told {
            assert!(
                ended.stderr.contains(part),
                "{mistake:?}: {part} is missing:\n{}",
                ended.stderr
            );
        }
        assert!(!ended.stderr.contains("nobody can be asked"), "{}", ended.stderr);
    }
    assert_eq!(world.run(&["runs"]).stdout, "no runs yet\n");
}

#[test]
fn a_run_that_is_not_there_or_is_over_is_told_as_that() {
    let lab = SmallLab::start(2, 3, 400.0, "faults: []", 47);
    let world = World::new();
    let (before, asking) = PLAYBOOK.split_once("    - name: Ask").expect("a question");
    let (_, after) = asking.split_once("    - name").expect("a task after it");
    let claim = format!("{before}    - name{after}").replace("  gates: [ns_healthy]\n", "");
    let (playbook, inventory) = (written(&world, &claim), lab.inventory());
    let run = |more: &[&str]| {
        let mut args = vec!["run", "--json", &playbook, "-i", &inventory];
        args.extend(more);
        let (events, ended) = world.events(&args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        text(&events[0], "run").to_owned()
    };
    let (done, checked) = (run(&["--yes"]), run(&["--check"]));

    for (args, code, told) in [
        (
            &["resume", "fade"][..],
            7,
            "error: there is no run `fade`\nhint: `fleetmend runs` lists them",
        ),
        (&["runs", "show", "fade"], 7, "there is no run `fade`"),
        (
            &["resume", &done],
            7,
            "is over (done): nothing is left to do\nhint: to do it anew: fleetmend run /",
        ),
        (&["resume", &checked], 7, "to do it anew: fleetmend run --check /"),
        (&["undo", &done, "--yes"], 0, "changed nothing, or all of it is back already"),
        (&["undo", &checked, "--yes"], 0, "was a check: it changed nothing"),
        (&["undo", &done, "nobody", "--yes"], 7, "has no host of the name `nobody`"),
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{args:?}:\n{}", ended.stderr);
    }
}
