//! What is wrong with machines beyond the state of their packages: what a fault set, what an examining
//! script sees, what a cure takes away.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::{PackageNo, ServerNo};
use super::time::WorldTime;

/// The Notification Server that is this one's parent in a hierarchy, where a package comes from one.
pub const PARENT: &str = "smp-hq.lab.example";
/// The name of the agent's service.
pub const AGENT_SERVICE: &str = "AeXNSClient";
/// The name of the service that dispatches events at the Notification Server (KB 205352).
pub const DISPATCHER_SERVICE: &str = "AltirisClientMsgDispatcher";
/// The application pool that the product's virtual directories run in. The product's own name for it
/// is not published: this is the lab's.
pub const APP_POOL: &str = "Altiris-PackageServer";
/// Another application pool, which IIS brings along.
pub const DEFAULT_APP_POOL: &str = "DefaultAppPool";
/// The share that package servers make for clients.
pub const PACKAGE_SHARE: &str = "PkgSvrHost";

/// How an agent's package service reaches its files (KB 179719), by the policy it took in last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppliedCredential {
    /// Anonymous access.
    Anonymous,
    /// The application identity.
    ApplicationIdentity,
    /// The Agent Connectivity Credential: what the lab's fleet is set to.
    #[default]
    AgentConnectivity,
}

impl AppliedCredential {
    /// The word in the lab's policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::ApplicationIdentity => "ApplicationIdentity",
            Self::AgentConnectivity => "AgentConnectivityCredential",
        }
    }
}

/// A scheduled task that somebody made on a package server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTask {
    /// Its name with its folder, `\Site\Clean up deployment`.
    pub name: String,
    /// What it runs, in one line.
    pub action: String,
}

/// The conditions of one package server.
#[derive(Debug, Clone, PartialEq)]
pub struct HostConditions {
    /// It is switched off.
    pub is_off: bool,
    /// It lost its trust relationship: every report is taken as Invalid.
    pub has_lost_trust: bool,
    /// Taking in new policies restores the trust.
    pub trust_is_curable: bool,
    /// Packages whose source cannot be read, whatever is done.
    pub(super) no_source: BTreeSet<PackageNo>,
    /// Packages whose content something else deletes again and again.
    pub(super) raided: BTreeSet<PackageNo>,
    /// The agent's service runs. While it does not, nothing that the agent does happens.
    pub is_service_running: bool,
    /// The agent takes what it is asked and does nothing of it, until its service is restarted.
    pub(super) is_hung: bool,
    /// IIS is installed. Without it there are no virtual directories (KB 150861).
    pub has_iis: bool,
    /// The application pool of the product's virtual directories is started (KB 422201).
    pub is_app_pool_started: bool,
    /// Free bytes of the volume that the package store is on.
    pub free_bytes: u64,
    /// All bytes of that volume.
    pub volume_size: u64,
    /// The share `PkgSvrHost` exists.
    pub has_package_share: bool,
    /// Other shares, by name and folder.
    pub shares: Vec<(String, String)>,
    /// Scheduled tasks that somebody made.
    pub tasks: Vec<HostTask>,
    /// What the policy it took in last says.
    pub credential: AppliedCredential,
    /// The newest of the console's choices that it knows of.
    pub(super) credential_revision: u32,
    /// The Notification Server answers its requests for package sources with "busy" (KB 176788).
    pub is_refused_as_busy: bool,
    /// The agent's secure storage is damaged: every update of a package ends with 0x80043005
    /// (KB 387398).
    pub has_damaged_secure_storage: bool,
    /// The version of its package server plug-in, where it is not the agent's.
    pub plugin_version: Option<String>,
    /// Its agent has no package server plug-in: it is a client computer.
    pub has_no_plugin: bool,
    /// It belongs to no site.
    pub has_no_site: bool,
    /// Events that its agent could not send.
    pub outbound_events: u32,
    /// What is particular to packages.
    pub(super) of_packages: BTreeMap<PackageNo, HoldingConditions>,
}

impl Default for HostConditions {
    fn default() -> Self {
        Self {
            is_off: false,
            has_lost_trust: false,
            trust_is_curable: false,
            no_source: BTreeSet::new(),
            raided: BTreeSet::new(),
            is_service_running: true,
            is_hung: false,
            has_iis: true,
            is_app_pool_started: true,
            free_bytes: 61 << 30,
            volume_size: 120 << 30,
            has_package_share: true,
            shares: Vec::new(),
            tasks: Vec::new(),
            credential: AppliedCredential::default(),
            credential_revision: 0,
            is_refused_as_busy: false,
            has_damaged_secure_storage: false,
            plugin_version: None,
            has_no_plugin: false,
            has_no_site: false,
            outbound_events: 0,
            of_packages: BTreeMap::new(),
        }
    }
}

impl HostConditions {
    /// What is particular to a package; nothing unless a fault said so.
    pub(super) fn of(&self, package: PackageNo) -> HoldingConditions {
        self.of_packages.get(&package).cloned().unwrap_or_default()
    }

    pub(super) fn of_mut(&mut self, package: PackageNo) -> &mut HoldingConditions {
        self.of_packages.entry(package).or_default()
    }
}

/// The conditions of one package on one package server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldingConditions {
    /// The folder in which its content is kept in place of the agent's store, as an alternate download
    /// location makes it. Manifest and status stay below the agent's folders (KB 433153).
    pub location: Option<String>,
    /// The folder of that location does not exist, or not the share that it names.
    pub is_location_unusable: bool,
    /// Another program keeps its manifest open (KB 163475).
    pub is_manifest_held: bool,
    /// Its download takes long; it ends then.
    pub downloads_until: Option<WorldTime>,
    /// Content that is damaged on the disk: the right size and other bytes (TECH140644).
    pub has_damaged_content: bool,
}

/// The conditions of the Notification Server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationServerConditions {
    /// How package services are to reach their files.
    pub credential: AppliedCredential,
    /// How often that was chosen anew. An agent takes a choice in when it learns of a newer one.
    pub(super) credential_revision: u32,
    /// The queue stands still: events come, none is processed, until the dispatcher is restarted.
    pub is_stalled: bool,
    /// The dispatcher's service is stopped.
    pub is_dispatcher_stopped: bool,
    /// Events that other clients post per minute beyond what is drained.
    pub flood_per_minute: u32,
    /// Packages whose source folder it cannot reach: no manifest is made of them.
    pub(super) broken_sources: BTreeSet<PackageNo>,
    /// Packages of which it makes a new version at every refresh, though nothing changed.
    pub(super) churning: BTreeSet<PackageNo>,
    /// The servers that came from other Notification Servers, by package.
    pub(super) origins: BTreeMap<PackageNo, OtherServer>,
    /// Packages that were deleted: only rows and addresses are left.
    pub(super) gone: BTreeSet<PackageNo>,
    /// Pairs that have a second row.
    pub(super) duplicates: Vec<(ServerNo, PackageNo)>,
}

/// Another Notification Server that a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherServer {
    /// Its name.
    pub name: String,
    /// Whether it is a parent in a hierarchy that exists.
    pub is_live_parent: bool,
}
