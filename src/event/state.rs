//! What is known of a run, folded from its events: resume, recap, progress and `show` all read this
//! and nothing else.
//!
//! The run as a whole is here. `play` and `step` hold its parts, `fold` takes in one event after the
//! other, `reopened` is what a resume takes back.

use indexmap::IndexMap;

use super::{AdaptReason, RunMode, RunResult, RunStarted, StopStage, WindowState};
use crate::model::{Elapsed, HostName, PlayNo, StepId, TaskId};

mod fold;
mod play;
mod reopened;
mod step;

pub use fold::IllegalEvent;
pub use play::{GateQuestion, GateState, HostState, PlayState, Tripped, WaveState};
pub use step::{Confirmation, StepPart, StepState};

/// All that is known of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    /// The first event.
    pub header: Option<Box<RunStarted>>,
    /// The plays that began, or had their work found.
    pub plays: IndexMap<PlayNo, PlayState>,
    /// Units booked by limit: now and later together.
    pub booked: IndexMap<String, u64>,
    /// Limits that followed what their server bears, and were told to be below what is declared.
    pub adapted: IndexMap<String, Adapted>,
    /// The steps that act on another host than their own, by that host.
    pub delegated: IndexMap<HostName, Vec<StepId>>,
    /// Whether the operator asked for an end.
    pub stopping: Option<StopStage>,
    /// What is known of its windows.
    pub window: WindowState,
    /// The host that rejected a logon.
    pub breaker: Option<HostName>,
    /// How it ended.
    pub result: Option<RunResult>,
    /// The number that the next event must have.
    pub next_seq: u64,
    /// The elapsed time of the latest event.
    pub elapsed: Elapsed,
    /// The wall clock of the first and of the latest event.
    pub span: Option<(jiff::Timestamp, jiff::Timestamp)>,
    /// How often the run was resumed.
    pub resumed: u32,
}

/// How a limit followed what its server bears, as far as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapted {
    /// The least share of what is declared, in percent, and why.
    pub lowest: (u8, AdaptReason),
    /// The latest share, in percent.
    pub latest: u8,
    /// How often it was told that it falls.
    pub fell: u32,
}

impl RunState {
    /// Takes in the next event.
    /// A step, if it began.
    pub fn step(&self, step: &StepId) -> Option<&StepState> {
        self.plays.get(&step.task.play)?.hosts.get(&step.host)?.steps.get(&step.task.task)
    }

    /// Every step that began, in the order of plays, hosts and tasks.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &StepState)> {
        self.plays.iter().flat_map(|(play, state)| {
            state.hosts.iter().flat_map(move |(host, host_state)| {
                host_state.steps.iter().map(move |(task, step)| {
                    let task = TaskId { play: *play, task: *task };
                    (StepId { task, host: host.clone() }, step)
                })
            })
        })
    }

    /// Steps whose effect was asked for and never seen to end.
    pub fn in_doubt(&self) -> impl Iterator<Item = StepId> {
        self.steps().filter(|(_, step)| step.open).map(|(id, _)| id)
    }

    /// Whether nothing was changed and nothing was asked to change.
    pub fn is_check(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.mode == RunMode::Check)
    }

    /// Whether every play ended, or one that ended forbids those after it.
    pub fn is_through(&self) -> bool {
        let plays = self.header.as_ref().map_or(0, |header| header.plays.len());
        for number in (0..).map(PlayNo).take(plays) {
            match self.plays.get(&number) {
                Some(play) if play.finished && play.is_stopped() => return true,
                Some(play) if play.finished => {}
                Some(_) | None => return false,
            }
        }
        true
    }
}
