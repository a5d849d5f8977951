//! The packages of a package server as its own agent lists them.

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::scripts::AGENT_PACKAGES;
use crate::host::Reader;
use crate::itms::PackageVersion;
use crate::itms::agent_evidence::{is_asked_for, is_downloading, is_ready};
use crate::model::{FailureClass, Guid, StepFailure, WorkRow};

/// The agent's list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct PackageList {
    /// Whether the package server plug-in is there at all.
    pub(super) package_server: bool,
    /// The packages.
    #[serde(default)]
    pub(super) packages: Vec<AgentPackage>,
}

/// A package in the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AgentPackage {
    /// The package.
    pub(super) id: Guid,
    /// Its name.
    #[serde(default)]
    pub(super) name: String,
    /// Its status in the agent's words.
    pub(super) status: String,
    /// Its version; the agent may give a number or a text.
    #[serde(default, deserialize_with = "version_text")]
    pub(super) version: Option<String>,
    /// Whether it is kept at another place than the agent's own store.
    #[serde(default)]
    pub(super) custom_location: bool,
    /// Its status before that, where the agent tells it.
    #[serde(default)]
    pub(super) previous_status: Option<String>,
    /// When the status changed, where the agent tells it.
    #[serde(default)]
    pub(super) since: Option<String>,
    /// The other place, where the agent tells it; no document names such a field.
    #[serde(default)]
    pub(super) location: Option<String>,
}

fn version_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    })
}

impl PackageList {
    /// Asks the agent for its list. An agent whose service does not run is not asked: its COM object
    /// would start it, and reading changes nothing.
    ///
    /// # Errors
    ///
    /// `RemoteFault` when the agent's service does not run, or the list is not understood.
    pub(super) async fn read(at: &Reader<'_>) -> Result<Self, StepFailure> {
        let answer = at.script(&AGENT_PACKAGES, &json!({})).await?;
        serde_json::from_value(answer).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::RemoteFault,
                "could not understand the agent's list of packages",
                &error,
            )
        })
    }

    /// The status of a package, if the agent lists it.
    pub(super) fn status_of(&self, package: Guid) -> Option<&str> {
        self.packages.iter().find(|known| known.id == package).map(|known| known.status.as_str())
    }

    /// Which of the wanted packages are not there yet: missing from the list, or on their way.
    pub(super) fn on_their_way(&self, wanted: &[Guid]) -> Vec<Guid> {
        let is_there = |id: &Guid| {
            self.packages
                .iter()
                .any(|package| package.id == *id && !is_downloading(&package.status))
        };
        wanted.iter().copied().filter(|id| !is_there(id)).collect()
    }

    /// The packages that the agent will ask its Notification Server for once it has its policies: what
    /// it has as neither Ready nor Deleted, and of the work what it has in another version than the
    /// current one. What it has Ready it does not ask for, whatever the CMDB says of it.
    pub(super) fn lacking(&self, work: &[WorkRow]) -> IndexSet<Guid> {
        let is_behind = |package: &AgentPackage| {
            let row = work.iter().find(|row| row.package == package.id);
            let current = row.and_then(|row| row.current_version.as_deref()).map(str::trim);
            let own = package.version.as_deref().map(str::trim);
            current.zip(own).is_some_and(|(current, own)| current != own)
        };
        let is_lacking = |package: &&AgentPackage| {
            is_asked_for(&package.status) || is_ready(&package.status) && is_behind(package)
        };
        self.packages.iter().filter(is_lacking).map(|package| package.id).collect()
    }

    /// The list for `register`; `built` is the moment that a version stands for.
    pub(super) fn value(&self) -> Value {
        let packages: Vec<Value> = self
            .packages
            .iter()
            .map(|package| {
                let version = package.version.as_deref().and_then(PackageVersion::parse);
                json!({
                    "id": package.id,
                    "name": package.name,
                    "status": package.status,
                    "version": package.version,
                    "built": version.and_then(PackageVersion::moment).map(|at| at.to_string()),
                    "custom_location": package.custom_location,
                })
            })
            .collect();
        json!({ "packages": packages })
    }

    /// The list in a few words: `12 packages: 10 Ready, 2 Invalid`.
    pub(super) fn summary(&self) -> String {
        let mut counts: IndexMap<&str, usize> = IndexMap::new();
        for package in &self.packages {
            *counts.entry(package.status.trim()).or_default() += 1;
        }
        counts.sort_by(|_, a, _, b| b.cmp(a));
        let parts: Vec<String> =
            counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
        match self.packages.len() {
            0 => "no packages".to_owned(),
            1 => format!("1 package: {}", parts.join(", ")),
            count => format!("{count} packages: {}", parts.join(", ")),
        }
    }
}

/// The packages that the agent will ask for once it has its policies, by its own list; by the host's
/// work where it gives none, as when its service does not run.
///
/// # Errors
///
/// Those of the connection.
pub(super) async fn packages_lacking(at: &Reader<'_>) -> Result<IndexSet<Guid>, StepFailure> {
    match PackageList::read(at).await {
        Ok(list) if list.package_server => Ok(list.lacking(at.work())),
        Err(failure) if failure.class != FailureClass::RemoteFault => Err(failure),
        Ok(_) | Err(_) => Ok(at.work().iter().map(|row| row.package).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(1);
    const B: Guid = Guid::from_u128(2);
    const C: Guid = Guid::from_u128(3);

    fn list() -> PackageList {
        serde_json::from_value(json!({ "package_server": true, "packages": [
            { "id": A, "name": "Firefox", "status": "Ready", "version": "1601867730", "custom_location": false },
            { "id": B, "name": "Office", "status": "Download Pending", "version": 7 },
        ] }))
        .expect("a list")
    }

    #[test]
    fn a_package_that_is_missing_or_downloading_is_on_its_way() {
        assert_eq!(list().on_their_way(&[A, B, C]), [B, C]);
    }

    #[test]
    fn a_version_may_be_a_number_or_a_text_and_is_shown_with_its_moment() {
        let value = list().value();

        assert_eq!(value["packages"][0]["built"], "2020-10-05T03:15:30Z");
        assert_eq!(value["packages"][1]["version"], "7");
        assert_eq!(value["packages"][1]["built"], Value::Null);
    }

    #[test]
    fn a_list_is_summed_up_by_status() {
        assert_eq!(list().summary(), "2 packages: 1 Ready, 1 Download Pending");
        assert_eq!(PackageList::default().summary(), "no packages");
    }
}
