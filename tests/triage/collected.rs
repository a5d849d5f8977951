//! What the collector sees of worlds whose faults are known.

use fleetmend::itms::evidence::{FleetEvidence, Origin, Seen, ServerEvidence};

use crate::scenario::Scenario;
use crate::world::Examined;

const AT: usize = 1;

async fn examined(cause: &str, servers: &str, packages: &str) -> FleetEvidence {
    let yaml = format!(
        "{{ name: one, from: '', story: '', servers: 3, packages: 5, causes: [{}] }}",
        if cause.is_empty() {
            String::new()
        } else {
            format!("{{ cause: {cause}, servers: [{servers}], packages: [{packages}] }}")
        }
    );
    let scenario: Scenario = serde_saphyr::from_str(&yaml).expect("a scenario");
    let world = Examined::new(scenario.world(3));
    world.wait(30).await;
    world.examine().await
}

fn signatures(server: &ServerEvidence) -> Vec<&str> {
    server.log.known().into_iter().flatten().map(|finding| finding.signature.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn of_a_healthy_fleet_everything_is_read() {
    let seen = examined("", "", "").await;

    let ns = &seen.notification_servers[0];
    assert_eq!(ns.rows.known().map(Vec::len), Some(15), "{:?}", ns.rows);
    let packages = ns.packages.known().expect("packages");
    assert!(packages.iter().all(|p| matches!(p.snapshot, Seen::Known(Some(_)))), "{packages:?}");
    for server in &seen.servers {
        assert_eq!(server.held.known().map(Vec::len), Some(5), "{:?}", server.held);
        let on_disk = server.on_disk.known().expect("packages on the disk");
        assert_eq!(on_disk.len(), 5);
        for package in on_disk {
            let content = package.content.known().expect("content");
            assert!(content.listed >= 2, "{package:?}");
            assert!(content.missing.is_empty() && content.wrong_hash.is_empty(), "{package:?}");
        }
        let policy = server.policy.known().expect("the policy");
        assert!(policy.credential.is_some() && policy.packages.is_some(), "{policy:?}");
        assert_eq!(signatures(server), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_collector_sees_the_signature_of_each_fault() {
    let seen = examined("hash-damaged", "2", "4").await;
    let damaged = seen.servers[AT].on_disk.known().expect("packages").iter();
    let wrong = damaged.filter(|p| p.content.known().is_some_and(|c| !c.wrong_hash.is_empty()));
    assert_eq!(wrong.count(), 1);

    let seen = examined("snapshot-locked", "2", "4").await;
    let held = seen.servers[AT].on_disk.known().expect("packages").iter();
    assert_eq!(held.filter(|p| p.is_snapshot_locked == Seen::Known(true)).count(), 1);

    let seen = examined("path-too-long", "2", "4").await;
    let long = seen.servers[AT].on_disk.known().expect("packages").iter();
    assert_eq!(long.filter(|p| p.longest_path.is_some_and(|n| n > 254)).count(), 1);

    for (cause, signature) in [
        ("secure-storage", "secure_storage"),
        ("disk-full", "disk_full"),
        ("server-busy", "server_busy"),
        ("credential-not-applied", "access_denied_event"),
        ("app-pool-stopped", "partial_data"),
    ] {
        let seen = examined(cause, "2", "").await;
        let found = signatures(&seen.servers[AT]);
        assert!(found.contains(&signature), "{cause}: {found:?}");
        assert_eq!(signatures(&seen.servers[0]), [""; 0], "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_the_operator_knows_comes_from_the_inventory() {
    let seen = examined("parent-owns-it", "", "3").await;
    let packages = seen.notification_servers[0].packages.known().expect("packages");
    let from_parent = packages.iter().filter(|package| {
        matches!(package.origin, Seen::Known(Origin::Foreign { is_live_parent: Some(true), .. }))
    });
    assert_eq!(from_parent.count(), 1);

    let seen = examined("site-unassigned", "2", "").await;
    let with_site = seen.notification_servers[0].servers_with_site.known().expect("sites");
    assert_eq!(with_site.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_looked_at_twice_with_time_between() {
    for (cause, moves) in [("event-queue-volume", true), ("event-queue-stall", false)] {
        let seen = examined(cause, "", "").await;
        let queue = seen.notification_servers[0].queue.known().expect("the queue").clone();
        let second = queue.second.expect("a second look");
        assert_eq!(second.oldest_id > queue.first.oldest_id, moves, "{cause}");
        assert!(queue.first.oldest_file_seconds.is_some_and(|age| age > 60), "{cause}");
    }
}
