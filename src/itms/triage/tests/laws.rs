//! What holds for any evidence.

use proptest::prelude::*;

use super::*;
use crate::itms::evidence::{Contact, NotificationServerEvidence, ServerEvidence};

#[test]
fn evidence_that_nobody_asked_for_yields_only_unknown_and_unreachable() {
    for (winrm, smb) in [
        (Contact::NotTried, Contact::NotTried),
        (failed(), failed()),
        (Contact::Answered, failed()),
    ] {
        let evidence = FleetEvidence {
            taken: taken(),
            notification_servers: vec![NotificationServerEvidence::default()],
            servers: vec![ServerEvidence {
                host: name(0),
                winrm,
                smb,
                ..ServerEvidence::default()
            }],
        };
        let found = verdicts(&evidence);
        assert!(!found.is_empty());
        assert!(
            found.iter().all(|verdict| ["unknown", "unreachable"].contains(verdict)),
            "{found:?}"
        );
    }
}

#[test]
fn nothing_at_all_is_a_diagnosis_as_well() {
    let evidence =
        FleetEvidence { taken: taken(), notification_servers: Vec::new(), servers: Vec::new() };

    assert_eq!(diagnose(&evidence).findings, []);
}

#[test]
fn a_diagnosis_is_the_same_after_a_trip_through_json() {
    let mut evidence = well();
    evidence.make_old(0, 1, "Invalid");
    let diagnosis = diagnose(&evidence);

    let json = serde_json::to_string(&diagnosis).expect("plain data");

    assert_eq!(serde_json::from_str::<Diagnosis>(&json).expect("its own form"), diagnosis);
    assert!(
        json.contains("\"package-server-stale\"") && json.contains("\"resync-stale-packages.yml\"")
    );
}

/// One step of making evidence worse, less complete, or odd.
fn step() -> impl Strategy<Value = (u8, usize, usize)> {
    (0_u8..34, 0..SERVERS, 0..PACKAGES)
}

fn apply(e: &mut FleetEvidence, (kind, server, number): (u8, usize, usize)) {
    // What was made unreadable before is left so.
    let e_ref = &mut *e;
    if let Seen::Known(held) = &mut e_ref.servers[server].held
        && let Some(held) = held.get_mut(number)
    {
        match kind {
            0 => held.status = "Retrying Download".to_owned(),
            1 => held.status = "Invalid".to_owned(),
            2 => held.status = "\u{fffd}odd".to_owned(),
            3 => held.version = Some(OLD.to_owned()),
            4 => held.version = Some("9223372036854775807".to_owned()),
            5 => held.version = Some("-9223372036854775808".to_owned()),
            6 => held.location = Some("\\\\%COMPUTERNAME%\\".to_owned()),
            7 => held.location = Some("D:\\One".to_owned()),
            8 => held.since = Some(jiff::Timestamp::MIN),
            _ => {}
        }
    }
    if let Seen::Known(disks) = &mut e_ref.servers[server].on_disk
        && let Some(disk) = disks.get_mut(number)
    {
        match kind {
            9 => disk.snapshot = Seen::Known(None),
            10 => disk.snapshot = Seen::Known(Some(snapshot(OLD))),
            11 => disk.snapshot = Seen::Unreadable("layout".to_owned()),
            12 => disk.status_file = Seen::Known(Some("Deleted".to_owned())),
            13 => disk.content = Seen::NotAsked,
            14 => disk.longest_path = Some(u32::MAX),
            15 => disk.is_snapshot_locked = Seen::Known(true),
            _ => {}
        }
    }
    match kind {
        16 => e.servers[server].held = Seen::NotAsked,
        17 => e.servers[server].on_disk = Seen::Unreadable("no".to_owned()),
        18 => {
            e.servers[server] = ServerEvidence { host: name(server), ..ServerEvidence::default() }
        }
        19 => e.servers[server].agent_service = Seen::Known(None),
        20 => e.servers[server].policy = Seen::Unreadable("encrypted".to_owned()),
        21 => e.servers[server].secure_channel = Seen::Known(false),
        22 => e.ns().queue = queue(u64::MAX, i64::MIN / 2, Some(u64::MAX)),
        23 => e.ns().packages = Seen::NotAsked,
        24 => e.ns().rows = Seen::Known(Vec::new()),
        25 => e.taken = jiff::Timestamp::MAX,
        26 => {
            if let Seen::Known(rows) = &mut e.ns().rows
                && let Some(row) = rows.get_mut(server * PACKAGES + number)
            {
                row.status = None;
                row.reported_version = Some("\u{202e}1789'--".to_owned());
            }
        }
        27 => {
            if let Seen::Known(packages) = &mut e.ns().packages {
                packages[number].snapshot = Seen::Known(None);
            }
        }
        28 => {
            let copy = e.servers[server].clone();
            e.servers.push(copy);
        }
        29 => {
            let copy = e.notification_servers[0].clone();
            e.notification_servers.push(copy);
        }
        30 => {
            if let Seen::Known(log) = &mut e.servers[server].log {
                let all = crate::itms::signature::Signature::ALL;
                log.extend(all.iter().map(|signature| logged(signature.name(), &[number])));
            }
        }
        31 => e.ns().queue = queue(12, 0, Some(20_000)),
        32 => e.ns().queue = queue(4000, 5, Some(20_000)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_evidence_makes_it_panic_and_the_same_gives_the_same(
        now in proptest::collection::vec(step(), 0..14),
        before in proptest::collection::vec(step(), 0..6),
    ) {
        let (mut evidence, mut earlier) = (well(), well());
        now.into_iter().for_each(|step| apply(&mut evidence, step));
        before.into_iter().for_each(|step| apply(&mut earlier, step));
        let history = [earlier];

        let first = triage(&evidence, &history, &Expectations::default());

        prop_assert_eq!(&first, &triage(&evidence, &history, &Expectations::default()));
        for finding in &first.findings {
            prop_assert!(!finding.evidence.is_empty(), "{:?} without evidence", finding.verdict);
        }
        let stalled = first.findings.iter().any(|f| f.verdict == Verdict::EventQueueStall);
        let moves = |f: &&Finding| f.proposal.playbook() == Some(Playbook::ResyncStalePackages);
        let is_alone = evidence.notification_servers.len() == 1;
        prop_assert!(!(stalled && is_alone && first.findings.iter().any(|f| moves(&f))));
    }
}
