//! A shell on a host and the commands in it, one at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::command::{CommandLine, CommandOutput, OutputCollector};
use super::connection::Connection;
use super::{RunFailure, WinRmError, WinRmSettings};
use crate::protocol::wsman::{
    CommandState, CreateShell, FaultCode, Identity, OutputStream, Received, Request,
    RequestEnvelope, RequestHeader, Response, ResponseEnvelope, SendInput, SignalCode,
    StartCommand, uri,
};
use crate::transport::{Deadline, LaterLogons, TransportErrorKind};

/// What we announce as the largest answer; the smallest default of Windows.
const MAX_ENVELOPE: usize = 153_600;
/// Input in one `Send`: in base64 and sealed it stays below [`MAX_ENVELOPE`].
const INPUT_CHUNK: usize = 96 * 1024;
/// HTTP.sys closes a connection that was idle for 120 s. One that was idle for half of that is
/// replaced before a request that must not be repeated.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long a shell outlives a controller that is gone.
const SHELL_IDLE: Duration = Duration::from_secs(900);
/// What tidying up may take, whatever the command's own deadline was.
const TIDY_UP: Duration = Duration::from_secs(5);
/// How often it is tried in that time, and the pause between.
const TIDY_UP_ATTEMPTS: u32 = 5;
const TIDY_UP_PAUSE: Duration = Duration::from_millis(100);
/// How often a `Receive` is asked again after a lost connection, in one command.
const MAX_RECEIVE_AGAIN: u32 = 2;
/// The shortest operation timeout Windows takes.
const MIN_OPERATION: Duration = Duration::from_millis(500);

/// Asks a server what it is, without a logon: a server that answers is reachable and speaks
/// WinRM, whatever is wrong with the credential. The answer is not protected and proves nothing.
///
/// # Errors
///
/// As for any request; [`WinRmError::NotOffered`] from a server that wants a logon first.
pub async fn identify(
    settings: &WinRmSettings,
    deadline: Deadline,
) -> Result<Identity, WinRmError> {
    const IDENTIFY: &str = "Identify";
    let answer = Connection::identify(settings, deadline).await?;
    match ResponseEnvelope::parse(&answer) {
        Ok(ResponseEnvelope { response: Response::Identified(identity), .. }) => Ok(identity),
        Ok(_) => Err(unexpected(IDENTIFY)),
        Err(error) => Err(WinRmError::Protocol {
            request: IDENTIFY,
            what: "the answer cannot be read",
            source: Some(error.into()),
        }),
    }
}

struct Shell {
    id: String,
    commands: u32,
}

/// A session with one host. It never has two requests in flight.
pub(super) struct Session {
    settings: WinRmSettings,
    /// Who is asked before a logon that is not the first one.
    later: Option<Arc<dyn LaterLogons>>,
    has_logged_on: bool,
    /// A logon was rejected: none is tried again.
    is_rejected: bool,
    /// `wsmv:SessionId`, the same for all requests.
    session_id: String,
    /// Taken out while a request is in flight: a future that is dropped in the middle drops the
    /// connection, whose sealing would no longer match the server's.
    connection: Option<Connection>,
    last_used: Instant,
    shell: Option<Shell>,
    /// A command that may still run.
    running: Option<String>,
}

impl Session {
    pub(super) fn new(settings: WinRmSettings, later: Option<Arc<dyn LaterLogons>>) -> Self {
        Self {
            settings,
            later,
            has_logged_on: false,
            is_rejected: false,
            session_id: message_id(),
            connection: None,
            last_used: Instant::now(),
            shell: None,
            running: None,
        }
    }

    /// Connects and opens the shell, if that is not done yet.
    pub(super) async fn open(&mut self, deadline: Deadline) -> Result<(), WinRmError> {
        if self.shell.is_none() {
            self.create_shell(deadline).await?;
        }
        Ok(())
    }

    /// Runs a command to its end.
    ///
    /// After an error, and when the future is dropped, [`Session::abandon`] must follow.
    pub(super) async fn run(
        &mut self,
        line: &CommandLine,
        deadline: Deadline,
    ) -> Result<CommandOutput, RunFailure> {
        let not_run = |error| RunFailure { error, may_have_run: false };
        line.check().map_err(not_run)?;
        if deadline.left().is_zero() {
            return Err(not_run(WinRmError::TimedOut { request: "Command", sent: false }));
        }
        self.replace_idle_connection();
        if self.shell.as_ref().is_some_and(|s| s.commands >= self.settings.commands_per_shell) {
            self.delete_shell(deadline).await.map_err(not_run)?;
        }
        let id = match self.start(line, deadline).await {
            // The fault says that the command was not started: a fresh shell may help, once.
            Err(RunFailure { error, may_have_run: false }) if wants_new_shell(&error) => {
                self.abandon().await;
                self.start(line, deadline).await?
            }
            started => started?,
        };
        let may_have_run = |error| RunFailure { error, may_have_run: true };
        self.running = Some(id.clone());
        self.send_input(&id, &line.stdin, deadline).await.map_err(may_have_run)?;
        let output = self.receive_all(&id, deadline).await.map_err(may_have_run)?;
        self.running = None;
        // The command is over and has its result. A server that refuses the signal has no more to
        // release; one that cannot be reached loses the shell.
        let signal = Request::Signal { command_id: id, code: SignalCode::Terminate };
        match self.ask("Signal", signal, deadline.at_most(TIDY_UP)).await {
            Ok(_) | Err(WinRmError::Fault { .. }) => {}
            Err(_) => self.abandon().await,
        }
        Ok(output)
    }

    async fn start(
        &mut self,
        line: &CommandLine,
        deadline: Deadline,
    ) -> Result<String, RunFailure> {
        let not_run = |error| RunFailure { error, may_have_run: false };
        self.open(deadline).await.map_err(not_run)?;
        // Whatever goes wrong in the logon, the command has not left.
        self.connect(deadline).await.map_err(not_run)?;
        let request = Request::Command(StartCommand {
            command: line.command.clone(),
            arguments: line.arguments.clone(),
            console_stdin: false,
            skip_cmd_shell: line.skip_cmd_shell,
        });
        let started = match self.ask("Command", request.clone(), deadline).await {
            // Not a byte of it left, so the same request may go over a new connection.
            Err(WinRmError::Lost { sent: false, .. }) => {
                self.connect(deadline).await.map_err(not_run)?;
                self.ask("Command", request, deadline).await
            }
            other => other,
        };
        match started {
            Ok(Response::Started { command_id }) => {
                if let Some(shell) = &mut self.shell {
                    shell.commands += 1;
                }
                Ok(command_id)
            }
            Ok(_) => Err(RunFailure { error: unexpected("Command"), may_have_run: true }),
            Err(error) => {
                let may_have_run = error.outcome_is_unknown();
                Err(RunFailure { error, may_have_run })
            }
        }
    }

    async fn send_input(
        &mut self,
        command_id: &str,
        stdin: &[u8],
        deadline: Deadline,
    ) -> Result<(), WinRmError> {
        if stdin.is_empty() {
            return Ok(());
        }
        let mut chunks = stdin.chunks(INPUT_CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let request = Request::Send(SendInput {
                command_id: command_id.to_owned(),
                data: chunk.to_vec(),
                end: chunks.peek().is_none(),
            });
            match self.ask("Send", request, deadline).await? {
                Response::Sent => {}
                _ => return Err(unexpected("Send")),
            }
        }
        Ok(())
    }

    async fn receive_all(
        &mut self,
        command_id: &str,
        deadline: Deadline,
    ) -> Result<CommandOutput, WinRmError> {
        let mut collector = OutputCollector::new(self.settings.output);
        let mut again = 0;
        let mut request = self.envelope(Request::Receive { command_id: command_id.to_owned() });
        loop {
            let operation = self.settings.operation_timeout.min(deadline.left()).max(MIN_OPERATION);
            request.header.operation_timeout = Some(operation);
            match self.ask_with("Receive", &request, deadline).await {
                Ok(Response::Received(Received { output, state, .. })) => {
                    for (stream, data) in output {
                        collector.push(stream == OutputStream::Stdout, &data)?;
                    }
                    if let CommandState::Done(exit_code) = state {
                        collector.output.exit_code = exit_code;
                        return Ok(collector.output);
                    }
                }
                Ok(_) => return Err(unexpected("Receive")),
                // There was no output yet. The command's deadline ends this, nothing else.
                Err(WinRmError::Fault { fault, .. }) if fault.is_timed_out() => {
                    if deadline.left().is_zero() {
                        return Err(WinRmError::TimedOut { request: "Receive", sent: true });
                    }
                }
                // The same request, with its identifier: a server that keeps its last answer gives
                // it again. Another one has dropped what it carried.
                Err(
                    WinRmError::Lost { .. }
                    | WinRmError::AnswerCut { .. }
                    | WinRmError::SessionLost { .. },
                ) if again < MAX_RECEIVE_AGAIN => {
                    again += 1;
                    collector.output.has_gap = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            request.header.message_id = message_id();
        }
    }

    async fn create_shell(&mut self, deadline: Deadline) -> Result<(), WinRmError> {
        self.connect(deadline).await?;
        // Our own identifier lets us delete the shell even if the answer is lost.
        let id = Uuid::new_v4().to_string().to_uppercase();
        self.shell = Some(Shell { id: id.clone(), commands: 0 });
        let request = Request::Create(CreateShell {
            shell_id: Some(id),
            no_profile: true,
            code_page: Some(65_001),
            working_directory: None,
            idle_timeout: Some(SHELL_IDLE),
        });
        let mut envelope = self.envelope(request);
        envelope.header.shell_id = None;
        let answer = match self.ask_with("Create", &envelope, deadline).await {
            Err(WinRmError::Lost { sent: false, .. }) => {
                self.ask_with("Create", &envelope, deadline).await
            }
            other => other,
        };
        match answer {
            Ok(Response::Created { shell_id }) => {
                self.shell = Some(Shell { id: shell_id, commands: 0 });
                Ok(())
            }
            Ok(_) => Err(unexpected("Create")),
            Err(error) => {
                if !error.outcome_is_unknown() {
                    self.shell = None;
                }
                Err(error)
            }
        }
    }

    async fn delete_shell(&mut self, deadline: Deadline) -> Result<(), WinRmError> {
        if self.shell.is_some() {
            let deleted = self.ask("Delete", Request::Delete, deadline).await;
            self.shell = None;
            match deleted {
                Ok(_) => {}
                Err(WinRmError::Fault { fault, .. })
                    if fault.code == Some(FaultCode::SHELL_NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends what may still run and deletes the shell, over a fresh connection where the old one
    /// is in the middle of something. Deleting is what gives the host's quotas back.
    ///
    /// It takes a few seconds at most and does not report: the shell's idle timeout is what is left.
    pub(super) async fn abandon(&mut self) {
        let whole = Deadline::after(TIDY_UP);
        for attempt in 0..TIDY_UP_ATTEMPTS {
            if self.shell.is_none() || whole.left().is_zero() {
                break;
            }
            if attempt > 0 {
                tokio::time::sleep(TIDY_UP_PAUSE).await;
            }
            let deadline = whole.at_most(TIDY_UP / 2);
            match self.connect(deadline).await {
                Ok(()) => {}
                // A logon that fails is not tried again: that is what locks accounts.
                Err(error) if error.kind() == TransportErrorKind::AuthRejected => break,
                Err(_) => continue,
            }
            // Deleting ends the command, too; the signal lets it end first.
            if let Some(command_id) = self.running.take() {
                let signal = Request::Signal { command_id, code: SignalCode::Terminate };
                if self.ask("Signal", signal, deadline).await.is_err() {
                    continue;
                }
            }
            match self.ask("Delete", Request::Delete, deadline).await {
                Ok(_) => break,
                Err(WinRmError::Fault { fault, .. })
                    if fault.code == Some(FaultCode::SHELL_NOT_FOUND) =>
                {
                    break;
                }
                // The connection may have been dead: the next attempt has a fresh one.
                Err(_) => {}
            }
        }
        self.running = None;
        self.shell = None;
    }

    fn replace_idle_connection(&mut self) {
        let is_stale = |connection: &Connection| {
            connection.is_closed() || self.last_used.elapsed() > IDLE_LIMIT
        };
        if self.connection.as_ref().is_some_and(is_stale) {
            self.connection = None;
        }
    }

    async fn ask(
        &mut self,
        name: &'static str,
        request: Request,
        deadline: Deadline,
    ) -> Result<Response, WinRmError> {
        let envelope = self.envelope(request);
        self.ask_with(name, &envelope, deadline).await
    }

    /// Makes a connection if there is none that is open.
    async fn connect(&mut self, deadline: Deadline) -> Result<(), WinRmError> {
        if self.connection.as_ref().is_none_or(Connection::is_closed) {
            self.connection = None;
            self.may_log_on()?;
            let opened = Connection::open(&self.settings, deadline).await;
            self.connection = Some(opened.inspect_err(|error| self.note_rejection(error))?);
            self.has_logged_on = true;
        }
        Ok(())
    }

    /// The first logon is the business of who asked for the session. Whoever asks for another one may
    /// not know that he does.
    fn may_log_on(&self) -> Result<(), WinRmError> {
        if self.is_rejected {
            let user = self.settings.credential.user.clone();
            return Err(WinRmError::AuthenticationRejected { user });
        }
        match &self.later {
            Some(later) if self.has_logged_on => later.ask().map_err(WinRmError::LogonWithheld),
            _ => Ok(()),
        }
    }

    fn note_rejection(&mut self, error: &WinRmError) {
        if !matches!(error, WinRmError::AuthenticationRejected { .. }) {
            return;
        }
        self.is_rejected = true;
        if let Some(later) = self.later.as_ref().filter(|_| self.has_logged_on) {
            later.rejected(&error.to_string());
        }
    }

    /// Sends one request, over a new connection if there is none.
    async fn ask_with(
        &mut self,
        name: &'static str,
        envelope: &RequestEnvelope,
        deadline: Deadline,
    ) -> Result<Response, WinRmError> {
        self.connect(deadline).await?;
        let mut connection = self.connection.take().ok_or(WinRmError::Closed)?;
        let operation = envelope.header.operation_timeout.unwrap_or_default();
        let answer_by = deadline.at_most(operation + self.settings.answer_margin);
        let answer = connection.exchange(name, &envelope.to_xml(), answer_by).await;
        let answer = answer.inspect_err(|error| self.note_rejection(error))?;
        let answer = ResponseEnvelope::parse(&answer).map_err(|error| WinRmError::Protocol {
            request: name,
            what: "the answer cannot be read",
            source: Some(error.into()),
        })?;
        if !answer.relates_to.eq_ignore_ascii_case(&envelope.header.message_id) {
            let what = "the answer belongs to another request";
            return Err(WinRmError::Protocol { request: name, what, source: None });
        }
        self.connection = Some(connection);
        self.last_used = Instant::now();
        match answer.response {
            Response::Fault(fault) => Err(WinRmError::from_fault(name, fault)),
            response => Ok(response),
        }
    }

    fn envelope(&self, request: Request) -> RequestEnvelope {
        RequestEnvelope {
            header: RequestHeader {
                to: format!("http://{}/wsman", self.settings.authority()),
                message_id: message_id(),
                session_id: Some(self.session_id.clone()),
                resource_uri: uri::CMD_SHELL.to_owned(),
                shell_id: self.shell.as_ref().map(|shell| shell.id.clone()),
                operation_timeout: Some(self.settings.operation_timeout),
                max_envelope_size: Some(MAX_ENVELOPE),
            },
            request,
        }
    }
}

fn message_id() -> String {
    format!("uuid:{}", Uuid::new_v4().to_string().to_uppercase())
}

fn unexpected(request: &'static str) -> WinRmError {
    WinRmError::Protocol { request, what: "the answer is of another kind", source: None }
}

/// Faults of `Command` that a new shell can cure: the shell is gone, or has used up its share.
fn wants_new_shell(error: &WinRmError) -> bool {
    match error {
        WinRmError::OperationQuota { request, .. } => *request == "Command",
        WinRmError::Fault { request, fault } => {
            *request == "Command" && fault.code == Some(FaultCode::SHELL_NOT_FOUND)
        }
        _ => false,
    }
}
