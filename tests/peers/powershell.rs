//! The remote scripts against another project's grammar of PowerShell.

use std::path::PathBuf;
use std::process::Command;

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn every_remote_script_is_parsed_by_the_grammar_of_others() {
    let Some(peers) = std::env::var_os("FLEETMEND_PEERS") else {
        eprintln!("SKIPPED: FLEETMEND_PEERS is not set; see tests/run.sh");
        return;
    };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));

    let output = Command::new(PathBuf::from(peers).join("bin/python"))
        .arg(root.join("tests/peers/parse_powershell.py"))
        .arg(root.join("src"))
        .output()
        .expect("the peer's Python runs");

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
