//! One step on one host, attempt by attempt: fill in templates, probe, decide, wait for what the
//! change needs, wait for the grant, apply. Where reading draws from limits, the grant is waited for
//! before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::back;
use super::message::{Message, StepEnd, orphaned};
use super::task::{self, refused};
use crate::action::{self, ActionKind, Decision};
use crate::event::{Ack, ChangeRecord, JournalError, Question, Reply, StepPart};
use crate::expression::{Scope, render, truth};
use crate::host::{PriorChange, Session};
use crate::model::{Cost, Due, FailureClass, Outcome, StepFailure, StepId, Task};
use crate::plan::Inverse;
use crate::transport::Deadline;

/// How long a cancelled step may take to clean up on its host.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// What a step is to do.
pub(super) enum Errand {
    /// A task of the playbook, with the names its expressions may use.
    Task { task: Arc<Task>, scope: Box<Scope> },
    /// The inverses of what an earlier run changed, newest first. Empty when this host has nothing
    /// to take back in this turn.
    TakeBack(Vec<Inverse>),
}

/// All that a step needs.
pub(super) struct Job {
    pub(super) step: StepId,
    pub(super) errand: Errand,
    pub(super) is_check: bool,
    pub(super) session: Arc<Session>,
    pub(super) prior: Arc<[PriorChange]>,
    /// Its attempts and items that ended before the run was cut.
    pub(super) parts: Arc<[StepPart]>,
    /// Real time for probing, and again for applying: the wait for a limit does not count.
    pub(super) within: Duration,
    pub(super) inbox: mpsc::Sender<Message>,
}

/// Runs a step to its end. Whatever happens on the host is in the end that is returned.
pub(super) async fn run(job: Job, cancel: oneshot::Receiver<()>) -> StepEnd {
    let applying = AtomicBool::new(false);
    let cancelled = async {
        // A driver that has gone away cancels as well.
        let _gone = cancel.await;
    };
    tokio::select! {
        end = walk(&job, &applying) => end,
        () = cancelled => {
            let _late = tokio::time::timeout(CLEAN_UP, job.session.close()).await;
            let class = if applying.load(Ordering::Relaxed) {
                FailureClass::InDoubt
            } else {
                FailureClass::Cancelled
            };
            StepEnd::failed(StepFailure::new(class, "the step was cancelled"))
        }
    }
}

async fn walk(job: &Job, applying: &AtomicBool) -> StepEnd {
    match &job.errand {
        Errand::Task { task, scope } => task::run(job, task, scope, applying).await,
        Errand::TakeBack(inverses) => back::run(job, inverses, applying).await,
    }
}

/// One attempt of a task, or of an item of its loop.
pub(super) async fn attempt(
    job: &Job,
    task: &Task,
    scope: &Scope,
    applying: &AtomicBool,
) -> StepEnd {
    let (action, decision) = match decide(job, task, scope).await {
        Ok(Decided::Go(action, decision)) => (action, decision),
        Ok(Decided::Ends(end)) => return end,
        Err(failure) => return StepEnd::failed(failure),
    };
    let (record, cost) = match decision {
        Decision::Unchanged { note, value } => {
            return StepEnd { outcome: Outcome::Unchanged, failure: None, note: Some(note), value };
        }
        Decision::WasDone { note, value } => {
            return StepEnd { outcome: Outcome::Changed, failure: None, note: Some(note), value };
        }
        Decision::Change(record, cost) => (record, cost),
    };
    if task.flow.only_checks {
        let note = format!("would: {}", record.lines.join("; "));
        return StepEnd::unchanged(note, json!({ "would": record.lines }));
    }
    if job.is_check {
        return would_change(job, record, cost).await;
    }
    if let Err(end) = granted(job, &record, cost).await {
        return end;
    }
    applying.store(true, Ordering::Relaxed);
    apply(job, action, &record).await
}

/// What came of reading.
enum Decided {
    /// The step ends without having read its host.
    Ends(StepEnd),
    /// The action decided.
    Go(&'static dyn ActionKind, Decision),
}

/// Fills in the task and lets the action read the host, or asks the operator.
async fn decide(job: &Job, task: &Task, scope: &Scope) -> Result<Decided, StepFailure> {
    if let Some(condition) = &task.when
        && !truth(condition, scope).map_err(|error| refused(&error))?
    {
        return Ok(Decided::Ends(StepEnd::skipped()));
    }
    let params = render(&task.action.params, scope).map_err(|error| refused(&error))?;
    let action = find(&task.action.action)?;
    let prepared = action.prepare(params).map_err(|error| refused(&error))?;
    if let Some(note) = prepared.rehearse().filter(|_| job.is_check || task.flow.only_checks) {
        // What follows is looked at as if the operator had confirmed.
        let asks = prepared.question().is_some();
        let value = if asks { json!({ "reply": Reply::Confirmed }) } else { Value::Null };
        return Ok(Decided::Ends(StepEnd::unchanged(note, value)));
    }
    if let Some(question) = prepared.question() {
        return ask(job, question).await.map(Decided::Ends);
    }
    let with_uses = |cost: Cost| cost.plus(&task.uses);
    let caused = caused(task, job, scope)?;
    let reading = prepared.probe_cost();
    let draws_to_read = !reading.is_none() && !job.is_check;
    if draws_to_read {
        allowed_to_read(job, with_uses(reading)).await?;
    }
    let deadline = Deadline::after(job.within);
    let reader = job.session.reader(deadline, Arc::clone(&job.prior)).for_task(job.step.task);
    let mut decision = deadline.of(prepared.decide(&reader)).await.map_err(|_| {
        StepFailure::new(FailureClass::TimedOut, "the host was not read before the deadline")
    })??;
    if let Decision::Change(_, cost) = &mut decision {
        if draws_to_read {
            // The step has its grant and cannot ask for another one.
            return Err(StepFailure::new(
                FailureClass::Bug,
                format!(
                    "`{}` draws for reading, so that it may not change anything",
                    action.name()
                ),
            ));
        }
        *cost = with_uses(std::mem::take(cost)).plus(&caused);
    }
    if let Decision::Change(record, _) = &decision
        && !job.is_check
        && !task.flow.only_checks
    {
        let waited = deadline.of(action.wait_before(&record.change, &reader)).await;
        waited.map_err(|_| {
            let message = "what the change needs was not there before the deadline";
            StepFailure::new(FailureClass::TimedOut, message)
        })??;
    }
    Ok(Decided::Go(action, decision))
}

/// What the task says that a change of it sets off later.
fn caused(task: &Task, job: &Job, scope: &Scope) -> Result<Cost, StepFailure> {
    let Some(causes) = &task.causes else { return Ok(Cost::none()) };
    causes.units.iter().try_fold(Cost::none(), |cost, (name, units)| {
        let value = render(units, scope).map_err(|error| refused(&error))?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        let units = number.and_then(|units| u32::try_from(units).ok());
        let units = units.filter(|units| *units <= 1_000_000).ok_or_else(|| {
            StepFailure::new(
                FailureClass::Refused,
                format!(
                    "`causes` of {} comes to `{value}` of {name}, which is no number of units",
                    job.step
                ),
            )
        })?;
        Ok(cost.and_due(name.clone(), Due { units, after: causes.after }))
    })
}

/// Asks the operator and waits for the answer to be on disk.
async fn ask(job: &Job, question: Question) -> Result<StepEnd, StepFailure> {
    let (reply, answered) = oneshot::channel();
    let name = question.name.clone();
    let message = Message::Asks { step: job.step.clone(), question, reply };
    job.inbox.send(message).await.map_err(|_| orphaned())?;
    let (answer, on_disk) = answered.await.map_err(|_| orphaned())?;
    on_disk.await.map_err(|error| unrecorded(&error))?;
    let why = match answer.reply {
        Reply::Confirmed => {
            let value = serde_json::to_value(&answer).unwrap_or_default();
            return Ok(StepEnd::unchanged(format!("confirmed by {}", answer.user), value));
        }
        Reply::Declined => format!("`{name}` was not confirmed by {}", answer.user),
        Reply::NobodyThere => format!("nobody was there to confirm `{name}`"),
    };
    Err(StepFailure::new(FailureClass::Unconfirmed, why))
}

async fn would_change(job: &Job, record: ChangeRecord, cost: Cost) -> StepEnd {
    let note = Some(format!("would: {}", record.lines.join("; ")));
    let message = Message::WouldChange { step: job.step.clone(), record, cost };
    if job.inbox.send(message).await.is_err() {
        return StepEnd::orphaned();
    }
    StepEnd { outcome: Outcome::Changed, failure: None, note, value: Value::Null }
}

pub(super) fn find(name: &str) -> Result<&'static dyn ActionKind, StepFailure> {
    action::find(name).ok_or_else(|| {
        StepFailure::new(FailureClass::Refused, format!("there is no action `{name}`"))
    })
}

/// Waits until the limits allow the change and its intent is on disk.
pub(super) async fn granted(job: &Job, record: &ChangeRecord, cost: Cost) -> Result<(), StepEnd> {
    let (grant, granted) = oneshot::channel();
    let (step, record) = (job.step.clone(), record.clone());
    on_disk(job, Message::Decided { step, record, cost, grant }, granted).await
}

/// Waits until the limits allow a reading that draws from them.
async fn allowed_to_read(job: &Job, cost: Cost) -> Result<(), StepFailure> {
    let (grant, granted) = oneshot::channel();
    let message = Message::WantsToRead { step: job.step.clone(), cost, grant };
    job.inbox.send(message).await.map_err(|_| orphaned())?;
    granted.await.map_err(|_| orphaned())
}

async fn on_disk(
    job: &Job,
    message: Message,
    answer: oneshot::Receiver<Ack>,
) -> Result<(), StepEnd> {
    job.inbox.send(message).await.map_err(|_| StepEnd::orphaned())?;
    let written = answer.await.map_err(|_| StepEnd::orphaned())?;
    written.await.map_err(|error| StepEnd::failed(unrecorded(&error)))
}

/// What may not be on disk is not begun.
fn unrecorded(error: &JournalError) -> StepFailure {
    let message = "nothing was done: it could not be recorded first";
    StepFailure::caused_by(FailureClass::Cancelled, message, error)
}

pub(super) async fn apply(job: &Job, action: &dyn ActionKind, record: &ChangeRecord) -> StepEnd {
    let deadline = Deadline::after(job.within);
    let changer = job.session.changer(deadline, Arc::clone(&job.prior));
    match deadline.of(action.apply(&record.change, &changer)).await {
        Ok(Ok(applied)) => StepEnd {
            outcome: if applied.was_so_already { Outcome::Unchanged } else { Outcome::Changed },
            failure: None,
            note: Some(applied.note),
            value: applied.value,
        },
        Ok(Err(failure)) => StepEnd::failed(failure),
        Err(_) => StepEnd::failed(StepFailure::new(
            FailureClass::InDoubt,
            "the change was asked for and its effect was not seen before the deadline",
        )),
    }
}

#[cfg(test)]
mod tests;
