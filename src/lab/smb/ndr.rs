//! NDR 2.0 (32 bit), as far as the two services speak it; [C706] chapter 14.

use super::wire::{Writer, text, utf16};
use crate::protocol::security_descriptor::Sid;

/// Reads a stub; values are aligned to their size, from the start of the stub.
pub(super) struct Stub<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Arrays of requests are never longer than this.
const MAX_ITEMS: usize = 1000;

impl<'a> Stub<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.at = self.at.next_multiple_of(4);
        self.take(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// A count of things that follow.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok().filter(|count| *count <= MAX_ITEMS)
    }

    /// A conformant varying string of 16-bit characters; a zero at its end is cut off.
    pub(super) fn string(&mut self) -> Option<String> {
        let (_max, _offset, actual) = (self.u32()?, self.u32()?, self.u32()?);
        let bytes = self.take(usize::try_from(actual).ok()?.checked_mul(2)?)?;
        let mut string = text(bytes).ok()?;
        if string.ends_with('\0') {
            string.pop();
        }
        Some(string)
    }

    /// A conformant SID.
    pub(super) fn sid(&mut self) -> Option<Sid> {
        let count = self.count()?;
        Sid::parse(self.take(8 + 4 * count)?).ok()
    }
}

/// Writes what pointers point to, and hands out their numbers.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) out: Writer,
    pointers: u32,
}

impl Reply {
    /// A pointer to something that is written later.
    pub(super) fn pointer(&mut self) -> &mut Self {
        self.pointers += 1;
        self.out.u32(0x0002_0000 + 4 * self.pointers);
        self
    }

    /// A zero-terminated string that a pointer points to.
    pub(super) fn string(&mut self, string: &str) {
        let units = utf16(&format!("{string}\0"));
        let count = units.len() / 2;
        self.out.len32(count).u32(0).len32(count).bytes(&units).align(4);
    }

    /// The lengths and pointer of a counted string, [MS-DTYP] 2.3.10.
    pub(super) fn counted(&mut self, string: &str) {
        let length = utf16(string).len();
        self.out.len16(length).len16(length);
        self.pointer();
    }

    /// The characters of a counted string.
    pub(super) fn characters(&mut self, string: &str) {
        let units = utf16(string);
        let count = units.len() / 2;
        self.out.len32(count).u32(0).len32(count).bytes(&units).align(4);
    }

    /// A conformant SID.
    pub(super) fn sid(&mut self, sid: &Sid) {
        self.out.len32(sid.sub_authorities().len()).bytes(&sid.encode());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.take()
    }
}
