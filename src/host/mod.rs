//! All that an action can reach on one host: connections made on demand, roots, the fence,
//! quarantine.

mod access;
mod prior;
mod session;

pub use access::{Changer, Reader};
pub use prior::PriorChange;
pub use session::{Session, SessionConfig};
