//! A package server of the lab with its SMB front on a free port, and a shell that knows its facts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetmend::host::{Session, SessionConfig};
use fleetmend::lab::front::{Account, Accounts, ConnectionFault, Faults, Protocol, RequestFault};
use fleetmend::lab::smb::{Shares, SmbMachine, serve};
use fleetmend::lab::tree::Tree;
use fleetmend::model::{Credential, Host, HostName, RunId, TimeScale, WindowsPath};
use fleetmend::protocol::auth::Names;
use fleetmend::secret::Secret;
use fleetmend::transport::smb::{SmbFiles, connect};
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, ReadScript, ReadShell, ReadSql,
    Target, TransportError, TransportErrorKind,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// 2026-11-21 as a FILETIME.
pub(crate) const NOW: u64 = 134_080_992_000_000_000;
pub(crate) const PASSWORD: &str = "Pa$$w0rd, long";
pub(crate) const AGENT: &str = r"C:\Program Files\Altiris\Altiris Agent";

/// Answers every request whose operation starts with the text with the fault.
pub(crate) struct Meets(pub(crate) &'static str, pub(crate) RequestFault);

impl Faults for Meets {
    fn on_connect(&self, _: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _: Protocol, operation: &str) -> Option<RequestFault> {
        operation.starts_with(self.0).then_some(self.1)
    }
}

/// A listening machine; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) tree: Tree,
    port: u16,
    _stop: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

impl Server {
    /// A package server with the default folders.
    pub(crate) async fn start() -> Self {
        Self::with(Meets("no such operation", RequestFault::Drop)).await
    }

    pub(crate) async fn with(faults: impl Faults + 'static) -> Self {
        let tree = Tree::new(NOW);
        for folder in [
            r"C:\ProgramData",
            &format!(r"{AGENT}\Package Delivery"),
            &format!(r"{AGENT}\Package Server Agent\PackageStatus"),
        ] {
            tree.create_dir_all(folder, NOW).unwrap();
        }
        let account = |user: &str, sid: &str, groups: &[&str]| Account {
            domain: "CORP".to_owned(),
            user: user.to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
            sid: sid.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        let machine = SmbMachine {
            names: Names {
                computer: "PS001".to_owned(),
                domain: "CORP".to_owned(),
                dns_computer: "ps001.corp.example".to_owned(),
                dns_domain: "corp.example".to_owned(),
            },
            accounts: Accounts::new(vec![
                account("deploy", "S-1-5-21-1-2-3-1104", &["S-1-5-32-544"]),
                account("plain", "S-1-5-21-1-2-3-1105", &[]),
            ]),
            tree: tree.clone(),
            shares: Shares::default(),
            faults: Arc::new(faults),
            require_encryption: false,
            clock: Arc::new(|| NOW),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, machine, stopped));
        Self { tree, port, _stop: stop, _task: task }
    }

    pub(crate) fn target(&self, user: &str, password: &str) -> Target {
        Target {
            host: HostName::new("ps001"),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            credential: Credential {
                user: user.to_owned(),
                password: Secret::new(password.to_owned()),
            },
            option: None,
        }
    }

    pub(crate) async fn connect(&self) -> SmbFiles {
        connect(&self.target(r"CORP\deploy", PASSWORD), soon()).await.unwrap()
    }

    /// A session of a run with the machine.
    pub(crate) fn session(&self, run: u128) -> Session {
        let target = self.target(r"CORP\deploy", PASSWORD);
        Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::from_u128(run)),
            host: Host { name: target.host.clone(), groups: Arc::from([]), vars: Arc::default() },
            work: Arc::from([]),
            scale: TimeScale::REAL,
            winrm: Some(target.clone()),
            smb: Some(target),
            cmdb: None,
            connector: Arc::new(Wires),
        })
    }
}

/// Real files, and a shell that knows the machine's facts.
struct Wires;

#[async_trait]
impl Connector for Wires {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(Facts))
    }

    async fn files(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(connect(target, deadline).await?))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(TransportError::new(TransportErrorKind::Refused, "could not ask a CMDB"))
    }
}

struct Facts;

#[async_trait]
impl ReadShell for Facts {
    async fn read(&self, _: &ReadScript, _: &Value, _: Deadline) -> Result<Value, TransportError> {
        Ok(json!({
            "computer": "PS001", "domain": "corp.example", "time_utc": null,
            "program_data": r"C:\ProgramData", "program_files": r"C:\Program Files",
            "agent": {
                "install_dir": AGENT, "version": "8.6", "plugin_version": "8.6",
                "ns": "smp01.corp.example",
            },
            "notification_server": null,
        }))
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for Facts {
    async fn change(
        &self,
        _: &ChangeScript,
        _: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        Err(TransportError::new(TransportErrorKind::Fault, "could not run a change"))
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

/// A deadline that no test reaches.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

pub(crate) fn path(text: &str) -> WindowsPath {
    text.parse().unwrap()
}
