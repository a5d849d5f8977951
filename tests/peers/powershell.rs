//! The remote scripts against another project's grammar of PowerShell.

use std::time::Duration;

use crate::room::{Room, run};

#[tokio::test]
async fn every_remote_script_is_parsed_by_the_grammar_of_others() {
    let Some(room) = Room::enter() else { return };
    let mut parser = room.python("parse_powershell.py");
    parser.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));

    let said = run(&mut parser, "", Duration::from_secs(30)).await;

    assert!(said.is_success, "{}", said.text);
}
