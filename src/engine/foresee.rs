//! What a run will set off at the Notification Servers, found out before anything is changed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::cmdb;
use super::config::{DriverConfig, Orders};
use super::sessions::{self, Sessions};
use crate::action::{self, Decision};
use crate::expression::{Scope, render, truth};
use crate::model::{FailureClass, HostName, Play, PlayNo, Playbook, StepFailure, Task, WorkRow};
use crate::transport::Deadline;

/// The longest that one host may take to be read.
const READING: Duration = Duration::from_secs(120);

/// What is foreseen of a task on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// The host; none when the work of the play could not be found.
    pub host: Option<HostName>,
    /// The task's name.
    pub task: String,
    /// What the task would do, one line each, what it sets off first; or why that is not known.
    pub lines: Result<Vec<String>, StepFailure>,
}

/// Whether a task makes the Notification Server build snapshots anew, which every package server
/// and client downloads then.
fn sets_off_downloads(task: &Task) -> bool {
    task.action.action == "quarantine_files"
        && task.action.params.get("role").and_then(Value::as_str) == Some("ns_snapshots")
}

/// Whether a playbook has anything that [`foresee`] would look at.
pub fn is_worth_foreseeing(playbook: &Playbook) -> bool {
    playbook.tasks().any(sets_off_downloads)
}

/// Reads what the tasks that move snapshots of the Notification Server would move, and what that
/// sets off. Nothing is changed; what cannot be known before earlier tasks have run is said to be
/// unknown.
pub async fn foresee(config: DriverConfig) -> Vec<Foreseen> {
    let config = Arc::new(config);
    let Orders::Playbook(playbook) = &config.orders else { return Vec::new() };
    let mut open = Sessions::new(Arc::clone(&config));
    let mut foreseen = Vec::new();
    for (number, play) in (0..).map(PlayNo).zip(&playbook.plays) {
        let tasks: Vec<&Task> = play.tasks.iter().filter(|task| sets_off_downloads(task)).collect();
        let Some(first) = tasks.first() else { continue };
        let hosts = match hosts_of(&config, &open, number, play).await {
            Ok(hosts) => hosts,
            Err(failure) => {
                let task = first.name.clone();
                foreseen.push(Foreseen { host: None, task, lines: Err(failure) });
                continue;
            }
        };
        for (host, work) in hosts {
            for task in &tasks {
                let lines = match read(&config, play, task, &host, Arc::clone(&work)).await {
                    Ok(None) => continue,
                    Ok(Some(lines)) => Ok(lines),
                    Err(failure) => Err(failure),
                };
                let (host, task) = (Some(host.clone()), task.name.clone());
                foreseen.push(Foreseen { host, task, lines });
            }
        }
    }
    open.close_all().await;
    foreseen
}

/// The hosts that a play will take, with their work.
async fn hosts_of(
    config: &DriverConfig,
    open: &Sessions,
    number: PlayNo,
    play: &Play,
) -> Result<Vec<(HostName, Arc<[WorkRow]>)>, StepFailure> {
    if play.work.is_some() {
        let found = cmdb::find_work(config, &open.notification_servers(), number).await?;
        return Ok(found.by_host.into_iter().map(|(host, rows)| (host, rows.into())).collect());
    }
    let is_meant = |name: &HostName| {
        play.hosts.matches(name, &config.inventory)
            && config.limit.as_ref().is_none_or(|limit| limit.matches(name, &config.inventory))
    };
    let meant = config.hosts.keys().filter(|name| is_meant(name));
    Ok(meant.map(|name| (name.clone(), Arc::from([]))).collect())
}

/// What a task would do to a host; none when it would do nothing.
async fn read(
    config: &DriverConfig,
    play: &Play,
    task: &Task,
    name: &HostName,
    work: Arc<[WorkRow]>,
) -> Result<Option<Vec<String>>, StepFailure> {
    let unknown = |error: &(dyn std::error::Error + 'static)| {
        StepFailure::from_error(FailureClass::Refused, error)
    };
    let Some(host) = config.hosts.get(name) else { return Ok(None) };
    let scope =
        Scope::new(host.clone(), Arc::new(play.vars.clone()), Arc::new(config.extra_vars.clone()))
            .with_work(Arc::clone(&work));
    if let Some(condition) = &task.when
        && !truth(condition, &scope).map_err(|error| unknown(&error))?
    {
        return Ok(None);
    }
    let params = render(&task.action.params, &scope).map_err(|error| unknown(&error))?;
    let Some(action) = action::find(&task.action.action) else { return Ok(None) };
    let prepared = action.prepare(params).map_err(|error| unknown(&error))?;
    let session = sessions::make(config, host, work);
    let deadline = Deadline::after(READING);
    let reader = session.reader(deadline, Arc::from([]));
    let decided = deadline.of(prepared.decide(&reader)).await;
    session.close().await;
    match decided {
        Ok(Ok(Decision::Change(record, _))) => Ok(Some(record.lines)),
        Ok(Ok(Decision::Unchanged { .. })) => Ok(None),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(StepFailure::new(
            FailureClass::TimedOut,
            format!("{name} was not read before the deadline"),
        )),
    }
}
