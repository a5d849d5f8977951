//! `powershell`: a PowerShell script of the playbook's own.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::program::{
    self, CHANGES, CREATES, Change, Hints, Job, Program, REMOVES, SUCCEEDS_ON, State, Text,
};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, StepFailure};

/// The action.
pub(super) struct Powershell;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    script: Text,
    #[serde(default)]
    creates: Option<String>,
    #[serde(default)]
    removes: Option<String>,
    #[serde(default = "yes")]
    changes: bool,
    #[serde(default = "zero")]
    succeeds_on: Vec<u32>,
}

fn yes() -> bool {
    true
}

fn zero() -> Vec<u32> {
    vec![0]
}

impl Params {
    fn job(&self) -> Job<'_> {
        Job {
            program: Program::Powershell,
            text: &self.script,
            hints: Hints {
                creates: self.creates.as_deref(),
                removes: self.removes.as_deref(),
                changes: self.changes,
                succeeds_on: &self.succeeds_on,
            },
        }
    }
}

#[async_trait]
impl Action for Powershell {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "powershell";
    const SUMMARY: &'static str = "Runs a PowerShell script that the playbook holds.";
    const DOC: &'static str = "\
Runs the text with Windows PowerShell 5.1 in a process of its own on the host. The text
travels as data: quotes, `$( )` and line breaks in it mean what PowerShell takes them for,
and nothing else. Templates in it are filled in before, so a value with a quote in it
becomes code: prefer values that you know.

It succeeds when the exit code is one of `succeeds_on`; `exit 3` sets it. Exceptions that
are not caught end a script with 1; `Write-Error` does not. The step's value holds `ran`,
`exit_code`, `stdout` and `stderr`, at most 1,000,000 characters: a script that says more is
ended and has failed, and so is one that takes longer than the step.

- `creates`, `removes`: it is not run when the path exists, or does not exist any more.
- `changes: false`: you say that it changes nothing. Then it runs while the step reads, in
  check mode, too. Otherwise check mode shows the text and runs nothing.

`AeXAgentUtil`, `SMATool` and `PostQueuedEvent` are refused: they destroy an agent, tell its
secrets or speak in its name. This guards against accidents, not against malice.

Rights: what the text needs; it runs as the credential, without a second hop to other
servers. Undo: impossible, nobody knows what the text did. After a crash in the middle
the operator is asked.";
    const EXAMPLE: &'static str = "\
- name: Read the time service's view
  powershell: { script: 'w32tm /query /status', changes: false }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "script",
            kind: ParamKind::Text,
            required: true,
            doc: "The script, at most 10,000 characters.",
        },
        CREATES,
        REMOVES,
        CHANGES,
        SUCCEEDS_ON,
    ];
    const SCALAR: Option<&'static str> = Some("script");
    const REPLAY: Replay = Replay::Ask;

    fn refuses(params: &Value) -> Option<String> {
        program::refused(params.get("script")?.as_str()?)
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        program::probe(&params.job(), at).await
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        program::decide(&params.job(), state)
    }

    fn cost(_: &Change) -> Cost {
        // What a text costs the Notification Server is its author's to say: `uses` and `causes`.
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        program::describe(change)
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        program::apply(change, at).await
    }

    fn invert(_: &Change) -> Undo {
        program::invert()
    }
}
