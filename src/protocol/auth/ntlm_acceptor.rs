//! The server side of the NTLMv2 handshake ([MS-NLMP] 3.2.5), which verifies what it accepts.
//!
//! It refuses NTLMv1, LM and anonymous logons, and names in an OEM code page.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use rc4::{Rc4, StreamCipher};

use super::accept_error::AcceptError;
use super::ntlm_message::{
    Authenticate, av, flag, promises_mic, push_av, read_negotiate, utf16le, write_challenge,
};
use super::ntlm_seal::NtlmSession;
use crate::secret::Secret;

/// The names a server tells its clients in the challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// NetBIOS name of the computer.
    pub computer: String,
    /// NetBIOS name of its domain; the computer's own name when it has none.
    pub domain: String,
    /// DNS name of the computer.
    pub dns_computer: String,
    /// DNS name of its domain.
    pub dns_domain: String,
}

/// MD4 of a password, which is all that NTLM needs of it ([MS-NLMP] 3.3.1, NTOWFv1).
#[derive(Clone)]
pub struct NtHash(Secret<[u8; 16]>);

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Returns the NT hash of a password.
pub fn nt_hash(password: &str) -> NtHash {
    NtHash(Secret::new(Md4::digest(utf16le(password)).into()))
}

/// HMAC-MD5 over the parts in order.
pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    mac_over(key, parts).finalize().into_bytes().into()
}

fn mac_over(key: &[u8], parts: &[&[u8]]) -> Hmac<Md5> {
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(key).expect("HMAC takes any key length");
    for part in parts {
        mac.update(part);
    }
    mac
}

enum State {
    Start,
    Challenged { negotiate: Vec<u8>, challenge: Vec<u8>, offered: u32 },
    Spent,
}

/// One NTLM handshake on the server: [`challenge`](Self::challenge), then
/// [`authenticate`](Self::authenticate).
pub struct NtlmAcceptor {
    names: Names,
    server_challenge: [u8; 8],
    now_filetime: u64,
    state: State,
}

/// What the acceptor can do; it offers those of these that the client asked for.
const CAN: u32 = flag::SIGN
    | flag::SEAL
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SESSION_SECURITY
    | flag::KEY_128
    | flag::KEY_56
    | flag::KEY_EXCH;

impl NtlmAcceptor {
    /// Makes an acceptor for one handshake.
    ///
    /// `server_challenge` must be random and fresh. `now_filetime` is in units of 100 ns since
    /// 1601-01-01 UTC; it goes into the challenge, and makes Windows clients send a MIC.
    pub fn new(names: Names, server_challenge: [u8; 8], now_filetime: u64) -> Self {
        Self { names, server_challenge, now_filetime, state: State::Start }
    }

    /// Whether the NEGOTIATE message has not come yet.
    pub(super) fn expects_negotiate(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Answers the NEGOTIATE message with a CHALLENGE message.
    pub fn challenge(&mut self, negotiate: &[u8]) -> Result<Vec<u8>, AcceptError> {
        if !self.expects_negotiate() {
            return Err(AcceptError::OutOfOrder("a NEGOTIATE message came twice"));
        }
        let asked = read_negotiate(negotiate)?;
        if asked & flag::EXTENDED_SESSION_SECURITY == 0 {
            return Err(AcceptError::Unsupported("NTLM without extended session security"));
        }
        let offered = asked & CAN
            | flag::UNICODE
            | flag::NTLM
            | flag::REQUEST_TARGET
            | flag::TARGET_TYPE_SERVER
            | flag::TARGET_INFO
            | flag::VERSION;

        let mut info = Vec::new();
        push_av(&mut info, av::NB_DOMAIN, &utf16le(&self.names.domain));
        push_av(&mut info, av::NB_COMPUTER, &utf16le(&self.names.computer));
        push_av(&mut info, av::DNS_DOMAIN, &utf16le(&self.names.dns_domain));
        push_av(&mut info, av::DNS_COMPUTER, &utf16le(&self.names.dns_computer));
        push_av(&mut info, av::TIMESTAMP, &self.now_filetime.to_le_bytes());
        push_av(&mut info, av::EOL, &[]);

        let target = utf16le(&self.names.computer);
        let challenge = write_challenge(offered, self.server_challenge, &target, &info);
        self.state = State::Challenged {
            negotiate: negotiate.to_vec(),
            challenge: challenge.clone(),
            offered,
        };
        Ok(challenge)
    }

    /// Verifies the AUTHENTICATE message and returns the session.
    ///
    /// `lookup` gets the domain and the user as the client wrote them (both may differ in case
    /// from the account) and returns the hash of that account's password, `None` if there is no
    /// such account. The response (NTProofStr) is always compared, and the MIC where the
    /// client's own target information promises one.
    pub fn authenticate(
        &mut self,
        message: &[u8],
        lookup: impl FnOnce(&str, &str) -> Option<NtHash>,
    ) -> Result<NtlmSession, AcceptError> {
        let state = std::mem::replace(&mut self.state, State::Spent);
        let State::Challenged { negotiate, challenge, offered } = state else {
            return Err(AcceptError::OutOfOrder("no challenge was sent"));
        };
        let parsed = Authenticate::parse(message)?;
        if parsed.flags & flag::ANONYMOUS != 0 || parsed.user.is_empty() {
            return Err(AcceptError::LogonDenied { domain: parsed.domain, user: parsed.user });
        }
        if parsed.nt_response.len() <= 24 {
            return Err(AcceptError::Unsupported("NTLMv1"));
        }
        let has_mic = promises_mic(parsed.nt_response)?;
        // Flags that were not offered are not agreed, whatever the client claims.
        let agreed = parsed.flags & (offered | flag::UNICODE);

        let denied = || AcceptError::LogonDenied {
            domain: parsed.domain.clone(),
            user: parsed.user.clone(),
        };
        let hash = lookup(&parsed.domain, &parsed.user).ok_or_else(denied)?;
        let identity = utf16le(&format!("{}{}", parsed.user.to_uppercase(), parsed.domain));
        let response_key = hmac_md5(hash.0.expose(), &[&identity]);
        let (proof, blob) = parsed.nt_response.split_at(16);
        mac_over(&response_key, &[&self.server_challenge, blob])
            .verify_slice(proof)
            .map_err(|_| denied())?;

        let mut session_key = hmac_md5(&response_key, &[proof]);
        if agreed & flag::KEY_EXCH != 0 {
            let encrypted: [u8; 16] = parsed
                .encrypted_key
                .try_into()
                .map_err(|_| AcceptError::Malformed("the session key is not 16 bytes long"))?;
            let mut cipher = Rc4::new_from_slice(&session_key).expect("RC4 takes 16 bytes");
            session_key = encrypted;
            cipher.apply_keystream(&mut session_key);
        }
        if has_mic {
            let at = parsed.mic_at.ok_or(AcceptError::Malformed("a promised MIC is missing"))?;
            let (head, mic, tail) = (&message[..at], &message[at..at + 16], &message[at + 16..]);
            mac_over(&session_key, &[&negotiate, &challenge, head, &[0; 16], tail])
                .verify_slice(mic)
                .map_err(|_| AcceptError::Altered("MIC of the AUTHENTICATE message"))?;
        }
        Ok(NtlmSession::new(parsed.user, parsed.domain, Secret::new(session_key), agreed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [MS-NLMP] 4.2.2.1.2 and 4.2.4.1.1: password "Password", user "User", domain "Domain".
    #[test]
    fn the_hashes_of_the_specifications_example_come_out() {
        let hash = nt_hash("Password");
        let response_key = hmac_md5(hash.0.expose(), &[&utf16le("USERDomain")]);

        assert_eq!(
            u128::from_be_bytes(*hash.0.expose()),
            0xa4f4_9c40_6510_bdca_b682_4ee7_c30f_d852
        );
        assert_eq!(u128::from_be_bytes(response_key), 0x0c86_8a40_3bfd_7a93_a300_1ef2_2ef0_2e3f);
    }
}
