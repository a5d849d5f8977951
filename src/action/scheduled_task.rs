//! `scheduled_task`: a scheduled task of the host ran to its end, or the tasks are listed.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::patience::Patience;
use super::scripts::{SCHEDULED_TASK_RUN, SCHEDULED_TASKS};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};
use crate::transport::TransportErrorKind;

/// How often a running task is looked at, in the world's time.
const POLL: Duration = Duration::from_secs(5);

/// `SCHED_S_TASK_RUNNING`: the task is running.
const RESULT_RUNNING: i64 = 0x0004_1301;
/// `SCHED_S_TASK_HAS_NOT_RUN`: the task has not run.
const RESULT_NEVER_RAN: i64 = 0x0004_1303;

/// The action.
pub(super) struct ScheduledTask;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    run: Option<Prefix>,
    #[serde(default)]
    list: Option<String>,
}

/// The start of a task's name; not blank, because a blank one would match every task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Prefix(String);

impl TryFrom<String> for Prefix {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err("`run` is the start of a task's name and must not be blank");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Prefix {
    /// The part that is spelled alike everywhere: up to the first dot or blank.
    fn stem(&self) -> &str {
        self.0.split(['.', ' ']).next().unwrap_or(&self.0)
    }

    /// Whether a name starts with it and goes on with something else than a letter or digit.
    ///
    /// Case does not matter. A dot and a blank are the same: the articles write both
    /// `NS.Package Refresh` and `NS.Package.Refresh`.
    fn matches(&self, full_name: &str) -> bool {
        let name = full_name.rsplit('\\').next().unwrap_or(full_name);
        let mut rest = name.chars();
        for wanted in self.0.chars() {
            let Some(found) = rest.next() else { return false };
            let is_same = wanted.to_lowercase().eq(found.to_lowercase())
                || ('.' == wanted || ' ' == wanted) && ('.' == found || ' ' == found);
            if !is_same {
                return false;
            }
        }
        rest.next().is_none_or(|next| !next.is_alphanumeric())
    }
}

/// A task as the host's Task Scheduler has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Task {
    name: String,
    status: String,
    last_run: Option<Timestamp>,
    last_result: Option<i64>,
    #[serde(default)]
    run_as: Option<String>,
    /// What it runs, in one line.
    #[serde(default)]
    action: Option<String>,
}

impl Task {
    /// The task for `register`.
    fn value(&self) -> Value {
        json!({
            "name": self.name,
            "status": self.status,
            "last_run": self.last_run.map(|last| last.to_string()),
            "last_result": self.last_result.map(shown),
            "run_as": self.run_as,
            "action": self.action,
        })
    }

    fn is_running(&self) -> bool {
        ["running", "queued"].contains(&self.status.to_lowercase().as_str())
            || self.last_result == Some(RESULT_RUNNING)
    }

    fn is_disabled(&self) -> bool {
        self.status.eq_ignore_ascii_case("disabled")
    }
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The task's full name.
    name: String,
    /// As whom it runs.
    run_as: Option<String>,
    /// Whether it was found running: then its end is waited for and it is not started.
    running: bool,
}

/// How far a task has come since it was started.
#[derive(Debug, PartialEq)]
enum Progress {
    /// It has not started, or is running.
    Going,
    /// It ended with result 0.
    Ended,
    /// It ended with another result.
    Failed(i64),
}

/// What a look at the task says: it ended when it ran later than `before` and runs no more. A task
/// that was found running has no later run to wait for.
fn progress(before: Option<Timestamp>, was_running: bool, now: &Task) -> Progress {
    if now.is_running() {
        return Progress::Going;
    }
    let ran = match (before, now.last_run) {
        (Some(before), Some(last)) => last > before,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    match now.last_result {
        _ if !ran && !was_running => Progress::Going,
        None | Some(RESULT_NEVER_RAN) => Progress::Going,
        Some(0) => Progress::Ended,
        Some(code) => Progress::Failed(code),
    }
}

/// A result as Windows tools show it: the low 32 bits, `0x8007010B`.
fn shown(code: i64) -> String {
    format!("{:#010X}", code & 0xFFFF_FFFF).replacen("0X", "0x", 1)
}

async fn read_tasks(at: &Reader<'_>, prefix: &str) -> Result<Vec<Task>, StepFailure> {
    #[derive(Deserialize)]
    struct Answer {
        tasks: Vec<Task>,
    }
    let answer = at.script(&SCHEDULED_TASKS, &json!({ "prefix": prefix })).await?;
    let answer: Answer = serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            "could not read the list of tasks",
            &error,
        )
    })?;
    Ok(answer.tasks)
}

#[async_trait]
impl Action for ScheduledTask {
    type Params = Params;
    type State = Vec<Task>;
    type Change = Change;

    const NAME: &'static str = "scheduled_task";
    const SUMMARY: &'static str =
        "Runs a scheduled task of the host and waits for its end, or lists the tasks.";
    const DOC: &'static str = "\
With `list` it only reads the tasks whose names match, `*` standing for anything; without
`run` and `list` it reads them all. The step's value holds `tasks`, a list of mappings
with `name`, `status`, `last_run`, `last_result` (0x00000000 is success), `run_as` and
`action`, what the task runs.

With `run` it finds the one scheduled task whose name starts with `run`, starts it and
waits until it has ended with result 0. The Notification Server's tasks end in a GUID that
differs between servers, so the start of the name is enough: `NS.Package Refresh`. A dot and a
blank are taken as the same, since the product's articles spell it both ways. No match, or
more than one, is refused with the names.

A task that is already running is waited for and not started again. A disabled task is
refused.

Rights: administrator on the host. Undo: none; a task that ran cannot be made not to have
run. After a crash in the middle the operator is asked: a second run does no harm but
costs the Notification Server its load again.";
    const EXAMPLE: &'static str = "\
- name: Refresh the packages
  scheduled_task: { run: \"NS.Package Refresh\" }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "run",
            kind: ParamKind::Text,
            required: false,
            doc: "The start of the name of the task to run; exactly one task must match.",
        },
        ParamDoc {
            name: "list",
            kind: ParamKind::Text,
            required: false,
            doc: "The names of the tasks to list, as in `NS.*`.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("run");
    const REPLAY: Replay = Replay::Ask;
    const WITHIN_SECONDS: u64 = 3600;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Task>, StepFailure> {
        match (&params.run, &params.list) {
            (Some(_), Some(_)) => Err(StepFailure::new(
                FailureClass::Refused,
                "could not read the scheduled tasks: give `run` or `list`, not both",
            )),
            (Some(run), None) => read_tasks(at, run.stem()).await,
            // The host compares the beginning alone. A pattern that names a folder is compared here.
            (None, Some(pattern)) if !pattern.contains('\\') => {
                read_tasks(at, pattern.split('*').next().unwrap_or_default()).await
            }
            (None, _) => read_tasks(at, "").await,
        }
    }

    fn decide(params: &Params, state: &Vec<Task>) -> Verdict<Change> {
        let Some(run) = &params.run else {
            return listed(state, params.list.as_deref().unwrap_or("*"));
        };
        let matches: Vec<&Task> = state.iter().filter(|task| run.matches(&task.name)).collect();
        let refuse =
            |message: String| Verdict::Refuse(StepFailure::new(FailureClass::Refused, message));
        let prefix = &run.0;
        match matches.as_slice() {
            [] => refuse(format!("no scheduled task starts with `{prefix}`")),
            [task] if task.is_disabled() => {
                refuse(format!("the scheduled task `{}` is disabled", task.name))
            }
            [task] => Verdict::Change(Change {
                name: task.name.clone(),
                run_as: task.run_as.clone(),
                running: task.is_running(),
            }),
            several => {
                let names: Vec<String> =
                    several.iter().take(10).map(|task| format!("`{}`", task.name)).collect();
                let count = several.len();
                refuse(format!(
                    "{count} scheduled tasks start with `{prefix}`, and exactly one must: {}",
                    names.join(", ")
                ))
            }
        }
    }

    fn cost(_: &Change) -> Cost {
        // What the task makes of the Notification Server's time is its own; the requests that its
        // new snapshots cause are drawn where package servers are told of them.
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let run_as = match &change.run_as {
            Some(account) if !account.is_empty() => format!(" (runs as {account})"),
            _ => String::new(),
        };
        let name = &change.name;
        vec![if change.running {
            format!("wait for the end of the scheduled task `{name}`{run_as}, which is running")
        } else {
            format!("run the scheduled task `{name}`{run_as} and wait for its end")
        }]
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let name = change.name.as_str();
        let find = |tasks: Vec<Task>| tasks.into_iter().find(|task| task.name == name);
        let leaf = name.rsplit('\\').next().unwrap_or(name);
        let before = find(read_tasks(at, leaf).await?).ok_or_else(|| {
            StepFailure::new(
                FailureClass::RemoteFault,
                format!("there is no scheduled task `{name}`"),
            )
        })?;

        let was_running = before.is_running();
        let mut trouble = None;
        if !was_running {
            let input = json!({ "name": name });
            match at.change_script(&SCHEDULED_TASK_RUN, &input).await {
                Ok(_) => {}
                // Whether it started will be seen on the task itself.
                Err(error) if error.kind == TransportErrorKind::InDoubt => {
                    trouble = Some(StepFailure::from(error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let patience = Patience::of_step(at);
        loop {
            let has_time = patience.pause(at, POLL).await;
            match read_tasks(at, leaf).await {
                Ok(tasks) => {
                    let now = find(tasks);
                    let progress =
                        now.as_ref().map(|now| progress(before.last_run, was_running, now));
                    match (progress, now) {
                        (Some(Progress::Ended), Some(now)) => {
                            return Ok(applied(&now, was_running));
                        }
                        (Some(Progress::Failed(code)), _) => {
                            let code = shown(code);
                            return Err(StepFailure::new(
                                FailureClass::RemoteFault,
                                format!("the scheduled task `{name}` ended with result {code}"),
                            ));
                        }
                        (Some(Progress::Going), _) => trouble = None,
                        (None, _) | (Some(Progress::Ended), None) => {}
                    }
                }
                // Another try with a rejected logon could lock the account.
                Err(failure) if failure.class == FailureClass::AuthRejected => return Err(failure),
                Err(failure) => trouble = Some(failure),
            }
            if !has_time {
                return Err(never_ended(name, trouble));
            }
        }
    }

    fn invert(_: &Change) -> Undo {
        Undo::Impossible("a scheduled task that ran cannot be made not to have run".to_owned())
    }
}

/// The tasks that match a pattern.
fn listed(tasks: &[Task], pattern: &str) -> Verdict<Change> {
    let matches = |task: &Task| {
        let name = if pattern.contains('\\') {
            task.name.as_str()
        } else {
            task.name.rsplit('\\').next().unwrap_or(&task.name)
        };
        fits(pattern.trim_start_matches('\\'), name)
    };
    let found: Vec<&Task> = tasks.iter().filter(|task| matches(task)).collect();
    let note = match found.len() {
        0 => "no such tasks".to_owned(),
        1 => "1 task".to_owned(),
        count => format!("{count} tasks"),
    };
    let tasks: Vec<Value> = found.into_iter().map(Task::value).collect();
    Verdict::Unchanged { note, value: json!({ "tasks": tasks }) }
}

/// Whether a name fits a pattern in which `*` stands for anything, without regard to case. Each part
/// is looked for once, behind the one before it.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

fn applied(task: &Task, was_running: bool) -> Applied {
    let name = &task.name;
    let note = if was_running {
        format!("`{name}` was running already; that run ended")
    } else {
        format!("`{name}` ran")
    };
    let last_run = task.last_run.map(|last| last.to_string());
    let value: Value = json!({ "task": name, "last_run": last_run, "run_as": task.run_as });
    Applied { note, value, was_so_already: false }
}

fn never_ended(name: &str, trouble: Option<StepFailure>) -> StepFailure {
    let message =
        format!("the scheduled task `{name}` was started and its end was not seen in time");
    let causes = trouble.map(|trouble| vec![trouble.to_string()]).unwrap_or_default();
    StepFailure::new(FailureClass::InDoubt, message).with_causes(causes)
}

#[cfg(test)]
#[path = "scheduled_task/tests.rs"]
mod tests;
