//! Laws of the shipped playbooks: each says what it is for, is clean, and does no more than it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleetmend::action;
use fleetmend::expression::{Scope, render, truth};
use fleetmend::itms::triage::Playbook as Proposed;
use fleetmend::load::{load_inventory, load_playbook_with, render as shown};
use fleetmend::model::{Gate, Host, HostName, Playbook, Task, Vars};
use serde_json::{Value, json};

/// What the header of every playbook says, in this order.
const HEADINGS: [&str; 4] =
    ["When to use it.", "What it changes.", "What it costs.", "What undoes it."];

/// Verbs that change nothing, whatever their parameters are. `collect_files` writes at the
/// controller alone.
const READING: &[&str] = &[
    "assert",
    "audit_packages",
    "cmdb_backup",
    "cmdb_query",
    "collect_files",
    "confirm",
    "event_log",
    "examine",
    "http",
    "pause",
    "read_setting",
    "scan_log",
    "set_fact",
    "wait_until",
];

/// Playbooks that change nothing, by rule: in a loop, deleted metadata makes it worse (KB 433153).
const READ_ONLY: &[&str] =
    &["check-agent-versions.yml", "check-nscap-permissions.yml", "redownload-loop.yml"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of the shipped playbooks, by file.
pub(crate) fn texts() -> BTreeMap<String, String> {
    let read = fs::read_dir(root().join("playbooks")).expect("the folder");
    let paths = read.map(|entry| entry.expect("an entry").path());
    let is_playbook = |path: &PathBuf| path.extension().is_some_and(|end| end == "yml");
    paths
        .filter(is_playbook)
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect()
}

/// The shipped playbooks against the lab's inventory, with what lint says of them.
fn loaded() -> BTreeMap<String, (Playbook, String)> {
    let text = fs::read_to_string(root().join("inventory/lab.yml")).expect("the inventory");
    let inventory = load_inventory("inventory/lab.yml", &text)
        .unwrap_or_else(|found| panic!("{}", shown(&found, false)));
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| error.to_string());
    let load = |(name, text): (String, String)| {
        let loaded = load_playbook_with(&name, &text, action::registry(), Some(&inventory), &read)
            .unwrap_or_else(|found| panic!("{name}: {}", shown(&found, false)));
        (name, (loaded.playbook, shown(&loaded.notes, false)))
    };
    texts().into_iter().map(load).collect()
}

fn param<'t>(task: &'t Task, name: &str) -> Option<&'t Value> {
    task.action.params.get(name)
}

/// Whether a task changes nothing on any host.
fn reads_only(task: &Task) -> bool {
    if task.flow.only_checks {
        return true;
    }
    match task.action.action.as_str() {
        verb if READING.contains(&verb) => true,
        "agent" => param(task, "command") == Some(&Value::from("list_packages")),
        "scheduled_task" => param(task, "run").is_none(),
        "registry" => param(task, "data").is_none(),
        "powershell" | "command" => param(task, "changes") == Some(&Value::from(false)),
        _ => false,
    }
}

#[test]
fn every_playbook_that_a_diagnosis_proposes_is_there_and_no_other() {
    let shipped: Vec<String> = texts().into_keys().collect();
    let mut proposed: Vec<&str> = Proposed::ALL.iter().map(|playbook| playbook.file()).collect();
    proposed.sort_unstable();

    assert_eq!(shipped, proposed);
}

#[test]
fn every_header_says_when_what_at_what_cost_and_how_it_is_undone() {
    for (name, text) in texts() {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let place = |heading: &str| {
            let is_it = |line: &&str| line.starts_with(&format!("# {heading}"));
            header.iter().position(is_it).unwrap_or_else(|| panic!("{name}: no \"{heading}\""))
        };
        let places = HEADINGS.map(place);
        assert!(places.is_sorted(), "{name}: {places:?}");
        for at in places {
            assert_eq!(header[at - 1], "#", "{name}: a paragraph of its own, line {}", at + 1);
        }
    }
}

#[test]
fn lint_has_nothing_to_say_of_any_playbook() {
    for (name, (playbook, notes)) in loaded() {
        assert_eq!(notes, "", "{name}");
        assert!(!playbook.plays.is_empty(), "{name}");
        for task in playbook.tasks() {
            assert_ne!(task.name, task.action.action, "{name}: a task without a name");
        }
    }
}

#[test]
fn what_is_to_read_only_cannot_change_anything() {
    let loaded = loaded();
    for name in READ_ONLY {
        for task in loaded[*name].0.tasks() {
            assert!(reads_only(task), "{name}: {} is {}", task.name, task.action.action);
        }
    }
    // The measure tells changes apart: every other playbook has some.
    for (name, (playbook, _)) in loaded.iter().filter(|(name, _)| !READ_ONLY.contains(&&***name)) {
        assert!(playbook.tasks().any(|task| !reads_only(task)), "{name}");
    }
}

#[test]
fn the_whole_of_a_table_is_never_meant() {
    for (name, (playbook, _)) in loaded() {
        for task in playbook.tasks().filter(|task| task.action.action == "cmdb_repair") {
            assert_eq!(param(task, "all"), None, "{name}: {}", task.name);
            assert!(param(task, "packages").is_some(), "{name}: {}", task.name);
            assert!(param(task, "expect").is_some(), "{name}: {}", task.name);
        }
    }
}

#[test]
fn the_database_is_backed_up_before_it_is_changed() {
    for (name, (playbook, _)) in loaded() {
        let tasks: Vec<&Task> = playbook.tasks().collect();
        for (at, task) in tasks.iter().enumerate() {
            if task.action.action == "cmdb_repair" {
                let is_asked = tasks[..at].iter().any(|task| task.action.action == "cmdb_backup");
                assert!(is_asked, "{name}: {}", task.name);
            }
        }
    }
}

/// Plays that ask agents without a gate: what they ask is little, or must not wait.
const UNGATED: &[&str] = &[
    // Only servers on which something was found to be repaired.
    "Clear the urgent lists that name packages without policy",
    "Start what has to run on a package server",
    // While access is Anonymous nothing is waited for.
    "Reset the credential",
    "Restore the credential",
];

#[test]
fn who_asks_many_agents_does_it_in_waves_while_the_notification_server_is_well() {
    let loaded = loaded();
    let plays =
        || loaded.iter().flat_map(|(name, (book, _))| book.plays.iter().map(move |p| (name, p)));
    let asks = |task: &Task| task.action.action == "agent" && !reads_only(task);
    for (name, play) in plays().filter(|(_, play)| play.tasks.iter().any(asks)) {
        if UNGATED.contains(&play.name.as_str()) {
            continue;
        }
        let is_gated = play.safeguards.gates.iter().any(|gate| gate.name == Gate::NS_HEALTHY);
        assert!(is_gated && !play.serial.is_empty(), "{name}: {}", play.name);
    }
    for name in UNGATED {
        assert!(plays().any(|(_, play)| play.name == *name), "{name} is no play any more");
    }
}

/// A budget that stops the run while access is Anonymous would leave it so.
#[test]
fn nothing_stops_the_restoring_of_a_credential() {
    let (playbook, _) = &loaded()["reset-credentials.yml"];
    let between = playbook.plays.iter().filter(|play| {
        play.name == "Reset the credential" || play.name == "Restore the credential"
    });
    for play in between {
        assert_eq!(play.max_fail_percentage, Some(100.0), "{}", play.name);
        assert!(play.safeguards.gates.is_empty(), "{}", play.name);
    }
}

/// KB 179719, procedure 1: access stays Anonymous when the second half is forgotten.
#[test]
fn credentials_are_not_left_anonymous_on_any_server() {
    let (playbook, _) = &loaded()["reset-credentials.yml"];
    let confirms: Vec<(usize, &Value)> = (0..)
        .zip(&playbook.plays)
        .flat_map(|(number, play)| play.tasks.iter().map(move |task| (number, task)))
        .filter(|(_, task)| task.action.action == "confirm")
        .filter_map(|(number, task)| Some((number, param(task, "name")?)))
        .collect();
    let [(set, first), (restored, second)] = confirms[..] else { panic!("{confirms:?}") };
    assert_eq!([first, second], ["anonymous-set", "credential-restored"]);
    assert!(set < restored);

    // All servers get it back first; then each is looked at.
    let plays = &playbook.plays[restored..=restored + 1];
    for play in plays {
        assert_eq!(play.work, None, "servers that are well served anonymously meanwhile, too");
        assert_eq!(play.hosts.to_string(), "package_servers");
    }
    let tasks = || plays.iter().flat_map(|play| &play.tasks);
    let claims = tasks().filter(|task| task.action.action == "assert");
    let says = |task: &Task| task.action.params["that"].to_string();
    let refuses = |claim: String| claim.contains("seen.policy.known.credential != 'anonymous'");
    assert!(claims.map(says).any(refuses), "nothing looks at the policy");
    assert!(tasks().all(|task| !task.flow.ignore_errors), "a look that does not count");
}

/// The articles' order ends when all is well: each section takes only what is left, and only the
/// last one judges.
#[test]
fn every_section_of_the_resynchronization_asks_whether_all_is_well() {
    let (playbook, _) = &loaded()["resynchronize.yml"];
    let judged: Vec<bool> = playbook
        .plays
        .iter()
        .filter_map(|play| play.oracle)
        .map(|oracle| oracle.unmet == fleetmend::model::Unmet::Fail)
        .collect();

    assert!(judged.len() >= 3, "{judged:?}");
    assert_eq!(judged.iter().position(|judges| *judges), Some(judged.len() - 1));
    let sections = playbook.plays.iter().filter(|play| play.oracle.is_some());
    assert!(sections.clone().all(|play| play.work.is_some()));
}

/// KB 181405, section 6. A simulated fleet is never that old, so that the condition is asked alone.
#[test]
fn the_rights_on_nscap_are_looked_at_below_7_1_sp2_only() {
    let (playbook, _) = &loaded()["check-nscap-permissions.yml"];
    let task = |verb: &str| {
        playbook.tasks().find(|task| task.action.action == verb).expect("a task of that verb")
    };
    let is_looked_at = |version: &str| {
        let (name, vars) = (HostName::new("smp01"), Arc::new(Vars::new()));
        let host = Host { name, groups: Arc::from([]), vars };
        let mut scope = Scope::new(host, Arc::default(), Arc::default());
        scope.register("server", json!({ "current_agent_version": { "known": version } }));
        let facts = render(&task("set_fact").action.params, &scope).expect("three numbers");
        for (name, value) in facts.as_object().expect("a mapping") {
            scope.register(name, value.clone());
        }
        truth(task("powershell").when.as_deref().expect("a condition"), &scope).expect("a truth")
    };

    for old in ["7.0.7416.0", "7.1.7858.0", "7.1.8279.9", "6.0.6074"] {
        assert!(is_looked_at(old), "{old}");
    }
    for new in ["7.1.8280.0", "7.1.8400.12", "7.5.1597.0", "8.0.0.0", "8.8.1280.0", "10.0.1"] {
        assert!(!is_looked_at(new), "{new}");
    }
}
