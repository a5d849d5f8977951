//! The system model: a Notification Server, its event queue and CMDB rows, and package servers
//! whose agents fetch policies, download packages and report their status.
//!
//! It is a deterministic discrete-event simulation without a clock, sockets or threads. Success is
//! eventual, as in the product: a report becomes a row only when the queue has drained, an update
//! is followed by requests of its own, and an overloaded IIS answers 503, after which agents back
//! off. Every request is counted by its cause, so that what a controller books can be compared
//! with what it causes.

mod agent;
mod agent_work;
mod conditions;
mod descriptors;
mod dice;
mod examine_script;
mod faults;
mod fleet;
mod founding;
mod host_scripts;
mod iis;
mod layout;
mod ns;
mod obstacles;
mod place_faults;
mod product_files;
mod rows;
mod scripts;
mod settings;
mod simulation;
mod spec;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod transport_faults;
mod web;
mod windows;

pub use conditions::{
    AGENT_SERVICE, APP_POOL, AppliedCredential, DEFAULT_APP_POOL, DISPATCHER_SERVICE,
    HoldingConditions, HostConditions, HostTask, NotificationServerConditions, OtherServer,
    PACKAGE_SHARE, PARENT,
};
pub use descriptors::{ADMINISTRATOR, CONNECTIVITY_ACCOUNT, NETBIOS_DOMAIN, account_sid};
pub use faults::{Count, Fault, FaultKind, FaultPlan, PackageName, ParseFaultsError};
pub use fleet::{DOMAIN, Fleet, NotificationServer, Package, PackageServer};
pub use iis::{Cause, Iis, Tally, Verdict};
pub use layout::AgentLayout;
pub use rows::{RowChange, StatusRow};
pub use simulation::{Broken, MachineId, World};
pub use spec::{FleetSpec, IisSpec};
pub use state::PackageState;
pub use time::{Calendar, WorldTime};
pub use transport_faults::TransportFaults;
pub use web::{WebAnswer, WebRequest};
