//! What a play says about when to go slower, to wait or to stop.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Gate, Hours, MaxFail, Window};

/// The safeguards of a play, beside its waves and limits. The default is none of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Safeguards {
    /// How many hosts may end badly over all waves, by why they did.
    #[serde(default)]
    pub max_fail: MaxFail,
    /// How long nothing more starts after a wave, so that what it caused can show, in the world's
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Duration>,
    /// What must be well before each wave, and while it is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// When hosts may be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What that and the window of the run come to for the play's hosts; a draft says it.
    #[serde(skip)]
    pub hours: Hours,
}
