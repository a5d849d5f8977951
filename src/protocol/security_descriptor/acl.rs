//! Access control lists, [MS-DTYP] 2.4.5.

use super::{Ace, SecurityDescriptorError};

const HEADER: usize = 8;
/// `ACL_REVISION`; lists with object ACEs carry 4 (`ACL_REVISION_DS`).
const REVISION: u8 = 2;

/// A list of entries, whose order matters: the first entry that speaks about a right decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    revision: u8,
    reserved: u8,
    reserved_end: u16,
    aces: Vec<Ace>,
    /// Room after the last entry that the size covers; Windows allows it.
    slack: Vec<u8>,
}

impl Acl {
    /// A list of these entries, in this order.
    ///
    /// # Errors
    ///
    /// [`SecurityDescriptorError::TooLarge`] above 64 KiB.
    pub fn new(aces: Vec<Ace>) -> Result<Self, SecurityDescriptorError> {
        let acl =
            Self { revision: REVISION, reserved: 0, reserved_end: 0, aces, slack: Vec::new() };
        acl.checked()
    }

    /// The entries in order.
    pub fn aces(&self) -> &[Ace] {
        &self.aces
    }

    /// The same list with an explicit entry at its canonical place: denials before grants,
    /// explicit before inherited. Every other entry stays as and where it was.
    pub(super) fn with(&self, ace: Ace, is_deny: bool) -> Result<Self, SecurityDescriptorError> {
        let end_of_explicit =
            self.aces.iter().position(Ace::is_inherited).unwrap_or(self.aces.len());
        let place = if is_deny {
            let explicit = &self.aces[..end_of_explicit];
            let is_grant = |ace: &Ace| {
                !matches!(ace.kind(), super::AceKind::Deny | super::AceKind::ConditionalDeny)
            };
            explicit.iter().position(is_grant).unwrap_or(end_of_explicit)
        } else {
            end_of_explicit
        };
        let mut acl = self.clone();
        acl.aces.insert(place, ace);
        acl.checked()
    }

    fn checked(self) -> Result<Self, SecurityDescriptorError> {
        let fits = self.encoded_len() <= usize::from(u16::MAX);
        if fits { Ok(self) } else { Err(SecurityDescriptorError::TooLarge) }
    }

    fn encoded_len(&self) -> usize {
        HEADER + self.aces.iter().map(Ace::encoded_len).sum::<usize>() + self.slack.len()
    }

    /// Reads the list at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SecurityDescriptorError> {
        let error = SecurityDescriptorError::Acl;
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(error.clone())?;
        let [revision, reserved, size_low, size_high, count_low, count_high, end_low, end_high] =
            *header;
        let size = usize::from(u16::from_le_bytes([size_low, size_high]));
        let count = usize::from(u16::from_le_bytes([count_low, count_high]));
        let mut rest = bytes.get(HEADER..size).ok_or(error)?;
        let mut aces = Vec::new();
        for _ in 0..count {
            let (ace, after) = Ace::parse(rest)?;
            aces.push(ace);
            rest = after;
        }
        let reserved_end = u16::from_le_bytes([end_low, end_high]);
        Ok(Self { revision, reserved, reserved_end, aces, slack: rest.to_vec() })
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let size = u16::try_from(self.encoded_len()).expect("checked when the list was made");
        let count = u16::try_from(self.aces.len()).expect("an ACE takes four bytes or more");
        out.extend([self.revision, self.reserved]);
        out.extend(size.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(self.reserved_end.to_le_bytes());
        for ace in &self.aces {
            ace.encode_into(out);
        }
        out.extend_from_slice(&self.slack);
    }
}
