//! IOCTL, [MS-SMB2] 3.3.5.15.

use super::connection::{Answer, Chain, Request};
use super::file::Opened;
use super::info::MOUNT_POINT;
use super::machine::SmbMachine;
use super::negotiate::{self, Agreement};
use super::session::Logon;
use super::status::Status;
use super::wire::{HEADER, Writer, utf16};

const DFS_GET_REFERRALS: u32 = 0x0006_0194;
const DFS_GET_REFERRALS_EX: u32 = 0x0006_01B0;
const GET_REPARSE_POINT: u32 = 0x0009_00A8;
const PIPE_TRANSCEIVE: u32 = 0x0011_C017;
const VALIDATE_NEGOTIATE_INFO: u32 = 0x0014_0204;

impl Logon {
    /// Does a control; `None` means that the connection must end.
    pub(super) fn ioctl(
        &mut self,
        machine: &SmbMachine,
        agreement: &Agreement,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Option<Answer> {
        let message = request.message;
        let read = || -> Result<_, Status> {
            let room = message.u32(108)? as usize;
            if room > max {
                return Err(Status::INVALID_PARAMETER);
            }
            Ok((message.u32(68)?, message.buffer32(88, 92)?, room))
        };
        let (code, input, room) = match read() {
            Ok(fields) => fields,
            Err(status) => return Some(Answer::error(status)),
        };
        let result = match code {
            VALIDATE_NEGOTIATE_INFO => {
                Ok((Status::SUCCESS, negotiate::validate(machine, agreement, input)?))
            }
            PIPE_TRANSCEIVE => self.transceive(machine, request, chain, input, room),
            GET_REPARSE_POINT => self.reparse_point(machine, request, chain),
            DFS_GET_REFERRALS | DFS_GET_REFERRALS_EX => Err(Status::NOT_FOUND),
            _ => Err(Status::NOT_SUPPORTED),
        };
        Some(match result {
            Ok((_, output)) if output.len() > room => Answer::error(Status::BUFFER_TOO_SMALL),
            Ok((status, output)) => {
                let mut body = Writer::default();
                let file_id = message.bytes16(72).unwrap_or_default();
                body.u16(49).u16(0).u32(code).bytes(&file_id);
                body.len32(HEADER + 48).u32(0).len32(HEADER + 48).len32(output.len());
                body.u32(0).u32(0).bytes(&output);
                if output.is_empty() {
                    body.u8(0);
                }
                Answer { status, body: Some(body.take()) }
            }
            Err(status) => Answer::error(status),
        })
    }

    fn transceive(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        input: &[u8],
        room: usize,
    ) -> Result<(Status, Vec<u8>), Status> {
        let Opened::Pipe(pipe) = &mut self.open_of(request, chain)?.what else {
            return Err(Status::INVALID_DEVICE_REQUEST);
        };
        pipe.write(machine, input)?;
        pipe.read(room)
    }

    /// The mount-point buffer of [MS-FSCC] 2.1.2.5.
    fn reparse_point(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
    ) -> Result<(Status, Vec<u8>), Status> {
        let handle = self.handle_of(request, chain)?;
        let target = machine.tree.info(handle)?.target.ok_or(Status::NOT_A_REPARSE_POINT)?;
        let substitute = utf16(&format!(r"\??\{target}"));
        let print = utf16(&target);
        let mut out = Writer::default();
        out.u32(MOUNT_POINT).len16(8 + substitute.len() + 2 + print.len() + 2).u16(0);
        out.u16(0).len16(substitute.len()).len16(substitute.len() + 2).len16(print.len());
        out.bytes(&substitute).u16(0).bytes(&print).u16(0);
        Ok((Status::SUCCESS, out.take()))
    }
}
