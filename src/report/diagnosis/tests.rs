use jiff::Timestamp;

use super::*;
use crate::itms::evidence::{Seen, ServerEvidence};
use crate::itms::triage::{
    Cell, Certainty, Finding, Matrix, MatrixPackage, Playbook, Proposal, Scope, Severity, Shape,
    Verdict,
};
use crate::model::{Guid, HostName};
use crate::report::Paint;

const AT: Timestamp = Timestamp::constant(1_601_867_730, 0);
const PACKAGE: Guid = Guid::from_u128(7);

fn server(number: usize) -> HostName {
    HostName::new(format!("ps-lon-{number:02}.corp.example"))
}

fn finding(verdict: Verdict, scope: Scope, proposal: Proposal, seen: &str) -> Finding {
    Finding {
        verdict,
        servers: scope.host().cloned().into_iter().collect(),
        scope,
        severity: Severity::Error,
        certainty: Certainty::Proven,
        evidence: vec![seen.to_owned()],
        pairs: 1,
        proposal,
    }
}

fn stale(number: usize) -> Finding {
    let host = server(number);
    let seen = format!("the snapshot of {host} is 3 days behind");
    let name = Some("Mozilla Firefox ESR 115.12".to_owned());
    let scope = Scope::Pair { host, id: PACKAGE, name };
    let playbook = Playbook::ResyncStalePackages;
    let proposal = Proposal::Playbook { playbook, afterwards: Some(Playbook::UpdateAndResend) };
    finding(Verdict::PackageServerStale, scope, proposal, &seen)
}

fn diagnosis(findings: Vec<Finding>) -> Diagnosis {
    let servers: Vec<HostName> = (1..=30).map(server).collect();
    let cells = servers.iter().map(|host| {
        let own = findings.iter().find(|one| one.scope.host() == Some(host));
        vec![own.map_or(Cell::Ready, |one| Cell::Verdict(one.verdict))]
    });
    let packages = vec![MatrixPackage { id: PACKAGE, name: Some("Mozilla Firefox".to_owned()) }];
    let matrix = Matrix { cells: cells.collect(), servers, packages };
    Diagnosis { taken: AT, shape: Shape::Mixed, findings, matrix }
}

fn evidence() -> FleetEvidence {
    let unread = ServerEvidence {
        host: server(9),
        shares: Seen::Unreadable("access denied".to_owned()),
        ..ServerEvidence::default()
    };
    FleetEvidence { taken: AT, notification_servers: Vec::new(), servers: vec![unread] }
}

fn mixed() -> Diagnosis {
    let mut findings: Vec<Finding> = (2..=13).map(stale).collect();
    let trust = Scope::Server { host: server(20) };
    let instruction = "Rejoin the machine to its domain; the password of its account there and \
                       here differ, which only an administrator of the domain can mend.";
    let person = Proposal::Person {
        instruction: instruction.to_owned(),
        afterwards: Some(Playbook::UpdateAndResend),
    };
    findings.push(finding(Verdict::Trust1789, trust, person, "the row says (1789)"));
    let queue = Scope::NotificationServer { host: HostName::new("smp01.corp.example") };
    let wait = Proposal::Wait { reason: "1,200 events wait and are worked off".to_owned() };
    findings.push(finding(Verdict::EventQueueVolume, queue, wait, "1,200 entries, then 900"));
    diagnosis(findings)
}

fn text(diagnosis: &Diagnosis) -> String {
    let evidence = evidence();
    let seen = Examination { inventory: "fleet.yml", evidence: &evidence, diagnosis };
    diagnosis_text(&seen, Paint::PLAIN)
}

#[test]
fn a_diagnosis_is_read_at_eighty_columns_and_tells_equal_findings_once() {
    let told = text(&mixed());

    insta::assert_snapshot!("diagnosis", told);
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
}

#[test]
fn a_note_alone_leaves_a_fleet_well() {
    let mut note = stale(3);
    note.severity = Severity::Note;

    assert!(text(&diagnosis(vec![note])).contains("ALL IS WELL"));
    let well = diagnosis(Vec::new());
    let told = text(&well);
    assert!(told.contains("ALL IS WELL, AS FAR AS WAS READ: 30 PAIRS ON 30 SERVERS"), "{told}");
    let evidence = FleetEvidence { servers: Vec::new(), ..evidence() };
    let seen = Examination { inventory: "fleet.yml", evidence: &evidence, diagnosis: &well };
    let told = diagnosis_text(&seen, Paint::PLAIN);
    assert!(told.contains("ALL IS WELL: 30 PAIRS ON 30 SERVERS"), "{told}");
}

#[test]
fn a_change_tells_what_came_and_what_went_and_not_what_stayed() {
    let before = diagnosis(vec![stale(1), stale(2), stale(3)]);
    let now = diagnosis(vec![stale(3), stale(4)]);

    let told = changes(&before, &now, Paint::PLAIN);

    assert!(told.contains("1 new since 03:15, 2 gone, 1 as before"), "{told}");
    assert!(told.contains("new          package-server-stale  on ps-lon-04"), "{told}");
    assert!(told.contains("gone         package-server-stale  on ps-lon-[01,02]"), "{told}");
}

#[test]
fn a_page_says_why_for_each_cell_and_needs_nothing_from_outside() {
    let diagnosis = mixed();
    let evidence = evidence();
    let seen = Examination { inventory: "<fleet>.yml", evidence: &evidence, diagnosis: &diagnosis };

    let page = diagnosis_page(&seen);

    assert!(page.contains("the snapshot of ps-lon-02.corp.example is 3 days behind"));
    assert!(page.contains("&lt;fleet&gt;.yml") && !page.contains("<fleet>"));
    assert!(page.contains("<span class='name' title='ps-lon-01.corp.example'>ps-lon-01</span>"));
    for outside in ["http:", "https:", "<script", " src=", "@import", "url(h"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_command_names_every_server_and_quotes_what_a_shell_would_read() {
    let diagnosis = mixed();
    let evidence = evidence();
    let seen =
        Examination { inventory: "my fleet's.yml", evidence: &evidence, diagnosis: &diagnosis };
    let hosts = [server(2), server(3)];

    let mut meant = text::Meant { hosts: hosts.iter().collect(), ..text::Meant::default() };

    let told = text::command(Playbook::UpdateAndResend, &meant, &seen);

    assert!(told.contains(r"-i 'my fleet'\''s.yml'"), "{told}");
    assert!(told.contains("ps-lon-02.corp.example") && told.contains("ps-lon-03.corp.example"));
    assert!(!told.contains('['), "brackets mean characters in a pattern: {told}");

    meant.packages = [Guid::from_u128(1), Guid::from_u128(2)].into_iter().collect();
    let told = text::command(Playbook::RedownloadPackages, &meant, &seen);
    let list = told.split_once("-e packages='").expect("it takes packages").1;
    let list: Vec<Guid> = serde_json::from_str(list.trim_end_matches('\'')).expect("JSON");
    assert_eq!(list, [Guid::from_u128(1), Guid::from_u128(2)]);
}

#[test]
fn another_program_is_told_what_could_not_be_read_beside_what_is_wrong() {
    let (evidence, diagnosis) = (evidence(), mixed());
    let seen = Examination { inventory: "fleet.yml", evidence: &evidence, diagnosis: &diagnosis };

    let json = diagnosis_json(&seen).expect("it is written");
    let document: serde_json::Value = serde_json::from_str(&json).expect("it is read");

    let unread = serde_json::json!([
        { "part": "shares", "why": "access denied", "hosts": [server(9).as_str()] }
    ]);
    assert_eq!(document["unread"], unread);
    let read: Diagnosis = serde_json::from_value(document).expect("a diagnosis as before");
    assert_eq!(read, diagnosis);
}
