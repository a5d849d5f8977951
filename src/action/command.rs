//! `command`: a command line of the playbook's own.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::program::{
    self, CHANGES, CREATES, Change, Hints, Job, Program, REMOVES, SUCCEEDS_ON, State, Text,
};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};

/// The action.
pub(super) struct Command;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    line: Text,
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
            program: Program::Cmd,
            text: &self.line,
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
impl Action for Command {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "command";
    const SUMMARY: &'static str = "Runs a command line that the playbook holds.";
    const DOC: &'static str = "\
Runs one line with `cmd.exe` in a process of its own on the host, exactly as it is
written: quotes, `&`, `|`, `>` and %VARIABLES% mean what cmd.exe takes them for. Templates in
it are filled in before, so a value with an `&` in it becomes a command of its own: prefer
values that you know. More than one line is refused; see `powershell`.

It succeeds when the exit code is one of `succeeds_on`. The step's value holds `ran`,
`exit_code`, `stdout` and `stderr`, at most 1,000,000 characters: a command that says more is
ended and has failed, and so is one that takes longer than the step.

- `creates`, `removes`: it is not run when the path exists, or does not exist any more.
- `changes: false`: you say that it changes nothing. Then it runs while the step reads, in
  check mode, too. Otherwise check mode shows the line and runs nothing.

`AeXAgentUtil`, `SMATool` and `PostQueuedEvent` are refused: they destroy an agent, tell its
secrets or speak in its name. This guards against accidents, not against malice.

Rights: what the line needs; it runs as the credential, without a second hop to other
servers. Undo: impossible, nobody knows what the line did. After a crash in the middle
the operator is asked.";
    const EXAMPLE: &'static str = "\
- name: Read who is logged on
  command: { line: 'query session', changes: false, succeeds_on: [0, 1] }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc { name: "line", kind: ParamKind::Text, required: true, doc: "The command line." },
        CREATES,
        REMOVES,
        CHANGES,
        SUCCEEDS_ON,
    ];
    const SCALAR: Option<&'static str> = Some("line");
    const REPLAY: Replay = Replay::Ask;

    fn refuses(params: &Value) -> Option<String> {
        program::refused(params.get("line")?.as_str()?)
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        if !params.line.is_one_line() {
            return Err(StepFailure::new(
                FailureClass::Refused,
                "could not run a command of several lines: cmd.exe would run the first alone",
            ));
        }
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
