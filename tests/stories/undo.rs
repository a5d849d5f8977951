//! Undo brings back every file and every descriptor, byte for byte.

use std::collections::BTreeMap;

use fleetmend::lab::MachineId;

use crate::world::{SmallLab, UnderWay, World, resync, text};

const FAULTS: &str = "faults: [{ kind: stale, hosts: 3 }, { kind: missing_ace, hosts: 1 }]";

/// Everything on every machine: path to content hash and descriptor.
pub(crate) fn everything(lab: &SmallLab, servers: usize) -> Vec<BTreeMap<String, String>> {
    let machines =
        std::iter::once(MachineId::NotificationServer).chain((0..servers).map(MachineId::Server));
    machines
        .map(|machine| {
            lab.lab().world().with(|world| {
                let snapshot = world.tree(machine).snapshot();
                snapshot.into_iter().map(|(path, state)| (path, format!("{state:?}"))).collect()
            })
        })
        .collect()
}

#[test]
fn what_a_run_moved_and_granted_is_back_after_undo_byte_for_byte() {
    let lab = SmallLab::start(6, 13, 200.0, FAULTS, 3);
    let world = World::new();
    let playbook = resync().display().to_string();
    let before = everything(&lab, 6);

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let run = text(&events[0], "run").to_owned();
    let touched: Vec<(String, String)> = touched(&events);
    assert!(touched.len() >= 6, "{touched:?}");

    let undone = world.run(&["undo", "--yes", &run]);
    assert_eq!(undone.code, Some(0), "{}{}", undone.stdout, undone.stderr);

    let after = everything(&lab, 6);
    let (again, ended) = world.events(&["undo", "--yes", "--json", &run]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let changed = again.iter().filter(|event| text(event, "outcome") == "changed").count();
    assert_eq!(changed, 0, "what is back is not taken back again");
    let names: Vec<String> = lab.lab().world().with(|world| {
        let servers = world.fleet().servers.iter().map(|server| server.fqdn.clone());
        std::iter::once(world.fleet().notification_server.fqdn.clone()).chain(servers).collect()
    });
    for (host, path) in &touched {
        let machine = names.iter().position(|name| name == host).expect("a machine");
        let find = |all: &[BTreeMap<String, String>]| {
            all[machine]
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(path))
                .map(|(_, state)| state.clone())
        };
        assert_eq!(find(&after), find(&before), "{host} {path}");
        assert!(find(&before).is_some(), "{host} {path}");
    }
}

#[test]
fn what_was_moved_item_by_item_and_on_another_host_is_back_after_undo() {
    let lab = SmallLab::start(5, 37, 400.0, FAULTS, 37);
    let world = World::new();
    let server = lab.lab().world().with(|world| world.fleet().notification_server.fqdn.clone());
    let playbook = world.path().join("loop.yml");
    let text_of = format!(
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 0
  tasks:
    - name: For each host, on the Notification Server, item by item
      quarantine_files: {{ role: ns_snapshots, files: ['{{package}}.xml'], packages: ['{{{{ item }}}}'], expect: {{ max: 5 }} }}
      loop: '{{{{ work.package_ids }}}}'
      delegate_to: {server}
"
    );
    std::fs::write(&playbook, text_of).expect("a file");
    let playbook = playbook.display().to_string();
    let before = everything(&lab, 0);

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let moved = touched(&events);
    assert!(!moved.is_empty(), "{events:#?}");

    let run = text(&events[0], "run");
    let (undone, ended) = world.events(&["undo", "--yes", "--json", run]);

    assert_eq!(ended.code, Some(0), "{}\n{undone:#?}", ended.stderr);
    let steps = undone.iter().filter(|event| text(event, "event") == "step_started");
    let hosts: Vec<_> = steps.map(|event| event["step"]["host"].clone()).collect();
    assert_eq!(hosts, [server.as_str()], "it is taken back where it was done");
    let after = everything(&lab, 0);
    for (_, path) in &moved {
        let find = |all: &[BTreeMap<String, String>]| {
            all[0].iter().find(|(key, _)| key.eq_ignore_ascii_case(path)).map(|(_, s)| s.clone())
        };
        assert!(find(&before).is_some(), "{path}");
        assert_eq!(find(&after), find(&before), "{path}");
    }
}

#[test]
fn a_change_that_is_refused_leaves_the_others_of_its_host_to_be_taken_back() {
    let lab = SmallLab::start(5, 37, 400.0, FAULTS, 37);
    let world = World::new();
    let server = lab.lab().world().with(|world| world.fleet().notification_server.fqdn.clone());
    let playbook = world.path().join("loop.yml");
    let text_of = format!(
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 0
  tasks:
    - name: Item by item
      quarantine_files: {{ role: ns_snapshots, files: ['{{package}}.xml'], packages: ['{{{{ item }}}}'], expect: {{ max: 5 }} }}
      loop: '{{{{ work.package_ids }}}}'
      delegate_to: {server}
    - name: And another file
      quarantine_files: {{ role: ns_snapshots, files: ['{{package}}.sig'], packages: ['{{{{ item }}}}'], expect: {{ max: 5 }} }}
      loop: '{{{{ work.package_ids }}}}'
      delegate_to: {server}
"
    );
    std::fs::write(&playbook, text_of).expect("a file");
    let playbook = playbook.display().to_string();
    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let moves: Vec<(String, String)> = events
        .iter()
        .filter(|event| text(event, "event") == "step_decided")
        .flat_map(|event| {
            event["change"]["change"]["moves"].as_array().cloned().unwrap_or_default()
        })
        .map(|moved| (text(&moved, "from").to_owned(), text(&moved, "to").to_owned()))
        .collect();
    assert!(moves.len() >= 2, "{events:#?}");
    // Where a file lies in quarantine, by the end of its path.
    let kept = |place: &str| {
        let place = place.to_lowercase();
        lab.lab().world().with(|world| {
            let tree = world.tree(MachineId::NotificationServer).snapshot();
            tree.into_keys().find(|path| path.to_lowercase().ends_with(&place))
        })
    };
    // Somebody took the newest file out of quarantine: its change cannot be taken back.
    let (lost, place) = moves.last().expect("a move").clone();
    let path = kept(&place).expect("it is in quarantine");
    lab.lab().world().with(|world| {
        let tree = world.tree(MachineId::NotificationServer);
        tree.remove(&lost);
        assert!(tree.remove(&path), "{path}");
    });

    let run = text(&events[0], "run");
    let (undone, ended) = world.events(&["undo", "--yes", "--json", run]);

    assert_ne!(ended.code, Some(0), "what stays is told");
    let host = undone.iter().find(|event| text(event, "event") == "host_finished");
    assert_eq!(host.map(|event| text(event, "outcome")), Some("failed"), "{undone:#?}");
    for (path, place) in &moves {
        assert_eq!(kept(place), None, "{path} is still in quarantine: {undone:#?}");
    }
}

/// The hosts and paths that a run says it moved or gave another descriptor.
fn touched(events: &[serde_json::Value]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for event in events.iter().filter(|event| text(event, "event") == "step_decided") {
        let host = event["step"]["host"].as_str().expect("a host").to_owned();
        let change = &event["change"]["change"];
        for moved in change["moves"].as_array().into_iter().flatten() {
            found.push((host.clone(), text(moved, "from").to_owned()));
        }
        if event["change"]["action"] == "acl" {
            for folder in change["folders"].as_array().into_iter().flatten() {
                found.push((host.clone(), text(folder, "path").to_owned()));
            }
        }
    }
    found
}

#[test]
fn an_undo_that_was_killed_is_begun_anew_as_the_list_of_runs_says() {
    let lab = SmallLab::start(6, 14, 200.0, FAULTS, 73);
    let world = World::new();
    let playbook = resync().display().to_string();
    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let run = text(&events[0], "run").to_owned();

    let mut undo = UnderWay::start(world.command(&["undo", "--yes", "--json", &run]));
    let mut seen = undo.read(1);
    while !seen.iter().any(|event| text(event, "event") == "step_decided") {
        seen.extend(undo.read(1));
    }
    undo.kill();

    let listed = world.run(&["runs"]).stdout;
    let advice = format!("was cut off: fleetmend undo {}", &run[..8]);
    assert!(listed.contains(&advice), "{listed}");
    let killed = text(&seen[0], "run").to_owned();
    let refused = world.run(&["resume", &killed]);
    assert_eq!(refused.code, Some(7));
    assert!(
        refused.stderr.contains(&format!("fleetmend undo {}", &run[..8])),
        "{}",
        refused.stderr
    );
    let again = world.run(&["undo", "--yes", &run]);
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
}

/// The hosts that a run changed and that are not through.
fn changed_midway(events: &[serde_json::Value]) -> Vec<String> {
    let of = |kind: &'static str| events.iter().filter(move |event| text(event, "event") == kind);
    let through: Vec<&str> = of("host_finished").map(|event| text(event, "host")).collect();
    of("step_finished")
        .filter(|event| text(event, "outcome") == "changed" && event["step"]["task"]["play"] == 1)
        .filter_map(|event| event["step"]["host"].as_str())
        .filter(|host| !through.contains(host))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_run_that_was_taken_back_does_not_go_on_as_if_it_had_not_been() {
    let lab = SmallLab::start(6, 14, 200.0, FAULTS, 74);
    let world = World::new();
    let playbook = resync().display().to_string();
    let mut under_way = UnderWay::run(&world, &playbook, &lab.inventory());
    let seen = under_way.read_until(|seen| !changed_midway(seen).is_empty());
    under_way.kill();
    let run = text(&seen[0], "run").to_owned();
    let (all, _) = world.events(&["show", "--json", &run]);
    let host = changed_midway(&all).remove(0);

    // As an operator types it.
    let short = host.split('.').next().expect("a name").to_uppercase();
    let unknown = world.run(&["undo", "--yes", &run, &format!("{short}x")]);
    assert_eq!(unknown.code, Some(7), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("has no host of the name"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains(&format!("`{host}`")), "{}", unknown.stderr);
    let (undone, ended) = world.events(&["undo", "--yes", "--json", &run, &short]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let undo = text(&undone[0], "run")[..8].to_owned();
    let refused = world.run(&["resume", &run]);
    assert_eq!(refused.code, Some(7), "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains(&format!("run {undo} took back")), "{}", refused.stderr);
    assert!(refused.stderr.contains(&host), "{}", refused.stderr);

    let (undone, ended) = world.events(&["undo", "--yes", "--json", &run]);
    assert_eq!(ended.code, Some(0), "taking back twice does no harm: {}", ended.stderr);
    let undo = text(&undone[0], "run")[..8].to_owned();
    let refused = world.run(&["resume", &run]);
    assert_eq!(refused.code, Some(7), "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains(&format!("run {undo} took it back")), "{}", refused.stderr);
    assert!(refused.stderr.contains("run the playbook anew: fleetmend run"), "{}", refused.stderr);
}
