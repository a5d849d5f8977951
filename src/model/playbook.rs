//! A playbook in its meant form: parsed, checked and numbered.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Batch, Cost, LimitName, LimitSpec, Order, Selector, TaskId, Vars};

/// A playbook: its plays, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    /// The file's name as the operator gave it.
    pub path: String,
    /// SHA-256 of its text, lower-case hexadecimal: a resume with another text is refused.
    pub sha256: String,
    /// The plays.
    pub plays: Vec<Play>,
}

/// Hosts and what to do on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// What it is for.
    pub name: String,
    /// The hosts it may touch.
    pub hosts: Selector,
    /// The query that says which hosts have work; without one every host has.
    pub work: Option<WorkQuery>,
    /// The order in which hosts are taken.
    pub order: Order,
    /// The waves; the last entry repeats. Empty means one wave of all.
    pub serial: Vec<Batch>,
    /// Hosts in flight at once.
    pub throttle: u32,
    /// The share of a wave that may fail, unreachable included; none means that nothing may.
    pub max_fail_percentage: Option<f64>,
    /// Limits that the play declares; they may only be tighter than the inventory's.
    pub limits: IndexMap<LimitName, LimitSpec>,
    /// When the play's servers count as well.
    pub oracle: Option<Oracle>,
    /// Variables of the play.
    pub vars: Vars,
    /// The tasks, in order.
    pub tasks: Vec<Task>,
}

/// A named query whose rows are the play's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkQuery {
    /// Pairs whose row is not Ready, or Ready with another version (KB 181405 section 1).
    NotReadyPackages,
}

impl WorkQuery {
    /// All queries, for messages.
    pub const ALL: &[Self] = &[Self::NotReadyPackages];

    /// The name that playbooks use.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotReadyPackages => "not_ready_packages",
        }
    }
}

/// The check that says whether the servers are really well: every pair of the work list has a
/// Ready row with the current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oracle {
    /// How long the world may take after the last step, in the world's time.
    pub within: Duration,
}

/// One entry of a play.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its position.
    pub id: TaskId,
    /// What it is for.
    pub name: String,
    /// The verb and its parameters.
    pub action: ActionCall,
    /// A condition; hosts for which it is false skip the task.
    pub when: Option<String>,
    /// The variable that keeps the step's result.
    pub register: Option<String>,
    /// What it draws from limits beyond what the action says of itself.
    pub uses: Cost,
    /// The longest a step may take, in the world's time; none means the action's own deadline.
    pub within: Option<Duration>,
    /// The line of the playbook where it starts, from 1.
    pub line: u32,
}

/// A verb with its parameters; texts in them may be templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionCall {
    /// The action's name in the registry.
    pub action: String,
    /// Its parameters, checked against the action's shape at load.
    pub params: Value,
}

impl Playbook {
    /// All tasks of all plays.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.plays.iter().flat_map(|play| &play.tasks)
    }
}

impl Play {
    /// Hosts in flight when the playbook says nothing.
    pub const DEFAULT_THROTTLE: u32 = 60;
}
