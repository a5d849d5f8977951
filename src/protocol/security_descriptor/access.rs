//! Who gets what: the access check of [MS-DTYP] 2.5.3.2, for files and folders.

use super::{Ace, AceKind, Dacl, SecurityDescriptor, Sid};

/// Rights on files and folders, [MS-SMB2] 2.2.13.1.
#[derive(Debug, Clone, Copy)]
pub struct FileRights;

impl FileRights {
    /// Read a file, list a folder.
    pub const READ_DATA: u32 = 0x0001;
    /// Write a file, make a file in a folder.
    pub const WRITE_DATA: u32 = 0x0002;
    /// Append to a file, make a folder in a folder.
    pub const APPEND_DATA: u32 = 0x0004;
    /// Read extended attributes.
    pub const READ_EA: u32 = 0x0008;
    /// Write extended attributes.
    pub const WRITE_EA: u32 = 0x0010;
    /// Execute a file, pass through a folder.
    pub const EXECUTE: u32 = 0x0020;
    /// Delete what is in a folder, whatever its own descriptor says.
    pub const DELETE_CHILD: u32 = 0x0040;
    /// Read attributes and times.
    pub const READ_ATTRIBUTES: u32 = 0x0080;
    /// Write attributes and times.
    pub const WRITE_ATTRIBUTES: u32 = 0x0100;
    /// Delete or rename it.
    pub const DELETE: u32 = 0x0001_0000;
    /// Read its descriptor.
    pub const READ_CONTROL: u32 = 0x0002_0000;
    /// Change its discretionary list.
    pub const WRITE_DAC: u32 = 0x0004_0000;
    /// Change its owner.
    pub const WRITE_OWNER: u32 = 0x0008_0000;
    /// Wait on its handle.
    pub const SYNCHRONIZE: u32 = 0x0010_0000;
    /// Read or change its system list; needs a privilege.
    pub const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
    /// Ask for all that is granted.
    pub const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

    /// "Full control".
    pub const FULL_CONTROL: u32 = 0x001F_01FF;
    /// "Modify".
    pub const MODIFY: u32 = 0x0013_01BF;
    /// "Read & execute".
    pub const READ_AND_EXECUTE: u32 = 0x0012_00A9;
    /// "Read".
    pub const READ: u32 = 0x0012_0089;
    /// "Write".
    pub const WRITE: u32 = 0x0012_0116;
}

/// Replaces the generic rights by what they mean for files and folders, [MS-DTYP] 2.4.3.
pub fn map_generic(mask: u32) -> u32 {
    let table = [
        (0x1000_0000, FileRights::FULL_CONTROL),
        (0x2000_0000, 0x0012_00A0),
        (0x4000_0000, FileRights::WRITE),
        (0x8000_0000, FileRights::READ),
    ];
    table.iter().fold(mask & 0x0FFF_FFFF, |mapped, (generic, rights)| {
        if mask & generic == 0 { mapped } else { mapped | rights }
    })
}

impl SecurityDescriptor {
    /// Every right that somebody with these identities (their own and their groups') has.
    ///
    /// Entries count in their order; the first that speaks about a right decides. The owner may
    /// always read and change the list, unless an entry for `S-1-3-4` says otherwise.
    /// Conditional grants are never counted on, conditional denials always.
    pub fn granted_to(&self, identities: &[Sid]) -> u32 {
        let Dacl::List(acl) = self.dacl() else { return FileRights::FULL_CONTROL };
        let is_owner = self.owner().is_some_and(|owner| identities.contains(owner));
        let owner_rights = Sid::owner_rights();
        let speaks = |ace: &&Ace| !ace.is_inherit_only();
        let mut granted = 0;
        let mut denied = 0;
        let mut owner_is_limited = false;
        for ace in acl.aces().iter().filter(speaks) {
            let Some(sid) = ace.sid() else { continue };
            owner_is_limited |= sid == owner_rights;
            let is_meant = identities.contains(&sid) || is_owner && sid == owner_rights;
            if !is_meant {
                continue;
            }
            let mask = map_generic(ace.mask());
            match ace.kind() {
                AceKind::Allow => granted |= mask & !denied,
                AceKind::Deny | AceKind::ConditionalDeny => denied |= mask & !granted,
                AceKind::ConditionalAllow | AceKind::Other => {}
            }
        }
        if is_owner && !owner_is_limited {
            granted |= FileRights::READ_CONTROL | FileRights::WRITE_DAC;
        }
        granted
    }

    /// Says whether somebody with these identities has every right of `mask`.
    pub fn grants(&self, identities: &[Sid], mask: u32) -> bool {
        map_generic(mask) & !self.granted_to(identities) == 0
    }
}
