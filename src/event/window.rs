//! What the journal says about change windows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{PlayNo, StepId};

/// An instant of a window, as the machine and as people of its zone say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTime {
    /// The instant.
    pub at: jiff::Timestamp,
    /// As `Tue 2026-12-01 22:00 Europe/Oslo`.
    pub says: String,
}

/// Why nothing more starts in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEnd {
    /// It is closed, or past its cutoff, and so is that of every site.
    Closed,
    /// A host would not end before it closes.
    TooLate {
        /// How long a host takes, with the margin, in real time.
        needs: Duration,
    },
    /// The wall clock jumped, and nobody knows whether it is open.
    Clock,
    /// It closed on a host in the middle of a task that one host does for all: no other one may go on
    /// with it, though their window may be open.
    InTheMiddle {
        /// The task and the host.
        step: StepId,
    },
}

impl WindowEnd {
    /// As a phrase.
    pub fn phrase(&self) -> String {
        match self {
            Self::Closed => "the window takes no host any more".to_owned(),
            Self::TooLate { needs } => {
                let needs = crate::model::format_span(*needs);
                format!("a host takes {needs} with the margin, and would not end before the close")
            }
            Self::Clock => "the wall clock jumped, and did not come back".to_owned(),
            Self::InTheMiddle { step } => {
                let StepId { task, host } = step;
                format!(
                    "the window closed on {host} in the middle of task {task}, which is done once for \
                     all hosts and which only {host} may go on with"
                )
            }
        }
    }
}

/// A run that ended because of its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowClosed {
    /// The play.
    pub play: PlayNo,
    /// Hosts of the play that are not through.
    pub left: u32,
    /// Why.
    pub why: WindowEnd,
    /// When hosts that are left could be taken next; none when never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<WindowTime>,
}

/// What is known of the windows of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowState {
    /// What was said in one line for the whole run, by this process or the one before it.
    pub of_run: Option<String>,
    /// What the run waits for.
    pub held: Option<WindowTime>,
    /// Why it ended.
    pub closed: Option<WindowClosed>,
    /// What the wall clock should have shown, and what it showed.
    pub jumped: Option<(jiff::Timestamp, jiff::Timestamp)>,
}
