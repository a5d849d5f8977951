//! Samba's programs, on request.

use std::time::Duration;

use super::*;

/// Runs `tests/peers/smb_client.sh` against a machine of its own.
async fn with_samba(machine: SmbMachine, protection: &str) {
    // smbcacls knows no other port than 445; without the right to bind it, its part is left out.
    let listener = match TcpListener::bind("127.0.77.1:445").await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let server = start_on(listener, machine);
    let (host, port) = server.address.rsplit_once(':').unwrap();
    let run = tokio::process::Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/smb_client.sh"))
        .args([host, port, r"CORP\deploy"])
        .env("PEER_PASSWORD", PASSWORD)
        .env("PEER_PLAIN_USER", r"CORP\plain")
        .env("PEER_PROTECTION", protection)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(240), run).await.unwrap().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown.contains("smbcacls --add by name"), port == "445");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "needs smbclient, smbcacls and rpcclient; run by tests/run.sh --peers"]
async fn sambas_programs_agree_signed_and_encrypted() {
    with_samba(machine(), "sign").await;
    with_samba(machine(), "encrypt").await;
    with_samba(SmbMachine { require_encryption: true, ..machine() }, "encrypt").await;
}
