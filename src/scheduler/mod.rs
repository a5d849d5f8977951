//! The pure scheduler: it decides what starts when, and why a run stops.
//!
//! It knows no clock and no socket. The driver tells it what happened ([`Input`]), does what it
//! says ([`Command`]) and has no policy of its own. Time is passed in. Each turn of the driver is:
//!
//! 1. `handle` what happened;
//! 2. `poll` until it returns `None`, and do each command;
//! 3. sleep until something happens or until `next_wakeup`.
//!
//! The driver stamps and journals [`Command::Emit`]; it writes `StepStarted`, `StepDecided` and
//! `StepFinished` itself, because it has what they tell. Everything else comes from here.

mod adapting;
mod adaptive;
mod admission;
mod bearing;
mod budget;
mod budgets;
mod contract;
mod curb;
mod deferred;
mod ending;
mod gates;
mod gauge;
mod granting;
mod health_gate;
mod hold;
mod hours;
mod limiter;
mod oracle;
mod pipeline;
mod play;
mod ramp;
mod resumed;
#[expect(clippy::module_inception, reason = "the layer and its one type have the same name")]
mod scheduler;
mod sharing;
mod stopping;
mod taking;
mod wave_ready;
mod window;

pub use contract::{Command, GateReading, Input};
pub use scheduler::Scheduler;
