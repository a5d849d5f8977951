//! Every fact of a run is one event; journal, progress, JSON and recap are readers of it.

mod change;
mod gauge;
mod journal;
mod kind;
mod observer;
mod question;
mod result;
mod state;
mod window;

pub use change::{ChangeRecord, Undo};
pub use gauge::{Gauge, InFlight, LimitGauge, Phase, WaitReason};
pub use journal::{Ack, Journal, JournalError};
pub use kind::{
    AdaptReason, Event, EventKind, NotReady, OracleReport, PlayHeader, RunMode, RunStarted,
    StopStage, TaskHeader,
};
pub use observer::Observer;
pub use question::{Answer, AnsweredBy, Question, Reply};
pub use result::RunResult;
pub use state::{
    Adapted, Confirmation, GateQuestion, GateState, HostState, IllegalEvent, PlayState, RunState,
    StepPart, StepState, Tripped, WaveState,
};
pub use window::{WindowClosed, WindowEnd, WindowState, WindowTime};
