//! An item of a loop that is in doubt and not safe to repeat: the operator's answer is about that
//! item alone. What was done before it stays done, and the loop goes on after it.

use serde_json::Value;

use crate::world::{SmallLab, UnderWay, World, text};

/// Each costs the Notification Server its load again, so that the operator is asked.
const PLAYBOOK: &str = "\
- hosts: notification_servers
  tasks:
    - name: Run the tasks
      scheduled_task: { run: '{{ item }}' }
      loop: [NS.Package Server Status, NS.Package Distribution, NS.Package Server Status]
      register: ran
    - assert: { that: [\"ran | map(attribute='outcome') | list == ['changed', 'changed', 'changed']\"] }
";
/// The item in doubt runs 15 s and more of the world's time: long enough to be killed in it.
const SPEED: f64 = 20.0;

/// A run that was killed when the second of three items was decided on, and its host.
struct Killed {
    world: World,
    run: String,
    host: String,
    _lab: SmallLab,
}

impl Killed {
    fn new(network: u8) -> Self {
        let lab = SmallLab::start(1, 64, SPEED, "faults: []", network);
        let world = World::new();
        let path = world.path().join("loop.yml").display().to_string();
        std::fs::write(&path, PLAYBOOK).expect("written");
        let mut under_way = UnderWay::run(&world, &path, &lab.inventory());
        let mut seen = Vec::new();
        while decided(&seen).len() < 2 {
            let next = under_way.read(1);
            assert!(!next.is_empty(), "no second item: {seen:#?}");
            seen.extend(next);
        }
        under_way.kill();
        let host = lab.lab().world().with(|world| world.fleet().notification_server.fqdn.clone());
        Self { world, run: text(&seen[0], "run").to_owned(), host, _lab: lab }
    }

    /// All that is journalled.
    fn events(&self) -> Vec<Value> {
        self.world.events(&["show", "--json", &self.run]).0
    }
}

/// What was decided on, in order: the names of the scheduled tasks.
fn decided(events: &[Value]) -> Vec<&'static str> {
    let decisions = events.iter().filter(|event| text(event, "event") == "step_decided");
    let named = |event: &Value| match event["change"]["lines"].to_string() {
        line if line.contains("Status Capture") || line.contains("Server Status") => "status",
        line if line.contains("Distribution Point") => "points",
        line => panic!("{line}"),
    };
    decisions.map(named).collect()
}

/// The items that are settled, with what was said of each.
fn settled(events: &[Value]) -> Vec<(u64, &str)> {
    let parts = events.iter().filter(|event| event["settled"] == true);
    parts.map(|event| (event["item"].as_u64().expect("a number"), text(event, "note"))).collect()
}

#[test]
fn an_item_that_the_operator_accepts_counts_as_done_and_the_loop_goes_on_after_it() {
    let killed = Killed::new(64);

    let wrong = killed.world.run(&["resume", &killed.run, "--accept", "ps-9"]);
    assert_eq!(wrong.code, Some(7), "{}", wrong.stdout);
    assert!(wrong.stderr.contains("has no host of the name `ps-9`"), "{}", wrong.stderr);
    let resumed = killed.world.run(&["resume", &killed.run, "--accept", &killed.host]);

    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    assert!(resumed.stderr.contains("in doubt: 1.1 on"), "{}", resumed.stderr);
    let all = killed.events();
    assert_eq!(decided(&all), ["status", "points", "status"], "each item once");
    let settled = settled(&all);
    assert_eq!(settled.len(), 2, "the last one ends the step: {settled:?}");
    assert_eq!(settled[1], (1, "accepted as done by the operator"));
    let again = killed.world.run(&["resume", &killed.run]);
    assert_eq!(again.code, Some(7), "nothing is left: {}", again.stdout);
}

#[test]
fn an_item_that_nobody_answers_for_is_unknown_until_it_is_tried_again_and_alone() {
    let killed = Killed::new(65);

    let asked = killed.world.run(&["resume", &killed.run]);

    assert_eq!(asked.code, Some(3), "{}{}", asked.stdout, asked.stderr);
    assert!(asked.stdout.contains("1 host       unknown 1\n"), "{}", asked.stdout);
    assert!(asked.stderr.contains(&format!("--retry {}", killed.host)), "{}", asked.stderr);
    assert_eq!(decided(&killed.events()), ["status", "points"], "nothing was repeated unasked");
    let recap = killed.world.run(&["show", &killed.run]).stdout;
    assert!(recap.contains(&format!("fleetmend resume {}", &killed.run[..8])), "{recap}");

    let resumed = killed.world.run(&["resume", &killed.run, "--retry", &killed.host]);

    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    assert!(resumed.stdout.contains("1 host       changed 1\n"), "{}", resumed.stdout);
    let all = killed.events();
    assert_eq!(decided(&all), ["status", "points", "points", "status"], "that item alone again");
    let items: Vec<u64> = settled(&all).iter().map(|(item, _)| *item).collect();
    assert_eq!(items, [0, 1]);
}
