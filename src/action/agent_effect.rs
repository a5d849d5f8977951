//! Seeing that something asked of the agent took effect: in its log, or on its policy file.

use std::time::Duration;

use serde_json::{Value, json};

use super::patience::Patience;
use crate::host::{Changer, Reader};
use crate::itms::agent_evidence::{
    policy_is_newer, shows_inventory_sent, shows_new_configuration, shows_package_status_sent,
    shows_packages_refreshed,
};
use crate::itms::agent_log::{Event, LogMark};
use crate::model::{FailureClass, StepFailure, WindowsPath};
use crate::transport::{ChangeScript, TransportError, TransportErrorKind};

/// How often the agent's files are looked at, in the world's time.
pub(super) const POLL: Duration = Duration::from_secs(5);

/// How much of the log is read at once, in bytes, and how often in one look. A log that grows
/// faster than that is read on at the next look.
const WINDOW: usize = 1 << 20;
const WINDOWS_A_LOOK: usize = 8;

/// What is asked of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It fetched its policies.
    Configuration,
    /// It sent the status of its packages.
    StatusSent,
    /// It went through its packages.
    Refreshed,
    /// It sent its basic inventory.
    InventorySent,
}

impl Effect {
    /// Whether an event of the log shows it.
    fn is_shown_by(self, event: &Event) -> bool {
        match self {
            Self::Configuration => shows_new_configuration(event),
            Self::StatusSent => shows_package_status_sent(event),
            Self::Refreshed => shows_packages_refreshed(event),
            Self::InventorySent => shows_inventory_sent(event),
        }
    }

    /// What is waited for, for messages.
    fn awaited(self) -> &'static str {
        match self {
            Self::Configuration => "a newer policy file, or the event of its arrival in agent.log",
            Self::StatusSent => "the event in agent.log that the package status was sent",
            Self::InventorySent => "the event in agent.log that the basic inventory was sent",
            Self::Refreshed => "an event of the package server in agent.log",
        }
    }
}

/// The files that show what the agent did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AgentPlaces {
    /// Its log.
    pub(super) log: Option<WindowsPath>,
    /// The policy file of its Notification Server; it need not be there yet.
    pub(super) policy: Option<WindowsPath>,
}

impl AgentPlaces {
    /// Whether anything on the host could show the effect.
    pub(super) fn can_show(&self, effect: Effect) -> bool {
        self.log.is_some() || effect == Effect::Configuration && self.policy.is_some()
    }
}

/// What the agent's files showed before something was asked of it.
///
/// They are looked at right before the request and not when the change is decided: a step may wait
/// for its turn between the two, and what the agent does by itself meanwhile shows nothing.
struct Watch {
    places: AgentPlaces,
    effect: Effect,
    mark: LogMark,
    policy_before: Option<u64>,
}

impl Watch {
    async fn start(
        at: &Reader<'_>,
        places: AgentPlaces,
        effect: Effect,
    ) -> Result<Self, TransportError> {
        let size = match &places.log {
            Some(log) => at.files().metadata(log).await?.map_or(0, |metadata| metadata.size),
            None => 0,
        };
        let policy_before = policy_time(at, &places, effect).await?;
        Ok(Self { places, effect, mark: LogMark::at_end(size), policy_before })
    }

    /// What shows the effect, if anything does yet.
    async fn look(&mut self, at: &Reader<'_>) -> Result<Option<String>, TransportError> {
        let policy_now = policy_time(at, &self.places, self.effect).await?;
        if policy_is_newer(self.policy_before, policy_now) {
            return Ok(Some("the policy file is newer".to_owned()));
        }
        let Some(log) = &self.places.log else { return Ok(None) };
        for _ in 0..WINDOWS_A_LOOK {
            let size = at.files().metadata(log).await?.map_or(0, |metadata| metadata.size);
            let offset = self.mark.offset(size);
            if size <= offset {
                break;
            }
            let bytes = at.files().read_from(log, offset, WINDOW as u64).await?;
            let events = self.mark.take(offset, &bytes, WINDOW);
            if let Some(event) = events.iter().find(|event| self.effect.is_shown_by(event)) {
                let line = event.text.lines().next().unwrap_or_default();
                return Ok(Some(format!("agent.log: {line}")));
            }
            if bytes.len() < WINDOW {
                break;
            }
        }
        Ok(None)
    }
}

/// When the policy file was last written, where that is evidence.
async fn policy_time(
    at: &Reader<'_>,
    places: &AgentPlaces,
    effect: Effect,
) -> Result<Option<u64>, TransportError> {
    match &places.policy {
        Some(policy) if effect == Effect::Configuration => {
            Ok(at.files().metadata(policy).await?.map(|metadata| metadata.modified))
        }
        _ => Ok(None),
    }
}

/// Runs a script that asks something of the agent and waits until the effect is seen; returns what
/// showed it.
///
/// # Errors
///
/// `Refused` when the host turns out to be no package server. `InDoubt` when nothing was seen by
/// the deadline; trouble with looking is then its cause.
pub(super) async fn ask_and_see(
    at: &Changer<'_>,
    script: &ChangeScript,
    places: AgentPlaces,
    effect: Effect,
) -> Result<String, StepFailure> {
    let mut watch = Watch::start(at, places, effect).await?;
    let mut trouble = match at.change_script(script, &json!({})).await {
        Ok(answer) if answer.get("called") == Some(&Value::Bool(false)) => {
            return Err(not_a_package_server());
        }
        Ok(_) => None,
        // The script may have run; the effect says whether it did.
        Err(error) if error.kind == TransportErrorKind::InDoubt => Some(error),
        Err(error) => return Err(error.into()),
    };
    let patience = Patience::of_step(at);
    loop {
        let has_time = patience.pause(at, POLL).await;
        match watch.look(at).await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => {}
            // Another try with a rejected logon could lock the account.
            Err(error) if error.kind == TransportErrorKind::AuthRejected => {
                return Err(error.into());
            }
            Err(error) => trouble = Some(error),
        }
        if !has_time {
            return Err(never_seen(effect, trouble.as_ref()));
        }
    }
}

fn never_seen(effect: Effect, trouble: Option<&TransportError>) -> StepFailure {
    let message = format!(
        "asked the agent and did not see the effect in time: waited for {}",
        effect.awaited()
    );
    match trouble {
        Some(error) => StepFailure::caused_by(FailureClass::InDoubt, message, error),
        None => StepFailure::new(FailureClass::InDoubt, message),
    }
}

/// The host has no package server plug-in.
pub(super) fn not_a_package_server() -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        "not a package server: the package server plug-in is not installed",
    )
}

#[cfg(test)]
#[path = "agent_effect/tests.rs"]
mod tests;
