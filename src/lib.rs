//! fleetmend repairs fleets of Altiris / Symantec ITMS package servers that have drifted from
//! their Notification Server.
//!
//! A pure planner makes a plan, a pure scheduler decides (no clock, no sockets), a small async
//! driver acts, and every fact is one event: journal, progress, JSON and reports are readers of
//! that event. Each module below is a layer and may import only what the table in
//! `ARCHITECTURE.md` says; `tests/laws/layering.rs` checks it.

pub mod action;
pub mod cli;
pub mod engine;
pub mod event;
pub mod expression;
pub mod host;
pub mod itms;
pub mod lab;
pub mod ledger;
pub mod load;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod report;
pub mod scheduler;
pub mod secret;
pub mod store;
pub mod transport;
