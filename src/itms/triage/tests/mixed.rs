//! Two causes on one server, and what must not be proposed.

use super::*;

type Case = (&'static str, fn(&mut FleetEvidence), &'static [&'static str]);

#[test]
fn two_independent_causes_are_both_named() {
    let cases: &[Case] = &[
        (
            "urgent list and an old version",
            |e| {
                e.server(0).urgent_list = Seen::Known(vec![package(9)]);
                e.make_old(0, 1, "Invalid");
            },
            &["package-server-stale", "urgent-list"],
        ),
        (
            "orphan folder and rights",
            |e| {
                e.server(0).orphan_folders = Seen::Known(vec![package(9)]);
                known(&mut e.server(0).store_access).has_full_control = false;
            },
            &["acl-missing", "orphan-folder"],
        ),
        (
            "old agent and damage",
            |e| {
                e.server(0).agent_version = Seen::Known("8.6".to_owned());
                e.content(0, 1).wrong_hash.push("setup.exe".to_owned());
            },
            &["hash-damaged", "version-mismatch"],
        ),
        (
            "an old version and a lost row",
            |e| {
                e.make_old(0, 1, "Invalid");
                e.row(0, 2).status = Some("Invalid".to_owned());
            },
            &["notification-server-stale", "package-server-stale"],
        ),
        (
            "a full disk, and an agent that takes another package's old version for the current one",
            |e| {
                known(&mut e.server(0).store_volume).free = 0;
                e.make(0, 1, "Retrying Download");
                e.make_old(0, 2, "Invalid");
            },
            &["disk-full", "package-server-stale"],
        ),
        (
            "an old version of a package whose files are damaged, too",
            |e| {
                e.make_old(0, 1, "Ready");
                e.content(0, 1).wrong_hash.push("setup.exe".to_owned());
            },
            &["drifted-but-ready", "hash-damaged"],
        ),
        (
            "busy, no site and two rows",
            |e| {
                e.make(0, 1, "Retrying Download");
                e.logs(0, "server_busy", &[1]);
                e.ns().servers_with_site = Seen::Known(vec![server(1), server(2), server(3)]);
                let row = e.row(0, 2).clone();
                known(&mut e.ns().rows).push(row);
            },
            &["duplicate-rows", "server-busy", "site-unassigned"],
        ),
        (
            "1789 and an old plug-in",
            |e| {
                e.server(0).secure_channel = Seen::Known(false);
                e.server(0).plugin_version = Seen::Known(Some("8.6".to_owned()));
                e.row(0, 1).status = Some("Invalid".to_owned());
            },
            &["trust-1789", "version-mismatch"],
        ),
    ];
    for (story, change, expected) in cases {
        let mut evidence = well();
        change(&mut evidence);
        assert_eq!(verdicts(&evidence), *expected, "{story}: {:#?}", diagnose(&evidence));
    }
}

/// What is proposed for the old version of package 1 on server 0.
fn proposed(change: fn(&mut FleetEvidence)) -> Option<Playbook> {
    let mut evidence = well();
    evidence.make_old(0, 1, "Invalid");
    change(&mut evidence);
    the(&diagnose(&evidence), Verdict::PackageServerStale).proposal.playbook()
}

#[test]
fn snapshots_are_moved_only_where_nothing_speaks_against_it() {
    assert_eq!(proposed(|_| ()), Some(Playbook::ResyncStalePackages));
    assert_eq!(proposed(|e| e.ns().queue = queue(12, 0, Some(20_000))), None, "the queue stands");
    assert_eq!(proposed(|e| e.ns().queue = queue(4000, 9, None)), None, "the queue is long");
    let busy = proposed(|e| {
        e.make(1, 2, "Retrying Download");
        e.logs(1, "server_busy", &[2]);
    });
    assert_eq!(busy, None, "the Notification Server is busy, whomever it told so");
}

#[test]
fn a_fleet_of_which_nothing_is_well_is_not_resynchronized_as_a_whole() {
    let mut evidence = well();
    for server in 0..SERVERS {
        for number in 0..PACKAGES {
            evidence.make_old(server, number, "Invalid");
        }
    }

    let diagnosis = diagnose(&evidence);

    assert_eq!(diagnosis.shape, Shape::AllBad);
    for finding in &diagnosis.findings {
        let playbook = finding.proposal.playbook();
        assert!(playbook != Some(Playbook::ResyncStalePackages), "{finding:#?}");
    }
}

#[test]
fn a_package_that_is_being_removed_is_left_alone() {
    let mut evidence = well();
    evidence.make_old(0, 1, "Invalid");
    evidence.disk(0, 1).status_file = Seen::Known(Some("Deleted".to_owned()));

    let diagnosis = diagnose(&evidence);

    assert!(diagnosis.findings.iter().all(|finding| finding.proposal.playbook().is_none()));
}
