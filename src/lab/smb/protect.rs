//! Signing and encryption of one session, from the server's side.

use smb2::crypto::encryption::{Cipher, NonceGenerator, decrypt_message, encrypt_message};
use smb2::crypto::kdf::{PreauthHasher, derive_session_keys};
use smb2::crypto::signing::{
    SigningAlgorithm, algorithm_for_dialect, sign_message, verify_signature,
};
use smb2::types::Dialect;

/// The length of a transform header, [MS-SMB2] 2.2.41.
pub(super) const TRANSFORM: usize = 52;

/// The keys of a session.
pub(super) struct Protection {
    algorithm: SigningAlgorithm,
    signing_key: Vec<u8>,
    cipher: Option<(Cipher, Vec<u8>, Vec<u8>)>,
    nonces: NonceGenerator,
}

impl Protection {
    /// Derives the keys from the session key that both sides got by authenticating.
    pub(super) fn new(
        session_key: &[u8],
        dialect: Dialect,
        cipher: Option<Cipher>,
        preauth: &PreauthHasher,
    ) -> Self {
        // AES-GMAC is never negotiated: its nonce depends on the role, and the codec's signing
        // knows the client's only. AES-CMAC and HMAC are the same from both sides.
        let algorithm = algorithm_for_dialect(dialect, false);
        let nonces = NonceGenerator::new();
        if dialect < Dialect::Smb3_0 {
            let signing_key = session_key.to_vec();
            return Self { algorithm, signing_key, cipher: None, nonces };
        }
        let keys = derive_session_keys(session_key, dialect, Some(preauth.value()), 128);
        // The names are the client's: what it encrypts with, the server decrypts with.
        let cipher = cipher.map(|cipher| (cipher, keys.decryption_key, keys.encryption_key));
        Self { algorithm, signing_key: keys.signing_key, cipher, nonces }
    }

    pub(super) fn can_encrypt(&self) -> bool {
        self.cipher.is_some()
    }

    /// Signs an answer in place; its flags must already say that it is signed.
    pub(super) fn sign(&self, message: &mut [u8], message_id: u64) {
        sign_message(message, &self.signing_key, self.algorithm, message_id, false)
            .expect("answers have a header, and the key the length of its algorithm");
    }

    /// Says whether a request carries the right signature.
    pub(super) fn verifies(&self, message: &[u8], message_id: u64) -> bool {
        verify_signature(message, &self.signing_key, self.algorithm, message_id, false).is_ok()
    }

    /// Encrypts a frame, if the session can.
    pub(super) fn encrypt(&mut self, frame: &[u8], session: u64) -> Option<Vec<u8>> {
        let (cipher, key, _) = self.cipher.as_ref()?;
        let nonce = self.nonces.next(*cipher);
        let (mut header, body) = encrypt_message(frame, key, *cipher, &nonce, session).ok()?;
        header.extend(body);
        Some(header)
    }

    /// Decrypts a frame that starts with a transform header; `None` if it was tampered with.
    pub(super) fn decrypt(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (cipher, _, key) = self.cipher.as_ref()?;
        let (header, body) = frame.split_at_checked(TRANSFORM)?;
        decrypt_message(header, body, key, *cipher).ok()
    }
}
