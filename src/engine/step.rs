//! One step on one host: fill in templates, probe, decide, wait for the grant, apply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::message::{Message, StepEnd};
use crate::action::{self, ActionKind, Decision};
use crate::event::{Ack, ChangeRecord};
use crate::expression::{Scope, render, truth};
use crate::host::{PriorChange, Session};
use crate::model::{Cost, FailureClass, Outcome, StepFailure, StepId, Task};
use crate::transport::Deadline;

/// How long a cancelled step may take to clean up on its host.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// What a step is to do.
pub(super) enum Errand {
    /// A task of the playbook, with the names its expressions may use.
    Task {
        task: Arc<Task>,
        scope: Box<Scope>,
    },
    /// The inverse of a change that an earlier run made; none when this host has fewer changes to
    /// take back than others.
    TakeBack(Option<(String, Value)>),
}

/// All that a step needs.
pub(super) struct Job {
    pub(super) step: StepId,
    pub(super) errand: Errand,
    pub(super) is_check: bool,
    pub(super) session: Arc<Session>,
    pub(super) prior: Arc<[PriorChange]>,
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
    let (action, decision) = match decide(job).await {
        Ok(Some(decided)) => decided,
        Ok(None) => return StepEnd::skipped(),
        Err(failure) => return StepEnd::failed(failure),
    };
    let (record, cost) = match decision {
        Decision::Unchanged { note, value } => {
            return StepEnd { outcome: Outcome::Unchanged, failure: None, note: Some(note), value };
        }
        Decision::Change(record, cost) => (record, cost),
    };
    if job.is_check {
        let note = Some(format!("would: {}", record.lines.join("; ")));
        let message = Message::WouldChange { step: job.step.clone(), record, cost };
        if job.inbox.send(message).await.is_err() {
            return StepEnd::orphaned();
        }
        return StepEnd { outcome: Outcome::Changed, failure: None, note, value: Value::Null };
    }
    match granted(job, record.clone(), cost).await {
        Some(on_disk) => {
            if let Err(error) = on_disk.await {
                return StepEnd::failed(StepFailure::from_error(FailureClass::Bug, &error));
            }
        }
        None => return StepEnd::orphaned(),
    }
    applying.store(true, Ordering::Relaxed);
    apply(job, action, &record).await
}

/// Fills in the task and lets the action read the host; `None` when the task is not for this host.
async fn decide(
    job: &Job,
) -> Result<Option<(&'static dyn ActionKind, Decision)>, StepFailure> {
    let (task, scope) = match &job.errand {
        Errand::TakeBack(None) => return Ok(None),
        Errand::TakeBack(Some((name, change))) => {
            let action = find(name)?;
            let (record, cost) = action.record(change)?;
            return Ok(Some((action, Decision::Change(record, cost))));
        }
        Errand::Task { task, scope } => (task, scope),
    };
    let refused =
        |error: &(dyn std::error::Error + 'static)| StepFailure::from_error(FailureClass::Refused, error);
    if let Some(condition) = &task.when
        && !truth(condition, scope).map_err(|error| refused(&error))?
    {
        return Ok(None);
    }
    let params = render(&task.action.params, scope).map_err(|error| refused(&error))?;
    let action = find(&task.action.action)?;
    let prepared = action.prepare(params).map_err(|error| refused(&error))?;
    let deadline = Deadline::after(job.within);
    let reader = job.session.reader(deadline, Arc::clone(&job.prior));
    let decision = deadline.of(prepared.decide(&reader)).await.map_err(|_| {
        StepFailure::new(FailureClass::TimedOut, "the host was not read before the deadline")
    })??;
    Ok(Some((action, match decision {
        Decision::Change(record, cost) => {
            let uses = task.uses.draws().map(|(name, draw)| (name.clone(), draw));
            Decision::Change(record, uses.fold(cost, |cost, (name, draw)| cost.and(name, draw)))
        }
        unchanged @ Decision::Unchanged { .. } => unchanged,
    })))
}

fn find(name: &str) -> Result<&'static dyn ActionKind, StepFailure> {
    action::find(name).ok_or_else(|| {
        StepFailure::new(FailureClass::Refused, format!("there is no action `{name}`"))
    })
}

/// Waits until the limits allow the change; the answer resolves when the intent is on disk.
async fn granted(job: &Job, record: ChangeRecord, cost: Cost) -> Option<Ack> {
    let (grant, granted) = oneshot::channel();
    let message = Message::Decided { step: job.step.clone(), record, cost, grant };
    job.inbox.send(message).await.ok()?;
    granted.await.ok()
}

async fn apply(job: &Job, action: &dyn ActionKind, record: &ChangeRecord) -> StepEnd {
    let deadline = Deadline::after(job.within);
    let changer = job.session.changer(deadline, Arc::clone(&job.prior));
    match deadline.of(action.apply(&record.change, &changer)).await {
        Ok(Ok(applied)) => StepEnd {
            outcome: Outcome::Changed,
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

