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
    /// The events that now wait in the queue: `EventQueueEntry`.
    Queue {
        /// The identifier of the oldest; those of the others follow without a gap.
        oldest: u64,
        /// How many.
        length: u64,
    },
    /// A second row of a pair: `SWDPackageServer`.
    SecondRow {
        /// The server.
        server: Guid,
        /// The package.
        package: Guid,
        /// What it says.
        row: StatusRow,
    },
    /// The versions that a server reported: `Inv_AeX_AC_Client_Agent`.
    Versions {
        /// The server.
        server: Guid,
        /// Its agent's.
        agent: String,
        /// Its plug-in's.
        plugin: String,
    },
    /// A server belongs to a site.
    Site {
        /// The server.
        server: Guid,
        /// The site.
        site: String,
    },
    /// A server belongs to no site.
    NoSite {
        /// The server.
        server: Guid,
    },
    /// A package comes from another Notification Server: `ItemNSSource`, `OriginNSSourceNS`,
    /// `ForwardServer`.
    Origin {
        /// The package.
        package: Guid,
        /// The other server's GUID.
        origin: Guid,
        /// Its name.
        name: String,
        /// Whether it is a parent in a hierarchy that exists.
        is_live_parent: bool,
    },
    /// A package comes from this Notification Server.
    LocalOrigin {
        /// The package.
        package: Guid,
    },
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
