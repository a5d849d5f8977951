//! Commands and scripts on a Windows host over WinRM.
//!
//! NTLM authenticates a *connection*, so a session owns its connections explicitly and there is no
//! pool. Over plain HTTP every message is sealed and only sealed answers are believed.
//!
//! What may be repeated is fixed here: `Command` and `Send` never once they may have left;
//! `Receive` after a lost connection, with the same message identifier.

mod command;
mod connection;
mod error;
mod form;
mod session;
mod settings;
mod shell;

pub use command::{CommandLine, CommandOutput, OutputLimits};
pub use error::{RunFailure, WinRmError};
pub(super) use form::post_form;
pub use session::identify;
pub use settings::{Authentication, Scheme, WinRmSettings};
pub use shell::WinRmShell;
