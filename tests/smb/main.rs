//! The SMB client, the host layer and the actions over files against the lab's SMB server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod actions;
mod client;
mod lab;
