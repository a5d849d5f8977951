//! Rows that name a server only in short: two servers that have that name are not told apart.

use super::*;
use crate::model::HostName;

/// Servers 0 and 1 have one short name and are known by it alone; server 0 has an old version.
fn of_one_name() -> FleetEvidence {
    let mut evidence = well();
    evidence.make_old(0, 1, "Ready");
    for (number, host) in ["ps-00.a.example", "ps-00.b.example"].into_iter().enumerate() {
        evidence.server(number).host = HostName::new(host);
        evidence.server(number).guid = None;
        for package in 0..PACKAGES {
            evidence.row(number, package).server_name = Some("PS-00".to_owned());
        }
    }
    evidence
}

#[test]
fn rows_of_a_short_name_that_two_servers_have_are_counted_for_none_and_named() {
    let mut evidence = of_one_name();
    // Only the row of the second one says so: the first one is well.
    evidence.make_old(1, 2, "Invalid");
    known(&mut evidence.server(1).held)[2].version = Some(NOW.to_owned());
    evidence.disk(1, 2).snapshot = Seen::Known(Some(snapshot(NOW)));

    let diagnosis = diagnose(&evidence);

    let finding = the(&diagnosis, Verdict::Unknown);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(
        matches!(&finding.scope, Scope::NotificationServer { host } if host.as_str() == "smp01")
    );
    for (line, guid) in finding.evidence.iter().zip([server(0), server(1)]) {
        let expected =
            format!("3 rows for PS-00 {guid}, which could be ps-00.a.example or ps-00.b.example");
        assert_eq!(*line, expected);
    }
    assert_eq!(finding.evidence.len(), 2);
    let Proposal::Person { instruction, .. } = &finding.proposal else { panic!("{finding:?}") };
    assert!(instruction.contains("`itms_guid`"), "{instruction}");
    let of_rows = diagnosis.findings.iter().filter(|f| f.verdict != Verdict::Unknown);
    let of_rows: Vec<_> = of_rows.map(|f| (f.verdict, f.scope.host())).collect();
    let first = HostName::new("ps-00.a.example");
    assert_eq!(of_rows, [(Verdict::PackageServerStale, Some(&first))], "its disk says so");
}

#[test]
fn a_server_whose_guid_is_known_is_not_another_one_of_its_name() {
    let mut evidence = of_one_name();
    evidence.server(0).guid = Some(server(0));

    let diagnosis = diagnose(&evidence);

    assert!(diagnosis.findings.iter().all(|f| f.verdict != Verdict::Unknown), "{diagnosis:#?}");
    let hosts: Vec<_> = diagnosis.findings.iter().filter_map(|f| f.scope.host()).collect();
    assert_eq!(hosts, [&HostName::new("ps-00.a.example")]);
}

#[test]
fn a_full_name_is_told_from_another_one_with_the_same_first_label() {
    let mut evidence = of_one_name();
    for package in 0..PACKAGES {
        evidence.row(0, package).server_name = Some("PS-00.A.example".to_owned());
        evidence.row(1, package).server_name = Some("ps-00.b.example".to_owned());
    }

    let diagnosis = diagnose(&evidence);

    assert!(diagnosis.findings.iter().all(|f| f.verdict != Verdict::Unknown), "{diagnosis:#?}");
}
