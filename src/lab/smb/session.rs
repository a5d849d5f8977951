//! Logging on, [MS-SMB2] 3.3.5.5, and what a session holds.

use std::collections::HashMap;

use smb2::crypto::kdf::PreauthHasher;

use super::connection::{Answer, Chain, Connection, Request};
use super::file::Open;
use super::protect::Protection;
use super::share::Connected;
use super::status::Status;
use super::wire::{HEADER, Writer};
use crate::lab::tree::Caller;
use crate::protocol::auth::{Acceptor, Step, nt_hash};

/// A session, from its first token to its end.
pub(super) enum Session {
    /// Tokens go to and fro.
    Authenticating { acceptor: Box<Acceptor>, preauth: PreauthHasher },
    /// Somebody is logged on.
    Valid(Box<Logon>),
    /// Logged off in the frame that is being answered; its keys sign that answer.
    Ended(Box<Logon>),
}

/// Somebody who is logged on, and all they have open.
pub(super) struct Logon {
    pub(super) caller: Caller,
    pub(super) protection: Protection,
    pub(super) trees: HashMap<u32, Connected>,
    pub(super) opens: HashMap<u64, Open>,
    pub(super) next_tree: u32,
    pub(super) next_open: u64,
}

/// How many sessions one connection may have.
const MAX_SESSIONS: usize = 16;
/// `SMB2_SESSION_FLAG_ENCRYPT_DATA`.
const ENCRYPT_DATA: u16 = 4;

impl Connection {
    /// Takes the next token of a logon. The answer carries the session's id.
    pub(super) fn session_setup(&mut self, request: &Request<'_>, chain: &mut Chain) -> Answer {
        let mut session_id = request.session_id;
        let result = self.next_token(request, &mut session_id);
        chain.adopt(session_id, request.tree_id);
        match result {
            Ok((status, flags, token)) => {
                let mut body = Writer::default();
                body.u16(9).u16(flags).len16(HEADER + 8).len16(token.len()).bytes(&token);
                Answer { status, body: Some(body.take()) }
            }
            Err(status) => Answer::error(status),
        }
    }

    fn next_token(
        &mut self,
        request: &Request<'_>,
        session_id: &mut u64,
    ) -> Result<(Status, u16, Vec<u8>), Status> {
        let agreement = self.agreement.clone().ok_or(Status::INVALID_PARAMETER)?;
        let message = request.message;
        let token = message.buffer16(76, 78)?;
        let (mut acceptor, mut preauth) = if *session_id == 0 {
            if self.sessions.len() >= MAX_SESSIONS {
                self.sessions.retain(|_, session| !matches!(session, Session::Ended(_)));
            }
            if self.sessions.len() >= MAX_SESSIONS {
                return Err(Status::INSUFFICIENT_RESOURCES);
            }
            let mut challenge = [0; 8];
            getrandom::fill(&mut challenge).map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
            let names = self.machine.names.clone();
            let acceptor = Acceptor::new(names, challenge, (self.machine.clock)());
            *session_id = self.next_session;
            self.next_session += 1;
            (Box::new(acceptor), self.preauth.clone())
        } else {
            match self.sessions.remove(session_id) {
                Some(Session::Authenticating { acceptor, preauth }) => (acceptor, preauth),
                Some(other) => {
                    // Keys are not renewed within a session.
                    self.sessions.insert(*session_id, other);
                    return Err(Status::NOT_SUPPORTED);
                }
                None => return Err(Status::USER_SESSION_DELETED),
            }
        };
        preauth.update(message.0);
        let machine = &self.machine;
        let lookup = |domain: &str, user: &str| {
            machine.account(domain, user).map(|account| nt_hash(account.password.expose()))
        };
        match acceptor.step(token, lookup) {
            Ok(Step::Continue(reply)) => {
                let session = Session::Authenticating { acceptor, preauth };
                self.sessions.insert(*session_id, session);
                Ok((Status::MORE_PROCESSING_REQUIRED, 0, reply))
            }
            Ok(Step::Done { reply, session }) => {
                let account = machine
                    .account(session.domain(), session.user())
                    .ok_or(Status::LOGON_FAILURE)?;
                let caller = machine.caller(account).ok_or(Status::LOGON_FAILURE)?;
                let key = session.session_key().expose();
                let protection =
                    Protection::new(key, agreement.dialect, agreement.cipher, &preauth);
                if machine.require_encryption && !protection.can_encrypt() {
                    return Err(Status::ACCESS_DENIED);
                }
                let flags = if machine.require_encryption { ENCRYPT_DATA } else { 0 };
                let logon = Logon {
                    caller,
                    protection,
                    trees: HashMap::new(),
                    opens: HashMap::new(),
                    next_tree: 1,
                    next_open: 1,
                };
                self.sessions.insert(*session_id, Session::Valid(Box::new(logon)));
                Ok((Status::SUCCESS, flags, reply.unwrap_or_default()))
            }
            Err(error) if error.is_logon_denied() => Err(Status::LOGON_FAILURE),
            Err(_) => Err(Status::INVALID_PARAMETER),
        }
    }
}
