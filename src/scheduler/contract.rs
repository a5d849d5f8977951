//! What the driver tells the scheduler, and what the scheduler tells the driver.

use std::time::Duration;

use crate::event::{EventKind, OracleReport, Reply, RunResult, StopStage};
use crate::ledger::{Answer, ClaimId, LimitKey, SharedDraw};
use crate::model::{
    Cost, FailureClass, GateVerdict, HostName, MatchedWork, NsHealth, Outcome, PlayNo, StepFailure,
    StepId, WaveNo,
};

/// What was found when a gate was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum GateReading {
    /// How each Notification Server was found.
    Health(Vec<(HostName, NsHealth)>),
    /// What the CMDB says of the work of the wave before.
    Ready(OracleReport),
    /// What the expressions of the gate say of the rows of its query.
    Said {
        /// What they say.
        verdict: GateVerdict,
        /// What was seen, in a few words.
        seen: String,
    },
    /// Nothing could be found out.
    Unreadable(StepFailure),
}

/// Something that happened. An input that fits nothing under way is late and changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The work query of a play was answered; hosts without rows are left out of it.
    Work {
        /// The play.
        play: PlayNo,
        /// The rows by the play's own hosts.
        matched: MatchedWork,
    },
    /// The work query of a play could not be answered: nothing more starts.
    WorkFailed {
        /// The play.
        play: PlayNo,
        /// Why.
        failure: StepFailure,
    },
    /// A step has read its host and has something to change; it waits for limits from here on. Sent
    /// once for an attempt at most, and not in check mode, where nothing would be changed.
    Decided {
        /// The step.
        step: StepId,
        /// All that the change draws, the task's `uses` included: what `StepDecided` records.
        cost: Cost,
    },
    /// The reading of a step draws from limits, and waits for them from here on. It changes nothing.
    /// Sent once for an attempt at most, and not in check mode.
    WantsToRead {
        /// The step.
        step: StepId,
        /// All that the reading draws.
        cost: Cost,
    },
    /// An attempt of a step, or an item of its loop, ended, and the step begins the next one after
    /// a pause. Sent after its `StepWentOn` is written; the limits that it drew from are free again.
    WentOn {
        /// The step.
        step: StepId,
        /// The pause, in real time.
        pause: Duration,
        /// Whether it changed its host.
        has_changed: bool,
    },
    /// The ledger answered a draw.
    Drawn {
        /// Who asked.
        claim: ClaimId,
        /// What it said.
        answer: Answer,
    },
    /// The logon that keeps the step back whose end is told next was rejected by this host, now or
    /// before, and that is not the step's own.
    LogonRejected {
        /// The host.
        by: HostName,
    },
    /// A step ended. Sent once for each started step, after its `StepFinished` is written.
    Finished {
        /// The step.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// Why it ended badly; none when it ended well.
        class: Option<FailureClass>,
    },
    /// The CMDB said which pairs are ready.
    Oracle {
        /// The play.
        play: PlayNo,
        /// What it said.
        report: OracleReport,
    },
    /// The CMDB could not be asked.
    OracleFailed {
        /// The play.
        play: PlayNo,
        /// Why.
        failure: StepFailure,
    },
    /// The Notification Server was looked at.
    Health {
        /// The play for which it was.
        play: PlayNo,
        /// How it was found; a look that failed has no latency.
        health: NsHealth,
    },
    /// A request of ours was answered that the Notification Server is too busy: status 503, or
    /// "Server is busy".
    Busy,
    /// A gate was asked.
    GateSaid {
        /// The play.
        play: PlayNo,
        /// The gate, by its place among the play's.
        gate: u16,
        /// What was found.
        reading: GateReading,
    },
    /// An operator was asked whether a play goes on without an answer of a gate; his answer is
    /// written.
    GateAnswered {
        /// The play.
        play: PlayNo,
        /// The gate, by its place among the play's.
        gate: u16,
        /// What he said.
        reply: Reply,
    },
    /// The operator wants an end; a later stage is never taken back by an earlier one.
    Operator(StopStage),
}

/// Something to do. Commands come in an order that makes a legal journal.
#[expect(clippy::large_enum_variant, reason = "few commands exist at a time, and events are moved")]
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Answer the work query of a play, then say `Work` or `WorkFailed`. The driver bounds it by a
    /// deadline.
    FindWork {
        /// The play.
        play: PlayNo,
    },
    /// Read the host and decide, then say `Decided` or `Finished`.
    Start {
        /// The step.
        step: StepId,
        /// The host on which it acts, where that is another one than the step's.
        on: Option<HostName>,
        /// The longest that reading may take, and then again the longest that changing may take
        /// once it is allowed, in real time. Waiting for limits does not count.
        deadline: Duration,
    },
    /// Ask the ledger for what other runs draw from too, then say `Drawn`. All that is asked between
    /// two inputs is asked in one transaction. Never given when nothing is shared.
    Draw {
        /// Who asks.
        claim: ClaimId,
        /// What it would draw.
        draws: Vec<SharedDraw>,
    },
    /// Give back to the ledger what a claim holds, or its place among those who wait. No answer.
    GiveBack {
        /// Which.
        claim: ClaimId,
        /// From where.
        keys: Vec<LimitKey>,
    },
    /// The step's limits are drawn: make the change, or read, then say `Finished`.
    Apply {
        /// The step.
        step: StepId,
    },
    /// Ask the CMDB about the play's work, then say `Oracle` or `OracleFailed`. The driver bounds
    /// it by a deadline.
    CheckOracle {
        /// The play.
        play: PlayNo,
    },
    /// Look at the Notification Server, then say `Health`. The driver bounds it by a deadline; no
    /// second look is asked for before the first one is answered.
    CheckHealth {
        /// The play for which it is.
        play: PlayNo,
    },
    /// Ask a gate, then say `GateSaid`. The driver bounds it by a deadline. That an operator is to be
    /// asked about one is said by the event `GateAsked`.
    CheckGate {
        /// The play.
        play: PlayNo,
        /// The wave before which, or in which, it is asked.
        wave: WaveNo,
        /// The gate, by its place among the play's.
        gate: u16,
    },
    /// End the step as soon as possible, then say `Finished`: with class `Cancelled` when nothing
    /// was changed, `InDoubt` when the change was under way. It may end otherwise just before.
    Cancel {
        /// The step.
        step: StepId,
    },
    /// Write this event.
    Emit(EventKind),
    /// The run is over; nothing follows. Questions still under way are not waited for.
    Finish(RunResult),
}
