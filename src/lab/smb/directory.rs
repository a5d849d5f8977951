//! QUERY_DIRECTORY, [MS-SMB2] 3.3.5.18.

use super::connection::{Chain, Request};
use super::dispatch::with_data;
use super::file::{Opened, allocation};
use super::machine::SmbMachine;
use super::session::Logon;
use super::status::Status;
use super::wire::{Writer, text, utf16};
use crate::lab::tree::{Attributes, Entry, Kind};

/// A scan of a folder, taken when it began.
pub(super) struct Listing {
    entries: Vec<(u64, Entry)>,
    next: usize,
}

const RESTART_SCANS: u8 = 0x01;
const RETURN_SINGLE_ENTRY: u8 = 0x02;
const REOPEN: u8 = 0x10;

impl Logon {
    pub(super) fn query_directory(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Result<Vec<u8>, Status> {
        let message = request.message;
        let (class, flags) = (message.u8(66)?, message.u8(67)?);
        let layout = Layout::of(class).ok_or(Status::INVALID_INFO_CLASS)?;
        let room = message.u32(92)? as usize;
        if room > max {
            return Err(Status::INVALID_PARAMETER);
        }
        let pattern = text(message.buffer16(88, 90)?)?;
        let Opened::File { handle, listing, .. } = &mut self.open_of(request, chain)?.what else {
            return Err(Status::INVALID_PARAMETER);
        };
        if flags & (RESTART_SCANS | REOPEN) != 0 {
            *listing = None;
        }
        let is_first = listing.is_none();
        if is_first {
            let found = machine.tree.children(*handle).map_err(|error| match error.into() {
                Status::NOT_A_DIRECTORY => Status::INVALID_PARAMETER,
                status => status,
            })?;
            let info = machine.tree.info(*handle)?;
            let dot = |name: &str| Entry {
                name: name.to_owned(),
                kind: Kind::Directory,
                size: 0,
                attributes: info.attributes,
                created: info.created,
                modified: info.written,
            };
            let dots = [(info.index, dot(".")), (info.index, dot(".."))];
            let entries = dots
                .into_iter()
                .chain(found)
                .filter(|(_, entry)| matches(&pattern, &entry.name))
                .collect();
            *listing = Some(Listing { entries, next: 0 });
        }
        let listing = listing.as_mut().ok_or(Status::INVALID_PARAMETER)?;
        if listing.next >= listing.entries.len() {
            return Err(if is_first { Status::NO_SUCH_FILE } else { Status::NO_MORE_FILES });
        }
        let mut out = Writer::default();
        let mut last = None;
        while let Some((index, entry)) = listing.entries.get(listing.next) {
            let one = layout.write(*index, entry);
            let start = out.0.len().next_multiple_of(8);
            if start + one.len() > room {
                break;
            }
            if let Some(last) = last {
                let distance = u32::try_from(start - last).unwrap_or(u32::MAX);
                out.0[last..last + 4].copy_from_slice(&distance.to_le_bytes());
            }
            out.align(8).bytes(&one);
            last = Some(start);
            listing.next += 1;
            if flags & RETURN_SINGLE_ENTRY != 0 {
                break;
            }
        }
        if last.is_none() {
            return Err(Status::INFO_LENGTH_MISMATCH);
        }
        Ok(with_data(&out.0))
    }
}

/// Which fields an information class has, [MS-FSCC] 2.4.
struct Layout {
    details: bool,
    ea_size: bool,
    short_name: bool,
    id: bool,
}

impl Layout {
    fn of(class: u8) -> Option<Self> {
        let (details, ea_size, short_name, id) = match class {
            1 => (true, false, false, false),
            2 => (true, true, false, false),
            3 => (true, true, true, false),
            12 => (false, false, false, false),
            37 => (true, true, true, true),
            38 => (true, true, false, true),
            _ => return None,
        };
        Some(Self { details, ea_size, short_name, id })
    }

    fn write(&self, index: u64, entry: &Entry) -> Vec<u8> {
        let name = utf16(&entry.name);
        let mut out = Writer::default();
        out.u32(0).u32(0);
        if self.details {
            out.u64(entry.created).u64(entry.modified).u64(entry.modified).u64(entry.modified);
            out.u64(entry.size).u64(allocation(entry.size)).u32(entry.attributes.wire());
        }
        out.len32(name.len());
        if self.ea_size {
            // A reparse point tells its tag here.
            let is_junction = entry.attributes.has(Attributes::REPARSE_POINT);
            out.u32(if is_junction { super::info::MOUNT_POINT } else { 0 });
        }
        if self.short_name {
            out.u16(0).bytes(&[0; 24]);
        }
        match (self.id, self.short_name) {
            (true, true) => {
                out.u16(0).u64(index);
            }
            (true, false) => {
                out.u32(0).u64(index);
            }
            (false, _) => {}
        }
        out.bytes(&name);
        out.take()
    }
}

/// The patterns of [MS-FSA] 2.1.4.4, without regard to case; `<`, `>` and `"` are the forms that
/// DOS patterns take on the wire.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if pattern.is_empty() || pattern == "*" {
        return true;
    }
    let fold = |text: &str| text.chars().flat_map(char::to_uppercase).collect::<Vec<_>>();
    let (pattern, name) = (fold(pattern), fold(name));
    // Greedy matching with one point to return to: no pattern takes more than product time.
    let (mut at, mut here) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some('*' | '<') => {
                retry = Some((at, here));
                at += 1;
            }
            Some('?' | '>') => (at, here) = (at + 1, here + 1),
            Some('"') if name[here] == '.' => (at, here) = (at + 1, here + 1),
            Some(c) if *c == name[here] => (at, here) = (at + 1, here + 1),
            _ => match retry {
                Some((star, from)) => {
                    (at, here) = (star + 1, from + 1);
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| matches!(c, '*' | '<' | '>' | '"'))
}
