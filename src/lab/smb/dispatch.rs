//! Which request goes where, and the one place where faults apply.

use super::connection::{Answer, Chain, Connection, Request, command};
use super::file::FileId;
use super::negotiate;
use super::session::{Logon, Session};
use super::status::Status;
use super::wire::{HEADER, Writer, text};
use crate::lab::front::{Protocol, RequestFault};

/// How many shares one session may be connected to.
const MAX_TREES: usize = 256;

impl Connection {
    /// Does a request. `None` means that it has no answer.
    pub(super) fn dispatch(&mut self, request: &Request<'_>, chain: &mut Chain) -> Option<Answer> {
        match request.command {
            command::NEGOTIATE => return Some(self.negotiate(request)),
            command::SESSION_SETUP => return Some(self.session_setup(request, chain)),
            command::ECHO => return Some(Answer::from(Ok(four()))),
            _ => {}
        }
        if let Some(status) = self.fault(request, chain) {
            return Some(Answer::error(status));
        }
        Some(match request.command {
            command::LOGOFF => self.logoff(request),
            command::TREE_CONNECT => self.tree_connect(request, chain).into(),
            command::TREE_DISCONNECT => self.tree_disconnect(request).into(),
            _ => self.on_file(request, chain),
        })
    }

    /// Asks for a fault; gives the status that takes the place of the request, if any.
    fn fault(&mut self, request: &Request<'_>, chain: &mut Chain) -> Option<Status> {
        let operation = self.operation(request, chain);
        match self.machine.faults.on_request(Protocol::Smb, &operation)? {
            RequestFault::Delay(delay) => chain.delay += delay,
            RequestFault::Hang => chain.hang = true,
            RequestFault::Drop => chain.drop = true,
            RequestFault::Truncate => chain.truncate = true,
            RequestFault::SharingViolation => return Some(Status::SHARING_VIOLATION),
            RequestFault::Unauthorized => {
                self.end(request.session_id);
                return Some(Status::USER_SESSION_DELETED);
            }
            RequestFault::Busy => return Some(Status::INSUFFICIENT_RESOURCES),
            // Faults of other protocols.
            RequestFault::ShellQuota
            | RequestFault::Deadlock
            | RequestFault::LockTimeout
            | RequestFault::StatementFails => {}
        }
        None
    }

    /// What faults are asked about: the command and the full path it is about.
    fn operation(&mut self, request: &Request<'_>, chain: &Chain) -> String {
        let tree = self.machine.tree.clone();
        let path = self.logon(request.session_id).and_then(|logon| match request.command {
            command::TREE_CONNECT => text(request.message.buffer16(68, 70).ok()?).ok(),
            command::CREATE => {
                let name = text(request.message.buffer16(108, 110).ok()?).ok()?;
                logon.trees.get(&request.tree_id)?.root.join(&name)
            }
            _ => {
                let id = FileId::of(request, chain).ok()?;
                let handle = logon.opens.get(&id.0)?.handle()?;
                tree.info(handle).ok().map(|info| info.path)
            }
        });
        let name = match request.command {
            command::LOGOFF => "LOGOFF",
            command::TREE_CONNECT => "TREE_CONNECT",
            command::TREE_DISCONNECT => "TREE_DISCONNECT",
            command::CREATE => "CREATE",
            command::CLOSE => "CLOSE",
            command::FLUSH => "FLUSH",
            command::READ => "READ",
            command::WRITE => "WRITE",
            command::IOCTL => "IOCTL",
            command::QUERY_DIRECTORY => "QUERY_DIRECTORY",
            command::QUERY_INFO => "QUERY_INFO",
            command::SET_INFO => "SET_INFO",
            _ => "OTHER",
        };
        path.map_or_else(|| name.to_owned(), |path| format!("{name} {path}"))
    }

    fn negotiate(&mut self, request: &Request<'_>) -> Answer {
        match negotiate::agree(request.message) {
            Ok((agreement, contexts)) => {
                let body = negotiate::answer(&self.machine, Some(&agreement), &contexts);
                self.preauth.update(request.message.0);
                self.agreement = Some(agreement);
                Answer::from(Ok(body))
            }
            Err(status) => Answer::error(status),
        }
    }

    /// Ends a session. Its keys stay until the connection ends, to sign the last answer.
    fn end(&mut self, session_id: u64) {
        if let Some(Session::Valid(mut logon)) = self.sessions.remove(&session_id) {
            logon.close_all(&self.machine.tree, |_| true);
            self.sessions.insert(session_id, Session::Ended(logon));
        }
    }

    fn logoff(&mut self, request: &Request<'_>) -> Answer {
        self.end(request.session_id);
        Answer::from(Ok(four()))
    }

    fn tree_connect(
        &mut self,
        request: &Request<'_>,
        chain: &mut Chain,
    ) -> Result<Vec<u8>, Status> {
        let path = text(request.message.buffer16(68, 70)?)?;
        let name = path.rsplit('\\').next().unwrap_or_default();
        let machine = self.machine.clone();
        let logon = self.logon(request.session_id).ok_or(Status::USER_SESSION_DELETED)?;
        if logon.trees.len() >= MAX_TREES {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let connected = machine.connect(name, &logon.caller)?;
        let is_disk = matches!(connected.root, super::share::Root::Disk(_));
        let mut body = Writer::default();
        body.u16(16).u8(if is_disk { 1 } else { 2 }).u8(0);
        // Nothing is to be cached: SMB2_SHAREFLAG_NO_CACHING.
        body.u32(0x30).u32(0).u32(connected.maximal_access);
        let tree_id = logon.next_tree;
        logon.next_tree += 1;
        logon.trees.insert(tree_id, connected);
        chain.adopt(request.session_id, tree_id);
        Ok(body.take())
    }

    fn tree_disconnect(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Status> {
        let tree = self.machine.tree.clone();
        let logon = self.logon(request.session_id).ok_or(Status::USER_SESSION_DELETED)?;
        logon.trees.remove(&request.tree_id).ok_or(Status::NETWORK_NAME_DELETED)?;
        logon.close_all(&tree, |open| open.tree_id == request.tree_id);
        Ok(four())
    }

    /// Requests inside a share.
    fn on_file(&mut self, request: &Request<'_>, chain: &mut Chain) -> Answer {
        let machine = self.machine.clone();
        let agreement = self.agreement.clone();
        let Some(logon) = self.logon(request.session_id) else {
            return Answer::error(Status::USER_SESSION_DELETED);
        };
        if !logon.trees.contains_key(&request.tree_id) {
            return Answer::error(Status::NETWORK_NAME_DELETED);
        }
        if let (Some(status), true) = (chain.failed, request.is_related()) {
            return Answer::error(status);
        }
        let Some(agreement) = agreement else {
            return Answer::error(Status::INVALID_PARAMETER);
        };
        let max = agreement.max_transfer() as usize;
        match request.command {
            command::CREATE => {
                let result = logon.create(&machine, request);
                match &result {
                    Ok((id, _)) => chain.file_id = Some(*id),
                    Err(status) => chain.failed = Some(*status),
                }
                result.map(|(_, body)| body).into()
            }
            command::CLOSE => logon.close(&machine, request, chain).into(),
            command::FLUSH => logon.open_of(request, chain).map(|_| four()).into(),
            command::READ => logon.read(&machine, request, chain, max),
            command::WRITE => logon.write(&machine, request, chain, max).into(),
            command::QUERY_DIRECTORY => logon.query_directory(&machine, request, chain, max).into(),
            command::QUERY_INFO => logon.query_info(&machine, request, chain, max),
            command::SET_INFO => logon.set_info(&machine, request, chain).into(),
            command::IOCTL => {
                let answer = logon.ioctl(&machine, &agreement, request, chain, max);
                answer.unwrap_or_else(|| {
                    // [MS-SMB2] 3.3.5.15.12: the negotiation was tampered with.
                    chain.drop = true;
                    Answer::error(Status::ACCESS_DENIED)
                })
            }
            _ => Answer::error(Status::NOT_SUPPORTED),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for session in self.sessions.values_mut() {
            if let Session::Valid(logon) | Session::Ended(logon) = session {
                logon.close_all(&self.machine.tree, |_| true);
            }
        }
    }
}

impl Logon {
    /// Closes what the condition holds for.
    pub(super) fn close_all(
        &mut self,
        tree: &crate::lab::tree::Tree,
        condition: impl Fn(&super::file::Open) -> bool,
    ) {
        self.opens.retain(|_, open| {
            let goes = condition(open);
            if let (true, Some(handle)) = (goes, open.handle()) {
                tree.close(handle);
            }
            !goes
        });
    }
}

/// The body of answers that say nothing: its size, 4.
pub(super) fn four() -> Vec<u8> {
    vec![4, 0, 0, 0]
}

/// A body that carries data right after its fixed part of 8 bytes.
pub(super) fn with_data(data: &[u8]) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(9).len16(HEADER + 8).len32(data.len()).bytes(data);
    body.take()
}
