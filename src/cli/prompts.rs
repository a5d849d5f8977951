//! Questions at the terminal, one at a time and in the order in which they came up.
//!
//! What is typed belongs to the question that is shown, and to no other. What was typed before it
//! was shown is forgotten, and a moment lies between two questions: who answers one cannot have
//! meant the next. One thread reads the keyboard, and only while a question is shown; a question
//! that needs no answer any more leaves nobody behind who would take the next line.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::keyboard::{self, Keyboard, Typed};

/// After a question is gone the next one is shown only when this time is over: keys that were meant
/// for the first one are forgotten.
const BETWEEN: Duration = Duration::from_secs(1);
/// The most of a line that is kept; terminals give no longer ones.
const LINE: usize = 4096;

/// The questions at one terminal.
pub(super) struct Prompts {
    keyboard: Box<dyn Keyboard>,
    state: Mutex<State>,
    /// A question was shown: there is something to read for.
    is_shown: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the next question.
    next: u64,
    /// Who has the terminal, and who waits for it, in order.
    line_up: VecDeque<Waiter>,
    /// The question that is before the operator.
    shown: Option<Shown>,
    /// What was typed of its answer so far.
    begun: Vec<u8>,
    /// Whether the thread that reads the keyboard runs.
    has_reader: bool,
    /// Before then no question is shown.
    quiet_until: Option<Instant>,
}

struct Waiter {
    number: u64,
    /// Told when it is this one's turn.
    turn: Option<oneshot::Sender<()>>,
}

struct Shown {
    number: u64,
    /// Takes the line; nothing when nobody will type one.
    answer: oneshot::Sender<Option<String>>,
}

/// A question's place in the line. Who drops it gives it up: if the question was shown, that it is
/// not asked any more is said, and the next one is put.
pub(super) struct Place {
    prompts: Arc<Prompts>,
    number: u64,
    turn: Option<oneshot::Receiver<()>>,
    /// What the question is called when it is taken back.
    name: String,
    was_shown: bool,
}

impl Prompts {
    pub(super) fn new(keyboard: impl Keyboard) -> Arc<Self> {
        Arc::new(Self {
            keyboard: Box::new(keyboard),
            state: Mutex::default(),
            is_shown: Condvar::new(),
        })
    }

    /// Those at the terminal of this process: it has one keyboard.
    pub(super) fn own() -> Arc<Self> {
        static OWN: OnceLock<Arc<Prompts>> = OnceLock::new();
        Arc::clone(OWN.get_or_init(|| Self::new(keyboard::own())))
    }

    /// Takes the next place for a question of this name, which is harmless on a terminal.
    pub(super) fn line_up(self: &Arc<Self>, name: String) -> Place {
        let (turn, comes) = oneshot::channel();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.line_up.push_back(Waiter { number, turn: Some(turn) });
        state.call_first();
        drop(state);
        let prompts = Arc::clone(self);
        Place { prompts, number, turn: Some(comes), name, was_shown: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a question, and has its answer read.
    fn show(self: &Arc<Self>, number: u64, text: &str) -> oneshot::Receiver<Option<String>> {
        let (answer, comes) = oneshot::channel();
        let mut state = self.state();
        state.begun.clear();
        // The reader reads under this lock as well: what is forgotten here it has not seen, and what
        // it sees from now on was typed after the question was there.
        self.keyboard.forget();
        self.keyboard.show(text);
        state.shown = Some(Shown { number, answer });
        if !state.has_reader {
            let prompts = Arc::clone(self);
            let thread = std::thread::Builder::new().name("keyboard".to_owned());
            state.has_reader = thread.spawn(move || prompts.read()).is_ok();
        }
        if !state.has_reader {
            // Nobody reads: nobody is there.
            state.shown = None;
        }
        drop(state);
        self.is_shown.notify_all();
        comes
    }

    /// Gives each line to the question that is shown, as long as the process lives.
    fn read(&self) {
        loop {
            let state = self.state();
            let is_idle = |state: &mut State| state.shown.is_none();
            drop(self.is_shown.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner));
            self.keyboard.wait();
            let mut state = self.state();
            // It may have been taken back meanwhile; then the keys are left where they are.
            if state.shown.is_some() {
                state.take_in(self.keyboard.read());
            }
        }
    }
}

impl State {
    /// Tells the first in the line that it is his turn, once.
    fn call_first(&mut self) {
        if let Some(turn) = self.line_up.front_mut().and_then(|waiter| waiter.turn.take()) {
            let _gone = turn.send(());
        }
    }

    fn take_in(&mut self, typed: Typed) {
        let line = match typed {
            Typed::Nothing => return,
            Typed::Keys(keys) => {
                self.begun.extend(keys);
                if !self.begun.contains(&b'\n') && self.begun.len() < LINE {
                    return;
                }
                let line = std::mem::take(&mut self.begun);
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            // A line that was cut is no answer.
            Typed::End => None,
        };
        if let Some(shown) = self.shown.take() {
            let _taken_back = shown.answer.send(line);
        }
    }
}

impl Place {
    /// Waits for its turn, shows the text, and returns the line that was typed then; nothing when
    /// nobody is there who could type one.
    pub(super) async fn answer(mut self, text: &str) -> Option<String> {
        if let Some(turn) = self.turn.take() {
            turn.await.ok()?;
        }
        let quiet_until = self.prompts.state().quiet_until;
        if let Some(until) = quiet_until {
            tokio::time::sleep_until(until).await;
        }
        self.was_shown = true;
        let answer = self.prompts.show(self.number, text);
        answer.await.ok().flatten()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.prompts.state();
        if state.shown.take_if(|shown| shown.number == self.number).is_some() {
            self.prompts.keyboard.show(&format!("\n{} is not asked any more\n", self.name));
        }
        if self.was_shown {
            state.quiet_until = Some(Instant::now() + BETWEEN);
        }
        state.line_up.retain(|waiter| waiter.number != self.number);
        state.call_first();
    }
}

#[cfg(test)]
#[path = "prompts/tests.rs"]
mod tests;
