//! `resynchronize.yml` on a fleet in which every fault that the lab knows is somewhere: in the end only
//! what a person must do is left, and both the run and a diagnosis name it. 60 servers here, 500 in
//! the long form.
//!
//! All 43 kinds of faults are in one fleet. Two do not let the others be repaired, so that a person
//! meets them first, as they stop the run: a queue of events that stays long (what is reported is not
//! seen for hours), and a host that rejects the logon (more tries could lock the account everywhere).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use fleetmend::lab::Cause;
use fleetmend::lab::world::{FaultKind, FleetSpec, IisSpec, World as Simulated};
use fleetmend::model::Guid;
use serde_json::Value;

use crate::world::{Ended, SmallLab, World, text};

/// A fault, and where it is.
struct Placed {
    kind: &'static str,
    /// Servers, by their short names.
    at: &'static [&'static str],
    /// Packages, by their numbers from 1.
    packages: &'static [usize],
    more: &'static str,
}

const fn on(kind: &'static str, at: &'static [&'static str]) -> Placed {
    Placed { kind, at, packages: &[], more: "" }
}

const fn of(kind: &'static str, packages: &'static [usize]) -> Placed {
    Placed { kind, at: &[], packages, more: "" }
}

/// What the playbook repairs, or gets over, or what time repairs while it runs.
const REPAIRED: &[Placed] = &[
    on("event_queue_stall", &[]),
    of("snapshot_missing", &[4]),
    Placed {
        packages: &[18],
        ..on(
            "stale",
            &["ps-osl-01", "ps-osl-02", "ps-ber-01", "ps-par-01", "ps-nyc-01", "ps-sin-01"],
        )
    },
    Placed { packages: &[21, 23], ..on("invalid", &["ps-osl-03", "ps-ber-02", "ps-par-02"]) },
    Placed { packages: &[18], ..on("drifted_but_ready", &["ps-nyc-02", "ps-sin-02"]) },
    Placed { packages: &[18, 19], ..on("missing_ace", &["ps-lon-03", "ps-osl-04"]) },
    on("urgent_list", &["ps-ber-03", "ps-par-03"]),
    Placed { packages: &[21], ..on("trust_1789", &["ps-lon-06"]) },
    on("agent_stopped", &["ps-nyc-03", "ps-sin-03"]),
    on("app_pool_stopped", &["ps-lon-04", "ps-osl-05"]),
    on("share_missing", &["ps-ber-04"]),
    Placed { packages: &[3], ..on("duplicate_rows", &["ps-sin-05"]) },
    Placed { packages: &[15], ..on("still_downloading", &["ps-lon-07"]) },
    // Connections and files are bad where there is something to repair.
    Placed {
        packages: &[18, 20],
        ..on("stale", &["ps-osl-07", "ps-ber-07", "ps-par-07", "ps-nyc-07", "ps-sin-08"])
    },
    Placed { more: ", delay_ms: 5", ..on("slow", &["ps-osl-07"]) },
    Placed { more: ", times: 1", ..on("shell_quota", &["ps-ber-07"]) },
    Placed { more: ", times: 1, after: 6", ..on("unauthorized", &["ps-par-07"]) },
    Placed { more: ", times: 1, after: 6", ..on("truncated", &["ps-nyc-07"]) },
    Placed { packages: &[18], more: ", delay_ms: 500", ..on("sharing_violation", &["ps-par-01"]) },
    Placed { packages: &[18], ..on("read_only", &["ps-nyc-01"]) },
    Placed { more: ", times: 1", ..on("hang", &["ps-sin-08"]) },
    Placed { more: ", times: 2", ..on("sql_deadlock", &[]) },
];

/// What stops the run until a person has seen to it.
const STOPPING: &[Placed] = &[on("event_queue_volume", &[]), on("wrong_password", &["ps-lon-01"])];

/// What a person must do, with what a diagnosis calls it in the end and who is to act: `person`, or
/// the playbook that asks one.
const PERSONS: &[(Placed, &str, &str)] = &[
    (of("source_path_broken", &[5]), "source-path-broken", "person"),
    (of("parent_owns_it", &[6]), "parent-owns-it", "person"),
    (of("foreign_origin", &[7]), "foreign-origin", "fix-origin.yml"),
    // One that few servers have: every new version is fetched by all of them.
    (of("refresh_churn", &[22]), "refresh-churn", "redownload-loop.yml"),
    (of("orphan", &[9]), "orphan", "rebuild-package-status.yml"),
    (on("orphan", &[]), "orphan", "rebuild-package-status.yml"),
    (
        Placed { more: ", for_good: true", ..on("trust_1789", &["ps-par-04"]) },
        "trust-1789",
        "person",
    ),
    (on("offline", &["ps-nyc-04"]), "unreachable", "person"),
    (on("disk_full", &["ps-sin-04"]), "disk-full", "person"),
    (Placed { packages: &[19], ..on("path_too_long", &["ps-lon-05"]) }, "path-too-long", "person"),
    (on("secure_storage", &["ps-osl-06"]), "secure-storage", "person"),
    (
        on("credential_not_applied", &["ps-ber-05"]),
        "credential-not-applied",
        "reset-credentials.yml",
    ),
    (
        Placed { packages: &[13], ..on("snapshot_locked", &["ps-par-05"]) },
        "snapshot-locked",
        "person",
    ),
    (
        Placed { packages: &[16, 17], ..on("alternate_location_conflict", &["ps-nyc-05"]) },
        "alternate-location-conflict",
        "fix-alternate-location.yml",
    ),
    (on("server_busy", &["ps-sin-06"]), "server-busy", "person"),
    (
        Placed { packages: &[8], ..on("share_missing", &["ps-lon-09"]) },
        "share-missing",
        "fix-alternate-location.yml",
    ),
    (
        Placed { packages: &[14], ..on("redownload_loop", &["ps-osl-08"]) },
        "external-deletion-loop",
        "redownload-loop.yml",
    ),
    // The first is marked Deleted; the second is an old version, and is to be repaired.
    (Placed { packages: &[3, 24], ..on("deleted", &["ps-ber-08"]) }, "unknown", "person"),
    (on("version_mismatch", &["ps-nyc-06"]), "version-mismatch", "check-agent-versions.yml"),
    (on("site_unassigned", &["ps-sin-07"]), "site-unassigned", "person"),
    (on("iis_missing", &["ps-lon-10"]), "iis-missing", "person"),
    (on("orphan_folder", &["ps-osl-09"]), "orphan-folder", "person"),
    (
        Placed { packages: &[12], ..on("hash_damaged", &["ps-ber-09"]) },
        "hash-damaged",
        "redownload-packages.yml",
    ),
    // The rows differ, and nobody here knows which of them is right.
    (
        Placed { packages: &[2], ..on("duplicate_rows", &["ps-sin-05"]) },
        "duplicate-rows",
        "remove-duplicates.yml",
    ),
];

impl Placed {
    fn yaml(&self) -> String {
        let mut text = format!("  - {{ kind: {}", self.kind);
        if !self.at.is_empty() {
            let _infallible = write!(text, ", at: [{}]", self.at.join(", "));
        }
        if !self.packages.is_empty() {
            let _infallible = write!(text, ", packages: {:?}", self.packages);
        }
        text + self.more + " }\n"
    }
}

fn all() -> impl Iterator<Item = &'static Placed> {
    REPAIRED.iter().chain(STOPPING).chain(PERSONS.iter().map(|(placed, ..)| placed))
}

#[test]
fn every_fault_that_the_lab_knows_is_there() {
    let kinds: BTreeSet<FaultKind> = all()
        .map(|placed| serde_json::from_value(placed.kind.into()).expect("a kind of fault"))
        .collect();

    assert_eq!(kinds.len(), FaultKind::ALL.len());
}

/// A finding or a proposal about a place: a server by its short name, a package, or the Notification
/// Server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Server(String),
    Package(Guid),
    NotificationServer,
}

/// The fleet, as far as the story goes by it.
struct Fleet {
    packages: Vec<Guid>,
    /// The package servers' names by their GUIDs.
    names: BTreeMap<Guid, String>,
    /// Who has which package.
    holders: BTreeMap<Guid, Vec<Guid>>,
}

impl Fleet {
    fn of(world: &Simulated) -> Self {
        let fleet = world.fleet();
        let packages: Vec<Guid> = fleet.packages.iter().map(|package| package.guid).collect();
        let holders = |package: &Guid| {
            let servers = fleet.servers.iter().map(|server| server.guid);
            servers.filter(|server| world.row(*server, *package).is_some()).collect()
        };
        Self {
            names: fleet.servers.iter().map(|s| (s.guid, s.fqdn.clone())).collect(),
            holders: packages.iter().map(|package| (*package, holders(package))).collect(),
            packages,
        }
    }

    fn package(&self, number: usize) -> Guid {
        self.packages[number - 1]
    }

    /// The short name of a server; none for one that left the fleet.
    fn short(&self, server: Guid) -> &str {
        let name = self.names.get(&server).map_or("", String::as_str);
        name.split('.').next().unwrap_or_default()
    }

    /// Whether a fault is about a pair.
    fn touches(&self, placed: &Placed, (server, package): (Guid, Guid)) -> bool {
        let is_there = placed.at.is_empty() || placed.at.contains(&self.short(server));
        let is_it = placed.packages.is_empty()
            || placed.packages.iter().any(|number| self.package(*number) == package);
        is_there && is_it && !(placed.at.is_empty() && placed.packages.is_empty())
    }

    /// Where a diagnosis names a fault.
    fn place(&self, placed: &Placed) -> Place {
        match (placed.at.first(), placed.packages.first()) {
            (Some(server), _) => Place::Server((*server).to_owned()),
            (None, Some(number)) => Place::Package(self.package(*number)),
            (None, None) => Place::NotificationServer,
        }
    }
}

/// Faults whose pairs are Ready at times, or always: what shows them is a diagnosis.
const WITHOUT_ROWS: &[&str] = &[
    "refresh_churn",
    "redownload_loop",
    "orphan",
    "version_mismatch",
    "site_unassigned",
    "iis_missing",
    "orphan_folder",
    "hash_damaged",
    "duplicate_rows",
];

/// What comes and goes while one looks.
fn comes_and_goes(fleet: &Fleet, pair: (Guid, Guid)) -> bool {
    let faults = PERSONS.iter().map(|(placed, ..)| placed);
    let mut unsteady = faults.filter(|p| ["refresh_churn", "redownload_loop"].contains(&p.kind));
    unsteady.any(|placed| fleet.touches(placed, pair))
}

#[test]
fn with_every_fault_mixed_in_only_what_a_person_must_do_is_left_and_named() {
    // The long form gives other numbers: `tests/long.sh resynchronize-500`.
    let servers = number_from("FLEETMEND_RESYNC_SERVERS").unwrap_or(60);
    let speed = number_from("FLEETMEND_RESYNC_SPEED").unwrap_or(600);
    let faults: String = all().map(Placed::yaml).collect();
    let lab = SmallLab::of_fleet(
        fleet_of(servers),
        speed.into(),
        &format!("faults:\n{faults}"),
        Ipv4Addr::new(127, 177, 0, 1),
    );
    let look = |look: &mut dyn FnMut(&mut Simulated)| lab.lab().world().with(|world| look(world));
    let mut before = (Vec::new(), None);
    look(&mut |world| before = (world.not_ready(), Some(Fleet::of(world))));
    let (wrong_before, Some(fleet)) = before else { panic!("a fleet") };
    let mut story =
        Resynchronization { world: World::new(), inventory: with_sites(&lab), speed, patience: 0 };
    #[expect(clippy::disallowed_methods, reason = "how long the runs took is one of the figures")]
    let began = Instant::now();

    // A long queue: everything that follows would add to it, so nothing follows.
    let (events, ended) = story.run(&[]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let bad = bad_steps(&events);
    assert!(bad.iter().all(|step| step.contains("smp01") && step.contains("until")), "{bad:#?}");
    assert!(!events.iter().any(|event| text(&event["step"], "host").starts_with("ps-")));
    look(&mut |world| world.mend_by_hand(FaultKind::EventQueueVolume, None));

    // A rejected logon: no other host is tried, and the run says which it was.
    let (events, ended) = story.run(&[]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let opened = events.iter().find(|event| event["event"] == "breaker_opened").expect("a breaker");
    assert!(text(opened, "host").starts_with(LEFT_OUT), "{opened}");

    // It is not used again before somebody proved it, elsewhere.
    let test = ["credential", "test", "lab-admin", "-i", &story.inventory];
    let proven = story.world.run(&test);
    assert_eq!(proven.code, Some(0), "{}{}", proven.stdout, proven.stderr);

    let (events, ended) = story.run(&["--limit", &format!("!{LEFT_OUT}*")]);
    let took = began.elapsed();
    let (mut left, tally) = lab.lab().world().with(|world| (world.not_ready(), world.report()));
    // The rows of a server that left the fleet have no host; the run says so in another way.
    left.retain(|(server, _)| fleet.names.contains_key(server));
    assert_eq!(ended.code, Some(8), "{}\n{:#?}", ended.stderr, bad_steps(&events));
    let named = named_by(&events, &fleet);
    let persons = |pair: (Guid, Guid)| {
        fleet.short(pair.0) == LEFT_OUT
            || PERSONS.iter().any(|(placed, ..)| fleet.touches(placed, pair))
    };
    let told = |pair: &(Guid, Guid)| format!("{} {}", fleet.short(pair.0), pair.1);
    let too_many: Vec<String> =
        left.iter().chain(&named).filter(|pair| !persons(**pair)).map(told).collect();
    assert!(too_many.is_empty(), "no person is needed: {too_many:#?}\n{:#?}", bad_steps(&events));
    let is_named = |pair: &(Guid, Guid)| named.contains(pair) || comes_and_goes(&fleet, *pair);
    let unnamed: Vec<String> =
        left.iter().filter(|p| fleet.short(p.0) != LEFT_OUT && !is_named(p)).map(told).collect();
    assert!(unnamed.is_empty(), "left and not named: {unnamed:#?}");
    for (placed, ..) in PERSONS.iter().filter(|(p, ..)| !WITHOUT_ROWS.contains(&p.kind)) {
        let touched = named.iter().filter(|pair| fleet.touches(placed, **pair)).count();
        let expected = match placed.packages {
            [number] if placed.at.is_empty() => {
                let holders = fleet.holders[&fleet.package(*number)].iter();
                holders.filter(|server| fleet.short(**server) != LEFT_OUT).count()
            }
            _ => 1,
        };
        assert!(touched >= expected, "{}: {touched} of {expected} pairs are named", placed.kind);
    }
    let retired = events.iter().rfind(|event| event["event"] == "work_found").expect("work");
    assert_eq!(
        retired["work"]["unmatched"].as_array().map(Vec::len),
        Some(3),
        "of a retired server"
    );

    figures(&[
        ("servers", servers.to_string()),
        ("speed", speed.to_string()),
        ("pairs not Ready before", wrong_before.len().to_string()),
        ("pairs left and named", named.len().to_string()),
        ("servers with such a pair", {
            named.iter().map(|(server, _)| server).collect::<BTreeSet<_>>().len().to_string()
        }),
        ("all runs took", format!("{:.0} s", took.as_secs_f64())),
        ("minutes of the lab's world", tally.minutes.to_string()),
        ("requests booked by the last run", booked(&events).to_string()),
        ("requests caused by all runs", tally.asked().to_string()),
        ("background requests", tally.of(Cause::Background).to_string()),
        ("answered 503", tally.refused.to_string()),
        ("most requests in a minute", tally.peak_per_minute.to_string()),
    ]);
    story.diagnoses_what_is_left(&fleet, tally.refused > 0);
}

/// The fleet of the story. Agents whose packages cannot come ask for them again and again: the more
/// there are, the more the Notification Server must bear besides what the run asks.
fn fleet_of(servers: u32) -> FleetSpec {
    let started = "2026-05-16T20:00:00Z".parse().expect("a time");
    let usual = FleetSpec::new(servers, 21, started);
    let iis = if servers > 100 { IisSpec { per_minute: 120, queue: 50 } } else { usual.iis };
    FleetSpec { iis, ..usual }
}

/// The server that rejects the logon.
const LEFT_OUT: &str = "ps-lon-01";

/// The program at work on the fleet.
struct Resynchronization {
    world: World,
    inventory: String,
    /// The speed of the lab.
    speed: u32,
    /// Which of [`SLOWER`] its looks need on this machine.
    patience: usize,
}

/// How many times slower than the lab the program is told that the world runs. Its deadlines are of
/// the world's time: at the lab's own speed a server is looked at for 10 s, on a machine that has
/// much else to do for 40 s or 4 minutes.
const SLOWER: [u32; 3] = [1, 20, 120];

impl Resynchronization {
    fn run(&self, more: &[&str]) -> (Vec<Value>, Ended) {
        let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/resynchronize.yml");
        let playbook = playbook.display().to_string();
        let mut args = vec!["run", "--yes", "--json", &playbook, "-i", &self.inventory];
        args.extend(more);
        self.world.events(&args)
    }

    /// What all looks of a diagnosis find: one, or as many as it takes to see what comes and goes. One
    /// that ran out of time says so; all are taken again then, with more time.
    fn diagnose(&mut self, pattern: &str, watches: bool) -> Vec<Value> {
        loop {
            let slower = SLOWER[self.patience];
            self.tell_scale(f64::from(self.speed) / f64::from(slower));
            let every = format!("{} s", NEW_VERSION / slower);
            let mut args = vec!["diagnose", "-i", &self.inventory, pattern, "--json"];
            if watches {
                args.extend(["--watch", "--times", "3", "--every", &every]);
            }
            let (looks, ended) = self.world.events(&args);
            assert_eq!(ended.code, Some(2), "{}", ended.stderr);
            let late: Vec<String> = looks.iter().flat_map(out_of_time).collect();
            if late.is_empty() {
                let findings = looks.iter().flat_map(|look| look["findings"].as_array());
                return findings.flatten().cloned().collect();
            }
            self.patience += 1;
            assert!(self.patience < SLOWER.len(), "no time is enough: {late:#?}");
        }
    }

    /// Says in the inventory how fast the world runs.
    fn tell_scale(&self, scale: f64) {
        let text = std::fs::read_to_string(&self.inventory).expect("the inventory");
        let (before, after) = text.split_once("time_scale: ").expect("a scale");
        let (_, after) = after.split_once('\n').expect("a line");
        std::fs::write(&self.inventory, format!("{before}time_scale: {scale}\n{after}"))
            .expect("written");
    }

    /// Every cause that is left has its name, and no other cause is named. Of the whole fleet one look
    /// is enough; what comes and goes takes more, of the servers that have it. Where the Notification
    /// Server did turn requests away (`was_busy`), that may be named as well.
    fn diagnoses_what_is_left(&mut self, fleet: &Fleet, was_busy: bool) {
        let mut findings = self.diagnose(&format!("package_servers:!{LEFT_OUT}*"), false);
        let churning = PERSONS.iter().find(|(placed, ..)| placed.kind == "refresh_churn");
        let (churn, ..) = churning.expect("a churn");
        let holders = &fleet.holders[&fleet.package(churn.packages[0])];
        let unsteady = PERSONS.iter().filter(|(placed, ..)| placed.kind == "redownload_loop");
        let mut servers: Vec<String> =
            unsteady.flat_map(|(placed, ..)| placed.at).map(|name| format!("{name}.*")).collect();
        servers.extend(holders.iter().map(|server| fleet.names[server].clone()).take(6));
        servers.push(format!("!{LEFT_OUT}*"));
        let is_named = |findings: &[Value], (placed, verdict, who): &(Placed, &str, &str)| {
            let place = fleet.place(placed);
            findings.iter().any(|finding| {
                let proposal = finding["proposal"].to_string();
                text(finding, "verdict") == *verdict
                    && place_of(finding) == place
                    && proposal.contains(who)
            })
        };
        for _ in 0..MOST_WATCHES {
            if PERSONS.iter().all(|person| is_named(&findings, person)) {
                break;
            }
            findings.extend(self.diagnose(&servers.join(":"), true));
        }
        for person in PERSONS {
            let (placed, verdict, who) = person;
            assert!(
                is_named(&findings, person),
                "{} is not named {verdict}, for {who}:\n{findings:#?}",
                placed.kind
            );
        }
        let expected: BTreeSet<(String, Place)> =
            PERSONS.iter().map(|(p, verdict, _)| ((*verdict).to_owned(), fleet.place(p))).collect();
        let churned = fleet.package(churn.packages[0]);
        for finding in &findings {
            let found = (text(finding, "verdict").to_owned(), place_of(finding));
            let is_churned = text(&finding["scope"], "id").parse() == Ok(churned);
            let is_true = was_busy && found.0 == "server-busy";
            let is_known = expected.contains(&found) || is_churned || is_true;
            assert!(is_known, "nobody made this: {finding:#}");
        }
    }
}

/// How long is between looks at what comes and goes, in seconds of the lab's world: a new version
/// comes every half hour.
const NEW_VERSION: u32 = 35 * 60;
/// How often three such looks are taken at most.
const MOST_WATCHES: usize = 6;

/// What a look could not read because its time was up.
fn out_of_time(look: &Value) -> Vec<String> {
    let is_late =
        |text: &str| ["deadline", "timed out", "no time was left"].iter().any(|w| text.contains(w));
    let unread = look["unread"].as_array().expect("what could not be read").iter();
    let parts = unread.filter(|part| is_late(text(part, "why"))).map(Value::to_string);
    // What is off for good does not answer in any time.
    let off = PERSONS.iter().filter(|(placed, ..)| placed.kind == "offline");
    let off: Vec<Place> =
        off.flat_map(|(placed, ..)| placed.at).map(|at| Place::Server((*at).to_owned())).collect();
    let findings = look["findings"].as_array().expect("findings").iter();
    let lost = findings.filter(|finding| {
        text(finding, "verdict") == "unreachable"
            && !off.contains(&place_of(finding))
            && is_late(&finding["evidence"].to_string())
    });
    parts.chain(lost.map(Value::to_string)).collect()
}

fn place_of(finding: &Value) -> Place {
    let scope = &finding["scope"];
    let host = text(scope, "host").split('.').next().unwrap_or_default();
    match text(scope, "kind") {
        "package" => Place::Package(text(scope, "id").parse().expect("a GUID")),
        "notification-server" => Place::NotificationServer,
        _ => Place::Server(host.to_owned()),
    }
}

/// The pairs that the last word of the last play names.
fn named_by(events: &[Value], fleet: &Fleet) -> BTreeSet<(Guid, Guid)> {
    let last = events.iter().rfind(|event| event["event"] == "oracle_checked").expect("an oracle");
    let server = |name: &str| {
        *fleet.names.iter().find(|(_, known)| *known == name).expect("a server of the fleet").0
    };
    let pairs = last["report"]["not_ready"].as_array().expect("a list").iter();
    pairs
        .map(|pair| (server(text(pair, "host")), text(pair, "package").parse().expect("a GUID")))
        .collect()
}

/// What ended badly, for messages.
fn bad_steps(events: &[Value]) -> Vec<String> {
    let ended = events.iter().filter(|event| event["event"] == "step_finished");
    let bad = ended.filter(|e| ["failed", "unknown", "unreachable"].contains(&text(e, "outcome")));
    bad.map(|step| format!("{} {}", step["step"], step["failure"])).collect()
}

/// The requests that a run booked at the Notification Server before it caused them.
fn booked(events: &[Value]) -> u64 {
    let decided = events.iter().filter(|event| event["event"] == "step_decided");
    let draws = decided.map(|event| &event["cost"]["ns_iis"]);
    draws.flat_map(|draw| [draw["now"].as_u64(), draw["later"].as_u64()]).flatten().sum()
}

#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn figures(figures: &[(&str, String)]) {
    for (what, figure) in figures {
        println!("{what:<34} {figure}");
    }
}

/// The lab's inventory, with the operator's query for sites: the product does not publish where it
/// keeps them. One host of a site at a time: at this speed a step has 10 s of real time, which on a
/// busy machine must not be shared with many others.
fn with_sites(lab: &SmallLab) -> String {
    const QUERY: &str = "site_query: 'SELECT ServerGuid, Site FROM LabServerSite'";
    const LIMITS: &str = "    limits: { site: { by: site, in_flight: 1 } }\n";
    let own = lab.lab().inventory();
    let text = std::fs::read_to_string(own).expect("the lab's inventory");
    let path = own.with_file_name("with-sites.yml");
    let text = text.replace("cmdb: {", &format!("cmdb: {{ {QUERY},"));
    let text = text.replacen("    time_scale:", &format!("{LIMITS}    time_scale:"), 1);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn number_from(name: &str) -> Option<u32> {
    #[expect(clippy::disallowed_methods, reason = "the long form asks for more servers")]
    let asked = std::env::var(name);
    asked.ok()?.parse().ok()
}
