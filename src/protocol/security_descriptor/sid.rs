//! Security identifiers, [MS-DTYP] 2.4.2.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The most sub-authorities a SID may have.
const MAX_SUB_AUTHORITIES: usize = 15;

/// A security identifier: a user, group or well-known identity, `S-1-5-18` in its text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid {
    /// The 48-bit identifier authority.
    authority: u64,
    sub_authorities: Vec<u32>,
}

/// Why bytes or text are no SID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SidError {
    /// The bytes end too early, or announce a revision or count that does not exist.
    #[error("malformed SID")]
    Malformed,
    /// The text is not of the form `S-1-5-32-544`.
    #[error("not a SID: {0:?}")]
    Text(String),
}

impl Sid {
    /// A SID of this authority (48 bits) and up to 15 sub-authorities.
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Result<Self, SidError> {
        if authority >> 48 != 0 || sub_authorities.len() > MAX_SUB_AUTHORITIES {
            return Err(SidError::Malformed);
        }
        Ok(Self { authority, sub_authorities: sub_authorities.to_vec() })
    }

    fn known(authority: u64, sub_authorities: &[u32]) -> Self {
        Self { authority, sub_authorities: sub_authorities.to_vec() }
    }

    /// `S-1-5-18`, the local system.
    pub fn system() -> Self {
        Self::known(5, &[18])
    }

    /// `S-1-5-32-544`, the local administrators.
    pub fn administrators() -> Self {
        Self::known(5, &[32, 544])
    }

    /// `S-1-5-32-545`, the local users.
    pub fn users() -> Self {
        Self::known(5, &[32, 545])
    }

    /// `S-1-1-0`, everyone.
    pub fn everyone() -> Self {
        Self::known(1, &[0])
    }

    /// `S-1-5-11`, everyone who has logged on.
    pub fn authenticated_users() -> Self {
        Self::known(5, &[11])
    }

    /// `S-1-5-2`, everyone who has logged on over the network.
    pub fn network() -> Self {
        Self::known(5, &[2])
    }

    /// `S-1-3-0`, in an inheritable ACE the owner of what will be created.
    pub fn creator_owner() -> Self {
        Self::known(3, &[0])
    }

    /// `S-1-3-1`, in an inheritable ACE the group of what will be created.
    pub fn creator_group() -> Self {
        Self::known(3, &[1])
    }

    /// `S-1-3-4`: an ACE for it replaces the rights that an owner has by being the owner.
    pub fn owner_rights() -> Self {
        Self::known(3, &[4])
    }

    /// Reads the SID at the start of `bytes`; what follows it is left alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, SidError> {
        let [1, count, authority @ ..] = bytes else { return Err(SidError::Malformed) };
        let count = usize::from(*count);
        let (authority, rest) = authority.split_at_checked(6).ok_or(SidError::Malformed)?;
        let numbers = rest.get(..count * 4).ok_or(SidError::Malformed)?;
        if count > MAX_SUB_AUTHORITIES {
            return Err(SidError::Malformed);
        }
        let sub_authorities = numbers
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes(four.try_into().expect("chunks of four")))
            .collect();
        let authority = authority.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Self { authority, sub_authorities })
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.sub_authorities.len()).expect("at most 15");
        let mut bytes = vec![1, count];
        bytes.extend_from_slice(&self.authority.to_be_bytes()[2..]);
        for number in &self.sub_authorities {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The length of the binary form in bytes, 8 to 68.
    pub fn encoded_len(&self) -> usize {
        8 + 4 * self.sub_authorities.len()
    }

    /// The last number: the account within its domain.
    pub fn relative_id(&self) -> Option<u32> {
        self.sub_authorities.last().copied()
    }

    /// The SID without its last number: the domain of an account.
    pub fn domain(&self) -> Option<Self> {
        let (_, domain) = self.sub_authorities.split_last()?;
        Some(Self::known(self.authority, domain))
    }

    /// The numbers after the authority.
    pub fn sub_authorities(&self) -> &[u32] {
        &self.sub_authorities
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // [MS-DTYP] 2.4.2.1: authorities from 2^32 on are written in hexadecimal.
        if self.authority >> 32 == 0 {
            write!(f, "S-1-{}", self.authority)?;
        } else {
            write!(f, "S-1-0x{:012X}", self.authority)?;
        }
        self.sub_authorities.iter().try_for_each(|number| write!(f, "-{number}"))
    }
}

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        let parse = || {
            let rest = text.strip_prefix("S-1-").or_else(|| text.strip_prefix("s-1-"))?;
            let mut parts = rest.split('-');
            let first = parts.next()?;
            let authority = match first.strip_prefix("0x").or_else(|| first.strip_prefix("0X")) {
                Some(hex) => u64::from_str_radix(hex, 16).ok()?,
                None => first.parse().ok()?,
            };
            let numbers: Vec<u32> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
            Self::new(authority, &numbers).ok()
        };
        parse().ok_or_else(|| SidError::Text(text.to_owned()))
    }
}
