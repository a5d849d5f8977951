//! The keyboard of the operator: the lines that he types, and what he typed too early.
//!
//! Nothing is taken from the terminal while nobody is asked, so that whoever comes next finds it: a
//! prompt for a password, or the shell.

use super::output;

/// What a look at the keyboard found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing, after all.
    Nothing,
    /// Keys: at most a line, with its end when that was typed.
    Keys(Vec<u8>),
    /// Nobody will type anything: the terminal has gone, or says that there is no more.
    End,
}

/// A terminal at which one question at a time is put.
pub(super) trait Keyboard: Send + Sync + 'static {
    /// Shows a text.
    fn show(&self, text: &str);

    /// Forgets what was typed and not read.
    fn forget(&self);

    /// Waits until there may be something to read. It reads nothing itself.
    fn wait(&self);

    /// Reads what is there; never waits.
    fn read(&self) -> Typed;
}

/// Forgets what was typed before a question of this process is shown.
pub(super) fn forget() {
    own().forget();
}

/// The keyboard of this process.
#[cfg(unix)]
pub(super) fn own() -> impl Keyboard {
    Own
}

/// The keyboard of this process.
#[cfg(not(unix))]
pub(super) fn own() -> impl Keyboard {
    Own::default()
}

/// Standard input and standard error of this process.
#[cfg(unix)]
struct Own;

#[cfg(unix)]
impl Own {
    /// Whether there is something to read, or an end.
    fn is_ready(timeout: Option<&rustix::event::Timespec>) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let stdin = std::io::stdin();
        let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
        // Where it cannot be asked, reading tells why.
        poll(&mut asked, timeout).map_or_else(|e| e != rustix::io::Errno::INTR, |ready| ready > 0)
    }
}

#[cfg(unix)]
impl Keyboard for Own {
    fn show(&self, text: &str) {
        output::talk(text);
    }

    fn forget(&self) {
        use rustix::termios::{QueueSelector, tcflush};
        // What is no terminal keeps nothing that was typed.
        let _no_terminal = tcflush(std::io::stdin(), QueueSelector::IFlush);
    }

    fn wait(&self) {
        Self::is_ready(None);
    }

    fn read(&self) -> Typed {
        const AT_ONCE: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !Self::is_ready(Some(&AT_ONCE)) {
            return Typed::Nothing;
        }
        let mut keys = [0; 4096];
        match rustix::io::read(std::io::stdin(), &mut keys) {
            Ok(0) => Typed::End,
            Ok(count) => Typed::Keys(keys[..count].to_vec()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Typed::Nothing,
            Err(_) => Typed::End,
        }
    }
}

/// Standard input and standard error of this process. Where a line can only be waited for by
/// reading it, one that comes too early is forgotten when it was read before the next question.
#[cfg(not(unix))]
#[derive(Default)]
struct Own(std::sync::Mutex<Option<Typed>>);

#[cfg(not(unix))]
impl Own {
    fn line(&self) -> std::sync::MutexGuard<'_, Option<Typed>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(not(unix))]
impl Keyboard for Own {
    fn show(&self, text: &str) {
        output::talk(text);
    }

    fn forget(&self) {
        *self.line() = None;
    }

    fn wait(&self) {
        let mut line = String::new();
        let typed = match std::io::stdin().read_line(&mut line) {
            Ok(1..) => Typed::Keys(line.into_bytes()),
            Ok(0) | Err(_) => Typed::End,
        };
        *self.line() = Some(typed);
    }

    fn read(&self) -> Typed {
        self.line().take().unwrap_or(Typed::Nothing)
    }
}
