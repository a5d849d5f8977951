//! A machine's web server: HTTP/1.1 with a logon by NTLM or SPNEGO where a page asks for one.
//!
//! The logon belongs to the connection, as with IIS; unlike WinRM's, the messages are not sealed.

mod connection;
mod front;

pub use front::{WebConfig, WebFront};
