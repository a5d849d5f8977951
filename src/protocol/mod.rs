//! Codecs and protocol state machines, client and server halves, without any I/O.

pub mod auth;
pub mod tds;
