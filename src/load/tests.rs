//! What people see: every broken file of the fixtures, and every file that is shipped.

mod doubles;
mod flow;
mod windows;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::action::{self, ActionKind};
use crate::model::{HostName, Limits, MaxFail, Tolerance};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<(String, String)> {
    let read = fs::read_dir(root().join(folder)).expect(folder);
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("a text"))).collect()
}

/// The text of a file that a playbook in a folder includes.
fn included(folder: &str, path: &Path) -> Result<String, String> {
    fs::read_to_string(root().join(folder).join(path)).map_err(|error| error.to_string())
}

fn example() -> LoadedInventory {
    let text = fs::read_to_string(root().join("inventory/example.yml")).expect("the example");
    load_inventory("inventory/example.yml", &text)
        .unwrap_or_else(|found| panic!("{}", render(&found, false)))
}

fn play(text: &str) -> Result<LoadedPlaybook, Vec<Diagnostic>> {
    load_playbook("a.yml", text, &doubles::actions(), Some(&example()))
}

fn rules(found: &[Diagnostic]) -> Vec<&'static str> {
    found.iter().map(|diagnostic| diagnostic.rule).collect()
}

#[test]
fn every_broken_playbook_is_refused_with_a_message_that_helps() {
    let inventory = example();
    let mut screen = String::new();
    for (name, text) in files("tests/fixtures/broken/playbooks") {
        let read = |path: &Path| included("tests/fixtures/broken/playbooks", path);
        let actions = doubles::actions();
        let found =
            load_playbook_with(&name, &text, &actions, Some(&inventory), &read).expect_err(&name);
        let _ = writeln!(screen, "{}", render(&found, false));
    }
    insta::assert_snapshot!("broken_playbooks", screen);
}

#[test]
fn the_parameters_of_a_query_are_checked_before_any_connection() {
    let read = |call: &str| {
        let text = format!("- hosts: notification_servers\n  tasks:\n    - cmdb_query: {call}\n");
        match load_playbook("p.yml", &text, action::registry(), Some(&example())) {
            Ok(_) => String::new(),
            Err(found) => render(&found, false),
        }
    };

    assert_eq!(read("{ query: codebases, parameters: { package: 7-Zip } }"), "");
    assert_eq!(read("{ query: codebases, parameters: { package: '{{ site }}' } }"), "");
    assert_eq!(read("readiness"), "", "the host itself is meant");
    let misspelt = read("{ query: codebases, parameters: { pakage: 7-Zip } }");
    assert!(misspelt.contains("`pakage` is no parameter of `codebases`"), "{misspelt}");
    assert!(misspelt.contains("did you mean `package`?"), "{misspelt}");
    let missing = read("codebases");
    assert!(missing.contains("`codebases` has no `package`"), "{missing}");
    let unknown = read("{ query: codebasis, parameters: { package: 7-Zip } }");
    assert!(unknown.contains("did you mean `codebases`?"), "{unknown}");
    let too_many = read("{ query: drift, parameters: { package: 7-Zip } }");
    assert!(too_many.contains("`package` is no parameter of `drift`"), "{too_many}");
    let unclear = read("{ query: '{{ site }}', parameters: { package: 7-Zip } }");
    assert!(unclear.contains("write out `query`"), "{unclear}");
    let negative = read("{ query: drift, expect: { rows: -1 } }");
    assert!(negative.contains("a whole number"), "{negative}");
}

#[test]
fn every_broken_inventory_is_refused_with_a_message_that_helps() {
    let mut screen = String::new();
    for (name, text) in files("tests/fixtures/broken/inventories") {
        let found = load_inventory(&name, &text).expect_err(&name);
        let _ = writeln!(screen, "{}", render(&found, false));
    }
    assert!(!screen.contains("Winter2024"), "a password is shown");
    insta::assert_snapshot!("broken_inventories", screen);
}

#[test]
fn every_variable_with_a_meaning_is_documented() {
    let page = fs::read_to_string("docs/inventory.md").expect("the page");
    for name in settings::KNOWN {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
    for key in settings::CMDB_KEYS {
        assert!(page.contains(&format!("\n| `cmdb.{key}` |")), "cmdb.{key}");
    }
}

#[test]
fn every_shipped_inventory_and_playbook_is_right_and_has_no_notes() {
    let inventory = example();
    assert!(inventory.notes.is_empty(), "{}", render(&inventory.notes, false));
    assert_eq!(inventory.inventory.len(), 54);
    // The real actions, and doubles for those that the registry does not have yet.
    let is_new = |double: &&&dyn ActionKind| action::find(double.name()).is_none();
    let actions: Vec<&dyn ActionKind> =
        action::registry().iter().chain(doubles::DOUBLES.iter().filter(is_new)).copied().collect();
    for (name, text) in files("playbooks") {
        let read = |path: &Path| included("playbooks", path);
        let loaded = load_playbook_with(&name, &text, &actions, Some(&inventory), &read)
            .unwrap_or_else(|found| panic!("{}", render(&found, false)));
        assert!(loaded.notes.is_empty(), "{}", render(&loaded.notes, false));
    }
}

#[test]
fn the_example_of_every_action_is_a_task_that_loads() {
    for action in action::registry() {
        let task: String =
            action.example().trim().lines().map(|line| format!("    {line}\n")).collect();
        let play = format!(
            "- hosts: package_servers\n  work: not_ready_packages\n  max_fail_percentage: 5\n  tasks:\n{task}"
        );
        load_playbook("example.yml", &play, action::registry(), Some(&example()))
            .unwrap_or_else(|found| panic!("{}: {}", action.name(), render(&found, false)));
    }
}

#[test]
fn a_text_that_would_destroy_an_agent_is_refused_before_any_connection() {
    for (action, param) in [("powershell", "script"), ("command", "line")] {
        let play = format!(
            "- hosts: package_servers\n  max_fail_percentage: 5\n  vars: {{ tool: /Clean }}\n  tasks:\n    \
             - {action}: {{ {param}: 'AeX\"+\"AgentUtil {{{{ tool }}}}' }}\n"
        );
        let found = load_playbook("denied.yml", &play, action::registry(), Some(&example()))
            .expect_err("it is denied");
        let screen = render(&found, false);
        assert!(screen.contains("`aexagentutil` is never run"), "{screen}");
    }
}

#[test]
fn a_host_has_its_settings_with_the_usual_ports() {
    let inventory = example().inventory;
    let settings = |name: &str| {
        HostSettings::of(&inventory.host(&HostName::new(name)).expect(name)).expect("settings")
    };

    let server = settings("smp01.corp.example");
    let cmdb = server.cmdb.expect("a CMDB");
    assert_eq!((cmdb.server.as_str(), cmdb.port), ("127.0.0.1", 1433));
    assert_eq!(cmdb.credential.expect("a credential").0, "cmdb-reader");

    let branch = settings("branch-osl-files.corp.example");
    assert_eq!(branch.address, "192.0.2.17");
    assert_eq!((branch.winrm.port, branch.smb_port), (5985, 445));
    assert_eq!(branch.site.as_deref(), Some("OSL"));
    assert_eq!(branch.acc_account.as_deref(), Some("CORP\\svc-altiris-acc"));
    assert!(branch.guid.is_some() && branch.cmdb.is_none());
}

#[test]
fn ports_and_transports_of_ansible_are_understood() {
    let text = "all:\n  hosts:\n    a: { ansible_winrm_scheme: HTTP, ansible_winrm_server_cert_validation: ignore }\n    b: { ansible_port: '15985', ansible_winrm_transport: NTLM }\n";
    let inventory = load_inventory("i.yml", text).expect("an inventory").inventory;
    let winrm: Vec<(u16, &str)> = inventory
        .hosts()
        .map(|host| HostSettings::of(&host).expect("settings").winrm)
        .map(|winrm| (winrm.port, winrm.transport.name()))
        .collect();

    assert_eq!(winrm, [(5985, "negotiate"), (15985, "ntlm")]);
}

#[test]
fn declared_limits_stand_on_the_safe_ones_and_the_tightest_holds() {
    let text = "all:\n  hosts:\n    smp01: { limits: { ns_iis: { rate: 60/min } } }\n    smp02: { limits: { ns_iis: { rate: 30/min, in_flight: 2 }, mine: { rate: 1/s } } }\n";
    let settings = load_inventory("i.yml", text).expect("an inventory").settings;

    let shown = serde_json::to_value(&settings.limits).expect("limits");
    assert_eq!(shown["ns_iis"], json!({ "rate": "30/min", "burst": 3, "in_flight": 2 }));
    assert_eq!(shown["mine"], json!({ "rate": "1/s", "burst": 1 }));
    assert_eq!(shown["site"], serde_json::to_value(Limits::default()).expect("limits")["site"]);
}

#[test]
fn free_variables_are_read_as_ansible_reads_them_and_aliases_are_followed() {
    let text = "all:\n  vars: &common { retired: no, rack: 010, floor: 2 }\n  hosts:\n    a: { <<: *common, floor: 3 }\n    b: *common\n";
    let loaded = load_inventory("i.yml", text).expect("an inventory");
    let host = loaded.inventory.host(&HostName::new("a")).expect("a");

    assert_eq!(host.vars["retired"], json!(false));
    assert_eq!(host.vars["rack"], json!(8));
    assert_eq!(host.vars["floor"], json!(3));
    assert_eq!(rules(&loaded.notes), ["ambiguous-scalar", "ambiguous-scalar"]);
    assert!(
        loaded.notes[0].message.ends_with("(here and at 2 other places)"),
        "{}",
        loaded.notes[0].message
    );
}

#[test]
fn aliases_cannot_multiply_a_file_without_end() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in
        ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"])
    {
        let many = vec![format!("*{before}"); 9].join(", ");
        let _ = writeln!(text, "{name}: &{name} [{many}]");
    }
    let found = load_inventory("i.yml", &text).expect_err("too much");
    assert!(rules(&found).contains(&"too-many-aliases"), "{}", render(&found, false));
}

#[test]
fn a_play_is_read_as_it_was_meant() {
    let loaded = play(
        "- hosts: [london, oslo]\n  work: not_ready_packages\n  serial: 5\n  max_fail_percentage: 20\n  limits: { ns_iis: { rate: 10/min } }\n  tasks:\n    - agent: update_configuration\n      when: [site == 'LON', work.count > 1]\n      uses: { ns_iis: { now: 1, later: 4 }, cmdb: 1 }\n      within: 90 s\n      register: update\n    - scheduled_task: { run: \"{{ update.name }}\" }\n",
    )
    .unwrap_or_else(|found| panic!("{}", render(&found, false)));

    assert!(loaded.notes.is_empty(), "{}", render(&loaded.notes, false));
    let play = &loaded.playbook.plays[0];
    assert_eq!(play.name, "london:oslo");
    let task = &play.tasks[0];
    assert_eq!(task.action.params, json!({ "do": "update_configuration" }));
    assert_eq!(task.when.as_deref(), Some("(site == 'LON') and (work.count > 1)"));
    assert_eq!((task.uses.of("ns_iis").later, task.uses.of("cmdb").now, task.line), (4, 1, 7));
    assert_eq!(
        serde_json::to_value(&play.limits).expect("limits"),
        json!({ "ns_iis": { "rate": "10/min", "burst": 3, "in_flight": 5 } })
    );
    assert_eq!(loaded.playbook.sha256.len(), 64);
}

#[test]
fn a_budget_that_tolerates_nothing_is_pointed_out() {
    let head = "- hosts: package_servers\n  tasks: [{ agent: update_configuration }]\n";

    let notes = |more: &str| play(&format!("{head}{more}")).expect("a play").notes;
    let note = notes("  serial: 3\n  max_fail_percentage: 30\n");
    assert_eq!(note[0].message, "30 % of a wave of 3 hosts tolerates 0 failures");
    assert_eq!(rules(&notes("  serial: 3\n")), ["no-failure-budget"]);
    assert!(notes("  serial: [1, 50%]\n  max_fail_percentage: 30\n").is_empty());
    assert!(notes("  serial: 3\n  max_fail_percentage: 0\n").is_empty());
}

#[test]
fn the_budgets_of_a_play_and_its_soak_are_read_as_they_were_meant() {
    let loaded = play(
        "- hosts: package_servers\n  serial: [1, 50%]\n  max_fail_percentage: 20\n  soak: 10 min\n  max_fail:\n    fleet: 10%\n    unreachable: 1\n    auth: 2\n    consecutive: 0\n    drifted: 0%\n    strict: true\n  tasks: [{ agent: update_configuration }]\n",
    )
    .unwrap_or_else(|found| panic!("{}", render(&found, false)));

    let safeguards = &loaded.playbook.plays[0].safeguards;
    assert_eq!(safeguards.soak, Some(Duration::from_secs(600)));
    let expected = MaxFail {
        fleet: Some(Tolerance::Percent(10.0)),
        unreachable: Some(Tolerance::Hosts(1)),
        auth: Some(2),
        consecutive: Some(0),
        drifted: Some(Tolerance::Percent(0.0)),
        strict: true,
    };
    assert_eq!(safeguards.max_fail, expected);
}

#[test]
fn budgets_that_can_never_stop_a_play_are_pointed_out() {
    let head = "- hosts: package_servers\n  tasks: [{ agent: update_configuration }]\n";
    let notes = |more: &str| {
        let notes = play(&format!("{head}{more}")).expect("a play").notes;
        notes.iter().map(|note| format!("{}: {}", note.rule, note.message)).collect::<Vec<_>>()
    };
    let one = |more: &str| match &notes(more)[..] {
        [one] => one.clone(),
        other => panic!("{other:?}"),
    };

    assert!(notes("  max_fail: { fleet: 2, unreachable: 1, consecutive: 1 }\n").is_empty());
    assert!(
        notes("  max_fail_percentage: 50\n  max_fail: { unreachable: 1, auth: 0 }\n").is_empty()
    );
    assert_eq!(
        one("  max_fail: { fleet: 2, unreachable: 2 }\n"),
        "budget-never-trips: `unreachable: 2` can never stop this play: `fleet: 2` stops it first"
    );
    assert_eq!(
        one("  max_fail: { fleet: 10%, drifted: 30% }\n"),
        "budget-never-trips: `drifted: 30%` can never stop this play: `fleet: 10%` stops it first"
    );
    assert_eq!(
        one("  max_fail: { fleet: 100% }\n"),
        "budget-never-trips: `fleet: 100%` can never stop this play: the play has 53 hosts"
    );
    assert_eq!(
        one("  serial: 4\n  max_fail_percentage: 25\n  max_fail: { fleet: 13 }\n"),
        "budget-never-trips: `fleet: 13` can never stop this play: the waves tolerate 13 together by \
         `max_fail_percentage`"
    );
    assert_eq!(
        one("  max_fail: { fleet: 1% }\n"),
        "budget-of-nothing: 1 % of 53 hosts tolerates 0 failures"
    );
    assert_eq!(
        notes("  max_fail: { unreachable: 3 }\n"),
        [
            "no-failure-budget: the first failure stops this play",
            "budget-never-trips: `unreachable: 3` can never stop this play: the first failure stops \
             it",
        ]
    );
    assert_eq!(
        one("  max_fail: { fleet: 0, strict: true }\n"),
        "one-host-at-a-time: `strict` takes one host at a time here"
    );
    assert_eq!(
        one("  order: interleave(floor)\n  max_fail_percentage: 50\n"),
        "interleave-of-nothing: no host of this play has the variable `floor`"
    );
    assert_eq!(
        one("  max_fail_percentage: 50\n  soak: 5 min\n"),
        "soak-after-nothing: `soak` waits between waves, and this is one"
    );
}

#[test]
fn a_message_never_shows_control_characters_of_the_file() {
    let found = play("- hosts: \"lon\\edon\\e[2J\"\n  tasks: []\n").expect_err("broken");
    let screen = render(&found, false);
    assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
}

#[test]
fn a_long_line_is_cut_to_what_is_near_the_mistake() {
    let filler = "x".repeat(5000);
    let found = play(&format!(
        "- {{ hosts: london, name: {filler}, thottle: 1, vars: {{ a: {filler} }} }}\n"
    ))
    .expect_err("broken");
    let marked = &found[0].snippet;
    let at = found.iter().find(|d| d.rule == "unknown-key").expect("the key");

    assert!(marked.text.len() < 600, "{}", marked.text.len());
    assert_eq!(&at.snippet.text[at.snippet.marked.clone()], "thottle");
}

#[test]
fn a_mistake_just_behind_where_a_line_is_cut_is_shown() {
    for at in 110..130 {
        let text = format!("- {{ {}: 1, hosts: london }}\n", "x".repeat(at));
        let text = text.replacen(": 1", ": 1, thottle: 1", 1);
        let found = play(&text).expect_err("broken");
        assert!(render(&found, false).contains("thottle"), "{at}");
    }
}

#[test]
fn aliases_cannot_nest_without_end() {
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(40), "]".repeat(40));
    let mut text = format!("a0: &a0 {}\n", deep("x"));
    for level in 1..200 {
        let _ = writeln!(text, "a{level}: &a{level} {}", deep(&format!("*a{}", level - 1)));
    }
    let found = load_inventory("i.yml", &text).expect_err("too deep");
    assert!(rules(&found).contains(&"too-many-aliases"), "{}", render(&found, false));
}

#[test]
fn a_file_of_windows_is_read_like_any_other() {
    let mut shipped = files("playbooks").into_iter();
    let is_it = |(name, _): &(String, String)| name == "resync-stale-packages.yml";
    let (_, text) = shipped.find(is_it).expect("the playbook");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert!(play(&windows).is_ok());

    let found = play("\u{feff}- hosts: londn\r\n  tasks: []\r\n").expect_err("broken");
    assert_eq!((found[0].line, found[0].column), (1, 10));
    assert!(render(&found, false).contains("hosts: londn\n"), "{}", render(&found, false));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(
        text in "([-&*!|>{}\\[\\]:,\"'# \n\t%<]|all|hosts|vars|tasks|when|agent|children|ß|\u{feff}|\r|0|yes|\\{\\{ x \\}\\}|  ){0,60}"
    ) {
        if let Err(found) = load_inventory("i.yml", &text) {
            render(&found, false);
        }
        if let Err(found) = load_playbook("p.yml", &text, &doubles::actions(), None) {
            render(&found, true);
        }
    }
}

#[test]
fn reading_any_prefix_of_a_file_ends_with_an_answer() {
    let (_, text) = files("playbooks").remove(0);
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
        if let Err(found) = play(&text[..end]) {
            render(&found, true);
        }
    }
}
