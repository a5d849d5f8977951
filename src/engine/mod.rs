//! The async driver: it executes the scheduler's commands and holds no policy of its own.

mod clock;
mod logon;

pub use clock::Clock;
pub use logon::GuardedConnector;
