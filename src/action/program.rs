//! Running a text of a playbook on a host: what `powershell` and `command` share.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::denied::denied_in;
use super::scripts::{PATHS_EXIST, RUN_CHANGING, RUN_READING};
use super::{Applied, ParamDoc, ParamKind, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{FailureClass, StepFailure};

/// The most characters of a text. The command line of a process holds 32,767, and a script travels
/// in Base64 of UTF-16.
const LONGEST: usize = 10_000;
/// The most characters that a program may say. Written as JSON in Base64 they fit into the 8 MiB
/// that are kept of an answer, whatever they are.
const MOST_OUTPUT: usize = 1_000_000;
/// How long the program may take when the step has no end in sight, in seconds.
const MOST_SECONDS: u64 = 24 * 3600;
/// How much of what a failed program said goes into the message.
const SHOWN: usize = 2_000;

pub(super) const CREATES: ParamDoc = ParamDoc {
    name: "creates",
    kind: ParamKind::Text,
    required: false,
    doc: "A path; when it exists, nothing is run.",
};
pub(super) const REMOVES: ParamDoc = ParamDoc {
    name: "removes",
    kind: ParamKind::Text,
    required: false,
    doc: "A path; when it does not exist, nothing is run.",
};
pub(super) const CHANGES: ParamDoc = ParamDoc {
    name: "changes",
    kind: ParamKind::Bool,
    required: false,
    doc: "Whether it changes anything; yes, when nothing is said.",
};
pub(super) const SUCCEEDS_ON: ParamDoc = ParamDoc {
    name: "succeeds_on",
    kind: ParamKind::Numbers,
    required: false,
    doc: "The exit codes that mean success; 0 when nothing is said.",
};

/// What runs a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Program {
    /// Windows PowerShell 5.1.
    Powershell,
    /// `cmd.exe`.
    Cmd,
}

/// A text of a playbook, its templates filled in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(why) = refused(&text) {
            return Err(why);
        }
        if text.trim().is_empty() {
            return Err("the text is empty".to_owned());
        }
        let length = text.encode_utf16().count();
        if length > LONGEST {
            return Err(format!("the text has {length} characters, and {LONGEST} are the most"));
        }
        if text.contains('\0') {
            return Err("the text holds a character that no command line can hold".to_owned());
        }
        Ok(Self(text))
    }
}

/// Why a text is not run, whoever asks for it: it names what is denied.
pub(super) fn refused(text: &str) -> Option<String> {
    let name = denied_in(text)?;
    Some(format!("`{name}` is never run: it can destroy an agent, or speak in its name"))
}

impl Text {
    /// One line has no line break: `cmd.exe` would run the first line and drop the others.
    pub(super) fn is_one_line(&self) -> bool {
        !self.0.contains(['\n', '\r'])
    }
}

/// What is to be run, and when.
pub(super) struct Job<'a> {
    pub(super) program: Program,
    pub(super) text: &'a Text,
    pub(super) hints: Hints<'a>,
}

/// What a playbook says of a text's effect.
pub(super) struct Hints<'a> {
    /// A path that exists when it has been run.
    pub(super) creates: Option<&'a str>,
    /// A path that exists until it has been run.
    pub(super) removes: Option<&'a str>,
    /// Whether it changes anything.
    pub(super) changes: bool,
    /// The exit codes that mean success.
    pub(super) succeeds_on: &'a [u32],
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// The text need not run, and why.
    NotNeeded(String),
    /// It was run while reading: it changes nothing.
    Ran(Output),
    /// It will have to be run.
    Wanted,
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Output {
    /// Why it was ended by force: `time`, `output`, or nothing.
    ended: String,
    exit_code: Option<i64>,
    stdout: String,
    stderr: String,
}

/// What will be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    program: Program,
    text: String,
    succeeds_on: Vec<u32>,
}

/// Reads whether the text is needed, and runs it when it only reads.
pub(super) async fn probe(job: &Job<'_>, at: &Reader<'_>) -> Result<State, StepFailure> {
    let Hints { creates, removes, changes, .. } = job.hints;
    let paths: Vec<&str> = creates.into_iter().chain(removes).collect();
    if !paths.is_empty() {
        let exist = exist(&paths, at).await?;
        let mut exist = exist.into_iter();
        if let Some(path) = creates
            && exist.next() == Some(true)
        {
            return Ok(State::NotNeeded(format!("{path} exists already")));
        }
        if let Some(path) = removes
            && exist.next() == Some(false)
        {
            return Ok(State::NotNeeded(format!("{path} does not exist")));
        }
    }
    if changes {
        return Ok(State::Wanted);
    }
    let answer = at.script(&RUN_READING, &input(job.program, &job.text.0, at)).await?;
    understood(answer).map(State::Ran)
}

async fn exist(paths: &[&str], at: &Reader<'_>) -> Result<Vec<bool>, StepFailure> {
    #[derive(Deserialize)]
    struct Answer {
        exist: Vec<bool>,
    }
    let answer = at.script(&PATHS_EXIST, &json!({ "paths": paths })).await?;
    let what = || "could not understand which paths exist".to_owned();
    let answer: Answer = serde_json::from_value(answer)
        .map_err(|error| StepFailure::caused_by(FailureClass::RemoteFault, what(), &error))?;
    if answer.exist.len() == paths.len() {
        Ok(answer.exist)
    } else {
        Err(StepFailure::new(FailureClass::RemoteFault, what()))
    }
}

fn input(program: Program, text: &str, at: &Reader<'_>) -> Value {
    // A little less than the step has, so that the host can tell what the program said.
    let left = at.deadline().left();
    let left = left.saturating_sub((left / 10).min(std::time::Duration::from_secs(10)));
    let seconds = left.as_secs_f64().clamp(1.0, MOST_SECONDS as f64);
    json!({ "program": program, "text": text, "limit": MOST_OUTPUT, "seconds": seconds })
}

fn understood(answer: Value) -> Result<Output, StepFailure> {
    serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            "could not understand how the program ended",
            &error,
        )
    })
}

/// Says what has to be done. Pure.
pub(super) fn decide(job: &Job<'_>, state: &State) -> Verdict<Change> {
    match state {
        State::NotNeeded(why) => {
            Verdict::Unchanged { note: why.clone(), value: json!({ "ran": false }) }
        }
        State::Ran(output) => match judged(output, job.hints.succeeds_on) {
            Ok(note) => Verdict::Unchanged { note, value: told(output) },
            Err(failure) => Verdict::Refuse(failure),
        },
        State::Wanted => Verdict::Change(Change {
            program: job.program,
            text: job.text.0.clone(),
            succeeds_on: job.hints.succeeds_on.to_vec(),
        }),
    }
}

/// Whether an output is a success; the note says its exit code and the first line.
fn judged(output: &Output, succeeds_on: &[u32]) -> Result<String, StepFailure> {
    let said = || {
        let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        let text = text.trim();
        let start = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
        vec![if text.is_empty() { "it said nothing".to_owned() } else { text[start..].to_owned() }]
    };
    let failed = |class, message: String| Err(StepFailure::new(class, message).with_causes(said()));
    match output.ended.as_str() {
        "" => {}
        "output" => {
            let message = format!(
                "ended the program: output limit, it said more than {MOST_OUTPUT} characters"
            );
            return failed(FailureClass::RemoteFault, message);
        }
        _ => {
            let message = "ended the program, which did not end in time".to_owned();
            return failed(FailureClass::RemoteFault, message);
        }
    }
    let Some(code) = output.exit_code else {
        return failed(FailureClass::InDoubt, "the program's exit code is not known".to_owned());
    };
    // Windows has 32 bits of it and shows them with and without a sign.
    let bits = u32::try_from(code & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    if !succeeds_on.contains(&bits) {
        return failed(
            FailureClass::RemoteFault,
            format!("the program ended with exit code {code}"),
        );
    }
    let first: String =
        output.stdout.trim().lines().next().unwrap_or_default().chars().take(120).collect();
    Ok(match (bits, first.as_str()) {
        (0, "") => "ran".to_owned(),
        (0, first) => format!("ran: {first}"),
        (code, "") => format!("ran, exit code {code}"),
        (code, first) => format!("ran, exit code {code}: {first}"),
    })
}

/// The value for `register`.
fn told(output: &Output) -> Value {
    json!({
        "ran": true,
        "exit_code": output.exit_code,
        "stdout": output.stdout,
        "stderr": output.stderr,
    })
}

/// The text, line by line.
pub(super) fn describe(change: &Change) -> Vec<String> {
    let with = match change.program {
        Program::Powershell => "PowerShell",
        Program::Cmd => "cmd.exe",
    };
    let mut lines = change.text.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    [format!("run with {with}: {first}")]
        .into_iter()
        .chain(lines.map(|line| format!("    {line}")))
        .collect()
}

/// Runs the text.
pub(super) async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
    if let Some(why) = refused(&change.text) {
        return Err(StepFailure::new(FailureClass::Refused, why));
    }
    let answer = at.change_script(&RUN_CHANGING, &input(change.program, &change.text, at)).await?;
    let output = understood(answer)?;
    let note = judged(&output, &change.succeeds_on)?;
    Ok(Applied { note, value: told(&output), was_so_already: false })
}

/// Nobody but the text's author knows what would take it back.
pub(super) fn invert() -> Undo {
    Undo::Impossible("what the text of a playbook did is not known".to_owned())
}

#[cfg(test)]
#[path = "program/tests.rs"]
mod tests;
