//! When a play may take hosts.

use serde::{Deserialize, Serialize};

/// A change window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// When it opens, as a time of day: `22:00`.
    pub open: String,
    /// When it closes, as a time of day: `02:00`.
    pub close: String,
}
