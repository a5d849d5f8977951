//! A client computer among the targets is left alone.

use serde_json::Value;

use crate::undo::everything;
use crate::world::{SmallLab, World, text};

const SERVERS: u32 = 3;

/// Each task goes on after a failure, so that all of them are seen.
const PLAYBOOK: &str = "- hosts: package_servers
  max_fail_percentage: 100
  tasks:
    - quarantine_files: { role: ps_delivery, files: ['{package}/snapshot.xml'], packages: '{{ packages }}', expect: { max: 50 } }
      ignore_errors: true
    - quarantine_files: { role: ps_status, files: ['{package}/PackageStatus.xml'], packages: '{{ packages }}', expect: { max: 50 } }
      ignore_errors: true
    - acl: { role: ps_delivery, account: '{{ acc_account }}', rights: read }
      ignore_errors: true
    - agent: update_configuration
      ignore_errors: true
    - agent: resend_package_status
      ignore_errors: true
    - agent: refresh_packages
      ignore_errors: true
    - agent: send_inventory
      ignore_errors: true
    - service: { name: AeXNSClient, state: started }
";

#[test]
fn a_computer_without_the_plug_in_is_refused_before_any_change_and_windows_itself_is_not() {
    let lab = SmallLab::start(SERVERS, 41, 400.0, "faults: []", 41);
    let world = World::new();
    let (client, packages) = lab.lab().world().with(|world| {
        world.remove_plugin(1);
        let packages = world.fleet().packages.iter().map(|package| package.guid.to_string());
        (world.fleet().servers[1].fqdn.clone(), packages.collect::<Vec<_>>())
    });
    let before = everything(&lab, 3);
    let asked = lab.lab().report().asked();
    let playbook = world.path().join("all.yml");
    std::fs::write(&playbook, PLAYBOOK).expect("a file");
    let extra = format!("packages={}", Value::from(packages));

    let (events, ended) = world.events(&[
        "run",
        "--yes",
        "--json",
        "--limit",
        &client,
        "-e",
        &extra,
        &playbook.display().to_string(),
        "-i",
        &lab.inventory(),
    ]);

    assert_eq!(ended.code, Some(0), "{}\n{events:#?}", ended.stderr);
    let of = |kind: &str| -> Vec<&Value> {
        events.iter().filter(|event| text(event, "event") == kind).collect()
    };
    assert!(of("step_decided").is_empty(), "nothing is about to be changed: {events:#?}");
    let finished = of("step_finished");
    let refused: Vec<&str> = finished
        .iter()
        .filter(|event| event["failure"]["class"] == "refused")
        .map(|event| text(&event["failure"], "message"))
        .collect();
    assert_eq!(refused.len(), 7, "{finished:#?}");
    assert!(refused.iter().all(|why| why.starts_with("not a package server")), "{refused:?}");
    assert_eq!(finished.len(), 8);
    assert_eq!(text(finished[7], "outcome"), "unchanged", "a service is Windows' own");
    assert_eq!(lab.lab().report().asked(), asked, "the agent was asked for nothing");
    let after = everything(&lab, 3);
    let files = |all: &[std::collections::BTreeMap<String, String>]| {
        let mut files = all[2].clone();
        // What the agent writes of itself.
        files.retain(|path, _| !path.to_lowercase().ends_with(".log"));
        files
    };
    assert_eq!(files(&after), files(&before));
}

#[test]
fn a_diagnosis_of_a_computer_without_the_plug_in_moves_nothing_and_ends() {
    let lab = SmallLab::start(2, 42, 400.0, "faults: []", 42);
    let world = World::new();
    lab.lab().world().with(|world| world.remove_plugin(0));
    let asked = lab.lab().report().asked();

    let ended = world.run(&["diagnose", "-i", &lab.inventory(), "--json"]);

    let diagnosis: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    assert!(diagnosis["findings"].is_array(), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(lab.lab().report().asked(), asked);
}
