//! Self-relative security descriptors, [MS-DTYP] 2.4.6, read and written without losing a byte.
//!
//! Descriptors of production servers are changed in one place and must stay as they were
//! everywhere else: ACE types, control bits and revisions that are not known here are carried
//! through unchanged. An access control list that is absent or NULL grants everything, an empty
//! one nothing; [`Dacl`] keeps the three apart.

mod access;
mod ace;
mod acl;
mod descriptor;
mod display;
mod inheritance;
mod sid;
#[cfg(test)]
mod tests;

pub use access::{FileRights, map_generic};
pub use ace::{Ace, AceFlags, AceKind};
pub use acl::Acl;
pub use descriptor::{Control, Dacl, SecurityDescriptor, SecurityDescriptorError};
pub use sid::{Sid, SidError};
