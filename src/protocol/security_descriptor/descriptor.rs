//! The descriptor itself, [MS-DTYP] 2.4.6.

use thiserror::Error;

use super::{Ace, AceFlags, AceKind, Acl, FileRights, Sid, SidError};

/// Why bytes are no security descriptor, or a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecurityDescriptorError {
    /// The 20 bytes of the header are not there, or are of another revision.
    #[error("malformed security descriptor header")]
    Header,
    /// The descriptor is in the absolute form, which means nothing outside its process.
    #[error("security descriptor is not self-relative")]
    NotSelfRelative,
    /// An owner or group is malformed.
    #[error("malformed owner or group in a security descriptor")]
    Sid(#[source] SidError),
    /// An access control list is malformed.
    #[error("malformed access control list")]
    Acl,
    /// An entry of a list is malformed.
    #[error("malformed access control entry")]
    Ace,
    /// A list would grow above 64 KiB.
    #[error("access control list too large")]
    TooLarge,
}

/// The control bits, [MS-DTYP] 2.4.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Control(pub u16);

impl Control {
    /// `SE_DACL_PRESENT`.
    pub const DACL_PRESENT: u16 = 0x0004;
    /// `SE_SACL_PRESENT`.
    pub const SACL_PRESENT: u16 = 0x0010;
    /// `SE_DACL_AUTO_INHERIT_REQ`.
    pub const DACL_AUTO_INHERIT_REQUIRED: u16 = 0x0100;
    /// `SE_DACL_AUTO_INHERITED`.
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    /// `SE_DACL_PROTECTED`: nothing is inherited from above.
    pub const DACL_PROTECTED: u16 = 0x1000;
    /// `SE_SELF_RELATIVE`.
    pub const SELF_RELATIVE: u16 = 0x8000;

    /// Says whether every bit of `bits` is set.
    pub fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// The discretionary list of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dacl {
    /// Not part of the descriptor.
    Absent,
    /// Present and NULL: everyone has full access.
    Null,
    /// Present. An empty list grants nothing.
    List(Acl),
}

/// The variable parts, in the order in which they lie in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Sacl,
    Dacl,
    Owner,
    Group,
}

/// A security descriptor.
///
/// `encode(parse(bytes))` gives `bytes` again wherever they have no gaps between their parts,
/// as all that Windows and Samba send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// `Sbz1`, the resource manager's own byte.
    reserved: u8,
    control: Control,
    owner: Option<Sid>,
    group: Option<Sid>,
    sacl: Option<Acl>,
    dacl: Dacl,
    order: Vec<Part>,
}

const HEADER: usize = 20;

impl SecurityDescriptor {
    /// A descriptor with an owner, a group and a list that inherits nothing yet.
    pub fn new(owner: Sid, group: Sid, dacl: Acl) -> Self {
        Self {
            reserved: 0,
            control: Control(Control::SELF_RELATIVE | Control::DACL_PRESENT),
            owner: Some(owner),
            group: Some(group),
            sacl: None,
            dacl: Dacl::List(dacl),
            order: vec![Part::Dacl, Part::Owner, Part::Group],
        }
    }

    /// Full control for SYSTEM and the administrators, for everything below too, and nothing
    /// inherited from above: `O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)`.
    pub fn administrators_only() -> Self {
        let mut descriptor = Self::with_grants(&[
            (Sid::system(), FileRights::FULL_CONTROL),
            (Sid::administrators(), FileRights::FULL_CONTROL),
        ]);
        descriptor.control.0 |= Control::DACL_PROTECTED;
        descriptor
    }

    /// What a data folder of Windows commonly has: full control for SYSTEM and the
    /// administrators, read and execute for the users, all inherited below.
    pub fn machine_default() -> Self {
        Self::with_grants(&[
            (Sid::system(), FileRights::FULL_CONTROL),
            (Sid::administrators(), FileRights::FULL_CONTROL),
            (Sid::users(), FileRights::READ_AND_EXECUTE),
        ])
    }

    fn with_grants(grants: &[(Sid, u32)]) -> Self {
        let ace =
            |(sid, mask): &(Sid, u32)| Ace::allow(sid, *mask, AceFlags::THIS_FOLDER_AND_BELOW);
        let dacl = Acl::new(grants.iter().map(ace).collect()).expect("a few entries fit");
        Self::new(Sid::administrators(), Sid::administrators(), dacl)
    }

    /// Reads a self-relative descriptor; bytes after its last part are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, SecurityDescriptorError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(SecurityDescriptorError::Header)?;
        if header[0] != 1 {
            return Err(SecurityDescriptorError::Header);
        }
        let control = Control(u16::from_le_bytes([header[2], header[3]]));
        if !control.has(Control::SELF_RELATIVE) {
            return Err(SecurityDescriptorError::NotSelfRelative);
        }
        let offset = |at: usize| {
            let four = header[at..].first_chunk().expect("inside the header");
            u32::from_le_bytes(*four) as usize
        };
        let (owner_at, group_at, sacl_at, dacl_at) = (offset(4), offset(8), offset(12), offset(16));
        let sid = |at: usize| match at {
            0 => Ok(None),
            at => Sid::parse(bytes.get(at..).unwrap_or_default())
                .map(Some)
                .map_err(SecurityDescriptorError::Sid),
        };
        let acl = |at: usize| Acl::parse(bytes.get(at..).unwrap_or_default());
        let sacl_present = control.has(Control::SACL_PRESENT) && sacl_at != 0;
        let dacl_present = control.has(Control::DACL_PRESENT) && dacl_at != 0;
        let (owner, group) = (sid(owner_at)?, sid(group_at)?);
        let sacl = if sacl_present { Some(acl(sacl_at)?) } else { None };
        let dacl = match (control.has(Control::DACL_PRESENT), dacl_at) {
            (false, _) => Dacl::Absent,
            (true, 0) => Dacl::Null,
            (true, at) => Dacl::List(acl(at)?),
        };
        let mut order = vec![
            (sacl_present, sacl_at, Part::Sacl),
            (dacl_present, dacl_at, Part::Dacl),
            (owner.is_some(), owner_at, Part::Owner),
            (group.is_some(), group_at, Part::Group),
        ];
        order.retain(|(present, ..)| *present);
        order.sort_by_key(|(_, at, part)| (*at, *part));
        let order = order.into_iter().map(|(.., part)| part).collect();
        Ok(Self { reserved: header[1], control, owner, group, sacl, dacl, order })
    }

    /// The self-relative bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.reserved];
        bytes.extend(self.control.0.to_le_bytes());
        bytes.resize(HEADER, 0);
        for part in &self.order {
            let at = u32::try_from(bytes.len()).expect("four parts of at most 64 KiB");
            let field = match part {
                Part::Owner => 4,
                Part::Group => 8,
                Part::Sacl => 12,
                Part::Dacl => 16,
            };
            bytes[field..field + 4].copy_from_slice(&at.to_le_bytes());
            match part {
                Part::Owner => bytes.extend(self.owner.iter().flat_map(Sid::encode)),
                Part::Group => bytes.extend(self.group.iter().flat_map(Sid::encode)),
                Part::Sacl => self.sacl.iter().for_each(|acl| acl.encode_into(&mut bytes)),
                Part::Dacl => {
                    if let Dacl::List(acl) = &self.dacl {
                        acl.encode_into(&mut bytes);
                    }
                }
            }
        }
        bytes
    }

    /// The control bits.
    pub fn control(&self) -> Control {
        self.control
    }

    /// The owner.
    pub fn owner(&self) -> Option<&Sid> {
        self.owner.as_ref()
    }

    /// The primary group.
    pub fn group(&self) -> Option<&Sid> {
        self.group.as_ref()
    }

    /// The discretionary list: who has access.
    pub fn dacl(&self) -> &Dacl {
        &self.dacl
    }

    /// The system list: what is audited.
    pub fn sacl(&self) -> Option<&Acl> {
        self.sacl.as_ref()
    }

    /// The entries of the discretionary list; none if it is absent or NULL.
    pub fn aces(&self) -> &[Ace] {
        match &self.dacl {
            Dacl::List(acl) => acl.aces(),
            Dacl::Absent | Dacl::Null => &[],
        }
    }

    /// Says whether nothing is inherited from above.
    pub fn is_protected(&self) -> bool {
        self.control.has(Control::DACL_PROTECTED)
    }

    /// The same descriptor with another owner, or none.
    pub fn with_owner(mut self, owner: Option<Sid>) -> Self {
        self.place(Part::Owner, owner.is_some());
        self.owner = owner;
        self
    }

    /// The same descriptor with another group, or none.
    pub fn with_group(mut self, group: Option<Sid>) -> Self {
        self.place(Part::Group, group.is_some());
        self.group = group;
        self
    }

    /// The same descriptor with another discretionary list.
    pub fn with_dacl(mut self, dacl: Dacl) -> Self {
        self.place(Part::Dacl, matches!(dacl, Dacl::List(_)));
        let present = if dacl == Dacl::Absent { 0 } else { Control::DACL_PRESENT };
        self.control.0 = (self.control.0 & !Control::DACL_PRESENT) | present;
        self.dacl = dacl;
        self
    }

    /// The same descriptor with another system list, or none.
    pub fn with_sacl(mut self, sacl: Option<Acl>) -> Self {
        self.place(Part::Sacl, sacl.is_some());
        let present = if sacl.is_some() { Control::SACL_PRESENT } else { 0 };
        self.control.0 = (self.control.0 & !Control::SACL_PRESENT) | present;
        self.sacl = sacl;
        self
    }

    /// The same descriptor with control bits set and cleared; which parts are present is not
    /// for the caller to say.
    pub fn with_control(mut self, set: u16, clear: u16) -> Self {
        let fixed = Control::SELF_RELATIVE | Control::DACL_PRESENT | Control::SACL_PRESENT;
        self.control.0 = (self.control.0 & !(clear & !fixed)) | (set & !fixed);
        self
    }

    /// The same descriptor with one more explicit grant at its canonical place: after the
    /// explicit entries, before the inherited ones. Every other byte stays.
    ///
    /// Unchanged if exactly this entry is there already, and if the list is absent or NULL:
    /// that grants everything, and a first entry would take it from everyone else.
    ///
    /// # Errors
    ///
    /// [`SecurityDescriptorError::TooLarge`] if the list would grow above 64 KiB.
    pub fn with_allow_ace(
        &self,
        sid: &Sid,
        mask: u32,
        flags: AceFlags,
    ) -> Result<Self, SecurityDescriptorError> {
        self.with_ace(Ace::allow(sid, mask, flags))
    }

    /// As [`Self::with_allow_ace`], for a denial: before the explicit grants.
    pub fn with_deny_ace(
        &self,
        sid: &Sid,
        mask: u32,
        flags: AceFlags,
    ) -> Result<Self, SecurityDescriptorError> {
        self.with_ace(Ace::deny(sid, mask, flags))
    }

    fn with_ace(&self, ace: Ace) -> Result<Self, SecurityDescriptorError> {
        let Dacl::List(acl) = &self.dacl else { return Ok(self.clone()) };
        if acl.aces().contains(&ace) {
            return Ok(self.clone());
        }
        let is_deny = ace.kind() == AceKind::Deny;
        Ok(Self { dacl: Dacl::List(acl.with(ace, is_deny)?), ..self.clone() })
    }

    fn place(&mut self, part: Part, present: bool) {
        match (self.order.iter().position(|p| *p == part), present) {
            (Some(at), false) => drop(self.order.remove(at)),
            (None, true) => self.order.push(part),
            (Some(_), true) | (None, false) => {}
        }
    }
}
