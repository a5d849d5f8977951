//! What a new file or folder takes over from its folder, [MS-DTYP] 2.5.3.4.

use super::{Ace, AceFlags, Acl, Control, Dacl, SecurityDescriptor, Sid, map_generic};

impl SecurityDescriptor {
    /// The descriptor of an object that `owner` creates in a folder with this descriptor.
    ///
    /// A folder without a list gives none: the object is open to everyone, like the folder.
    pub fn for_child(&self, is_folder: bool, owner: &Sid, group: &Sid) -> Self {
        let aces = inherited_aces(self.aces(), is_folder, owner, group);
        // What the folder holds fits in a list, but an entry for the creator may become two.
        let acl = Acl::new(aces).unwrap_or_else(|_| Acl::new(Vec::new()).expect("empty fits"));
        let child = Self::new(owner.clone(), group.clone(), acl)
            .with_control(Control::DACL_AUTO_INHERITED, 0);
        match self.dacl() {
            Dacl::List(_) => child,
            Dacl::Absent | Dacl::Null => child.with_dacl(Dacl::Null),
        }
    }

    /// This descriptor with its inherited entries replaced by what `folder` hands down; explicit
    /// entries stay. Unchanged if it is protected.
    ///
    /// # Errors
    ///
    /// [`super::SecurityDescriptorError::TooLarge`] if the list would grow above 64 KiB.
    pub fn reinherited(
        &self,
        folder: &Self,
        is_folder: bool,
    ) -> Result<Self, super::SecurityDescriptorError> {
        let Dacl::List(acl) = self.dacl() else { return Ok(self.clone()) };
        if self.is_protected() {
            return Ok(self.clone());
        }
        let system = Sid::system();
        let owner = self.owner().unwrap_or(&system);
        let group = self.group().unwrap_or(owner);
        let mut aces: Vec<Ace> =
            acl.aces().iter().filter(|ace| !ace.is_inherited()).cloned().collect();
        aces.extend(inherited_aces(folder.aces(), is_folder, owner, group));
        Ok(self.clone().with_dacl(Dacl::List(Acl::new(aces)?)))
    }
}

fn inherited_aces(folder: &[Ace], is_folder: bool, owner: &Sid, group: &Sid) -> Vec<Ace> {
    let mut aces = Vec::new();
    for ace in folder {
        let flags = ace.flags();
        let to_files = flags.has(AceFlags::OBJECT_INHERIT);
        let to_folders = flags.has(AceFlags::CONTAINER_INHERIT);
        let goes_on = is_folder && !flags.has(AceFlags::NO_PROPAGATE);
        let onward = AceFlags(
            AceFlags::INHERITED
                | flags.0 & (AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT),
        );
        let only_onward = AceFlags(onward.0 | AceFlags::INHERIT_ONLY);
        let applies = if is_folder { to_folders } else { to_files };
        if !applies {
            if goes_on && to_files {
                aces.push(ace.with_flags(only_onward));
            }
            continue;
        }
        let sid = ace.sid();
        let creator = match &sid {
            Some(sid) if *sid == Sid::creator_owner() => Some(owner),
            Some(sid) if *sid == Sid::creator_group() => Some(group),
            _ => None,
        };
        let mask = map_generic(ace.mask());
        if creator.is_none() && mask == ace.mask() {
            aces.push(ace.with_flags(if goes_on { onward } else { AceFlags(AceFlags::INHERITED) }));
            continue;
        }
        // The creator and generic rights are settled for this object, and handed on unsettled.
        aces.push(ace.resolved(mask, creator).with_flags(AceFlags(AceFlags::INHERITED)));
        if goes_on {
            aces.push(ace.with_flags(only_onward));
        }
    }
    aces
}
