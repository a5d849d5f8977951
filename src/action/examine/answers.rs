//! What the examining scripts answer, tolerantly: each part stands for itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::itms::evidence::{AppPool, IisSeen, Seen, ServiceSeen, ShareSeen, TaskSeen, VolumeSeen};

/// The agent's service.
pub(super) const AGENT_SERVICE: &str = "AeXNSClient";
/// The service that dispatches events at the Notification Server (KB 205352).
pub(super) const DISPATCHER_SERVICE: &str = "AltirisClientMsgDispatcher";

/// A part of an answer: `{"known": …}` or `{"unreadable": "why"}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Part<T>(Option<Result<T, String>>);

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(why) = value.get("unreadable").and_then(Value::as_str) {
            return Ok(Self(Some(Err(why.to_owned()))));
        }
        Ok(Self(value.get("known").map(|known| {
            serde_json::from_value(known.clone())
                .map_err(|error| format!("could not understand the answer: {error}"))
        })))
    }
}

impl<T> Part<T> {
    /// The part as evidence.
    pub(super) fn seen<U>(self, of: impl FnOnce(T) -> U) -> Seen<U> {
        match self.0 {
            Some(Ok(value)) => Seen::Known(of(value)),
            Some(Err(why)) => Seen::Unreadable(why),
            None => Seen::Unreadable("the script did not tell".to_owned()),
        }
    }
}

/// The answer of `examine-server`.
#[derive(Debug, Deserialize)]
pub(super) struct ServerAnswer {
    #[serde(default)]
    services: Part<BTreeMap<String, ServiceSeen>>,
    #[serde(default)]
    shares: Part<BTreeMap<String, String>>,
    #[serde(default)]
    disks: Part<BTreeMap<String, Sizes>>,
    #[serde(default)]
    pub(super) secure_channel: Part<bool>,
    #[serde(default)]
    agent_package: Part<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Sizes {
    free: u64,
    size: u64,
}

impl ServerAnswer {
    /// A service by its name; `Known(None)` when there is none.
    pub(super) fn service(&self, name: &str) -> Seen<Option<ServiceSeen>> {
        let services = Part(self.services.0.clone());
        services.seen(|all| {
            all.into_iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, service)| service)
        })
    }

    /// The shares that stand for a folder.
    pub(super) fn shares(&self) -> Seen<Vec<ShareSeen>> {
        Part(self.shares.0.clone())
            .seen(|all| all.into_iter().map(|(name, path)| ShareSeen { name, path }).collect())
    }

    /// The volume with that drive letter.
    pub(super) fn volume(&self, drive: char) -> Seen<VolumeSeen> {
        let root = format!("{}:\\", drive.to_ascii_uppercase());
        let found = Part(self.disks.0.clone())
            .seen(|all| all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&root)));
        match found {
            Seen::Known(Some((_, Sizes { free, size }))) => {
                Seen::Known(VolumeSeen { root, free, size })
            }
            Seen::Known(None) => Seen::Unreadable(format!("there is no local disk {root}")),
            Seen::Unreadable(why) => Seen::Unreadable(why),
            Seen::NotAsked => Seen::NotAsked,
        }
    }

    /// The version of the agent that the Notification Server hands out (KB 155980).
    pub(super) fn agent_package(&self) -> Seen<String> {
        match Part(self.agent_package.0.clone()).seen(|text: String| text.trim().to_owned()) {
            Seen::Known(text) if text.is_empty() => {
                Seen::Unreadable("the registry does not tell".to_owned())
            }
            told => told,
        }
    }
}

/// The answer of `examine-iis`.
#[derive(Debug, Deserialize)]
pub(super) struct IisAnswer {
    is_installed: bool,
    #[serde(default)]
    app_pools: Vec<AppPool>,
}

impl From<IisAnswer> for IisSeen {
    fn from(answer: IisAnswer) -> Self {
        Self { is_installed: answer.is_installed, app_pools: answer.app_pools }
    }
}

/// The answer of `examine-tasks`.
#[derive(Debug, Deserialize)]
pub(super) struct TasksAnswer {
    #[serde(default)]
    pub(super) tasks: Vec<TaskSeen>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: Value) -> ServerAnswer {
        serde_json::from_value(value).expect("an answer")
    }

    #[test]
    fn each_part_stands_for_itself() {
        let answer = answer(json!({
            "services": { "known": { "AeXNSClient": { "state": "Stopped", "start_mode": "Auto" } } },
            "shares": { "unreadable": "access denied" },
            "disks": { "known": { "D:\\": { "free": 5, "size": 9 } } },
            "secure_channel": { "known": "maybe" },
        }));

        let stopped = ServiceSeen { state: "Stopped".into(), start_mode: "Auto".into() };
        assert_eq!(answer.service("aexnsclient"), Seen::Known(Some(stopped)));
        assert_eq!(answer.service(DISPATCHER_SERVICE), Seen::Known(None));
        assert_eq!(answer.shares(), Seen::Unreadable("access denied".to_owned()));
        let volume = VolumeSeen { root: "D:\\".into(), free: 5, size: 9 };
        assert_eq!(answer.volume('d'), Seen::Known(volume));
        assert!(matches!(answer.volume('C'), Seen::Unreadable(_)));
        assert!(matches!(answer.agent_package(), Seen::Unreadable(_)), "it is missing");
        assert!(matches!(answer.secure_channel.seen(|it| it), Seen::Unreadable(_)));
    }
}
