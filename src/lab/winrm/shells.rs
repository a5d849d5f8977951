//! The shells of a machine, and what each request does to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::command::{Command, InputRefused};
use super::quota::Quotas;
use crate::lab::front::Machine;
use crate::protocol::wsman::{
    CreateShell, Fault, FaultCode, Identity, Request, RequestEnvelope, Response, SendInput,
    StartCommand, uri,
};

/// The shortest shell idle timeout that Windows takes.
const MIN_SHELL_IDLE: Duration = Duration::from_secs(60);
/// The part of an envelope that is not output.
const ENVELOPE_MARGIN: usize = 8 * 1024;

struct Shell {
    owner: String,
    commands: HashMap<String, Arc<Command>>,
    /// Commands ever started in it.
    operations: usize,
    idle: Duration,
    last_used: Instant,
}

/// All shells, under one lock that is never held across a wait.
pub(super) struct Shells {
    quotas: Quotas,
    machine: Arc<dyn Machine>,
    open: Mutex<HashMap<String, Shell>>,
}

impl Shells {
    pub(super) fn new(quotas: Quotas, machine: Arc<dyn Machine>) -> Self {
        Self { quotas, machine, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Shell>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, shell| shell.last_used.elapsed() <= shell.idle);
        open
    }

    /// How many shells are open.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// Carries out one request of an authenticated user.
    pub(super) async fn answer(&self, user: &str, envelope: RequestEnvelope) -> Response {
        let RequestEnvelope { header, request } = envelope;
        if request == Request::Identify {
            return identity();
        }
        if header.resource_uri != uri::CMD_SHELL {
            return Response::Fault(not_simulated(&format!(
                "the resource {} ({})",
                header.resource_uri,
                request.name()
            )));
        }
        let shell = header.shell_id.as_deref().unwrap_or_default();
        let result = match request {
            Request::Create(create) => self.create(user, create),
            Request::Command(start) => self.start(user, shell, start),
            Request::Send(input) => self.send(user, shell, &input),
            Request::Receive { command_id } => {
                let wait = header.operation_timeout.unwrap_or(self.quotas.operation_timeout);
                let envelope = header.max_envelope_size.unwrap_or(self.quotas.envelope);
                self.receive(user, shell, &command_id, &header.message_id, wait, envelope).await
            }
            Request::Signal { command_id, code } => {
                self.command(user, shell, &command_id).map(|command| {
                    command.signal(code);
                    Response::Signalled
                })
            }
            Request::Delete => self.delete(user, shell),
            Request::Identify => Ok(identity()),
            Request::Other { action } => Err(not_simulated(&format!("the action {action}"))),
        };
        result.unwrap_or_else(Response::Fault)
    }

    fn create(&self, user: &str, create: CreateShell) -> Result<Response, Fault> {
        let mut open = self.open();
        if open.values().filter(|shell| shell.owner == user).count() >= self.quotas.shells_per_user
        {
            return Err(shell_quota());
        }
        let shell_id = match create.shell_id {
            Some(id) if Uuid::parse_str(&id).is_ok() && !open.contains_key(&id) => id,
            Some(_) => {
                return Err(Fault::sender(
                    FaultCode::INVALID_RESOURCE,
                    "InvalidParameter",
                    "the shell identifier is no GUID or is in use",
                ));
            }
            None => new_id(),
        };
        let idle = create.idle_timeout.unwrap_or(self.quotas.shell_idle).max(MIN_SHELL_IDLE);
        let shell = Shell {
            owner: user.to_owned(),
            commands: HashMap::new(),
            operations: 0,
            idle,
            last_used: Instant::now(),
        };
        open.insert(shell_id.clone(), shell);
        Ok(Response::Created { shell_id })
    }

    fn start(&self, user: &str, shell: &str, start: StartCommand) -> Result<Response, Fault> {
        let mut open = self.open();
        let operations: usize =
            open.values().filter(|shell| shell.owner == user).map(|shell| shell.operations).sum();
        let shell = own(&mut open, user, shell)?;
        if shell.commands.len() >= self.quotas.processes_per_shell {
            return Err(shell_quota());
        }
        if operations >= self.quotas.operations_per_user {
            return Err(Fault::receiver(
                FaultCode::OPERATION_QUOTA,
                "InternalError",
                "the maximum number of concurrent operations for this user has been exceeded",
            ));
        }
        let command_id = new_id();
        let command = Command::new(command_id.clone(), user.to_owned(), start);
        shell.commands.insert(command_id.clone(), Arc::new(command));
        shell.operations += 1;
        Ok(Response::Started { command_id })
    }

    fn send(&self, user: &str, shell: &str, input: &SendInput) -> Result<Response, Fault> {
        let command = self.command(user, shell, &input.command_id)?;
        match command.send(&input.data, input.end, self.quotas.input, &self.machine) {
            Ok(()) => Ok(Response::Sent),
            Err(InputRefused) => Err(Fault::sender(
                FaultCode::INVALID_RESOURCE,
                "InvalidParameter",
                "the command takes no more input",
            )),
        }
    }

    async fn receive(
        &self,
        user: &str,
        shell: &str,
        command: &str,
        message_id: &str,
        wait: Duration,
        envelope: usize,
    ) -> Result<Response, Fault> {
        let command = self.command(user, shell, command)?;
        command.start_without_input(&self.machine);
        let envelope = envelope.min(self.quotas.envelope).saturating_sub(ENVELOPE_MARGIN);
        let limit = (envelope / 4 * 3).max(1_024);
        if timeout(wait, command.wait()).await.is_err() {
            return Err(Fault::receiver(
                FaultCode::TIMED_OUT,
                "TimedOut",
                "the operation did not end within the time given for it",
            ));
        }
        let received = command.receive(message_id, limit);
        // The poll itself keeps the shell alive, however long it took.
        own(&mut self.open(), user, shell)?;
        received.map(Response::Received).ok_or_else(not_found)
    }

    fn delete(&self, user: &str, shell: &str) -> Result<Response, Fault> {
        let mut open = self.open();
        own(&mut open, user, shell)?;
        open.remove(shell);
        Ok(Response::Deleted)
    }

    fn command(&self, user: &str, shell: &str, command: &str) -> Result<Arc<Command>, Fault> {
        let mut open = self.open();
        let shell = own(&mut open, user, shell)?;
        shell.commands.get(command).map(Arc::clone).ok_or_else(not_found)
    }

    /// Forgets a command that was terminated: its process is over, its operation still counts.
    pub(super) fn forget(&self, user: &str, shell: &str, command: &str) {
        if let Ok(shell) = own(&mut self.open(), user, shell) {
            shell.commands.remove(command);
        }
    }
}

fn own<'a>(
    open: &'a mut HashMap<String, Shell>,
    user: &str,
    shell: &str,
) -> Result<&'a mut Shell, Fault> {
    let shell = open.get_mut(shell).filter(|shell| shell.owner == user).ok_or_else(not_found)?;
    shell.last_used = Instant::now();
    Ok(shell)
}

fn new_id() -> String {
    Uuid::new_v4().to_string().to_uppercase()
}

/// What an unauthenticated client may know, too.
pub(super) fn identity() -> Response {
    Response::Identified(Identity {
        protocol: uri::WSMAN.to_owned(),
        vendor: "fleetmend simulation".to_owned(),
        version: "OS: 0.0.0 SP: 0.0 Stack: 3.0".to_owned(),
    })
}

/// The fault of a used-up shell quota.
pub(super) fn shell_quota() -> Fault {
    Fault::receiver(
        FaultCode::SHELL_QUOTA,
        "InternalError",
        "the maximum number of concurrent shells for this user has been exceeded",
    )
}

fn not_found() -> Fault {
    Fault::sender(
        FaultCode::SHELL_NOT_FOUND,
        "InvalidSelectors",
        "there is no such shell or command",
    )
}

fn not_simulated(what: &str) -> Fault {
    Fault::sender(
        FaultCode::INVALID_RESOURCE,
        "ActionNotSupported",
        &format!("not simulated: {what}"),
    )
}
