//! All that an action can reach on one host: connections made on demand, roots, the fence,
//! quarantine.

mod access;
mod cmdb;
mod peek;
mod prior;
mod session;
pub mod statements;

pub use access::{Changer, Reader};
pub use cmdb::{PairStatus, not_ready_packages, readiness};
pub use peek::HostFiles;
pub use prior::PriorChange;
pub use session::{Session, SessionConfig};
