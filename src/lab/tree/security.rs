//! Reading and changing descriptors by handle.

use super::handle::HandleId;
use super::{Tree, TreeError};
use crate::protocol::security_descriptor::{Control, Dacl, FileRights, SecurityDescriptor};

/// Which parts of a descriptor are meant, the bits of [MS-DTYP] 2.4.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityParts(pub u32);

impl SecurityParts {
    /// The owner.
    pub const OWNER: u32 = 1;
    /// The group.
    pub const GROUP: u32 = 2;
    /// The discretionary list.
    pub const DACL: u32 = 4;
    /// The system list.
    pub const SACL: u32 = 8;
    /// With the discretionary list: nothing is inherited into it any more.
    pub const PROTECTED_DACL: u32 = 0x8000_0000;
    /// With the discretionary list: it may be inherited into again.
    pub const UNPROTECTED_DACL: u32 = 0x2000_0000;

    fn has(self, part: u32) -> bool {
        self.0 & part != 0
    }
}

impl Tree {
    /// The wanted parts of the object's descriptor, self-relative.
    pub fn security(&self, handle: HandleId, parts: SecurityParts) -> Result<Vec<u8>, TreeError> {
        let nodes = self.lock();
        if parts.has(SecurityParts::SACL) {
            return Err(TreeError::AccessDenied);
        }
        let id = nodes.node_of(handle, FileRights::READ_CONTROL)?;
        let mut descriptor = parse(&nodes.node(id)?.descriptor)?.with_sacl(None);
        if !parts.has(SecurityParts::OWNER) {
            descriptor = descriptor.with_owner(None);
        }
        if !parts.has(SecurityParts::GROUP) {
            descriptor = descriptor.with_group(None);
        }
        if !parts.has(SecurityParts::DACL) {
            descriptor = descriptor.with_dacl(Dacl::Absent);
        }
        Ok(descriptor.encode())
    }

    /// Replaces the named parts of the object's descriptor. What is below it stays as it is.
    ///
    /// A caller makes itself or one of its groups the owner; administrators anybody.
    pub fn set_security(
        &self,
        handle: HandleId,
        parts: SecurityParts,
        bytes: &[u8],
        at: u64,
    ) -> Result<(), TreeError> {
        let new = parse(bytes)?;
        let mut nodes = self.lock();
        let open = nodes.handle(handle)?;
        let caller = open.caller.clone().ok_or(TreeError::AccessDenied)?;
        let mut needed = 0;
        if parts.has(SecurityParts::OWNER | SecurityParts::GROUP) {
            needed |= FileRights::WRITE_OWNER;
        }
        if parts.has(SecurityParts::DACL) {
            needed |= FileRights::WRITE_DAC;
        }
        if needed & !open.granted != 0 || parts.has(SecurityParts::SACL) {
            return Err(TreeError::AccessDenied);
        }
        let id = open.node;
        let mut descriptor = parse(&nodes.node(id)?.descriptor)?;
        if parts.has(SecurityParts::OWNER) {
            let owner = new.owner().ok_or(TreeError::MalformedDescriptor)?;
            if !caller.identities.contains(owner) && !caller.is_administrator() {
                return Err(TreeError::AccessDenied);
            }
            descriptor = descriptor.with_owner(Some(owner.clone()));
        }
        if parts.has(SecurityParts::GROUP) {
            descriptor = descriptor.with_group(new.group().cloned());
        }
        if parts.has(SecurityParts::DACL) {
            // "Inherited" is kept only if the caller asks for it, as Windows does on a plain set.
            let both = Control::DACL_AUTO_INHERITED | Control::DACL_AUTO_INHERIT_REQUIRED;
            let mut set = new.control().0 & Control::DACL_PROTECTED;
            if parts.has(SecurityParts::PROTECTED_DACL) {
                set |= Control::DACL_PROTECTED;
            } else if parts.has(SecurityParts::UNPROTECTED_DACL) {
                set &= !Control::DACL_PROTECTED;
            }
            if new.control().has(both) {
                set |= Control::DACL_AUTO_INHERITED;
            }
            let clear = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED;
            // To set no list at all means to set a NULL one.
            let dacl = if *new.dacl() == Dacl::Absent { Dacl::Null } else { new.dacl().clone() };
            descriptor = descriptor.with_dacl(dacl).with_control(set, clear);
        }
        let node = nodes.node_mut(id)?;
        node.descriptor = descriptor.encode().into();
        node.changed = at;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<SecurityDescriptor, TreeError> {
    SecurityDescriptor::parse(bytes).map_err(|_| TreeError::MalformedDescriptor)
}
