//! The playbooks for what is wrong with one server or one service: rights, services, application pools,
//! the event dispatcher, a damaged copy. Each is run, judged, and taken back.

use std::collections::BTreeMap;

use fleetmend::lab::MachineId;
use fleetmend::lab::world::{AGENT_SERVICE, APP_POOL, DISPATCHER_SERVICE};

use crate::procedures::{FIRST, Story, changes, notes, oracle};

const NS: MachineId = MachineId::NotificationServer;

impl Story {
    /// What Windows keeps on a machine beside its disks.
    fn settings(&self, machine: MachineId) -> BTreeMap<String, String> {
        self.look(|world| world.settings(machine))
    }

    /// The lists of rights of a machine's files and folders, by path.
    fn rights(&self, machine: MachineId) -> BTreeMap<String, Vec<u8>> {
        let snapshot = self.look(|world| world.tree(machine).snapshot());
        snapshot.into_iter().map(|(path, it)| (path, it.descriptor.to_vec())).collect()
    }

    /// The number of a server by its short name.
    fn server(&self, name: &str) -> MachineId {
        let at = self.look(|world| {
            let mut servers = world.fleet().servers.iter();
            servers.position(|server| server.fqdn.starts_with(name))
        });
        MachineId::Server(at.expect("a server of this name"))
    }

    /// Waits, with the program, until a package is whole on a server.
    fn is_whole(&self, host: &str, package: &str) {
        let path = self.world.path().join("audit.yml");
        let playbook = "\
- hosts: package_servers
  tasks:
    - name: See whether the package is whole
      audit_packages: { packages: '{{ packages }}', hash_up_to: 200 }
      register: audit
      until: audit.packages[0].conclusion == 'whole'
      retries: 90
      delay: 1 min
";
        std::fs::write(&path, playbook).expect("written");
        let (path, inventory) = (path.display().to_string(), self.lab.inventory());
        let mut args = vec!["run", "--yes", "--json", &path, "-i", &inventory];
        args.extend(["-e", package, "--limit", host]);
        let (events, ended) = self.events(&args);
        assert_eq!(ended.code, Some(0), "{}\n{:#?}", ended.stderr, notes(&events));
    }
}

#[test]
fn rights_that_are_missing_are_given_and_undo_takes_them_back() {
    let story = Story::new(4, "{ kind: missing_ace, at: [ps-lon-01] }", 56);
    let broken = story.not_ready();
    assert!(broken > 0);
    let before = story.rights(FIRST);

    let events = story.done("fix-store-permissions.yml", &[]);

    assert_eq!(oracle(&events), (broken as u64, broken as u64));
    assert_eq!((story.not_ready(), changes(&events, "acl")), (0, 1));
    let given = story.rights(FIRST);
    assert!(before.iter().any(|(path, rights)| given.get(path) != Some(rights)));

    assert_eq!(story.undo(&events), 1);
    let after = story.rights(FIRST);
    for (path, rights) in &before {
        assert!(after.get(path) == Some(rights), "the rights of {path}");
    }
}

#[test]
fn rights_of_single_packages_are_given_and_no_other_package_is_looked_at() {
    let story = Story::new(2, "", 57);
    let package = story.look(|world| world.fleet().packages[2].guid);
    let folder = story.look(|world| {
        let folder = world.fleet().servers[0].layout.package_folder(package);
        let rights =
            fleetmend::protocol::security_descriptor::SecurityDescriptor::machine_default();
        world.tree(FIRST).set_descriptor(&folder, &rights.encode()).expect("it is there");
        folder
    });
    let before = story.rights(FIRST);

    let events = story.done("fix-store-permissions.yml", &["-e", &story.packages(3)]);

    let given = story.rights(FIRST);
    let changed: Vec<&String> = before
        .iter()
        .filter(|(path, it)| given.get(*path) != Some(*it))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(changed, [&folder]);
    assert_eq!(story.undo(&events), 1);
    assert!(story.rights(FIRST).get(&folder) == before.get(&folder));
}

#[test]
fn what_has_to_run_is_started_and_undo_stops_it_again() {
    const FAULTS: &str =
        "{ kind: agent_stopped, at: [ps-lon-01] }, { kind: app_pool_stopped, at: [ps-par-01] }";
    let story = Story::new(4, FAULTS, 58);
    let second = story.server("ps-par-01");
    let settings = || [story.settings(FIRST), story.settings(second)];
    let before = settings();
    let (service, pool) =
        (format!("service {AGENT_SERVICE}"), format!("application pool {APP_POOL}"));
    assert_eq!((&*before[0][&service], &*before[1][&pool]), ("stopped, Auto", "stopped"));

    let events = story.done("start-services.yml", &[]);

    assert_eq!((changes(&events, "service"), changes(&events, "app_pool")), (1, 1));
    let started = settings();
    assert_eq!((&*started[0][&service], &*started[1][&pool]), ("running, Auto", "started"));
    story.done("update-and-resend.yml", &[]);
    assert_eq!(story.not_ready(), 0, "the oracle of the everyday playbook says so");

    assert_eq!(story.undo(&events), 2);
    assert_eq!(settings(), before);
}

#[test]
fn a_dispatcher_whose_queue_stands_is_restarted_and_one_that_works_is_not() {
    let story = Story::new(3, "{ kind: event_queue_stall }", 59);
    let before = story.settings(NS);

    let events = story.done("restart-event-dispatcher.yml", &[]);
    assert_eq!(changes(&events, "service"), 1, "{:#?}", notes(&events));
    assert_eq!(story.settings(NS), before);
    assert_eq!(story.undo(&events), 0, "it ran before, and it runs");

    let again = story.done("restart-event-dispatcher.yml", &[]);
    assert_eq!(changes(&again, "service"), 0, "{:#?}", notes(&again));

    story.look(|world| world.stop_service(NS, DISPATCHER_SERVICE));
    let stopped = story.settings(NS);
    assert_ne!(stopped, before);
    let events = story.done("restart-event-dispatcher.yml", &[]);
    assert_eq!(story.settings(NS), before, "{:#?}", notes(&events));
    assert_eq!(story.undo(&events), 1);
    assert_eq!(story.settings(NS), stopped);
}

#[test]
fn a_damaged_copy_is_fetched_again_without_a_new_version_and_undo_brings_the_metadata_back() {
    let story = Story::new(3, "{ kind: hash_damaged, at: [ps-lon-01], packages: [3] }", 60);
    let packages = story.packages(3);
    let guid = story.look(|world| world.fleet().packages[2].guid).to_string().to_lowercase();
    let of_package = |machine: MachineId| -> BTreeMap<String, String> {
        let files = story.files(machine).into_iter();
        files.filter(|(path, _)| path.contains(&guid) && !path.contains("fleetmend")).collect()
    };
    let content = |machine: MachineId| -> BTreeMap<String, String> {
        let files = of_package(machine).into_iter();
        let inside = files.filter_map(|(path, state)| {
            let (_, name) = path.split_once(&format!(r"{guid}\cache\"))?;
            Some((name.to_owned(), state.split("descriptor").next()?.to_owned()))
        });
        inside.collect()
    };
    let second = MachineId::Server(1);
    assert_ne!(content(FIRST), content(second), "damaged");
    let (here, at_ns) = (of_package(FIRST), of_package(NS));

    let said = ["-e", &*packages, "--limit", "ps-lon-01.lab.example"];
    let events = story.done("redownload-packages.yml", &said);
    assert_eq!(changes(&events, "quarantine_files"), 2);
    story.is_whole("ps-lon-01.lab.example", &packages);

    assert_eq!(content(FIRST), content(second), "as on another server");
    assert_eq!(of_package(NS), at_ns, "no version was made");
    assert_eq!(story.undo(&events), 1);
    let after = of_package(FIRST);
    let metadata = [r"\snapshot.xml", r"\packagestatus.xml"];
    for (path, state) in
        here.iter().filter(|(path, _)| metadata.iter().any(|end| path.ends_with(end)))
    {
        assert_eq!(after.get(path), Some(state), "{path}");
    }
    assert_eq!(content(FIRST), content(second), "what was fetched stays");
}

#[test]
fn rows_that_differ_stay_and_keep_no_other_server_of_the_package_from_being_repaired() {
    let story = Story::new(3, "{ kind: duplicate_rows, at: [ps-lon-01], packages: [3] }", 61);
    let (server, name, package) = story.look(|world| {
        let fleet = world.fleet();
        (fleet.servers[1].guid, fleet.servers[1].short().to_owned(), fleet.packages[2].guid)
    });
    let cmdb = story.lab.lab().world().cmdb();
    cmdb.upsert_package_server_row(server, package, "Ready", Some("2")).expect("a row");
    cmdb.add_second_row(server, package, "Invalid", "1").expect("a second row");
    let rows = || cmdb.dump("SWDPackageServer").expect("a table");
    let before = rows();
    assert_eq!(story.rows("duplicates").len(), 2);

    let (events, ended) = story.run("remove-duplicates.yml", &[]);

    assert_ne!(ended.code, Some(0), "a pair with two rows is left: {:#?}", notes(&events));
    let told = notes(&events).join("\n").to_lowercase();
    assert!(told.contains("rows that differ") && told.contains(&name.to_lowercase()), "{told}");
    let left = story.rows("duplicates");
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0]["ServerGuid"].as_str().map(str::to_lowercase),
        Some(server.to_string().to_lowercase())
    );
    assert_eq!((before.len() - rows().len(), changes(&events, "cmdb_repair")), (1, 1));

    assert_eq!(story.undo(&events), 1);
    assert_eq!(rows(), before);
}
