//! The listener of the simulated SQL Server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::connection::serve;
use crate::lab::cmdb::Cmdb;
use crate::lab::front::{Accounts, Faults};

/// More clients than this wait until one leaves.
const MAX_CONNECTIONS: usize = 1000;
/// User sessions of a SQL Server are numbered from here.
const FIRST_SESSION: u16 = 51;

/// What a simulated SQL Server is made of.
pub struct TdsSettings {
    /// The server's name.
    pub server: String,
    /// The name of its only database.
    pub database: String,
    /// The content of that database.
    pub cmdb: Cmdb,
    /// Who may log in by user and password; domains do not matter for a SQL login.
    pub accounts: Accounts,
    /// What goes wrong.
    pub faults: Arc<dyn Faults>,
}

/// A simulated SQL Server on a loopback address. It ends when it is dropped.
pub struct TdsFront {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TdsFront {
    /// Starts to listen; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address is taken, or it is not a loopback address.
    pub async fn bind(address: SocketAddr, settings: TdsSettings) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let text = format!("the lab listens on loopback only, not on {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::new(settings)));
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections and stops listening; returns when the port is free.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // It was aborted, so its only outcome is that it is over.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for TdsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the tasks of all connections: they end with it.
async fn accept(listener: TcpListener, settings: Arc<TdsSettings>) {
    let mut connections = JoinSet::new();
    let mut number = FIRST_SESSION;
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        // Answers are small; without this each waits for the acknowledgement.
                        let _ = stream.set_nodelay(true);
                        connections.spawn(serve(stream, Arc::clone(&settings), number));
                        number = number.checked_add(1).unwrap_or(FIRST_SESSION);
                    }
                    // Out of descriptors, or the client left already: try again a little later.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
