//! Codecs and protocol state machines, client and server halves, without any I/O.

pub mod auth;
pub mod clixml;
pub mod powershell;
pub mod sealed;
pub mod security_descriptor;
pub mod tds;
pub mod wsman;
