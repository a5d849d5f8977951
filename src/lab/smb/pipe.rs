//! Named pipes and the connection-oriented RPC on them, [C706] chapter 12.

use std::collections::VecDeque;

use super::machine::SmbMachine;
use super::status::Status;
use super::wire::{Message, Writer};
use super::{lsarpc, srvsvc};

/// One open pipe.
pub(super) struct Pipe {
    service: Service,
    /// Bytes of a fragment that is not complete yet.
    incoming: Vec<u8>,
    /// The stub of a request whose last fragment has not come.
    stub: Vec<u8>,
    outgoing: VecDeque<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Srvsvc,
    Lsarpc,
}

/// The interface id and version of each service.
const SRVSVC: [u8; 20] = [
    0xC8, 0x4F, 0x32, 0x4B, 0x70, 0x16, 0xD3, 0x01, 0x12, 0x78, 0x5A, 0x47, 0xBF, 0x6E, 0xE1, 0x88,
    3, 0, 0, 0,
];
const LSARPC: [u8; 20] = [
    0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xCD, 0xAB, 0xEF, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB,
    0, 0, 0, 0,
];
/// NDR 2.0 with 32-bit pointers.
const NDR32: [u8; 20] = [
    0x04, 0x5D, 0x88, 0x8A, 0xEB, 0x1C, 0xC9, 0x11, 0x9F, 0xE8, 0x08, 0x00, 0x2B, 0x10, 0x48, 0x60,
    2, 0, 0, 0,
];

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const ALTER_CONTEXT: u8 = 14;
const ALTER_CONTEXT_ANSWER: u8 = 15;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const HAS_OBJECT: u8 = 0x80;

const MAX_FRAGMENT: usize = 4280;
const MAX_STUB: usize = 256 << 10;

/// `nca_s_op_rng_error`: no such operation.
const OPERATION_OUT_OF_RANGE: u32 = 0x1C01_0002;
/// `RPC_X_BAD_STUB_DATA`.
const BAD_STUB: u32 = 0x0000_06F7;

/// Why an operation has no result, as the RPC status of its fault.
pub(super) struct Fault(pub(super) u32);

impl Fault {
    pub(super) const NO_SUCH_OPERATION: Self = Self(OPERATION_OUT_OF_RANGE);
    pub(super) const BAD_STUB: Self = Self(BAD_STUB);
}

impl Pipe {
    /// Opens a pipe by name, if there is a service behind it.
    pub(super) fn open(name: &str) -> Option<Self> {
        let service = match name.trim_start_matches('\\').to_ascii_lowercase().as_str() {
            "srvsvc" => Service::Srvsvc,
            "lsarpc" => Service::Lsarpc,
            _ => return None,
        };
        let (incoming, stub, outgoing) = Default::default();
        Some(Self { service, incoming, stub, outgoing })
    }

    /// Takes bytes of a client.
    pub(super) fn write(&mut self, machine: &SmbMachine, bytes: &[u8]) -> Result<(), Status> {
        self.incoming.extend_from_slice(bytes);
        while self.incoming.len() >= 16 {
            let length = usize::from(Message(&self.incoming).u16(8)?);
            if length < 16 || self.incoming[0] != 5 {
                return Err(Status::PIPE_DISCONNECTED);
            }
            if self.incoming.len() < length {
                break;
            }
            let rest = self.incoming.split_off(length);
            let fragment = std::mem::replace(&mut self.incoming, rest);
            self.take(machine, Message(&fragment))?;
        }
        if self.incoming.len() > MAX_STUB { Err(Status::PIPE_DISCONNECTED) } else { Ok(()) }
    }

    /// Gives the next answer, or as much of it as there is room for.
    pub(super) fn read(&mut self, room: usize) -> Result<(Status, Vec<u8>), Status> {
        const PIPE_EMPTY: Status = Status(0xC000_00D9);
        let mut next = self.outgoing.pop_front().ok_or(PIPE_EMPTY)?;
        if next.len() <= room {
            return Ok((Status::SUCCESS, next));
        }
        let rest = next.split_off(room);
        self.outgoing.push_front(rest);
        Ok((Status::BUFFER_OVERFLOW, next))
    }

    fn take(&mut self, machine: &SmbMachine, fragment: Message<'_>) -> Result<(), Status> {
        let (kind, flags, call) = (fragment.u8(2)?, fragment.u8(3)?, fragment.u32(12)?);
        match kind {
            BIND => self.bind(fragment, call, BIND_ACK),
            ALTER_CONTEXT => self.bind(fragment, call, ALTER_CONTEXT_ANSWER),
            REQUEST => {
                let start = if flags & HAS_OBJECT == 0 { 24 } else { 40 };
                let (context, operation) = (fragment.u16(20)?, fragment.u16(22)?);
                // A security trailer is never agreed on, so the stub is all that is left.
                if flags & FIRST != 0 {
                    self.stub.clear();
                }
                self.stub.extend_from_slice(fragment.0.get(start..).unwrap_or_default());
                if self.stub.len() > MAX_STUB {
                    return Err(Status::PIPE_DISCONNECTED);
                }
                if flags & LAST != 0 {
                    let stub = std::mem::take(&mut self.stub);
                    let result = match self.service {
                        Service::Srvsvc => srvsvc::call(machine, operation, &stub),
                        Service::Lsarpc => lsarpc::call(machine, operation, &stub),
                    };
                    self.answer(call, context, result);
                }
                Ok(())
            }
            _ => Err(Status::PIPE_DISCONNECTED),
        }
    }

    fn bind(&mut self, fragment: Message<'_>, call: u32, kind: u8) -> Result<(), Status> {
        let (interface, name) = match self.service {
            Service::Srvsvc => (SRVSVC, "\\PIPE\\srvsvc\0"),
            Service::Lsarpc => (LSARPC, "\\PIPE\\lsass\0"),
        };
        let mut body = Writer::default();
        let size = u16::try_from(MAX_FRAGMENT).expect("4280");
        body.u16(size).u16(size).u32(0x53F0);
        // Alignment counts from the fragment's start, whose header has 16 bytes.
        body.len16(name.len()).bytes(name.as_bytes()).align(4);
        let contexts = fragment.u8(24)?;
        body.u8(contexts).u8(0).u16(0);
        let mut at = 28;
        for _ in 0..contexts {
            let transfers = usize::from(fragment.u8(at + 2)?);
            let is_ours = fragment.slice(at + 4, 20)? == interface;
            let mut has_ndr32 = false;
            for index in 0..transfers {
                has_ndr32 |= fragment.slice(at + 24 + 20 * index, 20)? == NDR32;
            }
            match (is_ours, has_ndr32) {
                (true, true) => body.u16(0).u16(0).bytes(&NDR32),
                // Provider rejection: abstract syntax, or transfer syntaxes, not supported.
                (false, _) => body.u16(2).u16(1).bytes(&[0; 20]),
                (true, false) => body.u16(2).u16(2).bytes(&[0; 20]),
            };
            at += 24 + 20 * transfers;
        }
        self.outgoing.push_back(frame(kind, FIRST | LAST, call, &body.0));
        Ok(())
    }

    fn answer(&mut self, call: u32, context: u16, result: Result<Vec<u8>, Fault>) {
        match result {
            Ok(stub) => {
                let room = MAX_FRAGMENT - 24;
                let count = stub.len().div_ceil(room).max(1);
                for index in 0..count {
                    let rest = &stub[index * room..];
                    let mut body = Writer::default();
                    body.len32(rest.len()).u16(context).u16(0);
                    body.bytes(&rest[..rest.len().min(room)]);
                    let first = if index == 0 { FIRST } else { 0 };
                    let last = if index + 1 == count { LAST } else { 0 };
                    self.outgoing.push_back(frame(RESPONSE, first | last, call, &body.0));
                }
            }
            Err(Fault(status)) => {
                let mut body = Writer::default();
                body.u32(0).u16(context).u16(0).u32(status).u32(0);
                self.outgoing.push_back(frame(FAULT, FIRST | LAST, call, &body.0));
            }
        }
    }
}

fn frame(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(5).u8(0).u8(kind).u8(flags).u32(0x10);
    out.len16(16 + body.len()).u16(0).u32(call).bytes(body);
    out.take()
}
