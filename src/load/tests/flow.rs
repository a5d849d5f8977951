//! Blocks, includes and the other keys of flow, as they are meant.

use super::*;
use crate::model::{Block, TagChoice};

const HEAD: &str = "- hosts: package_servers\n  max_fail_percentage: 5\n  tasks:\n";

fn load(tasks: &str, files: &[(&str, &str)]) -> Result<LoadedPlaybook, Vec<Diagnostic>> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        let found = files.iter().find(|(file, _)| *file == name);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| format!("there is no {name}"))
    };
    let actions = doubles::actions();
    load_playbook_with("plays/a.yml", &format!("{HEAD}{tasks}"), &actions, Some(&example()), &read)
}

fn loaded(tasks: &str, files: &[(&str, &str)]) -> LoadedPlaybook {
    load(tasks, files).unwrap_or_else(|found| panic!("{}", render(&found, false)))
}

#[test]
fn blocks_become_ranges_of_one_list_and_hand_down_what_they_say() {
    let text = "    - agent: update_configuration\n    - block:\n        - block:\n            - agent: update_configuration\n              when: rack == 1\n          always:\n            - pause: 2 min\n      rescue:\n        - agent: resend_package_status\n          ignore_errors: false\n      when: site == 'LON'\n      tags: [repair]\n      ignore_errors: true\n      delegate_to: smp01.corp.example\n";
    let play = &loaded(text, &[]).playbook.plays[0];

    assert_eq!(
        play.blocks,
        [
            Block { start: 1, rescue: 3, always: 4, end: 4 },
            Block { start: 1, rescue: 2, always: 2, end: 3 }
        ]
    );
    let [_, body, pause, rescue] = &play.tasks[..] else { panic!("four tasks") };
    assert_eq!(body.when.as_deref(), Some("(site == 'LON') and (rack == 1)"));
    assert_eq!(rescue.when.as_deref(), Some("site == 'LON'"));
    assert!(play.tasks[1..].iter().all(|task| task.flow.tags.contains("repair")));
    assert_eq!([body, pause, rescue].map(|task| task.flow.ignore_errors), [true, true, false]);
    assert_eq!(body.flow.delegate_to.as_deref(), Some("smp01.corp.example"));
    assert_eq!(pause.flow.delegate_to, None, "a pause acts on no host");
    assert!(pause.within.expect("its own").as_secs() >= 120);
}

#[test]
fn included_tasks_stand_where_they_are_included_and_count_for_the_hash() {
    let text = "    - include_tasks: shared/two.yml\n      tags: repair\n    - agent: update_configuration\n";
    let two = "- agent: resend_package_status\n- include_tasks: one.yml\n";
    let files =
        [("plays/shared/two.yml", two), ("plays/one.yml", "- agent: update_configuration\n")];

    let playbook = loaded(text, &files).playbook;

    let tasks = &playbook.plays[0].tasks;
    assert_eq!(tasks.len(), 3);
    assert_eq!(tasks.iter().map(|task| task.id.task).collect::<Vec<_>>(), [0, 1, 2]);
    let files_of: Vec<_> = tasks.iter().map(|task| task.flow.file.as_deref()).collect();
    assert_eq!(files_of, [Some("shared/two.yml"), Some("one.yml"), None]);
    assert!(tasks[1].flow.tags.contains("repair"));
    let other = [files[0], ("plays/one.yml", "- agent: resend_package_status\n")];
    assert_ne!(loaded(text, &other).playbook.sha256, playbook.sha256);
}

#[test]
fn the_hash_of_a_playbook_that_includes_nothing_is_that_of_its_text() {
    let text = "- hosts: package_servers\n  tasks: [{ agent: update_configuration }]\n";
    let playbook = play(text).expect("a playbook").playbook;

    assert_eq!(playbook.sha256, digest_of(text));
}

fn digest_of(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_mistake_in_an_included_file_is_shown_in_that_file() {
    let text = "    - include_tasks: one.yml\n";
    let found = load(text, &[("plays/one.yml", "- name: x\n  agnet: y\n")]).expect_err("a mistake");

    assert_eq!((&*found[0].file, found[0].line, found[0].column), ("plays/one.yml", 2, 3));
}

#[test]
fn what_a_task_sets_is_known_to_those_after_it_in_later_plays_too() {
    let text = "    - set_fact: { root: \"{{ site }}\" }\n    - assert: { that: [root == 'x'] }\n- hosts: package_servers\n  max_fail_percentage: 5\n  tasks:\n    - assert: { that: root is string }\n    - acl: { role: ps_delivery, account: \"{{ root }}\", rights: read }\n";
    let loaded = loaded(text, &[]);

    assert!(loaded.notes.is_empty(), "{}", render(&loaded.notes, false));
    let that = &loaded.playbook.plays[0].tasks[1].action.params["that"];
    assert_eq!(*that, json!([{ "expression": "root == 'x'", "value": "{{ root == 'x' }}" }]));
}

#[test]
fn files_that_include_each_other_in_numbers_are_refused_in_good_time() {
    let many = "- include_tasks: a.yml\n".repeat(50);
    let next = |name: &str| many.replace("a.yml", name);
    let files: Vec<(String, String)> = (0..12)
        .map(|depth| (format!("plays/f{depth}.yml"), next(&format!("f{}.yml", depth + 1))))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();

    let found = load("    - include_tasks: f0.yml\n", &files).expect_err("too many");

    assert!(rules(&found).contains(&"too-many-includes"));
}

#[test]
fn tags_of_play_and_task_are_chosen_together() {
    let text = "- hosts: package_servers\n  max_fail_percentage: 5\n  tags: [play]\n  tasks:\n    - { agent: update_configuration, tags: [a, b] }\n";
    let play_ = &play(text).expect("a play").playbook.plays[0];
    let choice = |only: &str| TagChoice {
        only: [only.to_owned()].into_iter().collect(),
        ..TagChoice::default()
    };

    assert!(["play", "a", "b"].iter().all(|tag| choice(tag).takes(&play_.tasks[0].flow.tags)));
    assert!(!choice("c").takes(&play_.tasks[0].flow.tags));
}

#[test]
fn what_a_task_causes_later_needs_a_limit_and_a_time() {
    let text = "    - agent: update_configuration\n      causes: { ns_iis: \"{{ 2 * 20 }}\", cmdb: 2, after: 15 min }\n";
    let causes = loaded(text, &[]).playbook.plays[0].tasks[0].causes.clone().expect("it says so");
    assert_eq!(causes.after.as_secs(), 900);
    let units: Vec<String> = causes.units.values().map(ToString::to_string).collect();
    assert_eq!(units, ["\"{{ 2 * 20 }}\"", "2"]);

    for (wrong, rule) in [
        ("{ ns_iis: 40 }", "no-after"),
        ("{ ns_iss: 40, after: 15 min }", "unknown-limit"),
        ("{ ns_iis: 40, after: 30 days }", "after-too-late"),
        ("{ ns_iis: many, after: 15 min }", "wrong-type"),
        ("{ ns_iis: \"{{ work | length }}\", after: 15 min }", "no-work"),
    ] {
        let text = format!("    - agent: update_configuration\n      causes: {wrong}\n");
        let found = load(&text, &[]).err().unwrap_or_else(|| panic!("{wrong} is taken"));
        let rules: Vec<&str> = found.iter().map(|one| one.rule).collect();
        assert_eq!(rules, [rule], "{wrong}");
    }
}

#[test]
fn handlers_are_the_last_tasks_and_are_notified_by_name_or_by_what_they_listen_to() {
    let text = "    - agent: update_configuration
      notify: [second, after a change]
      tags: [early]
    - agent: update_configuration
      notify: first
    - agent: update_configuration
  handlers:
    - name: first
      agent: resend_package_status
      listen: after a change
    - name: second
      agent: resend_package_status
    - name: third
      agent: resend_package_status
      listen: [after a change, something else]
      when: site == 'LON'
    - name: fourth
      agent: resend_package_status
";
    let found = loaded(text, &[]);

    let tasks = &found.playbook.plays[0].tasks;
    let is_handler: Vec<bool> = tasks.iter().map(|task| task.flow.is_handler).collect();
    assert_eq!(is_handler, [false, false, false, true, true, true, true]);
    let notified = |task: usize| {
        (0..4).filter(|n| tasks[task].flow.notify.contains(*n)).collect::<Vec<usize>>()
    };
    assert_eq!([notified(0), notified(1), notified(2)], [vec![0, 1, 2], vec![0], vec![]]);
    assert_eq!(tasks[5].when.as_deref(), Some("site == 'LON'"));
    assert_eq!(rules(&found.notes), ["handler-not-notified"]);
    assert!(render(&found.notes, false).contains("`fourth`"));
}

#[test]
fn handlers_follow_the_tags_of_the_tasks_that_notify_them() {
    let text = "    - agent: update_configuration
      notify: first
      tags: [early]
    - agent: update_configuration
      notify: second
  handlers:
    - name: first
      agent: resend_package_status
    - name: second
      agent: resend_package_status
";
    let playbook = loaded(text, &[]).playbook;
    let inventory = example();
    let taken = |tags: TagChoice| {
        let request = crate::plan::DraftRequest {
            playbook: &playbook,
            inventory: &inventory.inventory,
            inventory_sha256: "i",
            limit: None,
            limits: &Limits::default(),
            window: None,
            tags: &tags,
            delegates: &crate::plan::Delegates::default(),
            mode: crate::event::RunMode::Run,
            seed: 1,
            scale: crate::model::TimeScale::REAL,
        };
        let traits = |_: &str| crate::plan::ActionTraits::of_host(Duration::from_secs(60), true);
        let draft = crate::plan::Draft::new(&request, &traits);
        draft.plays[0].tasks.iter().map(|task| task.flow.is_taken).collect::<Vec<bool>>()
    };
    let only = |tags: &[&str], skip: &[&str]| TagChoice {
        only: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        skip: skip.iter().map(|tag| (*tag).to_owned()).collect(),
    };

    assert_eq!(taken(only(&[], &[])), [true; 4]);
    assert_eq!(taken(only(&["early"], &[])), [true, false, true, false]);
    assert_eq!(taken(only(&[], &["early"])), [false, true, false, true]);
}
