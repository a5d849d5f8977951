//! NTLM and SPNEGO: sspi as a client, an acceptor of our own for the servers of the lab.
//!
//! The acceptor is our own because it must refuse wrong passwords by itself, name the simulated
//! computer, and stand any bytes; it does no I/O and reads no clock.

mod accept_error;
mod acceptor;
mod initiator;
mod ntlm_acceptor;
mod ntlm_message;
mod ntlm_seal;
mod spnego;
#[cfg(test)]
mod tests;

pub use accept_error::AcceptError;
pub use acceptor::{Acceptor, Step};
pub use initiator::{InitiateError, Initiator, Mechanism};
pub use ntlm_acceptor::{Names, NtHash, NtlmAcceptor, nt_hash};
pub use ntlm_seal::{BadSignature, NtlmSession};
pub use spnego::server_hint;

/// The `tracing` directive that every subscriber must end with: at debug, sspi prints the plaintext
/// of what it seals, so the text of commands and their data.
/// The directive of a tracing filter that whoever installs a subscriber adds last.
///
/// At debug level sspi 0.23 writes the plaintext of what it seals, in hexadecimal.
pub const SSPI_TRACING_CAP: &str = "sspi=warn";
