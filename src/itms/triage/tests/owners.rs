//! Whose a package is: what nobody said is not that a parent is gone.

use super::*;

#[test]
fn without_parent_servers_a_person_says_whether_the_other_server_is_a_parent() {
    let mut evidence = well();
    evidence.offered(1).origin = foreign(None);

    let finding = the(&diagnose(&evidence), Verdict::ForeignOrigin);

    assert_eq!(finding.certainty, Certainty::Possible);
    assert_eq!(finding.severity, Severity::Note, "replicated packages that are well");
    let Proposal::Person { instruction, afterwards } = finding.proposal else {
        panic!("{:?}", finding.proposal);
    };
    assert!(instruction.contains("`parent_servers: []`"), "{instruction}");
    assert!(instruction.contains("smp-hq"), "{instruction}");
    assert_eq!(afterwards, Some(Playbook::FixOrigin));
}

#[test]
fn a_server_that_is_known_to_be_no_parent_has_its_packages_taken_over() {
    let mut evidence = well();
    evidence.offered(1).origin = foreign(Some(false));

    let finding = the(&diagnose(&evidence), Verdict::ForeignOrigin);

    assert_eq!(finding.certainty, Certainty::Proven);
    assert!(matches!(finding.proposal, Proposal::Playbook { playbook: Playbook::FixOrigin, .. }));
}

#[test]
fn snapshots_are_not_moved_while_nobody_knows_whose_the_package_is() {
    for unread in [Seen::Unreadable("the CMDB names no origin".to_owned()), Seen::NotAsked] {
        let mut evidence = well();
        evidence.offered(1).origin = unread;
        evidence.make_old(0, 1, "Invalid");
        evidence.content(0, 2).wrong_hash.push("setup.exe".to_owned());
        evidence.offered(2).origin = evidence.offered(1).origin.clone();

        let diagnosis = diagnose(&evidence);

        // A request and a report may be asked for: they go to whom they should.
        let lighter = |playbook| matches!(playbook, Playbook::UpdateAndResend);
        for finding in &diagnosis.findings {
            if let Proposal::Playbook { playbook, afterwards } = &finding.proposal {
                assert!(lighter(*playbook) && afterwards.is_none_or(lighter), "{finding:#?}");
            }
        }
        assert!(diagnosis.findings.len() >= 2, "{diagnosis:#?}");
    }
}

#[test]
fn an_origin_that_an_older_version_wrote_down_is_understood() {
    let read = |text: &str| serde_json::from_str::<Origin>(text).unwrap();

    assert_eq!(
        Seen::Known(read(r#"{"foreign":{"server":"smp-hq","is_live_parent":true}}"#)),
        foreign(Some(true))
    );
    assert_eq!(Seen::Known(read(r#"{"foreign":{"server":"smp-hq"}}"#)), foreign(None));
}
