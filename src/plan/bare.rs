//! Drafts that say no more than what they are made for: tests, benchmarks and an undo say with `..`
//! what matters to them. What is drafted from a playbook is written out in full instead, so that
//! every field of it is decided.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Draft, DraftFlow, DraftHost, DraftPlay, DraftTask};
use crate::event::RunMode;
use crate::model::{HostName, Limits, Order, Play, Safeguards, TaskId, TimeScale};

impl Draft {
    /// A run in real time that changes hosts, with seed 1, of a playbook and an inventory of which
    /// nothing is known: the hashes of their texts are empty.
    pub fn bare(plays: Vec<DraftPlay>) -> Self {
        Self {
            mode: RunMode::Run,
            seed: 1,
            scale: TimeScale::REAL,
            playbook_sha256: String::new(),
            inventory_sha256: String::new(),
            plays,
        }
    }
}

impl DraftPlay {
    /// A play without tasks and hosts. Hosts are taken in inventory order, all in one wave,
    /// [`Play::DEFAULT_THROTTLE`] at once, under the default limits; none may fail, all have work,
    /// and the CMDB is not asked.
    pub fn bare(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tasks: Vec::new(),
            blocks: Vec::new(),
            delegate_values: BTreeMap::new(),
            hosts: Vec::new(),
            work: None,
            order: Order::Inventory,
            serial: Vec::new(),
            throttle: Play::DEFAULT_THROTTLE,
            max_fail_percentage: None,
            safeguards: Safeguards::default(),
            limits: Limits::default(),
            oracle: None,
        }
    }
}

impl DraftTask {
    /// A task named like its action, which every host does once, within 600 s, and which is safe to
    /// replay.
    pub fn bare(id: TaskId, action: impl Into<String>) -> Self {
        let action = action.into();
        Self {
            id,
            name: action.clone(),
            action,
            within: Duration::from_secs(600),
            replay_is_safe: true,
            flow: DraftFlow::default(),
        }
    }
}

impl DraftHost {
    /// A host without a value of any variable, which does all its tasks itself.
    pub fn bare(name: HostName) -> Self {
        Self { name, values: BTreeMap::new(), delegates: BTreeMap::new() }
    }
}
