//! Reading request bodies and writing answers, little-endian, at fixed offsets.

use super::status::Status;

/// The length of an SMB2 header; offsets inside messages count from its start.
pub(super) const HEADER: usize = 64;

/// One message of a frame, header included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a>(pub(super) &'a [u8]);

impl<'a> Message<'a> {
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Status> {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().ok_or(Status::INVALID_PARAMETER)
    }

    pub(super) fn u8(self, at: usize) -> Result<u8, Status> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    pub(super) fn u16(self, at: usize) -> Result<u16, Status> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Result<u32, Status> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, at: usize) -> Result<u64, Status> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn bytes16(self, at: usize) -> Result<[u8; 16], Status> {
        self.array(at)
    }

    /// The `length` bytes at `offset`; an empty slice may lie anywhere.
    pub(super) fn slice(self, offset: usize, length: usize) -> Result<&'a [u8], Status> {
        if length == 0 {
            return Ok(&[]);
        }
        let end = offset.checked_add(length).ok_or(Status::INVALID_PARAMETER)?;
        self.0.get(offset..end).ok_or(Status::INVALID_PARAMETER)
    }

    /// The bytes whose 16-bit offset and length stand at these places.
    pub(super) fn buffer16(self, offset_at: usize, length_at: usize) -> Result<&'a [u8], Status> {
        self.slice(usize::from(self.u16(offset_at)?), usize::from(self.u16(length_at)?))
    }

    /// The bytes whose 32-bit offset and length stand at these places.
    pub(super) fn buffer32(self, offset_at: usize, length_at: usize) -> Result<&'a [u8], Status> {
        self.slice(self.u32(offset_at)? as usize, self.u32(length_at)? as usize)
    }
}

/// UTF-16LE text; what is no text is refused.
pub(super) fn text(bytes: &[u8]) -> Result<String, Status> {
    let (units, []) = bytes.as_chunks::<2>() else { return Err(Status::OBJECT_NAME_INVALID) };
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .map_err(|_| Status::OBJECT_NAME_INVALID)
}

/// The UTF-16LE form of a text.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Appends little-endian values.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The length of bytes that follow. Everything written here is far below 4 GiB.
    pub(super) fn len32(&mut self, length: usize) -> &mut Self {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// The length of bytes that follow, where the field has 16 bits.
    pub(super) fn len16(&mut self, length: usize) -> &mut Self {
        self.u16(u16::try_from(length).unwrap_or(u16::MAX))
    }

    /// Pads with zeros to a multiple of `unit`.
    pub(super) fn align(&mut self, unit: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(unit), 0);
        self
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
