//! What the Notification Server writes into the CMDB, as typed changes.

use std::collections::BTreeMap;

use crate::model::Guid;

/// One change of the CMDB, in the order in which the Notification Server makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// This Notification Server itself: `vThisNS`, `ForwardServer`, `OriginNSSourceNS`.
    NotificationServer {
        /// Its GUID.
        guid: Guid,
        /// Its fully qualified name.
        name: String,
    },
    /// A computer: `vItem`, `vComputerResource`, `Inv_AeX_AC_Identification`,
    /// `Inv_AeX_AC_Client_Agent`, `vSiteServices`.
    Server {
        /// Its resource GUID.
        guid: Guid,
        /// Its short name.
        name: String,
        /// Its fully qualified name.
        fqdn: String,
        /// The version of its agent.
        agent_version: String,
        /// Its site.
        site: String,
        /// When it last sent basic inventory.
        inventory: jiff::Timestamp,
    },
    /// The latest version of a package: `SWDPackage` with `_Latest` 1, `vItem`,
    /// `vRM_Package_Item`, `ItemNSSource`.
    Package {
        /// Its GUID.
        guid: Guid,
        /// Its name.
        name: String,
        /// Its version.
        version: u64,
    },
    /// The state of a package on a server: `SWDPackageServer`; replaces the pair's row.
    PackageServer {
        /// The server.
        server: Guid,
        /// The package.
        package: Guid,
        /// The state.
        row: StatusRow,
    },
    /// Where clients find a package: `SWDPackageCodebase`; replaces the pair's rows.
    Codebases {
        /// The server.
        server: Guid,
        /// The package.
        package: Guid,
        /// The addresses, by HTTP and by file share.
        urls: Vec<String>,
        /// The version of the manifest they were made from.
        snapshot: u64,
    },
    /// How many events now wait in the queue: `EventQueueEntry`.
    QueueLength(u64),
}

/// A row of `SWDPackageServer`, without its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// `Ready`, `Invalid`, ….
    pub status: String,
    /// The version that the server reported; it may hold an error text.
    pub version: String,
}

impl StatusRow {
    /// Whether the row says Ready with this version.
    pub fn is_ready_with(&self, version: u64) -> bool {
        self.status == "Ready" && self.version == version.to_string()
    }
}

/// The status rows by (server, package): what the Notification Server believes.
pub(super) type StatusRows = BTreeMap<(Guid, Guid), StatusRow>;
