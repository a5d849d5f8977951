//! What is asked of a package server over WinRM.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{AGENT_SERVICE, IisAnswer, ServerAnswer, TasksAnswer};
use super::part::{seen, then, understood};
use crate::action::agent_packages::{AgentPackage, PackageList};
use crate::action::scripts::{EXAMINE_IIS, EXAMINE_SERVER, EXAMINE_TASKS};
use crate::host::{HostFacts, Reader};
use crate::itms::evidence::{HeldPackage, IisSeen, Seen, ServerEvidence, ServiceSeen, TaskSeen};
use crate::model::{StepFailure, WindowsPath};
use crate::transport::ReadScript;

/// Runs a script and reads its answer.
pub(super) async fn ask<T: DeserializeOwned>(
    at: &Reader<'_>,
    script: &ReadScript,
    input: &Value,
) -> Result<Seen<T>, StepFailure> {
    let answer = seen(at.script(script, input).await)?;
    let what = format!("the answer of {}", script.name);
    Ok(then(answer, |value| understood(&what, serde_json::from_value(value))))
}

/// Fills in what a package server says of itself.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn examine(
    at: &Reader<'_>,
    facts: Option<&HostFacts>,
    evidence: &mut ServerEvidence,
) -> Result<(), StepFailure> {
    if let Some(agent) = facts.and_then(|facts| facts.agent.as_ref()) {
        evidence.guid = evidence.guid.or(agent.machine_guid);
        evidence.agent_version = match agent.version.trim() {
            "" => Seen::Unreadable("the agent's version is nowhere on the host".to_owned()),
            version => Seen::Known(version.to_owned()),
        };
        evidence.plugin_version = Seen::Known(agent.plugin_version.clone());
    }
    evidence.at = facts.and_then(|facts| facts.time_utc);
    let answer = ask::<ServerAnswer>(at, &EXAMINE_SERVER, &json!({})).await?;
    match answer {
        Seen::Known(answer) => {
            evidence.agent_service = answer.service(AGENT_SERVICE);
            evidence.shares = answer.shares();
            if let Some(store) = facts.and_then(store_of) {
                evidence.store_volume = answer.volume(store.drive());
            }
            evidence.secure_channel = answer.secure_channel.seen(|holds| holds);
        }
        Seen::Unreadable(why) => {
            evidence.agent_service = Seen::Unreadable(why.clone());
            evidence.shares = Seen::Unreadable(why.clone());
            evidence.store_volume = Seen::Unreadable(why.clone());
            evidence.secure_channel = Seen::Unreadable(why);
        }
        Seen::NotAsked => {}
    }
    evidence.held = held(at, &evidence.agent_service).await?;
    evidence.iis = then(ask::<IisAnswer>(at, &EXAMINE_IIS, &json!({})).await?, |answer| {
        Seen::Known(IisSeen::from(answer))
    });
    evidence.tasks = tasks(at, facts, &evidence.held).await?;
    Ok(())
}

/// Where the package store is, as far as the host says.
pub(super) fn store_of(facts: &HostFacts) -> Option<WindowsPath> {
    let agent = facts.agent.as_ref()?;
    let usual = || agent.install_dir.join("Package Delivery").ok();
    agent.package_delivery.clone().or_else(usual)
}

/// The agent's list. Its COM object lives in the agent's service, which Windows would start to
/// answer: where the service does not run, nothing is asked. Where its state is not known, the
/// script that reads the list looks at the service first.
async fn held(
    at: &Reader<'_>,
    service: &Seen<Option<ServiceSeen>>,
) -> Result<Seen<Vec<HeldPackage>>, StepFailure> {
    let why = match service {
        Seen::Known(None) => "the agent is not installed",
        Seen::Known(Some(service)) if !service.state.eq_ignore_ascii_case("running") => {
            "the agent's service does not run"
        }
        Seen::Known(Some(_)) | Seen::Unreadable(_) | Seen::NotAsked => {
            let list = seen(PackageList::read(at).await)?;
            return Ok(then(list, |list| {
                if list.package_server {
                    Seen::Known(list.packages.into_iter().map(held_package).collect())
                } else {
                    Seen::Unreadable("the agent has no package server plug-in".to_owned())
                }
            }));
        }
    };
    Ok(Seen::Unreadable(why.to_owned()))
}

fn held_package(package: AgentPackage) -> HeldPackage {
    let told = |text: String| (!text.trim().is_empty()).then_some(text);
    HeldPackage {
        id: package.id,
        name: told(package.name),
        status: package.status,
        previous_status: package.previous_status.and_then(told),
        since: package.since.as_deref().and_then(|text| text.parse().ok()),
        version: package.version,
        location: package.location.and_then(told).filter(|_| package.custom_location),
    }
}

/// Scheduled tasks that name a folder of packages: the store, and every other location.
async fn tasks(
    at: &Reader<'_>,
    facts: Option<&HostFacts>,
    held: &Seen<Vec<HeldPackage>>,
) -> Result<Seen<Vec<TaskSeen>>, StepFailure> {
    let mut folders = vec!["Package Delivery".to_owned()];
    folders.extend(facts.and_then(store_of).map(|store| store.to_string()));
    let locations = held.known().into_iter().flatten().filter_map(|held| held.location.clone());
    folders.extend(locations);
    folders.sort();
    folders.dedup();
    let answer = ask::<TasksAnswer>(at, &EXAMINE_TASKS, &json!({ "folders": folders })).await?;
    Ok(then(answer, |answer| Seen::Known(answer.tasks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_counts_only_where_the_agent_says_that_it_is_another_one() {
        let package = |custom_location| -> AgentPackage {
            serde_json::from_value(json!({
                "id": "{00000000-0000-0000-0000-000000000001}", "name": "", "status": "Ready",
                "custom_location": custom_location, "location": "E:\\Packages",
                "previous_status": " ", "since": "2026-05-16T11:51:05.000Z",
            }))
            .expect("a package")
        };

        let custom = held_package(package(true));
        assert_eq!(custom.location.as_deref(), Some("E:\\Packages"));
        assert_eq!((custom.name, custom.previous_status), (None, None));
        assert!(custom.since.is_some());
        assert_eq!(held_package(package(false)).location, None);
    }
}
