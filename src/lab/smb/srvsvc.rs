//! The server service: the list of shares, [MS-SRVS] 3.1.4.8.

use super::machine::SmbMachine;
use super::ndr::{Reply, Stub};
use super::pipe::Fault;

const SHARE_ENUM: u16 = 15;
const SHARE_ENUM_STICKY: u16 = 36;
const INVALID_LEVEL: u32 = 124;

/// Does one operation of the service.
pub(super) fn call(machine: &SmbMachine, operation: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    match operation {
        SHARE_ENUM | SHARE_ENUM_STICKY => {
            share_enum(machine, &mut Stub::new(stub)).ok_or(Fault::BAD_STUB)
        }
        _ => Err(Fault::NO_SUCH_OPERATION),
    }
}

fn share_enum(machine: &SmbMachine, stub: &mut Stub<'_>) -> Option<Vec<u8>> {
    let server = stub.u32()?;
    if server != 0 {
        stub.string()?;
    }
    let level = stub.u32()?;
    let mut reply = Reply::default();
    reply.out.u32(level).u32(level);
    if level > 1 {
        reply.out.u32(0).u32(0).u32(0).u32(INVALID_LEVEL);
        return Some(reply.finish());
    }
    let shares = machine.all_shares();
    reply.pointer();
    reply.out.len32(shares.len());
    reply.pointer();
    reply.out.len32(shares.len());
    for (_, kind, _) in &shares {
        reply.pointer();
        if level == 1 {
            reply.out.u32(*kind);
            reply.pointer();
        }
    }
    for (name, _, comment) in &shares {
        reply.string(name);
        if level == 1 {
            reply.string(comment);
        }
    }
    // The total, no resume handle, success.
    reply.out.len32(shares.len()).u32(0).u32(0);
    Some(reply.finish())
}
