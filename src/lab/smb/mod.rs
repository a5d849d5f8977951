//! The SMB front of a simulated machine: dialects 2.0.2 to 3.1.1, always signed, encrypted when
//! asked, over the machine's [`Tree`](super::tree::Tree).
//!
//! A [`Connection`] is a state machine without I/O: frames in, replies out. [`serve`] runs it on
//! a listener. Message bodies are read and written here, at the offsets [MS-SMB2] gives, while
//! keys, signatures and encryption come from `smb2`; so a mistake in that crate's message codec
//! shows as a failure between its client and this server instead of hiding on both sides.
//!
//! Not simulated, and said so in the answer: locks, change notification, named streams, leases
//! (none is ever granted), durable handles, multichannel and re-authentication.

mod connection;
mod create;
mod directory;
mod dispatch;
mod file;
mod info;
mod ioctl;
mod listener;
mod lsarpc;
mod machine;
mod ndr;
mod negotiate;
mod pipe;
mod protect;
mod session;
mod set_info;
mod share;
mod srvsvc;
mod status;
#[cfg(test)]
mod tests;
mod wire;

pub use connection::{Connection, Reply, Then};
pub use listener::serve;
pub use machine::{Clock, SmbMachine};
pub use share::{NamedShare, Shares};
