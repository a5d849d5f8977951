//! On which hosts delegated tasks act: known before a run begins, so that they can be held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use crate::expression::{ExpressionError, Scope, render};
use crate::model::{Host, HostName, Inventory, Playbook, Selector, TaskId, Vars};

/// For each delegated task, the host on which it acts for each host of its play.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegates(BTreeMap<TaskId, BTreeMap<HostName, HostName>>);

/// A task cannot be delegated.
#[derive(Debug, Error)]
pub enum DelegateError {
    /// The template cannot be filled in.
    #[error("could not tell to whom task \"{task}\" is delegated for {host}")]
    Template {
        /// The task's name.
        task: String,
        /// The host that delegates.
        host: HostName,
        /// Why.
        source: ExpressionError,
    },
    /// It names something else than a host of the inventory.
    #[error(
        "could not delegate task \"{task}\" for {host}: the inventory has no host `{delegate}`"
    )]
    NoHost {
        /// The task's name.
        task: String,
        /// The host that delegates.
        host: HostName,
        /// What the task names.
        delegate: String,
    },
}

impl Delegates {
    /// Fills in `delegate_to` for every task and host; `limit` is the pattern of `--limit`.
    ///
    /// # Errors
    ///
    /// A template cannot be filled in from the variables of host, play and command line, or names
    /// no host of the inventory.
    pub fn of(
        playbook: &Playbook,
        inventory: &Inventory,
        limit: Option<&Selector>,
        extra_vars: &Vars,
    ) -> Result<Self, DelegateError> {
        let extra = Arc::new(extra_vars.clone());
        let mut all = BTreeMap::new();
        for play in &playbook.plays {
            let delegated: Vec<_> = play
                .tasks
                .iter()
                .filter_map(|task| Some((task, task.flow.delegate_to.as_ref()?)))
                .collect();
            if delegated.is_empty() {
                continue;
            }
            let vars = Arc::new(play.vars.clone());
            let names = play.hosts.select(inventory).into_iter();
            let hosts: Vec<Host> = names
                .filter(|name| limit.is_none_or(|limit| limit.matches(name, inventory)))
                .filter_map(|name| inventory.host(&name))
                .collect();
            for (task, to) in delegated {
                let mut by_host = BTreeMap::new();
                for host in &hosts {
                    let scope = Scope::new(host.clone(), Arc::clone(&vars), Arc::clone(&extra));
                    let delegate = delegate(&task.name, to, host, &scope, inventory)?;
                    if delegate != host.name {
                        by_host.insert(host.name.clone(), delegate);
                    }
                }
                all.insert(task.id, by_host);
            }
        }
        Ok(Self(all))
    }

    /// Every host on which another host's task may act.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.0.values().flat_map(BTreeMap::values).collect()
    }

    /// Where a task acts for a host; none where it acts on the host itself.
    pub fn of_step(&self, task: TaskId, host: &HostName) -> Option<&HostName> {
        self.0.get(&task)?.get(host)
    }
}

fn delegate(
    task: &str,
    to: &str,
    host: &Host,
    scope: &Scope,
    inventory: &Inventory,
) -> Result<HostName, DelegateError> {
    let filled = render(&Value::String(to.to_owned()), scope).map_err(|source| {
        DelegateError::Template { task: task.to_owned(), host: host.name.clone(), source }
    })?;
    let name = filled.as_str().map(HostName::new);
    name.filter(|name| inventory.host(name).is_some()).ok_or_else(|| DelegateError::NoHost {
        task: task.to_owned(),
        host: host.name.clone(),
        delegate: filled.as_str().map_or_else(|| filled.to_string(), str::to_owned),
    })
}
