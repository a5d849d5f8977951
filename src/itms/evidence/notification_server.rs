//! What a Notification Server and its CMDB say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LogFinding, Seen, ServiceSeen, SnapshotSeen};
use crate::model::{Guid, HostName};

/// What was seen of one Notification Server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotificationServerEvidence {
    /// Its name in the inventory.
    pub host: HostName,
    /// The packages that it offers, or that rows speak of.
    pub packages: Seen<Vec<OfferedPackage>>,
    /// The rows of `SWDPackageServer`, all of them: one pair may have two.
    pub rows: Seen<Vec<StatusRow>>,
    /// The package servers that are assigned to a site, by GUID.
    pub servers_with_site: Seen<Vec<Guid>>,
    /// The queue of events.
    pub queue: Seen<EventQueue>,
    /// The newest agent that it knows of: servers with an older one differ.
    pub current_agent_version: Seen<String>,
    /// The newest package server plug-in that it knows of.
    pub current_plugin_version: Seen<String>,
    /// Signatures found in its log.
    pub log: Seen<Vec<LogFinding>>,
    /// The service that dispatches events, `AltirisClientMsgDispatcher` (KB 205352).
    pub dispatcher: Seen<ServiceSeen>,
}

impl Default for NotificationServerEvidence {
    fn default() -> Self {
        Self {
            host: HostName::new(""),
            packages: Seen::NotAsked,
            rows: Seen::NotAsked,
            servers_with_site: Seen::NotAsked,
            queue: Seen::NotAsked,
            current_agent_version: Seen::NotAsked,
            current_plugin_version: Seen::NotAsked,
            log: Seen::NotAsked,
            dispatcher: Seen::NotAsked,
        }
    }
}

/// A package as the Notification Server has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfferedPackage {
    /// The package.
    pub id: Guid,
    /// Its name; none when it is gone from `SWDPackage`.
    pub name: Option<String>,
    /// The version that is current; none when it is gone or has none.
    pub current_version: Option<String>,
    /// The server that it comes from.
    pub origin: Seen<Origin>,
    /// Its snapshot in the Notification Server's folder; `Known(None)` when there is none.
    pub snapshot: Seen<Option<SnapshotSeen>>,
    /// Whether the folder of its source can be reached, as far as the log or a look tells.
    pub source_reachable: Seen<bool>,
}

/// Where a package comes from (KB 181405, section 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The Notification Server itself.
    Local,
    /// Another server.
    Foreign {
        /// Its name, if it has one.
        server: Option<String>,
        /// Whether that server is a parent in a hierarchy that exists: then it is the authority.
        /// None when nobody said.
        #[serde(default)]
        is_live_parent: Option<bool>,
    },
}

/// A row of `SWDPackageServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRow {
    /// The server.
    pub server: Guid,
    /// Its name; none when there is no such resource any more.
    pub server_name: Option<String>,
    /// The package.
    pub package: Guid,
    /// The status; none when the column is NULL.
    pub status: Option<String>,
    /// The version that the server reported, or an error text.
    pub reported_version: Option<String>,
}

/// The queue of events, looked at twice: that tells a queue that drains from one that stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventQueue {
    /// The first look.
    pub first: QueueSample,
    /// The second, if there was one.
    pub second: Option<QueueSample>,
}

/// One look at the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueSample {
    /// When, by the Notification Server's clock.
    pub at: Timestamp,
    /// The entries of `EventQueueEntry`.
    pub entries: u64,
    /// The smallest identifier; none when there are no entries.
    pub oldest_id: Option<i64>,
    /// The age of the oldest file in the queue's folders, in seconds, where it was read.
    pub oldest_file_seconds: Option<u64>,
}
