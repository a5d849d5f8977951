//! How long a large fleet takes.

use std::time::{Duration, Instant};

use super::*;

/// A thousand servers with two hundred packages, all at one Notification Server; every package is
/// behind, on its way or damaged somewhere, and one server's rows are gone.
fn large() -> FleetEvidence {
    const SERVERS: usize = 1_000;
    let mut fleet = well_of(SERVERS, 200);
    let current = fleet.servers[0].held.clone();
    for (number, server) in fleet.servers.iter_mut().enumerate() {
        let at = number % 200;
        let held = &mut known(&mut server.held)[at];
        match number % 3 {
            0 => held.version = Some(OLD.to_owned()),
            1 => held.status = "Pending".to_owned(),
            _ => match &mut known(&mut server.on_disk)[at].content {
                Seen::Known(content) => content.missing.push("setup.exe".to_owned()),
                other => panic!("{other:?}"),
            },
        }
    }
    assert!(current != fleet.servers[0].held);
    known(&mut fleet.ns().rows).retain(|row| row.server != server(7));
    fleet
}

#[test]
#[ignore = "it measures: cargo test --release --lib -- --ignored large --nocapture"]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures real time")]
fn a_fleet_of_a_thousand_servers_with_two_hundred_packages_takes_seconds() {
    let now = large();
    let earlier: Vec<FleetEvidence> = (1..=3)
        .map(|hours| FleetEvidence {
            taken: now.taken - jiff::SignedDuration::from_hours(hours),
            ..now.clone()
        })
        .collect();

    for past in [&[][..], &earlier] {
        let begun = Instant::now();
        let diagnosis = triage(&now, past, &Expectations::default());
        let took = begun.elapsed();

        println!("{} findings after {} looks in {took:?}", diagnosis.findings.len(), past.len());
        assert!(diagnosis.findings.len() >= 900, "{}", diagnosis.findings.len());
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}
