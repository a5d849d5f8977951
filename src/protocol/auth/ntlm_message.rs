//! The three NTLM messages as bytes ([MS-NLMP] 2.2.1), read with bounds checks.

use super::accept_error::AcceptError;

/// The eight bytes every NTLM message starts with.
pub(super) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Negotiate flags ([MS-NLMP] 2.2.2.5) that the acceptor reads or sets.
pub(super) mod flag {
    pub(crate) const UNICODE: u32 = 0x0000_0001;
    pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(crate) const SIGN: u32 = 0x0000_0010;
    pub(crate) const SEAL: u32 = 0x0000_0020;
    pub(crate) const NTLM: u32 = 0x0000_0200;
    pub(crate) const ANONYMOUS: u32 = 0x0000_0800;
    pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(crate) const TARGET_TYPE_SERVER: u32 = 0x0002_0000;
    pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
    pub(crate) const VERSION: u32 = 0x0200_0000;
    pub(crate) const KEY_128: u32 = 0x2000_0000;
    pub(crate) const KEY_EXCH: u32 = 0x4000_0000;
    pub(crate) const KEY_56: u32 = 0x8000_0000;
}

/// AvId values ([MS-NLMP] 2.2.2.1).
pub(super) mod av {
    pub(crate) const EOL: u16 = 0;
    pub(crate) const NB_COMPUTER: u16 = 1;
    pub(crate) const NB_DOMAIN: u16 = 2;
    pub(crate) const DNS_COMPUTER: u16 = 3;
    pub(crate) const DNS_DOMAIN: u16 = 4;
    pub(crate) const FLAGS: u16 = 6;
    pub(crate) const TIMESTAMP: u16 = 7;
    /// The bit of `MsvAvFlags` that says the AUTHENTICATE message carries a MIC.
    pub(crate) const FLAG_MIC: u32 = 2;
}

/// Text as NTLM puts it on the wire.
pub(super) fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn text_of(bytes: &[u8]) -> Result<String, AcceptError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(AcceptError::Malformed("a name has an odd number of bytes"));
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(|_| AcceptError::Malformed("a name is not UTF-16"))
}

fn u32_at(message: &[u8], at: usize) -> Result<u32, AcceptError> {
    let end = at.checked_add(4).ok_or(AcceptError::Malformed("the message is cut off"))?;
    let bytes = message.get(at..end).ok_or(AcceptError::Malformed("the message is cut off"))?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn expect_type(message: &[u8], wanted: u32) -> Result<(), AcceptError> {
    if !message.starts_with(SIGNATURE) {
        return Err(AcceptError::Malformed("the message lacks the NTLMSSP signature"));
    }
    if u32_at(message, 8)? != wanted {
        return Err(AcceptError::Malformed("the message is not of the type that is due"));
    }
    Ok(())
}

/// A length, capacity and offset triple; returns where its payload starts and the payload.
fn field(message: &[u8], at: usize) -> Result<(usize, &[u8]), AcceptError> {
    let length = usize::try_from(u32_at(message, at)? & 0xFFFF).expect("16 bits fit");
    let start = usize::try_from(u32_at(message, at + 4)?)
        .map_err(|_| AcceptError::Malformed("a field points outside the message"))?;
    if length == 0 {
        return Ok((message.len(), &[]));
    }
    let end = start.checked_add(length);
    let payload = end
        .and_then(|end| message.get(start..end))
        .ok_or(AcceptError::Malformed("a field points outside the message"))?;
    Ok((start, payload))
}

/// Reads the flags of a NEGOTIATE message; the rest of it does not matter to a server.
pub(super) fn read_negotiate(message: &[u8]) -> Result<u32, AcceptError> {
    expect_type(message, 1)?;
    u32_at(message, 12)
}

/// Writes a CHALLENGE message.
pub(super) fn write_challenge(
    flags: u32,
    challenge: [u8; 8],
    target: &[u8],
    info: &[u8],
) -> Vec<u8> {
    const HEADER: usize = 56;
    let mut out = Vec::with_capacity(HEADER + target.len() + info.len());
    let triple = |out: &mut Vec<u8>, length: usize, offset: usize| {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
    };
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&2_u32.to_le_bytes());
    triple(&mut out, target.len(), HEADER);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&challenge);
    out.extend_from_slice(&[0; 8]);
    triple(&mut out, info.len(), HEADER + target.len());
    // Version 10.0, build 17763, NTLM revision 15: what a Server 2019 says.
    out.extend_from_slice(&[10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    out.extend_from_slice(target);
    out.extend_from_slice(info);
    out
}

/// Appends one AV pair.
pub(super) fn push_av(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(value);
}

/// An AUTHENTICATE message, its fields checked to lie inside it.
#[derive(Debug)]
pub(super) struct Authenticate<'a> {
    pub(super) flags: u32,
    pub(super) domain: String,
    pub(super) user: String,
    pub(super) nt_response: &'a [u8],
    pub(super) encrypted_key: &'a [u8],
    /// Where a MIC lies if there is one.
    pub(super) mic_at: Option<usize>,
}

/// Bytes before the payload in an AUTHENTICATE message without version and MIC.
const AUTHENTICATE_HEADER: usize = 64;

impl<'a> Authenticate<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, AcceptError> {
        expect_type(message, 3)?;
        let (lm_at, _) = field(message, 12)?;
        let (nt_at, nt_response) = field(message, 20)?;
        let (domain_at, domain) = field(message, 28)?;
        let (user_at, user) = field(message, 36)?;
        let (workstation_at, _) = field(message, 44)?;
        let (key_at, encrypted_key) = field(message, 52)?;
        let flags = u32_at(message, 60)?;
        if flags & flag::UNICODE == 0 {
            return Err(AcceptError::Unsupported("names in an OEM code page"));
        }
        let payload_at =
            lm_at.min(nt_at).min(domain_at).min(user_at).min(workstation_at).min(key_at);
        if payload_at < AUTHENTICATE_HEADER {
            return Err(AcceptError::Malformed("a field overlaps the header"));
        }
        // Clients differ: with the VERSION flag there are eight bytes of version before the MIC,
        // and some leave those bytes there without the flag. The payload shows which it is.
        let mic_at = match payload_at - AUTHENTICATE_HEADER {
            0..16 => None,
            16..24 => Some(AUTHENTICATE_HEADER),
            _ => Some(AUTHENTICATE_HEADER + 8),
        };
        let (domain, user) = (text_of(domain)?, text_of(user)?);
        Ok(Self { flags, domain, user, nt_response, encrypted_key, mic_at })
    }
}

/// Bytes of an NTLMv2 response before the AV pairs: NTProofStr (16) and the fixed head (28).
const V2_HEAD: usize = 44;

/// Whether the AV pairs in an NTLMv2 response promise a MIC.
///
/// `response` starts with NTProofStr. A list of pairs that does not end is an error.
pub(super) fn promises_mic(response: &[u8]) -> Result<bool, AcceptError> {
    let mut pairs = response.get(V2_HEAD..).ok_or(AcceptError::Malformed("no NTLMv2 response"))?;
    let mut promised = false;
    loop {
        let [id_low, id_high, length_low, length_high, rest @ ..] = pairs else {
            return Err(AcceptError::Malformed("the target information does not end"));
        };
        let id = u16::from_le_bytes([*id_low, *id_high]);
        let length = usize::from(u16::from_le_bytes([*length_low, *length_high]));
        if id == av::EOL {
            return Ok(promised);
        }
        if length > rest.len() {
            return Err(AcceptError::Malformed("the target information is cut off"));
        }
        let (value, after) = rest.split_at(length);
        if id == av::FLAGS {
            promised |= u32_at(value, 0)? & av::FLAG_MIC != 0;
        }
        pairs = after;
    }
}
