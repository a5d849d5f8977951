//! What this run already did to the host.

use serde_json::Value;

/// A change that an earlier step of this run made to the same host, in any play.
#[derive(Debug, Clone, PartialEq)]
pub struct PriorChange {
    /// The action that made it.
    pub action: String,
    /// The action's own form of the change.
    pub change: Value,
}
