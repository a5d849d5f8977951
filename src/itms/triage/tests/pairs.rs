//! Verdicts of pairs, of packages and of Notification Servers.

use super::*;
use crate::itms::evidence::{LogFinding, SnapshotSeen, TaskSeen};

type Case = (&'static str, fn(&mut FleetEvidence), &'static [&'static str]);

#[test]
fn each_cause_is_named_and_only_it() {
    let cases: &[Case] = &[
        (
            "the row is lost",
            |e| e.row(0, 1).status = Some("Invalid".to_owned()),
            &["notification-server-stale"],
        ),
        (
            "a report that is on its way",
            |e| {
                e.row(0, 1).status = Some("Invalid".to_owned());
                e.held(0, 1).since = Some(at(-600));
            },
            &["still-downloading"],
        ),
        ("no status at all", |e| e.row(0, 1).status = None, &["notification-server-stale"]),
        (
            "no row at all",
            |e| {
                known(&mut e.ns().rows).remove(1);
            },
            &["notification-server-stale"],
        ),
        ("an old version", |e| e.make_old(0, 1, "Invalid"), &["package-server-stale"]),
        ("an old version and Ready", |e| e.make_old(0, 1, "Ready"), &["drifted-but-ready"]),
        (
            "only the disk is old",
            |e| e.disk(0, 1).snapshot = Seen::Known(Some(snapshot(OLD))),
            &["drifted-but-ready"],
        ),
        (
            "pending for an hour",
            |e| {
                e.make(0, 1, "Download Pending");
                e.held(0, 1).since = Some(at(-3600));
            },
            &["still-downloading"],
        ),
        (
            "pending for a week",
            |e| {
                e.make(0, 1, "Pending");
                e.held(0, 1).since = Some(at(-7 * 86_400));
            },
            &["unknown"],
        ),
        ("a state without a name", |e| e.make(0, 1, "Half Ready"), &["unknown"]),
        (
            "marked Deleted",
            |e| e.disk(0, 1).status_file = Seen::Known(Some("Deleted".to_owned())),
            &["unknown"],
        ),
        ("damaged", |e| e.content(0, 1).wrong_hash.push("setup.exe".to_owned()), &["hash-damaged"]),
        (
            "files missing in the store",
            |e| e.content(0, 1).missing.push("setup.exe".to_owned()),
            &["hash-damaged"],
        ),
        (
            "files missing and a task that names the folder",
            |e| {
                e.content(0, 1).missing.push("setup.exe".to_owned());
                let action = format!("cmd /c rd /s /q C:\\Store\\{}", package(1));
                let task = TaskSeen { name: "\\Clean".to_owned(), action };
                e.server(0).tasks = Seen::Known(vec![task]);
            },
            &["external-deletion-loop"],
        ),
        (
            "locked",
            |e| {
                e.make_old(0, 1, "Invalid");
                e.disk(0, 1).is_snapshot_locked = Seen::Known(true);
            },
            &["snapshot-locked"],
        ),
        (
            "a long path",
            |e| {
                e.make(0, 1, "Invalid");
                e.disk(0, 1).longest_path = Some(255);
            },
            &["path-too-long"],
        ),
        (
            "two rows",
            |e| {
                let row = e.row(0, 1).clone();
                known(&mut e.ns().rows).push(row);
            },
            &["duplicate-rows"],
        ),
        (
            "a package that is gone",
            |e| {
                e.offered(1).name = None;
                e.offered(1).current_version = None;
            },
            &["orphan"],
        ),
        (
            "a server that is gone",
            |e| {
                let mut row = e.row(0, 1).clone();
                (row.server, row.server_name) = (server(77), None);
                known(&mut e.ns().rows).push(row);
            },
            &["orphan"],
        ),
        (
            "another origin",
            |e| {
                e.offered(1).origin = foreign(Some(false));
                lose_snapshot(e);
            },
            &["foreign-origin"],
        ),
        (
            "a parent",
            |e| {
                e.offered(1).origin = foreign(Some(true));
                lose_snapshot(e);
            },
            &["parent-owns-it"],
        ),
        (
            "a broken source",
            |e| {
                e.offered(1).source_reachable = Seen::Known(false);
                lose_snapshot(e);
            },
            &["source-path-broken"],
        ),
        ("no snapshot", lose_snapshot, &["snapshot-missing"]),
        (
            "a transaction that was undone",
            |e| e.offered(1).current_version = Some("1601999999".to_owned()),
            &["notification-server-stale"],
        ),
        ("a long queue", |e| e.ns().queue = queue(4000, 300, Some(1200)), &["event-queue-volume"]),
        (
            "a queue that stands",
            |e| e.ns().queue = queue(12, 0, Some(20_000)),
            &["event-queue-stall"],
        ),
        (
            "a dispatcher that is stopped",
            |e| e.ns().dispatcher = Seen::Known(service("Stopped")),
            &["event-queue-stall"],
        ),
        ("rows that cannot be read", |e| e.ns().rows = Seen::Unreadable("no".into()), &["unknown"]),
    ];
    for (story, change, expected) in cases {
        let mut evidence = well();
        change(&mut evidence);
        assert_eq!(verdicts(&evidence), *expected, "{story}: {:#?}", diagnose(&evidence));
    }
}

#[test]
fn one_servers_copy_is_fetched_again_without_a_new_version() {
    let mut damaged = well();
    known(&mut damaged.disk(0, 1).content).wrong_hash = vec!["setup.exe".to_owned()];
    let mut lost = well();
    lost.disk(0, 1).snapshot = Seen::Known(None);

    for (evidence, verdict) in [(damaged, Verdict::HashDamaged), (lost, Verdict::SnapshotMissing)] {
        let finding = the(&diagnose(&evidence), verdict);
        assert_eq!(finding.proposal.playbook(), Some(Playbook::RedownloadPackages));
    }
}

#[test]
fn a_snapshot_that_was_built_after_the_logs_word_speaks_against_it() {
    let said = |seconds_ago| {
        let mut evidence = well();
        evidence.offered(1).source_reachable = Seen::Known(false);
        evidence.offered(1).current_version = Some((taken().as_second() - 600).to_string());
        let finding = LogFinding { seconds_ago: Some(seconds_ago), ..logged("source_path", &[1]) };
        evidence.ns().log = Seen::Known(vec![finding]);
        evidence.make_old(0, 1, "Invalid");
        verdicts(&evidence)
    };

    assert!(said(60).contains(&"source-path-broken"));
    assert!(!said(3600).contains(&"source-path-broken"), "the version is ten minutes old");
}

#[test]
fn what_only_resembles_a_cause_is_no_finding() {
    let cases: &[Case] = &[
        ("a short queue that moves", |e| e.ns().queue = queue(30, 30, Some(20)), &[]),
        (
            "a short queue, its first entry being worked on",
            |e| e.ns().queue = queue(3, 0, Some(5)),
            &[],
        ),
        ("a snapshot that was not asked for", |e| e.offered(1).snapshot = Seen::NotAsked, &[]),
        (
            "a snapshot that could not be read",
            |e| e.offered(1).snapshot = Seen::Unreadable("access denied".into()),
            &[],
        ),
        (
            "a snapshot in another layout",
            |e| {
                let odd = SnapshotSeen { version: None, content_sha256: None, ..snapshot(NOW) };
                e.disk(0, 1).snapshot = Seen::Known(Some(odd));
            },
            &[],
        ),
        ("content that was not read", |e| e.disk(0, 1).content = Seen::Unreadable("x".into()), &[]),
        ("a path of 254 characters", |e| e.disk(0, 1).longest_path = Some(254), &[]),
        (
            "a package of the agent that is not offered any more",
            |e| known(&mut e.server(0).held).push(held(9)),
            &[],
        ),
        (
            "a parent's package that is well",
            |e| e.offered(1).origin = foreign(Some(true)),
            &["parent-owns-it"],
        ),
    ];
    for (story, change, expected) in cases {
        let mut evidence = well();
        change(&mut evidence);
        assert_eq!(verdicts(&evidence), *expected, "{story}: {:#?}", diagnose(&evidence));
    }
}

#[test]
fn the_evidence_has_figures_and_says_what_each_truth_says() {
    let mut evidence = well();
    let row = evidence.row(0, 1);
    row.status = Some("Invalid".to_owned());
    row.reported_version = Some(OLD.to_owned());

    let finding = the(&diagnose(&evidence), Verdict::NotificationServerStale);

    assert!(
        finding.evidence.iter().any(|line| line.contains(
            "row says Invalid, version 1601867730 (2020-10-05 03:15 UTC); agent says Ready with \
             version 1601954124 (2020-10-06 03:15 UTC)"
        )),
        "{finding:#?}"
    );
    assert_eq!(finding.certainty, Certainty::Proven);
    assert_eq!(finding.proposal.playbook(), Some(Playbook::UpdateAndResend));
}

#[test]
fn a_package_that_is_bad_everywhere_is_one_finding_that_explains_its_pairs() {
    let mut evidence = well();
    evidence.offered(1).source_reachable = Seen::Known(false);
    lose_snapshot(&mut evidence);

    let diagnosis = diagnose(&evidence);

    let finding = the(&diagnosis, Verdict::SourcePathBroken);
    assert_eq!((finding.pairs, finding.servers.len()), (4, SERVERS));
    assert_eq!(diagnosis.shape, Shape::PackageEverywhere);
    assert_eq!(diagnosis.matrix.cells[2][1], Cell::Verdict(Verdict::SourcePathBroken));
}

#[test]
fn a_queue_that_stands_explains_rows_and_not_old_versions() {
    let mut evidence = well();
    for server in 0..SERVERS {
        evidence.row(server, 1).status = Some("Pending".to_owned());
    }
    evidence.make_old(0, 2, "Invalid");
    evidence.ns().queue = queue(12, 0, Some(20_000));

    let diagnosis = diagnose(&evidence);

    assert_eq!(the(&diagnosis, Verdict::EventQueueStall).pairs, 4);
    let stale = the(&diagnosis, Verdict::PackageServerStale);
    assert!(matches!(stale.proposal, Proposal::Wait { .. }), "no events into a queue that stands");
    assert_eq!(diagnosis.findings.len(), 2);
}

#[test]
fn a_version_of_the_last_hours_is_not_called_stale() {
    let mut evidence = well();
    evidence.make_old(0, 1, "Ready");
    evidence.taken = jiff::Timestamp::from_second(1_601_954_124 + 3600).unwrap();

    assert_eq!(verdicts(&evidence), ["still-downloading"]);
}

#[test]
fn files_that_vanish_while_the_snapshot_stays_are_deleted_from_outside() {
    let mut before = well();
    before.taken = at(-1200);
    let mut now = well();
    now.content(0, 1).missing.push("setup.exe".to_owned());

    let diagnosis = triage(&now, &[before], &Expectations::default());

    let finding = the(&diagnosis, Verdict::ExternalDeletionLoop);
    assert_eq!(finding.certainty, Certainty::Proven);
    assert_eq!(finding.proposal.playbook(), Some(Playbook::RedownloadLoop));
    assert_eq!(diagnosis.findings.len(), 1);
}

#[test]
fn ready_that_turns_into_a_download_of_the_same_version_again_and_again_is_a_loop() {
    let history: Vec<FleetEvidence> = (1..=4)
        .map(|step| {
            let mut look = well();
            look.taken = at(-3600 * step);
            if step % 2 == 1 {
                look.make(0, 1, "Retrying Download");
            }
            look
        })
        .collect();

    assert_eq!(verdicts_with(&well(), &history), ["external-deletion-loop"]);
}

#[test]
fn a_download_of_a_newer_version_is_no_loop() {
    let look = |minutes: i64, status: &str| {
        let mut look = well();
        look.taken = at(-60 * minutes);
        look.make_old(0, 1, status);
        look.make(0, 1, status);
        look
    };
    let mut now = look(0, "Download Pending");
    now.content(0, 1).missing.push("setup.exe".to_owned());
    let mut before = look(20, "Ready");
    before.offered(1).snapshot = Seen::Known(Some(snapshot(OLD)));

    assert_eq!(verdicts_with(&now, &[before]), ["still-downloading"]);
}

#[test]
fn new_versions_of_the_same_content_are_churn_and_of_other_content_are_not() {
    let versions = ["1601867730", "1601954000", NOW];
    let look = |index: usize, same: bool| {
        let mut look = well();
        look.taken = at(-3600 * (2 - i64::try_from(index).unwrap()));
        let mut seen = snapshot(versions[index]);
        if same {
            seen.content_sha256 = Some("same".to_owned());
        }
        look.offered(1).snapshot = Seen::Known(Some(seen));
        look.offered(1).current_version = Some(versions[index].to_owned());
        look
    };

    let churn = verdicts_with(&look(2, true), &[look(0, true), look(1, true)]);
    let real = verdicts_with(&look(2, false), &[look(0, false), look(1, false)]);

    assert_eq!(churn, ["refresh-churn"]);
    assert!(real.is_empty());
}

#[test]
fn files_that_are_missing_are_looked_at_again_before_a_fleet_downloads_anew() {
    let mut before = well();
    before.taken = at(-3600);
    let mut now = well();
    for evidence in [&mut before, &mut now] {
        evidence.content(0, 1).missing.push("setup.exe".to_owned());
    }
    let proposed = |earlier: &[FleetEvidence]| {
        let found = triage(&now, earlier, &Expectations::default());
        let finding = the(&found, Verdict::HashDamaged);
        let Proposal::Playbook { playbook, .. } = finding.proposal else { panic!("{finding:?}") };
        (finding.certainty, playbook)
    };

    assert_eq!(proposed(&[]), (Certainty::Possible, Playbook::RedownloadLoop));
    assert_eq!(proposed(&[before]), (Certainty::Likely, Playbook::RedownloadPackages));
}

#[test]
fn a_download_that_gets_on_is_one_however_long_it_takes() {
    let mut before = well();
    before.taken = at(-3600);
    let mut now = well();
    for (evidence, missing) in [(&mut before, 3), (&mut now, 1)] {
        evidence.make_old(0, 1, "Pending");
        evidence.make(0, 1, "Pending");
        evidence.held(0, 1).since = Some(at(-7 * 86_400));
        let names = (0..missing).map(|number| format!("{number}.cab"));
        evidence.content(0, 1).missing = names.collect();
    }

    assert_eq!(verdicts_with(&now, &[before]), ["still-downloading"]);
    assert_eq!(verdicts(&now), ["unknown"], "without history it stands");
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(taken().as_second() + seconds).unwrap()
}

/// The Notification Server's snapshot of package 1 is gone; servers try, or have an old version.
fn lose_snapshot(evidence: &mut FleetEvidence) {
    evidence.offered(1).snapshot = Seen::Known(None);
    for server in 0..SERVERS {
        if server % 2 == 0 {
            evidence.make(server, 1, "Retrying Download");
        } else {
            evidence.make_old(server, 1, "Invalid");
        }
    }
}
