//! Open files and pipes of a session: close, read, write.

use super::connection::{Answer, Chain, Request};
use super::directory::Listing;
use super::machine::SmbMachine;
use super::pipe::Pipe;
use super::session::Logon;
use super::share::Root;
use super::status::Status;
use super::wire::{HEADER, Writer};
use crate::lab::tree::{HandleId, HandleInfo};

/// The number of an open in its session; both halves of the wire's file id carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(pub(super) u64);

/// Something a session has open.
pub(super) struct Open {
    pub(super) tree_id: u32,
    pub(super) what: Opened,
}

pub(super) enum Opened {
    File { handle: HandleId, root: Root, listing: Option<Listing> },
    Pipe(Pipe),
}

impl Open {
    pub(super) fn handle(&self) -> Option<HandleId> {
        match &self.what {
            Opened::File { handle, .. } => Some(*handle),
            Opened::Pipe(_) => None,
        }
    }
}

impl FileId {
    /// The file a request is about; a related one means the file of the chain.
    pub(super) fn of(request: &Request<'_>, chain: &Chain) -> Result<Self, Status> {
        use super::connection::command::{
            CLOSE, FLUSH, IOCTL, QUERY_DIRECTORY, QUERY_INFO, READ, SET_INFO, WRITE,
        };
        let at = match request.command {
            CLOSE | FLUSH | IOCTL | QUERY_DIRECTORY => 72,
            READ | WRITE | SET_INFO => 80,
            QUERY_INFO => 88,
            _ => return Err(Status::INVALID_PARAMETER),
        };
        let id = request.message.u64(at + 8)?;
        match chain.file_id {
            Some(file_id) if request.is_related() && id == u64::MAX => Ok(Self(file_id)),
            _ => Ok(Self(id)),
        }
    }
}

impl Logon {
    /// The open of a request.
    pub(super) fn open_of(
        &mut self,
        request: &Request<'_>,
        chain: &Chain,
    ) -> Result<&mut Open, Status> {
        let id = FileId::of(request, chain)?;
        let open = self.opens.get_mut(&id.0).ok_or(Status::FILE_CLOSED)?;
        if open.tree_id == request.tree_id { Ok(open) } else { Err(Status::FILE_CLOSED) }
    }

    /// The tree handle of a request's open; pipes have none.
    pub(super) fn handle_of(
        &mut self,
        request: &Request<'_>,
        chain: &Chain,
    ) -> Result<HandleId, Status> {
        self.open_of(request, chain)?.handle().ok_or(Status::INVALID_DEVICE_REQUEST)
    }

    pub(super) fn close(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
    ) -> Result<Vec<u8>, Status> {
        const POSTQUERY_ATTRIBUTES: u16 = 1;
        self.open_of(request, chain)?;
        let id = FileId::of(request, chain)?;
        let open = self.opens.remove(&id.0).ok_or(Status::FILE_CLOSED)?;
        let info = open.handle().and_then(|handle| {
            let info = machine.tree.info(handle).ok();
            machine.tree.close(handle);
            info
        });
        let asks = request.message.u16(66)? & POSTQUERY_ATTRIBUTES != 0;
        let mut body = Writer::default();
        body.u16(60);
        match info.filter(|_| asks) {
            Some(info) => {
                body.u16(POSTQUERY_ATTRIBUTES).u32(0);
                put_summary(&mut body, &info);
            }
            None => {
                body.bytes(&[0; 58]);
            }
        }
        Ok(body.take())
    }

    pub(super) fn read(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Answer {
        let mut data = || -> Result<(Status, Vec<u8>), Status> {
            let message = request.message;
            let (length, offset) = (message.u32(68)? as usize, message.u64(72)?);
            if length > max {
                return Err(Status::INVALID_PARAMETER);
            }
            let minimum = message.u32(96)? as usize;
            match &mut self.open_of(request, chain)?.what {
                Opened::Pipe(pipe) => pipe.read(length),
                Opened::File { handle, .. } => {
                    let data = machine.tree.read_at(*handle, offset, length).map_err(|error| {
                        match Status::from(error) {
                            Status::FILE_IS_A_DIRECTORY => Status::INVALID_DEVICE_REQUEST,
                            status => status,
                        }
                    })?;
                    if length > 0 && (data.is_empty() || data.len() < minimum) {
                        return Err(Status::END_OF_FILE);
                    }
                    Ok((Status::SUCCESS, data))
                }
            }
        };
        match data() {
            Ok((status, data)) => {
                let mut body = Writer::default();
                let offset = u8::try_from(HEADER + 16).expect("80");
                body.u16(17).u8(offset).u8(0).len32(data.len()).u32(0).u32(0).bytes(&data);
                if data.is_empty() {
                    body.u8(0);
                }
                Answer { status, body: Some(body.take()) }
            }
            Err(status) => Answer::error(status),
        }
    }

    pub(super) fn write(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        chain: &Chain,
        max: usize,
    ) -> Result<Vec<u8>, Status> {
        let message = request.message;
        let (length, offset) = (message.u32(68)? as usize, message.u64(72)?);
        if length > max {
            return Err(Status::INVALID_PARAMETER);
        }
        let data = message.slice(usize::from(message.u16(66)?), length)?;
        match &mut self.open_of(request, chain)?.what {
            Opened::Pipe(pipe) => pipe.write(machine, data)?,
            Opened::File { handle, .. } => {
                machine.tree.write_at(*handle, offset, data, (machine.clock)())?;
            }
        }
        let mut body = Writer::default();
        body.u16(17).u16(0).len32(length).u32(0).u32(0).u8(0);
        Ok(body.take())
    }
}

/// Times, sizes and attributes as CREATE and CLOSE answer them.
pub(super) fn put_summary(body: &mut Writer, info: &HandleInfo) {
    put_times(body, info);
    body.u64(allocation(info.size)).u64(info.size).u32(info.attributes.wire());
}

/// The four times, in the order of every structure that has them.
pub(super) fn put_times(body: &mut Writer, info: &HandleInfo) {
    body.u64(info.created).u64(info.accessed).u64(info.written).u64(info.changed);
}

/// The bytes a file takes on a volume with clusters of 4 KiB.
pub(super) fn allocation(size: u64) -> u64 {
    size.next_multiple_of(4096)
}
