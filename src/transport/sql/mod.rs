//! SQL Server, reading only, over tiberius.

mod cell;
mod classify;
mod client;

pub use client::{Protection, SqlClient};
