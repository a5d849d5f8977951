//! The file tree of one simulated machine, in memory, with the rules of NTFS that matter here.
//!
//! Names are compared without regard to case and kept as they were written. Every object has
//! attributes, times (Windows FILETIME, always passed in, never read from a clock) and a
//! self-relative security descriptor, inherited from its folder when it is created.
//!
//! Two sides use it. The simulated machine itself acts as SYSTEM, by path
//! ([`Tree::write`], [`Tree::read`], ...). Remote callers open handles ([`Tree::open`]) and are
//! held to descriptors, share modes and the read-only attribute.

mod error;
mod handle;
mod inherit;
mod node;
mod open;
mod operate;
mod owner;
mod path;
mod security;
mod snapshot;
#[cfg(test)]
mod tests;

pub use error::TreeError;
pub use handle::{Caller, HandleId, HandleInfo, Share};
pub use node::{Attributes, Kind};
pub use open::{Action, Disposition, OpenOptions, OpenRequest, Opened};
pub use operate::BasicChange;
pub use owner::{Entry, Hold, Tree};
pub use path::is_valid_name;
pub use security::SecurityParts;
pub use snapshot::Recorded;
