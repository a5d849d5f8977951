//! One command in a shell: its input, its run, and what of its output was delivered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::lab::front::{CommandReply, CommandRequest, Machine};
use crate::protocol::wsman::{CommandState, OutputStream, Received, SignalCode, StartCommand};

/// `STATUS_CONTROL_C_EXIT`.
const CONTROL_C_EXIT: i32 = 0xC000_013A_u32.cast_signed();

/// A command that was accepted.
pub(super) struct Command {
    id: String,
    state: Mutex<State>,
    /// Whether a reply is there.
    ended: watch::Sender<bool>,
}

struct State {
    request: CommandRequest,
    is_started: bool,
    input_ended: bool,
    reply: Option<CommandReply>,
    stdout_sent: usize,
    stderr_sent: usize,
    /// The last answer with the request it was for: the same request gets the same answer.
    last: Option<(String, Received)>,
    /// Holds the machine's run; ended with the command.
    run: JoinSet<()>,
}

impl Command {
    pub(super) fn new(id: String, user: String, start: StartCommand) -> Self {
        let request = CommandRequest {
            user,
            command: start.command,
            arguments: start.arguments,
            stdin: Vec::new(),
        };
        let state = State {
            request,
            is_started: false,
            input_ended: false,
            reply: None,
            stdout_sent: 0,
            stderr_sent: 0,
            last: None,
            run: JoinSet::new(),
        };
        Self { id, state: Mutex::new(state), ended: watch::Sender::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes input in; at its end the command starts. `Err` when there is more than `limit`.
    pub(super) fn send(
        self: &Arc<Self>,
        data: &[u8],
        end: bool,
        limit: usize,
        machine: &Arc<dyn Machine>,
    ) -> Result<(), InputRefused> {
        let mut state = self.state();
        if state.is_started || state.request.stdin.len() + data.len() > limit {
            return Err(InputRefused);
        }
        state.request.stdin.extend_from_slice(data);
        state.input_ended |= end;
        if end {
            self.start(&mut state, machine);
        }
        Ok(())
    }

    /// Starts the command if it waits for nothing: no input was sent at all.
    pub(super) fn start_without_input(self: &Arc<Self>, machine: &Arc<dyn Machine>) {
        let mut state = self.state();
        if !state.is_started && !state.input_ended && state.request.stdin.is_empty() {
            self.start(&mut state, machine);
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, machine: &Arc<dyn Machine>) {
        state.is_started = true;
        let request = state.request.clone();
        let machine = Arc::clone(machine);
        // A command whose shell is gone has nobody to tell.
        let command = Arc::downgrade(self);
        state.run.spawn(async move {
            let reply = machine.run(request).await;
            if let Some(command) = command.upgrade() {
                command.state().reply.get_or_insert(reply);
                command.ended.send_replace(true);
            }
        });
    }

    /// Delivers a signal.
    pub(super) fn signal(&self, code: SignalCode) {
        let mut state = self.state();
        state.run.abort_all();
        state.is_started = true;
        let exit_code = match code {
            SignalCode::CtrlC => CONTROL_C_EXIT,
            SignalCode::Terminate => 1,
        };
        state.reply.get_or_insert(CommandReply { exit_code, ..CommandReply::default() });
        drop(state);
        self.ended.send_replace(true);
    }

    /// Waits until there is something to receive; cancel safe.
    pub(super) async fn wait(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The next piece of output, of at most `limit` bytes; `None` while there is none.
    pub(super) fn receive(&self, message_id: &str, limit: usize) -> Option<Received> {
        let mut state = self.state();
        if let Some((asked, last)) = &state.last
            && asked == message_id
        {
            return Some(last.clone());
        }
        let State { reply, stdout_sent, stderr_sent, last, .. } = &mut *state;
        let reply = reply.as_ref()?;
        let mut output = Vec::new();
        let mut room = limit;
        let streams = [
            (OutputStream::Stdout, &reply.stdout, stdout_sent),
            (OutputStream::Stderr, &reply.stderr, stderr_sent),
        ];
        let mut is_done = true;
        for (stream, data, sent) in streams {
            let end = data.len().min(*sent + room);
            if end > *sent {
                output.push((stream, data[*sent..end].to_vec()));
            }
            room -= end - *sent;
            *sent = end;
            is_done &= end == data.len();
        }
        let received = Received {
            command_id: self.id.clone(),
            output,
            state: if is_done {
                CommandState::Done(Some(reply.exit_code))
            } else {
                CommandState::Running
            },
        };
        *last = Some((message_id.to_owned(), received.clone()));
        Some(received)
    }
}

/// The command no longer takes input, or not that much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputRefused;
