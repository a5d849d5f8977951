//! An inventory whose package servers come from the CMDB.

use std::path::PathBuf;

use fleetmend::lab::cmdb::ServerRecord;
use serde_json::Value;

use crate::undo::everything;
use crate::world::{SmallLab, UnderWay, World, resync, text};

/// The lab's inventory with its Notification Server alone: the package servers come from the CMDB.
/// The machines of a lab have no names in DNS, so the addresses of two of them stand in the file.
fn write_inventory(world: &World, lab: &SmallLab, site_query: &str) -> PathBuf {
    let whole: Value =
        serde_json::from_str(&world.run(&["inventory", "-i", &lab.inventory(), "--json"]).stdout)
            .expect("the hosts as JSON");
    let hosts = whole.as_array().expect("a list");
    let vars = |host: &Value| host["vars"].clone();
    let server = hosts.iter().find(|host| !host["vars"]["cmdb"].is_null()).expect("one");
    let own = vars(server);
    let folder = lab.lab().inventory().parent().expect("a folder").to_owned();
    let credentials = folder.join(text(&own, "lab_credentials"));
    let mut yaml = format!(
        "all:\n  vars:\n    credential: {}\n    lab_credentials: '{}'\n    time_scale: {}\n    \
         acc_account: '{}'\n  children:\n    notification_servers:\n      hosts:\n        {}:\n          \
         ansible_host: {}\n          ansible_port: {}\n          smb_port: {}\n          http_port: {}\n          cmdb: {{ server: \
         {}, port: {}, database: {}, credential: {}{site_query} }}\n    package_servers:\n      hosts:\n",
        own["credential"],
        credentials.display(),
        own["time_scale"],
        text(&own, "acc_account"),
        text(server, "name"),
        text(&own, "ansible_host"),
        own["ansible_port"],
        own["smb_port"],
        own["http_port"],
        text(&own["cmdb"], "server"),
        own["cmdb"]["port"],
        text(&own["cmdb"], "database"),
        text(&own["cmdb"], "credential"),
    );
    for host in hosts.iter().filter(|host| host["vars"]["cmdb"].is_null()).take(2) {
        let own = vars(host);
        yaml.push_str(&format!(
            "        {}: {{ ansible_host: {}, ansible_port: {}, smb_port: {} }}\n",
            text(host, "name"),
            text(&own, "ansible_host"),
            own["ansible_port"],
            own["smb_port"],
        ));
    }
    yaml.push_str("sources:\n  - cmdb: package_servers\n");
    let path = world.path().join("sourced.yml");
    std::fs::write(&path, yaml).expect("the inventory is written");
    path
}

const SITES: &str = ", site_query: 'SELECT ServerGuid, Site FROM LabServerSite'";

#[test]
fn hosts_come_from_the_cmdb_and_what_the_file_says_of_them_holds() {
    let lab = SmallLab::start(4, 11, 400.0, "faults: [{ kind: stale, hosts: 4 }]", 90);
    let world = World::new();
    let inventory = write_inventory(&world, &lab, SITES).display().to_string();

    let listed = world.run(&["inventory", "-i", &inventory]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(listed.stdout.ends_with("5 hosts\n"), "{}", listed.stdout);
    assert!(listed.stderr.contains("4 package servers from the CMDB, 2 of them in the file"));
    let json = world.run(&["inventory", "-i", &inventory, "package_servers", "--json"]).stdout;
    let hosts: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(hosts.len(), 4, "{json}");
    let of = |origin: &str| hosts.iter().filter(|host| text(host, "origin") == origin).count();
    assert_eq!((of("file, cmdb"), of("cmdb")), (2, 2), "{json}");
    for host in &hosts {
        let vars = &host["vars"];
        assert!(!text(vars, "itms_guid").is_empty() && !text(vars, "site").is_empty(), "{host}");
        assert!(!text(vars, "agent_version").is_empty(), "{host}");
        assert_eq!(text(host, "name"), text(host, "name").to_lowercase());
    }
    let known = hosts.iter().find(|host| text(host, "origin") == "file, cmdb").expect("one");
    assert!(text(&known["vars"], "ansible_host").starts_with("127."), "{known}");

    let linted = world.run(&["lint", "-i", &inventory, &resync().display().to_string()]);
    assert_eq!(linted.code, Some(0), "{}", linted.stderr);
    assert!(linted.stdout.contains("3 hosts, and those of the source `cmdb: package_servers`"));

    // The work meets hosts that only the CMDB knows; those of the file are repaired.
    let reachable = hosts.iter().filter(|host| text(host, "origin") == "file, cmdb");
    let limit: Vec<&str> = reachable.map(|host| text(host, "name")).collect();
    let limit = format!("notification_servers:{}", limit.join(":"));
    let (events, ended) = world.events(&[
        "run",
        &resync().display().to_string(),
        "-i",
        &inventory,
        "--yes",
        "--json",
        "--limit",
        &limit,
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let started = events.iter().find(|event| text(event, "event") == "run_started").expect("it");
    assert_eq!(started["sourced"].as_array().map(Vec::len), Some(4), "the run records its hosts");
}

#[test]
fn a_cmdb_that_cannot_be_read_is_an_error_and_never_an_empty_inventory() {
    let world = World::new();
    let lab = SmallLab::start(2, 12, 400.0, "faults: []", 91);
    let wrong = ", site_query: 'SELECT ServerGuid, Site FROM NoSuchTable'";
    let inventory = write_inventory(&world, &lab, wrong).display().to_string();

    let refused = world.run(&["inventory", "-i", &inventory]);
    assert_eq!(refused.code, Some(7), "{}", refused.stdout);
    assert!(refused.stderr.contains("could not read the hosts of"), "{}", refused.stderr);
    assert!(refused.stderr.contains("the operator's query"), "{}", refused.stderr);

    // Nobody listens on the port that only privileged programs may take.
    let path = write_inventory(&world, &lab, "");
    let text = std::fs::read_to_string(&path).expect("the inventory");
    let (before, after) = text.split_once(", port: ").expect("the port of the CMDB");
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    std::fs::write(&path, format!("{before}, port: 1{after}")).expect("written");
    let playbook = resync().display().to_string();
    let unasked = world.run(&["run", &playbook, "-i", &path.display().to_string()]);
    assert_eq!(unasked.code, Some(7), "{}", unasked.stdout);
    assert!(unasked.stderr.contains("--yes"), "before any connection: {}", unasked.stderr);
    let gone = world.run(&["run", &playbook, "-i", &path.display().to_string(), "--yes"]);
    assert_eq!(gone.code, Some(7), "{}", gone.stdout);
    assert!(gone.stderr.contains("could not read the hosts of"), "{}", gone.stderr);
}

/// As [`write_inventory`] for a lab with one package server, which the file does not name at all: the
/// group says where it answers.
fn write_inventory_without_servers(world: &World, lab: &SmallLab) -> String {
    let path = write_inventory(world, lab, SITES);
    let yaml = std::fs::read_to_string(&path).expect("the inventory");
    let (before, named) =
        yaml.split_once("    package_servers:\n      hosts:\n").expect("the group");
    let (_, vars) = named.lines().next().and_then(|line| line.split_once(": {")).expect("a host");
    let yaml = format!(
        "{before}    package_servers:\n      vars: {{{vars}\nsources:\n  - cmdb: package_servers\n"
    );
    std::fs::write(&path, yaml).expect("the inventory is written");
    path.display().to_string()
}

/// Gives the only package server another name in the CMDB: who asked again would not know it.
fn rename(lab: &SmallLab) {
    let guid = lab.lab().world().with(|world| world.fleet().servers[0].guid);
    let record = ServerRecord {
        guid,
        name: "PS-RENAMED".into(),
        fqdn: "ps-renamed.lab.example".into(),
        agent_version: "8.7.2".into(),
        site: "ZRH".into(),
    };
    lab.lab().world().cmdb().add_server(&record).expect("it is renamed");
}

#[test]
fn a_run_on_hosts_of_the_cmdb_is_resumed_and_undone_on_the_hosts_that_it_recorded() {
    let lab = SmallLab::start(1, 13, 400.0, "faults: [{ kind: stale, hosts: 1 }]", 92);
    let world = World::new();
    let inventory = write_inventory_without_servers(&world, &lab);
    let playbook = world.path().join("move.yml");
    std::fs::write(
        &playbook,
        "- hosts: package_servers
  work: not_ready_packages
  max_fail_percentage: 0
  tasks:
    - quarantine_files: { role: ps_delivery, files: ['{package}/snapshot.xml'], packages: '{{ work.package_ids }}', expect: { max: 50 } }
    - pause: { for: 10 min }
    - assert: { that: itms_package_server }
",
    )
    .expect("a file");
    let before = everything(&lab, 1);

    let mut under_way = UnderWay::run(&world, &playbook.display().to_string(), &inventory);
    let mut seen = Vec::new();
    while !seen.iter().any(|event: &Value| text(event, "event") == "step_finished") {
        let next = under_way.read(1);
        assert!(!next.is_empty(), "no step ended: {seen:#?}");
        seen.extend(next);
    }
    under_way.kill();
    let run = text(&seen[0], "run").to_owned();
    let host = text(&seen[0]["sourced"][0], "fqdn").to_lowercase();
    assert!(!host.is_empty(), "{}", seen[0]);
    rename(&lab);
    let listed = world.run(&["inventory", "-i", &inventory, "package_servers"]).stdout;
    assert!(listed.contains("ps-renamed.lab.example") && !listed.contains(&host), "{listed}");

    let resumed = world.run(&["resume", &run]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    let (all, _) = world.events(&["show", "--json", &run]);
    let moved: Vec<String> = all
        .iter()
        .filter(|event| text(event, "event") == "step_decided")
        .flat_map(|event| {
            event["change"]["change"]["moves"].as_array().cloned().unwrap_or_default()
        })
        .map(|the_move| text(&the_move, "from").to_lowercase())
        .collect();
    assert!(!moved.is_empty(), "{all:#?}");
    let started = all.iter().filter(|event| text(event, "event") == "step_started");
    for event in started {
        assert_eq!(event["step"]["host"], host.as_str(), "no other host takes part");
    }
    let of = |all: &[std::collections::BTreeMap<String, String>], path: &str| {
        all[1]
            .iter()
            .find(|(known, _)| known.to_lowercase() == path)
            .map(|(_, state)| state.clone())
    };
    let away = everything(&lab, 1);
    assert!(moved.iter().all(|path| of(&away, path) != of(&before, path)), "{moved:?}");

    let undone = world.run(&["undo", "--yes", &run]);

    assert_eq!(undone.code, Some(0), "{}{}", undone.stdout, undone.stderr);
    let after = everything(&lab, 1);
    for path in &moved {
        assert!(of(&before, path).is_some(), "{path}");
        assert_eq!(of(&after, path), of(&before, path), "{path}");
    }
}

#[test]
fn a_diagnosis_looks_at_package_servers_that_only_the_cmdb_knows() {
    let lab = SmallLab::start(1, 14, 400.0, "faults: [{ kind: stale, hosts: 1 }]", 93);
    let world = World::new();
    let inventory = write_inventory_without_servers(&world, &lab);
    let server = lab.lab().world().with(|world| world.fleet().servers[0].fqdn.to_lowercase());

    let ended = world.run(&["diagnose", "-i", &inventory, "--json"]);

    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("1 package servers from the CMDB"), "{}", ended.stderr);
    let diagnosis: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    let findings = diagnosis["findings"].as_array().expect("findings");
    let is_it = |finding: &&Value| {
        text(finding, "verdict") == "package-server-stale"
            && finding["scope"]["host"] == server.as_str()
    };
    assert!(findings.iter().any(|finding| is_it(&finding)), "{findings:#?}");
}
