//! A Samba of one test: its own directory, its own address, gone with the test.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use fleetmend::model::{Credential, HostName};
use fleetmend::secret::Secret;
use fleetmend::transport::Target;
use fleetmend::transport::smb::{SmbFiles, connect};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::lab::soon;
use crate::room::{Room, run, source};

/// May do anything.
pub(crate) const ADMIN: &str = "fmpeeradmin";
/// May log on.
pub(crate) const READER: &str = "fmpeerreader";
/// The password of both.
pub(crate) const PASSWORD: &str = "Peer-Pass-1!";

/// smbcacls knows no other port: every server has an address of its own instead.
const PORT: u16 = 445;
const STARTED_WITHIN: Duration = Duration::from_secs(20);
const PROGRAM_WITHIN: Duration = Duration::from_secs(20);

/// A running server with the share `C$`.
pub(crate) struct Samba {
    address: String,
    child: Child,
    // It ends with its input, should this process be killed.
    _stdin: ChildStdin,
    directory: TempDir,
}

impl Samba {
    /// Starts a server and waits until it listens. `encryption` as smb.conf has it.
    pub(crate) async fn start(_: &Room, encryption: &str) -> Self {
        static STARTED: AtomicU8 = AtomicU8::new(0);
        let address = format!("127.0.78.{}", STARTED.fetch_add(1, Ordering::Relaxed) + 1);
        let directory = TempDir::new().expect("a directory");
        let mut child = Command::new("sh")
            .arg(source("samba.sh"))
            .args([directory.path().as_os_str(), address.as_ref()])
            .args([ADMIN, READER])
            .env("PEER_PASSWORD", PASSWORD)
            .env("SAMBA_ENCRYPT", encryption)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(directory.path().join("stderr")).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("run sh");
        let stdin = child.stdin.take().expect("piped");
        let mut samba = Self { address, child, _stdin: stdin, directory };
        let listens = async {
            while TcpStream::connect((samba.address.as_str(), PORT)).await.is_err() {
                if let Some(status) = samba.child.try_wait().expect("ask for its end") {
                    panic!("Samba ended, {status}: {}", samba.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let is_up = tokio::time::timeout(STARTED_WITHIN, listens).await;
        assert!(is_up.is_ok(), "Samba does not listen: {}", samba.log());
        samba
    }

    /// What it complained about; a log that was never begun is empty.
    fn log(&self) -> String {
        ["stderr", "log/log.smbd", "log/smbd.log"]
            .map(|name| std::fs::read_to_string(self.directory.path().join(name)))
            .map(Result::unwrap_or_default)
            .concat()
    }

    pub(crate) fn target(&self, user: &str, password: &str) -> Target {
        target(&self.address, PORT, user, password)
    }

    pub(crate) async fn connect(&self) -> SmbFiles {
        connect(&self.target(ADMIN, PASSWORD), soon()).await.expect("log on")
    }

    fn share(&self) -> String {
        format!("//{}/C$", self.address)
    }

    /// smbclient with the administrator's account.
    pub(crate) fn smbclient(&self) -> Command {
        let mut command = Command::new("smbclient");
        command.args(["-U", &format!("{ADMIN}%{PASSWORD}"), &self.share()]);
        command
    }

    /// What smbclient says to these commands.
    pub(crate) async fn ask(&self, commands: &str) -> String {
        let mut command = self.smbclient();
        command.args(["-c", commands]);
        run(&mut command.into(), "", PROGRAM_WITHIN).await.text
    }

    /// What smbcacls says of a path below the share.
    pub(crate) async fn acl(&self, path: &str) -> String {
        let mut command = tokio::process::Command::new("smbcacls");
        command.args(["-U", &format!("{ADMIN}%{PASSWORD}"), "--numeric", &self.share(), path]);
        run(&mut command, "", PROGRAM_WITHIN).await.text
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        // It has a process for each client: all of its group go. It may have ended by itself.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of files, and who logs on.
pub(crate) fn target(address: &str, port: u16, user: &str, password: &str) -> Target {
    Target {
        host: HostName::new("peer"),
        address: address.to_owned(),
        port,
        credential: Credential {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        },
        option: None,
    }
}
