//! What the driver is given.

use std::collections::HashMap;
use std::sync::Arc;

use super::operator::Operator;
use crate::model::{Host, HostName, Inventory, Playbook, RunId, Selector, TimeScale, Vars};
use crate::plan::Takeback;
use crate::transport::{Connector, Target};
use indexmap::IndexMap;

/// Where a host answers, for each transport; none where the inventory does not say.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// WinRM.
    pub winrm: Option<Target>,
    /// SMB.
    pub smb: Option<Target>,
    /// The CMDB, on a Notification Server.
    pub cmdb: Option<Target>,
    /// The CMDB as its writer; none unless the inventory and the environment say so.
    pub cmdb_writer: Option<Target>,
}

/// What there is to do.
pub enum Orders {
    /// The tasks of a playbook.
    Playbook(Arc<Playbook>),
    /// The inverses of another run's changes.
    TakeBack(Arc<Takeback>),
}

/// All that the driver needs to know of the world.
pub struct DriverConfig {
    /// The run.
    pub run: RunId,
    /// What there is to do.
    pub orders: Orders,
    /// Whether nothing may be changed.
    pub is_check: bool,
    /// How fast the world runs.
    pub scale: TimeScale,
    /// The inventory.
    pub inventory: Inventory,
    /// The hosts, in inventory order.
    pub hosts: IndexMap<HostName, Host>,
    /// Where they answer.
    pub endpoints: HashMap<HostName, Endpoints>,
    /// The pattern of `--limit`: hosts that it leaves out get no work.
    pub limit: Option<Selector>,
    /// The variables of `-e`.
    pub extra_vars: Vars,
    /// Answers what a playbook asks a person.
    pub operator: Arc<dyn Operator>,
    /// Other runs of this state directory that have not ended: what they left is still needed.
    pub unfinished: Arc<[RunId]>,
    /// Makes connections.
    pub connector: Arc<dyn Connector>,
}
