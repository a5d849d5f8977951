//! What was seen of a package server beside its packages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HeldPackage, PackageOnDisk, Seen};
use crate::model::{FailureClass, Guid, HostName, StepFailure};

/// What was seen of one package server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerEvidence {
    /// Its name in the inventory.
    pub host: HostName,
    /// The GUID under which the Notification Server knows it.
    pub guid: Option<Guid>,
    /// When it was looked at, by its own clock.
    pub at: Option<Timestamp>,
    /// Whether WinRM could be used.
    pub winrm: Contact,
    /// Whether SMB could be used.
    pub smb: Contact,
    /// The agent's service, `AeXNSClient`; `Known(None)` when there is none.
    pub agent_service: Seen<Option<ServiceSeen>>,
    /// The agent's version.
    pub agent_version: Seen<String>,
    /// The version of the package server plug-in; `Known(None)` when the machine is none.
    pub plugin_version: Seen<Option<String>>,
    /// Whether the machine's trust relationship with its domain holds.
    pub secure_channel: Seen<bool>,
    /// IIS.
    pub iis: Seen<IisSeen>,
    /// Its SMB shares.
    pub shares: Seen<Vec<ShareSeen>>,
    /// The volume that the package store is on.
    pub store_volume: Seen<VolumeSeen>,
    /// The rights of the configured credential on the package store; `NotAsked` when the inventory
    /// names no account.
    pub store_access: Seen<StoreAccess>,
    /// The agent's policy.
    pub policy: Seen<PolicySeen>,
    /// The packages in `UrgentList.xml`; empty when there is no such file.
    pub urgent_list: Seen<Vec<Guid>>,
    /// Folders of the package store without a folder of the same name in the status store.
    pub orphan_folders: Seen<Vec<Guid>>,
    /// Signatures found in the agent's log.
    pub log: Seen<Vec<LogFinding>>,
    /// Events that wait to be sent to the Notification Server.
    pub outbound: Seen<OutboundQueue>,
    /// Scheduled tasks whose action names a folder of packages: who else may delete there.
    pub tasks: Seen<Vec<TaskSeen>>,
    /// The agent's own list of packages.
    pub held: Seen<Vec<HeldPackage>>,
    /// The packages on the disk.
    pub on_disk: Seen<Vec<PackageOnDisk>>,
}

impl Default for ServerEvidence {
    fn default() -> Self {
        Self {
            host: HostName::new(""),
            guid: None,
            at: None,
            winrm: Contact::NotTried,
            smb: Contact::NotTried,
            agent_service: Seen::NotAsked,
            agent_version: Seen::NotAsked,
            plugin_version: Seen::NotAsked,
            secure_channel: Seen::NotAsked,
            iis: Seen::NotAsked,
            shares: Seen::NotAsked,
            store_volume: Seen::NotAsked,
            store_access: Seen::NotAsked,
            policy: Seen::NotAsked,
            urgent_list: Seen::NotAsked,
            orphan_folders: Seen::NotAsked,
            log: Seen::NotAsked,
            outbound: Seen::NotAsked,
            tasks: Seen::NotAsked,
            held: Seen::NotAsked,
            on_disk: Seen::NotAsked,
        }
    }
}

impl ServerEvidence {
    /// What is known of a server whose examination failed as a whole: that it failed, on every
    /// transport.
    pub fn of_failure(host: HostName, guid: Option<Guid>, failure: &StepFailure) -> Self {
        let failed = |what: &str| {
            let prefix = format!("{what}: ");
            let cause = failure.causes.iter().find_map(|cause| cause.strip_prefix(&prefix));
            Contact::Failed {
                class: failure.class,
                why: cause.map_or_else(|| failure.to_string(), str::to_owned),
            }
        };
        Self { host, guid, winrm: failed("WinRM"), smb: failed("SMB"), ..Self::default() }
    }
}

/// Whether a transport could be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// Nobody tried, or the inventory does not say how.
    #[default]
    NotTried,
    /// It answered.
    Answered,
    /// It failed.
    Failed {
        /// How.
        class: FailureClass,
        /// In words.
        why: String,
    },
}

/// A service of Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSeen {
    /// `Running`, `Stopped`, …, in Windows' English words.
    pub state: String,
    /// `Auto`, `Manual`, `Disabled`.
    pub start_mode: String,
}

/// IIS on a package server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IisSeen {
    /// Whether it is installed.
    pub is_installed: bool,
    /// The application pools.
    pub app_pools: Vec<AppPool>,
}

/// An application pool of IIS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPool {
    /// Its name.
    pub name: String,
    /// Whether it is started.
    pub is_started: bool,
    /// Whether one of the product's virtual directories runs in it.
    pub serves_packages: bool,
}

/// An SMB share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSeen {
    /// Its name.
    pub name: String,
    /// The folder.
    pub path: String,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSeen {
    /// Its root, `C:\`.
    pub root: String,
    /// Free bytes.
    pub free: u64,
    /// All bytes.
    pub size: u64,
}

/// The rights of the configured credential on the package store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAccess {
    /// The account, as the inventory names it.
    pub account: String,
    /// Whether it has full control.
    pub has_full_control: bool,
}

/// The agent's policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySeen {
    /// When it was written.
    pub written: Option<Timestamp>,
    /// The packages that it assigns; none when its layout is not understood.
    pub packages: Option<Vec<Guid>>,
    /// The credential that the package service runs under by it; none when it does not tell.
    pub credential: Option<AppliedCredential>,
}

/// How the package service reaches its files (KB 179719).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliedCredential {
    /// Anonymous access, the default.
    Anonymous,
    /// The application identity.
    ApplicationIdentity,
    /// The Agent Connectivity Credential.
    AgentConnectivity,
}

/// A signature found in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFinding {
    /// The signature's name: `server_busy`.
    pub signature: String,
    /// How often.
    pub count: u32,
    /// The date of the last one as the log writes it.
    pub last: String,
    /// How many seconds before the end of the log the last one is, where dates can be compared.
    pub seconds_ago: Option<u64>,
    /// The packages that its events name.
    pub packages: Vec<Guid>,
    /// The text of the last one, at most 300 characters.
    pub text: String,
}

/// Events of the agent that wait to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundQueue {
    /// How many files.
    pub files: u32,
    /// The age of the oldest one in seconds.
    pub oldest_seconds: Option<u64>,
}

/// A scheduled task of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSeen {
    /// Its name with its folder.
    pub name: String,
    /// What it runs.
    pub action: String,
}
