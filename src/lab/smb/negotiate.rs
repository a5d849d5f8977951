//! NEGOTIATE, [MS-SMB2] 3.3.5.4: dialect, cipher, limits.

use smb2::crypto::encryption::Cipher;
use smb2::types::Dialect;

use super::machine::SmbMachine;
use super::status::Status;
use super::wire::{HEADER, Message, Writer};
use crate::protocol::auth::server_hint;

/// `SMB2_NEGOTIATE_SIGNING_ENABLED | SMB2_NEGOTIATE_SIGNING_REQUIRED`.
const SIGNING_REQUIRED: u16 = 3;
const CAP_LARGE_MTU: u32 = 0x04;
const CAP_ENCRYPTION: u32 = 0x40;

const CONTEXT_PREAUTH: u16 = 1;
const CONTEXT_ENCRYPTION: u16 = 2;
const CONTEXT_SIGNING: u16 = 8;
const SHA_512: u16 = 1;
const AES_CMAC: u16 = 1;

/// The wildcard revision of [MS-SMB2] 2.2.4: "negotiate again, in SMB2".
pub(super) const ANY_SMB2: u16 = 0x02FF;

/// What a client and this server agreed on.
#[derive(Debug, Clone)]
pub(super) struct Agreement {
    pub(super) dialect: Dialect,
    pub(super) cipher: Option<Cipher>,
    /// What the client asked for, to be validated later.
    asked: Asked,
    capabilities: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    security_mode: u16,
    capabilities: u32,
    guid: [u8; 16],
    dialects: Vec<u16>,
}

impl Agreement {
    /// The most bytes one request may read, write or return.
    pub(super) fn max_transfer(&self) -> u32 {
        if self.dialect == Dialect::Smb2_0_2 { 64 << 10 } else { 1 << 20 }
    }
}

/// The type and data of a negotiate context of the answer.
pub(super) type Context = (u16, Vec<u8>);

/// Agrees with a client, or says why not.
pub(super) fn agree(message: Message<'_>) -> Result<(Agreement, Vec<Context>), Status> {
    let count = usize::from(message.u16(66)?);
    let dialects = (0..count)
        .map(|index| message.u16(HEADER + 36 + 2 * index))
        .collect::<Result<Vec<u16>, Status>>()?;
    let asked = Asked {
        security_mode: message.u16(68)?,
        capabilities: message.u32(72)?,
        guid: message.bytes16(76)?,
        dialects,
    };
    let dialect = highest(&asked.dialects).ok_or(Status::NOT_SUPPORTED)?;
    let mut capabilities = if dialect == Dialect::Smb2_0_2 { 0 } else { CAP_LARGE_MTU };
    let mut cipher = None;
    let mut contexts = Vec::new();
    match dialect {
        Dialect::Smb2_0_2 | Dialect::Smb2_1 => {}
        Dialect::Smb3_0 | Dialect::Smb3_0_2 => {
            if asked.capabilities & CAP_ENCRYPTION != 0 {
                capabilities |= CAP_ENCRYPTION;
                cipher = Some(Cipher::Aes128Ccm);
            }
        }
        Dialect::Smb3_1_1 => {
            let offered = read_contexts(message)?;
            let preauth = find(&offered, CONTEXT_PREAUTH).ok_or(Status::INVALID_PARAMETER)?;
            let hashes = usize::from(preauth.u16(0)?);
            let has_sha = (0..hashes).any(|index| preauth.u16(4 + 2 * index) == Ok(SHA_512));
            if !has_sha {
                return Err(Status(0xC05D_0000)); // SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP
            }
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
            let mut data = Writer::default();
            data.u16(1).u16(32).u16(SHA_512).bytes(&salt);
            contexts.push((CONTEXT_PREAUTH, data.take()));
            if let Some(offer) = find(&offered, CONTEXT_ENCRYPTION) {
                let count = usize::from(offer.u16(0)?);
                let has = |id: u16| (0..count).any(|index| offer.u16(2 + 2 * index) == Ok(id));
                let (id, chosen) = match (has(2), has(1)) {
                    (true, _) => (2, Some(Cipher::Aes128Gcm)),
                    (false, true) => (1, Some(Cipher::Aes128Ccm)),
                    (false, false) => (0, None),
                };
                cipher = chosen;
                contexts.push((CONTEXT_ENCRYPTION, Writer::default().u16(1).u16(id).take()));
            }
            if find(&offered, CONTEXT_SIGNING).is_some() {
                contexts.push((CONTEXT_SIGNING, Writer::default().u16(1).u16(AES_CMAC).take()));
            }
        }
    }
    Ok((Agreement { dialect, cipher, asked, capabilities }, contexts))
}

fn highest(dialects: &[u16]) -> Option<Dialect> {
    Dialect::ALL.iter().rev().copied().find(|known| dialects.contains(&u16::from(*known)))
}

fn read_contexts(message: Message<'_>) -> Result<Vec<(u16, Message<'_>)>, Status> {
    let mut at = message.u32(92)? as usize;
    let count = message.u16(96)?;
    let mut contexts = Vec::new();
    for _ in 0..count {
        let length = usize::from(message.u16(at.saturating_add(2))?);
        contexts.push((message.u16(at)?, Message(message.slice(at + 8, length)?)));
        at = (at + 8 + length).next_multiple_of(8);
    }
    Ok(contexts)
}

fn find<'a>(contexts: &[(u16, Message<'a>)], wanted: u16) -> Option<Message<'a>> {
    contexts.iter().find(|(kind, _)| *kind == wanted).map(|(_, data)| *data)
}

/// The body of the answer.
pub(super) fn answer(
    machine: &SmbMachine,
    agreement: Option<&Agreement>,
    contexts: &[Context],
) -> Vec<u8> {
    let hint = server_hint();
    let dialect = agreement.map_or(ANY_SMB2, |agreed| agreed.dialect.into());
    let limit = agreement.map_or(64 << 10, Agreement::max_transfer);
    let mut body = Writer::default();
    body.u16(65).u16(SIGNING_REQUIRED).u16(dialect).len16(contexts.len());
    body.bytes(&machine.guid()).u32(agreement.map_or(0, |agreed| agreed.capabilities));
    body.u32(limit).u32(limit).u32(limit);
    body.u64((machine.clock)()).u64(0);
    body.u16(128).len16(hint.len());
    let contexts_at = (HEADER + 64 + hint.len()).next_multiple_of(8);
    body.len32(if contexts.is_empty() { 0 } else { contexts_at });
    body.bytes(&hint);
    for (kind, data) in contexts {
        body.align(8);
        body.u16(*kind).len16(data.len()).u32(0).bytes(data);
    }
    body.take()
}

/// FSCTL_VALIDATE_NEGOTIATE_INFO, [MS-SMB2] 3.3.5.15.12. `None` means that somebody changed the
/// negotiation on its way, and the connection must end.
pub(super) fn validate(
    machine: &SmbMachine,
    agreement: &Agreement,
    input: &[u8],
) -> Option<Vec<u8>> {
    let input = Message(input);
    let count = usize::from(input.u16(22).ok()?);
    let dialects = (0..count).map(|index| input.u16(24 + 2 * index).ok()).collect::<Option<_>>()?;
    let asked = Asked {
        capabilities: input.u32(0).ok()?,
        guid: input.bytes16(4).ok()?,
        security_mode: input.u16(20).ok()?,
        dialects,
    };
    let same = asked.capabilities == agreement.asked.capabilities
        && asked.guid == agreement.asked.guid
        && asked.security_mode == agreement.asked.security_mode
        && highest(&asked.dialects) == Some(agreement.dialect);
    let mut output = Writer::default();
    output.u32(agreement.capabilities).bytes(&machine.guid());
    output.u16(SIGNING_REQUIRED).u16(agreement.dialect.into());
    same.then(|| output.take())
}

/// Says whether an SMB1 negotiation leads to SMB2, [MS-SMB2] 3.3.5.3.1. A client that knows
/// nothing but 2.0.2 asks in another way, which is not answered.
pub(super) fn is_smb1_offer(frame: &[u8]) -> bool {
    const WILDCARD: &[u8] = b"SMB 2.???\0";
    frame.windows(WILDCARD.len()).any(|window| window == WILDCARD)
}
