//! `app_pool`: an application pool of IIS is started or stopped.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::patience::Patience;
use super::scripts::{APP_POOL_CHANGE, APP_POOL_STATE};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};
use crate::transport::TransportErrorKind;

/// How often a pool is looked at, in the world's time.
const POLL: Duration = Duration::from_secs(3);

/// The action.
pub(super) struct AppPool;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    #[serde(default)]
    state: Option<Wanted>,
}

/// What a pool is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Started,
    Stopped,
}

impl Wanted {
    fn verb(self) -> &'static str {
        match self {
            Self::Started => "start",
            Self::Stopped => "stop",
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Started => Self::Stopped,
            Self::Stopped => Self::Started,
        }
    }

    /// The state in the words of IIS.
    fn state(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Stopped => "Stopped",
        }
    }
}

/// A pool as IIS describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    iis: bool,
    name: Option<String>,
    state: Option<String>,
    /// Some of the pools that there are.
    names: Vec<String>,
}

impl Pool {
    fn is(&self, wanted: Wanted) -> bool {
        self.state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case(wanted.state()))
    }

    fn value(&self) -> Value {
        json!({ "name": self.name, "state": self.state.as_deref().map(str::to_lowercase) })
    }

    fn missing(&self, name: &str) -> Option<StepFailure> {
        let failure = |text| Some(StepFailure::new(FailureClass::RemoteFault, text));
        if !self.iis {
            return failure("IIS is not installed".to_owned());
        }
        if self.name.is_none() {
            let others = self.names.join(", ");
            return failure(format!("there is no application pool `{name}`; there are: {others}"));
        }
        None
    }
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The pool's name.
    pool: String,
    /// What it will do.
    wanted: Wanted,
}

async fn read(name: &str, at: &Reader<'_>) -> Result<Pool, StepFailure> {
    let answer = at.script(&APP_POOL_STATE, &json!({ "name": name })).await?;
    serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            format!("could not understand the state of the application pool `{name}`"),
            &error,
        )
    })
}

#[async_trait]
impl Action for AppPool {
    type Params = Params;
    type State = Pool;
    type Change = Change;

    const NAME: &'static str = "app_pool";
    const SUMMARY: &'static str = "Starts or stops an application pool of IIS, or only reads it.";
    const DOC: &'static str = "\
Ensures that the application pool of exactly this name is `started` or `stopped`; without
`state` it only reads, and the value holds `state`. A pool that does not exist fails with
the names of those that do; a host without IIS fails with that.

A package server whose pool is stopped answers every request with 503, and clients load
parts of packages again and again (KB 422201). IIS stops a pool by itself when its
processes fail too often, so a pool that stops again needs a look at the event log.

Rights: administrator on the host, over WinRM. Undo: the pool is stopped, or started, as it
was before. Safe to repeat after a crash.";
    const EXAMPLE: &'static str = "\
- name: Start the pool of the package server
  app_pool: { name: DefaultAppPool, state: started }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc { name: "name", kind: ParamKind::Text, required: true, doc: "The pool's name." },
        ParamDoc {
            name: "state",
            kind: ParamKind::OneOf(&["started", "stopped"]),
            required: false,
            doc: "What it is to do.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("name");
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Pool, StepFailure> {
        read(&params.name, at).await
    }

    fn decide(params: &Params, now: &Pool) -> Verdict<Change> {
        if let Some(failure) = now.missing(&params.name) {
            return Verdict::Refuse(failure);
        }
        let state = now.state.clone().unwrap_or_default();
        match params.state {
            Some(wanted) if now.is(wanted.opposite()) => Verdict::Change(Change {
                pool: now.name.clone().unwrap_or_else(|| params.name.clone()),
                wanted,
            }),
            Some(wanted) if !now.is(wanted) => Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!(
                    "could not {} the application pool `{}` while it is in the state `{state}`",
                    wanted.verb(),
                    params.name
                ),
            )),
            Some(_) | None => Verdict::Unchanged { note: state.to_lowercase(), value: now.value() },
        }
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        vec![format!("{} the application pool `{}`", change.wanted.verb(), change.pool)]
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let (name, wanted) = (&change.pool, change.wanted);
        let now = read(name, at).await?;
        if let Some(failure) = now.missing(name) {
            return Err(failure);
        }
        if now.is(wanted) {
            let note = format!("{} already", wanted.state().to_lowercase());
            return Ok(Applied { note, value: now.value(), was_so_already: true });
        }
        let mut trouble = None;
        let input = json!({ "name": name, "verb": wanted.verb() });
        match at.change_script(&APP_POOL_CHANGE, &input).await {
            Ok(_) => {}
            // The state will tell.
            Err(error) if error.kind == TransportErrorKind::InDoubt => {
                trouble = Some(StepFailure::from(error));
            }
            Err(error) => return Err(error.into()),
        }
        let patience = Patience::of_step(at);
        loop {
            match read(name, at).await {
                Ok(now) if now.is(wanted) => {
                    let note = wanted.state().to_lowercase();
                    return Ok(Applied { note, value: now.value(), was_so_already: false });
                }
                Ok(_) => {}
                // Another try with a rejected logon could lock the account.
                Err(failure) if failure.class == FailureClass::AuthRejected => return Err(failure),
                Err(failure) => trouble = Some(failure),
            }
            if !patience.pause(at, POLL).await {
                let message = format!(
                    "asked the application pool `{name}` to {} and did not see it {} in time",
                    wanted.verb(),
                    wanted.state().to_lowercase()
                );
                let causes = trouble.map(|trouble| vec![trouble.to_string()]).unwrap_or_default();
                return Err(StepFailure::new(FailureClass::InDoubt, message).with_causes(causes));
            }
        }
    }

    fn invert(change: &Change) -> Undo {
        let inverse = Change { pool: change.pool.clone(), wanted: change.wanted.opposite() };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(state: &str) -> Pool {
        Pool {
            iis: true,
            name: Some("Altiris".to_owned()),
            state: Some(state.to_owned()),
            names: vec!["Altiris".to_owned()],
        }
    }

    fn decide(state: Option<Wanted>, now: &Pool) -> Verdict<Change> {
        AppPool::decide(&Params { name: "altiris".to_owned(), state }, now)
    }

    #[test]
    fn a_stopped_pool_is_started_and_its_inverse_stops_it() {
        let Verdict::Change(change) = decide(Some(Wanted::Started), &pool("Stopped")) else {
            panic!("a change")
        };

        assert_eq!(AppPool::describe(&change), ["start the application pool `Altiris`"]);
        let expected = json!({ "pool": "Altiris", "wanted": "stopped" });
        assert_eq!(AppPool::invert(&change), Undo::With(expected));
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |now: &Pool| match decide(None, now) {
            Verdict::Refuse(failure) => failure.message,
            other => panic!("{other:?}"),
        };
        let other = Pool { iis: true, names: vec!["A".into(), "B".into()], ..Pool::default() };

        assert_eq!(message(&Pool::default()), "IIS is not installed");
        assert_eq!(message(&other), "there is no application pool `altiris`; there are: A, B");
    }

    #[test]
    fn a_pool_between_two_states_is_not_touched() {
        assert!(matches!(decide(Some(Wanted::Started), &pool("Stopping")), Verdict::Refuse(_)));
        assert!(matches!(
            decide(Some(Wanted::Started), &pool("started")),
            Verdict::Unchanged { .. }
        ));
    }
}
