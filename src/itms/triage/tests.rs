//! Each verdict from hand-made evidence: what proves it, and what only resembles that.

mod builder;
mod large;
mod laws;
mod mixed;
mod names;
mod owners;
mod pairs;
mod servers;

use super::*;
use crate::itms::evidence::{FleetEvidence, Seen};
use builder::*;

/// The verdicts of server 0, by name, sorted.
fn verdicts(evidence: &FleetEvidence) -> Vec<&'static str> {
    verdicts_with(evidence, &[])
}

fn verdicts_with(evidence: &FleetEvidence, earlier: &[FleetEvidence]) -> Vec<&'static str> {
    let diagnosis = triage(evidence, earlier, &Expectations::default());
    let mut names: Vec<&'static str> =
        diagnosis.findings.iter().map(|finding| finding.verdict.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The one finding of a verdict.
fn the(diagnosis: &Diagnosis, verdict: Verdict) -> Finding {
    let mut all = diagnosis.findings.iter().filter(|finding| finding.verdict == verdict);
    let first = all.next().unwrap_or_else(|| panic!("no {verdict} in {diagnosis:#?}")).clone();
    assert!(all.next().is_none(), "more than one {verdict}: {diagnosis:#?}");
    first
}

fn diagnose(evidence: &FleetEvidence) -> Diagnosis {
    triage(evidence, &[], &Expectations::default())
}

#[test]
fn a_fleet_of_which_no_pair_was_seen_is_not_called_well() {
    let mut evidence = well();
    evidence.notification_servers.iter_mut().for_each(|server| server.rows = Seen::NotAsked);
    evidence.servers.clear();

    assert_eq!(diagnose(&evidence).shape, Shape::Unread);
}

#[test]
fn a_fleet_that_is_well_has_no_findings() {
    let diagnosis = diagnose(&well());

    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.shape, Shape::AllWell);
    assert!(diagnosis.matrix.cells.iter().flatten().all(|cell| *cell == Cell::Ready));
}
