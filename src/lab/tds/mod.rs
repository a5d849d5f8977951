//! The simulated SQL Server: TDS 7.4 on loopback over the simulated CMDB, with SQL logins and
//! without encryption.

mod answer;
mod connection;
mod front;

pub use connection::CMDB_WRITERS;
pub use front::{TdsFront, TdsSettings};
