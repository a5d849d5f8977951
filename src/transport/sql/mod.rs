//! SQL Server over tiberius: reading, and changing in transactions.

mod cell;
mod classify;
mod client;
mod connect;
mod transaction;

pub use client::SqlClient;
pub use connect::Protection;
pub use transaction::SqlTransaction;
