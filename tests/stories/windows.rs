//! Services, pools and a playbook's own texts, as people run them: check changes nothing, a run
//! mends what is stopped, undo stops it again, and a text is run once.

use fleetmend::lab::world::{AGENT_SERVICE, APP_POOL, MachineId};

use crate::world::{SmallLab, World, text};

const FAULTS: &str =
    "faults: [{ kind: agent_stopped, hosts: 1 }, { kind: app_pool_stopped, hosts: 1 }]";
const MARK: &str = r"C:\ProgramData\mended.txt";

fn playbook() -> String {
    format!(
        "- name: Start what is stopped\n  hosts: package_servers\n  max_fail_percentage: 5\n  tasks:\n    \
         - service: {{ name: {AGENT_SERVICE}, state: started }}\n    \
         - app_pool: {{ name: {APP_POOL}, state: started }}\n    \
         - http: {{ url: /Altiris/PS/, status: [200, 404] }}\n    \
         - command: {{ line: 'type nul > {MARK}', creates: '{MARK}' }}\n"
    )
}

/// How many agents and pools are stopped, and how many servers were marked.
fn stopped_and_marked(lab: &SmallLab) -> (usize, usize, usize) {
    lab.lab().world().with(|world| {
        let servers = 0..world.fleet().servers.len();
        let conditions: Vec<_> = servers.clone().map(|server| world.conditions(server)).collect();
        (
            conditions.iter().filter(|of| !of.is_service_running).count(),
            conditions.iter().filter(|of| !of.is_app_pool_started).count(),
            servers.filter(|server| world.tree(MachineId::Server(*server)).exists(MARK)).count(),
        )
    })
}

#[test]
fn what_is_stopped_is_started_and_undo_leaves_what_no_one_can_take_back() {
    let lab = SmallLab::start(4, 17, 200.0, FAULTS, 38);
    let world = World::new();
    let playbook_path = world.path().join("start.yml");
    std::fs::write(&playbook_path, playbook()).expect("written");
    let playbook = playbook_path.display().to_string();
    assert_eq!(stopped_and_marked(&lab), (1, 1, 0));

    let (checked, _) =
        world.events(&["run", "--check", "--json", &playbook, "-i", &lab.inventory()]);
    let shown: String = checked.iter().map(ToString::to_string).collect();
    assert!(shown.contains("run with cmd.exe: type nul > "), "{shown}");
    assert_eq!(stopped_and_marked(&lab), (1, 1, 0), "check changes nothing");

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(stopped_and_marked(&lab), (0, 0, 4));

    let run = text(&events[0], "run").to_owned();
    world.run(&["undo", "--yes", &run]);
    assert_eq!(stopped_and_marked(&lab), (1, 1, 4), "what a text did stays");

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let changed = events.iter().filter(|event| {
        text(event, "event") == "step_finished" && text(event, "outcome") == "changed"
    });
    assert_eq!(changed.count(), 2, "the text is not run again");
}
