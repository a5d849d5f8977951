//! The acceptor that servers use: NTLM, raw or inside SPNEGO, whichever the client speaks.

use super::accept_error::AcceptError;
use super::ntlm_acceptor::{Names, NtHash, NtlmAcceptor};
use super::ntlm_message::SIGNATURE;
use super::ntlm_seal::NtlmSession;
use super::spnego::{self, NegState, NegTokenInit, NegTokenResp, OID_NTLM};

/// What to do after a token was accepted.
#[derive(Debug)]
pub enum Step {
    /// Send this token and wait for the next one.
    Continue(Vec<u8>),
    /// The client is who it says.
    Done {
        /// The last token to send: SPNEGO has one, raw NTLM has none.
        reply: Option<Vec<u8>>,
        /// The session's keys and names.
        session: NtlmSession,
    },
}

enum Wrapping {
    /// No token has come yet.
    Unknown,
    Raw,
    /// `mic_required`: the client preferred another mechanism, so the list must be protected.
    Spnego {
        mech_types_der: Vec<u8>,
        mic_required: bool,
    },
}

/// One authentication on the server side. Tokens go in by [`step`](Self::step); a client that
/// speaks raw NTLM gets raw NTLM back, one that speaks SPNEGO gets SPNEGO.
pub struct Acceptor {
    ntlm: NtlmAcceptor,
    wrapping: Wrapping,
}

impl Acceptor {
    /// Makes an acceptor for one authentication; the arguments are those of
    /// [`NtlmAcceptor::new`].
    pub fn new(names: Names, server_challenge: [u8; 8], now_filetime: u64) -> Self {
        let ntlm = NtlmAcceptor::new(names, server_challenge, now_filetime);
        Self { ntlm, wrapping: Wrapping::Unknown }
    }

    /// Takes the client's next token. `lookup` is as in [`NtlmAcceptor::authenticate`].
    ///
    /// After an error or [`Step::Done`] the acceptor is spent.
    pub fn step(
        &mut self,
        token: &[u8],
        lookup: impl FnOnce(&str, &str) -> Option<NtHash>,
    ) -> Result<Step, AcceptError> {
        if token.len() > spnego::MAX_TOKEN {
            return Err(AcceptError::Malformed("the token is too long"));
        }
        match std::mem::replace(&mut self.wrapping, Wrapping::Unknown) {
            Wrapping::Unknown if token.starts_with(SIGNATURE) => {
                let challenge = self.ntlm.challenge(token)?;
                self.wrapping = Wrapping::Raw;
                Ok(Step::Continue(challenge))
            }
            Wrapping::Unknown if spnego::is_initial(token) => self.open_spnego(token),
            Wrapping::Unknown => Err(AcceptError::Malformed("it is neither NTLM nor SPNEGO")),
            Wrapping::Raw => {
                Ok(Step::Done { reply: None, session: self.ntlm.authenticate(token, lookup)? })
            }
            Wrapping::Spnego { mech_types_der, mic_required } => {
                self.go_on_in_spnego(token, mech_types_der, mic_required, lookup)
            }
        }
    }

    fn open_spnego(&mut self, token: &[u8]) -> Result<Step, AcceptError> {
        let init = NegTokenInit::parse(token)?;
        if !init.mech_types.contains(&OID_NTLM) {
            return Err(AcceptError::Unsupported("a client that does not offer NTLM"));
        }
        let ntlm_is_preferred = init.mech_types.first() == Some(&OID_NTLM);
        // A token that came along is for the preferred mechanism; for another one it is ignored.
        let challenge = match init.mech_token.filter(|_| ntlm_is_preferred) {
            Some(negotiate) => Some(self.ntlm.challenge(negotiate)?),
            None => None,
        };
        let state =
            if ntlm_is_preferred { NegState::AcceptIncomplete } else { NegState::RequestMic };
        let reply = NegTokenResp {
            state: Some(state as u8),
            mech: Some(OID_NTLM),
            token: challenge.as_deref(),
            mic: None,
        };
        self.wrapping = Wrapping::Spnego {
            mech_types_der: init.mech_types_der.to_vec(),
            mic_required: !ntlm_is_preferred,
        };
        Ok(Step::Continue(reply.encode()))
    }

    fn go_on_in_spnego(
        &mut self,
        token: &[u8],
        mech_types_der: Vec<u8>,
        mic_required: bool,
        lookup: impl FnOnce(&str, &str) -> Option<NtHash>,
    ) -> Result<Step, AcceptError> {
        let response = NegTokenResp::parse(token)?;
        if response.state == Some(NegState::Reject as u8) {
            return Err(AcceptError::OutOfOrder("the client gave up the negotiation"));
        }
        let inner = response.token.ok_or(AcceptError::Malformed("the NTLM message is missing"))?;
        if self.ntlm.expects_negotiate() {
            let challenge = self.ntlm.challenge(inner)?;
            self.wrapping = Wrapping::Spnego { mech_types_der, mic_required };
            let reply = NegTokenResp {
                state: Some(NegState::AcceptIncomplete as u8),
                token: Some(&challenge),
                ..NegTokenResp::default()
            };
            return Ok(Step::Continue(reply.encode()));
        }
        let mut session = self.ntlm.authenticate(inner, lookup)?;
        let own_mic = match response.mic {
            Some(mic) => {
                session
                    .verify_mech_list(&mech_types_der, mic)
                    .map_err(|_| AcceptError::Altered("MIC of the mechanism list"))?;
                Some(session.sign_mech_list(&mech_types_der))
            }
            None if mic_required => {
                return Err(AcceptError::Malformed("the MIC of the mechanism list is missing"));
            }
            None => None,
        };
        let reply = NegTokenResp {
            state: Some(NegState::AcceptCompleted as u8),
            mic: own_mic.as_ref().map(<[u8; 16]>::as_slice),
            ..NegTokenResp::default()
        };
        Ok(Step::Done { reply: Some(reply.encode()), session })
    }
}
