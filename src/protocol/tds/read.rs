//! Reading bytes with bounds checks.

use thiserror::Error;

/// A message of the client does not follow [MS-TDS], or uses a part that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TdsError {
    /// It breaks the specification; the connection is of no more use.
    #[error("could not read a TDS message: {0}")]
    Malformed(&'static str),
    /// It is larger than what is accepted.
    #[error("could not read a TDS message: it is larger than {0} bytes")]
    TooLarge(usize),
    /// It is correct but not understood; the connection can go on.
    #[error("not simulated: {0}")]
    Unsupported(String),
}

/// A cursor over the bytes of one message.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], TdsError> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or(TdsError::Malformed("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], TdsError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take gives exactly N bytes"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, TdsError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, TdsError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, TdsError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, TdsError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Text of `units` UTF-16 units.
    pub(super) fn text(&mut self, units: usize) -> Result<String, TdsError> {
        let bytes = units.checked_mul(2).ok_or(TdsError::Malformed("it is cut off"))?;
        utf16(self.take(bytes)?)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Decodes UTF-16; what is no text becomes U+FFFD, as SQL Server stores it unchecked too.
pub(super) fn utf16(bytes: &[u8]) -> Result<String, TdsError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(TdsError::Malformed("a text has an odd number of bytes"));
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Ok(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}
