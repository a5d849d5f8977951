//! Flow: what fails is rescued, what loops is done item by item, what a person must say is waited
//! for, and none of it is lost when the program is killed.

use std::path::PathBuf;

use serde_json::Value;

use crate::world::{SmallLab, UnderWay, World, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 4 }]";

/// Writes a file into the world's directory.
fn write(world: &World, name: &str, content: &str) -> String {
    let path: PathBuf = world.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, content).expect("a file");
    path.display().to_string()
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

/// The names of the tasks that a host did in a play, in order.
fn tasks_of(events: &[Value], play: u64, host: &str) -> Vec<u64> {
    of(events, "step_started")
        .iter()
        .map(|event| &event["step"])
        .filter(|step| step["host"] == host && step["task"]["play"] == play)
        .map(|step| step["task"]["task"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn a_host_whose_block_fails_is_rescued_and_not_counted() {
    let lab = SmallLab::start(4, 31, 400.0, FAULTS, 31);
    let world = World::new();
    write(&world, "shared/settle.yml", "- pause: { for: 30 s }\n- set_fact: { settled: true }\n");
    let playbook = write(
        &world,
        "flow.yml",
        "- name: Blocks
  hosts: package_servers
  max_fail_percentage: 0
  tags: [flow]
  tasks:
    - include_tasks: shared/settle.yml
    - block:
        - name: Only the first two servers pass
          assert: { that: [settled, inventory_hostname_short < 'ps'] , message: \"{{ inventory_hostname }} does not pass\" }
        - name: Never reached
          assert: { that: 'true' }
      rescue:
        - name: It says why
          assert: { that: [failure.class == 'refused', \"'does not pass' in failure.message\", failure.task == 'Only the first two servers pass'] }
      always:
        - set_fact: { saw_always: true }
    - name: A failure that does not matter
      assert: { that: 'false' }
      ignore_errors: true
    - assert: { that: [saw_always, settled, failure.task == 'A failure that does not matter'] }
    - name: Not today
      assert: { that: 'false' }
      tags: [other]
",
    );

    let (events, ended) = world.events(&[
        "run",
        "--yes",
        "--json",
        "--skip-tags",
        "other",
        &playbook,
        "-i",
        &lab.inventory(),
    ]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let hosts = of(&events, "host_finished");
    assert_eq!(hosts.len(), 4);
    assert!(hosts.iter().all(|event| text(event, "outcome") == "rescued"), "{hosts:#?}");
    for event in hosts {
        assert_eq!(tasks_of(&events, 0, text(event, "host")), [0, 1, 2, 4, 5, 6, 7]);
    }
    assert!(of(&events, "budget_tripped").is_empty());
    let recap = world.run(&["show", text(&events[0], "run")]).stdout;
    assert!(recap.contains("rescued 4") && recap.contains("DONE"), "{recap}");
}

#[test]
fn nothing_later_happens_before_an_operator_has_confirmed() {
    let lab = SmallLab::start(4, 32, 400.0, FAULTS, 32);
    let world = World::new();
    let inventory = lab.inventory();
    let playbook = write(
        &world,
        "confirm.yml",
        "- hosts: package_servers
  max_fail_percentage: 0
  serial: [1, 100%]
  tasks:
    - assert: { that: 'true' }
    - name: Hands at the console
      confirm: { name: acc-restored, say: The credential was set again, console: Settings > Agent, type: REPLACE }
      register: said
    - assert: { that: said.reply == 'confirmed' }
- hosts: notification_servers
  tasks:
    - assert: { that: 'true' }
",
    );

    let check = world.run(&["run", "--check", &playbook, "-i", &inventory]);
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    let (checked, _) = world.events(&["run", "--check", "--json", &playbook, "-i", &inventory]);
    let notes: Vec<&str> = of(&checked, "step_finished").iter().map(|e| text(e, "note")).collect();
    assert!(notes.iter().any(|note| note.contains("would ask to type \"REPLACE\"")), "{notes:?}");

    let (events, ended) = world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    let started = of(&events, "step_started");
    assert!(
        started.iter().all(|e| e["step"]["task"]["play"] == 0 && e["step"]["task"]["task"] != 2)
    );
    assert_eq!(text(of(&events, "run_finished")[0], "result"), "unconfirmed");
    let run = text(&events[0], "run").to_owned();
    let recap = world.run(&["show", &run]).stdout;
    assert!(
        recap.contains(&format!("fleetmend resume {} --approve acc-restored", &run[..8])),
        "{recap}"
    );

    let wrong = world.run(&["resume", &run, "--approve", "acc-restored"]);
    assert_eq!(wrong.code, Some(9), "a text had to be typed: {}", wrong.stdout);
    let unknown = world.run(&["resume", &run, "--approve", "acc-restord"]);
    assert_eq!(unknown.code, Some(7));
    assert!(unknown.stderr.contains("acc-restored"), "{}", unknown.stderr);

    let resumed = world.run(&["resume", &run, "--approve", "acc-restored=REPLACE"]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    assert!(resumed.stdout.contains("confirmed by"), "{}", resumed.stdout);
    let (all, _) = world.events(&["show", "--json", &run]);
    let asked: Vec<&str> =
        of(&all, "confirm_asked").iter().map(|e| text(&e["question"], "name")).collect();
    assert_eq!(asked, ["acc-restored"; 3], "asked once by each process");
    let answer = of(&all, "confirm_answered").pop().expect("an answer");
    assert_eq!(text(&answer["answer"], "reply"), "confirmed");
    assert!(!text(&answer["answer"], "user").is_empty());
    let ended = of(&all, "host_finished");
    assert_eq!(ended.len(), 5, "four package servers and the Notification Server");
}

#[test]
fn items_that_were_done_before_a_kill_are_not_done_again() {
    let lab = SmallLab::start(3, 33, 400.0, FAULTS, 33);
    let world = World::new();
    let inventory = lab.inventory();
    let playbook = write(
        &world,
        "loop.yml",
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 0
  serial: 1
  tasks:
    - name: One by one
      quarantine_files: { role: ps_delivery, files: ['{package}/snapshot.xml'], packages: ['{{ item }}'], expect: { max: 5 } }
      loop: '{{ work.package_ids }}'
      register: moved
    - pause: { for: 5 s }
    - assert: { that: [moved | length == work.package_ids | length, \"moved | map(attribute='item') | list == work.package_ids\"] }
",
    );
    let mut under_way = UnderWay::run(&world, &playbook, &inventory);
    let mut seen = Vec::new();
    while !seen.iter().any(|event: &Value| text(event, "event") == "step_went_on") {
        let next = under_way.read(1);
        assert!(!next.is_empty(), "no loop went on: {seen:#?}");
        seen.extend(next);
    }
    under_way.kill();
    let run = text(&seen[0], "run").to_owned();

    let resumed = world.run(&["resume", &run]);
    let (all, _) = world.events(&["show", "--json", &run]);

    assert_eq!(resumed.code, Some(0), "{}{}\n{all:#?}", resumed.stdout, resumed.stderr);
    let mut parts: Vec<String> = of(&all, "step_went_on")
        .iter()
        .filter(|event| event["settled"] == true)
        .map(|event| format!("{} {}", event["step"], event["item"]))
        .collect();
    let count = parts.len();
    parts.sort();
    parts.dedup();
    assert_eq!(parts.len(), count, "an item was done twice");
}

#[test]
fn a_task_is_repeated_until_it_holds_and_every_attempt_is_in_the_journal() {
    let lab = SmallLab::start(2, 34, 400.0, FAULTS, 34);
    let world = World::new();
    let playbook = write(
        &world,
        "until.yml",
        "- hosts: notification_servers
  tasks:
    - name: It never comes
      cmdb_query: this_server
      register: server
      until: server.rows | length > 5
      retries: 2
      delay: 10 s
      ignore_errors: true
    - assert: { that: \"'did not hold after 3 attempts' in failure.message\" }
    - cmdb_query: this_server
      register: server
      until: server.rows | length == 1
",
    );

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let attempts: Vec<u64> =
        of(&events, "step_went_on").iter().filter_map(|event| event["attempt"].as_u64()).collect();
    assert_eq!(attempts, [1, 2]);
}

#[test]
fn rows_that_are_not_as_expected_are_asked_for_again_until_they_are() {
    let lab = SmallLab::start(2, 38, 400.0, "faults: []", 39);
    let world = World::new();
    let cmdb = lab.lab().world().cmdb().clone();
    let package = fleetmend::model::Guid::from_u128(0xC0DE);
    let (guid, fqdn) = lab.lab().world().with(|world| {
        let server = &world.fleet().servers[0];
        (server.guid, server.fqdn.clone())
    });
    cmdb.upsert_package(package, "Ready and nowhere", "1").expect("a package");
    cmdb.upsert_package_server_row(guid, package, "Ready", Some("1")).expect("a row");
    let playbook = write(
        &world,
        "wait.yml",
        "- hosts: notification_servers
  tasks:
    - name: Every ready pair has a codebase
      cmdb_query: { query: ready_without_codebase, expect: { max: 0 } }
      retries: 1000
      delay: 30 s
    - name: It will not come
      cmdb_query: { query: ready_without_codebase, expect: { min: 1 } }
      retries: 2
      delay: 1 s
",
    );

    let mut under_way = UnderWay::run(&world, &playbook, &lab.inventory());
    let mut events = Vec::new();
    while of(&events, "step_went_on").len() < 2 {
        let next = under_way.read(1);
        assert!(!next.is_empty(), "it was not asked again: {events:#?}");
        events.extend(next);
    }
    let url = format!("http://{fqdn}/Altiris/PS/ready-and-nowhere/");
    cmdb.upsert_codebase(package, &url, "source", "snapshot").expect("a codebase");
    let (rest, code) = under_way.wait();
    events.extend(rest);

    assert_eq!(code, Some(3), "the second expectation stays unmet: {events:#?}");
    let finished = of(&events, "step_finished");
    let outcomes: Vec<&str> = finished.iter().map(|event| text(event, "outcome")).collect();
    assert_eq!(outcomes, ["unchanged", "failed"], "{finished:#?}");
    let failure = &finished[1]["failure"];
    assert_eq!(failure["class"], "refused", "{failure}");
    assert!(text(failure, "message").contains("0 rows, and at least 1 was expected"), "{failure}");
    let attempts = of(&events, "step_went_on")
        .into_iter()
        .filter(|event| event["step"]["task"]["task"] == 1)
        .filter_map(|event| event["attempt"].as_u64());
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 2], "the first try, and two more");
    assert!(of(&events, "step_decided").is_empty(), "a question changes nothing");
}

#[test]
fn one_host_does_for_all_what_runs_once_and_delegated_steps_take_turns() {
    let lab = SmallLab::start(6, 35, 400.0, FAULTS, 35);
    let world = World::new();
    let inventory = lab.inventory();
    let listed = world.run(&["inventory", "-i", &inventory, "notification_servers"]).stdout;
    let server =
        listed.split_whitespace().find(|word| word.contains('.')).expect("a host").to_owned();
    let playbook = write(
        &world,
        "once.yml",
        "- hosts: package_servers
  max_fail_percentage: 0
  serial: [1, 100%]
  tasks:
    - cmdb_query: package_servers
      delegate_to: '{{ server }}'
      run_once: true
      register: fleet
    - assert: { that: fleet.rows | length >= 1 }
    - name: Each asks the Notification Server
      cmdb_query: this_server
      delegate_to: '{{ server }}'
      register: own
    - assert: { that: own.rows | length == 1 }
",
    );
    let extra = format!("server={server}");

    let (events, ended) =
        world.events(&["run", "--yes", "--json", "-e", &extra, &playbook, "-i", &inventory]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let started = of(&events, "step_started");
    let of_task = |task: u64| started.iter().filter(move |e| e["step"]["task"]["task"] == task);
    assert_eq!(of_task(0).count(), 1);
    assert_eq!((of_task(1).count(), of_task(2).count()), (6, 6));
    assert!(of_task(2).all(|event| text(event, "on") == server));
    let mut open = 0;
    for event in &events {
        if event.pointer("/step/task/task") == Some(&Value::from(2)) {
            match text(event, "event") {
                "step_started" => open += 1,
                "step_finished" => open -= 1,
                _ => {}
            }
        }
        assert!(open <= 1, "two steps act on the Notification Server at once");
    }

    let lost = world.run(&["run", "--yes", "-e", "server=nobody", &playbook, "-i", &inventory]);
    assert_eq!(lost.code, Some(7));
    assert!(lost.stderr.contains("the inventory has no host `nobody`"), "{}", lost.stderr);
}

#[test]
fn a_task_that_only_checks_says_what_it_would_change_and_changes_nothing() {
    let lab = SmallLab::start(3, 37, 400.0, "faults: [{ kind: stale, hosts: 1 }]", 39);
    let world = World::new();
    let playbook = write(
        &world,
        "check.yml",
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 0
  tasks:
    - quarantine_files: { role: ps_delivery, files: ['{package}/snapshot.xml'], packages: '{{ work.package_ids }}' }
      check: true
      register: found
    - assert: { that: [found.would is defined, found.would | length > 0] }
    - powershell: 'exit 3'
      check: true
",
    );
    let before = lab.lab().world().with(|world| world.not_ready());

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    assert!(of(&events, "step_decided").is_empty(), "nothing was decided on");
    let notes: Vec<&str> = of(&events, "step_finished").iter().map(|e| text(e, "note")).collect();
    assert!(notes.iter().any(|note| note.starts_with("would: move")), "{notes:?}");
    let hosts = of(&events, "host_finished");
    assert!(!hosts.is_empty() && hosts.iter().all(|host| text(host, "outcome") == "unchanged"));
    assert_eq!(lab.lab().world().with(|world| world.not_ready()), before);
}

#[test]
fn a_run_is_not_resumed_when_a_file_that_it_included_has_changed() {
    let lab = SmallLab::start(2, 36, 400.0, FAULTS, 36);
    let world = World::new();
    write(&world, "one.yml", "- assert: { that: 'true' }\n");
    let playbook = write(
        &world,
        "a.yml",
        "- hosts: package_servers\n  max_fail_percentage: 0\n  tasks:\n    - include_tasks: one.yml\n    - confirm: { name: go, say: Go on }\n",
    );
    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    write(&world, "one.yml", "- assert: { that: 'false' }\n");

    let resumed = world.run(&["resume", text(&events[0], "run"), "--approve", "go"]);

    assert_eq!(resumed.code, Some(7));
    assert!(resumed.stderr.contains("has changed"), "{}", resumed.stderr);
}

#[test]
fn handlers_run_once_per_host_after_its_last_task_where_something_changed() {
    let lab = SmallLab::start(3, 38, 400.0, "faults: []", 38);
    let world = World::new();
    let playbook = write(
        &world,
        "handlers.yml",
        "- hosts: package_servers
  max_fail_percentage: 100
  tasks:
    - name: It changes something
      agent: update_configuration
      notify: [second, both]
    - name: Again
      agent: update_configuration
      notify: second
      loop: [1, 2]
    - name: It only looks
      agent: update_configuration
      check: true
    - name: It fails
      assert: { that: 'false' }
      tags: [fails]
  handlers:
    - name: never
      assert: { that: 'true' }
      listen: nothing
    - name: first
      assert: { that: 'true' }
      listen: both
    - name: second
      agent: update_configuration
",
    );

    let inventory = lab.inventory();
    let run = ["run", "--yes", "--json", &playbook, "-i", &inventory];

    for (extra, code, outcome) in
        [(&[][..], 2, "failed"), (&["--skip-tags", "fails"], 0, "changed")]
    {
        let (events, ended) = world.events(&[&run, extra].concat());

        assert_eq!(ended.code, Some(code), "{}\n{events:#?}", ended.stderr);
        let ends = of(&events, "host_finished");
        assert_eq!(ends.len(), 3);
        for end in ends {
            let host = text(end, "host");
            assert_eq!(text(end, "outcome"), outcome, "{host}");
            let tasks = tasks_of(&events, 0, host);
            let done = tasks.strip_suffix(&[5, 6]).expect("both handlers, last, in their order");
            assert!(done.iter().all(|task| *task < 4), "{host}: {tasks:?}");
        }
    }
}
