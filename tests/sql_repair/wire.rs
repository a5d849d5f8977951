//! The way to the server, which can be cut after any packet.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The way to the server, which is cut after so many packets of one direction.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<WireState>,
    task: JoinHandle<()>,
}

/// What happens where the way is cut, before its ends notice; says whether it stays cut.
pub(crate) type AtCut = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

pub(crate) struct WireState {
    /// Packets of TDS that went to the server, and that came from it.
    passed: [AtomicUsize; 2],
    /// The direction, and after how many of its packets the way is cut.
    pub(crate) cut: Mutex<Option<(usize, usize)>>,
    /// Whether it stays cut.
    is_down: Mutex<bool>,
    at_cut: AtCut,
}

impl Wire {
    pub(crate) async fn lay(to: SocketAddr, at_cut: AtCut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(WireState {
            passed: [AtomicUsize::new(0), AtomicUsize::new(0)],
            cut: Mutex::new(None),
            is_down: Mutex::new(false),
            at_cut,
        });
        let own = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *own.is_down.lock().unwrap() {
                    continue;
                }
                let server = TcpStream::connect(to).await.unwrap();
                let own = Arc::clone(&own);
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Whichever ends first ends both: that is the cut.
                    tokio::select! {
                        () = own.carry(0, from_client, to_server) => {}
                        () = own.carry(1, from_server, to_client) => {}
                    }
                });
            }
        });
        Self { address, state, task }
    }

    /// Mends the way and says where it is cut next; returns how many packets passed so far.
    pub(crate) fn reset(&self, cut: Option<(usize, usize)>) -> [usize; 2] {
        *self.state.cut.lock().unwrap() = cut;
        *self.state.is_down.lock().unwrap() = false;
        [0, 1].map(|direction: usize| self.state.passed[direction].swap(0, Ordering::Relaxed))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WireState {
    async fn carry(
        &self,
        direction: usize,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
    ) {
        loop {
            let mut header = [0; 8];
            if from.read_exact(&mut header).await.is_err() {
                return;
            }
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let mut packet = header.to_vec();
            packet.resize(length.max(8), 0);
            if from.read_exact(&mut packet[8..]).await.is_err() {
                return;
            }
            let passed = self.passed[direction].fetch_add(1, Ordering::Relaxed);
            let is_here = {
                let mut cut = self.cut.lock().unwrap();
                cut.take_if(|cut| *cut == (direction, passed)).is_some()
            };
            if is_here {
                let lasts = (self.at_cut)().await;
                *self.is_down.lock().unwrap() = lasts;
                return;
            }
            if to.write_all(&packet).await.is_err() {
                return;
            }
        }
    }
}
