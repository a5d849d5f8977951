//! What a host says of itself: where its agent and its Notification Server live.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::Reader;
use crate::model::{FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::ReadScript;
use crate::transport::security::Sid;

/// Asks a host for its facts.
pub(super) const HOST_FACTS: ReadScript =
    ReadScript { name: "host-facts", text: include_str!("scripts/host-facts.ps1") };

/// Asks a host which SID an account has.
const RESOLVE_ACCOUNT: ReadScript =
    ReadScript { name: "resolve-account", text: include_str!("scripts/resolve-account.ps1") };

/// What a host says of itself; asked once per session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HostFacts {
    /// Its computer name.
    pub computer: String,
    /// Its DNS domain; empty in a workgroup.
    #[serde(default, deserialize_with = "text_or_empty")]
    pub domain: String,
    /// Its clock when it was asked.
    pub time_utc: Option<jiff::Timestamp>,
    /// The folder for all users' data, commonly `C:\ProgramData`.
    pub program_data: WindowsPath,
    /// The folder for programs, commonly `C:\Program Files`.
    pub program_files: WindowsPath,
    /// The agent; none when none is installed.
    pub agent: Option<AgentFacts>,
    /// The Notification Server; none on other machines.
    pub notification_server: Option<ServerFacts>,
}

impl HostFacts {
    /// What most hosts would say, for one that cannot be asked: the product in its usual places.
    pub fn usual(computer: &str) -> Self {
        let path = |text: &str| text.parse().expect("a path that is written here");
        Self {
            computer: computer.to_owned(),
            domain: String::new(),
            time_utc: None,
            program_data: path("C:\\ProgramData"),
            program_files: path("C:\\Program Files"),
            agent: None,
            notification_server: None,
        }
    }
}

/// The agent of a host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentFacts {
    /// The registry value `InstallDir`.
    pub install_dir: WindowsPath,
    /// Its version.
    #[serde(default, deserialize_with = "text_or_empty")]
    pub version: String,
    /// The GUID under which the Notification Server knows the machine.
    #[serde(default, deserialize_with = "guid_if_one")]
    pub machine_guid: Option<Guid>,
    /// The fully qualified name of its Notification Server.
    #[serde(default)]
    pub ns: Option<String>,
    /// The version of the package server plug-in; none when it is not there.
    #[serde(default)]
    pub plugin_version: Option<String>,
    /// Where its log is.
    #[serde(default)]
    pub log_dir: Option<WindowsPath>,
    /// Where the package store was relocated to, if it was.
    #[serde(default)]
    pub package_delivery: Option<WindowsPath>,
}

/// The Notification Server of a host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerFacts {
    /// Where it is installed.
    pub install_dir: WindowsPath,
    /// Where its snapshots are.
    #[serde(default)]
    pub snapshots_dir: Option<WindowsPath>,
}

/// An account with the SID that the host has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `DOM\name`.
    pub name: String,
    /// Its SID.
    pub sid: Sid,
}

fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The registry value is not ours: one that is no GUID is none.
fn guid_if_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Guid>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

impl Reader<'_> {
    /// What the host says of itself; asked once per session, over WinRM.
    ///
    /// # Errors
    ///
    /// The host could not be asked, or its answer makes no sense.
    pub async fn facts(&self) -> Result<Arc<HostFacts>, StepFailure> {
        let facts = self
            .session()
            .facts
            .get_or_try_init(|| async {
                let answer = self.script(&HOST_FACTS, &json!({})).await?;
                serde_json::from_value(answer).map(Arc::new).map_err(|error| {
                    StepFailure::caused_by(
                        FailureClass::RemoteFault,
                        format!("could not understand what {} says of itself", self.host().name),
                        &error,
                    )
                })
            })
            .await?;
        Ok(Arc::clone(facts))
    }

    /// The account of a name, or of a SID written as `S-1-…`, for which nobody is asked.
    ///
    /// # Errors
    ///
    /// The host does not know the name.
    pub async fn account(&self, name: &str) -> Result<Account, StepFailure> {
        if let Ok(sid) = name.parse() {
            return Ok(Account { name: name.to_owned(), sid });
        }
        #[derive(Deserialize)]
        struct Answer {
            account: String,
            sid: String,
        }
        let answer = self.script(&RESOLVE_ACCOUNT, &json!({ "account": name })).await?;
        let what = || format!("could not understand which account {name} is");
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| StepFailure::caused_by(FailureClass::RemoteFault, what(), &error))?;
        let sid = answer
            .sid
            .parse()
            .map_err(|error| StepFailure::caused_by(FailureClass::RemoteFault, what(), &error))?;
        Ok(Account { name: answer.account, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_with_and_without_what_may_be_missing() {
        let facts: HostFacts = serde_json::from_value(json!({
            "computer": "PS-01", "domain": null, "time_utc": "2026-05-16T11:51:05.000Z",
            "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
            "agent": {
                "install_dir": "D:\\Altiris\\Altiris Agent", "version": "8.6.3268",
                "machine_guid": "not a guid", "ns": "smp01.corp.example",
                "plugin_version": null, "log_dir": null, "package_delivery": null,
            },
            "notification_server": null,
        }))
        .expect("facts");

        let agent = facts.agent.expect("an agent");
        assert_eq!(agent.install_dir.drive(), 'D');
        assert_eq!(agent.machine_guid, None);
        assert_eq!(facts.domain, "");
    }
}
