//! The articles' procedures: each shipped playbook meets the fault that it answers, the CMDB says
//! that it helped, and `undo` takes back what it changed.

use std::collections::BTreeMap;
use std::path::Path;

use fleetmend::lab::MachineId;
use fleetmend::lab::world::{AppliedCredential, PACKAGE_SHARE, World as Simulated};
use serde_json::Value;

use crate::world::{Ended, SmallLab, World, parse_events, text};

const SPEED: f64 = 400.0;
pub(crate) const FIRST: MachineId = MachineId::Server(0);

/// A fleet with a fault, and a directory in which the program runs.
pub(crate) struct Story {
    pub(crate) lab: SmallLab,
    pub(crate) world: World,
}

impl Story {
    pub(crate) fn new(servers: u32, faults: &str, network: u8) -> Self {
        Self::at(SPEED, servers, faults, network)
    }

    fn at(speed: f64, servers: u32, faults: &str, network: u8) -> Self {
        let faults = format!("faults: [{faults}]");
        Self { lab: SmallLab::start(servers, 11, speed, &faults, network), world: World::new() }
    }

    /// Runs a shipped playbook in the story's own directory.
    pub(crate) fn run(&self, playbook: &str, more: &[&str]) -> (Vec<Value>, Ended) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
        let (path, inventory) = (path.display().to_string(), self.lab.inventory());
        let mut args = vec!["run", "--yes", "--json", &path, "-i", &inventory];
        args.extend(more);
        self.events(&args)
    }

    /// The same, and it ends with "done".
    pub(crate) fn done(&self, playbook: &str, more: &[&str]) -> Vec<Value> {
        let (events, ended) = self.run(playbook, more);
        assert_eq!(ended.code, Some(0), "{}\n{:#?}", ended.stderr, notes(&events));
        events
    }

    pub(crate) fn events(&self, args: &[&str]) -> (Vec<Value>, Ended) {
        let output = self.world.command(args).current_dir(self.world.path()).output();
        let ended = Ended::from(output.expect("it runs"));
        (parse_events(&ended.stdout), ended)
    }

    /// Takes a run back; the answer is how many hosts changed.
    pub(crate) fn undo(&self, events: &[Value]) -> usize {
        let (undone, ended) = self.events(&["undo", "--yes", "--json", text(&events[0], "run")]);
        assert_eq!(ended.code, Some(0), "{}\n{:#?}", ended.stderr, notes(&undone));
        of(&undone, "host_finished")
            .iter()
            .filter(|host| text(host, "outcome") == "changed")
            .count()
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Simulated) -> T) -> T {
        self.lab.lab().world().with(look)
    }

    /// How many pairs the CMDB does not call Ready.
    pub(crate) fn not_ready(&self) -> usize {
        self.look(|world| world.not_ready().len())
    }

    /// The GUID of a package, by its number from 1, as a list for `-e`.
    pub(crate) fn packages(&self, number: usize) -> String {
        let guid = self.look(|world| world.fleet().packages[number - 1].guid);
        format!("packages=[\"{guid}\"]")
    }

    /// The files of a machine, by path in lower case.
    pub(crate) fn files(&self, machine: MachineId) -> BTreeMap<String, String> {
        let snapshot = self.look(|world| world.tree(machine).snapshot());
        let lower = |path: String| path.to_lowercase();
        snapshot.into_iter().map(|(path, state)| (lower(path), format!("{state:?}"))).collect()
    }

    /// The paths on a machine that end like this, outside of the quarantine.
    fn named(&self, machine: MachineId, end: &str) -> Vec<String> {
        let all = self.files(machine).into_keys();
        all.filter(|path| path.ends_with(end) && !path.contains("quarantine")).collect()
    }

    /// The first rows that a query of a throw-away playbook gives.
    pub(crate) fn rows(&self, query: &str) -> Vec<Value> {
        let path = self.world.path().join("query.yml");
        let playbook = format!(
            "- hosts: notification_servers\n  tasks:\n    - cmdb_query: {query}\n      register: found\n"
        );
        std::fs::write(&path, playbook).expect("written");
        let (path, inventory) = (path.display().to_string(), self.lab.inventory());
        let (events, ended) = self.events(&["run", "--yes", "--json", &path, "-i", &inventory]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let step = of(&events, "step_finished").pop().expect("a step").clone();
        step["value"]["rows"].as_array().expect("rows").clone()
    }
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

/// What the steps said, for messages.
pub(crate) fn notes(events: &[Value]) -> Vec<String> {
    let steps = of(events, "step_finished");
    steps
        .iter()
        .map(|step| {
            format!("{} {} {} {}", step["step"], step["outcome"], step["note"], step["failure"])
        })
        .collect()
}

/// What the last oracle of a run said: ready, and of how many.
pub(crate) fn oracle(events: &[Value]) -> (u64, u64) {
    let report = &of(events, "oracle_checked").pop().expect("it was asked")["report"];
    (report["ready"].as_u64().expect("a number"), report["of"].as_u64().expect("a number"))
}

/// How many changes a verb decided on.
pub(crate) fn changes(events: &[Value], verb: &str) -> usize {
    of(events, "step_decided").iter().filter(|step| step["change"]["action"] == verb).count()
}

#[test]
fn an_event_that_was_lost_is_sent_again_and_the_row_is_ready() {
    let story = Story::new(4, "{ kind: invalid, hosts: 2 }", 40);
    let before = story.not_ready();
    assert!(before > 0);

    let events = story.done("update-and-resend.yml", &[]);

    assert_eq!(oracle(&events), (before as u64, before as u64));
    assert_eq!(story.not_ready(), 0);
}

#[test]
fn an_urgent_list_without_policy_is_cleared_and_undo_brings_it_back() {
    let story = Story::new(3, "{ kind: urgent_list, at: [ps-lon-01] }", 41);
    let before = story.named(FIRST, r"\urgentlist.xml");
    assert_eq!(before.len(), 1);

    let events = story.done("clear-urgent-list.yml", &[]);
    assert_eq!(story.named(FIRST, r"\urgentlist.xml").len(), 0);
    assert_eq!(changes(&events, "quarantine_files"), 1, "a list that is well stays");

    assert_eq!(story.undo(&events), 1);
    assert_eq!(story.named(FIRST, r"\urgentlist.xml"), before);
}

#[test]
fn a_stale_server_is_synchronized_by_hand_and_undo_brings_every_file_back() {
    let story = Story::new(4, "{ kind: stale, at: [ps-lon-01] }", 42);
    let before = story.files(FIRST);
    let (_, unasked) = story.run("manual-synchronization.yml", &[]);
    assert_eq!(unasked.code, Some(9), "new versions are not made unless a person says so");
    assert!(story.not_ready() > 0);

    let events = story.done("manual-synchronization.yml", &["--approve", "new-versions"]);
    assert_eq!(story.not_ready(), 0);
    let moved: Vec<String> = of(&events, "step_decided")
        .iter()
        .filter(|step| text(&step["step"], "host").starts_with("ps-lon-01"))
        .flat_map(|step| step["change"]["change"]["moves"].as_array().cloned().unwrap_or_default())
        .map(|file| text(&file, "from").to_lowercase())
        .collect();
    assert!(moved.iter().any(|path| path.ends_with(r"\snapshot.xml")), "{moved:?}");
    assert!(moved.iter().any(|path| path.contains("client policies")), "{moved:?}");

    assert!(story.undo(&events) >= 2, "the Notification Server and the package server");
    let after = story.files(FIRST);
    for path in moved {
        assert!(before.contains_key(&path), "{path}");
        assert_eq!(after.get(&path), before.get(&path), "{path}");
    }
}

#[test]
fn rows_that_are_there_twice_go_and_undo_brings_them_back() {
    let story = Story::new(3, "{ kind: duplicate_rows, at: [ps-lon-01], packages: [3] }", 43);
    assert_eq!(story.rows("duplicates").len(), 1);

    let events = story.done("remove-duplicates.yml", &[]);
    assert_eq!(story.rows("duplicates").len(), 0);

    assert_eq!(story.undo(&events), 1);
    assert_eq!(story.rows("duplicates").len(), 1);
}

#[test]
fn a_package_of_a_server_that_left_is_taken_over_and_undo_gives_it_back() {
    let story = Story::new(4, "{ kind: foreign_origin, packages: [3] }", 44);
    let foreign = || -> Vec<Value> {
        let rows = story.rows("origins").into_iter();
        rows.filter(|row| row["IsLocal"] == 0).collect()
    };
    let [package] = &foreign()[..] else { panic!("one package") };
    let left = format!("left_hierarchy=[\"{}\"]", text(package, "OriginGuid"));
    let packages = story.packages(3);
    let said = ["-e", &packages, "-e", &left, "--approve", "left-hierarchy"];

    let (_, unsaid) = story.run("fix-origin.yml", &["--approve", "left-hierarchy"]);
    assert_ne!(unsaid.code, Some(0), "there is no form for all packages");
    assert_eq!(foreign().len(), 1);

    let events = story.done("fix-origin.yml", &said);
    assert_eq!((foreign().len(), story.not_ready()), (0, 0));
    let (ready, of) = oracle(&events);
    assert!(ready == of && of > 0);

    assert_eq!(story.undo(&events), 1);
    assert_eq!(foreign().len(), 1);
}

#[test]
fn codebases_of_one_package_go_and_come_back_by_the_product_itself() {
    let story = Story::new(4, "", 45);
    let packages = story.packages(3);
    let (_, unasked) = story.run("rebuild-codebases.yml", &["-e", &packages]);
    assert_eq!(unasked.code, Some(9), "a person looks at the setting first");

    let events =
        story.done("rebuild-codebases.yml", &["-e", &packages, "--approve", "unused-one-week"]);

    assert_eq!(changes(&events, "cmdb_repair"), 1);
    assert_eq!(changes(&events, "scheduled_task"), 2);
    assert_eq!(story.rows("ready_without_codebase").len(), 0);
    assert_eq!(story.undo(&events), 0, "the product wrote the same rows again: nothing is left");
}

#[test]
fn rows_of_one_package_go_and_come_back_by_the_reports_of_its_servers() {
    let story = Story::new(4, "", 46);
    let packages = story.packages(3);
    let count = || story.rows("package_status_rows").len();
    let before = count();

    let events = story
        .done("rebuild-package-status.yml", &["-e", &packages, "--approve", "unused-one-week"]);

    assert_eq!(changes(&events, "cmdb_repair"), 1);
    assert_eq!(changes(&events, "scheduled_task"), 3);
    assert_eq!((count(), story.not_ready()), (before, 0));
}

#[test]
fn a_credential_is_reset_with_a_person_at_the_console_and_never_left_anonymous() {
    let story = Story::new(4, "{ kind: credential_not_applied, at: [ps-lon-01] }", 47);
    let broken = story.not_ready();
    assert!(broken > 0);
    let (_, unsaid) = story.run("reset-credentials.yml", &[]);
    assert_ne!(unsaid.code, Some(0), "the configured type is to be known first");
    let console = |credential| story.look(|world| world.set_credential(credential));

    // The person sets Anonymous, says so, and then says that it is restored without doing it.
    let mode = ["-e", "credential_mode=acc"];
    let (events, ended) = story.run("reset-credentials.yml", &mode);
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    let run = text(&events[0], "run").to_owned();
    console(AppliedCredential::Anonymous);
    let resumed = story.world.run(&["resume", &run, "--approve", "anonymous-set"]);
    assert_eq!(resumed.code, Some(9), "{}", resumed.stdout);
    let forgotten = story.world.run(&["resume", &run, "--approve", "credential-restored"]);
    assert!(!matches!(forgotten.code, Some(0 | 9)), "{}", forgotten.stdout);
    assert!(forgotten.stdout.contains("still says Anonymous"), "{}", forgotten.stdout);

    // Then it is really restored, and a second run brings it to the servers.
    console(AppliedCredential::AgentConnectivity);
    let approved =
        ["--approve", "anonymous-set", "--approve", "credential-restored", mode[0], mode[1]];
    let events = story.done("reset-credentials.yml", &approved);
    assert_eq!(of(&events, "confirm_answered").len(), 2);
    assert_eq!(story.not_ready(), 0);
}

#[test]
fn a_share_that_is_gone_is_made_anew_and_undo_ends_it() {
    let story = Story::new(3, "{ kind: share_missing, at: [ps-lon-01] }", 48);
    let shares = || story.look(|world| world.shares(0));
    assert_eq!(shares(), []);

    let events = story.done("fix-share-permissions.yml", &[]);
    assert_eq!(shares()[0].0, PACKAGE_SHARE);

    assert!(story.undo(&events) >= 1);
    assert_eq!(shares(), []);
}

#[test]
fn a_snapshot_that_is_missing_is_published_by_the_distribution_points() {
    let story = Story::new(3, "{ kind: snapshot_missing, packages: [3] }", 49);
    let guid = story.look(|world| world.fleet().packages[2].guid).to_string().to_lowercase();
    let snapshot = || {
        let ends = [format!(r"\snapshots\{guid}.xml")];
        ends.iter().flat_map(|end| story.named(MachineId::NotificationServer, end)).count()
    };
    assert_eq!(snapshot(), 0);
    let (_, unsaid) = story.run("update-distribution-points.yml", &[]);
    assert_ne!(unsaid.code, Some(0), "not for all packages");

    let packages = story.packages(3);
    let events = story.done("update-distribution-points.yml", &["-e", &packages]);

    assert_eq!(snapshot(), 1);
    assert_eq!(changes(&events, "distribution_points"), 1);
    assert_eq!(changes(&events, "scheduled_task"), 0, "one package before all");
    story.done("update-and-resend.yml", &[]);
    assert_eq!(story.not_ready(), 0);
}

#[test]
fn the_evidence_of_a_loop_names_who_deletes_and_changes_nothing() {
    let story = Story::new(3, "{ kind: redownload_loop, at: [ps-lon-01] }", 50);

    let (events, ended) = story.run("redownload-loop.yml", &["--approve", "cleanup-setting-seen"]);

    assert_eq!(ended.code, Some(2), "a loop is a bad end: {}", ended.stderr);
    let failed: Vec<&Value> = of(&events, "step_finished")
        .into_iter()
        .filter(|step| text(step, "outcome") == "failed")
        .collect();
    let [loops] = failed[..] else { panic!("{:#?}", notes(&events)) };
    assert!(text(&loops["step"], "host").starts_with("ps-lon-01"), "{loops}");
    let message = loops["failure"].to_string();
    assert!(message.contains("Clean up package files"), "{message}");
    let decided = of(&events, "step_decided");
    assert!(decided.iter().all(|step| step["change"]["action"] == "collect_files"));
    assert!(story.named(FIRST, "quarantine").is_empty());
    let kept = std::fs::read_dir(story.world.path().join("evidence")).expect("evidence").count();
    assert_eq!(kept, 1, "a folder of the run");
    let undone = story.world.run(&["undo", "--yes", text(&events[0], "run")]);
    assert!(undone.stderr.contains("made no change that can be taken back"), "{}", undone.stderr);
}

#[test]
fn the_share_of_an_alternate_location_is_made_where_its_folder_is() {
    let story = Story::new(3, "{ kind: share_missing, at: [ps-lon-01], packages: [3] }", 51);
    assert_eq!(story.not_ready(), 1);
    let now = story.lab.lab().world().filetime();
    for machine in [FIRST, MachineId::Server(1)] {
        let made = story.look(|world| world.tree(machine).create_dir_all(r"C:\Deployment", now));
        made.expect("there is room");
    }
    let said = ["-e", "alternate_share=Deployment", "-e", r"alternate_path=C:\Deployment"];

    let (_, unasked) = story.run("fix-alternate-location.yml", &said);
    assert_eq!(unasked.code, Some(9), "where packages are kept is a person's choice");
    let args = [&said[..], &["--approve", "locations-apart"]].concat();
    let events = story.done("fix-alternate-location.yml", &args);

    assert_eq!(oracle(&events), (1, 1));
    let shares = || story.look(|world| world.shares(0));
    assert!(shares().iter().any(|(name, _)| name == "Deployment"), "{:?}", shares());
    assert_eq!(changes(&events, "share"), 1, "not where the agent keeps nothing elsewhere");
    assert_eq!(story.undo(&events), 1);
    assert!(!shares().iter().any(|(name, _)| name == "Deployment"), "{:?}", shares());
}

#[test]
fn a_plug_in_of_another_version_ends_the_check_badly_and_is_named() {
    let story = Story::new(3, "{ kind: version_mismatch, at: [ps-lon-01] }", 52);

    let (events, ended) = story.run("check-agent-versions.yml", &[]);
    assert_ne!(ended.code, Some(0));
    let said = notes(&events).join("\n");
    assert!(said.contains("differs between servers") && said.contains("8.6."), "{said}");
    assert_eq!(of(&events, "step_decided").len(), 0);

    story.look(|world| world.mend_by_hand(fleetmend::lab::world::FaultKind::VersionMismatch, None));
    story.done("check-agent-versions.yml", &[]);
}

#[test]
fn rights_on_nscap_are_no_matter_since_7_1_sp2() {
    let story = Story::new(2, "", 53);

    let events = story.done("check-nscap-permissions.yml", &[]);

    let skipped = of(&events, "step_finished")
        .iter()
        .filter(|step| text(step, "outcome") == "skipped")
        .count();
    assert_eq!(skipped, 3, "{:#?}", notes(&events));
    assert!(of(&events, "confirm_asked").is_empty());
}

#[test]
fn every_playbook_can_be_checked_and_a_check_changes_nothing() {
    const FAULTS: &str = "
        { kind: stale, at: [ps-osl-01] },
        { kind: urgent_list, at: [ps-ber-01] },
        { kind: share_missing, at: [ps-lon-01] },
        { kind: app_pool_stopped, at: [ps-par-01] },
        { kind: duplicate_rows, at: [ps-lon-01], packages: [3] },
        { kind: snapshot_missing, packages: [4] }";
    let story = Story::new(4, FAULTS, 55);
    let packages = story.packages(3);
    let left = format!("left_hierarchy=[\"{}\"]", fleetmend::model::Guid::from_u128(7));
    let more = ["--check", "-e", "credential_mode=acc", "-e", &packages, "-e", &left];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let machines = [MachineId::NotificationServer, FIRST, MachineId::Server(1)];
    let quarantined = || {
        machines.map(|machine| {
            let paths = story.files(machine).into_keys();
            paths.filter(|path| path.contains("fleetmend")).count()
        })
    };
    let before = (story.look(|world| world.shares(0)), quarantined());

    for entry in std::fs::read_dir(folder).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let (events, ended) = story.run(&name, &more);
        assert_eq!(ended.code, Some(0), "{name}: {}\n{:#?}", ended.stderr, notes(&events));
    }

    assert_eq!((story.look(|world| world.shares(0)), quarantined()), before);
    assert_eq!(story.rows("duplicates").len(), 1);
    assert!(!story.world.path().join("evidence").exists());
}

#[test]
fn the_articles_order_repairs_what_it_can_and_names_what_a_person_must() {
    const FAULTS: &str = "
        { kind: event_queue_stall },
        { kind: snapshot_missing, packages: [4] },
        { kind: duplicate_rows, at: [ps-sin-02], packages: [3] },
        { kind: stale, at: [ps-osl-01] },
        { kind: invalid, at: [ps-ber-01] },
        { kind: missing_ace, at: [ps-par-01] },
        { kind: urgent_list, at: [ps-nyc-01] },
        { kind: agent_stopped, at: [ps-sin-01] },
        { kind: app_pool_stopped, at: [ps-lon-02] },
        { kind: share_missing, at: [ps-osl-02] },
        { kind: trust_1789, at: [ps-ber-02], for_good: true },
        { kind: offline, at: [ps-nyc-02] }";
    let story = Story::at(1000.0, 12, FAULTS, 54);
    let names: Vec<String> = story
        .look(|world| world.fleet().servers.iter().map(|server| server.fqdn.clone()).collect());
    let number = |name: &str| names.iter().position(|host| host.starts_with(name)).expect("a host");

    let (events, ended) = story.run("resynchronize.yml", &[]);

    assert_eq!(ended.code, Some(8), "{}\n{:#?}", ended.stderr, notes(&events));
    let last = of(&events, "oracle_checked").pop().expect("the last word").clone();
    let mut left: Vec<&str> = last["report"]["not_ready"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| text(pair, "host"))
        .collect();
    left.dedup();
    left.sort_unstable();
    left.dedup();
    assert_eq!(left, ["ps-ber-02.lab.example", "ps-nyc-02.lab.example"], "a person's, named");
    let guids: Vec<_> = story.look(|world| {
        let of = |name| world.fleet().servers[number(name)].guid;
        ["ps-ber-02", "ps-nyc-02"].map(of).to_vec()
    });
    let rows = story.look(|world| world.not_ready());
    assert!(rows.iter().all(|(server, _)| guids.contains(server)), "{rows:?}");
    // Each of the sections that had something to do did it, and no more.
    assert_eq!(story.rows("duplicates").len(), 0);
    assert_eq!(changes(&events, "app_pool"), 1);
    assert!(story.named(MachineId::Server(number("ps-nyc-01")), r"\urgentlist.xml").is_empty());
    assert!(!story.look(|world| world.shares(number("ps-osl-02"))).is_empty());
    let moved_at_ns = of(&events, "step_decided")
        .iter()
        .filter(|step| text(&step["step"], "host").starts_with("smp"))
        .filter(|step| step["change"]["action"] == "quarantine_files")
        .count();
    assert_eq!(moved_at_ns, 0, "nobody said that new versions may be made");

    assert!(story.undo(&events) >= 5);
    assert!(!story.named(MachineId::Server(number("ps-nyc-01")), r"\urgentlist.xml").is_empty());
}
