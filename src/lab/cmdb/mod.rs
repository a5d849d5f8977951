//! The simulated CMDB: tables, what the simulated world writes, and the T-SQL it answers.

mod batch;
mod change;
mod database;
mod inspect;
mod irregular;
mod lexer;
mod named;
mod named_repair;
mod schema;
mod select;
mod sql_error;
#[cfg(test)]
mod tests;
mod transaction;

pub use batch::{Results, SqlSession};
pub use database::{BASIC_INVENTORY, Cmdb, CmdbError, PackageServerRow, ServerRecord};
pub use named::{known_statements, recognise};
pub use schema::LAB_SERVER_SITE;
pub use sql_error::SqlError;
