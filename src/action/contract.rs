//! What an author of an action writes: five small parts, three of them pure.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ParamDoc;
use crate::event::{Question, Undo};
use crate::host::{Changer, Reader};
use crate::model::{Cost, StepFailure};

/// What an action makes of the state it read.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<C> {
    /// The host is as it should be, or the action only reads.
    Unchanged {
        /// What was seen, in a few words.
        note: String,
        /// The value that `register` keeps.
        value: Value,
    },
    /// An earlier decision of this very step, whose end was never recorded, did take place, and
    /// what was read proves it.
    WasDone {
        /// What proves it.
        note: String,
        /// The value that `register` keeps.
        value: Value,
    },
    /// The host must be changed.
    Change(C),
    /// It must not be touched, and why.
    Refuse(StepFailure),
}

/// What applying a change achieved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// What was done, in a few words: `moved 3 files`.
    pub note: String,
    /// The value that `register` keeps.
    pub value: Value,
    /// Whether everything was so already: an effect of before a crash, or an undo done twice.
    pub was_so_already: bool,
}

/// What resume may do with a change whose end was never recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Probe and decide again: a change that took place is seen and not repeated, or repeating it
    /// does no harm.
    Safe,
    /// Mark the step unknown and let the operator say.
    Ask,
}

/// A verb. State and change are data; the change holds what was there before and what will be
/// there after, so that taking it back is applying its inverse.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    /// The parameters, templates already filled in; use `deny_unknown_fields`.
    type Params: DeserializeOwned + Send + Sync;
    /// What was read.
    type State: Send + Sync;
    /// What will be done.
    type Change: Serialize + DeserializeOwned + Send + Sync;

    /// The name in playbooks.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// What it ensures, the rights it needs, what undo restores; Markdown, wrapped at 90.
    const DOC: &'static str;
    /// A task that uses it, as YAML.
    const EXAMPLE: &'static str;
    /// Its parameters.
    const PARAMS: &'static [ParamDoc];
    /// The parameter that a plain scalar stands for: `agent: update_configuration`.
    const SCALAR: Option<&'static str> = None;
    /// What resume may do with it.
    const REPLAY: Replay;
    /// The longest a step may take when the task says nothing, in seconds of the world's time.
    const WITHIN_SECONDS: u64 = 600;

    /// Whether it acts on a host; if not, no connection is made and it cannot be delegated.
    const NEEDS_HOST: bool = true;
    /// Whether one host does it for all hosts of the play.
    const ONCE: bool = false;
    /// Whether it only lets time pass, so that the end of a run does not wait for it.
    const IDLE: bool = false;
    /// Whether its parameters have names of the author's choice.
    const OPEN: bool = false;

    /// Lists that belong to the documentation and are made from the program itself: a heading on
    /// the first line, then lines of text. Empty when there are none.
    fn topics() -> String {
        String::new()
    }

    /// What an operator is asked instead of reading a host. Pure.
    fn question(_: &Self::Params) -> Option<Question> {
        None
    }

    /// What check mode says instead of reading the host; none means that reading is harmless and
    /// tells something. Pure.
    fn rehearse(_: &Self::Params) -> Option<String> {
        None
    }

    /// What reading draws from limits, whatever is decided then. Pure.
    fn probe_cost(_: &Self::Params) -> Cost {
        Cost::none()
    }

    /// Why parameters are refused wherever they are used, as far as that can be told before their
    /// templates are filled in: `lint` and `run` say it before any connection. Pure.
    fn refuses(_params: &Value) -> Option<String> {
        None
    }

    /// Reads the host; changes nothing.
    async fn probe(params: &Self::Params, at: &Reader<'_>) -> Result<Self::State, StepFailure>;

    /// Says what has to change. Pure.
    fn decide(params: &Self::Params, state: &Self::State) -> Verdict<Self::Change>;

    /// What the change draws from limits. Pure.
    fn cost(change: &Self::Change) -> Cost;

    /// What the change does, one line for each effect, for plans and check mode. Pure.
    fn describe(change: &Self::Change) -> Vec<String>;

    /// Waits for what must have happened on the host before the change makes sense, such as the end
    /// of a download. It comes after the decision and before the change draws from limits, so that a
    /// host that waits keeps no other one from its turn. Changes nothing, and is left out in check
    /// mode.
    async fn wait_before(_: &Self::Change, _: &Reader<'_>) -> Result<(), StepFailure> {
        Ok(())
    }

    /// Makes the change and waits until its effect is seen.
    async fn apply(change: &Self::Change, at: &Changer<'_>) -> Result<Applied, StepFailure>;

    /// What takes it back. Pure.
    fn invert(change: &Self::Change) -> Undo;
}
