//! The verdicts: what can be wrong with a fleet, by the names that the documentation has for them.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! verdicts {
    ($($(#[$about:meta])* $name:ident = $word:literal, $meaning:literal;)*) => {
        /// What is wrong; `docs/verdicts.md` says by what each is proven and who repairs it.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Verdict {
            $($(#[$about])* #[serde(rename = $word)] $name,)*
        }

        impl Verdict {
            /// Every verdict.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in reports, playbooks and documentation.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it means, in one phrase.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

verdicts! {
    /// KB 181405, KB 179719.
    NotificationServerStale = "notification-server-stale",
        "the package is well and the Notification Server does not know it";
    /// KB 181405, KB 163475.
    PackageServerStale = "package-server-stale",
        "the package server has an old version and takes it for the current one";
    /// A version that differs behind a row that says Ready.
    DriftedButReady = "drifted-but-ready",
        "the row says Ready, and the version is an old one";
    /// KB 181405, causes.
    StillDownloading = "still-downloading", "the package is on its way, and not for long";
    /// KB 181405, KB 176788.
    ServerBusy = "server-busy", "the Notification Server turns requests for packages away";
    /// KB 205352.
    EventQueueVolume = "event-queue-volume", "many events wait, and they are worked off";
    /// KB 205352.
    EventQueueStall = "event-queue-stall", "events wait, and none is worked off";
    /// KB 179719.
    CredentialNotApplied = "credential-not-applied",
        "the package service does not run under the configured credential";
    /// KB 179719.
    AclMissing = "acl-missing", "the credential lacks full control of the package store";
    /// KB 179719.
    Trust1789 = "trust-1789", "the machine's trust relationship with its domain fails";
    /// KB 181405, last section.
    UrgentList = "urgent-list", "UrgentList.xml names a package that no policy assigns";
    /// KB 387398.
    SecureStorage = "secure-storage", "the agent's secure storage cannot save packages";
    /// KB 181405, section 1.
    ForeignOrigin = "foreign-origin",
        "the package comes from another server that is no parent of this one";
    /// KB 181405, section 1.
    ParentOwnsIt = "parent-owns-it", "the package is a parent's, and has to be repaired there";
    /// KB 181405, section 1; KB 397906.
    SourcePathBroken = "source-path-broken",
        "the Notification Server cannot reach the folder of the package's source";
    /// KB 181405, section 1.
    SnapshotMissing = "snapshot-missing", "there is no snapshot of the package";
    /// KB 181405, section 5.
    VersionMismatch = "version-mismatch",
        "the agent or its package server plug-in is not the one that is current";
    /// KB 181405, KB 426743.
    SiteUnassigned = "site-unassigned", "the package server belongs to no site";
    /// KB 180394, KB 413372.
    AlternateLocationConflict = "alternate-location-conflict",
        "packages share an alternate folder, so that one's clean-up removes another's files";
    /// KB 433153.
    ShareMissing = "share-missing", "a share that packages are offered by does not exist";
    /// KB 163475.
    SnapshotLocked = "snapshot-locked", "another program keeps the snapshot open";
    /// KB 416632.
    DiskFull = "disk-full", "the volume of the package store is full";
    /// KB 152039.
    PathTooLong = "path-too-long", "a path of the package is longer than 254 characters";
    /// The agent's service.
    AgentStopped = "agent-stopped", "the agent's service does not run";
    /// KB 422201.
    AppPoolStopped = "app-pool-stopped", "the application pool that serves packages is stopped";
    /// A folder that nothing speaks of.
    OrphanFolder = "orphan-folder", "the package store has folders that the agent does not know";
    /// TECH140644.
    HashDamaged = "hash-damaged", "files are not what the snapshot says they are";
    /// KB 433153.
    ExternalDeletionLoop = "external-deletion-loop",
        "something outside of the product deletes the files, and the agent fetches them again";
    /// KB 433153.
    RefreshChurn = "refresh-churn", "the package gets new versions though its files do not change";
    /// KB 181405, additional queries.
    DuplicateRows = "duplicate-rows", "the status table has more than one row for the pair";
    /// Rows of what is gone.
    Orphan = "orphan", "rows speak of a package or of a server that is gone";
    /// KB 150861.
    IisMissing = "iis-missing", "IIS is not installed";
    /// No transport.
    Unreachable = "unreachable", "the server could not be looked at";
    /// What no rule explains.
    Unknown = "unknown", "something is not well, and nothing that was seen explains it";
}

impl Verdict {
    /// The verdict of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_text_and_in_json_and_leads_back() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::of(verdict.name()), Some(*verdict));
            let json = serde_json::to_string(verdict).expect("a word");
            assert_eq!(json, format!("\"{verdict}\""));
        }
        assert_eq!(Verdict::ALL.len(), 34);
    }

    #[test]
    fn every_verdict_is_documented() {
        let documentation = include_str!("../../../docs/verdicts.md");
        for verdict in Verdict::ALL {
            assert!(documentation.contains(&format!("| `{verdict}` |")), "{verdict}");
        }
    }
}
