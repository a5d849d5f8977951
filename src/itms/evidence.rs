//! What an examination saw, as plain data: the Notification Server's rows, each agent's own list, and
//! the disk. Verdicts are made from this alone.
//!
//! What could not be read is kept as such, with the reason. It is never taken for an absence.

mod notification_server;
mod package;
mod server;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use notification_server::{
    EventQueue, NotificationServerEvidence, OfferedPackage, Origin, QueueSample, StatusRow,
};
pub use package::{ContentOnDisk, HeldPackage, PackageOnDisk, SnapshotSeen};
pub use server::{
    AppPool, AppliedCredential, Contact, IisSeen, LogFinding, OutboundQueue, PolicySeen,
    ServerEvidence, ServiceSeen, ShareSeen, StoreAccess, TaskSeen, VolumeSeen,
};

/// Something that was looked at, or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// It was read.
    Known(T),
    /// It could not be read or understood, and why.
    Unreadable(String),
    /// Nobody looked.
    #[default]
    NotAsked,
}

impl<T> Seen<T> {
    /// What was read, if it was.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unreadable(_) | Self::NotAsked => None,
        }
    }
}

/// One examination of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetEvidence {
    /// When it was taken, by the examined world's clock.
    pub taken: Timestamp,
    /// The Notification Servers, in inventory order.
    pub notification_servers: Vec<NotificationServerEvidence>,
    /// The package servers, in inventory order.
    pub servers: Vec<ServerEvidence>,
}
