//! How many hosts of a play may end badly, over all its waves.

use serde::{Deserialize, Serialize};

/// Budgets of a play over all its waves. A budget of B tolerates B bad hosts and stops on the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MaxFail {
    /// Whether a host is taken only while bad hosts and hosts in flight together are within every
    /// budget.
    #[serde(default)]
    pub strict: bool,
}
