//! Verdicts of package servers.

use super::*;
use crate::itms::evidence::{AppliedCredential, ServiceSeen, ShareSeen};

type Case = (&'static str, fn(&mut FleetEvidence), &'static [&'static str]);

fn all_rows(evidence: &mut FleetEvidence, status: &str, version: &str) {
    for number in 0..PACKAGES {
        let row = evidence.row(0, number);
        row.status = Some(status.to_owned());
        row.reported_version = Some(version.to_owned());
    }
}

fn lie_in(evidence: &mut FleetEvidence, number: usize, folder: &str) {
    evidence.held(0, number).location = Some(folder.to_owned());
}

const NO_TRUST: &str =
    "The trust relationship between this workstation and the primary domain failed(1789).";

#[test]
fn each_cause_is_named_and_only_it() {
    let cases: &[Case] = &[
        (
            "out of reach",
            |e| {
                let gone = crate::itms::evidence::ServerEvidence {
                    host: name(0),
                    guid: Some(server(0)),
                    winrm: failed(),
                    smb: failed(),
                    ..Default::default()
                };
                e.servers[0] = gone;
                all_rows(e, "Invalid", OLD);
            },
            &["unreachable"],
        ),
        (
            "the agent does not run",
            |e| {
                e.server(0).agent_service = Seen::Known(Some(service("Stopped")));
                e.make_old(0, 1, "Invalid");
            },
            &["agent-stopped"],
        ),
        (
            "the trust is lost",
            |e| {
                e.server(0).secure_channel = Seen::Known(false);
                all_rows(e, "Invalid", NO_TRUST);
            },
            &["trust-1789"],
        ),
        ("1789 in the rows alone", |e| all_rows(e, "Invalid", NO_TRUST), &["trust-1789"]),
        (
            "anonymous where the others are not",
            |e| {
                known(&mut e.server(0).policy).credential = Some(AppliedCredential::Anonymous);
                all_rows(e, "Invalid", NOW);
                e.logs(0, "access_denied_event", &[]);
            },
            &["credential-not-applied"],
        ),
        (
            "no rights on the store",
            |e| {
                known(&mut e.server(0).store_access).has_full_control = false;
                e.make_old(0, 1, "Invalid");
                e.make(0, 1, "Invalid");
            },
            &["acl-missing"],
        ),
        (
            "no rights on a package that is Ready",
            |e| e.disk(0, 1).has_credential_rights = Seen::Known(false),
            &["acl-missing"],
        ),
        ("urgent", |e| e.server(0).urgent_list = Seen::Known(vec![package(9)]), &["urgent-list"]),
        (
            "secure storage",
            |e| {
                e.make(0, 1, "Invalid");
                e.logs(0, "secure_storage", &[1]);
            },
            &["secure-storage"],
        ),
        (
            "busy",
            |e| {
                e.make(0, 1, "Retrying Download");
                e.logs(0, "server_busy", &[1]);
            },
            &["server-busy"],
        ),
        (
            "an old agent, which is told that the server is busy",
            |e| {
                e.make(0, 1, "Retrying Download");
                e.logs(0, "server_busy", &[1]);
                e.server(0).agent_version = Seen::Known("8.6.0.1".to_owned());
            },
            &["version-mismatch"],
        ),
        (
            "an old plug-in",
            |e| e.server(0).plugin_version = Seen::Known(Some("8.6".to_owned())),
            &["version-mismatch"],
        ),
        (
            "a plug-in of another release than its agent, and nobody says what is current",
            |e| {
                e.ns().current_plugin_version = Seen::NotAsked;
                e.server(0).plugin_version = Seen::Known(Some("8.6.3268.0".to_owned()));
            },
            &["version-mismatch"],
        ),
        (
            "no site",
            |e| e.ns().servers_with_site = Seen::Known(vec![server(1), server(2), server(3)]),
            &["site-unassigned"],
        ),
        (
            "the same folder",
            |e| {
                lie_in(e, 0, "D:\\Drivers");
                lie_in(e, 1, "d:\\drivers\\");
            },
            &["alternate-location-conflict"],
        ),
        (
            "one folder below another",
            |e| {
                lie_in(e, 0, "D:\\Drivers");
                lie_in(e, 1, "D:\\Drivers\\Printers");
            },
            &["alternate-location-conflict"],
        ),
        (
            "no share of a location",
            |e| {
                lie_in(e, 1, "\\\\%COMPUTERNAME%\\Deploy\\One");
                e.make(0, 1, "Retrying Download");
            },
            &["share-missing"],
        ),
        (
            "no share of its own",
            |e| e.server(0).shares = Seen::Known(Vec::new()),
            &["share-missing"],
        ),
        (
            "full",
            |e| {
                known(&mut e.server(0).store_volume).free = 0;
                e.make(0, 1, "Retrying Download");
            },
            &["disk-full"],
        ),
        (
            "too little for what waits",
            |e| {
                known(&mut e.server(0).store_volume).free = 30 << 20;
                e.make(0, 1, "Retrying Download");
            },
            &["disk-full"],
        ),
        (
            "a pool that is stopped",
            |e| known(&mut e.server(0).iis).app_pools[0].is_started = false,
            &["app-pool-stopped"],
        ),
        ("no IIS", |e| known(&mut e.server(0).iis).is_installed = false, &["iis-missing"]),
        (
            "folders that nobody knows",
            |e| e.server(0).orphan_folders = Seen::Known(vec![package(9)]),
            &["orphan-folder"],
        ),
    ];
    for (story, change, expected) in cases {
        let mut evidence = well();
        change(&mut evidence);
        assert_eq!(verdicts(&evidence), *expected, "{story}: {:#?}", diagnose(&evidence));
    }
}

#[test]
fn what_only_resembles_a_cause_is_no_finding() {
    let cases: &[Case] = &[
        (
            "a log of the past: all is well now",
            |e| {
                for signature in
                    ["server_busy", "secure_storage", "trust_1789", "disk_full", "snapshot_locked"]
                {
                    e.logs(0, signature, &[1]);
                }
            },
            &[],
        ),
        (
            "rights are missing in mid-download (KB 150861)",
            |e| {
                e.make(0, 1, "Download Pending");
                e.held(0, 1).since = Some(taken());
                e.disk(0, 1).has_credential_rights = Seen::Known(false);
            },
            &["still-downloading"],
        ),
        (
            "a list that could not be read",
            |e| e.server(0).urgent_list = Seen::Unreadable("locked".into()),
            &[],
        ),
        (
            "an urgent package, and neither policy nor list was read",
            |e| {
                e.server(0).urgent_list = Seen::Known(vec![package(9)]);
                e.server(0).policy = Seen::NotAsked;
                e.server(0).held = Seen::NotAsked;
            },
            &[],
        ),
        (
            "an urgent package with a policy",
            |e| e.server(0).urgent_list = Seen::Known(vec![package(1)]),
            &[],
        ),
        ("shares that were not read", |e| e.server(0).shares = Seen::NotAsked, &[]),
        (
            "the same version in another spelling",
            |e| e.server(0).agent_version = Seen::Known("8.7.1".into()),
            &[],
        ),
        ("a version in words", |e| e.server(0).agent_version = Seen::Known("8.7 RU2".into()), &[]),
        ("a share on another server", |e| lie_in(e, 1, "\\\\nas\\Deploy\\One"), &[]),
        (
            "a share that is there",
            |e| {
                let share = ShareSeen { name: "DEPLOY".into(), path: "D:\\Deploy".into() };
                known(&mut e.server(0).shares).push(share);
                lie_in(e, 1, "\\\\%COMPUTERNAME%\\Deploy\\One");
            },
            &[],
        ),
        (
            "folders with the same beginning",
            |e| {
                lie_in(e, 0, "D:\\Drivers");
                lie_in(e, 1, "D:\\Drivers2");
            },
            &[],
        ),
        (
            "a pool of something else",
            |e| {
                let pool = &mut known(&mut e.server(0).iis).app_pools[0];
                (pool.is_started, pool.serves_packages) = (false, false);
            },
            &[],
        ),
        (
            "the folder of a package that the agent has",
            |e| e.server(0).orphan_folders = Seen::Known(vec![package(1)]),
            &[],
        ),
        (
            "a service that is starting",
            |e| e.server(0).agent_service = Seen::Known(Some(service("Start Pending"))),
            &[],
        ),
        ("sites that were not read", |e| e.ns().servers_with_site = Seen::NotAsked, &[]),
    ];
    for (story, change, expected) in cases {
        let mut evidence = well();
        change(&mut evidence);
        assert_eq!(verdicts(&evidence), *expected, "{story}: {:#?}", diagnose(&evidence));
    }
}

#[test]
fn a_credential_is_compared_with_the_one_that_the_console_has() {
    let expectations = Expectations {
        credential: Some(AppliedCredential::ApplicationIdentity),
        ..Expectations::default()
    };

    let diagnosis = triage(&well(), &[], &expectations);

    let found: Vec<Certainty> = diagnosis
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::CredentialNotApplied)
        .map(|finding| finding.certainty)
        .collect();
    assert_eq!(found, [Certainty::Proven; SERVERS]);
}

#[test]
fn a_server_that_one_transport_reaches_is_judged_by_what_that_shows() {
    let mut evidence = well();
    evidence.server(0).winrm = failed();
    evidence.make_old(0, 1, "Invalid");

    let diagnosis = diagnose(&evidence);

    assert_eq!(the(&diagnosis, Verdict::Unreachable).certainty, Certainty::Possible);
    assert_eq!(the(&diagnosis, Verdict::PackageServerStale).pairs, 1);
}

#[test]
fn a_server_on_which_nothing_is_well_gives_the_matrix_its_shape() {
    let mut evidence = well();
    evidence.server(0).secure_channel = Seen::Known(false);
    all_rows(&mut evidence, "Invalid", NO_TRUST);

    let diagnosis = diagnose(&evidence);

    assert_eq!(diagnosis.shape, Shape::ServerForEverything);
    assert_eq!(diagnosis.matrix.cells[0], [Cell::Verdict(Verdict::Trust1789); PACKAGES]);
    assert_eq!(diagnosis.verdicts_of(&name(0)), [Verdict::Trust1789]);
    assert!(diagnosis.verdicts_of(&name(1)).is_empty());
}

#[test]
fn what_is_stopped_is_started_and_what_somebody_disabled_is_a_persons() {
    let proposal = |start_mode: &str| {
        let mut evidence = well();
        let stopped = ServiceSeen { start_mode: start_mode.to_owned(), ..service("Stopped") };
        evidence.server(0).agent_service = Seen::Known(Some(stopped));
        the(&diagnose(&evidence), Verdict::AgentStopped).proposal
    };

    assert_eq!(proposal("Auto").playbook(), Some(Playbook::StartServices));
    assert!(matches!(
        proposal("Disabled"),
        Proposal::Person { afterwards: Some(Playbook::StartServices), .. }
    ));
}
