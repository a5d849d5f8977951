//! Against servers that other people wrote. Each test is told by the environment where its peer
//! listens, and says so when there is none.

mod powershell;
mod samba_files;
mod smb_client;
mod winrm;

#[path = "../winrm/lab.rs"]
#[expect(dead_code, reason = "the tests of the client use the rest of it")]
mod lab;
