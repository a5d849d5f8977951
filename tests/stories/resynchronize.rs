//! `resynchronize.yml` on a fleet in which every fault that the lab knows is somewhere: in the end only
//! what a person must do is left, and both the run and a diagnosis name it. 60 servers here, 500 in
//! the long form.
//!
//! All 43 kinds of faults are in one fleet. Two do not let the others be repaired, so that a person
//! meets them first, as they stop the run: a queue of events that stays long (what is reported is not
//! seen for hours), and a host that rejects the logon (more tries could lock the account everywhere).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use fleetmend::lab::world::{FaultKind, World as Simulated};
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
        Placed { packages: &[21], more: ", for_good: true", ..on("trust_1789", &["ps-par-04"]) },
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

#[test]
fn explore() {
    let servers = number_from("FLEETMEND_RESYNC_SERVERS").unwrap_or(60);
    let speed = number_from("FLEETMEND_RESYNC_SPEED").unwrap_or(600);
    let faults: String = all().map(Placed::yaml).collect();
    let began = Instant::now();
    let lab = SmallLab::start(servers, 21, speed.into(), &format!("faults:\n{faults}"), 77);
    println!("lab {:?}", began.elapsed());
    lab.lab().world().with(|world| {
        for (n, package) in world.fleet().packages.iter().enumerate() {
            let holders = world
                .fleet()
                .servers
                .iter()
                .filter(|s| world.row(s.guid, package.guid).is_some())
                .count();
            println!("{} {} {} {holders}", n + 1, package.guid, package.name);
        }
    });
    let world = World::new();
    let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/resynchronize.yml");
    let playbook = playbook.display().to_string();
    let inventory = with_sites(&lab);
    let keep = |name: &str, ended: &Ended| {
        std::fs::write(format!("/tmp/resync-{name}.json"), &ended.stdout).unwrap();
        println!("{name}: {:?} after {:?}\n{}", ended.code, began.elapsed(), ended.stderr);
    };
    let run = |name: &str, more: &[&str]| {
        let mut args = vec!["run", "--yes", "--json", &playbook, "-i", &inventory];
        args.extend(more);
        let ended = world.run(&args);
        keep(name, &ended);
    };
    run("run1", &[]);
    lab.lab().world().with(|world| world.mend_by_hand(FaultKind::EventQueueVolume, None));
    run("run2", &[]);
    run("run3", &["--limit", "!ps-lon-01*"]);
    let left = lab.lab().world().with(|world| world.not_ready());
    println!("{} left", left.len());
    for look in 0..3 {
        if look > 0 {
            std::thread::sleep(std::time::Duration::from_millis(4000));
        }
        let ended =
            world.run(&["diagnose", "-i", &inventory, "package_servers:!ps-lon-01*", "--json"]);
        keep(&format!("look{look}"), &ended);
    }
}

/// The lab's inventory, with the operator's query for sites: the product does not publish where it
/// keeps them.
fn with_sites(lab: &SmallLab) -> String {
    const QUERY: &str = "site_query: 'SELECT ServerGuid, Site FROM LabServerSite'";
    let own = lab.lab().inventory();
    let text = std::fs::read_to_string(own).expect("the lab's inventory");
    let path = own.with_file_name("with-sites.yml");
    std::fs::write(&path, text.replace("cmdb: {", &format!("cmdb: {{ {QUERY},"))).expect("written");
    path.display().to_string()
}

fn number_from(name: &str) -> Option<u32> {
    #[expect(clippy::disallowed_methods, reason = "the long form asks for more servers")]
    let asked = std::env::var(name);
    asked.ok()?.parse().ok()
}
