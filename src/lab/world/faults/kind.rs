//! The faults by name, and what each is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What can be wrong. The faults of the product bear the names that a diagnosis has for their causes;
/// where an older name is in use, both are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The agent believes that an old snapshot.xml is current; the Notification Server says Invalid.
    #[serde(alias = "package_server_stale")]
    Stale,
    /// The package is well, but the Notification Server never processed the report: Invalid.
    #[serde(alias = "notification_server_stale")]
    Invalid,
    /// As `stale`, but the Notification Server's row says Ready, with the old version.
    DriftedButReady,
    /// The Agent Connectivity Credential has no rights on the package store: downloads fail.
    #[serde(alias = "acl_missing")]
    MissingAce,
    /// UrgentList.xml names a package that no policy assigns.
    UrgentList,
    /// The machine lost its trust relationship (1789): whatever it reports is taken as Invalid.
    #[serde(rename = "trust_1789")]
    Trust1789,
    /// Something outside the product deletes the content again and again.
    #[serde(alias = "external_deletion_loop")]
    RedownloadLoop,
    /// A package is marked Deleted in its PackageStatus.xml; its clean-up never ends.
    Deleted,
    /// Nothing listens.
    #[serde(alias = "unreachable")]
    Offline,
    /// The package service still runs with anonymous access, by an old policy (KB 179719).
    CredentialNotApplied,
    /// The agent's secure storage is damaged: no package can be saved, 0x80043005 (KB 387398).
    SecureStorage,
    /// An agent or its plug-in is older than the Notification Server's (KB 181405, section 5).
    VersionMismatch,
    /// The server is in no site.
    SiteUnassigned,
    /// Two packages have the same alternate folder; each removes the other's files (KB 413372).
    AlternateLocationConflict,
    /// The share of the package store is gone, or the share of an alternate location never was.
    ShareMissing,
    /// Another program keeps a snapshot.xml open, 0x00000020 (KB 163475).
    SnapshotLocked,
    /// The volume of the package store is full.
    DiskFull,
    /// Names below a deep package store are longer than 254 characters (KB 152039).
    PathTooLong,
    /// The agent's service is stopped.
    AgentStopped,
    /// The application pool of the package server is stopped (KB 422201).
    AppPoolStopped,
    /// IIS is not installed.
    IisMissing,
    /// The package store holds the folder of a package that the agent does not know.
    OrphanFolder,
    /// A file has the right size and other bytes (TECH140644).
    HashDamaged,
    /// The Notification Server answers every request for sources with "busy" (KB 176788).
    ServerBusy,
    /// A large package is on its way; nothing is wrong.
    StillDownloading,
    /// The status table holds two rows for a pair (KB 181405).
    DuplicateRows,
    /// A package comes from a server that is no parent of this one: no snapshot is made of it.
    ForeignOrigin,
    /// A package is replicated from a parent that exists: it is the parent's business.
    ParentOwnsIt,
    /// The Notification Server cannot reach a package's source: no snapshot is made of it.
    SourcePathBroken,
    /// A snapshot is gone at the Notification Server, though its source is there.
    SnapshotMissing,
    /// A package gets new versions though none of its files changes (KB 433153).
    RefreshChurn,
    /// Rows are left of a package that was deleted, or of a server that was retired.
    Orphan,
    /// The queue of events is long, and drains.
    EventQueueVolume,
    /// A few old events stand in the queue, and nothing moves (KB 205352).
    EventQueueStall,
    /// Every answer is late.
    Slow,
    /// Connections are taken and never answered.
    Hang,
    /// The fleet's account has another password here.
    WrongPassword,
    /// The quota of remote shells is used up.
    ShellQuota,
    /// A session's authentication is gone in the middle (401).
    Unauthorized,
    /// An answer is cut in the middle.
    Truncated,
    /// A snapshot.xml is open elsewhere for a while: it can be read but not moved.
    SharingViolation,
    /// A snapshot.xml has the read-only attribute.
    ReadOnly,
    /// A statement at the CMDB is chosen as the deadlock victim.
    SqlDeadlock,
}

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab::world) enum Scope {
    /// The product's own state of a server. Of the servers that the seed chooses, each has at most one,
    /// so that tests can tell causes apart.
    Server,
    /// A package, on every server that has it.
    Package,
    /// The Notification Server itself.
    NotificationServer,
    /// Connections, requests and files of a server, whatever the product does.
    Transport,
    /// Statements at the CMDB.
    Sql,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 43] = [
        Self::Stale,
        Self::Invalid,
        Self::DriftedButReady,
        Self::MissingAce,
        Self::UrgentList,
        Self::Trust1789,
        Self::RedownloadLoop,
        Self::Deleted,
        Self::Offline,
        Self::CredentialNotApplied,
        Self::SecureStorage,
        Self::VersionMismatch,
        Self::SiteUnassigned,
        Self::AlternateLocationConflict,
        Self::ShareMissing,
        Self::SnapshotLocked,
        Self::DiskFull,
        Self::PathTooLong,
        Self::AgentStopped,
        Self::AppPoolStopped,
        Self::IisMissing,
        Self::OrphanFolder,
        Self::HashDamaged,
        Self::ServerBusy,
        Self::StillDownloading,
        Self::DuplicateRows,
        Self::ForeignOrigin,
        Self::ParentOwnsIt,
        Self::SourcePathBroken,
        Self::SnapshotMissing,
        Self::RefreshChurn,
        Self::Orphan,
        Self::EventQueueVolume,
        Self::EventQueueStall,
        Self::Slow,
        Self::Hang,
        Self::WrongPassword,
        Self::ShellQuota,
        Self::Unauthorized,
        Self::Truncated,
        Self::SharingViolation,
        Self::ReadOnly,
        Self::SqlDeadlock,
    ];

    pub(in crate::lab::world) fn scope(self) -> Scope {
        match self {
            Self::Stale
            | Self::Invalid
            | Self::DriftedButReady
            | Self::MissingAce
            | Self::Trust1789
            | Self::RedownloadLoop
            | Self::Deleted
            | Self::Offline
            | Self::CredentialNotApplied
            | Self::SecureStorage
            | Self::VersionMismatch
            | Self::SiteUnassigned
            | Self::AlternateLocationConflict
            | Self::ShareMissing
            | Self::SnapshotLocked
            | Self::DiskFull
            | Self::PathTooLong
            | Self::AgentStopped
            | Self::AppPoolStopped
            | Self::IisMissing
            | Self::OrphanFolder
            | Self::HashDamaged
            | Self::ServerBusy
            | Self::StillDownloading
            | Self::DuplicateRows => Scope::Server,
            Self::ForeignOrigin
            | Self::ParentOwnsIt
            | Self::SourcePathBroken
            | Self::SnapshotMissing
            | Self::RefreshChurn
            | Self::Orphan => Scope::Package,
            Self::EventQueueVolume | Self::EventQueueStall => Scope::NotificationServer,
            Self::UrgentList
            | Self::Slow
            | Self::Hang
            | Self::WrongPassword
            | Self::ShellQuota
            | Self::Unauthorized
            | Self::Truncated
            | Self::SharingViolation
            | Self::ReadOnly => Scope::Transport,
            Self::SqlDeadlock => Scope::Sql,
        }
    }

    /// Whether pairs stay not Ready until a person has done something that this program does not do.
    pub fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::SecureStorage
                | Self::AlternateLocationConflict
                | Self::SnapshotLocked
                | Self::DiskFull
                | Self::PathTooLong
                | Self::ServerBusy
                | Self::ParentOwnsIt
                | Self::SourcePathBroken
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stale => "stale snapshot",
            Self::Invalid => "status report lost",
            Self::DriftedButReady => "Ready with an old version",
            Self::MissingAce => "credential without rights on the package store",
            Self::UrgentList => "urgent list names a package without policy",
            Self::Trust1789 => "trust relationship lost (1789)",
            Self::RedownloadLoop => "content deleted from outside again and again",
            Self::Deleted => "package marked Deleted",
            Self::Offline => "offline",
            Self::CredentialNotApplied => "credential not applied",
            Self::SecureStorage => "secure storage damaged",
            Self::VersionMismatch => "agent or plug-in of another version",
            Self::SiteUnassigned => "in no site",
            Self::AlternateLocationConflict => "two packages in one alternate folder",
            Self::ShareMissing => "share missing",
            Self::SnapshotLocked => "snapshot.xml open in another program",
            Self::DiskFull => "disk full",
            Self::PathTooLong => "paths too long",
            Self::AgentStopped => "agent's service stopped",
            Self::AppPoolStopped => "application pool stopped",
            Self::IisMissing => "IIS not installed",
            Self::OrphanFolder => "folder of a package that the agent does not know",
            Self::HashDamaged => "file with other bytes",
            Self::ServerBusy => "told again and again that the server is busy",
            Self::StillDownloading => "still downloading",
            Self::DuplicateRows => "two rows for one pair",
            Self::ForeignOrigin => "package of a server that is no parent",
            Self::ParentOwnsIt => "package of the parent",
            Self::SourcePathBroken => "source of a package cannot be reached",
            Self::SnapshotMissing => "snapshot missing at the Notification Server",
            Self::RefreshChurn => "new versions without changes",
            Self::Orphan => "rows of a package or server that is gone",
            Self::EventQueueVolume => "long queue of events",
            Self::EventQueueStall => "queue of events stands still",
            Self::Slow => "slow",
            Self::Hang => "hangs",
            Self::WrongPassword => "wrong password",
            Self::ShellQuota => "shell quota used up",
            Self::Unauthorized => "authentication lost in mid-session",
            Self::Truncated => "answers cut short",
            Self::SharingViolation => "file open elsewhere",
            Self::ReadOnly => "file is read-only",
            Self::SqlDeadlock => "SQL deadlock",
        })
    }
}
