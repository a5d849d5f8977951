//! Somebody on the way answers in the server's place.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use fleetmend::protocol::wsman::{Fault, FaultCode, Response, ResponseEnvelope};
use fleetmend::transport::TransportErrorKind;
use fleetmend::transport::winrm::{CommandLine, WinRmError, WinRmSettings, WinRmShell};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::lab::{Lab, lab, soon};

/// Passes everything on, but answers the sealed request of that number (from 1) itself.
async fn go_between(lab: &Lab, number: usize, answer: Vec<u8>) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = lab.port;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sealed = 0;
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                tokio::select! {
                    read = client.read(&mut from_client) => {
                        let Ok(read @ 1..) = read else { break };
                        let request = &from_client[..read];
                        let mark = b"content-type: multipart/encrypted";
                        sealed += usize::from(request.windows(mark.len()).any(|w| w == mark));
                        if sealed == number {
                            sealed += 1;
                            client.write_all(&answer).await.unwrap();
                        } else {
                            server.write_all(request).await.unwrap();
                        }
                    }
                    read = server.read(&mut from_server) => {
                        let Ok(read @ 1..) = read else { break };
                        client.write_all(&from_server[..read]).await.unwrap();
                    }
                }
            }
        }
    });
    (port, tasks)
}

fn http(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn soap(response: Response) -> String {
    let relates_to = "uuid:0".to_owned();
    ResponseEnvelope { relates_to, message_id: "uuid:1".to_owned(), response }.to_xml("forged")
}

const SOAP: &str = "application/soap+xml;charset=UTF-8";
const SEALED: &str = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\"";

#[tokio::test]
async fn an_answer_that_is_not_sealed_is_never_believed() {
    let started = soap(Response::Started { command_id: "C".to_owned() });
    let fault = soap(Response::Fault(Fault::receiver(FaultCode::SHELL_NOT_FOUND, "x", "forged")));
    let frame = "--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=6\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n\x10\0\0\0\x01\0\0\0aaaabbbbccccforged--Encrypted Boundary--\r\n";
    let forgeries = [
        http("200 OK", SOAP, &started),
        http("500 Internal Server Error", SOAP, &fault),
        http("200 OK", SEALED, &started),
        http("200 OK", SEALED, frame),
        http("500 Internal Server Error", "text/plain", ""),
        http("400 Bad Request", "text/html", "<html>"),
    ];
    for forgery in forgeries {
        let lab = lab().await;
        // The second sealed request is the Command.
        let (port, _tasks) = go_between(&lab, 2, forgery.clone()).await;
        let settings = WinRmSettings { port, ..lab.settings() };
        let shell = WinRmShell::open(settings, soon()).await.unwrap();

        let failure = shell.run(CommandLine::new("echo x"), soon()).await.unwrap_err();

        let shown = String::from_utf8_lossy(&forgery).into_owned();
        assert!(
            matches!(failure.error, WinRmError::Protocol { request: "Command", .. }),
            "{shown}: {:?}",
            failure.error
        );
        // The command may have reached the server all the same.
        assert_eq!(failure.kind(), TransportErrorKind::InDoubt);
        assert!(lab.machine.began.lock().unwrap().is_empty(), "{shown}");
        assert_eq!(lab.front.open_shells(), 0, "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_never_ends_its_headers_or_its_body_is_cut_off() {
    let endless = [
        [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'a'; 300_000]].concat(),
        [b"HTTP/1.1 200 OK\r\nContent-Type: multipart/encrypted\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n".as_slice(), &[b'a'; 2_000_000]].concat(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nContent-Type: multipart/encrypted\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
    ];
    for answer in endless {
        let lab = lab().await;
        let (port, _tasks) = go_between(&lab, 2, answer).await;
        let settings = WinRmSettings { port, ..lab.settings() };
        let shell = WinRmShell::open(settings, soon()).await.unwrap();

        let ended = tokio::time::timeout(
            Duration::from_secs(8),
            shell.run(CommandLine::new("echo x"), soon()),
        )
        .await
        .expect("it waits for ever");

        assert_eq!(ended.unwrap_err().kind(), TransportErrorKind::InDoubt);
        assert_eq!(lab.front.open_shells(), 0);
    }
}
