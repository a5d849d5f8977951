//! Accepts connections and owns what they share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::connection;
use super::quota::Quotas;
use super::shells::Shells;
use crate::lab::front::{Accounts, ConnectionFault, Faults, Machine, Protocol};
use crate::protocol::auth::Names;

/// What a front is made of.
pub struct WinRmConfig {
    /// The names the machine tells in its challenge.
    pub names: Names,
    /// Who may log on.
    pub accounts: Accounts,
    /// What runs the commands.
    pub machine: Arc<dyn Machine>,
    /// Which faults apply.
    pub faults: Arc<dyn Faults>,
    /// Its limits.
    pub quotas: Quotas,
    /// Takes basic authentication, and with it messages that are not sealed. Windows has both off.
    pub allow_basic: bool,
}

/// What a front has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Logons that succeeded.
    pub logons: u64,
    /// Logons that were rejected.
    pub rejected: u64,
    /// Messages that came sealed.
    pub sealed: u64,
    /// Messages that were refused because they were not sealed.
    pub refused_plain: u64,
}

#[derive(Default)]
pub(super) struct Counting {
    pub(super) connections: AtomicU64,
    pub(super) logons: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) sealed: AtomicU64,
    pub(super) refused_plain: AtomicU64,
}

/// The WinRM service of one simulated machine.
pub struct WinRmFront {
    pub(super) config: WinRmConfig,
    pub(super) shells: Shells,
    pub(super) counting: Counting,
}

impl WinRmFront {
    /// Makes a front; [`Self::serve`] opens it.
    pub fn new(config: WinRmConfig) -> Arc<Self> {
        let shells = Shells::new(config.quotas.clone(), Arc::clone(&config.machine));
        Arc::new(Self { config, shells, counting: Counting::default() })
    }

    /// How many shells are open now.
    pub fn open_shells(&self) -> usize {
        self.shells.count()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            connections: read(&self.counting.connections),
            logons: read(&self.counting.logons),
            rejected: read(&self.counting.rejected),
            sealed: read(&self.counting.sealed),
            refused_plain: read(&self.counting.refused_plain),
        }
    }

    /// Serves until `shutdown` is ready, then ends every connection.
    ///
    /// A listener that fails to accept (out of descriptors) is tried again after a pause.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            self.counting.connections.fetch_add(1, Ordering::Relaxed);
            if connections.len() >= self.config.quotas.connections {
                continue;
            }
            match self.config.faults.on_connect(Protocol::WinRm) {
                Some(ConnectionFault::Refuse) => {
                    // A reset, as from a port nobody listens on; harmless if it cannot be set.
                    let _ = stream.set_zero_linger();
                }
                Some(ConnectionFault::Hang) => {
                    connections.spawn(async move {
                        let _held = stream;
                        std::future::pending::<()>().await;
                    });
                }
                None => {
                    // Small answers are not worth waiting for more.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection::serve(Arc::clone(&self), stream));
                }
            }
        }
        connections.shutdown().await;
    }
}
