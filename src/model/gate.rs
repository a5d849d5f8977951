//! What must be well for a play to go on.

use serde::{Deserialize, Serialize};

/// A question that is asked before each wave and while it is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name: `ns_healthy`.
    pub name: String,
}
