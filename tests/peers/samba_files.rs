//! The SMB client against Samba; effects are checked with smbclient and smbcacls.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use fleetmend::model::WindowsPath;
use fleetmend::transport::smb::{SmbFiles, connect};
use fleetmend::transport::{
    ChangeFiles, Deadline, FileAttributes, FileMetadata, ReadFiles, SecurityInformation,
    TransportErrorKind,
};

use crate::lab::soon;
use crate::room::Room;
use crate::samba::{ADMIN, PASSWORD, READER, Samba, target};

fn path(text: &str) -> WindowsPath {
    text.parse().expect(text)
}

/// A folder of this test alone.
async fn folder(files: &SmbFiles, name: &str) -> WindowsPath {
    let root = path("C:\\").join(&format!("{name}-{}", uuid::Uuid::new_v4())).expect("folder");
    files.create_directory(&root, None, soon()).await.expect("make the folder");
    root
}

async fn look(files: &SmbFiles, path: &WindowsPath) -> FileMetadata {
    files.metadata(path, soon()).await.expect("look").expect("it is there")
}

#[tokio::test]
async fn files_are_written_read_listed_moved_and_deleted() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let files = peer.connect().await;
    let root = folder(&files, "files").await;
    let small = root.join("snapshot.xml").expect("name");
    let large = root.join("large.bin").expect("name");
    let content: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();

    files.create_file(&small, b"<snapshot/>", soon()).await.expect("write");
    files.create_file(&large, &content, soon()).await.expect("write");
    let again = files.create_file(&small, b"other", soon()).await.expect_err("it is there");
    assert_eq!(again.kind, TransportErrorKind::AlreadyExists);

    assert_eq!(files.read(&small, 100, soon()).await.expect("read"), b"<snapshot/>");
    assert_eq!(files.read(&large, 300_000, soon()).await.expect("read"), content);
    let too_large = files.read(&large, 299_999, soon()).await.expect_err("too large");
    assert_eq!(too_large.kind, TransportErrorKind::Refused);
    assert_eq!(files.read_from(&small, 4, 4, soon()).await.expect("read"), b"psho");
    assert_eq!(files.read_from(&small, 11, 4, soon()).await.expect("read"), b"");
    assert_eq!(
        files.read_from(&large, 100_000, 150_000, soon()).await.expect("read"),
        content[100_000..250_000]
    );

    let before = look(&files, &small).await;
    assert_eq!(before.size, 11);
    assert_eq!(before.normalized, Some(small.clone()), "Samba tells the path of a handle");
    assert_eq!(
        files.metadata(&root.join("none").expect("name"), soon()).await.expect("look"),
        None
    );
    assert_eq!(files.metadata(&path("Q:\\none"), soon()).await.expect("no such share"), None);

    let mut names: Vec<String> =
        files.list(&root, soon()).await.expect("list").into_iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(names, ["large.bin", "snapshot.xml"]);

    let moved = root.join("moved.xml").expect("name");
    files.rename(&small, &moved, &before, soon()).await.expect("move");
    assert_eq!(look(&files, &moved).await.modified, before.modified, "a move keeps the times");
    let shown = peer.ask(&format!("ls {}\\*", root.below_drive())).await;
    assert!(shown.contains("moved.xml") && !shown.contains("snapshot.xml"), "{shown}");

    let stale = FileMetadata { size: 12, ..before.clone() };
    let refused = files.delete(&moved, &stale, soon()).await.expect_err("another size");
    assert_eq!(refused.kind, TransportErrorKind::Refused);
    let onto = files.rename(&moved, &large, &before, soon()).await.expect_err("occupied");
    assert_eq!(onto.kind, TransportErrorKind::AlreadyExists);
    let directory = look(&files, &root).await;
    let folder = files
        .rename(&root, &path("C:\\elsewhere"), &directory, soon())
        .await
        .expect_err("a directory is never moved");
    assert_eq!(folder.kind, TransportErrorKind::Fault);

    let read_only = FileAttributes(FileAttributes::READ_ONLY);
    files.set_attributes(&large, read_only, soon()).await.expect("set attributes");
    assert!(look(&files, &large).await.attributes.has(FileAttributes::READ_ONLY));
    files.set_attributes(&large, FileAttributes(0), soon()).await.expect("set attributes");

    files.delete(&moved, &before, soon()).await.expect("delete");
    let shown = peer.ask(&format!("ls {}\\*", root.below_drive())).await;
    assert!(shown.contains("large.bin") && !shown.contains("moved.xml"), "{shown}");
    files.close().await;
    let late = files.metadata(&root, soon()).await.expect_err("closed");
    assert_eq!(late.kind, TransportErrorKind::Unreachable);
}

/// Samba agrees on a cipher only with clients that name the capability, which `smb2` 0.39 does not.
#[tokio::test]
async fn a_samba_that_insists_on_encryption_denies_access_and_says_so() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "required").await;

    let denied = connect(&peer.target(ADMIN, PASSWORD), soon()).await.err().expect("unencrypted");

    assert_eq!(denied.kind, TransportErrorKind::AccessDenied);
    assert!(denied.to_string().contains("log on"), "{denied}");
    let shown = peer.ask("ls").await;
    assert!(shown.contains("blocks available"), "{shown}");
}

#[tokio::test]
async fn a_large_directory_is_listed_whole() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let files = peer.connect().await;
    let root = folder(&files, "list").await;
    for n in 0..1200 {
        let name = root.join(&format!("{{{n:036}}}.with-a-rather-long-suffix.xml")).expect("name");
        files.create_file(&name, b"", soon()).await.expect("write");
    }

    let names: std::collections::BTreeSet<String> =
        files.list(&root, soon()).await.expect("list").into_iter().map(|it| it.name).collect();

    assert_eq!(names.len(), 1200);
    files.close().await;
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_a_sharing_violation() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let files = peer.connect().await;
    let root = folder(&files, "share").await;
    let file = root.join("held.xml").expect("name");
    files.create_file(&file, b"held", soon()).await.expect("write");
    let before = look(&files, &file).await;

    let sign = root.join("opened").expect("name");
    let mut holder = hold(&peer, &file, &sign);
    let patience = soon();
    while files.metadata(&sign, soon()).await.expect("look").is_none() {
        assert!(!patience.left().is_zero(), "smbclient did not open {file}");
        holder.nudge();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = files
        .rename(&file, &root.join("x").expect("name"), &before, soon())
        .await
        .expect_err("it is held");
    assert_eq!(error.kind, TransportErrorKind::SharingViolation);

    drop(holder);
    files.close().await;
}

#[tokio::test]
async fn descriptors_are_set_at_creation_and_written_only_over_what_was_read() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let files = peer.connect().await;
    let root = folder(&files, "acl").await;
    let locked = root.join("locked").expect("name");

    files
        .create_directory(&locked, Some(&system_and_administrators()), soon())
        .await
        .expect("make");
    let shown = peer.acl(&locked.below_drive()).await;
    assert!(shown.contains("ACL:S-1-5-18:0/0x3/0x001f01ff"), "{shown}");
    assert!(!shown.contains("S-1-1-0"), "nothing is inherited: {shown}");

    let parts = SecurityInformation::DACL;
    let before = files.descriptor(&root, parts, soon()).await.expect("read");
    let stale = files
        .set_descriptor(&root, parts, b"other", &system_and_administrators(), soon())
        .await
        .expect_err("not what is stored");
    assert_eq!(stale.kind, TransportErrorKind::Refused);
    assert_eq!(files.descriptor(&root, parts, soon()).await.expect("read"), before);

    files
        .set_descriptor(&root, parts, &before, &system_and_administrators(), soon())
        .await
        .expect("write");
    let after = files.descriptor(&root, parts, soon()).await.expect("read");
    assert_ne!(after, before);
    let shown = peer.acl(&root.below_drive()).await;
    assert!(shown.contains("S-1-5-32-544"), "{shown}");

    files.set_descriptor(&root, parts, &after, &before, soon()).await.expect("write back");
    assert_eq!(files.descriptor(&root, parts, soon()).await.expect("read"), before);
    files.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_a_rejected_logon_and_a_closed_door_is_a_denial() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let rejected = connect(&peer.target(ADMIN, "wrong"), soon()).await.err().expect("wrong");
    assert_eq!(rejected.kind, TransportErrorKind::AuthRejected);

    let files = peer.connect().await;
    let root = folder(&files, "denied").await;
    let locked = root.join("locked").expect("name");
    files
        .create_directory(&locked, Some(&system_and_administrators()), soon())
        .await
        .expect("make");
    let reader = connect(&peer.target(READER, PASSWORD), soon()).await.expect("log on");

    let denied = reader.list(&locked, soon()).await.expect_err("not for this account");
    assert_eq!(denied.kind, TransportErrorKind::AccessDenied);
    reader.close().await;
    files.close().await;
}

#[tokio::test]
async fn a_passed_deadline_ends_the_connection() {
    let Some(room) = Room::enter() else { return };
    let peer = Samba::start(&room, "if_required").await;
    let files = peer.connect().await;

    let late = files
        .metadata(&path("C:\\"), Deadline::after(Duration::ZERO))
        .await
        .expect_err("no time at all");
    assert_eq!(late.kind, TransportErrorKind::TimedOut);
    let lost = files.metadata(&path("C:\\"), soon()).await.expect_err("dropped");
    assert_eq!(lost.kind, TransportErrorKind::Unreachable);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable_and_a_silent_one_times_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let silent = target("127.0.0.1", port, "x", "x");
    let shortly = Deadline::after(Duration::from_millis(300));
    let error = connect(&silent, shortly).await.err().expect("silent");
    assert_eq!(error.kind, TransportErrorKind::TimedOut);

    drop(listener);
    let error = connect(&silent, soon()).await.err().expect("closed");
    assert_eq!(error.kind, TransportErrorKind::Unreachable);
}

/// `O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)`, self-relative ([MS-DTYP] 2.4.6).
fn system_and_administrators() -> Vec<u8> {
    let administrators: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let system: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let ace = |sid: &[u8]| {
        let size = u8::try_from(8 + sid.len()).expect("short");
        let mut ace = vec![0, 3, size, 0, 0xFF, 0x01, 0x1F, 0x00];
        ace.extend_from_slice(sid);
        ace
    };
    let aces = [ace(system), ace(administrators)].concat();
    let size = u8::try_from(8 + aces.len()).expect("short");
    let mut descriptor = vec![1, 0, 0x04, 0x90, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0];
    descriptor.extend_from_slice(administrators);
    descriptor.extend_from_slice(administrators);
    descriptor.extend_from_slice(&[2, 0, size, 0, 2, 0, 0, 0]);
    descriptor.extend_from_slice(&aces);
    descriptor
}

/// Another client with a file open; it lets go when dropped.
struct Holder(Child);

impl Holder {
    /// smbclient reads one line for each time that its input has something new.
    fn nudge(&mut self) {
        let input = self.0.stdin.as_mut().expect("its input");
        writeln!(input).expect("tell it");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets smbclient open a file and deny everything to others, then make the directory `sign`.
fn hold(peer: &Samba, file: &WindowsPath, sign: &WindowsPath) -> Holder {
    let mut child = peer
        .smbclient()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run smbclient");
    let input = child.stdin.as_mut().expect("its input");
    writeln!(input, "open {}\nmkdir {}", file.below_drive(), sign.below_drive()).expect("tell it");
    Holder(child)
}
