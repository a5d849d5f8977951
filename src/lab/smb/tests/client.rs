//! The `smb2` crate's client over loopback.

use std::sync::Arc;
use std::time::Duration;

use smb2::client::tree::RenameOptions;
use smb2::{ClientConfig, ErrorKind, SmbClient};

use super::*;
use crate::lab::front::{ConnectionFault, Faults, Protocol, RequestFault};

async fn log_on(server: &Server, user: &str, password: &str) -> Result<SmbClient, smb2::Error> {
    let mut config = ClientConfig::default();
    config.addr.clone_from(&server.address);
    config.username = user.to_owned();
    config.password = password.to_owned();
    config.domain = "CORP".to_owned();
    config.timeout = Duration::from_secs(5);
    config.auto_reconnect = false;
    config.compression = false;
    config.dfs_enabled = false;
    SmbClient::connect(config).await
}

#[tokio::test]
async fn files_are_listed_read_written_renamed_and_deleted() {
    let machine = machine();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let mut share = client.connect_share("C$").await.unwrap();

    assert_eq!(client.read_file(&mut share, "data/SNAPSHOT.XML").await.unwrap(), b"<snapshot/>");
    let large: Vec<u8> = (0..1_500_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_file(&share, "data/large.bin", &large).await.unwrap();
    assert_eq!(tree.read(r"C:\data\large.bin").unwrap(), large);
    assert_eq!(client.read_file_pipelined(&mut share, "data/large.bin").await.unwrap(), large);
    client.create_directory(&share, "data/new").await.unwrap();
    client.rename(&share, "data/large.bin", "data/new/moved.bin").await.unwrap();
    let names = client.list_directory(&mut share, "data").await.unwrap();
    let mut names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| !name.starts_with('.'));
    assert_eq!(names, ["new", "Snapshot.xml"]);
    let refused = client.delete_directory(&share, "data/new").await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.0), Some(0xC000_0101));
    client.delete_file(&share, "data/new/moved.bin").await.unwrap();
    client.delete_directory(&share, "data/new").await.unwrap();
    assert!(!tree.exists(r"C:\data\new"));
}

#[tokio::test]
async fn a_rename_replaces_only_when_told() {
    let machine = machine();
    let tree = machine.tree.clone();
    tree.write(r"C:\data\old.xml", "old", NOW).unwrap();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let share = client.connect_share("C$").await.unwrap();

    let (from, to) = ("data/Snapshot.xml", "data/old.xml");
    let refused = client.rename(&share, from, to).await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.0), Some(0xC000_0035));
    let replace = RenameOptions::new().replace_if_exists(true);
    client.rename_with(&share, from, to, replace).await.unwrap();
    assert_eq!(tree.read(r"C:\data\old.xml").unwrap(), b"<snapshot/>");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let server = start(machine()).await;

    for (user, password) in [("deploy", "wrong"), ("nobody", PASSWORD)] {
        let Err(error) = log_on(&server, user, password).await else { panic!("logged on") };
        assert_eq!(error.status().map(|status| status.0), Some(0xC000_006D), "{error}");
    }
}

#[tokio::test]
async fn a_plain_account_is_denied_what_its_descriptors_do_not_grant() {
    let machine = machine();
    let before = machine.tree.snapshot();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "plain", PASSWORD).await.unwrap();

    let administrative = client.connect_share("C$").await.unwrap_err();
    assert_eq!(administrative.kind(), ErrorKind::AccessDenied);
    let mut share = client.connect_share("Everything").await.unwrap();
    assert_eq!(client.read_file(&mut share, "data/Snapshot.xml").await.unwrap(), b"<snapshot/>");
    let write = client.write_file(&share, "data/Snapshot.xml", b"x").await.unwrap_err();
    let delete = client.delete_file(&share, "data/Snapshot.xml").await.unwrap_err();
    let rename = client.rename(&share, "data/Snapshot.xml", "data/b.xml").await.unwrap_err();
    let create = client.write_file(&share, "data/new.xml", b"x").await.unwrap_err();
    for error in [write, delete, rename, create] {
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    }
    assert_eq!(tree.snapshot(), before);

    client.write_file(&share, "drop/mine.txt", b"x").await.unwrap();
    client.delete_file(&share, "drop/mine.txt").await.unwrap();
}

#[tokio::test]
async fn a_file_in_use_and_a_read_only_file_are_refused_with_their_own_status() {
    let machine = machine();
    let tree = machine.tree.clone();
    let hold = tree.hold_open(r"C:\data\Snapshot.xml").unwrap();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let mut share = client.connect_share("C$").await.unwrap();

    let held = client.read_file(&mut share, "data/Snapshot.xml").await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::SharingViolation);
    drop(hold);
    tree.set_read_only(r"C:\data\Snapshot.xml", true).unwrap();
    let kept = client.delete_file(&share, "data/Snapshot.xml").await.unwrap_err();
    assert_eq!(kept.status().map(|status| status.0), Some(0xC000_0121));
    assert!(tree.exists(r"C:\data\Snapshot.xml"));
}

#[tokio::test]
async fn an_open_file_is_closed_when_its_connection_goes() {
    let machine = machine();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let share = client.connect_share("C$").await.unwrap();
    share.open_file(client.connection_mut(), "data/Snapshot.xml").await.unwrap();
    assert!(!tree.remove(r"C:\data\Snapshot.xml"));

    drop(share);
    drop(client);

    let deadline = Duration::from_secs(5);
    let removed = async {
        while !tree.remove(r"C:\data\Snapshot.xml") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, removed).await.unwrap();
}

/// Meets every request whose operation starts with the text.
struct Meets(&'static str, RequestFault);

impl Faults for Meets {
    fn on_connect(&self, _protocol: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _protocol: Protocol, operation: &str) -> Option<RequestFault> {
        operation.starts_with(self.0).then_some(self.1)
    }
}

async fn read_under(operation: &'static str, fault: RequestFault) -> Result<Vec<u8>, smb2::Error> {
    let faults = Arc::new(Meets(operation, fault));
    let server = start(SmbMachine { faults, ..machine() }).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await?;
    let mut share = client.connect_share("C$").await?;
    client.read_file(&mut share, "data/Snapshot.xml").await
}

#[tokio::test]
async fn faults_meet_the_requests_they_name() {
    let create = r"CREATE C:\data\Snapshot.xml";

    let busy = read_under(create, RequestFault::SharingViolation).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::SharingViolation);
    let gone = read_under(create, RequestFault::Unauthorized).await.unwrap_err();
    assert_eq!(gone.status().map(|status| status.0), Some(0xC000_0203), "{gone}");
    let dropped = read_under(create, RequestFault::Drop).await.unwrap_err();
    assert_eq!(dropped.kind(), ErrorKind::ConnectionLost);
    let cut = read_under(create, RequestFault::Truncate).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::ConnectionLost);
    let late = read_under(create, RequestFault::Delay(Duration::from_millis(5))).await;
    assert_eq!(late.unwrap(), b"<snapshot/>");
    let elsewhere = read_under(r"CREATE C:\other", RequestFault::Drop).await;
    assert_eq!(elsewhere.unwrap(), b"<snapshot/>");
}
