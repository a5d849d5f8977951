//! The client side of NTLM and SPNEGO, on sspi.
//!
//! Negotiate is restricted to NTLM, so that no name of a KDC is ever resolved. sspi writes
//! plaintext to its tracing target at debug level; whoever installs a subscriber caps the target
//! `sspi` at `warn`.

use sspi::{
    AuthIdentity, ClientRequestFlags, CredentialUse, Credentials, CredentialsBuffers,
    DataRepresentation, EncryptionFlags, Negotiate, NegotiateConfig, Ntlm, SecurityBuffer,
    SecurityBufferRef, SecurityStatus, Sspi, SspiImpl, Username, ntlm::NtlmConfig,
};
use thiserror::Error;

use super::ntlm_message::SIGNATURE;
use super::spnego::NegTokenResp;
use crate::secret::Secret;

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// NTLM messages as they are.
    Ntlm,
    /// NTLM inside SPNEGO, with the mechanism list protected by a MIC.
    Negotiate,
}

/// Why a client could not go on.
#[derive(Debug, Error)]
pub enum InitiateError {
    /// The user name cannot be used, such as one with two domains.
    #[error("could not use the user name {0:?}")]
    UserName(String),
    /// The server's token is not one that is due.
    #[error("could not read the security token of the server")]
    BadToken,
    /// A token came, or data was to be sealed, at the wrong time.
    #[error("could not go on with the authentication: it is already over or has not ended")]
    OutOfOrder,
    /// The mechanism itself failed.
    #[error("could not {doing}")]
    Mechanism {
        /// What was attempted.
        doing: &'static str,
        /// What sspi said.
        #[source]
        source: Box<sspi::Error>,
    },
}

enum Context {
    Ntlm(Box<Ntlm>, Option<sspi::AuthIdentityBuffers>),
    Negotiate(Box<Negotiate>, Option<CredentialsBuffers>),
}

/// One authentication on the client side, and the sealing that follows it.
pub struct Initiator {
    context: Context,
    target: String,
    done: bool,
}

fn failed(doing: &'static str) -> impl FnOnce(sspi::Error) -> InitiateError {
    move |source| InitiateError::Mechanism { doing, source: Box::new(source) }
}

impl Initiator {
    /// Prepares a client for one connection; nothing is sent yet.
    ///
    /// `domain` may be empty: then `user` may be a local name or `user@domain`.
    /// `target_spn` names the service, such as `HTTP/ps-lon-01.corp.example`.
    pub fn new(
        mechanism: Mechanism,
        user: &str,
        domain: &str,
        password: &Secret<String>,
        target_spn: &str,
    ) -> Result<Self, InitiateError> {
        let domain = Some(domain).filter(|domain| !domain.is_empty());
        let username =
            Username::new(user, domain).map_err(|_| InitiateError::UserName(user.to_owned()))?;
        let identity = AuthIdentity { username, password: password.expose().clone().into() };
        let doing = "prepare the credentials";
        let context = match mechanism {
            Mechanism::Ntlm => {
                let mut ntlm = Box::new(Ntlm::new());
                let acquired = ntlm
                    .acquire_credentials_handle()
                    .with_credential_use(CredentialUse::Outbound)
                    .with_auth_data(&identity)
                    .execute(&mut *ntlm)
                    .map_err(failed(doing))?;
                Context::Ntlm(ntlm, acquired.credentials_handle)
            }
            Mechanism::Negotiate => {
                let config = NegotiateConfig::new(
                    Box::new(NtlmConfig::default()),
                    Some("ntlm,!kerberos,!pku2u".to_owned()),
                    String::new(),
                );
                let mut negotiate = Box::new(Negotiate::new_client(config).map_err(failed(doing))?);
                let credentials = Credentials::AuthIdentity(identity);
                let acquired = negotiate
                    .acquire_credentials_handle()
                    .with_credential_use(CredentialUse::Outbound)
                    .with_auth_data(&credentials)
                    .execute(&mut *negotiate)
                    .map_err(failed(doing))?;
                Context::Negotiate(negotiate, acquired.credentials_handle)
            }
        };
        Ok(Self { context, target: target_spn.to_owned(), done: false })
    }

    /// Takes the server's token (`None` to begin) and returns the next one to send, if any.
    pub fn step(&mut self, challenge: Option<&[u8]>) -> Result<Option<Vec<u8>>, InitiateError> {
        if self.done {
            return Err(InitiateError::OutOfOrder);
        }
        let token = match (&self.context, challenge) {
            (_, None) => Vec::new(),
            (Context::Ntlm(..), Some(token)) if token.starts_with(SIGNATURE) => token.to_vec(),
            (Context::Ntlm(..), Some(_)) => return Err(InitiateError::BadToken),
            // Only what our own reader understood reaches sspi's, which has panicked on bad DER.
            (Context::Negotiate(..), Some(token)) => {
                NegTokenResp::parse(token).map_err(|_| InitiateError::BadToken)?.encode()
            }
        };
        let mut input = [SecurityBuffer::new(token, sspi::BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), sspi::BufferType::Token)];
        let wanted = ClientRequestFlags::CONFIDENTIALITY
            | ClientRequestFlags::INTEGRITY
            | ClientRequestFlags::MUTUAL_AUTH
            | ClientRequestFlags::ALLOCATE_MEMORY;
        let doing = "answer the security token of the server";
        let result = match &mut self.context {
            Context::Ntlm(ntlm, handle) => {
                let mut builder = ntlm
                    .initialize_security_context()
                    .with_credentials_handle(handle)
                    .with_context_requirements(wanted)
                    .with_target_data_representation(DataRepresentation::Native)
                    .with_target_name(&self.target)
                    .with_input(&mut input)
                    .with_output(&mut output);
                ntlm.initialize_security_context_impl(&mut builder)
                    .and_then(|mut generator| generator.resolve_to_result())
                    .map_err(failed(doing))?
            }
            Context::Negotiate(negotiate, handle) => {
                let mut builder = negotiate
                    .initialize_security_context()
                    .with_credentials_handle(handle)
                    .with_context_requirements(wanted)
                    .with_target_data_representation(DataRepresentation::Native)
                    .with_target_name(&self.target)
                    .with_input(&mut input)
                    .with_output(&mut output);
                negotiate
                    .initialize_security_context_impl(&mut builder)
                    .and_then(|mut generator| generator.resolve_to_result())
                    .map_err(failed(doing))?
            }
        };
        self.done = matches!(result.status, SecurityStatus::Ok | SecurityStatus::CompleteNeeded);
        let [SecurityBuffer { buffer: token, .. }] = output;
        Ok(Some(token).filter(|token| !token.is_empty()))
    }

    /// Whether the client has all it needs. With SPNEGO that includes the server's MIC over the
    /// mechanism list; a server may still refuse the last token of raw NTLM.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Encrypts and signs the next message: the signature (16 bytes) and the ciphertext.
    pub fn wrap(&mut self, plaintext: &[u8]) -> Result<(Vec<u8>, Vec<u8>), InitiateError> {
        if !self.done {
            return Err(InitiateError::OutOfOrder);
        }
        let (mut token, mut data) = (vec![0; 16], plaintext.to_vec());
        let mut buffers =
            [SecurityBufferRef::token_buf(&mut token), SecurityBufferRef::data_buf(&mut data)];
        match &mut self.context {
            Context::Ntlm(ntlm, _) => ntlm.encrypt_message(EncryptionFlags::empty(), &mut buffers),
            Context::Negotiate(negotiate, _) => {
                negotiate.encrypt_message(EncryptionFlags::empty(), &mut buffers)
            }
        }
        .map_err(failed("seal a message"))?;
        Ok((token, data))
    }

    /// Checks and decrypts the next message of the server. Messages must come in order.
    pub fn unwrap(&mut self, token: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, InitiateError> {
        if !self.done {
            return Err(InitiateError::OutOfOrder);
        }
        if token.len() != 16 {
            return Err(InitiateError::BadToken);
        }
        let (mut token, mut data) = (token.to_vec(), ciphertext.to_vec());
        let mut buffers =
            [SecurityBufferRef::token_buf(&mut token), SecurityBufferRef::data_buf(&mut data)];
        match &mut self.context {
            Context::Ntlm(ntlm, _) => ntlm.decrypt_message(&mut buffers),
            Context::Negotiate(negotiate, _) => negotiate.decrypt_message(&mut buffers),
        }
        .map_err(failed("unseal a message"))?;
        Ok(data)
    }
}
