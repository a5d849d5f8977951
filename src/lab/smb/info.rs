//! QUERY_INFO, [MS-SMB2] 3.3.5.20: classes of [MS-FSCC] 2.4 and 2.5, and descriptors.

use super::connection::{Answer, Chain, Request};
use super::dispatch::with_data;
use super::file::{Opened, allocation, put_times};
use super::machine::SmbMachine;
use super::session::Logon;
use super::share::Root;
use super::status::Status;
use super::wire::{Writer, utf16};
use crate::lab::tree::{HandleInfo, Kind, SecurityParts};
use crate::protocol::security_descriptor::FileRights;

/// `IO_REPARSE_TAG_MOUNT_POINT`.
pub(super) const MOUNT_POINT: u32 = 0xA000_0003;

const SECTOR: u32 = 512;
const SECTORS_PER_CLUSTER: u32 = 8;

impl Logon {
    pub(super) fn query_info(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Answer {
        self.query(machine, request, chain, max).unwrap_or_else(Answer::error)
    }

    fn query(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Result<Answer, Status> {
        let message = request.message;
        let (kind, class, room) = (message.u8(66)?, message.u8(67)?, message.u32(68)? as usize);
        if room > max {
            return Err(Status::INVALID_PARAMETER);
        }
        let Opened::File { handle, root, .. } = &self.open_of(request, chain)?.what else {
            return Err(Status::INVALID_DEVICE_REQUEST);
        };
        let info = machine.tree.info(*handle)?;
        let data = match kind {
            1 => of_file(class, &info, root)?,
            2 => of_volume(class, machine, &info)?,
            3 => {
                let parts = SecurityParts(message.u32(80)?);
                let descriptor = machine.tree.security(*handle, parts)?;
                if descriptor.len() > room {
                    return Ok(too_small(descriptor.len()));
                }
                descriptor
            }
            _ => return Err(Status::NOT_SUPPORTED),
        };
        if data.len() <= room {
            return Ok(Answer::from(Ok(with_data(&data))));
        }
        // Names may be cut, everything else comes whole.
        let has_name = matches!((kind, class), (1, 9 | 18 | 48) | (2, 1 | 5));
        if has_name && room >= 8 {
            let body = Some(with_data(&data[..room]));
            return Ok(Answer { status: Status::BUFFER_OVERFLOW, body });
        }
        Err(Status::INFO_LENGTH_MISMATCH)
    }
}

/// A refusal that tells how much room is needed.
fn too_small(needed: usize) -> Answer {
    let mut body = Writer::default();
    body.u16(9).u16(0).u32(4).len32(needed);
    Answer { status: Status::BUFFER_TOO_SMALL, body: Some(body.take()) }
}

fn of_file(class: u8, info: &HandleInfo, root: &Root) -> Result<Vec<u8>, Status> {
    let reads_attributes = matches!(class, 4 | 18 | 34 | 35);
    if reads_attributes && info.granted & FileRights::READ_ATTRIBUTES == 0 {
        return Err(Status::ACCESS_DENIED);
    }
    let relative = root.relative(&info.path);
    let is_directory = info.kind != Kind::File;
    let mut out = Writer::default();
    let basic = |out: &mut Writer| {
        put_times(out, info);
        out.u32(info.attributes.wire()).u32(0);
    };
    let standard = |out: &mut Writer| {
        out.u64(allocation(info.size)).u64(info.size).u32(1);
        out.u8(u8::from(info.delete_pending)).u8(u8::from(is_directory)).u16(0);
    };
    let name = |out: &mut Writer, name: &str| {
        let name = utf16(name);
        out.len32(name.len()).bytes(&name);
    };
    match class {
        4 => basic(&mut out),
        5 => standard(&mut out),
        6 => drop(out.u64(info.index)),
        7 => drop(out.u32(0)),
        8 => drop(out.u32(info.granted)),
        9 => name(&mut out, &format!("\\{relative}")),
        14 => drop(out.u64(0)),
        16 | 17 => drop(out.u32(0)),
        18 => {
            basic(&mut out);
            standard(&mut out);
            out.u64(info.index).u32(0).u32(info.granted).u64(0).u32(0).u32(0);
            name(&mut out, &format!("\\{relative}"));
        }
        21 => name(&mut out, short_name(&relative).ok_or(Status::OBJECT_NAME_NOT_FOUND)?),
        22 => {
            if !is_directory {
                let stream = utf16("::$DATA");
                out.u32(0).len32(stream.len()).u64(info.size).u64(allocation(info.size));
                out.bytes(&stream);
            }
        }
        28 => drop(out.u64(info.size).u64(0)),
        34 => {
            put_times(&mut out, info);
            out.u64(allocation(info.size)).u64(info.size).u32(info.attributes.wire()).u32(0);
        }
        35 => {
            let tag = if info.kind == Kind::Junction { MOUNT_POINT } else { 0 };
            out.u32(info.attributes.wire()).u32(tag);
        }
        // FileNormalizedNameInformation: without a backslash in front, [MS-FSCC] 2.4.36.
        48 => name(&mut out, &relative),
        59 => {
            out.u64(u64::from(serial(info))).u64(info.index).u64(0);
        }
        _ => return Err(Status::INVALID_INFO_CLASS),
    }
    Ok(out.take())
}

fn of_volume(class: u8, machine: &SmbMachine, info: &HandleInfo) -> Result<Vec<u8>, Status> {
    let cluster = u64::from(SECTOR * SECTORS_PER_CLUSTER);
    let total = machine.tree.capacity() / cluster;
    let free = machine.tree.free_space() / cluster;
    let mut out = Writer::default();
    match class {
        1 => {
            out.u64(info.created).u32(serial(info)).u32(0).u16(0);
        }
        3 => {
            out.u64(total).u64(free).u32(SECTORS_PER_CLUSTER).u32(SECTOR);
        }
        4 => drop(out.u32(7).u32(0x20)),
        5 => {
            // Case preserved, Unicode, persistent descriptors, reparse points.
            let name = utf16("NTFS");
            out.u32(0x8F).u32(255).len32(name.len()).bytes(&name);
        }
        7 => {
            out.u64(total).u64(free).u64(free).u32(SECTORS_PER_CLUSTER).u32(SECTOR);
        }
        11 => {
            out.u32(SECTOR).u32(SECTOR).u32(SECTOR).u32(SECTOR).u32(3).u32(0).u32(0);
        }
        _ => return Err(Status::INVALID_INFO_CLASS),
    }
    Ok(out.take())
}

/// The 8.3 name, which only an object has whose own name is one: the volumes make no short names.
fn short_name(relative: &str) -> Option<&str> {
    let name = relative.rsplit('\\').next()?;
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_short = name.is_ascii() && (1..=8).contains(&stem.len()) && extension.len() <= 3;
    (is_short && !stem.contains(['.', ' '])).then_some(name)
}

/// A serial number for the volume, from its letter.
fn serial(info: &HandleInfo) -> u32 {
    0x5EED_0000 | info.path.chars().next().map_or(0, u32::from)
}
