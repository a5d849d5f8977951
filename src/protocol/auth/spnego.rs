//! SPNEGO tokens ([RFC 4178], [MS-SPNG]) in DER, with bounds checks and without recursion.

use super::accept_error::AcceptError;

/// The largest token that is read. NTLM's tokens are below 1 KiB; Kerberos' can reach 48,000.
pub(super) const MAX_TOKEN: usize = 64 * 1024;

const OID_SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
/// 1.3.6.1.4.1.311.2.2.10, NTLM's object identifier.
pub(super) const OID_NTLM: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const GENERAL_STRING: u8 = 0x1b;
const INITIAL_TOKEN: u8 = 0x60;

/// The tag `[number]` of an explicitly tagged field.
const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Where the negotiation stands, as the server says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum NegState {
    AcceptCompleted = 0,
    AcceptIncomplete = 1,
    Reject = 2,
    RequestMic = 3,
}

/// The client's first token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NegTokenInit<'a> {
    /// The DER of the mechanism list exactly as received: the MIC is computed over it.
    pub(super) mech_types_der: &'a [u8],
    /// Object identifiers in the client's order of preference, without tag and length.
    pub(super) mech_types: Vec<&'a [u8]>,
    pub(super) mech_token: Option<&'a [u8]>,
}

/// Every later token, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NegTokenResp<'a> {
    pub(super) state: Option<u8>,
    pub(super) mech: Option<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
    pub(super) mic: Option<&'a [u8]>,
}

/// Takes one DER element off the front: tag, content, and the whole element.
fn take<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8], &'a [u8]), AcceptError> {
    const CUT: AcceptError = AcceptError::Malformed("the SPNEGO token is cut off");
    let all = *input;
    let [tag, first, ..] = *all else { return Err(CUT) };
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let bytes = all.get(2..2 + count).ok_or(CUT)?;
            let length = bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            (length, 2 + count)
        }
        _ => return Err(AcceptError::Malformed("a length in the SPNEGO token is not DER")),
    };
    let end = header.checked_add(length).ok_or(CUT)?;
    let element = all.get(..end).ok_or(CUT)?;
    *input = &all[end..];
    Ok((tag, &element[header..], element))
}

fn take_tagged<'a>(input: &mut &'a [u8], wanted: u8) -> Result<&'a [u8], AcceptError> {
    let (tag, content, _) = take(input)?;
    if tag == wanted {
        Ok(content)
    } else {
        Err(AcceptError::Malformed("the SPNEGO token has an unexpected element"))
    }
}

fn put(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(u8::try_from(length).expect("below 0x80"));
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | u8::try_from(bytes.len() - skip).expect("at most eight bytes"));
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
    out
}

/// Whether the token is an initial SPNEGO token.
pub(super) fn is_initial(token: &[u8]) -> bool {
    token.first() == Some(&INITIAL_TOKEN)
}

impl<'a> NegTokenInit<'a> {
    pub(super) fn parse(mut input: &'a [u8]) -> Result<Self, AcceptError> {
        if input.len() > MAX_TOKEN {
            return Err(AcceptError::Malformed("the SPNEGO token is too long"));
        }
        let mut outer = take_tagged(&mut input, INITIAL_TOKEN)?;
        if take_tagged(&mut outer, OBJECT_IDENTIFIER)? != OID_SPNEGO {
            return Err(AcceptError::Unsupported("a GSS mechanism other than SPNEGO"));
        }
        let mut choice = take_tagged(&mut outer, context(0))?;
        let mut fields = take_tagged(&mut choice, SEQUENCE)?;
        let (mut mech_types_der, mut mech_token) = (None, None);
        while !fields.is_empty() {
            let (tag, mut content, _) = take(&mut fields)?;
            if tag == context(0) {
                mech_types_der = Some(content);
            } else if tag == context(2) {
                mech_token = Some(take_tagged(&mut content, OCTET_STRING)?);
            }
        }
        let mech_types_der =
            mech_types_der.ok_or(AcceptError::Malformed("the SPNEGO token lists no mechanism"))?;
        let mut list = take_tagged(&mut { mech_types_der }, SEQUENCE)?;
        let mut mech_types = Vec::new();
        while !list.is_empty() {
            mech_types.push(take_tagged(&mut list, OBJECT_IDENTIFIER)?);
        }
        Ok(Self { mech_types_der, mech_types, mech_token })
    }
}

impl<'a> NegTokenResp<'a> {
    pub(super) fn parse(mut input: &'a [u8]) -> Result<Self, AcceptError> {
        if input.len() > MAX_TOKEN {
            return Err(AcceptError::Malformed("the SPNEGO token is too long"));
        }
        let mut choice = take_tagged(&mut input, context(1))?;
        let mut fields = take_tagged(&mut choice, SEQUENCE)?;
        let mut parsed = Self::default();
        while !fields.is_empty() {
            let (tag, mut content, _) = take(&mut fields)?;
            match tag {
                0xa0 => parsed.state = take_tagged(&mut content, ENUMERATED)?.first().copied(),
                0xa1 => parsed.mech = Some(take_tagged(&mut content, OBJECT_IDENTIFIER)?),
                0xa2 => parsed.token = Some(take_tagged(&mut content, OCTET_STRING)?),
                0xa3 => parsed.mic = Some(take_tagged(&mut content, OCTET_STRING)?),
                _ => return Err(AcceptError::Malformed("the SPNEGO token has an unknown field")),
            }
        }
        Ok(parsed)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        if let Some(state) = self.state {
            fields.extend(put(context(0), &put(ENUMERATED, &[state])));
        }
        if let Some(mech) = self.mech {
            fields.extend(put(context(1), &put(OBJECT_IDENTIFIER, mech)));
        }
        if let Some(token) = self.token {
            fields.extend(put(context(2), &put(OCTET_STRING, token)));
        }
        if let Some(mic) = self.mic {
            fields.extend(put(context(3), &put(OCTET_STRING, mic)));
        }
        put(context(1), &put(SEQUENCE, &fields))
    }
}

/// Returns the NegTokenInit2 ([MS-SPNG] 2.2.1) that a server sends before the client has spoken,
/// as in the NEGOTIATE response of SMB. It offers NTLM only.
pub fn server_hint() -> Vec<u8> {
    let mechs = put(context(0), &put(SEQUENCE, &put(OBJECT_IDENTIFIER, OID_NTLM)));
    // The fixed text stands where a principal name would; [MS-SPNG] asks clients to ignore it.
    let name = put(context(0), &put(GENERAL_STRING, b"not_defined_in_RFC4178@please_ignore"));
    let hints = put(context(3), &put(SEQUENCE, &name));
    let body = put(context(0), &put(SEQUENCE, &[mechs, hints].concat()));
    put(INITIAL_TOKEN, &[put(OBJECT_IDENTIFIER, OID_SPNEGO), body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_survives_encoding_also_when_long() {
        let token = vec![7; 70_000 / 2];
        let sent = NegTokenResp {
            state: Some(NegState::AcceptIncomplete as u8),
            mech: Some(OID_NTLM),
            token: Some(&token),
            mic: Some(&[1; 16]),
        };

        assert_eq!(NegTokenResp::parse(&sent.encode()), Ok(sent));
    }

    #[test]
    fn the_hint_of_a_server_offers_ntlm_alone() {
        let hint = server_hint();

        let parsed = NegTokenInit::parse(&hint).unwrap();

        assert_eq!((parsed.mech_types, parsed.mech_token), (vec![OID_NTLM], None));
    }

    #[test]
    fn a_length_beyond_the_token_is_refused() {
        for token in [&[0xa1, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0xa1, 0x80], &[0xa1], &[]] {
            assert!(matches!(NegTokenResp::parse(token), Err(AcceptError::Malformed(_))));
        }
    }
}
