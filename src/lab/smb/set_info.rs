//! SET_INFO, [MS-SMB2] 3.3.5.21: times, attributes, deletion, renames, sizes, descriptors.

use super::connection::{Chain, Request};
use super::file::Opened;
use super::machine::SmbMachine;
use super::session::Logon;
use super::status::Status;
use super::wire::{Message, text};
use crate::lab::tree::{BasicChange, SecurityParts};

impl Logon {
    pub(super) fn set_info(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
    ) -> Result<Vec<u8>, Status> {
        let message = request.message;
        let (kind, class) = (message.u8(66)?, message.u8(67)?);
        let length = message.u32(68)? as usize;
        let data = Message(message.slice(usize::from(message.u16(72)?), length)?);
        let Opened::File { handle, root, .. } = &self.open_of(request, chain)?.what else {
            return Err(Status::INVALID_DEVICE_REQUEST);
        };
        let (tree, handle, now) = (&machine.tree, *handle, (machine.clock)());
        match (kind, class) {
            (1, 4) => tree.set_basic(handle, &basic(data)?)?,
            (1, 10 | 65) => {
                const REPLACE: u32 = 1;
                let replace = match class {
                    10 => data.u8(0)? != 0,
                    _ => data.u32(0)? & REPLACE != 0,
                };
                let name = text(data.slice(20, data.u32(16)? as usize)?)?;
                if name.is_empty() || data.u64(8)? != 0 {
                    return Err(Status::INVALID_PARAMETER);
                }
                let path = root.join(&name).ok_or(Status::INVALID_PARAMETER)?;
                tree.rename_open(handle, &path, replace, now)?;
            }
            (1, 13) => tree.set_delete(handle, data.u8(0)? != 0)?,
            (1, 64) => tree.set_delete(handle, data.u32(0)? & 1 != 0)?,
            (1, 19) => {
                // To allocate less than the file has cuts it, [MS-FSA] 2.1.5.15.1.
                let wanted = data.u64(0)?;
                if wanted < tree.info(handle)?.size {
                    tree.set_length(handle, wanted, now)?;
                }
            }
            (1, 20) => tree.set_length(handle, data.u64(0)?, now)?,
            (3, _) => {
                let parts = SecurityParts(message.u32(76)?);
                tree.set_security(handle, parts, data.0, now)?;
            }
            (1, _) => return Err(Status::INVALID_INFO_CLASS),
            _ => return Err(Status::NOT_SUPPORTED),
        }
        Ok(vec![2, 0])
    }
}

/// FileBasicInformation: times of 0 and below zero and attributes of 0 mean "as it is".
fn basic(data: Message<'_>) -> Result<BasicChange, Status> {
    let time = |at| data.u64(at).map(|time| Some(time).filter(|t| (1..1 << 63).contains(t)));
    Ok(BasicChange {
        created: time(0)?,
        accessed: time(8)?,
        written: time(16)?,
        changed: time(24)?,
        attributes: Some(data.u32(32)?).filter(|attributes| *attributes != 0),
    })
}
