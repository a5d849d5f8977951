//! What the client does with links, faults and deadlines.

use std::time::Duration;

use fleetmend::lab::front::RequestFault;
use fleetmend::transport::smb::connect;
use fleetmend::transport::{ChangeFiles, Deadline, FileMetadata, ReadFiles, TransportErrorKind};

use super::lab::{Meets, NOW, PASSWORD, Server, path, soon};

async fn metadata(files: &impl ReadFiles, at: &str) -> FileMetadata {
    files.metadata(&path(at), soon()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_session_is_encrypted_when_the_server_agrees_on_a_cipher() {
    let server = Server::start().await;

    let files = server.connect().await;

    assert!(files.is_encrypted());
    assert_eq!(files.list(&path(r"C:\"), soon()).await.unwrap().len(), 2);
    files.close().await;
}

#[tokio::test]
async fn nothing_is_moved_or_deleted_through_a_link() {
    let server = Server::start().await;
    server.tree.write(r"C:\Real\a.xml", "a", NOW).unwrap();
    server.tree.add_junction(r"C:\Link", r"C:\Real", NOW).unwrap();
    let files = server.connect().await;
    let seen = metadata(&files, r"C:\Link\a.xml").await;
    assert_eq!(seen.normalized, Some(path(r"C:\Real\a.xml")));
    assert!(metadata(&files, r"C:\Link").await.attributes.is_link());

    for at in [r"C:\Link\a.xml", r"C:\Link"] {
        let moved = files.rename(&path(at), &path(r"C:\b.xml"), &seen, soon()).await.unwrap_err();
        assert_ne!(moved.kind, TransportErrorKind::InDoubt, "{at}");
        files.delete(&path(at), &seen, soon()).await.unwrap_err();
    }

    assert!(server.tree.exists(r"C:\Real\a.xml"));
    assert!(!server.tree.exists(r"C:\b.xml"));
}

#[tokio::test]
async fn a_move_whose_answer_never_comes_is_in_doubt_and_one_never_asked_for_is_not() {
    for (fault, acting) in [
        (Meets("SET_INFO", RequestFault::Drop), TransportErrorKind::InDoubt),
        (Meets("SET_INFO", RequestFault::Hang), TransportErrorKind::InDoubt),
        (Meets(r"CREATE C:\a", RequestFault::Drop), TransportErrorKind::Unreachable),
        (Meets(r"CREATE C:\a", RequestFault::Hang), TransportErrorKind::TimedOut),
        (
            Meets(r"CREATE C:\a", RequestFault::SharingViolation),
            TransportErrorKind::SharingViolation,
        ),
        (Meets(r"CREATE C:\a", RequestFault::Busy), TransportErrorKind::Throttled),
        (Meets(r"CREATE C:\a", RequestFault::Unauthorized), TransportErrorKind::Unreachable),
    ] {
        let operation = fault.0;
        let server = Server::with(fault).await;
        server.tree.write(r"C:\a.xml", "a", NOW).unwrap();
        let expected = FileMetadata {
            size: 1,
            attributes: fleetmend::transport::FileAttributes(0x20),
            created: NOW,
            modified: NOW,
            normalized: None,
        };
        let files = server.connect().await;

        let shortly = Deadline::after(Duration::from_millis(400));
        let error = files
            .rename(&path(r"C:\a.xml"), &path(r"C:\b.xml"), &expected, shortly)
            .await
            .unwrap_err();

        assert_eq!(error.kind, acting, "{operation}");
    }
}

#[tokio::test]
async fn an_operation_that_is_abandoned_takes_its_connection_along() {
    let server = Server::with(Meets(r"CREATE C:\a", RequestFault::Hang)).await;
    let files = server.connect().await;
    let at = path(r"C:\a.xml");

    tokio::select! {
        biased;
        _ = files.metadata(&at, soon()) => unreachable!("it never answers"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }

    let after = files.metadata(&path(r"C:\ProgramData"), soon()).await.unwrap_err();
    assert_eq!(after.kind, TransportErrorKind::Unreachable);
}

#[tokio::test]
async fn users_are_known_by_domain_by_principal_name_and_by_name_alone() {
    let server = Server::start().await;
    for user in [r"CORP\deploy", "deploy@corp.example", "deploy"] {
        connect(&server.target(user, PASSWORD), soon()).await.unwrap().close().await;
    }

    let wrong = connect(&server.target("deploy", "x"), soon()).await.err().unwrap();
    assert_eq!(wrong.kind, TransportErrorKind::AuthRejected);
    let plain = connect(&server.target(r"CORP\plain", PASSWORD), soon()).await.unwrap();
    let denied = plain.list(&path(r"C:\"), soon()).await.unwrap_err();
    assert_eq!(denied.kind, TransportErrorKind::AccessDenied);
}
