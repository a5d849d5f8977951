//! What every front of the lab shares: who may log on, what a machine does, which faults apply.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::secret::Secret;

/// An account that the simulated domain or a simulated machine knows.
#[derive(Debug, Clone)]
pub struct Account {
    /// The NetBIOS domain, or the computer's own name for a local account.
    pub domain: String,
    /// The logon name without a domain.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
    /// The security identifier in its text form, `S-1-5-21-…`.
    pub sid: String,
    /// The identifiers of the groups it is a member of, well-known ones included.
    pub groups: Vec<String>,
}

/// The accounts that may log on to one simulated machine.
#[derive(Debug, Clone, Default)]
pub struct Accounts(Vec<Account>);

impl Accounts {
    /// Takes the accounts in.
    pub fn new(accounts: Vec<Account>) -> Self {
        Self(accounts)
    }

    /// Finds an account by name, without regard to case.
    ///
    /// An empty domain matches by user name alone, as Windows does for a local logon.
    pub fn find(&self, domain: &str, user: &str) -> Option<&Account> {
        self.0.iter().find(|account| {
            account.user.eq_ignore_ascii_case(user)
                && (domain.is_empty() || account.domain.eq_ignore_ascii_case(domain))
        })
    }

    /// All accounts, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }
}

/// A command line that arrived over WinRM.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// `DOMAIN\user` as authenticated.
    pub user: String,
    /// The program or command line of the `Command` element.
    pub command: String,
    /// Its `Arguments` elements, in order.
    pub arguments: Vec<String>,
    /// Everything the client sent to standard input before it ended it.
    pub stdin: Vec<u8>,
}

/// What a simulated command printed.
#[derive(Debug, Clone, Default)]
pub struct CommandReply {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The process exit code.
    pub exit_code: i32,
}

/// Runs command lines for one simulated machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Runs one command to its end; the simulated duration passes before it returns.
    async fn run(&self, request: CommandRequest) -> CommandReply;
}

/// The protocol a front speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// WS-Management over HTTP.
    WinRm,
    /// SMB 2 and 3.
    Smb,
    /// TDS.
    Sql,
    /// HTTP, as a web server speaks it.
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WinRm => "winrm",
            Self::Smb => "smb",
            Self::Sql => "sql",
            Self::Http => "http",
        })
    }
}

/// A fault that meets a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFault {
    /// The connection is closed at once, before a byte is read.
    Refuse,
    /// The connection is kept open and nothing is ever answered.
    Hang,
}

/// A fault that meets one request on an established session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// The answer comes after this long, in real time.
    Delay(Duration),
    /// The answer never comes; the connection stays open.
    Hang,
    /// The connection is reset in place of an answer.
    Drop,
    /// The answer is cut in the middle and the connection closed.
    Truncate,
    /// The session's authentication is gone: HTTP 401, or `STATUS_USER_SESSION_DELETED`.
    Unauthorized,
    /// The server is too busy: HTTP 503.
    Busy,
    /// The file is open elsewhere: `STATUS_SHARING_VIOLATION`.
    SharingViolation,
    /// The user has all the shells the quota allows: fault 2150859173.
    ShellQuota,
    /// The transaction was chosen as the deadlock victim: error 1205.
    Deadlock,
    /// A lock was not granted in time: error 1222.
    LockTimeout,
    /// A statement fails on the server, which has no room for its log: error 9002.
    StatementFails,
}

/// Says which faults apply at a point of a conversation.
pub trait Faults: Send + Sync {
    /// Asked once for each accepted connection.
    fn on_connect(&self, protocol: Protocol) -> Option<ConnectionFault>;

    /// Asked once for each request; `operation` is the front's own word for it
    /// (`Create`, `Receive`, `SET_INFO C:\…`, `select`).
    fn on_request(&self, protocol: Protocol, operation: &str) -> Option<RequestFault>;
}

/// A machine without faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn on_connect(&self, _protocol: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _protocol: Protocol, _operation: &str) -> Option<RequestFault> {
        None
    }
}
