//! fleetmend's own SMB client against the lab's SMB server.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; helpers are not test functions to clippy"
)]

use std::sync::Arc;
use std::time::Duration;

use fleetmend::lab::front::{Account, Accounts, NoFaults};
use fleetmend::lab::smb::{Shares, SmbMachine, serve};
use fleetmend::lab::tree::Tree;
use fleetmend::model::{Credential, HostName, WindowsPath};
use fleetmend::protocol::auth::Names;
use fleetmend::protocol::security_descriptor::{AceFlags, FileRights, SecurityDescriptor, Sid};
use fleetmend::secret::Secret;
use fleetmend::transport::smb::{SmbFiles, connect};
use fleetmend::transport::{
    ChangeFiles, Deadline, FileAttributes, ReadFiles, SecurityInformation, Target,
    TransportErrorKind,
};
use tokio::net::TcpListener;
use tokio::sync::watch;

const NOW: u64 = 134_080_992_000_000_000;
const FILE: &str = r"C:\ProgramData\Store\{A}\snapshot.xml";

struct Fixture {
    tree: Tree,
    files: SmbFiles,
    _stop: watch::Sender<bool>,
}

fn path(text: &str) -> WindowsPath {
    text.parse().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

async fn fixture() -> Fixture {
    let tree = Tree::new(NOW);
    tree.write(FILE, "<snapshot/>", NOW).unwrap();
    let account = Account {
        domain: "LAB".to_owned(),
        user: "fleet-admin".to_owned(),
        password: Secret::new("secret".to_owned()),
        sid: "S-1-5-21-1-2-3-1104".to_owned(),
        groups: vec![Sid::administrators().to_string()],
    };
    let machine = SmbMachine {
        names: Names {
            computer: "PS001".to_owned(),
            domain: "LAB".to_owned(),
            dns_computer: "ps001.lab.example".to_owned(),
            dns_domain: "lab.example".to_owned(),
        },
        accounts: Accounts::new(vec![account]),
        tree: tree.clone(),
        shares: Shares::default(),
        faults: Arc::new(NoFaults),
        require_encryption: false,
        clock: Arc::new(|| NOW),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, machine, stopped));
    let target = Target {
        host: HostName::new("ps001"),
        address: "127.0.0.1".to_owned(),
        port,
        credential: Credential {
            user: r"LAB\fleet-admin".to_owned(),
            password: Secret::new("secret".to_owned()),
        },
        option: None,
    };
    let files = connect(&target, soon()).await.unwrap();
    Fixture { tree, files, _stop: stop }
}

#[tokio::test]
async fn a_file_moves_into_a_protected_quarantine_and_keeps_its_bytes_and_descriptor() {
    let Fixture { tree, files, _stop } = fixture().await;
    let before = tree.descriptor(FILE).unwrap();
    let quarantine = r"C:\ProgramData\quarantine";
    let only_administrators = SecurityDescriptor::administrators_only().encode();

    assert!(files.is_encrypted());
    files.create_directory(&path(quarantine), Some(&only_administrators), soon()).await.unwrap();
    let known = files.metadata(&path(FILE), soon()).await.unwrap().unwrap();
    assert_eq!(known.normalized, Some(path(FILE)));
    let moved = format!(r"{quarantine}\snapshot.xml");
    files.rename(&path(FILE), &path(&moved), &known, soon()).await.unwrap();

    let folder = SecurityDescriptor::parse(&tree.descriptor(quarantine).unwrap()).unwrap();
    assert!(folder.is_protected());
    assert_eq!(folder.granted_to(&[Sid::users(), Sid::everyone()]), 0);
    assert_eq!(tree.read(&moved).unwrap(), b"<snapshot/>");
    assert_eq!(tree.descriptor(&moved).unwrap(), before);
    assert!(!tree.exists(FILE));
}

#[tokio::test]
async fn an_account_is_granted_rights_and_they_are_taken_back_byte_for_byte() {
    let Fixture { tree, files, _stop } = fixture().await;
    let account: Sid = "S-1-5-21-1-2-3-1105".parse().unwrap();
    let parts = SecurityInformation::DACL;
    let before = files.descriptor(&path(FILE), parts, soon()).await.unwrap();
    let granted = SecurityDescriptor::parse(&before)
        .unwrap()
        .with_allow_ace(&account, FileRights::FULL_CONTROL, AceFlags::THIS_OBJECT)
        .unwrap()
        .encode();

    files.set_descriptor(&path(FILE), parts, &before, &granted, soon()).await.unwrap();
    let now = SecurityDescriptor::parse(&tree.descriptor(FILE).unwrap()).unwrap();
    assert!(now.grants(std::slice::from_ref(&account), FileRights::FULL_CONTROL));

    let after = files.descriptor(&path(FILE), parts, soon()).await.unwrap();
    files.set_descriptor(&path(FILE), parts, &after, &before, soon()).await.unwrap();
    let back = files.descriptor(&path(FILE), parts, soon()).await.unwrap();
    let entries = |bytes: &[u8]| SecurityDescriptor::parse(bytes).unwrap().aces().to_vec();
    assert_eq!(entries(&back), entries(&before));
}

#[tokio::test]
async fn a_junction_a_file_in_use_and_a_read_only_file_are_not_moved() {
    let Fixture { tree, files, _stop } = fixture().await;
    tree.write(r"C:\Windows\precious.xml", "1", NOW).unwrap();
    tree.add_junction(r"C:\ProgramData\Store\{B}", r"C:\Windows", NOW).unwrap();
    let target = path(r"C:\ProgramData\moved.xml");
    let through = path(r"C:\ProgramData\Store\{B}\precious.xml");

    let seen = files.metadata(&through, soon()).await;
    if let Ok(Some(known)) = seen {
        assert_ne!(known.normalized, Some(through.clone()));
        assert!(files.rename(&through, &target, &known, soon()).await.is_err());
    }
    let known = files.metadata(&path(FILE), soon()).await.unwrap().unwrap();
    let hold = tree.hold_open(FILE).unwrap();
    let busy = files.rename(&path(FILE), &target, &known, soon()).await.unwrap_err();
    assert_eq!(busy.kind, TransportErrorKind::SharingViolation);
    drop(hold);
    files.set_attributes(&path(FILE), FileAttributes(0x1), soon()).await.unwrap();
    let known = files.metadata(&path(FILE), soon()).await.unwrap().unwrap();
    assert!(files.delete(&path(FILE), &known, soon()).await.is_err());

    assert!(tree.exists(FILE));
    assert!(tree.exists(r"C:\Windows\precious.xml"));
    assert!(!tree.exists(r"C:\ProgramData\moved.xml"));
}

#[tokio::test]
async fn a_log_is_read_from_an_offset_and_a_folder_is_listed() {
    let Fixture { tree, files, _stop } = fixture().await;
    tree.append(r"C:\log\agent.log", b"first\nsecond\n", NOW).unwrap();

    let tail = files.read_from(&path(r"C:\log\agent.log"), 6, 100, soon()).await.unwrap();
    let listed = files.list(&path(r"C:\ProgramData\Store"), soon()).await.unwrap();

    assert_eq!(tail, b"second\n");
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["{A}"]);
    files.create_file(&path(r"C:\log\new.txt"), b"1", soon()).await.unwrap();
    let again = files.create_file(&path(r"C:\log\new.txt"), b"2", soon()).await.unwrap_err();
    assert_eq!(again.kind, TransportErrorKind::AlreadyExists);
    assert_eq!(tree.read(r"C:\log\new.txt").unwrap(), b"1");
    files.close().await;
}
