//! The listener: TCP in front of [`Connection`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{Connection, Reply, Then};
use super::machine::SmbMachine;
use crate::lab::front::{ConnectionFault, Protocol};

/// A connection without a request for this long is closed, as Windows does after 15 minutes.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// A peer that does not take an answer within this time is cut off.
const SEND: Duration = Duration::from_secs(60);
/// After a failed accept (no file descriptor left), how long to wait before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How many connections one machine serves at once.
const MAX_CONNECTIONS: usize = 1024;

/// Serves SMB for one machine until `shutdown` turns true or its sender is gone.
///
/// Returns when every connection has ended; they end at once.
pub async fn serve(
    listener: TcpListener,
    machine: SmbMachine,
    mut shutdown: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let machine = machine.clone();
                connections.spawn(async move {
                    // How a connection ended is the peer's business; nothing depends on it.
                    let _ = converse(stream, machine).await;
                    drop(permit);
                });
            }
        }
    }
    connections.shutdown().await;
}

/// Waits for the word to stop. A sender that is gone means the same.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

async fn converse(mut stream: TcpStream, machine: SmbMachine) -> io::Result<()> {
    match machine.faults.on_connect(Protocol::Smb) {
        None => {}
        Some(ConnectionFault::Refuse) => return Ok(()),
        Some(ConnectionFault::Hang) => return swallow(stream).await,
    }
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(machine);
    let mut frame = Vec::new();
    loop {
        match tokio::time::timeout(IDLE, read_frame(&mut stream, &mut frame)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) | Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
        }
        let Reply { frame: answer, delay, then } = connection.receive(&frame);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(answer) = answer {
            let send = send_frame(&mut stream, &answer, then == Then::Truncate);
            tokio::time::timeout(SEND, send).await??;
        }
        if then != Then::GoOn {
            return Ok(());
        }
    }
}

/// Reads and forgets until the peer has had enough.
async fn swallow(mut stream: TcpStream) -> io::Result<()> {
    let mut nowhere = [0; 1024];
    while let Ok(Ok(count)) = tokio::time::timeout(IDLE, stream.read(&mut nowhere)).await {
        if count == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads one frame with the length of [MS-SMB2] 2.1 in front; `false` at the end of the stream
/// and for a length that no client has reason to send.
async fn read_frame(stream: &mut TcpStream, frame: &mut Vec<u8>) -> io::Result<bool> {
    const KEEP_ALIVE: u8 = 0x85;
    loop {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        let [kind, high, middle, low] = length;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == KEEP_ALIVE && length == 0 {
            continue;
        }
        if kind != 0 || length > Connection::MAX_FRAME {
            return Ok(false);
        }
        frame.resize(length, 0);
        stream.read_exact(frame).await?;
        return Ok(true);
    }
}

async fn send_frame(stream: &mut TcpStream, frame: &[u8], truncate: bool) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let kept = if truncate { &frame[..frame.len() / 2] } else { frame };
    let mut bytes = Vec::with_capacity(4 + kept.len());
    // The first byte is zero as long as frames are below 16 MiB, and these are.
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(kept);
    stream.write_all(&bytes).await
}
