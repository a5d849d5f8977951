//! A host's file system over SMB 2 and 3: its administrative shares, `C:` being `C$`.
//!
//! It stands on the low level of the crate `smb2`: its messages, its signing and its encryption.
//! What that crate would do by itself (follow DFS, reconnect, keep alive, compress) is off: a
//! connection on which a deadline passed is dropped, and whoever needs the host makes a new one.

mod change;
mod connection;
mod error;
mod handle;
mod name;
mod read;

pub use connection::{SmbFiles, connect};
