//! The shell as the layers above see it: scripts, one at a time, by a worker that owns the session.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::{CommandLine, CommandOutput};
use super::session::Session;
use super::{RunFailure, WinRmError, WinRmSettings};
use crate::model::HostName;
use crate::protocol::{clixml, powershell};
use crate::transport::{
    ChangeScript, ChangeShell, Deadline, LaterLogons, ReadScript, ReadShell, Target,
    TransportError, TransportErrorKind,
};

/// Commands that may wait for the one that runs.
const WAITING: usize = 16;
/// Standard error that goes into a message, in characters.
const MESSAGE_LIMIT: usize = 2_000;

struct Job {
    line: CommandLine,
    deadline: Deadline,
    reply: oneshot::Sender<Result<CommandOutput, RunFailure>>,
}

/// A remote shell. Commands run one after the other.
///
/// Dropping the future of a command ends that command on the host: a worker that owns the session
/// sees it, signals the command and deletes the shell. Dropping the shell without
/// [`ReadShell::close`] deletes it, too, within a few seconds and unseen.
#[derive(Debug)]
pub struct WinRmShell {
    host: String,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl WinRmShell {
    /// Connects, authenticates and opens a shell.
    ///
    /// # Errors
    ///
    /// What kept it from any of that; nothing is left behind on the host.
    pub async fn open(settings: WinRmSettings, deadline: Deadline) -> Result<Self, WinRmError> {
        Self::open_lasting(settings, None, deadline).await
    }

    /// The same, with somebody who is asked before it logs on again.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_lasting(
        settings: WinRmSettings,
        later: Option<Arc<dyn LaterLogons>>,
        deadline: Deadline,
    ) -> Result<Self, WinRmError> {
        let host = settings.host.clone();
        let (jobs, waiting) = mpsc::channel(WAITING);
        let (opened, is_open) = oneshot::channel();
        let worker = tokio::spawn(work(Session::new(settings, later), deadline, opened, waiting));
        is_open.await.map_err(|_| WinRmError::Closed)??;
        Ok(Self { host, jobs: Mutex::new(Some(jobs)), worker: Mutex::new(Some(worker)) })
    }

    /// Opens a shell on a target of the inventory.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], in the kinds that all transports share.
    pub async fn connect(target: &Target, deadline: Deadline) -> Result<Self, TransportError> {
        let opened = match WinRmSettings::for_target(target) {
            Ok(settings) => Self::open(settings, deadline).await,
            Err(error) => Err(error),
        };
        opened.map_err(|error| {
            let doing = format!("could not open a shell on {}", target.host);
            TransportError::caused_by(error.kind(), doing, error)
        })
    }

    /// Runs a command to its end. Cancel safe: dropping the future ends the command on the host.
    ///
    /// # Errors
    ///
    /// [`RunFailure`] tells whether the command may have run. An exit code other than 0 is no
    /// error here.
    pub async fn run(
        &self,
        line: CommandLine,
        deadline: Deadline,
    ) -> Result<CommandOutput, RunFailure> {
        let closed = || RunFailure { error: WinRmError::Closed, may_have_run: false };
        let jobs = self.jobs.lock().await.clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(Job { line, deadline, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| RunFailure { error: WinRmError::Closed, may_have_run: true })?
    }

    async fn script(
        &self,
        name: &str,
        text: &str,
        input: &Value,
        deadline: Deadline,
        changes: bool,
    ) -> Result<Value, TransportError> {
        let doing = || format!("could not run the script {name} on {}", self.host);
        let line = CommandLine::powershell(text, powershell::write_input(input))
            .map_err(|error| TransportError::caused_by(error.kind(), doing(), error))?;
        let output = self.run(line, deadline).await.map_err(|failure| {
            let kind = match failure.error {
                // A read may be asked again, so that it is enough to know that the host is busy.
                WinRmError::Busy { .. } if !changes => TransportErrorKind::Throttled,
                _ => failure.kind(),
            };
            let by = match &failure.error {
                WinRmError::LogonWithheld(withheld) => withheld.by.clone(),
                WinRmError::AuthenticationRejected { .. } => Some(HostName::new(&*self.host)),
                _ => None,
            };
            let error = TransportError::caused_by(kind, doing(), failure.error);
            TransportError { rejected_by: by, ..error }
        })?;
        result_of(&output, changes)
            .map_err(|(kind, failed)| TransportError::caused_by(kind, doing(), failed))
    }
}

/// The result that a script wrote.
///
/// One that changes something says itself, by exit code 1, that it failed. When it was killed, or
/// its result is missing, nobody knows how far it came.
fn result_of(
    output: &CommandOutput,
    changes: bool,
) -> Result<Value, (TransportErrorKind, ScriptError)> {
    let unknown = if changes { TransportErrorKind::InDoubt } else { TransportErrorKind::Fault };
    let message = || message_of(&output.stderr);
    match output.exit_code {
        // It ended well, but what it said may be gone. A line that came in one piece is whole.
        Some(0) => match powershell::read_result(&output.stdout) {
            Ok(_) if output.has_gap && output.stdout_pieces > 1 => {
                Err((TransportErrorKind::InDoubt, ScriptError::Gap))
            }
            Ok(result) => Ok(result),
            Err(_) if output.has_gap => Err((TransportErrorKind::InDoubt, ScriptError::Gap)),
            Err(source) => Err((unknown, ScriptError::NoResult { source, message: message() })),
        },
        exit_code => {
            let is_its_own_word = exit_code.is_some_and(|code| code > 0);
            let kind = if is_its_own_word { TransportErrorKind::Fault } else { unknown };
            Err((kind, ScriptError::Failed { exit_code, message: message() }))
        }
    }
}

/// A script ended without the result it owes.
#[derive(Debug, thiserror::Error)]
enum ScriptError {
    #[error("it ended with {}: {message}", .exit_code.map_or("no exit code".to_owned(), |c| format!("exit code {c}")))]
    Failed { exit_code: Option<i32>, message: String },
    #[error("it ended well, but an answer with its output was lost on the way")]
    Gap,
    #[error("it wrote no usable result: {message}")]
    NoResult {
        #[source]
        source: powershell::ExchangeError,
        message: String,
    },
}

fn message_of(stderr: &[u8]) -> String {
    let text = clixml::readable(&String::from_utf8_lossy(stderr));
    match text.trim() {
        "" => "standard error is empty".to_owned(),
        text => text.chars().take(MESSAGE_LIMIT).collect(),
    }
}

/// Owns the session from its opening to its end.
async fn work(
    mut session: Session,
    deadline: Deadline,
    mut opened: oneshot::Sender<Result<(), WinRmError>>,
    mut waiting: mpsc::Receiver<Job>,
) {
    let result = tokio::select! {
        result = session.open(deadline) => Some(result),
        () = opened.closed() => None,
    };
    let is_open = matches!(result, Some(Ok(())));
    if !is_open {
        session.abandon().await;
    }
    if let Some(result) = result {
        let is_wanted = opened.send(result).is_ok();
        if !is_open {
            return;
        }
        if is_wanted {
            while let Some(mut job) = waiting.recv().await {
                // A command that was given up while it waited must not begin.
                let result = tokio::select! {
                    biased;
                    () = job.reply.closed() => None,
                    result = session.run(&job.line, job.deadline) => Some(result),
                };
                if !matches!(result, Some(Ok(_))) {
                    session.abandon().await;
                }
                if let Some(result) = result {
                    // Nobody listens any more: the command is over all the same.
                    let _ = job.reply.send(result);
                }
            }
        }
    }
    session.abandon().await;
}

#[async_trait]
impl ReadShell for WinRmShell {
    async fn read(
        &self,
        script: &ReadScript,
        input: &Value,
        deadline: Deadline,
    ) -> Result<Value, TransportError> {
        self.script(script.name, script.text, input, deadline, false).await
    }

    async fn close(&self) {
        self.jobs.lock().await.take();
        if let Some(worker) = self.worker.lock().await.take() {
            // The worker catches nothing; a panic of its is told where panics are told.
            let _ = worker.await;
        }
    }
}

#[async_trait]
impl ChangeShell for WinRmShell {
    async fn change(
        &self,
        script: &ChangeScript,
        input: &Value,
        deadline: Deadline,
    ) -> Result<Value, TransportError> {
        self.script(script.name, script.text, input, deadline, true).await
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(exit_code: Option<i32>, stdout: &str, changes: bool) -> TransportErrorKind {
        let output = CommandOutput { stdout: stdout.into(), exit_code, ..CommandOutput::default() };
        result_of(&output, changes).expect_err("there is no result").0
    }

    #[test]
    fn a_change_that_was_killed_or_whose_result_is_missing_is_in_doubt() {
        const CONTROL_C_EXIT: i32 = -1_073_741_510;
        for (exit_code, stdout) in
            [(None, ""), (Some(CONTROL_C_EXIT), ""), (Some(0), ""), (Some(0), "FLEETMEND:eyJ")]
        {
            assert_eq!(kind(exit_code, stdout, true), TransportErrorKind::InDoubt, "{exit_code:?}");
            assert_eq!(kind(exit_code, stdout, false), TransportErrorKind::Fault, "{exit_code:?}");
        }
        assert_eq!(kind(Some(1), "", true), TransportErrorKind::Fault);
    }
}
