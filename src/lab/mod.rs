//! The simulated Notification Server, CMDB and package servers: a product feature, on loopback only.

mod addresses;
pub mod clock;
pub mod cmdb;
pub mod front;
mod inventory;
pub mod machine;
mod run;
pub mod smb;
pub mod tds;
pub mod tree;
pub mod web;
pub mod winrm;
pub mod world;

pub use addresses::{Endpoint, LabPorts, ListenError};
pub use inventory::{ADMIN_CREDENTIAL, CMDB_CREDENTIAL, DATABASE};
pub use run::{Lab, LabConfig, StartLabError};
pub use world::{Broken, Cause, FaultPlan, MachineId, Tally};
