//! Kinds of verdicts: there are more verdicts than colours that can be told apart.

use crate::itms::triage::Verdict;

/// What a verdict is about, as far as a map tells it by colour and mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// The server could not be looked at.
    Unreachable,
    /// The machine cannot serve: agent, IIS, disk.
    Machine,
    /// Somebody may not do what he must: credential, rights, trust, shares.
    Access,
    /// The server's files are not what they should be.
    Content,
    /// Content comes and goes.
    Loop,
    /// The package itself, where it comes from.
    Source,
    /// The Notification Server believes something else than is so.
    Belief,
    /// It is on its way, or waits.
    UnderWay,
    /// Nothing that is known explains it.
    Unknown,
}

impl Kind {
    /// Every kind, in the order of legends.
    pub(super) const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Machine,
        Self::Access,
        Self::Content,
        Self::Loop,
        Self::Source,
        Self::Belief,
        Self::UnderWay,
        Self::Unknown,
    ];

    /// The kind of a verdict.
    pub(super) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unreachable => Self::Unreachable,
            Verdict::AgentStopped
            | Verdict::AppPoolStopped
            | Verdict::IisMissing
            | Verdict::DiskFull
            | Verdict::SecureStorage
            | Verdict::VersionMismatch => Self::Machine,
            Verdict::CredentialNotApplied
            | Verdict::AclMissing
            | Verdict::Trust1789
            | Verdict::ShareMissing
            | Verdict::AlternateLocationConflict
            | Verdict::SnapshotLocked => Self::Access,
            Verdict::PackageServerStale
            | Verdict::DriftedButReady
            | Verdict::HashDamaged
            | Verdict::UrgentList
            | Verdict::OrphanFolder
            | Verdict::PathTooLong => Self::Content,
            Verdict::ExternalDeletionLoop | Verdict::RefreshChurn => Self::Loop,
            Verdict::ForeignOrigin
            | Verdict::ParentOwnsIt
            | Verdict::SourcePathBroken
            | Verdict::SnapshotMissing => Self::Source,
            Verdict::NotificationServerStale
            | Verdict::EventQueueVolume
            | Verdict::EventQueueStall
            | Verdict::DuplicateRows
            | Verdict::Orphan
            | Verdict::SiteUnassigned => Self::Belief,
            Verdict::StillDownloading | Verdict::ServerBusy => Self::UnderWay,
            Verdict::Unknown => Self::Unknown,
        }
    }

    /// Its name in legends.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Machine => "machine",
            Self::Access => "access",
            Self::Content => "files on the server",
            Self::Loop => "comes and goes",
            Self::Source => "source of the package",
            Self::Belief => "Notification Server's view",
            Self::UnderWay => "under way",
            Self::Unknown => "unknown",
        }
    }

    /// The name of its mark in the page.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Unreachable => "k-off",
            Self::Machine => "k-machine",
            Self::Access => "k-access",
            Self::Content => "k-content",
            Self::Loop => "k-loop",
            Self::Source => "k-source",
            Self::Belief => "k-belief",
            Self::UnderWay => "k-way",
            Self::Unknown => "k-unknown",
        }
    }

    /// Its colour, out of the palette of Okabe and Ito, which people with any colour vision can
    /// tell apart; and its mark in a cell of 12 by 12, which tells it without colour.
    pub(super) fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreachable => ("#3b3f46", "<path d='M3.5 6h5' stroke='#fff'/>"),
            Self::Machine => ("#d55e00", "<path d='M6 3.2v5.6M3.2 6h5.6' stroke='#fff'/>"),
            Self::Access => {
                ("#cc79a7", "<path d='M3.6 3.6l4.8 4.8M8.4 3.6l-4.8 4.8' stroke='#3a1029'/>")
            }
            Self::Content => ("#e69f00", "<path d='M3.4 8.6l5.2-5.2' stroke='#3a2800'/>"),
            Self::Loop => ("#009e73", "<circle cx='6' cy='6' r='2.4' stroke='#fff'/>"),
            Self::Source => {
                ("#f0e442", "<rect x='4' y='4' width='4' height='4' fill='#4a4500' stroke='none'/>")
            }
            Self::Belief => {
                ("#0072b2", "<circle cx='6' cy='6' r='1.9' fill='#fff' stroke='none'/>")
            }
            Self::UnderWay => ("#56b4e9", "<path d='M4.4 3.6l3.4 2.4-3.4 2.4' stroke='#062b40'/>"),
            Self::Unknown => (
                "#ffffff",
                "<rect x='.75' y='.75' width='9.5' height='9.5' stroke='#777'/><path d='M3 9l6-6M1.5 6.5l5-5M5.5 10.5l5-5' stroke='#777' stroke-width='.8'/>",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_look_the_same_even_without_colour() {
        for (at, one) in Kind::ALL.iter().enumerate() {
            for other in &Kind::ALL[at + 1..] {
                assert_ne!(one.look().0, other.look().0);
                assert_ne!(one.look().1, other.look().1);
            }
        }
    }
}
