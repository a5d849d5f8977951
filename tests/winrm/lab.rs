//! A machine of the lab with a few commands, its WinRM front on a free port, and planned faults.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fleetmend::lab::front::{
    Account, Accounts, CommandReply, CommandRequest, ConnectionFault, Faults, Machine, Protocol,
    RequestFault,
};
use fleetmend::lab::winrm::{Quotas, WinRmConfig, WinRmFront};
use fleetmend::model::Credential;
use fleetmend::protocol::{auth::Names, powershell};
use fleetmend::secret::Secret;
use fleetmend::transport::Deadline;
use fleetmend::transport::winrm::{WinRmSettings, WinRmShell};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The password of the lab's account.
pub(crate) const PASSWORD: &str = "Grün und 7 blau";

/// A machine that knows a few commands.
#[derive(Default)]
pub(crate) struct Toy {
    /// Commands that began.
    pub(crate) began: Mutex<Vec<String>>,
}

#[async_trait]
impl Machine for Toy {
    async fn run(&self, request: CommandRequest) -> CommandReply {
        self.began.lock().unwrap().push(request.command.clone());
        if powershell::script_of(&request.command, &request.arguments).is_some() {
            let stdout = match powershell::read_input(&request.stdin) {
                Ok(input) => {
                    powershell::write_result(&json!({ "echo": input, "user": request.user }))
                }
                Err(error) => error.to_string().into_bytes(),
            };
            return CommandReply { stdout, ..CommandReply::default() };
        }
        // cmd.exe sees one line.
        let line = [&[request.command], request.arguments.as_slice()].concat().join(" ");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("echo", text) => CommandReply {
                stdout: format!("{text}\r\n").into_bytes(),
                ..CommandReply::default()
            },
            ("quiet", seconds) => {
                tokio::time::sleep(Duration::from_secs_f64(seconds.parse().unwrap())).await;
                CommandReply { stdout: b"done".to_vec(), ..CommandReply::default() }
            }
            ("much", bytes) => CommandReply {
                stdout: "ü€😀"
                    .as_bytes()
                    .iter()
                    .copied()
                    .cycle()
                    .take(bytes.parse().unwrap())
                    .collect(),
                stderr: b"some".to_vec(),
                exit_code: 3,
            },
            ("cat", _) => CommandReply { stdout: request.stdin, ..CommandReply::default() },
            (other, _) => CommandReply {
                stderr: format!("not simulated: {other}").into_bytes(),
                exit_code: 9009,
                ..CommandReply::default()
            },
        }
    }
}

/// Faults for the next requests of a kind, and for the next connections.
#[derive(Default)]
pub(crate) struct Planned {
    pub(crate) requests: Mutex<VecDeque<(&'static str, RequestFault)>>,
    pub(crate) connections: Mutex<VecDeque<ConnectionFault>>,
}

impl Faults for Planned {
    fn on_connect(&self, _: Protocol) -> Option<ConnectionFault> {
        self.connections.lock().unwrap().pop_front()
    }

    fn on_request(&self, _: Protocol, operation: &str) -> Option<RequestFault> {
        let mut requests = self.requests.lock().unwrap();
        let at = requests.iter().position(|(name, _)| *name == operation)?;
        requests.remove(at).map(|(_, fault)| fault)
    }
}

pub(crate) struct Lab {
    pub(crate) front: Arc<WinRmFront>,
    pub(crate) machine: Arc<Toy>,
    pub(crate) faults: Arc<Planned>,
    pub(crate) port: u16,
    server: JoinSet<()>,
}

pub(crate) async fn lab_with(quotas: Quotas, allow_basic: bool) -> Lab {
    let faults = Arc::new(Planned::default());
    start(quotas, allow_basic, Arc::clone(&faults), faults, PASSWORD, 0).await
}

/// A lab whose faults are not planned one by one.
pub(crate) async fn lab_under(faults: Arc<dyn Faults>) -> Lab {
    start(Quotas::default(), false, Arc::default(), faults, PASSWORD, 0).await
}

async fn start(
    quotas: Quotas,
    allow_basic: bool,
    planned: Arc<Planned>,
    faults: Arc<dyn Faults>,
    password: &str,
    port: u16,
) -> Lab {
    let machine = Arc::new(Toy::default());
    let account = Account {
        domain: "CORP".to_owned(),
        user: "fleet".to_owned(),
        password: Secret::new(password.to_owned()),
        sid: "S-1-5-21-1-2-3-1001".to_owned(),
        groups: Vec::new(),
    };
    let front = WinRmFront::new(WinRmConfig {
        names: Names {
            computer: "PS-LON-01".to_owned(),
            domain: "CORP".to_owned(),
            dns_computer: "ps-lon-01.corp.example".to_owned(),
            dns_domain: "corp.example".to_owned(),
        },
        accounts: Accounts::new(vec![account]),
        machine: Arc::clone(&machine) as Arc<dyn Machine>,
        faults,
        quotas,
        allow_basic,
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(Arc::clone(&front).serve(listener, std::future::pending()));
    Lab { front, machine, faults: planned, port, server }
}

pub(crate) async fn lab() -> Lab {
    lab_with(Quotas::default(), false).await
}

impl Lab {
    /// The same machine after it was started anew, with another password of the account.
    pub(crate) async fn with_another_password(self) -> Self {
        let Self { port, mut server, .. } = self;
        server.shutdown().await;
        let faults = Arc::new(Planned::default());
        start(Quotas::default(), false, Arc::clone(&faults), faults, "changed", port).await
    }

    pub(crate) fn settings(&self) -> WinRmSettings {
        let password = Secret::new(PASSWORD.to_owned());
        let credential = Credential { user: r"CORP\fleet".to_owned(), password };
        WinRmSettings {
            operation_timeout: Duration::from_secs(1),
            answer_margin: Duration::from_secs(1),
            ..WinRmSettings::new("127.0.0.1", self.port, credential)
        }
    }

    pub(crate) async fn shell(&self) -> WinRmShell {
        WinRmShell::open(self.settings(), soon()).await.unwrap()
    }

    pub(crate) fn plan(&self, operation: &'static str, fault: RequestFault) {
        self.faults.requests.lock().unwrap().push_back((operation, fault));
    }

    pub(crate) async fn until_no_shell_is_open(&self) {
        let gone = async {
            while self.front.open_shells() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("shells stay open");
    }
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}
