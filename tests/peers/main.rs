//! Programs that other people wrote, against both halves of our protocols.
//!
//! Our clients meet their servers, and their clients meet the fronts of the lab: one mistake
//! cannot hide on both sides. `tests/run.sh` makes the [`room`] in which all of this happens.

mod powershell;
mod room;
mod samba;
mod samba_files;
mod smb_client;
mod tds;
mod tds_queries;
mod winrm;

#[path = "../winrm/lab.rs"]
#[expect(dead_code, reason = "the tests of the client use the rest of it")]
mod lab;

#[path = "../sql/troubled.rs"]
mod troubled;
