//! The room in which the programs of others run: a network, mounts and processes of its own.
//!
//! `tests/run.sh` makes it. Inside it a peer that is missing is a failure; outside of it nothing is
//! run, and that is said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// Being inside the room, and what is in it.
pub(crate) struct Room {
    peers: PathBuf,
}

impl Room {
    /// Says loudly why a test is not run when this process is not inside the room.
    pub(crate) fn enter() -> Option<Self> {
        match Self::look() {
            Ok(room) => Some(room),
            // tests/run.sh has made the room: then nothing may be left out.
            Err(reason) if std::env::var_os("FLEETMEND_PEERS_REQUIRED").is_some() => {
                panic!("{reason}")
            }
            Err(reason) => {
                // Past the capture of the test harness: it shows nothing of a test that passes.
                let line = format!("NOT RUN: {reason}; see tests/run.sh\n");
                std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
                None
            }
        }
    }

    fn look() -> Result<Self, String> {
        let peers = std::env::var_os("FLEETMEND_PEERS")
            .ok_or("FLEETMEND_PEERS names no Python environment")?;
        // Not /sys/class/net: it shows the network of whoever mounted it.
        let devices = std::fs::read_to_string("/proc/self/net/dev")
            .map_err(|error| format!("no list of network devices: {error}"))?;
        let names = devices.lines().filter_map(|line| line.split_once(':'));
        if !names.map(|(name, _)| name.trim()).eq(["lo"]) {
            return Err("the network is not a private one".to_owned());
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("no list of mounts: {error}"))?;
        if !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/etc")) {
            return Err("/etc is the machine's own".to_owned());
        }
        Ok(Self { peers: peers.into() })
    }

    /// A script of this directory, to be run by the Python that has the peers' packages.
    pub(crate) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.peers.join("bin/python"));
        command.arg(source(script));
        command
    }
}

/// A file of this directory.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Standard output, then standard error.
    pub(crate) text: String,
    /// Whether it ended with 0.
    pub(crate) is_success: bool,
}

/// Runs a program to its end, with this on its standard input; it is killed at the limit.
pub(crate) async fn run(command: &mut Command, input: &str, limit: Duration) -> Said {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt as _;

    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let shown = format!("{:?}", command.as_std());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let whole = async {
        // A program that ends before it has read everything says why by its output.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limit, whole)
        .await
        .unwrap_or_else(|_| panic!("{shown} has not ended after {limit:?}"))
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Said { text, is_success: output.status.success() }
}
