//! All that an action can reach on one host: connections made on demand, roots, the fence,
//! quarantine.

mod access;
mod cabinet;
mod cmdb;
pub mod cmdb_tables;
mod descriptor;
mod facts;
mod fence;
mod files;
#[cfg(test)]
pub(crate) mod memory;
mod prior;
mod quarantine;
pub mod queries;
mod query_values;
mod relocation;
pub mod repair_statements;
mod roots;
mod session;
pub mod statements;
mod target;

pub use access::{Changer, Reader};
#[cfg(test)]
pub(crate) use cabinet::below_here;
pub use cabinet::{Cabinet, EvidenceFolder};
pub use cmdb::{
    PairStatus, not_ready_packages, package_servers, readiness, row_value, servers_in_sites, work,
};
pub use descriptor::{DescriptorChange, DescriptorWritten, Place};
pub use facts::{Account, AgentFacts, HostFacts, ServerFacts};
pub use fence::{Fence, FencedFile};
pub use files::HostFiles;
pub use prior::PriorChange;
pub use quarantine::QuarantinedRun;
pub use relocation::{Direction, Move, Relocated, Relocation};
pub use roots::{Role, Root};
pub use session::{Session, SessionConfig};
