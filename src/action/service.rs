//! `service`: a Windows service is in a state and starts in a way.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::patience::Patience;
use super::scripts::{SERVICE_CHANGE, SERVICE_STATE};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};
use crate::transport::{TransportError, TransportErrorKind};

/// How often a service is looked at, in the world's time.
const POLL: Duration = Duration::from_secs(3);
/// How long the host itself waits between the stop and the start of a restart, in seconds.
const HOST_WAITS: u64 = 120;

/// The action.
pub(super) struct Service;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    #[serde(default)]
    state: Option<Wanted>,
    #[serde(default)]
    start_mode: Option<StartMode>,
}

/// What a service is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Started,
    Stopped,
    Restarted,
}

/// How a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StartMode {
    /// With Windows.
    Automatic,
    /// With Windows, a little later.
    AutomaticDelayed,
    /// When it is asked for.
    Manual,
    /// Not at all.
    Disabled,
}

impl StartMode {
    const NAMES: &'static [&'static str] =
        &["automatic", "automatic_delayed", "manual", "disabled"];

    /// The word of the host's script.
    fn word(self) -> &'static str {
        match self {
            Self::Automatic => "Automatic",
            Self::AutomaticDelayed => "AutomaticDelayed",
            Self::Manual => "Manual",
            Self::Disabled => "Disabled",
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Automatic => "automatically",
            Self::AutomaticDelayed => "automatically, delayed",
            Self::Manual => "manually",
            Self::Disabled => "not at all (disabled)",
        }
    }
}

/// A service as the host describes it (`Win32_Service`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    found: bool,
    name: String,
    display_name: String,
    state: String,
    start_mode: String,
    delayed: bool,
    account: String,
    /// Services that run and need this one.
    dependents: Vec<String>,
}

impl Found {
    fn is(&self, state: &str) -> bool {
        self.state.eq_ignore_ascii_case(state)
    }

    /// How it starts; `None` for the modes of drivers.
    fn mode(&self) -> Option<StartMode> {
        match self.start_mode.to_lowercase().as_str() {
            "auto" if self.delayed => Some(StartMode::AutomaticDelayed),
            "auto" => Some(StartMode::Automatic),
            "manual" => Some(StartMode::Manual),
            "disabled" => Some(StartMode::Disabled),
            _ => None,
        }
    }

    /// The value for `register`.
    fn value(&self) -> Value {
        json!({
            "name": self.name,
            "display_name": self.display_name,
            "state": self.state.to_lowercase(),
            "start_mode": self.mode(),
            "account": self.account,
        })
    }
}

/// What is done to the running of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// The state in which it leaves the service.
    fn leaves(self) -> &'static str {
        match self {
            Self::Start | Self::Restart => "running",
            Self::Stop => "stopped",
        }
    }

    /// Whether this is done already in the state that a service is in. A restart never is.
    fn is_done_in(self, now: &Found) -> bool {
        self != Self::Restart && now.is(self.leaves())
    }
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The service's name.
    name: String,
    /// What is done to its running.
    verb: Option<Verb>,
    /// What takes that back: that of a restart is a start, for a service that it left stopped.
    back: Option<Verb>,
    /// How it started before and will start then.
    start_mode: Option<(StartMode, StartMode)>,
    /// Services that need it, run, and are started again with it.
    dependents: Vec<String>,
}

fn refuse(text: String) -> Verdict<Change> {
    Verdict::Refuse(StepFailure::new(FailureClass::Refused, text))
}

async fn read(name: &str, at: &Reader<'_>) -> Result<Found, StepFailure> {
    let answer = at.script(&SERVICE_STATE, &json!({ "name": name })).await?;
    serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            format!("could not understand the state of the service `{name}`"),
            &error,
        )
    })
}

#[async_trait]
impl Action for Service {
    type Params = Params;
    type State = Found;
    type Change = Change;

    const NAME: &'static str = "service";
    const SUMMARY: &'static str = "Starts, stops or restarts a Windows service, or only reads it.";
    const DOC: &'static str = "\
Ensures that the service of exactly this name is `started`, `stopped`, or has been
`restarted`, and that it starts as `start_mode` says. With neither it only reads: the
value holds `state`, `start_mode`, `account` and `display_name`. A service that does not
exist is a failure that names it.

The step ends when the state is seen, not when the call returned. Services that depend on
it and run: a restart starts them again, a stop is refused and names them.

- `AeXNSClient` is the Symantec Management Agent. The package server is a part of it and
  has no service of its own. A restart makes the virtual directories of an IIS that was
  installed later, which a refresh of the packages does not (KB 150861).
- `AltirisClientMsgDispatcher` at the Notification Server processes the event queue. A
  restart clears a queue that stands still; it does not help one that is only long
  (KB 205352).

A restart that stops a service and does not see it run again is in doubt, never just failed.
One that is slow to stop is started as soon as it has stopped, while the step may last.

Rights: administrator on the host. Undo: the state and the start mode of before; refused
when the start mode was changed since, or when the service would be stopped and others need it
by now. The undo of a restart sees to it that the service runs. Safe to repeat after a crash; a
restart may then happen twice.";
    const EXAMPLE: &'static str = "\
- name: Start the agent
  service: { name: AeXNSClient, state: started, start_mode: automatic }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "name",
            kind: ParamKind::Text,
            required: true,
            doc: "The service's name, not the one that is displayed.",
        },
        ParamDoc {
            name: "state",
            kind: ParamKind::OneOf(&["started", "stopped", "restarted"]),
            required: false,
            doc: "What it is to do.",
        },
        ParamDoc {
            name: "start_mode",
            kind: ParamKind::OneOf(StartMode::NAMES),
            required: false,
            doc: "How it is to start.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("name");
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Found, StepFailure> {
        read(&params.name, at).await
    }

    fn decide(params: &Params, now: &Found) -> Verdict<Change> {
        let name = &params.name;
        if !now.found {
            return Verdict::Refuse(no_such_service(name));
        }
        let start_mode = match (params.start_mode, now.mode()) {
            (Some(wanted), Some(mode)) => (wanted != mode).then_some((mode, wanted)),
            (Some(_), None) => {
                return refuse(format!(
                    "could not set how the service `{name}` starts: its start mode `{}` is that \
                     of a driver",
                    now.start_mode
                ));
            }
            (None, _) => None,
        };
        let (verb, back) = match params.state {
            Some(Wanted::Started) if now.is("running") => (None, None),
            Some(Wanted::Started) if now.is("stopped") => (Some(Verb::Start), Some(Verb::Stop)),
            Some(Wanted::Stopped) if now.is("stopped") => (None, None),
            Some(Wanted::Stopped) if now.is("running") => (Some(Verb::Stop), Some(Verb::Start)),
            Some(Wanted::Restarted) if now.is("running") => {
                (Some(Verb::Restart), Some(Verb::Start))
            }
            Some(Wanted::Restarted) if now.is("stopped") => (Some(Verb::Start), Some(Verb::Stop)),
            Some(_) => {
                return refuse(format!(
                    "could not change the service `{name}` while it is in the state `{}`",
                    now.state
                ));
            }
            None => (None, None),
        };
        if verb == Some(Verb::Stop) && !now.dependents.is_empty() {
            return Verdict::Refuse(needed(name, now));
        }
        let will_start = matches!(verb, Some(Verb::Start | Verb::Restart));
        let mode_then = start_mode.map_or(now.mode(), |(_, then)| Some(then));
        if will_start && mode_then == Some(StartMode::Disabled) {
            return refuse(format!(
                "could not start the service `{name}`: it is disabled, and `start_mode` does not \
                 change that"
            ));
        }
        if verb.is_none() && start_mode.is_none() {
            let note = match now.mode() {
                Some(mode) => format!("{}, starts {}", now.state.to_lowercase(), mode.phrase()),
                None => now.state.to_lowercase(),
            };
            return Verdict::Unchanged { note, value: now.value() };
        }
        let dependents = match verb {
            Some(Verb::Restart) => now.dependents.clone(),
            Some(Verb::Start | Verb::Stop) | None => Vec::new(),
        };
        Verdict::Change(Change { name: now.name.clone(), verb, back, start_mode, dependents })
    }

    fn cost(_: &Change) -> Cost {
        // An agent that starts asks for its configuration as it would by its schedule.
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let name = &change.name;
        let mode = change.start_mode.map(|(before, then)| {
            format!("let the service `{name}` start {} (now {})", then.phrase(), before.phrase())
        });
        let verb = change.verb.map(|verb| {
            let with = if change.dependents.is_empty() {
                String::new()
            } else {
                format!(", and with it {}", change.dependents.join(", "))
            };
            format!("{} the service `{name}`{with}", verb.word())
        });
        mode.into_iter().chain(verb).collect()
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let name = &change.name;
        let now = read(name, at).await?;
        if !now.found {
            return Err(no_such_service(name));
        }
        let start_mode = match change.start_mode {
            Some((_, then)) if now.mode() == Some(then) => None,
            Some((before, then)) if now.mode() == Some(before) => Some(then),
            Some(_) => {
                return Err(StepFailure::new(
                    FailureClass::Drifted,
                    format!(
                        "could not change the service `{name}`: its start mode has changed since \
                         it was looked at"
                    ),
                ));
            }
            None => None,
        };
        let verb = change.verb.filter(|verb| !verb.is_done_in(&now));
        if verb.is_none() && start_mode.is_none() {
            let note = format!("{} already", now.state.to_lowercase());
            return Ok(Applied { note, value: now.value(), was_so_already: true });
        }
        // What came to need the service since it was looked at would stop with it.
        if verb == Some(Verb::Stop) && !now.dependents.is_empty() {
            return Err(needed(name, &now));
        }
        let mut dependents = change.dependents.clone();
        if verb == Some(Verb::Restart) {
            let new = now.dependents.iter().filter(|one| !change.dependents.contains(one));
            dependents.extend(new.cloned());
        }
        let task = Task { change, verb, start_mode, dependents };
        let mut trouble = None;
        let mut is_stopping = false;
        match task.ask(verb, at).await {
            Ok(is_done) => is_stopping = !is_done,
            // The state will tell; of a restart nothing but the answer does.
            Err(error)
                if error.kind == TransportErrorKind::InDoubt && verb != Some(Verb::Restart) =>
            {
                trouble = Some(StepFailure::from(error));
            }
            // Any other failure than the host's own comes before it was asked for anything.
            Err(error) => {
                let failure = StepFailure::from(error);
                let is_told = failure.class == FailureClass::RemoteFault;
                return Err(if is_told { task.failed(failure, at).await } else { failure });
            }
        }
        task.wait(is_stopping, at, trouble).await
    }

    fn invert(change: &Change) -> Undo {
        let start_mode = change.start_mode.map(|(before, then)| (then, before));
        if change.back.is_none() && start_mode.is_none() {
            return Undo::Nothing;
        }
        let inverse = Change {
            name: change.name.clone(),
            verb: change.back,
            // What a restart left running was running before.
            back: match change.verb {
                Some(Verb::Restart) => None,
                verb => change.back.and(verb),
            },
            start_mode,
            dependents: match change.verb {
                Some(Verb::Restart) => change.dependents.clone(),
                Some(Verb::Start | Verb::Stop) | None => Vec::new(),
            },
        };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
}

/// A change that is under way.
struct Task<'a> {
    change: &'a Change,
    /// What is still to be done to its running.
    verb: Option<Verb>,
    /// How it is to start, if that is still to be set.
    start_mode: Option<StartMode>,
    /// Services that are started again with it.
    dependents: Vec<String>,
}

impl Task<'_> {
    /// Asks the host; `false` when the service takes longer to stop than the host waits, so that
    /// it was not started.
    async fn ask(&self, verb: Option<Verb>, at: &Changer<'_>) -> Result<bool, TransportError> {
        // The host gives up before the step ends: what it answers then is still acted upon.
        let left = at.scale().to_world(at.deadline().left() / 2).as_secs().max(1);
        let input = json!({
            "name": self.change.name,
            "verb": verb.map_or("", Verb::word),
            "start_mode": self.start_mode.map_or("", StartMode::word),
            "dependents": self.dependents,
            "seconds": left.min(HOST_WAITS),
        });
        let answer = at.change_script(&SERVICE_CHANGE, &input).await?;
        Ok(answer["done"] != Value::Bool(false))
    }

    /// What a failure means: of a restart that left the service in another state than running,
    /// that it is in doubt.
    async fn failed(&self, failure: StepFailure, at: &Changer<'_>) -> StepFailure {
        let name = &self.change.name;
        if self.verb != Some(Verb::Restart) || failure.class == FailureClass::AuthRejected {
            return failure;
        }
        let state = match read(name, at).await {
            Ok(now) if now.is("running") => return failure,
            Ok(now) => now.state.to_lowercase(),
            Err(_) => "in a state that could not be read".to_owned(),
        };
        let mut causes = vec![failure.message];
        causes.extend(failure.causes);
        let message = format!("could not restart the service `{name}`: it is {state} now");
        StepFailure::new(FailureClass::InDoubt, message).with_causes(causes)
    }

    /// Looks at the service until it is as it was asked to be. One that `is_stopping` for a
    /// restart is started once it has stopped.
    async fn wait(
        &self,
        mut is_stopping: bool,
        at: &Changer<'_>,
        mut trouble: Option<StepFailure>,
    ) -> Result<Applied, StepFailure> {
        let name = &self.change.name;
        let patience = Patience::of_step(at);
        loop {
            match read(name, at).await {
                Ok(now) if is_stopping => {
                    if now.is("stopped") {
                        match self.ask(Some(Verb::Start), at).await {
                            Ok(is_done) => is_stopping = !is_done,
                            Err(error) => return Err(self.failed(error.into(), at).await),
                        }
                        continue;
                    }
                }
                Ok(now) => {
                    let state = self.verb.is_none_or(|verb| now.is(verb.leaves()));
                    let mode = self.start_mode.is_none_or(|mode| now.mode() == Some(mode));
                    if state && mode {
                        return Ok(self.applied(&now));
                    }
                }
                // Another try with a rejected logon could lock the account.
                Err(failure) if failure.class == FailureClass::AuthRejected => return Err(failure),
                Err(failure) => trouble = Some(failure),
            }
            if !patience.pause(at, POLL).await {
                let message = if is_stopping {
                    format!("asked the service `{name}` to stop and did not see it stop in time")
                } else {
                    let what = self.verb.map_or("start in its new way", Verb::leaves);
                    format!("changed the service `{name}` and did not see it {what} in time")
                };
                let causes = trouble.map(|trouble| vec![trouble.to_string()]).unwrap_or_default();
                return Err(StepFailure::new(FailureClass::InDoubt, message).with_causes(causes));
            }
        }
    }

    fn applied(&self, now: &Found) -> Applied {
        let note = match self.verb {
            Some(Verb::Restart) => "restarted, and running".to_owned(),
            Some(_) => now.state.to_lowercase(),
            None => format!("starts {}", self.change.start_mode.map_or("", |mode| mode.1.phrase())),
        };
        Applied { note, value: now.value(), was_so_already: false }
    }
}

/// Why a service is not stopped that others need.
fn needed(name: &str, now: &Found) -> StepFailure {
    let dependents = now.dependents.join(", ");
    StepFailure::new(
        FailureClass::Refused,
        format!("could not stop the service `{name}`: {dependents} need it and run"),
    )
}

fn no_such_service(name: &str) -> StepFailure {
    StepFailure::new(FailureClass::RemoteFault, format!("there is no service `{name}`"))
}

#[cfg(test)]
#[path = "service/tests.rs"]
mod tests;
