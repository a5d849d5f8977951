//! Gates: a play goes on only while what it depends on is positively well.

use serde_json::Value;

use fleetmend::lab::world::FaultKind;

use crate::world::{SmallLab, UnderWay, World, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 6 }]";

/// Writes a file into the world's directory.
fn write(world: &World, name: &str, content: &str) -> String {
    let path = world.path().join(name);
    std::fs::write(&path, content).expect("a file");
    path.display().to_string()
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

/// The place of the first event of a kind.
fn first(events: &[Value], kind: &str) -> usize {
    events.iter().position(|event| text(event, "event") == kind).unwrap_or(events.len())
}

#[test]
fn a_queue_that_stops_midway_stops_the_play_and_a_resume_asks_anew() {
    let lab = SmallLab::start(12, 41, 400.0, FAULTS, 60);
    let world = World::new();
    let inventory = lab.inventory();
    let playbook = write(
        &world,
        "watched.yml",
        "- hosts: package_servers
  serial: [1, 100%]
  throttle: 2
  max_fail_percentage: 0
  gates: [{ ns_healthy: { stalled: 1 min, fail_limit: 1 } }]
  tasks:
    - pause: { for: 5 min }
    - assert: { that: 'true' }
",
    );
    let command = world.command(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
    let mut under_way = UnderWay::start(command);
    let mut events = Vec::new();
    while of(&events, "wave_started").len() < 2 {
        let next = under_way.read(1);
        assert!(!next.is_empty(), "it ended early: {events:#?}");
        events.extend(next);
    }
    lab.lab().world().with(|world| world.afflict_notification_server(FaultKind::EventQueueStall));
    let (rest, code) = under_way.wait();
    events.extend(rest);

    assert_eq!(code, Some(3), "{events:#?}");
    let checked = of(&events, "gate_checked");
    let passed: Vec<u64> = checked
        .iter()
        .filter(|event| text(event, "verdict") == "pass")
        .map(|event| event["wave"].as_u64().expect("a wave"))
        .collect();
    assert_eq!(passed, [0, 1], "each wave has its own pass");
    let failed = of(&events, "gate_failed");
    assert_eq!(failed.len(), 1, "{checked:#?}");
    assert!(text(failed[0], "seen").contains("queue 37, stands still"), "{failed:#?}");
    let after = &events[first(&events, "gate_failed")..];
    assert!(of(after, "step_started").is_empty(), "{after:#?}");
    // While its last word is not a pass, no further host is taken.
    let ill = events
        .iter()
        .position(|event| text(event, "verdict") == "fail")
        .expect("it was seen to be ill");
    let taken = |events: &[Value]| {
        let steps = of(events, "step_started").into_iter();
        steps.filter(|event| event["step"]["task"]["task"] == 0).count()
    };
    assert_eq!(taken(&events[ill..]), 0);
    assert!(taken(&events[..ill]) < 12);

    let run = text(&events[0], "run").to_owned();
    let recap = world.run(&["show", &run]).stdout;
    assert!(recap.contains("STOPPED: A GATE FAILED"), "{recap}");
    assert!(recap.contains("ns_healthy fail, wave 2: queue 37, stands still"), "{recap}");

    // It is still ill: the resume asks anew, and takes nobody.
    let again = world.run(&["resume", &run, "--json"]);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
    let again = crate::world::parse_events(&again.stdout);
    assert!(of(&again, "step_started").is_empty(), "{again:#?}");

    lab.lab().world().with(|world| world.mend_by_hand(FaultKind::EventQueueStall, None));
    let mended = world.run(&["resume", &run]);
    assert_eq!(mended.code, Some(0), "{}{}", mended.stdout, mended.stderr);
    assert!(mended.stdout.contains("gate ns_healthy: pass"), "{}", mended.stdout);
}

#[test]
fn a_gate_that_cannot_be_read_is_not_well_until_somebody_answers_for_it() {
    let lab = SmallLab::start(4, 42, 400.0, FAULTS, 61);
    let world = World::new();
    // Nothing listens where the Notification Server's web server should be.
    let inventory = lab.inventory();
    let whole = std::fs::read_to_string(&inventory).expect("an inventory");
    let (before, after) = whole.split_once("http_port: ").expect("the first port is the NS's");
    let rest = after.split_once('\n').expect("a line").1;
    std::fs::write(&inventory, format!("{before}http_port: 9\n{rest}")).expect("an inventory");
    let playbook = write(
        &world,
        "unread.yml",
        "- hosts: package_servers
  serial: [1, 100%]
  max_fail_percentage: 0
  gates: [{ ns_healthy: { error_limit: 1, within: 1 min } }]
  tasks:
    - assert: { that: 'true' }
",
    );

    // In check mode it is asked and told, and stops nothing.
    let (checked, ended) = world.events(&["run", "--check", "--json", &playbook, "-i", &inventory]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = of(&checked, "gate_checked");
    assert_eq!(told.len(), 2, "once before each wave: {told:#?}");
    assert!(told.iter().all(|event| text(event, "verdict") == "unreadable"));
    assert_eq!(of(&checked, "host_finished").len(), 4);

    let (events, ended) = world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
    assert_eq!(ended.code, Some(9), "{}\n{events:#?}", ended.stderr);
    assert!(of(&events, "wave_started").is_empty() && of(&events, "step_started").is_empty());
    assert_eq!(of(&events, "gate_asked").len(), 1);
    assert_eq!(of(&events, "gate_answered")[0]["answer"]["reply"], "nobody_there");
    let run = text(&events[0], "run").to_owned();
    let recap = world.run(&["show", &run]).stdout;
    assert!(recap.contains("ns_healthy unreadable, wave 1"), "{recap}");
    let hint = format!("fleetmend resume {} --approve ns_healthy", &run[..8]);
    assert!(recap.contains(&hint), "{recap}");

    let unknown = world.run(&["resume", &run, "--approve", "ns_helthy"]);
    assert_eq!(unknown.code, Some(7));
    assert!(unknown.stderr.contains("ns_healthy"), "{}", unknown.stderr);

    let mut approved = world.command(&["resume", &run, "--json", "--approve", "ns_healthy"]);
    let approved = approved.output().expect("it runs");
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    let events = crate::world::parse_events(&String::from_utf8_lossy(&approved.stdout));
    let answers = of(&events, "gate_answered");
    assert_eq!(answers.len(), 2, "for each wave anew: {events:#?}");
    for answer in answers {
        assert_eq!(answer["answer"]["reply"], "confirmed");
        assert_eq!(answer["answer"]["by"], "command_line");
        assert!(!text(&answer["answer"], "user").is_empty() && !text(answer, "at").is_empty());
    }
    let recap = world.run(&["show", &run]).stdout;
    assert!(recap.contains("with --approve, 20"), "who and when: {recap}");
    assert!(!recap.contains("--approve ns_healthy"), "nothing is left to approve: {recap}");
}

#[test]
fn a_wave_waits_for_the_one_before_until_the_cmdb_says_ready() {
    let lab = SmallLab::start(8, 43, 400.0, FAULTS, 62);
    let world = World::new();
    let playbook = write(
        &world,
        "ready.yml",
        "- hosts: package_servers
  work: not_ready_packages
  serial: [2, 100%]
  max_fail_percentage: 0
  vars: { most: 4000 }
  gates:
    - wave_ready: { within: 45 min }
    - { name: queue_low, query: event_queue, pass: row.Entries < most, every: 30 s, watch: true }
  oracle: { ready: work, within: 45 min }
  tasks:
    - quarantine_files:
        role: ps_delivery
        files: ['{package}/snapshot.xml']
        packages: '{{ work.package_ids }}'
        expect: { max: 50 }
    - agent: update_configuration
    - agent: resend_package_status
",
    );

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let ready: Vec<&Value> = of(&events, "gate_checked")
        .into_iter()
        .filter(|event| text(event, "gate") == "wave_ready")
        .collect();
    let last = ready.last().expect("the second wave asks about the first one");
    assert!(ready.iter().all(|event| event["wave"] == 1), "{ready:#?}");
    assert_eq!(text(last, "verdict"), "pass");
    let seen = text(last, "seen");
    assert!(seen.contains("pairs Ready"), "{seen}");
    let opened = events
        .iter()
        .position(|event| text(event, "event") == "wave_started" && event["wave"] == 1)
        .expect("the second wave");
    let passed = events.iter().position(|event| event == *last).expect("it is one of them");
    assert!(passed < opened);
    let low = of(&events, "gate_checked");
    let low = low.iter().find(|event| text(event, "gate") == "queue_low").expect("it was asked");
    assert!(text(low, "seen").starts_with("Entries "), "{low}");
}

#[test]
fn while_the_oracle_waits_everybody_is_told_who_is_not_well_yet() {
    let lab = SmallLab::start(
        4,
        44,
        400.0,
        "faults: [{ kind: stale, hosts: 2 }, { kind: trust_1789, hosts: 1, for_good: true }]",
        63,
    );
    let world = World::new();
    let playbook = write(
        &world,
        "oracle.yml",
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 100
  oracle: { ready: work, within: 20 min }
  tasks:
    - agent: update_configuration
",
    );
    let inventory = lab.inventory();

    let (events, ended) = world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory]);

    assert_eq!(ended.code, Some(8), "{}", ended.stderr);
    let asked = of(&events, "oracle_checked");
    let (last, before) = asked.split_last().expect("it was asked");
    assert_eq!(last["last"], true);
    let waits = before.first().expect("it was asked again and again");
    let host = text(&waits["report"]["not_ready"][0], "host").to_owned();
    assert!(!host.is_empty(), "{waits}");
    let run = text(&events[0], "run");
    let recap = world.run(&["show", run]).stdout;
    assert!(recap.contains("not ready"), "{recap}");

    let lines = world.run(&["run", "--yes", &playbook, "-i", &inventory]).stdout;
    assert!(lines.contains("Ready; not yet: ps-"), "{lines}");
    assert!(lines.contains("Ready; not ready: ps-"), "{lines}");
}

#[test]
fn a_gate_may_ask_about_one_package_and_names_it_by_a_variable() {
    let lab = SmallLab::start(3, 46, 400.0, FAULTS, 46);
    let world = World::new();
    let (inventory, name) =
        (lab.inventory(), lab.lab().world().with(|world| world.fleet().packages[0].name.clone()));
    let playbook = write(
        &world,
        "asked.yml",
        "- hosts: package_servers
  max_fail_percentage: 0
  gates:
    - { name: offered, query: codebases, parameters: { package: '{{ which }}' }, pass: rows > 0, error_limit: 0, within: 1 min }
  tasks:
    - assert: { that: 'true' }
",
    );
    let run = |package: &str| {
        let which = format!("which={package}");
        world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory, "-e", &which])
    };

    let (events, ended) = run(&name);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let checked = of(&events, "gate_checked");
    assert_eq!(text(checked[0], "verdict"), "pass", "{checked:#?}");
    assert!(text(checked[0], "seen").ends_with(" rows") || text(checked[0], "seen") == "1 row");

    // A package that nobody has is no answer, and not an empty one.
    let (events, ended) = run("no-such-package");
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    let seen = of(&events, "gate_checked")[0].to_string();
    assert!(seen.contains("no package of the CMDB is called `no-such-package`"), "{seen}");
    assert!(of(&events, "step_started").is_empty());
}
