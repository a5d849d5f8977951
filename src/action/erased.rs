//! An action with its types hidden, as the registry and the engine hold it.

use std::any::Any;
use std::marker::PhantomData;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Applied, ParamDoc, Replay, Verdict};
use crate::event::{ChangeRecord, Question};
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};

/// Parameters do not fit the action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not read the parameters of `{action}`: {reason}")]
pub struct ParamsError {
    /// The action.
    pub action: &'static str,
    /// What is wrong with them.
    pub reason: String,
}

/// What a step is about to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing.
    Unchanged {
        /// What was seen.
        note: String,
        /// The value that `register` keeps.
        value: Value,
    },
    /// Nothing any more: this step made its change before the run was cut.
    WasDone {
        /// What proves it.
        note: String,
        /// The value that `register` keeps.
        value: Value,
    },
    /// This change, at this cost.
    Change(ChangeRecord, Cost),
}

/// An action of the registry.
#[async_trait]
pub trait ActionKind: Send + Sync {
    /// The name in playbooks.
    fn name(&self) -> &'static str;
    /// One sentence.
    fn summary(&self) -> &'static str;
    /// The whole documentation.
    fn doc(&self) -> &'static str;
    /// Lists that belong to the documentation: a heading on the first line, then lines of text.
    fn topics(&self) -> String {
        String::new()
    }
    /// A task that uses it.
    fn example(&self) -> &'static str;
    /// The parameters.
    fn params(&self) -> &'static [ParamDoc];
    /// The parameter that a plain scalar stands for.
    fn scalar(&self) -> Option<&'static str>;
    /// What resume may do with it.
    fn replay(&self) -> Replay;
    /// The longest a step may take when the task says nothing, in the world's time.
    fn within(&self) -> Duration;
    /// Whether it acts on a host.
    fn needs_host(&self) -> bool {
        true
    }
    /// Whether one host does it for all hosts of the play.
    fn is_once(&self) -> bool {
        false
    }
    /// Whether it only lets time pass.
    fn is_idle(&self) -> bool {
        false
    }
    /// Whether its parameters have names of the author's choice.
    fn is_open(&self) -> bool {
        false
    }
    /// Takes parameters in which templates have been filled in.
    ///
    /// # Errors
    ///
    /// They do not fit.
    fn prepare(&self, params: Value) -> Result<Box<dyn Prepared>, ParamsError>;

    /// Why parameters are refused wherever they are used, as far as their templates let it be seen.
    fn refuses(&self, _params: &Value) -> Option<String> {
        None
    }

    /// Waits for what must have happened on the host before a change makes sense. Changes nothing.
    async fn wait_before(&self, _change: &Value, _at: &Reader<'_>) -> Result<(), StepFailure> {
        Ok(())
    }

    /// Makes a change that was decided on, or its inverse.
    async fn apply(&self, change: &Value, at: &Changer<'_>) -> Result<Applied, StepFailure>;

    /// Describes a change: for an undo, whose change was not decided by a probe.
    ///
    /// # Errors
    ///
    /// The journal holds a change that is not one of this action.
    fn record(&self, change: &Value) -> Result<(ChangeRecord, Cost), StepFailure>;
}

/// An action with its parameters, ready to read a host.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// What reading draws from limits, before anything is decided.
    fn probe_cost(&self) -> Cost;

    /// What an operator is asked instead of reading a host.
    fn question(&self) -> Option<Question> {
        None
    }

    /// What check mode says instead of reading the host.
    fn rehearse(&self) -> Option<String> {
        None
    }

    /// Reads the host and says what it will do.
    async fn decide(&self, at: &Reader<'_>) -> Result<Decision, StepFailure>;
}

/// Hides the types of an action.
pub(super) struct Erased<A>(PhantomData<A>);

impl<A> Erased<A> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

struct With<A: Action>(A::Params);

fn corrupt(error: &serde_json::Error) -> StepFailure {
    StepFailure::from_error(FailureClass::Bug, error)
}

fn record_of<A: Action>(change: &A::Change) -> Result<(ChangeRecord, Cost), StepFailure> {
    let value = serde_json::to_value(change).map_err(|error| corrupt(&error))?;
    let record = ChangeRecord {
        action: A::NAME.to_owned(),
        change: value,
        undo: A::invert(change),
        lines: A::describe(change),
    };
    Ok((record, A::cost(change)))
}

#[async_trait]
impl<A: Action + Any> ActionKind for Erased<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn summary(&self) -> &'static str {
        A::SUMMARY
    }

    fn doc(&self) -> &'static str {
        A::DOC
    }

    fn topics(&self) -> String {
        A::topics()
    }

    fn example(&self) -> &'static str {
        A::EXAMPLE
    }

    fn params(&self) -> &'static [ParamDoc] {
        A::PARAMS
    }

    fn scalar(&self) -> Option<&'static str> {
        A::SCALAR
    }

    fn replay(&self) -> Replay {
        A::REPLAY
    }

    fn within(&self) -> Duration {
        Duration::from_secs(A::WITHIN_SECONDS)
    }

    fn needs_host(&self) -> bool {
        A::NEEDS_HOST
    }

    fn is_once(&self) -> bool {
        A::ONCE
    }

    fn is_idle(&self) -> bool {
        A::IDLE
    }

    fn is_open(&self) -> bool {
        A::OPEN
    }

    fn prepare(&self, params: Value) -> Result<Box<dyn Prepared>, ParamsError> {
        let params = match (params, A::SCALAR) {
            (scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_)), Some(name)) => {
                Value::Object([(name.to_owned(), scalar)].into_iter().collect())
            }
            (params, _) => params,
        };
        let params: A::Params = serde_json::from_value(params)
            .map_err(|error| ParamsError { action: A::NAME, reason: error.to_string() })?;
        Ok(Box::new(With::<A>(params)))
    }

    fn refuses(&self, params: &Value) -> Option<String> {
        A::refuses(params)
    }

    async fn wait_before(&self, change: &Value, at: &Reader<'_>) -> Result<(), StepFailure> {
        let change: A::Change =
            serde_json::from_value(change.clone()).map_err(|error| corrupt(&error))?;
        A::wait_before(&change, at).await
    }

    async fn apply(&self, change: &Value, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let change: A::Change =
            serde_json::from_value(change.clone()).map_err(|error| corrupt(&error))?;
        A::apply(&change, at).await
    }

    fn record(&self, change: &Value) -> Result<(ChangeRecord, Cost), StepFailure> {
        let change: A::Change =
            serde_json::from_value(change.clone()).map_err(|error| corrupt(&error))?;
        record_of::<A>(&change)
    }
}

#[async_trait]
impl<A: Action> Prepared for With<A> {
    fn probe_cost(&self) -> Cost {
        A::probe_cost(&self.0)
    }

    fn question(&self) -> Option<Question> {
        A::question(&self.0)
    }

    fn rehearse(&self) -> Option<String> {
        A::rehearse(&self.0)
    }

    async fn decide(&self, at: &Reader<'_>) -> Result<Decision, StepFailure> {
        let state = A::probe(&self.0, at).await?;
        match A::decide(&self.0, &state) {
            Verdict::Unchanged { note, value } => Ok(Decision::Unchanged { note, value }),
            Verdict::WasDone { note, value } => Ok(Decision::WasDone { note, value }),
            Verdict::Refuse(failure) => Err(failure),
            Verdict::Change(change) => {
                let (record, cost) = record_of::<A>(&change)?;
                Ok(Decision::Change(record, cost))
            }
        }
    }
}
