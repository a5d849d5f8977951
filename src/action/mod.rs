//! The verbs of playbooks: one file each, one registry.

mod contract;
mod document;
mod erased;
mod registry;
mod scheduled_task;
#[cfg(test)]
mod scripted_host;
mod scripts;

pub use contract::{Action, Applied, Replay, Verdict};
pub use document::{ParamDoc, ParamKind};
pub use erased::{ActionKind, Decision, ParamsError, Prepared};
pub use registry::{find, registry};
