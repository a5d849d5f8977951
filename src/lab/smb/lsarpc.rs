//! The local security authority: names to SIDs and back, [MS-LSAT] 3.1.4.

use super::machine::SmbMachine;
use super::ndr::{Reply, Stub};
use super::pipe::Fault;
use crate::protocol::security_descriptor::Sid;

const CLOSE: u16 = 0;
const OPEN_POLICY: u16 = 6;
const LOOKUP_NAMES: u16 = 14;
const LOOKUP_SIDS: u16 = 15;
const OPEN_POLICY_2: u16 = 44;

const SOME_NOT_MAPPED: u32 = 0x0000_0107;
const NONE_MAPPED: u32 = 0xC000_0073;

/// `SID_NAME_USE`, [MS-LSAT] 2.2.13.
const USER: u16 = 1;
const ALIAS: u16 = 4;
const WELL_KNOWN: u16 = 5;
const UNKNOWN: u16 = 8;

/// A name and what it stands for.
struct Principal {
    domain: String,
    name: String,
    sid: Sid,
    kind: u16,
}

/// Does one operation of the service. Handles are not checked: nothing here depends on them.
pub(super) fn call(machine: &SmbMachine, operation: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    let stub = &mut Stub::new(stub);
    match operation {
        CLOSE => Ok(vec![0; 24]),
        OPEN_POLICY | OPEN_POLICY_2 => {
            let mut handle = vec![0, 0, 0, 0];
            handle.extend_from_slice(&machine.guid());
            handle.extend_from_slice(&[0; 4]);
            Ok(handle)
        }
        LOOKUP_NAMES => lookup_names(machine, stub).ok_or(Fault::BAD_STUB),
        LOOKUP_SIDS => lookup_sids(machine, stub).ok_or(Fault::BAD_STUB),
        _ => Err(Fault::NO_SUCH_OPERATION),
    }
}

fn principals(machine: &SmbMachine) -> Vec<Principal> {
    let known = [
        ("BUILTIN", "Administrators", Sid::administrators(), ALIAS),
        ("BUILTIN", "Users", Sid::users(), ALIAS),
        ("NT AUTHORITY", "SYSTEM", Sid::system(), WELL_KNOWN),
        ("NT AUTHORITY", "Authenticated Users", Sid::authenticated_users(), WELL_KNOWN),
        ("NT AUTHORITY", "NETWORK", Sid::network(), WELL_KNOWN),
        ("", "Everyone", Sid::everyone(), WELL_KNOWN),
        ("", "CREATOR OWNER", Sid::creator_owner(), WELL_KNOWN),
    ];
    let known = known.into_iter().map(|(domain, name, sid, kind)| Principal {
        domain: domain.to_owned(),
        name: name.to_owned(),
        sid,
        kind,
    });
    let accounts = machine.accounts.iter().filter_map(|account| {
        let sid = account.sid.parse().ok()?;
        let (domain, name) = (account.domain.clone(), account.user.clone());
        Some(Principal { domain, name, sid, kind: USER })
    });
    known.chain(accounts).collect()
}

/// `DOMAIN\name`, `name@domain` or a bare name.
fn find<'a>(principals: &'a [Principal], wanted: &str) -> Option<&'a Principal> {
    let (domain, name) = match (wanted.split_once('\\'), wanted.split_once('@')) {
        (Some((domain, name)), _) | (None, Some((name, domain))) => (Some(domain), name),
        (None, None) => (None, wanted),
    };
    principals.iter().find(|principal| {
        principal.name.eq_ignore_ascii_case(name)
            && domain.is_none_or(|domain| {
                principal.domain.eq_ignore_ascii_case(domain)
                    || domain
                        .split('.')
                        .next()
                        .is_some_and(|first| principal.domain.eq_ignore_ascii_case(first))
            })
    })
}

fn lookup_names(machine: &SmbMachine, stub: &mut Stub<'_>) -> Option<Vec<u8>> {
    stub.take(20)?;
    let count = stub.count()?;
    stub.u32()?;
    for _ in 0..count {
        // Two lengths and a pointer; the text comes after all of them.
        stub.u32()?;
        stub.u32()?;
    }
    let names = (0..count).map(|_| stub.string()).collect::<Option<Vec<_>>>()?;
    let all = principals(machine);
    let found: Vec<Option<&Principal>> = names.iter().map(|name| find(&all, name)).collect();
    let mut reply = Reply::default();
    put_domains(&mut reply, &found);
    reply.out.len32(found.len());
    reply.pointer();
    reply.out.len32(found.len());
    for (index, principal) in found.iter().enumerate() {
        match principal {
            Some(principal) => {
                let id = principal.sid.relative_id().unwrap_or_default();
                reply.out.u16(principal.kind).u16(0).u32(id).len32(index);
            }
            None => {
                reply.out.u16(UNKNOWN).u16(0).u32(0).u32(u32::MAX);
            }
        }
    }
    put_count(&mut reply, &found);
    Some(reply.finish())
}

fn lookup_sids(machine: &SmbMachine, stub: &mut Stub<'_>) -> Option<Vec<u8>> {
    stub.take(20)?;
    let count = stub.count()?;
    stub.u32()?;
    stub.u32()?;
    for _ in 0..count {
        stub.u32()?;
    }
    let sids = (0..count).map(|_| stub.sid()).collect::<Option<Vec<_>>>()?;
    let all = principals(machine);
    let found: Vec<Option<&Principal>> =
        sids.iter().map(|sid| all.iter().find(|principal| principal.sid == *sid)).collect();
    let mut reply = Reply::default();
    put_domains(&mut reply, &found);
    reply.out.len32(found.len());
    reply.pointer();
    reply.out.len32(found.len());
    // An unknown SID is named by its own text.
    let name = |index: usize| {
        found[index].map_or_else(|| sids[index].to_string(), |principal| principal.name.clone())
    };
    for (index, principal) in found.iter().enumerate() {
        reply.out.u16(principal.map_or(UNKNOWN, |principal| principal.kind)).u16(0);
        reply.counted(&name(index));
        match principal {
            Some(_) => reply.out.len32(index),
            None => reply.out.u32(u32::MAX),
        };
    }
    for index in 0..found.len() {
        reply.characters(&name(index));
    }
    put_count(&mut reply, &found);
    Some(reply.finish())
}

/// One domain for each thing that was asked for, so that its index is its position.
fn put_domains(reply: &mut Reply, found: &[Option<&Principal>]) {
    let domains: Vec<(&str, Sid)> = found
        .iter()
        .map(|principal| match principal {
            Some(principal) => {
                let sid = principal.sid.domain().unwrap_or_else(|| principal.sid.clone());
                (principal.domain.as_str(), sid)
            }
            None => ("", Sid::everyone()),
        })
        .collect();
    reply.pointer();
    reply.out.len32(domains.len());
    reply.pointer();
    reply.out.len32(domains.len()).len32(domains.len());
    for (name, _) in &domains {
        reply.counted(name);
        reply.pointer();
    }
    for (name, sid) in &domains {
        reply.characters(name);
        reply.sid(sid);
    }
}

fn put_count(reply: &mut Reply, found: &[Option<&Principal>]) {
    let mapped = found.iter().flatten().count();
    let status = match mapped {
        0 => NONE_MAPPED,
        _ if mapped < found.len() => SOME_NOT_MAPPED,
        _ => 0,
    };
    reply.out.len32(mapped).u32(status);
}
