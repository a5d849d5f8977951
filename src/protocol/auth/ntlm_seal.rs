//! Signing and sealing on the server side of an NTLM session with extended session security
//! ([MS-NLMP] 3.4).

use std::fmt;

use hmac::KeyInit;
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};
use thiserror::Error;

use super::ntlm_acceptor::hmac_md5;
use super::ntlm_message::flag;
use crate::secret::Secret;

/// A message of the peer failed its check. Both sides have lost step: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("could not verify the signature of a message")]
pub struct BadSignature;

/// Keys and counters for one direction.
struct Direction {
    signing_key: Secret<[u8; 16]>,
    sealing_key: Secret<Vec<u8>>,
    handle: Rc4,
    sequence: u32,
    encrypts_checksum: bool,
}

impl Direction {
    fn new(session_key: &[u8; 16], flags: u32, signs: &[u8], seals: &[u8]) -> Self {
        let derive = |key: &[u8], magic: &[u8]| -> [u8; 16] {
            Md5::new().chain_update(key).chain_update(magic).finalize().into()
        };
        let strength = if flags & flag::KEY_128 != 0 {
            16
        } else if flags & flag::KEY_56 != 0 {
            7
        } else {
            5
        };
        let sealing_key = Secret::new(derive(&session_key[..strength], seals).to_vec());
        Self {
            signing_key: Secret::new(derive(session_key, signs)),
            handle: rc4(&sealing_key),
            sealing_key,
            sequence: 0,
            encrypts_checksum: flags & flag::KEY_EXCH != 0,
        }
    }

    /// The signature of the next message in this direction. Call it after the payload went
    /// through the handle: that order is the protocol's.
    fn next_signature(&mut self, plaintext: &[u8]) -> [u8; 16] {
        let sequence = self.sequence.to_le_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        let mac = hmac_md5(self.signing_key.expose(), &[&sequence, plaintext]);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&mac[..8]);
        if self.encrypts_checksum {
            self.handle.apply_keystream(&mut checksum);
        }
        let mut signature = [0; 16];
        signature[..4].copy_from_slice(&1_u32.to_le_bytes());
        signature[4..12].copy_from_slice(&checksum);
        signature[12..].copy_from_slice(&sequence);
        signature
    }

    fn check(&mut self, plaintext: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let expected = self.next_signature(plaintext);
        // The comparison looks at every byte whatever differs, so its time tells nothing.
        let equal = signature.len() == 16
            && expected.iter().zip(signature).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0;
        if equal { Ok(()) } else { Err(BadSignature) }
    }

    fn restart_handle(&mut self) {
        self.handle = rc4(&self.sealing_key);
    }
}

fn rc4(key: &Secret<Vec<u8>>) -> Rc4 {
    Rc4::new_from_slice(key.expose()).expect("RC4 takes 16 bytes")
}

/// An authenticated NTLM session, seen from the server.
pub struct NtlmSession {
    user: String,
    domain: String,
    session_key: Secret<[u8; 16]>,
    outgoing: Box<Direction>,
    incoming: Box<Direction>,
}

impl fmt::Debug for NtlmSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NtlmSession")
            .field("user", &self.user)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

impl NtlmSession {
    pub(super) fn new(
        user: String,
        domain: String,
        session_key: Secret<[u8; 16]>,
        flags: u32,
    ) -> Self {
        const TO_CLIENT_SIGN: &[u8] =
            b"session key to server-to-client signing key magic constant\0";
        const TO_CLIENT_SEAL: &[u8] =
            b"session key to server-to-client sealing key magic constant\0";
        const TO_SERVER_SIGN: &[u8] =
            b"session key to client-to-server signing key magic constant\0";
        const TO_SERVER_SEAL: &[u8] =
            b"session key to client-to-server sealing key magic constant\0";
        let key = session_key.expose();
        let outgoing = Box::new(Direction::new(key, flags, TO_CLIENT_SIGN, TO_CLIENT_SEAL));
        let incoming = Box::new(Direction::new(key, flags, TO_SERVER_SIGN, TO_SERVER_SEAL));
        Self { user, domain, session_key, outgoing, incoming }
    }

    /// The user as the client wrote it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The domain as the client wrote it; may be empty.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The exported session key, from which SMB derives its own.
    pub fn session_key(&self) -> &Secret<[u8; 16]> {
        &self.session_key
    }

    /// Encrypts and signs the next message to the client: its signature and the ciphertext.
    pub fn seal(&mut self, plaintext: &[u8]) -> ([u8; 16], Vec<u8>) {
        let mut ciphertext = plaintext.to_vec();
        self.outgoing.handle.apply_keystream(&mut ciphertext);
        (self.outgoing.next_signature(plaintext), ciphertext)
    }

    /// Decrypts and checks the next message of the client. Messages must come in order.
    pub fn unseal(&mut self, signature: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, BadSignature> {
        let mut plaintext = ciphertext.to_vec();
        self.incoming.handle.apply_keystream(&mut plaintext);
        self.incoming.check(&plaintext, signature)?;
        Ok(plaintext)
    }

    /// Signs the next message to the client without encrypting it.
    pub fn sign(&mut self, message: &[u8]) -> [u8; 16] {
        self.outgoing.next_signature(message)
    }

    /// Checks the next message of the client, which is signed but not encrypted.
    pub fn verify(&mut self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.incoming.check(message, signature)
    }

    /// Signs the SPNEGO mechanism list, then starts the RC4 handle of that direction afresh, as
    /// [MS-SPNG] 3.3.5.1 asks. Sequence numbers go on.
    pub(super) fn sign_mech_list(&mut self, mech_types: &[u8]) -> [u8; 16] {
        let mic = self.sign(mech_types);
        self.outgoing.restart_handle();
        mic
    }

    /// Checks the client's MIC over the mechanism list; the counterpart of `sign_mech_list`.
    pub(super) fn verify_mech_list(
        &mut self,
        mech_types: &[u8],
        mic: &[u8],
    ) -> Result<(), BadSignature> {
        self.verify(mech_types, mic)?;
        self.incoming.restart_handle();
        Ok(())
    }
}
