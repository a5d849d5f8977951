//! Looking back at runs: listed, exported, verified, forgotten, and failed hosts taken up again.

use crate::world::{SmallLab, World, parse_events, resync, text};

#[test]
fn a_past_run_is_exported_verified_and_forgotten() {
    let lab = SmallLab::start(2, 3, 400.0, "faults: [{ kind: stale, hosts: 1 }]", 4);
    let world = World::new();
    let (playbook, inventory) = (resync().display().to_string(), lab.inventory());
    let ran = world.run(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let events = parse_events(&ran.stdout);
    let run = text(&events[0], "run").to_owned();

    let file = world.path().join("run.ndjson").display().to_string();
    assert_eq!(world.run(&["export", &run, "-o", &file]).code, Some(0));
    let written = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(parse_events(&written), events, "what was shown is what was kept");
    let again = world.run(&["export", &run, "-o", &file]);
    assert_eq!(again.code, Some(7), "nothing is overwritten: {}", again.stderr);

    let verified = world.run(&["runs", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    assert!(verified.stdout.contains(&format!("{} events, whole", events.len())));

    let young = world.run(&["runs", "prune", "--yes"]);
    assert!(young.stderr.contains("nothing to forget: of 1 runs"), "{}", young.stderr);
    let pruned = world.run(&["runs", "prune", "--yes", "--older-than", "1 ms", "--keep", "0"]);
    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    assert_eq!(world.run(&["runs"]).stdout, "no runs yet\n");
}

#[test]
fn a_task_to_start_at_is_refused_with_the_advice_to_resume() {
    let world = World::new();
    let playbook = resync().display().to_string();
    let refused = world.run(&["run", &playbook, "-i", "i.yml", "--start-at-task", "Wait"]);

    assert_eq!(refused.code, Some(7));
    assert!(refused.stderr.contains("fleetmend resume RUN"), "{}", refused.stderr);
}

#[test]
fn a_diagnosis_is_listed_as_one_and_shown_under_either_name() {
    let lab = SmallLab::start(2, 3, 400.0, "faults: [{ kind: stale, hosts: 1 }]", 45);
    let world = World::new();
    let looked = world.run(&["diagnose", "-i", &lab.inventory()]);
    assert_eq!(looked.code, Some(2), "{}", looked.stderr);

    let listed = world.run(&["runs"]).stdout;

    let words: Vec<&str> = listed.split_whitespace().collect();
    assert_eq!(words[3], "diagnose", "{listed}");
    assert!(listed.trim_end().ends_with("every host was looked at"), "{listed}");
    let json = world.run(&["runs", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(json[0]["mode"], "diagnose");
    let (shown, mistyped) =
        (world.run(&["show", words[0]]), world.run(&["runs", "show", words[0]]));
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.is_empty() && shown.stdout == mistyped.stdout, "{}", mistyped.stderr);
}

#[test]
fn a_run_that_could_go_on_or_cannot_be_read_is_not_forgotten_unless_told() {
    let lab = SmallLab::start(1, 3, 400.0, "faults: []", 75);
    let world = World::new();
    let playbook = world.write(
        "confirm.yml",
        "- hosts: package_servers\n  max_fail_percentage: 0\n  tasks:\n    \
         - confirm: { name: seen, say: It was looked at }\n    - assert: { that: 'true' }\n",
    );
    let run = || {
        let inventory = lab.inventory();
        let (events, _) = world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
        assert_eq!(text(events.last().expect("an end"), "result"), "unconfirmed");
        text(&events[0], "run").to_owned()
    };
    let (left, torn) = (run(), run());
    let journal = world.path().join("state/runs").join(format!("{}.db", torn.replace('-', "")));
    assert!(journal.exists(), "{journal:?}");
    std::fs::write(&journal, "torn").expect("it is overwritten");
    let prune = |more: &[&str]| {
        let mut args = vec!["runs", "prune", "--yes", "--older-than", "1 ms", "--keep", "0"];
        args.extend(more);
        world.run(&args)
    };

    let pruned = prune(&[]);

    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    let kept = format!("kept: {}, `resume` could go on with it", &left[..8]);
    assert!(pruned.stderr.contains(&kept), "{}", pruned.stderr);
    let kept = format!("kept: {}, could not read the journal", &torn[..8]);
    assert!(pruned.stderr.contains(&kept), "{}", pruned.stderr);
    assert!(pruned.stderr.contains("nothing to forget: of 2 runs"), "{}", pruned.stderr);
    let resumed = world.run(&["resume", &left, "--approve", "seen"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);

    assert_eq!(prune(&[]).code, Some(0));
    assert_eq!(world.run(&["runs"]).stdout.lines().count(), 1, "what is through is forgotten");
    assert_eq!(prune(&["--unfinished"]).code, Some(0));
    assert_eq!(world.run(&["runs"]).stdout, "no runs yet\n");
}

#[test]
fn a_run_whose_books_cannot_be_closed_tells_its_end_all_the_same() {
    let lab = SmallLab::start(1, 3, 400.0, "faults: []", 76);
    let world = World::new();
    let playbook = world.write(
        "look.yml",
        "- hosts: package_servers\n  max_fail_percentage: 0\n  tasks:\n    - assert: { that: 'true' }\n",
    );
    assert_eq!(world.run(&["runs"]).stdout, "no runs yet\n");
    let index = rusqlite::Connection::open(world.path().join("state/state.db")).expect("the index");
    let full = "CREATE TRIGGER full BEFORE UPDATE OF result ON runs
                BEGIN SELECT RAISE(FAIL, 'the disk is full'); END";
    index.execute_batch(full).expect("a trigger");
    drop(index);

    let ended = world.run(&["run", "--yes", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(70), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("exit code"), "the recap is there: {}", ended.stdout);
    assert!(ended.stderr.contains("could not close the run's books"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the disk is full"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the run itself ended: done (exit code 0)"), "{}", ended.stderr);
}
