//! Samba's programs against the lab's SMB server: `tests/peers/smb_client.sh`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

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

use crate::room::{Room, run, source};

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

/// Runs the checks against a machine of their own. smbcacls knows no other port than 445.
async fn check(address: &str, require_encryption: bool, protection: &str) {
    if Room::enter().is_none() {
        return;
    }
    let listener = TcpListener::bind((address, 445)).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, machine(require_encryption), stopped));

    let mut checks = Command::new("bash");
    checks
        .arg(source("smb_client.sh"))
        .args([address, "445", r"CORP\deploy"])
        .env("PEER_PASSWORD", PASSWORD)
        .env("PEER_PLAIN_USER", r"CORP\plain")
        .env("PEER_PROTECTION", protection);
    let said = run(&mut checks, "", Duration::from_secs(120)).await;

    assert!(said.is_success, "{}", said.text);
    assert!(said.text.contains("smbcacls --add by name"), "{}", said.text);
    stop.send(true).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn sambas_programs_use_the_labs_server_signed() {
    check("127.0.77.1", false, "sign").await;
}

#[tokio::test]
async fn sambas_programs_use_the_labs_server_encrypted() {
    check("127.0.77.2", false, "encrypt").await;
}

#[tokio::test]
async fn sambas_programs_use_a_server_of_the_lab_that_insists_on_encryption() {
    check("127.0.77.3", true, "encrypt").await;
}
