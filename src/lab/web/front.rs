//! Accepts connections of one machine's web server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::connection;
use crate::lab::clock::LiveWorld;
use crate::lab::front::{Accounts, ConnectionFault, Faults, Protocol};
use crate::lab::world::MachineId;
use crate::protocol::auth::Names;

/// The most connections at once.
const CONNECTIONS: usize = 100;

/// What a front is made of.
pub struct WebConfig {
    /// The names the machine tells in its challenge.
    pub names: Names,
    /// Who may log on.
    pub accounts: Accounts,
    /// The world that answers.
    pub world: Arc<LiveWorld>,
    /// The machine in it.
    pub machine: MachineId,
    /// Which faults apply.
    pub faults: Arc<dyn Faults>,
}

/// The web server of one simulated machine.
pub struct WebFront {
    pub(super) config: WebConfig,
}

impl WebFront {
    /// Makes a front; [`Self::serve`] opens it.
    pub fn new(config: WebConfig) -> Arc<Self> {
        Arc::new(Self { config })
    }

    /// Serves until `shutdown` is ready, then ends every connection.
    ///
    /// A machine without IIS resets connections, as nobody would listen there; IIS may be installed
    /// while the lab is up. A listener that fails to accept is tried again after a pause.
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
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let WebConfig { world, machine, faults, .. } = &self.config;
            let has_iis = world.with(|world| world.has_web_server(*machine));
            let fault = faults.on_connect(Protocol::Http);
            if !has_iis
                || connections.len() >= CONNECTIONS
                || fault == Some(ConnectionFault::Refuse)
            {
                // Harmless if it cannot be set: the connection ends all the same.
                let _ = stream.set_zero_linger();
                continue;
            }
            if fault == Some(ConnectionFault::Hang) {
                connections.spawn(async move {
                    let _held = stream;
                    std::future::pending::<()>().await;
                });
                continue;
            }
            connections.spawn(connection::serve(Arc::clone(&self), stream));
        }
        connections.shutdown().await;
    }
}
