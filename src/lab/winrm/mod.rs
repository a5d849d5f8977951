//! The WinRM front of a simulated machine: remote shells (WinRS) over HTTP on loopback.
//!
//! NTLM, raw or inside SPNEGO, authenticates the connection; from then on every message must be
//! sealed. Several shells per user, long polls, quotas and faults are those of Windows. The
//! PowerShell remoting protocol is answered with a fault that says so.
//!
//! A command starts when its standard input ends, or at the first `Receive` when nothing was sent
//! to it. Windows starts it at once; a simulated machine needs all the input before it can run,
//! and clients that send none (pywinrm's `run_cmd`) never end it.

mod body;
mod command;
mod connection;
mod front;
mod quota;
mod shells;

pub use front::{Counters, WinRmConfig, WinRmFront};
pub use quota::Quotas;
