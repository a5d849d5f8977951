//! The async driver: it executes the scheduler's commands and holds no policy of its own.

mod back;
mod boot;
mod clock;
mod cmdb;
mod config;
mod driver;
mod foresee;
mod gates;
mod health;
mod logon;
mod message;
mod operator;
mod rejection_book;
mod scope;
mod sessions;
mod sources;
mod step;
mod task;

pub use boot::boot_moment;
pub use config::{DriverConfig, Endpoints, Orders};
pub use driver::{DriveError, Driver, Unrecorded};
pub use foresee::{Foreseen, foresee, is_worth_foreseeing};
pub use logon::GuardedConnector;
pub use operator::{NobodyThere, Operator};
pub use rejection_book::{BookError, FirstLogonRight, RejectionBook};
pub use sources::{SourceQuestion, ask_sources};
