//! One connection: frames in, frames out. Compounds, signatures and encryption are settled here.

use std::collections::HashMap;
use std::time::Duration;

use smb2::crypto::kdf::PreauthHasher;

use super::machine::SmbMachine;
use super::negotiate::{self, Agreement};
use super::protect::Protection;
use super::session::{Logon, Session};
use super::status::Status;
use super::wire::{HEADER, Message, Writer};

/// What to do after a reply was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Read the next frame.
    GoOn,
    /// Close the connection.
    Close,
    /// Send the length and the first half of the frame, then close the connection.
    Truncate,
}

/// What a frame leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The frame to send, without its length; some requests have no answer.
    pub frame: Option<Vec<u8>>,
    /// How long to wait before it is sent.
    pub delay: Duration,
    /// What to do then.
    pub then: Then,
}

impl Reply {
    fn send(frame: Vec<u8>) -> Self {
        Self { frame: Some(frame), delay: Duration::ZERO, then: Then::GoOn }
    }

    fn close() -> Self {
        Self { frame: None, delay: Duration::ZERO, then: Then::Close }
    }
}

/// The server's half of one SMB connection.
pub struct Connection {
    pub(super) machine: SmbMachine,
    pub(super) agreement: Option<Agreement>,
    pub(super) preauth: PreauthHasher,
    pub(super) sessions: HashMap<u64, Session>,
    pub(super) next_session: u64,
}

/// One request of a frame. Its session, tree and file may come from the request before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) message: Message<'a>,
    pub(super) command: u16,
    pub(super) message_id: u64,
    pub(super) session_id: u64,
    pub(super) tree_id: u32,
    charge: u16,
    credits: u16,
    flags: u32,
    pub(super) encrypted: bool,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// `None`: an error body.
    pub(super) body: Option<Vec<u8>>,
}

impl Answer {
    pub(super) fn error(status: Status) -> Self {
        Self { status, body: None }
    }
}

impl From<Result<Vec<u8>, Status>> for Answer {
    fn from(result: Result<Vec<u8>, Status>) -> Self {
        match result {
            Ok(body) => Self { status: Status::SUCCESS, body: Some(body) },
            Err(status) => Self::error(status),
        }
    }
}

/// What the requests of one frame hand on to each other, and what faults do to the frame.
#[derive(Debug, Default)]
pub(super) struct Chain {
    session_id: u64,
    tree_id: u32,
    pub(super) file_id: Option<u64>,
    /// Why the file of the chain could not be opened.
    pub(super) failed: Option<Status>,
    pub(super) delay: Duration,
    pub(super) hang: bool,
    pub(super) drop: bool,
    pub(super) truncate: bool,
}

pub(super) mod command {
    pub(in super::super) const NEGOTIATE: u16 = 0;
    pub(in super::super) const SESSION_SETUP: u16 = 1;
    pub(in super::super) const LOGOFF: u16 = 2;
    pub(in super::super) const TREE_CONNECT: u16 = 3;
    pub(in super::super) const TREE_DISCONNECT: u16 = 4;
    pub(in super::super) const CREATE: u16 = 5;
    pub(in super::super) const CLOSE: u16 = 6;
    pub(in super::super) const FLUSH: u16 = 7;
    pub(in super::super) const READ: u16 = 8;
    pub(in super::super) const WRITE: u16 = 9;
    pub(in super::super) const IOCTL: u16 = 11;
    pub(in super::super) const CANCEL: u16 = 12;
    pub(in super::super) const ECHO: u16 = 13;
    pub(in super::super) const QUERY_DIRECTORY: u16 = 14;
    pub(in super::super) const QUERY_INFO: u16 = 16;
    pub(in super::super) const SET_INFO: u16 = 17;
}

const FLAG_RESPONSE: u32 = 0x1;
const FLAG_RELATED: u32 = 0x4;
const FLAG_SIGNED: u32 = 0x8;
const MAX_CREDITS: u16 = 512;
/// How many requests one frame may hold.
const MAX_CHAIN: usize = 64;

impl Connection {
    /// The largest frame that is read: a write of 1 MiB and room for its headers.
    pub const MAX_FRAME: usize = (1 << 20) + (64 << 10);

    /// A connection before its first frame.
    pub fn new(machine: SmbMachine) -> Self {
        Self {
            machine,
            agreement: None,
            preauth: PreauthHasher::new(),
            sessions: HashMap::new(),
            next_session: 1,
        }
    }

    /// Takes a frame, without its length, and says what to do.
    pub fn receive(&mut self, frame: &[u8]) -> Reply {
        match frame.first_chunk() {
            Some(b"\xFESMB") => self.receive_chain(frame, None),
            Some(b"\xFDSMB") => {
                let session_id = Message(frame).u64(44).unwrap_or_default();
                let plain = self.keys(session_id).and_then(|keys| keys.decrypt(frame));
                match plain {
                    Some(plain) if plain.starts_with(b"\xFESMB") => {
                        self.receive_chain(&plain, Some(session_id))
                    }
                    Some(_) | None => Reply::close(),
                }
            }
            Some(b"\xFFSMB") if self.agreement.is_none() && negotiate::is_smb1_offer(frame) => {
                let body = negotiate::answer(&self.machine, None, &[]);
                Reply::send(header(&Request::of_smb1(), Status::SUCCESS, body))
            }
            Some(_) | None => Reply::close(),
        }
    }

    fn receive_chain(&mut self, frame: &[u8], encrypted_by: Option<u64>) -> Reply {
        let mut chain = Chain::default();
        let mut answers: Vec<Vec<u8>> = Vec::new();
        let mut signers: Vec<Option<(u64, u64)>> = Vec::new();
        let mut rest = frame;
        for position in 0..MAX_CHAIN {
            let Ok(next) = Message(rest).u32(20) else { return Reply::close() };
            let next = next as usize;
            let (element, after) = match next {
                0 => (rest, None),
                _ if next < HEADER || !next.is_multiple_of(8) => return Reply::close(),
                _ => match rest.split_at_checked(next) {
                    Some((element, after)) => (element, Some(after)),
                    None => return Reply::close(),
                },
            };
            let Some(request) = chain.read(element, encrypted_by, position > 0) else {
                return Reply::close();
            };
            if request.command == command::NEGOTIATE && !self.may_negotiate() {
                return Reply::close();
            }
            if let Some(answer) = self.answer(&request, &mut chain) {
                // What was opened just now is named in the answer.
                let request =
                    Request { session_id: chain.session_id, tree_id: chain.tree_id, ..request };
                let signed = self.must_sign(&request, &answer);
                let message = header(&request, answer.status, answer.body.unwrap_or_else(error));
                self.hash(&request, answer.status, &message);
                signers.push(signed.then_some((request.session_id, request.message_id)));
                answers.push(message);
            }
            if chain.drop {
                return Reply::close();
            }
            match after {
                Some(after) => rest = after,
                None => return self.finish(answers, &signers, &chain, encrypted_by),
            }
        }
        Reply::close()
    }

    fn may_negotiate(&self) -> bool {
        self.agreement.is_none()
    }

    /// Checks the request's protection, then has it done.
    fn answer(&mut self, request: &Request<'_>, chain: &mut Chain) -> Option<Answer> {
        if request.command == command::CANCEL {
            return None;
        }
        if !matches!(request.command, command::NEGOTIATE | command::SESSION_SETUP) {
            let must_encrypt = self.machine.require_encryption;
            let message = request.message.0;
            match self.logon(request.session_id) {
                None if request.command == command::ECHO && request.session_id == 0 => {}
                None => return Some(Answer::error(Status::USER_SESSION_DELETED)),
                Some(_) if must_encrypt && !request.encrypted => {
                    return Some(Answer::error(Status::ACCESS_DENIED));
                }
                Some(logon) => {
                    let is_signed = request.flags & FLAG_SIGNED != 0
                        && logon.protection.verifies(message, request.message_id);
                    if !request.encrypted && !is_signed {
                        return Some(Answer::error(Status::ACCESS_DENIED));
                    }
                }
            }
        }
        self.dispatch(request, chain)
    }

    /// Every answer within a session is signed, the one that opens it first of all.
    fn must_sign(&mut self, request: &Request<'_>, answer: &Answer) -> bool {
        let opens = request.command != command::SESSION_SETUP || answer.status == Status::SUCCESS;
        let has_keys = self.keys(request.session_id).is_some();
        opens && has_keys && request.command != command::NEGOTIATE
    }

    /// The hash that 3.1.1 makes keys from covers negotiation and logon as they went over the
    /// wire, without the last answer.
    fn hash(&mut self, request: &Request<'_>, status: Status, answer: &[u8]) {
        if request.command == command::NEGOTIATE {
            self.preauth.update(answer);
        } else if status == Status::MORE_PROCESSING_REQUIRED
            && let Some(Session::Authenticating { preauth, .. }) =
                self.sessions.get_mut(&request.session_id)
        {
            preauth.update(answer);
        }
    }

    fn finish(
        &mut self,
        mut answers: Vec<Vec<u8>>,
        signers: &[Option<(u64, u64)>],
        chain: &Chain,
        encrypted_by: Option<u64>,
    ) -> Reply {
        if answers.is_empty() || chain.hang {
            return Reply { frame: None, delay: chain.delay, then: Then::GoOn };
        }
        let last = answers.len() - 1;
        let mut frame = Vec::new();
        for (position, (answer, signer)) in answers.iter_mut().zip(signers).enumerate() {
            if position < last {
                answer.resize(answer.len().next_multiple_of(8), 0);
                let next = u32::try_from(answer.len()).expect("bounded by the transfer size");
                answer[20..24].copy_from_slice(&next.to_le_bytes());
            }
            if position > 0 {
                answer[16] |= u8::try_from(FLAG_RELATED).expect("one bit");
            }
            if let (Some((session, message_id)), None) = (signer, encrypted_by)
                && let Some(keys) = self.keys(*session)
            {
                answer[16] |= u8::try_from(FLAG_SIGNED).expect("one bit");
                keys.sign(answer, *message_id);
            }
            frame.extend_from_slice(answer);
        }
        if let Some(id) = encrypted_by {
            let sealed = self.keys(id).and_then(|keys| keys.encrypt(&frame, id));
            match sealed {
                Some(sealed) => frame = sealed,
                // The session is gone, and its keys with it.
                None => return Reply::close(),
            }
        }
        let then = if chain.truncate { Then::Truncate } else { Then::GoOn };
        Reply { frame: Some(frame), delay: chain.delay, then }
    }

    /// The keys of a session, also of one that ended: they still sign its last answers.
    fn keys(&mut self, session_id: u64) -> Option<&mut Protection> {
        match self.sessions.get_mut(&session_id)? {
            Session::Valid(logon) | Session::Ended(logon) => Some(&mut logon.protection),
            Session::Authenticating { .. } => None,
        }
    }

    pub(super) fn logon(&mut self, session_id: u64) -> Option<&mut Logon> {
        match self.sessions.get_mut(&session_id)? {
            Session::Valid(logon) => Some(logon),
            Session::Authenticating { .. } | Session::Ended(_) => None,
        }
    }
}

impl Chain {
    /// Reads one request; a related one takes session and tree from the one before it.
    fn read<'a>(
        &mut self,
        element: &'a [u8],
        encrypted_by: Option<u64>,
        is_later: bool,
    ) -> Option<Request<'a>> {
        let message = Message(element);
        if element.len() < HEADER + 2 || !element.starts_with(b"\xFESMB") {
            return None;
        }
        let flags = message.u32(16).ok()?;
        if flags & FLAG_RESPONSE != 0 {
            return None;
        }
        if flags & FLAG_RELATED != 0 && is_later {
            // Session, tree and file stay.
        } else {
            self.session_id = message.u64(40).ok()?;
            self.tree_id = message.u32(36).ok()?;
            self.file_id = None;
            self.failed = None;
        }
        if encrypted_by.is_some_and(|id| id != self.session_id) {
            return None;
        }
        Some(Request {
            message,
            command: message.u16(12).ok()?,
            message_id: message.u64(24).ok()?,
            session_id: self.session_id,
            tree_id: self.tree_id,
            charge: message.u16(6).ok()?,
            credits: message.u16(14).ok()?,
            flags,
            encrypted: encrypted_by.is_some(),
        })
    }

    /// The later answers of a frame carry the session and tree that the request opened.
    pub(super) fn adopt(&mut self, session_id: u64, tree_id: u32) {
        self.session_id = session_id;
        self.tree_id = tree_id;
    }
}

impl Request<'_> {
    fn of_smb1() -> Self {
        Request {
            message: Message(&[]),
            command: command::NEGOTIATE,
            message_id: 0,
            session_id: 0,
            tree_id: 0,
            charge: 0,
            credits: 1,
            flags: 0,
            encrypted: false,
        }
    }

    pub(super) fn is_related(&self) -> bool {
        self.flags & FLAG_RELATED != 0
    }
}

/// An answer's header and body.
fn header(request: &Request<'_>, status: Status, body: Vec<u8>) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(b"\xFESMB").u16(64).u16(request.charge).u32(status.0).u16(request.command);
    out.u16(request.credits.clamp(1, MAX_CREDITS)).u32(FLAG_RESPONSE).u32(0);
    out.u64(request.message_id).u32(0).u32(request.tree_id).u64(request.session_id);
    out.bytes(&[0; 16]).bytes(&body);
    out.take()
}

/// The body of a failure, [MS-SMB2] 2.2.2, with the one byte of data that its size counts.
fn error() -> Vec<u8> {
    vec![9, 0, 0, 0, 0, 0, 0, 0, 0]
}
