//! One connection of a client: prelogin, login, requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{answer, refusal};
use super::front::TdsSettings;
use crate::lab::cmdb::{SqlError, SqlSession, recognise};
use crate::lab::front::{ConnectionFault, Protocol, RequestFault};
use crate::protocol::tds::{
    Assembler, DEFAULT_PACKET_SIZE, Done, DoneKind, Encryption, Login7, Message, MessageKind,
    NEWEST_TDS_VERSION, OLDEST_TDS_VERSION, ServerMessage, Statement, TdsError, Tokens,
    Transaction, packets, read_batch, read_prelogin, read_rpc, read_transaction, write_prelogin,
};

/// A client must have logged in by then.
const LOGIN_LIMIT: Duration = Duration::from_secs(15);
/// A connection without requests is cut after this.
const IDLE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// A client that does not take its answer is cut after this.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// The largest request.
const MAX_REQUEST: usize = 1024 * 1024;
/// The group of logins that may change rows.
pub const CMDB_WRITERS: &str = "cmdb-writers";

/// Why a connection ended before the client wanted it to.
enum Ended {
    /// The client closed it, or it was cut.
    Closed,
    /// The client broke the protocol.
    Broken,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<TdsError> for Ended {
    fn from(_: TdsError) -> Self {
        Self::Broken
    }
}

struct Connection {
    stream: TcpStream,
    assembler: Assembler,
    packet_size: usize,
    settings: Arc<TdsSettings>,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, settings: Arc<TdsSettings>, number: u16) {
    let mut connection = Connection {
        stream,
        assembler: Assembler::new(MAX_REQUEST),
        packet_size: DEFAULT_PACKET_SIZE,
        settings,
    };
    match connection.settings.faults.on_connect(Protocol::Sql) {
        Some(ConnectionFault::Refuse) => return connection.reset(),
        Some(ConnectionFault::Hang) => return connection.hang().await,
        None => {}
    }
    let login = timeout(LOGIN_LIMIT, connection.log_in(number)).await;
    let ended = match login {
        Ok(Ok(Some(session))) => connection.requests(session).await,
        Ok(Ok(None)) | Err(_) => Ended::Closed,
        Ok(Err(ended)) => ended,
    };
    if matches!(ended, Ended::Broken) {
        connection.reset();
    }
}

impl Connection {
    /// Closes it so that the client sees a reset.
    fn reset(&self) {
        // Without this option it is closed in order, which a client notices as well.
        let _ = self.stream.set_zero_linger();
    }

    /// Answers nothing until the client gives up.
    async fn hang(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(Ok(1..)) = timeout(IDLE_LIMIT, self.stream.read(&mut bytes)).await {}
    }

    async fn next_message(&mut self) -> Result<Message, Ended> {
        let mut bytes = [0; 8192];
        loop {
            if let Some(message) = self.assembler.next_message()? {
                return Ok(message);
            }
            match timeout(IDLE_LIMIT, self.stream.read(&mut bytes)).await {
                Ok(Ok(count @ 1..)) => self.assembler.feed(&bytes[..count]),
                Ok(Ok(0)) | Err(_) => return Err(Ended::Closed),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Ended> {
        let framed = packets(MessageKind::TabularResult, payload, self.packet_size);
        self.write(&framed).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match timeout(WRITE_LIMIT, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Closed),
        }
    }

    /// Takes the client through prelogin and login; `None` if the login was refused.
    async fn log_in(&mut self, number: u16) -> Result<Option<SqlSession>, Ended> {
        let mut message = self.next_message().await?;
        if message.kind == MessageKind::Prelogin {
            read_prelogin(&message.payload)?;
            self.send(&write_prelogin(Encryption::NotSupported)).await?;
            message = self.next_message().await?;
        }
        if message.kind != MessageKind::Login7 {
            return Err(Ended::Broken);
        }
        let login = Login7::parse(&message.payload)?;
        if let Some(fault) = self.settings.faults.on_request(Protocol::Sql, "login")
            && self.meet(fault, false, None).await?
        {
            return Ok(None);
        }
        if let Err(refused) = self.check(&login) {
            let server = &self.settings.server;
            let reply = refusal(server, &refused, false);
            self.send(&reply).await?;
            return Ok(None);
        }
        let accounts = &self.settings.accounts;
        let may_change = accounts
            .find("", &login.user)
            .is_some_and(|account| account.groups.iter().any(|group| group == CMDB_WRITERS));
        let (database, server) = (&self.settings.database, &self.settings.server);
        let session = SqlSession::new(database, &login.user, server, number, may_change);
        let packet_size = usize::try_from(login.packet_size).unwrap_or(0).clamp(512, 32_767);
        let (database, server) = (&session.database, &session.server);
        let notice = |number, text: String| ServerMessage { number, state: 2, class: 0, text };
        let mut reply = Tokens::default();
        reply.database_changed(database, "master");
        let changed = format!("Changed database context to '{database}'.");
        reply.message(&notice(5701, changed), server);
        reply.collation_changed();
        reply.language_changed("us_english", "");
        let changed = "Changed language setting to us_english.".to_owned();
        reply.message(&notice(5703, changed), server);
        let banner = "This is a simulation by the fleetmend lab, not a SQL Server.".to_owned();
        reply.message(&notice(50_000, banner), server);
        reply.login_ack(login.tds_version.min(NEWEST_TDS_VERSION), "Microsoft SQL Server");
        reply.packet_size_changed(packet_size, DEFAULT_PACKET_SIZE);
        reply.done(DoneKind::Batch, Done::default());
        self.send(&reply.into_bytes()).await?;
        self.packet_size = packet_size;
        Ok(Some(session))
    }

    fn check(&self, login: &Login7) -> Result<(), ServerMessage> {
        let refused = |number, state, class, text| ServerMessage { number, state, class, text };
        // Versions are compared by their major number: the rest is in another byte order in 7.1.
        if login.tds_version < OLDEST_TDS_VERSION {
            let text = "not simulated: TDS before 7.2".to_owned();
            return Err(refused(50_000, 1, 20, text));
        }
        if login.integrated {
            let text = "Login failed. The login is from an untrusted domain and cannot be used \
                        with Integrated authentication."
                .to_owned();
            return Err(refused(18_452, 1, 14, text));
        }
        let known = self
            .settings
            .accounts
            .find("", &login.user)
            .is_some_and(|account| account.password.expose() == login.password.expose());
        if !known {
            let text = format!("Login failed for user '{}'.", login.user);
            return Err(refused(18_456, 1, 14, text));
        }
        let wanted = &login.database;
        if !wanted.is_empty() && !wanted.eq_ignore_ascii_case(&self.settings.database) {
            let text = format!(
                "Cannot open database \"{wanted}\" requested by the login. The login failed."
            );
            return Err(refused(4060, 1, 11, text));
        }
        Ok(())
    }

    /// Answers requests until the connection ends.
    async fn requests(&mut self, session: SqlSession) -> Ended {
        loop {
            let message = match self.next_message().await {
                Ok(message) => message,
                Err(ended) => return ended,
            };
            if let Err(ended) = self.request(&session, message).await {
                return ended;
            }
        }
    }

    async fn request(&mut self, session: &SqlSession, message: Message) -> Result<(), Ended> {
        let statement = match message.kind {
            MessageKind::Batch => {
                read_batch(&message.payload).map(|text| Statement { text, parameters: Vec::new() })
            }
            MessageKind::Rpc => read_rpc(&message.payload),
            MessageKind::TransactionManager => return self.transaction(session, &message).await,
            MessageKind::Attention => {
                let mut reply = Tokens::default();
                reply.done(DoneKind::Batch, Done { attention: true, ..Done::default() });
                return self.send(&reply.into_bytes()).await;
            }
            MessageKind::TabularResult | MessageKind::Login7 | MessageKind::Prelogin => {
                return Err(Ended::Broken);
            }
        };
        let is_call = message.kind == MessageKind::Rpc;
        let statement = match statement {
            Ok(statement) => statement,
            Err(TdsError::Unsupported(what)) => {
                let error = SqlError::not_simulated(&what).message();
                return self.send(&refusal(&session.server, &error, is_call)).await;
            }
            Err(TdsError::Malformed(_) | TdsError::TooLarge(_)) => return Err(Ended::Broken),
        };
        let operation = operation(&statement.text);
        let fault = self.settings.faults.on_request(Protocol::Sql, &operation);
        if let Some(fault) = fault
            && self.meet(fault, is_call, Some((session, Some(&statement)))).await?
        {
            return Ok(());
        }
        let reply = self.run(session, statement, is_call).await?;
        self.send(&reply).await
    }

    /// SQLite blocks, so it runs apart from the sockets.
    async fn run(
        &self,
        session: &SqlSession,
        statement: Statement,
        is_call: bool,
    ) -> Result<Vec<u8>, Ended> {
        let (cmdb, session) = (self.settings.cmdb.clone(), session.clone());
        let work = move || answer(&cmdb, &session, &statement, is_call);
        tokio::task::spawn_blocking(work).await.map_err(|_| Ended::Broken)
    }

    async fn transaction(&mut self, session: &SqlSession, message: &Message) -> Result<(), Ended> {
        let asked = match read_transaction(&message.payload) {
            Ok(asked) => asked,
            Err(TdsError::Unsupported(what)) => {
                let error = SqlError::not_simulated(&what).message();
                return self.send(&refusal(&session.server, &error, false)).await;
            }
            Err(TdsError::Malformed(_) | TdsError::TooLarge(_)) => return Err(Ended::Broken),
        };
        let fault = self.settings.faults.on_request(Protocol::Sql, "transaction");
        if let Some(fault) = fault
            && self.meet(fault, false, Some((session, None))).await?
        {
            return Ok(());
        }
        let mut reply = Tokens::default();
        let begins = match asked {
            Transaction::Begin => true,
            Transaction::Commit { then_begin } | Transaction::Rollback { then_begin } => {
                let is_commit = matches!(asked, Transaction::Commit { .. });
                let ended = if is_commit {
                    let (cmdb, session) = (self.settings.cmdb.clone(), session.clone());
                    let work = move || session.commit(&cmdb);
                    tokio::task::spawn_blocking(work).await.map_err(|_| Ended::Broken)?
                } else {
                    session.roll_back().map(Some)
                };
                match ended {
                    Ok(Some(descriptor)) => reply.transaction_ended(is_commit, descriptor),
                    Ok(None) => {}
                    Err(error) => {
                        session.abort();
                        let error = error.message();
                        return self.send(&refusal(&session.server, &error, false)).await;
                    }
                }
                then_begin
            }
        };
        if begins && let Some(descriptor) = session.begin() {
            reply.transaction_began(descriptor);
        }
        let in_transaction = session.is_in_transaction();
        reply.done(DoneKind::Batch, Done { in_transaction, ..Done::default() });
        self.send(&reply.into_bytes()).await
    }

    /// Lets a fault happen. Returns whether the request was answered by that; `false` means that
    /// it is still to be answered.
    async fn meet(
        &mut self,
        fault: RequestFault,
        is_call: bool,
        request: Option<(&SqlSession, Option<&Statement>)>,
    ) -> Result<bool, Ended> {
        let error = match fault {
            RequestFault::Delay(span) => {
                tokio::time::sleep(span).await;
                return Ok(false);
            }
            RequestFault::Hang => {
                self.hang().await;
                return Err(Ended::Closed);
            }
            RequestFault::Drop | RequestFault::Unauthorized => return Err(Ended::Broken),
            RequestFault::Truncate => {
                if let Some((session, Some(statement))) = request {
                    let reply = self.run(session, statement.clone(), is_call).await?;
                    let framed = packets(MessageKind::TabularResult, &reply, self.packet_size);
                    self.write(&framed[..framed.len() / 2]).await?;
                }
                return Err(Ended::Closed);
            }
            RequestFault::Deadlock => ServerMessage {
                number: 1205,
                state: 51,
                class: 13,
                text: "Transaction was deadlocked on lock resources with another process and has \
                       been chosen as the deadlock victim. Rerun the transaction."
                    .to_owned(),
            },
            RequestFault::Busy => ServerMessage {
                number: 8645,
                state: 1,
                class: 17,
                text: "A timeout occurred while waiting for memory resources to execute the query \
                       in resource pool 'default' (2). Rerun the query."
                    .to_owned(),
            },
            RequestFault::LockTimeout => ServerMessage {
                number: 1222,
                state: 51,
                class: 16,
                text: "Lock request time out period exceeded.".to_owned(),
            },
            RequestFault::StatementFails => ServerMessage {
                number: 9002,
                state: 4,
                class: 17,
                text: "The transaction log for database 'Symantec_CMDB' is full due to \
                       'LOG_BACKUP'."
                    .to_owned(),
            },
            RequestFault::SharingViolation | RequestFault::ShellQuota => {
                SqlError::not_simulated("this fault over SQL").message()
            }
        };
        let server = self.settings.server.clone();
        if let Some((session, _)) = request {
            session.abort();
        }
        self.send(&refusal(&server, &error, is_call)).await?;
        Ok(true)
    }
}

/// The front's word for a statement: the name of a known one, else its first word in lower case.
fn operation(text: &str) -> String {
    recognise(text).map_or_else(
        || {
            let first: String =
                text.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
            first.to_lowercase()
        },
        str::to_owned,
    )
}
