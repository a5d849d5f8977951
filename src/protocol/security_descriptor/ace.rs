//! Access control entries, [MS-DTYP] 2.4.4.

use super::{SecurityDescriptorError, Sid};

/// The flags of an ACE, [MS-DTYP] 2.4.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AceFlags(pub u8);

impl AceFlags {
    /// `OBJECT_INHERIT_ACE`: files below take it over.
    pub const OBJECT_INHERIT: u8 = 0x01;
    /// `CONTAINER_INHERIT_ACE`: folders below take it over.
    pub const CONTAINER_INHERIT: u8 = 0x02;
    /// `NO_PROPAGATE_INHERIT_ACE`: only the next level takes it over.
    pub const NO_PROPAGATE: u8 = 0x04;
    /// `INHERIT_ONLY_ACE`: it says nothing about the object that carries it.
    pub const INHERIT_ONLY: u8 = 0x08;
    /// `INHERITED_ACE`: it came from a folder above.
    pub const INHERITED: u8 = 0x10;

    /// For this folder, its folders and its files.
    pub const THIS_FOLDER_AND_BELOW: Self = Self(Self::OBJECT_INHERIT | Self::CONTAINER_INHERIT);
    /// For this object alone.
    pub const THIS_OBJECT: Self = Self(0);

    /// Says whether every bit of `bits` is set.
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// What an ACE does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AceKind {
    /// `ACCESS_ALLOWED_ACE`.
    Allow,
    /// `ACCESS_DENIED_ACE`.
    Deny,
    /// An object or conditional ACE that allows: only under a condition, so never counted on.
    ConditionalAllow,
    /// An object or conditional ACE that denies: counted as if its condition held.
    ConditionalDeny,
    /// Audit, label and unknown ACEs: no say in who gets access.
    Other,
}

/// One entry, kept as the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ace {
    type_code: u8,
    flags: AceFlags,
    /// Everything after the four bytes of type, flags and size.
    body: Vec<u8>,
}

const ALLOW: u8 = 0;
const DENY: u8 = 1;

impl Ace {
    /// Allows `sid` the rights in `mask`.
    pub fn allow(sid: &Sid, mask: u32, flags: AceFlags) -> Self {
        Self::simple(ALLOW, sid, mask, flags)
    }

    /// Denies `sid` the rights in `mask`.
    pub fn deny(sid: &Sid, mask: u32, flags: AceFlags) -> Self {
        Self::simple(DENY, sid, mask, flags)
    }

    fn simple(type_code: u8, sid: &Sid, mask: u32, flags: AceFlags) -> Self {
        let mut body = mask.to_le_bytes().to_vec();
        body.extend(sid.encode());
        Self { type_code, flags, body }
    }

    /// The type as it stands in the first byte.
    pub fn type_code(&self) -> u8 {
        self.type_code
    }

    /// What it does.
    pub fn kind(&self) -> AceKind {
        match self.type_code {
            ALLOW => AceKind::Allow,
            DENY => AceKind::Deny,
            0x05 | 0x09 | 0x0B => AceKind::ConditionalAllow,
            0x06 | 0x0A | 0x0C => AceKind::ConditionalDeny,
            _ => AceKind::Other,
        }
    }

    /// The flags.
    pub fn flags(&self) -> AceFlags {
        self.flags
    }

    /// Says whether it came from a folder above.
    pub fn is_inherited(&self) -> bool {
        self.flags.has(AceFlags::INHERITED)
    }

    /// Says whether it says nothing about the object that carries it.
    pub fn is_inherit_only(&self) -> bool {
        self.flags.has(AceFlags::INHERIT_ONLY)
    }

    /// The access mask; 0 if the entry is too short to have one.
    pub fn mask(&self) -> u32 {
        self.body.first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
    }

    /// Whom it is about; `None` for types of another layout or a malformed SID.
    pub fn sid(&self) -> Option<Sid> {
        let start = match self.type_code {
            0..=3 | 0x09 | 0x0A | 0x0D | 0x0E | 0x11 | 0x12 | 0x13 => 4,
            0x05..=0x08 | 0x0B | 0x0C | 0x0F | 0x10 => {
                // Object ACEs: flags, then up to two GUIDs that the flags announce.
                let flags = u32::from_le_bytes(*self.body.get(4..)?.first_chunk()?);
                8 + 16 * (flags & 3).count_ones() as usize
            }
            _ => return None,
        };
        Sid::parse(self.body.get(start..)?).ok()
    }

    /// The same entry with other flags.
    pub fn with_flags(&self, flags: AceFlags) -> Self {
        Self { flags, ..self.clone() }
    }

    /// The same entry with another mask and, for a plain allow or deny, another SID.
    pub(super) fn resolved(&self, mask: u32, sid: Option<&Sid>) -> Self {
        match (self.type_code, sid) {
            (ALLOW | DENY, Some(sid)) => Self::simple(self.type_code, sid, mask, self.flags),
            _ => {
                let mut ace = self.clone();
                if let Some(start) = ace.body.first_chunk_mut() {
                    *start = mask.to_le_bytes();
                }
                ace
            }
        }
    }

    /// The length in bytes, header included.
    pub(super) fn encoded_len(&self) -> usize {
        4 + self.body.len()
    }

    /// Reads the entry at the start of `bytes` and gives what follows it.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), SecurityDescriptorError> {
        let error = SecurityDescriptorError::Ace;
        let [type_code, flags, low, high, ..] = *bytes else { return Err(error) };
        let size = usize::from(u16::from_le_bytes([low, high]));
        let (ace, rest) = bytes.split_at_checked(size).ok_or(error.clone())?;
        let body = ace.get(4..).ok_or(error)?.to_vec();
        Ok((Self { type_code, flags: AceFlags(flags), body }, rest))
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let size = u16::try_from(self.encoded_len()).expect("the ACL checks its size");
        out.extend([self.type_code, self.flags.0]);
        out.extend(size.to_le_bytes());
        out.extend_from_slice(&self.body);
    }
}
