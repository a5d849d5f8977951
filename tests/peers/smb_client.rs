//! Samba's programs against the lab's SMB server: `tests/peers/smb_client.sh`.

use std::sync::Arc;
use std::time::Duration;

use fleetmend::lab::front::{Account, Accounts, NoFaults};
use fleetmend::lab::smb::{NamedShare, Shares, SmbMachine, serve};
use fleetmend::lab::tree::Tree;
use fleetmend::protocol::auth::Names;
use fleetmend::protocol::security_descriptor::Sid;
use fleetmend::secret::Secret;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;

/// 2026-11-21 as a FILETIME.
const NOW: u64 = 134_080_992_000_000_000;
const PASSWORD: &str = "Pa$$w0rd, long";

fn machine(require_encryption: bool) -> SmbMachine {
    let tree = Tree::new(NOW);
    tree.write(r"C:\data\Snapshot.xml", "<snapshot/>", NOW).unwrap();
    let shares = Shares::default();
    shares.add(NamedShare {
        name: "Everything".to_owned(),
        path: r"C:\".to_owned(),
        comment: "for tests".to_owned(),
    });
    let account = |user: &str, relative: u32, groups| Account {
        domain: "CORP".to_owned(),
        user: user.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        sid: format!("S-1-5-21-1-2-3-{relative}"),
        groups,
    };
    SmbMachine {
        names: Names {
            computer: "PS001".to_owned(),
            domain: "CORP".to_owned(),
            dns_computer: "ps001.corp.example".to_owned(),
            dns_domain: "corp.example".to_owned(),
        },
        accounts: Accounts::new(vec![
            account("deploy", 1104, vec![Sid::administrators().to_string()]),
            account("plain", 1105, Vec::new()),
        ]),
        tree,
        shares,
        faults: Arc::new(NoFaults),
        require_encryption,
        clock: Arc::new(|| NOW),
    }
}

/// Runs the checks against a machine of their own. smbcacls knows no other port than 445; where
/// that cannot be bound, its part is left out.
async fn check(require_encryption: bool, protection: &str) {
    let listener = match TcpListener::bind("127.0.77.1:445").await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, machine(require_encryption), stopped));

    let run = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/smb_client.sh"))
        .args([&address.ip().to_string(), &port, r"CORP\deploy"])
        .env("PEER_PASSWORD", PASSWORD)
        .env("PEER_PLAIN_USER", r"CORP\plain")
        .env("PEER_PROTECTION", protection)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(240), run).await.unwrap().unwrap();

    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown.contains("smbcacls --add by name"), port == "445");
    stop.send(true).unwrap();
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sambas_programs_use_the_labs_server_signed_and_encrypted() {
    check(false, "sign").await;
    check(false, "encrypt").await;
    check(true, "encrypt").await;
}
