//! Our WinRM client against a server on pyspnego, and pypsrp and pywinrm against the lab's front.

use std::process::Stdio;
use std::time::Duration;

use fleetmend::lab::winrm::Quotas;
use fleetmend::model::Credential;
use fleetmend::secret::Secret;
use fleetmend::transport::winrm::{
    Authentication, CommandLine, WinRmError, WinRmSettings, WinRmShell,
};
use fleetmend::transport::{
    ChangeScript, ChangeShell as _, Deadline, ReadScript, ReadShell as _, TransportErrorKind,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinSet;

use crate::lab::{PASSWORD, lab_with, soon};
use crate::room::{Room, run};

const ECHO: ReadScript = ReadScript { name: "echo", text: "# echo the input" };
const SESSIONS: usize = 100;

/// The server; it ends with its standard input.
struct Peer {
    _child: Child,
    _stdin: ChildStdin,
    port: u16,
}

impl Peer {
    async fn start(room: &Room) -> Self {
        let mut child = room
            .python("winrm_server.py")
            .arg(format!("CORP:fleet:{PASSWORD}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the peer starts");
        let stdin = child.stdin.take().expect("piped");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        soon().of(stdout.read_line(&mut line)).await.expect("a port soon").expect("a port");
        let port = line.trim().strip_prefix("PORT ").expect("a port").parse().expect("a number");
        Self { _child: child, _stdin: stdin, port }
    }

    fn settings(&self, authentication: Authentication) -> WinRmSettings {
        let password = Secret::new(PASSWORD.to_owned());
        let credential = Credential { user: r"CORP\fleet".to_owned(), password };
        WinRmSettings {
            authentication,
            operation_timeout: Duration::from_secs(1),
            answer_margin: Duration::from_secs(20),
            ..WinRmSettings::new("127.0.0.1", self.port, credential)
        }
    }

    /// What the server has counted.
    async fn stats(&self) -> Value {
        self.get("/stats").await
    }

    async fn get(&self, path: &str) -> Value {
        let asked = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = soon().of(asked).await.expect("an answer soon").expect("an answer");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_pyspnego_understands_every_sealed_message_of_our_client() {
    let Some(room) = Room::enter() else { return };
    let peer = Peer::start(&room).await;

    for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
        let shell = WinRmShell::open(peer.settings(authentication), soon()).await.unwrap();
        let echo = shell.run(CommandLine::new("echo <ü> & \"x\""), soon()).await.unwrap();
        let input = json!({ "path": r"C:\Ü", "much": "x".repeat(400_000) });
        let script = shell.read(&ECHO, &input, soon()).await.unwrap();
        let quiet = shell.run(CommandLine::new("quiet 2.5"), soon()).await.unwrap();
        let much = shell.run(CommandLine::new("much 3000006"), soon()).await.unwrap();
        let wrong = shell.run(CommandLine::new("format c:"), soon()).await.unwrap();
        shell.close().await;

        assert_eq!(echo.stdout, "<ü> & \"x\"\r\n".as_bytes());
        assert_eq!((&script["echo"], &script["script"]), (&input, &json!(ECHO.text)));
        assert_eq!(quiet.stdout, b"done");
        assert!(much.stdout.len() == 3_000_006 && std::str::from_utf8(&much.stdout).is_ok());
        assert_eq!(wrong.exit_code, Some(9009));

        let mut wrong = peer.settings(authentication);
        wrong.credential.password = Secret::new("wrong".to_owned());
        let rejected = WinRmShell::open(wrong, soon()).await.unwrap_err();
        assert!(matches!(rejected, WinRmError::AuthenticationRejected { .. }), "{rejected:?}");
    }
    let stats = peer.stats().await;
    assert_eq!(
        (&stats["rejected"], &stats["plain_refused"], &stats["frames_refused"], &stats["shells"]),
        (&json!(2), &json!(0), &json!(0), &json!(0)),
        "{stats}"
    );
}

/// Nothing obliges a server to give the same answer to the same `Receive` twice.
#[tokio::test]
async fn a_script_whose_output_was_lost_on_the_way_is_in_doubt() {
    let Some(room) = Room::enter() else { return };
    let peer = Peer::start(&room).await;
    let shell = WinRmShell::open(peer.settings(Authentication::Negotiate), soon()).await.unwrap();
    let script = ChangeScript { name: "change", text: "# change" };

    // The second answer brings the rest of a long result, and nothing of a short one.
    for input in [json!("short"), json!("x".repeat(300_000))] {
        peer.get("/lose").await;
        let error = shell.change(&script, &input, soon()).await.unwrap_err();
        assert_eq!(error.kind, TransportErrorKind::InDoubt, "{error}");
    }
    peer.get("/lose").await;
    let quiet = shell.run(CommandLine::new("echo x"), soon()).await.unwrap();
    assert!(quiet.has_gap && quiet.exit_code == Some(0), "{quiet:?}");
    shell.close().await;
    assert_eq!(peer.stats().await["shells"], json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_fresh_sessions_with_the_server_on_pyspnego_have_no_failure() {
    let Some(room) = Room::enter() else { return };
    let peer = Peer::start(&room).await;

    let mut running = JoinSet::new();
    for number in 0..SESSIONS {
        let mechanisms = [Authentication::Negotiate, Authentication::Ntlm];
        let settings = peer.settings(mechanisms[number % 2]);
        running.spawn(async move {
            let deadline = Deadline::after(Duration::from_secs(60));
            let shell = WinRmShell::open(settings, deadline).await?;
            let echo = shell.read(&ECHO, &json!(number), deadline).await.unwrap();
            shell.close().await;
            assert_eq!(echo["echo"], json!(number));
            Ok::<_, WinRmError>(())
        });
        if running.len() >= 8 {
            running.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(result) = running.join_next().await {
        result.unwrap().unwrap();
    }

    let stats = peer.stats().await;
    // One connection is this question itself.
    assert_eq!(stats["connections"], json!(SESSIONS + 1), "{stats}");
    assert_eq!((&stats["logons"], &stats["shells"]), (&json!(SESSIONS), &json!(0)), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a peer are the result of the test")]
async fn pypsrp_and_pywinrm_use_the_front_of_the_lab() {
    let Some(room) = Room::enter() else { return };
    let lab = lab_with(Quotas::default(), false).await;

    let mut clients = room.python("winrm_clients.py");
    clients
        .args(["127.0.0.1", &lab.port.to_string(), r"CORP\fleet", "20"])
        .env("PEER_PASSWORD", PASSWORD);
    let said = run(&mut clients, "", Duration::from_secs(120)).await;

    println!("{}", said.text);
    println!("{:?}", lab.front.counters());
    assert!(said.is_success, "{}", said.text);
    // Clients that keep no shell leave none behind.
    assert_eq!(lab.front.open_shells(), 0);
}
