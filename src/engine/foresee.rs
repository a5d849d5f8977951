//! What a run will set off at the Notification Servers, found out before anything is changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::cmdb;
use super::config::{DriverConfig, Orders};
use super::scope;
use super::sessions::{self, Sessions};
use crate::action::{self, Decision};
use crate::expression::{Scope, render, truth};
use crate::model::{
    FailureClass, Host, HostName, Inventory, Play, PlayNo, Playbook, StepFailure, TagChoice, Task,
    WorkRow,
};
use crate::plan::Delegates;
use crate::transport::Deadline;

/// The longest that all hosts together may take to be read: somebody waits to be asked.
const READING: Duration = Duration::from_secs(60);
/// How many hosts are read side by side.
const AT_ONCE: usize = 8;
/// How long a host may take to close what was open on it.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// What is foreseen of a task on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// The host that would be changed; none when the work of the play could not be found.
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

/// Whether a playbook has anything that [`foresee`] would look at among the tasks that a run takes.
pub fn is_worth_foreseeing(playbook: &Playbook, tags: &TagChoice) -> bool {
    playbook.tasks().any(|task| sets_off_downloads(task) && tags.takes(&task.flow.tags))
}

/// Whether a host may have snapshots of a Notification Server: a package server has none, unless
/// it is both.
fn may_have_snapshots(host: &Host) -> bool {
    host.vars.contains_key("cmdb")
        || !host.groups.iter().any(|group| group == Inventory::PACKAGE_SERVERS)
}

/// A task to be read on a host.
struct Reading {
    /// The host on which the task acts.
    on: HostName,
    task: String,
    action: String,
    params: Value,
    /// The work of that host.
    work: Arc<[WorkRow]>,
}

/// Reads what the tasks that move snapshots of the Notification Server would move, and what that
/// sets off, on the hosts on which they act, each once. Nothing is changed; what cannot be known
/// before earlier tasks have run, or was not read within a minute in all, is said to be unknown.
pub async fn foresee(
    config: DriverConfig,
    delegates: &Delegates,
    tags: &TagChoice,
) -> Vec<Foreseen> {
    let config = Arc::new(config);
    let Orders::Playbook(playbook) = &config.orders else { return Vec::new() };
    let deadline = Deadline::after(READING);
    let mut open = Sessions::new(Arc::clone(&config));
    let mut all = Vec::new();
    for (number, play) in (0..).map(PlayNo).zip(&playbook.plays) {
        let is_meant = |task: &&Task| sets_off_downloads(task) && tags.takes(&task.flow.tags);
        let tasks: Vec<&Task> = play.tasks.iter().filter(is_meant).collect();
        let Some(first) = tasks.first() else { continue };
        let hosts = deadline.of(hosts_of(&config, &open, number, play)).await;
        match hosts.unwrap_or_else(|_| Err(too_late("the work"))) {
            Ok(hosts) => all.extend(readings(&config, delegates, play, &tasks, &hosts)),
            Err(failure) => {
                let task = first.name.clone();
                all.push(Err(Foreseen { host: None, task, lines: Err(failure) }));
            }
        }
    }
    let config = &config;
    let read = all.into_iter().map(|reading| async move {
        let reading = match reading {
            Ok(reading) => reading,
            Err(known) => return Some(known),
        };
        let lines = read(config, &reading, deadline).await.transpose()?;
        Some(Foreseen { host: Some(reading.on), task: reading.task, lines })
    });
    let foreseen = futures::stream::iter(read).buffered(AT_ONCE);
    let foreseen = foreseen.filter_map(std::future::ready).collect().await;
    let _late = tokio::time::timeout(CLEAN_UP, open.close_all()).await;
    foreseen
}

fn too_late(what: &str) -> StepFailure {
    StepFailure::new(FailureClass::TimedOut, format!("{what} was not read before the deadline"))
}

fn unknown(error: &(dyn std::error::Error + 'static)) -> StepFailure {
    StepFailure::from_error(FailureClass::Refused, error)
}

/// What has to be read for the tasks of a play, or why that is not known. The same task on the
/// same host is read once, whoever delegates it; what runs once is read for the first host whose
/// `when` holds.
fn readings(
    config: &DriverConfig,
    delegates: &Delegates,
    play: &Play,
    tasks: &[&Task],
    hosts: &[(HostName, Arc<[WorkRow]>)],
) -> Vec<Result<Reading, Foreseen>> {
    let (vars, extra) = (Arc::new(play.vars.clone()), Arc::new(config.extra_vars.clone()));
    let work_of: HashMap<&HostName, &Arc<[WorkRow]>> =
        hosts.iter().map(|(host, work)| (host, work)).collect();
    let mut found = Vec::new();
    for task in tasks {
        let mut seen = HashSet::new();
        for (name, work) in hosts {
            let on = delegates.of_step(task.id, name).unwrap_or(name);
            let Some((host, target)) = config.hosts.get(name).zip(config.hosts.get(on)) else {
                continue;
            };
            if !may_have_snapshots(target) {
                continue;
            }
            let scope = Scope::new(host.clone(), Arc::clone(&vars), Arc::clone(&extra))
                .with_work(Arc::clone(work));
            let params = match filled(task, &scope) {
                Ok(None) => continue,
                Ok(Some(params)) => Ok(params),
                Err(failure) => Err(failure),
            };
            let key = params.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            if seen.insert((on, key)) {
                let (on, action) = (on.clone(), &task.action.action);
                let task = task.name.clone();
                let work = work_of.get(&on).map_or_else(|| Arc::from([]), |work| Arc::clone(work));
                found.push(match params {
                    Ok(params) => Ok(Reading { on, action: action.clone(), task, params, work }),
                    Err(failure) => Err(Foreseen { host: Some(on), task, lines: Err(failure) }),
                });
            }
            if scope::is_once(task) {
                break;
            }
        }
    }
    found
}

/// The parameters of a task; none where its `when` does not hold.
fn filled(task: &Task, scope: &Scope) -> Result<Option<Value>, StepFailure> {
    if let Some(condition) = &task.when
        && !truth(condition, scope).map_err(|error| unknown(&error))?
    {
        return Ok(None);
    }
    render(&task.action.params, scope).map(Some).map_err(|error| unknown(&error))
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
    reading: &Reading,
    deadline: Deadline,
) -> Result<Option<Vec<String>>, StepFailure> {
    let name = &reading.on;
    if deadline.left().is_zero() {
        return Err(too_late(name.as_str()));
    }
    let Some(host) = config.hosts.get(name) else { return Ok(None) };
    let Some(action) = action::find(&reading.action) else { return Ok(None) };
    let prepared = action.prepare(reading.params.clone()).map_err(|error| unknown(&error))?;
    let session = sessions::make(config, host, Arc::clone(&reading.work));
    let reader = session.reader(deadline, Arc::from([]));
    let decided = deadline.of(prepared.decide(&reader)).await;
    let _late = tokio::time::timeout(CLEAN_UP, session.close()).await;
    match decided {
        Ok(Ok(Decision::Change(record, _))) => Ok(Some(record.lines)),
        Ok(Ok(Decision::Unchanged { .. } | Decision::WasDone { .. })) => Ok(None),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(too_late(name.as_str())),
    }
}

#[cfg(test)]
#[path = "foresee/tests.rs"]
mod tests;
