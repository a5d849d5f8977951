//! What must be well for a play to go on.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A question that is asked before each wave and, where it watches, while one is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name: `ns_healthy`. `--approve` names it.
    pub name: String,
    /// What is asked.
    pub ask: GateAsk,
    /// How long after an answer it is asked again, in the world's time.
    pub every: Duration,
    /// How many answers in a row that are not well are tolerated; the next one stops the play.
    pub fail_limit: u32,
    /// How many tries in a row may come to no answer; the next one pauses the play.
    pub error_limit: u32,
    /// Whether it is asked while a wave is under way as well.
    pub watch: bool,
    /// In the world's time. For `wave_ready`: how long the wave before may take until it is Ready.
    /// For the others: how long a play that is paused waits for an answer that is well, where
    /// nobody can be asked.
    pub within: Duration,
}

/// What a gate asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAsk {
    /// Whether every Notification Server is well.
    NsHealthy(NsBounds),
    /// Whether the CMDB says Ready for the work of the hosts of the wave before.
    WaveReady,
    /// What a named query of the CMDB says.
    Query(GateQuery),
}

/// A named query and what its rows mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateQuery {
    /// The query.
    pub query: String,
    /// What the query takes, by name; templates see the variables of the play and of the
    /// Notification Server that is asked.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The expression that holds when all is well.
    pub pass: String,
    /// The expression that holds when it is not. With it, rows for which neither holds say nothing;
    /// without it, they are not well when `pass` does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
}

/// Within which bounds a Notification Server is well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NsBounds {
    /// The longest that its connection test may take, in real time.
    pub latency: Duration,
    /// How many times longer than at the best look of this run it may take; below
    /// [`NsBounds::QUICK`] this does not count.
    pub slower: f64,
    /// The most entries that may wait in its event queue.
    pub queue: u64,
    /// By how many entries the queue may have grown within `stalled`.
    pub growing: u64,
    /// How long the oldest entry may stay the same, in the world's time.
    pub stalled: Duration,
}

impl NsBounds {
    /// An answer that takes no longer than this is quick, whatever the best one took.
    pub const QUICK: Duration = Duration::from_millis(500);
}

impl Default for NsBounds {
    fn default() -> Self {
        Self {
            latency: Duration::from_secs(5),
            slower: 10.0,
            queue: 2000,
            growing: 1000,
            stalled: Duration::from_secs(5 * 60),
        }
    }
}

impl Gate {
    /// The name of the built-in gate over the Notification Servers.
    pub const NS_HEALTHY: &'static str = "ns_healthy";
    /// The name of the built-in gate over the wave before.
    pub const WAVE_READY: &'static str = "wave_ready";
    /// Every built-in gate.
    pub const BUILT_IN: [&'static str; 2] = [Self::NS_HEALTHY, Self::WAVE_READY];

    /// A gate with the defaults of what it asks.
    pub fn new(name: &str, ask: GateAsk) -> Self {
        let (is_health, is_ready) =
            (matches!(ask, GateAsk::NsHealthy(_)), matches!(ask, GateAsk::WaveReady));
        Self {
            name: name.to_owned(),
            ask,
            every: Duration::from_secs(if is_ready { 15 } else { 30 }),
            fail_limit: if is_health { 2 } else { 0 },
            error_limit: 4,
            watch: is_health,
            within: Duration::from_secs(60 * if is_ready { 45 } else { 15 }),
        }
    }
}

/// What the answer of a gate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// All is well.
    Pass,
    /// It cannot be told yet, which is not unusual; it is asked again.
    Pending,
    /// It was read, and says neither.
    Inconclusive,
    /// It could not be read, which is never taken for well.
    Unreadable,
    /// It is not well.
    Fail,
}

impl fmt::Display for GateVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Pending => "not yet",
            Self::Inconclusive => "inconclusive",
            Self::Unreadable => "unreadable",
            Self::Fail => "fail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_verdicts_the_later_one_is_the_worse() {
        let worst = [GateVerdict::Unreadable, GateVerdict::Pass, GateVerdict::Fail];

        assert_eq!(worst.into_iter().max(), Some(GateVerdict::Fail));
        assert!(GateVerdict::Pending > GateVerdict::Pass);
    }
}
