//! Findings folded: the same verdict with the same answer in many places is told once.

use indexmap::{IndexMap, IndexSet};

use crate::itms::triage::{Certainty, Diagnosis, Finding, Proposal, Scope, Severity, Verdict};
use crate::model::{Guid, HostName};

/// How many different pieces of evidence are told of a group.
const MOST_EVIDENCE: usize = 3;

/// Findings with the same verdict and the same answer.
pub(super) struct Group<'a> {
    /// What is wrong.
    pub(super) verdict: Verdict,
    /// What to do.
    pub(super) proposal: &'a Proposal,
    /// The worst of them.
    pub(super) severity: Severity,
    /// The surest of them.
    pub(super) certainty: Certainty,
    /// How many findings it holds.
    pub(super) places: usize,
    /// How many pairs are not well because of them.
    pub(super) pairs: u64,
    /// The servers, in the order of the examination.
    pub(super) hosts: IndexSet<&'a HostName>,
    /// The Notification Servers that they are about.
    pub(super) notification_servers: IndexSet<&'a HostName>,
    /// The packages that they are about, by name.
    pub(super) packages: IndexSet<String>,
    /// The same packages by their GUIDs.
    pub(super) ids: IndexSet<Guid>,
    /// What shows it, the first few.
    pub(super) evidence: IndexSet<String>,
    /// How many further pieces of evidence there are.
    pub(super) more_evidence: usize,
}

/// Folds the findings; the order is that of the diagnosis.
pub(super) fn groups(diagnosis: &Diagnosis) -> Vec<Group<'_>> {
    let mut groups: IndexMap<(Verdict, String), Group<'_>> = IndexMap::new();
    for finding in &diagnosis.findings {
        let answer = serde_json::to_string(&finding.proposal).unwrap_or_default();
        groups.entry((finding.verdict, answer)).or_insert_with(|| Group::of(finding)).take(finding);
    }
    groups.into_values().collect()
}

impl<'a> Group<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            verdict: finding.verdict,
            proposal: &finding.proposal,
            severity: finding.severity,
            certainty: finding.certainty,
            places: 0,
            pairs: 0,
            hosts: IndexSet::new(),
            notification_servers: IndexSet::new(),
            packages: IndexSet::new(),
            ids: IndexSet::new(),
            evidence: IndexSet::new(),
            more_evidence: 0,
        }
    }

    fn take(&mut self, finding: &'a Finding) {
        self.severity = self.severity.min(finding.severity);
        self.certainty = self.certainty.min(finding.certainty);
        self.places += 1;
        self.pairs += u64::from(finding.pairs);
        self.hosts.extend(&finding.servers);
        match &finding.scope {
            Scope::NotificationServer { host } => {
                self.notification_servers.insert(host);
            }
            Scope::Server { host } => {
                self.hosts.insert(host);
            }
            Scope::Pair { host, id, name } => {
                self.hosts.insert(host);
                self.ids.insert(*id);
                self.packages.insert(name.clone().unwrap_or_else(|| id.to_string()));
            }
            Scope::Package { id, name, .. } => {
                self.ids.insert(*id);
                self.packages.insert(name.clone().unwrap_or_else(|| id.to_string()));
            }
        }
        for told in &finding.evidence {
            // The same evidence on two hosts differs in the host's name.
            let told = match finding.scope.host() {
                Some(host) => told.replace(host.as_str(), "the server"),
                None => told.clone(),
            };
            if self.evidence.len() < MOST_EVIDENCE {
                self.evidence.insert(told);
            } else if !self.evidence.contains(&told) {
                self.more_evidence += 1;
            }
        }
    }
}
