//! `set_fact`: variables of a host from here on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, StepFailure};

/// The action.
pub(super) struct SetFact;

/// The names and their values.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Params(Map<String, Value>);

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for SetFact {
    type Params = Params;
    type State = ();
    type Change = Change;

    const NAME: &'static str = "set_fact";
    const SUMMARY: &'static str = "Gives variables of the host a value from here on.";
    const DOC: &'static str = "\
Each key is a variable, each value what it holds from here on, in later plays as well;
templates are filled in now. They belong to the host and are kept in the journal, so that
a resume knows them. They win over variables of play and inventory, not over `-e`.

Rights: none; no host is connected to. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Remember how much there was to do
  set_fact: { count_before: \"{{ work.count }}\" }";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "NAME",
        kind: ParamKind::Any,
        required: false,
        doc: "A variable and its value.",
    }];
    const REPLAY: Replay = Replay::Safe;
    const NEEDS_HOST: bool = false;
    const OPEN: bool = true;

    async fn probe(_: &Params, _: &Reader<'_>) -> Result<(), StepFailure> {
        Ok(())
    }

    fn decide(params: &Params, (): &()) -> Verdict<Change> {
        let names: Vec<&str> = params.0.keys().map(String::as_str).collect();
        let note = format!("set {}", names.join(", "));
        Verdict::Unchanged { note, value: Value::Object(params.0.clone()) }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}
