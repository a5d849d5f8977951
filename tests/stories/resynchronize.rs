//! `resynchronize.yml` on a fleet in which everything is wrong somewhere: in the end only what a person
//! must do is left, and the recap names it. 60 servers here, 500 in the long form.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::{SmallLab, World, text};

/// What the playbook repairs, on servers of its own.
const REPAIRED: &str = "
    { kind: event_queue_stall },
    { kind: snapshot_missing, packages: [4] },
    { kind: stale, at: [ps-osl-01, ps-osl-02, ps-ber-01, ps-par-01, ps-nyc-01, ps-sin-01] },
    { kind: invalid, at: [ps-osl-03, ps-ber-02, ps-par-02] },
    { kind: drifted_but_ready, at: [ps-nyc-02, ps-sin-02] },
    { kind: missing_ace, at: [ps-lon-03, ps-osl-04] },
    { kind: urgent_list, at: [ps-ber-03, ps-par-03] },
    { kind: agent_stopped, at: [ps-nyc-03, ps-sin-03] },
    { kind: app_pool_stopped, at: [ps-lon-04, ps-osl-05] },
    { kind: share_missing, at: [ps-ber-04] }";

/// What a person must do on one server.
const OF_SERVERS: [(&str, &str); 6] = [
    ("trust_1789", "ps-par-04"),
    ("offline", "ps-nyc-04"),
    ("disk_full", "ps-sin-04"),
    ("path_too_long", "ps-lon-05"),
    ("secure_storage", "ps-osl-06"),
    ("credential_not_applied", "ps-ber-05"),
];

/// What a person must do about one package, wherever it is.
const OF_PACKAGES: [(&str, usize); 3] =
    [("source_path_broken", 5), ("parent_owns_it", 6), ("foreign_origin", 7)];

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn with_every_fault_mixed_in_only_what_a_person_must_do_is_left_and_named() {
    // The long form gives another number: `tests/long.sh resynchronize-500`.
    let servers = number_from("FLEETMEND_RESYNC_SERVERS").unwrap_or(60);
    let of_servers = OF_SERVERS.map(|(kind, at)| format!("{{ kind: {kind}, at: [{at}] }}"));
    let of_packages = OF_PACKAGES.map(|(kind, nr)| format!("{{ kind: {kind}, packages: [{nr}] }}"));
    let faults = [REPAIRED.to_owned(), of_servers.join(", "), of_packages.join(", ")].join(", ");
    let lab = SmallLab::start(servers, 21, 600.0, &format!("faults: [{faults}]"), 77);
    let world = World::new();
    let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/resynchronize.yml");
    let playbook = playbook.display().to_string();
    let inventory = lab.inventory();
    let wrong_before = lab.lab().world().with(|world| world.not_ready().len());

    let (events, ended) = world.events(&["run", "--yes", "--json", &playbook, "-i", &inventory]);

    assert_eq!(ended.code, Some(8), "{}", ended.stderr);
    let last = events.iter().rfind(|event| event["event"] == "oracle_checked").expect("an oracle");
    let named: BTreeSet<(String, String)> = last["report"]["not_ready"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| (text(pair, "host").to_owned(), text(pair, "package").to_lowercase()))
        .collect();
    let (left, packages, guids) = lab.lab().world().with(|world| {
        let fleet = world.fleet();
        let packages: Vec<_> =
            OF_PACKAGES.iter().map(|(_, nr)| fleet.packages[nr - 1].guid).collect();
        let guids: Vec<_> =
            fleet.servers.iter().map(|server| (server.guid, server.fqdn.clone())).collect();
        (world.not_ready(), packages, guids)
    });
    assert!(left.len() < wrong_before, "{} of {wrong_before} left", left.len());
    for (server, package) in &left {
        let name = &guids.iter().find(|(guid, _)| guid == server).expect("a server").1;
        let is_persons =
            OF_SERVERS.iter().any(|(_, at)| name.starts_with(at)) || packages.contains(package);
        assert!(is_persons, "{name} {package} is left, and no person is needed for it");
        let pair = (name.clone(), package.to_string().to_lowercase());
        assert!(named.contains(&pair), "{pair:?} is left and not named");
    }
    println!("{servers} servers: {wrong_before} pairs not Ready before, {} left", left.len());
}

fn number_from(name: &str) -> Option<u32> {
    #[expect(clippy::disallowed_methods, reason = "the long form asks for more servers")]
    let asked = std::env::var(name);
    asked.ok()?.parse().ok()
}
