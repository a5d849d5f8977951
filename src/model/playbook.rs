//! A playbook in its meant form: parsed, checked and numbered.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Batch, Cost, HandlerSet, LimitName, LimitSpec, Order, Safeguards, Selector, TaskId, Vars,
};

/// A playbook: its plays, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    /// The file's name as the operator gave it.
    pub path: String,
    /// SHA-256 of its text and of the texts that it includes, lower-case hexadecimal: a resume with
    /// another text is refused.
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
    /// When it goes slower, waits or stops, beyond that.
    #[serde(default)]
    pub safeguards: Safeguards,
    /// Limits that the play declares; they may only be tighter than the inventory's.
    pub limits: IndexMap<LimitName, LimitSpec>,
    /// When the play's servers count as well.
    pub oracle: Option<Oracle>,
    /// Variables of the play.
    pub vars: Vars,
    /// The tasks, in order: those of blocks as body, rescue and always of each, one after the other.
    pub tasks: Vec<Task>,
    /// The blocks among the tasks, outer ones before those inside of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

/// A named query whose rows are the play's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkQuery {
    /// Pairs whose row is not Ready, or Ready with another version (KB 181405 section 1).
    NotReadyPackages,
    /// Pairs that say Ready with another version than the current one.
    Drift,
    /// Pairs with more than one row (KB 181405, additional queries).
    Duplicates,
    /// Pairs that are Ready, of whose package no codebase names the server (KB 180568).
    ReadyWithoutCodebase,
}

impl WorkQuery {
    /// All queries, for messages.
    pub const ALL: &[Self] =
        &[Self::NotReadyPackages, Self::Drift, Self::Duplicates, Self::ReadyWithoutCodebase];

    /// The name that playbooks use.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotReadyPackages => "not_ready_packages",
            Self::Drift => "drift",
            Self::Duplicates => "duplicates",
            Self::ReadyWithoutCodebase => "ready_without_codebase",
        }
    }

    /// Whether a pair that is Ready with the current version can still be work: then the oracle
    /// asks the query again, too.
    pub fn outlasts_ready(self) -> bool {
        match self {
            Self::NotReadyPackages | Self::Drift => false,
            Self::Duplicates | Self::ReadyWithoutCodebase => true,
        }
    }
}

/// The check that says whether the servers are really well: every pair of the work list has a
/// Ready row with the current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oracle {
    /// How long the world may take after the last step, in the world's time.
    pub within: Duration,
    /// What it means for the run when not every pair is ready by then.
    #[serde(default)]
    pub unmet: Unmet,
}

/// What an oracle that is not satisfied means for the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmet {
    /// The run does not end well.
    #[default]
    Fail,
    /// Nothing: a later play repairs what is left, and its oracle judges.
    GoOn,
}

impl Unmet {
    /// The words that playbooks use.
    pub const ALL: &[(&'static str, Self)] = &[("fail", Self::Fail), ("go_on", Self::GoOn)];
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
    /// A condition, those of its blocks included; hosts for which it is false skip the task.
    pub when: Option<String>,
    /// The variable that keeps the step's result.
    pub register: Option<String>,
    /// What it draws from limits beyond what the action says of itself.
    pub uses: Cost,
    /// What it sets off that falls due later, when it changes something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<Causes>,
    /// The longest a step may take, in the world's time; none means the action's own deadline.
    pub within: Option<Duration>,
    /// The line of its file where it starts, from 1.
    pub line: u32,
    /// What else its author said about how it runs.
    #[serde(default, skip_serializing_if = "TaskFlow::is_plain")]
    pub flow: TaskFlow,
}

/// Load that a task sets off and that arrives later: clients that come for what it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Causes {
    /// Units of each limit, or a template that comes to a whole number.
    pub units: IndexMap<LimitName, Value>,
    /// How long after the change begins it falls due, in the world's time.
    pub after: Duration,
}

/// How a task runs, where that is not once for each host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskFlow {
    /// The included file that it stands in, as the playbook names it.
    pub file: Option<String>,
    /// Its tags, those of its play, blocks and includes among them.
    pub tags: BTreeSet<String>,
    /// Whether a failure of it does not end the host's play.
    pub ignore_errors: bool,
    /// Whether one host does it for all hosts of the play.
    pub run_once: bool,
    /// The host that it acts on instead, or a template that names one.
    pub delegate_to: Option<String>,
    /// The items that it is done for, or a template that makes them.
    pub each: Option<Value>,
    /// When and how often it is repeated.
    pub retry: Option<Retry>,
    /// Whether it only reads and says what it would change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_checks: bool,
    /// The handlers that a host owes once this task changed something there.
    #[serde(default, skip_serializing_if = "HandlerSet::is_empty")]
    pub notify: HandlerSet,
    /// Whether it is a handler: it runs after the host's other tasks, and only where it is owed.
    /// Handlers are the last tasks of a play.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_handler: bool,
}

impl TaskFlow {
    /// Whether its author said nothing about it.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// When and how often a task is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// What must hold over its result; without it, the task is repeated while it fails.
    pub until: Option<String>,
    /// Further attempts after the first.
    pub retries: u32,
    /// The world's time between two attempts.
    pub delay: Duration,
}

impl Retry {
    /// Further attempts when the playbook says nothing.
    pub const DEFAULT_RETRIES: u32 = 3;
    /// The pause between attempts when the playbook says nothing.
    pub const DEFAULT_DELAY: Duration = Duration::from_secs(5);
}

/// Tasks that are one thing: what to do, what to do when that fails, and what to do in any case.
/// Each part is a range of the play's tasks, and each begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its first task.
    pub start: u16,
    /// The first task of `rescue`; where `always` begins when there is none.
    pub rescue: u16,
    /// The first task of `always`; the end when there is none.
    pub always: u16,
    /// The task after its last one.
    pub end: u16,
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
