//! CREATE, [MS-SMB2] 3.3.5.9.

use super::connection::Request;
use super::file::{Open, Opened, put_summary};
use super::machine::SmbMachine;
use super::pipe::Pipe;
use super::session::Logon;
use super::share::Root;
use super::status::Status;
use super::wire::{HEADER, Message, Writer, text};
use crate::lab::tree::{Action, Disposition, OpenOptions, OpenRequest, Share};
use crate::protocol::security_descriptor::{FileRights, SecurityDescriptor};

/// How many files and pipes one session may have open.
const MAX_OPENS: usize = 4096;

const FILE_DIRECTORY_FILE: u32 = 0x1;
const FILE_NON_DIRECTORY_FILE: u32 = 0x40;
const FILE_DELETE_ON_CLOSE: u32 = 0x1000;
const FILE_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

impl Logon {
    /// Opens a file, folder or pipe; gives its id and the body of the answer.
    pub(super) fn create(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
    ) -> Result<(u64, Vec<u8>), Status> {
        if self.opens.len() >= MAX_OPENS {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let name = text(request.message.buffer16(108, 110)?)?;
        let connected = self.trees.get(&request.tree_id).ok_or(Status::NETWORK_NAME_DELETED)?;
        let root = connected.root.clone();
        let Some(path) = root.join(&name) else {
            let pipe = Pipe::open(&name).ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
            let id = self.add(request.tree_id, Opened::Pipe(pipe));
            return Ok((id, pipe_answer(id)));
        };
        if name.starts_with(['\\', '/']) || name.contains('/') {
            return Err(Status::OBJECT_NAME_INVALID);
        }
        self.open_file(machine, request, root, &path)
    }

    fn open_file(
        &mut self,
        machine: &SmbMachine,
        request: &Request<'_>,
        root: Root,
        path: &str,
    ) -> Result<(u64, Vec<u8>), Status> {
        let message = request.message;
        let access = message.u32(88)?;
        if access & FileRights::ACCESS_SYSTEM_SECURITY != 0 {
            return Err(Status::PRIVILEGE_NOT_HELD);
        }
        let disposition = match message.u32(100)? {
            0 => Disposition::Supersede,
            1 => Disposition::Open,
            2 => Disposition::Create,
            3 => Disposition::OpenIf,
            4 => Disposition::Overwrite,
            5 => Disposition::OverwriteIf,
            _ => return Err(Status::INVALID_PARAMETER),
        };
        let bits = message.u32(104)?;
        let options = OpenOptions {
            directory: bits & FILE_DIRECTORY_FILE != 0,
            not_directory: bits & FILE_NON_DIRECTORY_FILE != 0,
            delete_on_close: bits & FILE_DELETE_ON_CLOSE != 0,
            open_reparse_point: bits & FILE_OPEN_REPARSE_POINT != 0,
        };
        if options.directory && options.not_directory {
            return Err(Status::INVALID_PARAMETER);
        }
        let contexts = read_contexts(message)?;
        let context = |name: &[u8]| contexts.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        let opened = machine.tree.open(&OpenRequest {
            path,
            caller: &self.caller,
            access,
            share: Share(message.u32(96)? & Share::ALL.0),
            disposition,
            options,
            attributes: message.u32(92)?,
            descriptor: context(b"SecD"),
            at: (machine.clock)(),
        })?;
        let info = machine.tree.info(opened.handle)?;
        let mut answers = Vec::new();
        if context(b"MxAc").is_some() {
            let everything = self.maximal_access(machine, &info.path);
            answers.push((*b"MxAc", Writer::default().u32(0).u32(everything).take()));
        }
        if context(b"QFid").is_some() {
            let volume = u64::from(u32::from(info.path.chars().next().unwrap_or('C')));
            let data = Writer::default().u64(info.index).u64(volume).bytes(&[0; 16]).take();
            answers.push((*b"QFid", data));
        }
        let what = Opened::File { handle: opened.handle, root, listing: None };
        let id = self.add(request.tree_id, what);
        let action = match opened.action {
            Action::Superseded => 0,
            Action::Opened => 1,
            Action::Created => 2,
            Action::Overwritten => 3,
        };
        let mut body = Writer::default();
        body.u16(89).u16(0).u32(action);
        put_summary(&mut body, &info);
        body.u32(0).u64(id).u64(id);
        put_contexts(&mut body, &answers);
        Ok((id, body.take()))
    }

    /// Everything the caller may do with the object.
    fn maximal_access(&self, machine: &SmbMachine, path: &str) -> u32 {
        let descriptor = machine.tree.descriptor(path).unwrap_or_default();
        SecurityDescriptor::parse(&descriptor)
            .map_or(0, |descriptor| descriptor.granted_to(&self.caller.identities))
    }

    fn add(&mut self, tree_id: u32, what: Opened) -> u64 {
        let id = self.next_open;
        self.next_open += 1;
        self.opens.insert(id, Open { tree_id, what });
        id
    }
}

/// The name and the value of a create context.
type Context<'a> = (&'a [u8], &'a [u8]);

/// [MS-SMB2] 2.2.13.2: a list of named values.
fn read_contexts(message: Message<'_>) -> Result<Vec<Context<'_>>, Status> {
    const MAX: usize = 32;
    let mut list = message.buffer32(112, 116)?;
    let mut contexts = Vec::new();
    while !list.is_empty() && contexts.len() < MAX {
        let one = Message(list);
        let next = one.u32(0)? as usize;
        let value = one.slice(usize::from(one.u16(10)?), one.u32(12)? as usize)?;
        contexts.push((one.buffer16(4, 6)?, value));
        list = match next {
            0 => &[],
            _ => list.get(next..).ok_or(Status::INVALID_PARAMETER)?,
        };
    }
    Ok(contexts)
}

fn put_contexts(body: &mut Writer, answers: &[([u8; 4], Vec<u8>)]) {
    let mut list = Writer::default();
    for (position, (name, data)) in answers.iter().enumerate() {
        let length = (24 + data.len()).next_multiple_of(8);
        let is_last = position + 1 == answers.len();
        list.len32(if is_last { 0 } else { length });
        list.u16(16).u16(4).u16(0).u16(24).len32(data.len());
        list.bytes(name).u32(0).bytes(data).align(8);
    }
    let offset = if answers.is_empty() { 0 } else { HEADER + 88 };
    body.len32(offset).len32(list.0.len()).bytes(&list.0);
    if answers.is_empty() {
        // The size counts one byte of what could follow.
        body.u8(0);
    }
}

fn pipe_answer(id: u64) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(89).u16(0).u32(1).bytes(&[0; 32]).u64(4096).u64(0).u32(0x80).u32(0);
    body.u64(id).u64(id);
    put_contexts(&mut body, &[]);
    body.take()
}
