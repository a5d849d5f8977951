//! How a run ended.

use serde::{Deserialize, Serialize};

/// How a run ended, worst first: the first that applies holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// A mistake in this program, or its journal could not be written.
    Bug,
    /// The operator stopped it; it can be resumed.
    Stopped,
    /// More hosts failed than the playbook tolerates.
    BudgetTripped,
    /// The change window closed with hosts left; it can be resumed in the next one.
    WindowClosed,
    /// Something that an operator has to confirm was not confirmed; it can be resumed.
    Unconfirmed,
    /// The steps ended well and the Notification Server does not say Ready.
    OracleNotSatisfied,
    /// Hosts could not be reached, and nothing else failed.
    UnreachableOnly,
    /// Some hosts failed, within the budget.
    SomeFailed,
    /// Everything asked for is done.
    Done,
}

impl RunResult {
    /// The exit code of the program: 70, 6, 3, 5, 9, 8, 4, 2 or 0.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Bug => 70,
            Self::Stopped => 6,
            Self::BudgetTripped => 3,
            Self::WindowClosed => 5,
            Self::Unconfirmed => 9,
            Self::OracleNotSatisfied => 8,
            Self::UnreachableOnly => 4,
            Self::SomeFailed => 2,
            Self::Done => 0,
        }
    }

    /// The phrase of the recap.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Bug => "ended by a mistake in fleetmend",
            Self::Stopped => "stopped by the operator",
            Self::BudgetTripped => "stopped: more hosts failed than the playbook tolerates",
            Self::WindowClosed => "the change window closed with hosts left",
            Self::Unconfirmed => "stopped: a confirmation was not given",
            Self::OracleNotSatisfied => "steps done, but the Notification Server is not satisfied",
            Self::UnreachableOnly => "done, but for hosts that could not be reached",
            Self::SomeFailed => "done, with failures within the budget",
            Self::Done => "done",
        }
    }
}
