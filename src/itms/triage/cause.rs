//! Root causes, and which symptoms of which pairs each explains.

use super::fleet::{Fleet, Symptom};
use super::{Certainty, Playbook, Severity, Verdict};
use crate::model::Guid;

/// A root cause as it was found.
pub(super) struct Cause {
    pub(super) verdict: Verdict,
    pub(super) place: Place,
    pub(super) severity: Severity,
    pub(super) certainty: Certainty,
    pub(super) evidence: Vec<String>,
    pub(super) answer: Answer,
    /// The pairs that it may be the cause of, by index.
    pub(super) reach: Vec<usize>,
}

/// Where a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    NotificationServer(usize),
    Package(usize, Guid),
    Server(usize),
    Pair(usize),
}

/// What should be done, before it is known whether that may be proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first of these that may be proposed, and the next.
    Run(Vec<Playbook>),
    Person(String, Option<Playbook>),
    Wait(String),
}

impl Cause {
    pub(super) fn new(verdict: Verdict, place: Place, answer: Answer) -> Self {
        Self {
            verdict,
            place,
            severity: Severity::Error,
            certainty: Certainty::Proven,
            evidence: Vec::new(),
            answer,
            reach: Vec::new(),
        }
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn certainty(mut self, certainty: Certainty) -> Self {
        self.certainty = certainty;
        self
    }

    pub(super) fn seen(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    pub(super) fn seen_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    pub(super) fn reaching(mut self, pairs: impl IntoIterator<Item = usize>) -> Self {
        self.reach = pairs.into_iter().collect();
        self
    }

    /// Whether a symptom of a pair that it reaches is a consequence of this.
    pub(super) fn explains(&self, symptom: Symptom) -> bool {
        consequences(self.verdict).contains(&symptom)
    }

    /// The places in their order for reports.
    pub(super) fn rank(&self, fleet: &Fleet<'_>) -> (usize, String, String) {
        match self.place {
            Place::NotificationServer(ns) => {
                (0, fleet.notification_servers[ns].host.to_string(), String::new())
            }
            Place::Package(ns, id) => {
                (1, fleet.notification_servers[ns].host.to_string(), id.to_string())
            }
            Place::Server(server) => (2, fleet.host(server).to_string(), String::new()),
            Place::Pair(pair) => {
                let pair = &fleet.pairs[pair];
                (3, fleet.host(pair.server).to_string(), pair.title())
            }
        }
    }
}

use Symptom::{
    Ahead, Behind, BeingRemoved, Downloading, FilesDamaged, FilesMissing, Invalid, NoSnapshot,
    NotAssigned, NotSeen, NotTaken, OtherState, RowBehind,
};

/// Every symptom that is not about the content itself.
const ALL_BUT_CONTENT: &[Symptom] = &[
    RowBehind,
    Behind,
    Ahead,
    Downloading,
    Invalid,
    OtherState,
    NoSnapshot,
    NotTaken,
    NotAssigned,
    NotSeen,
];
/// What keeps the agent from getting or saving a package.
const NOT_SAVED: &[Symptom] = &[Downloading, Invalid, OtherState, NotTaken];

/// The symptoms that a cause can have. An agent that takes an old version for the current one
/// ([`Behind`]) never asks for it, so that what hinders downloads does not explain it.
fn consequences(verdict: Verdict) -> &'static [Symptom] {
    match verdict {
        Verdict::Unreachable => &[NotSeen, Behind, RowBehind],
        Verdict::AgentStopped | Verdict::Trust1789 => ALL_BUT_CONTENT,
        Verdict::EventQueueStall | Verdict::EventQueueVolume => &[RowBehind, NotSeen],
        Verdict::CredentialNotApplied | Verdict::AclMissing => {
            &[RowBehind, Downloading, Invalid, OtherState, NotTaken, NotSeen]
        }
        Verdict::SourcePathBroken
        | Verdict::ForeignOrigin
        | Verdict::ParentOwnsIt
        | Verdict::SnapshotMissing
        | Verdict::NotificationServerStale => ALL_BUT_CONTENT,
        Verdict::RefreshChurn => &[RowBehind, Behind, Downloading, NotTaken],
        Verdict::DiskFull
        | Verdict::ServerBusy
        | Verdict::SecureStorage
        | Verdict::PathTooLong
        | Verdict::VersionMismatch => NOT_SAVED,
        Verdict::ShareMissing => &[Downloading, Invalid, OtherState, NotTaken, FilesMissing],
        Verdict::AlternateLocationConflict => {
            &[Downloading, Invalid, OtherState, NotTaken, FilesMissing, FilesDamaged]
        }
        Verdict::SnapshotLocked => &[Downloading, Invalid, OtherState, NotTaken, Behind],
        Verdict::AppPoolStopped | Verdict::IisMissing => &[Downloading],
        Verdict::ExternalDeletionLoop => {
            &[Downloading, Invalid, FilesMissing, RowBehind, NoSnapshot]
        }
        Verdict::HashDamaged => &[FilesMissing, FilesDamaged],
        Verdict::DriftedButReady | Verdict::PackageServerStale => &[Behind],
        Verdict::StillDownloading => &[Downloading, NotTaken, Behind],
        Verdict::Unknown => &[BeingRemoved],
        Verdict::UrgentList
        | Verdict::SiteUnassigned
        | Verdict::OrphanFolder
        | Verdict::DuplicateRows
        | Verdict::Orphan => &[],
    }
}
