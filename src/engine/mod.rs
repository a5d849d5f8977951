//! The async driver: it executes the scheduler's commands and holds no policy of its own.

mod clock;
mod cmdb;
mod config;
mod driver;
mod logon;
mod message;
mod scope;
mod sessions;
mod step;

pub use config::{DriverConfig, Endpoints, Orders};
pub use driver::{DriveError, Driver};
pub use logon::GuardedConnector;
