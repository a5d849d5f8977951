//! What the verbs that only look find goes from task to task, and what is collected stays here.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::world::{SmallLab, World, parse_events, text};

const PLAYBOOK: &str = r#"
- name: Look twice
  hosts: package_servers
  tasks:
    - name: Mark the log
      scan_log: { only_mark: true }
      register: before
    - name: Look at the packages
      audit_packages: { hash_up_to: 100 }
      register: first
    - name: Send the status
      agent: resend_package_status
    - name: See that nothing was denied since
      scan_log: { since: "{{ before }}", refuse: [trust_1789, access_denied_event] }
    - name: Look again
      audit_packages: { against: "{{ first }}" }
      register: second
    - name: Keep the manifests of the first package
      collect_files:
        role: ps_delivery
        files: ["{package}/snapshot.xml"]
        packages: "{{ [second.packages[0].id] }}"
        into: kept/here
- name: Look at the settings
  hosts: notification_servers
  tasks:
    - read_setting: MaxConcurrentPackageInfoRequest
"#;

/// The manifests below a folder.
fn manifests(folder: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if path.ends_with("manifest.json") {
            let text = fs::read_to_string(&path).expect("a manifest");
            found.push(serde_json::from_str(&text).expect("JSON"));
        }
    }
    found
}

#[test]
fn a_mark_and_an_audit_are_handed_on_and_evidence_lies_below_the_working_directory() {
    let lab = SmallLab::start(3, 5, 200.0, "faults: []", 14);
    let world = World::new();
    let playbook = world.path().join("look.yml");
    fs::write(&playbook, PLAYBOOK).expect("written");
    let playbook = playbook.display().to_string();
    let inventory = lab.inventory();
    let run = |args: &[&str]| {
        let ended = world.command(args).current_dir(world.path()).output().expect("it runs");
        let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(
            ended.status.code(),
            Some(0),
            "{stdout}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        parse_events(&stdout)
    };

    run(&["run", "--check", "--json", &playbook, "-i", &inventory]);
    assert!(!world.path().join("kept").exists(), "a check keeps nothing");

    let events = run(&["run", "--yes", "--json", &playbook, "-i", &inventory]);
    let notes: Vec<&str> = events
        .iter()
        .filter(|event| text(event, "event") == "step_finished")
        .map(|event| text(event, "note"))
        .collect();
    let count = |words: &str| notes.iter().filter(|note| note.contains(words)).count();
    assert_eq!(count("agent.log is marked"), 3, "{notes:?}");
    assert_eq!(count("nothing in "), 3, "{notes:?}");
    assert_eq!(count(" whole"), 6, "{notes:?}");
    assert_eq!(count("MaxConcurrentPackageInfoRequest is 20"), 1, "{notes:?}");

    let kept = manifests(&world.path().join("kept/here"));
    assert_eq!(kept.len(), 3);
    for manifest in kept {
        let file = &manifest["files"][0];
        assert_eq!(text(file, "sha256").len(), 64, "{manifest}");
        assert!(file["modified"].as_str().is_some_and(|at| at.starts_with("20")), "{manifest}");
    }
}
