//! `confirm`: an operator says that something was done or seen.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::{Question, Undo};
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};

/// The action.
pub(super) struct Confirm;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    say: String,
    #[serde(default)]
    console: Option<String>,
    #[serde(default, rename = "type")]
    typed: Option<String>,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for Confirm {
    type Params = Params;
    type State = ();
    type Change = Change;

    const NAME: &'static str = "confirm";
    const SUMMARY: &'static str = "Asks an operator to confirm something before the run goes on.";
    const DOC: &'static str = "\
Asked once per play, when its first host comes here; no host goes on before the answer. At
a terminal the operator is asked on the screen. Elsewhere `run --approve NAME` answers it
beforehand, or `--approve NAME=TEXT` where a text is to be typed. Without an answer, or
with a no, nothing later happens: the run ends with exit code 9, and `resume RUN --approve
NAME` goes on.

Who answered, how and when is kept in the journal. Check mode shows what would be asked.

Rights: none; no host is connected to. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Wait for the hands at the console
  confirm:
    name: acc-restored
    say: The Agent Connectivity Credential was set again.
    console: Settings > Agents/Plug-ins > Global Agent Settings > Authentication";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "name",
            kind: ParamKind::Text,
            required: true,
            doc: "The name by which `--approve` answers it; unique in the playbook.",
        },
        ParamDoc {
            name: "say",
            kind: ParamKind::Text,
            required: true,
            doc: "What the operator confirms.",
        },
        ParamDoc {
            name: "console",
            kind: ParamKind::Text,
            required: false,
            doc: "Where it is done: the way through the console.",
        },
        ParamDoc {
            name: "type",
            kind: ParamKind::Text,
            required: false,
            doc: "A text that must be typed, for what cannot be taken back.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;
    const NEEDS_HOST: bool = false;
    const ONCE: bool = true;
    const IDLE: bool = true;

    fn question(params: &Params) -> Option<Question> {
        Some(Question {
            name: params.name.clone(),
            say: params.say.clone(),
            console: params.console.clone(),
            typed: params.typed.clone(),
        })
    }

    fn rehearse(params: &Params) -> Option<String> {
        Some(match &params.typed {
            Some(typed) => format!("would ask to type \"{typed}\": {}", params.say),
            None => format!("would ask: {}", params.say),
        })
    }

    async fn probe(_: &Params, _: &Reader<'_>) -> Result<(), StepFailure> {
        Err(StepFailure::new(
            FailureClass::Bug,
            "a confirmation is asked of a person, not of a host",
        ))
    }

    fn decide(_: &Params, (): &()) -> Verdict<Change> {
        Verdict::Unchanged { note: String::new(), value: Value::Null }
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
