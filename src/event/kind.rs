//! The events themselves.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, ChangeRecord, Question, RunResult, WindowClosed, WindowTime};
use crate::model::{
    BudgetKind, Cost, Elapsed, FailureClass, GateVerdict, Guid, HandlerSet, HostName, LimitName,
    Limits, MatchedWork, Outcome, PlayNo, RunId, SourcedServer, StepFailure, StepId, TagChoice,
    TimeScale, Vars, WaveNo,
};

/// One fact, numbered and stamped by the driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the run, from 0, without gaps.
    pub seq: u64,
    /// The wall clock.
    pub at: jiff::Timestamp,
    /// Time since the start of the run; it goes on where it stood after a resume.
    pub elapsed: Elapsed,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// It changes hosts.
    Run,
    /// It finds out what a run would change.
    Check,
    /// It takes back what another run did.
    Undo {
        /// The run whose changes are taken back.
        of: RunId,
    },
}

/// The first event of a run: all that is needed to show or resume it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run.
    pub run: RunId,
    /// What it is for.
    pub mode: RunMode,
    /// The version of the program.
    pub program: String,
    /// The playbook's file name, as given; for an undo, that of the run it takes back.
    pub playbook: String,
    /// SHA-256 of the playbook's text.
    pub playbook_sha256: String,
    /// The inventory's file name, as given.
    pub inventory: String,
    /// SHA-256 of the inventory's text.
    pub inventory_sha256: String,
    /// The package servers that the sources of the inventory had; a resume asks nobody again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sourced: Vec<SourcedServer>,
    /// The pattern of `--limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The variables of `-e`.
    #[serde(default, skip_serializing_if = "Vars::is_empty")]
    pub extra_vars: Vars,
    /// The choice of `--tags` and `--skip-tags`.
    #[serde(default, skip_serializing_if = "TagChoice::is_all")]
    pub tags: TagChoice,
    /// The seed of everything random.
    pub seed: u64,
    /// How fast the world runs.
    pub scale: TimeScale,
    /// The limits that hold.
    pub limits: Limits,
    /// The window of `--window`, in its one-line form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The plays.
    pub plays: Vec<PlayHeader>,
}

impl RunStarted {
    /// That of a run in real time that changes hosts, with seed 0 and the default limits, of which
    /// nothing else is known: every name and hash is empty, and it has no plays. Tests say with `..`
    /// what matters to them; what starts a run writes it out in full.
    pub fn bare(run: RunId) -> Self {
        Self {
            run,
            mode: RunMode::Run,
            program: String::new(),
            playbook: String::new(),
            playbook_sha256: String::new(),
            inventory: String::new(),
            inventory_sha256: String::new(),
            sourced: Vec::new(),
            limit: None,
            extra_vars: Vars::new(),
            tags: TagChoice::default(),
            seed: 0,
            scale: TimeScale::REAL,
            limits: Limits::default(),
            window: None,
            plays: Vec::new(),
        }
    }
}

/// A play's name and tasks, for readers that do not have the playbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlayHeader {
    /// What it is for.
    pub name: String,
    /// Its tasks, in order.
    pub tasks: Vec<TaskHeader>,
}

/// A task's name and action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskHeader {
    /// What it is for.
    pub name: String,
    /// Its action.
    pub action: String,
    /// The handlers that a host owes once it changed something there.
    #[serde(default, skip_serializing_if = "HandlerSet::is_empty")]
    pub notify: HandlerSet,
    /// Whether it is a handler; handlers are the last tasks of a play.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_handler: bool,
}

impl TaskHeader {
    /// That of a task which notifies nothing and is no handler.
    pub fn new(name: &str, action: &str) -> Self {
        Self { name: name.to_owned(), action: action.to_owned(), ..Self::default() }
    }
}

/// How a run is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopStage {
    /// Nothing new starts; what is under way ends by itself.
    Drain,
    /// What is under way is cancelled.
    Cancel,
}

/// A pair of the work list for which the CMDB has no Ready row with the current version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The host.
    pub host: HostName,
    /// The package.
    pub package: Guid,
    /// The package's name, where known.
    pub package_name: Option<String>,
    /// What the row says; none means that there is no row.
    pub status: Option<String>,
    /// The version that the server reported.
    pub reported_version: Option<String>,
    /// The version that is current.
    pub current_version: Option<String>,
    /// Whether the Notification Server keeps an error in the row: the server reported, and its
    /// report was refused. More waiting does not help.
    #[serde(default)]
    pub is_refused: bool,
}

/// The verdict of the CMDB over a play's work list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OracleReport {
    /// Pairs that are Ready with the current version.
    pub ready: u32,
    /// Pairs of the work list, on the hosts that the play took.
    pub of: u32,
    /// The pairs that are not.
    pub not_ready: Vec<NotReady>,
}

/// Why a limit moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdaptReason {
    /// The server answers as it does at rest.
    Well,
    /// It works as much as it can bear, and answers well.
    Full,
    /// It answers slowly.
    Slow,
    /// It says that it is busy.
    Busy,
    /// Its event queue grows or stands still.
    Queue,
    /// It does not answer.
    Unreadable,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run began.
    RunStarted(Box<RunStarted>),
    /// The run goes on in a new process.
    RunResumed {
        /// The version of the program that goes on.
        program: String,
        /// The steps at which hosts that failed or could not be reached are taken up again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        again: Vec<StepId>,
        /// The window of `--window` from here on, where it is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<String>,
    },
    /// The work query of a play was answered.
    WorkFound {
        /// The play.
        play: PlayNo,
        /// Its rows, by host.
        work: MatchedWork,
    },
    /// The work query of a play could not be answered; the play ends.
    WorkNotFound {
        /// The play.
        play: PlayNo,
        /// Why.
        failure: StepFailure,
    },
    /// A play began; its hosts and waves are fixed from here on.
    PlayStarted {
        /// The play.
        play: PlayNo,
        /// Its waves, each with its hosts in order.
        waves: Vec<Vec<HostName>>,
    },
    /// A wave began.
    WaveStarted {
        /// The play.
        play: PlayNo,
        /// The wave.
        wave: WaveNo,
    },
    /// A step began with reading.
    StepStarted {
        /// The step.
        step: StepId,
        /// The host on which it acts, where that is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<HostName>,
    },
    /// A step knows what it will change. No effect takes place before this is on disk.
    StepDecided {
        /// The step.
        step: StepId,
        /// The change and what takes it back.
        change: ChangeRecord,
        /// What it draws from limits.
        cost: Cost,
    },
    /// An attempt, or an item of a loop, ended, and the step goes on with the next one.
    StepWentOn {
        /// The step.
        step: StepId,
        /// The item, from 0; none in a task without a loop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        /// The attempt, from 1.
        attempt: u32,
        /// Whether the item is through; if not, it is tried again.
        settled: bool,
        /// How it ended.
        outcome: Outcome,
        /// Why it ended badly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<StepFailure>,
        /// What was seen or done, in a few words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The value that it came to.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        value: Value,
    },
    /// An operator is asked to confirm something.
    ConfirmAsked {
        /// The step that asks.
        step: StepId,
        /// What he is asked.
        question: Question,
    },
    /// An operator answered, or nobody was there.
    ConfirmAnswered {
        /// The step that asked.
        step: StepId,
        /// What he said.
        answer: Answer,
    },
    /// A step ended.
    StepFinished {
        /// The step.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// Why it ended badly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<StepFailure>,
        /// What was seen or done, in a few words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The value that `register` keeps.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        value: Value,
    },
    /// A host is through with a play.
    HostFinished {
        /// The play.
        play: PlayNo,
        /// The host.
        host: HostName,
        /// The worst of its steps; `changed` when all went well and one changed something.
        outcome: Outcome,
        /// Why it ended badly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<FailureClass>,
    },
    /// All hosts of a wave are through with it.
    WaveFinished {
        /// The play.
        play: PlayNo,
        /// The wave.
        wave: WaveNo,
    },
    /// More hosts ended badly than one of the play's budgets tolerates: nothing new starts.
    BudgetTripped {
        /// The play.
        play: PlayNo,
        /// The wave of the host that spent it.
        wave: WaveNo,
        /// Which budget; journals before there were several know only that of the wave.
        #[serde(default, skip_serializing_if = "BudgetKind::is_wave")]
        budget: BudgetKind,
        /// Hosts that it counts.
        bad: u32,
        /// Hosts that it tolerates.
        tolerated: u32,
    },
    /// A gate was asked, and its answer is another one than before, or something follows from it.
    GateChecked {
        /// The play.
        play: PlayNo,
        /// The wave before which, or in which, it was asked.
        wave: WaveNo,
        /// The gate.
        gate: String,
        /// What the answer means.
        verdict: GateVerdict,
        /// What was seen.
        seen: String,
        /// How many times in a row it was not well, or came to no answer.
        #[serde(default, skip_serializing_if = "is_none_in_a_row")]
        in_a_row: u32,
    },
    /// An operator is asked whether a wave goes on though a gate came to no answer.
    GateAsked {
        /// The play.
        play: PlayNo,
        /// The wave.
        wave: WaveNo,
        /// The gate.
        gate: String,
        /// What he is asked.
        question: Question,
    },
    /// An operator said whether it does, or nobody was there.
    GateAnswered {
        /// The play.
        play: PlayNo,
        /// The wave.
        wave: WaveNo,
        /// The gate.
        gate: String,
        /// What he said.
        answer: Answer,
    },
    /// A gate was not well more often than it may be: nothing new starts.
    GateFailed {
        /// The play.
        play: PlayNo,
        /// The wave.
        wave: WaveNo,
        /// The gate.
        gate: String,
        /// What was seen.
        seen: String,
    },
    /// A task that one host does for all failed after it may have changed something: nothing new
    /// starts.
    OnceFailed {
        /// The step.
        step: StepId,
    },
    /// A logon was rejected: nothing is tried with that credential any more.
    BreakerOpened {
        /// The host that rejected it.
        host: HostName,
    },
    /// A limit follows what its server bears, and moved far.
    LimitAdapted {
        /// The limit.
        limit: LimitName,
        /// The share of what is declared that may be drawn from now on, in percent; 0 is none.
        percent: u8,
        /// Why.
        why: AdaptReason,
    },
    /// The CMDB was asked whether the work list is Ready.
    OracleChecked {
        /// The play.
        play: PlayNo,
        /// What it said.
        report: OracleReport,
        /// Whether it is the last word: all are ready, or the deadline has passed.
        last: bool,
    },
    /// The CMDB could not be asked; the question is repeated until its deadline.
    OracleNotRead {
        /// The play.
        play: PlayNo,
        /// Why.
        failure: StepFailure,
        /// Whether the deadline has passed.
        last: bool,
    },
    /// A play ended.
    PlayFinished {
        /// The play.
        play: PlayNo,
    },
    /// The window of hosts of a play is open; hosts are taken from here on.
    WindowOpened {
        /// The play.
        play: PlayNo,
        /// When it closes.
        closes: WindowTime,
    },
    /// No window of a play's hosts is open, and the run waits for the next one.
    WindowAwaited {
        /// The play.
        play: PlayNo,
        /// When it opens.
        opens: WindowTime,
    },
    /// Nothing more starts in the window, and there are hosts left: a resume goes on in the next
    /// one.
    WindowClosed(WindowClosed),
    /// The wall clock is not where the time that passed would have it: no host is taken.
    ClockJumped {
        /// What it should show.
        expected: jiff::Timestamp,
        /// What it shows.
        found: jiff::Timestamp,
    },
    /// The wall clock is again where it was to be: the run goes on.
    ClockReturned,
    /// The operator asked for an end.
    Stopping {
        /// How.
        stage: StopStage,
    },
    /// The run ended.
    RunFinished {
        /// How.
        result: RunResult,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none_in_a_row(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_journals_before_the_budgets_of_a_play_are_read_and_written_as_before() {
        let tripped = r#"{"event":"budget_tripped","play":0,"wave":1,"bad":2,"tolerated":1}"#;
        let kind: EventKind = serde_json::from_str(tripped).expect("it is read");
        assert!(matches!(kind, EventKind::BudgetTripped { budget: BudgetKind::Wave, bad: 2, .. }));
        assert_eq!(serde_json::to_string(&kind).expect("it is written"), tripped);

        let ended = r#"{"event":"host_finished","play":0,"host":"ps-1","outcome":"unreachable"}"#;
        let kind: EventKind = serde_json::from_str(ended).expect("it is read");
        assert!(matches!(kind, EventKind::HostFinished { class: None, .. }));
        assert_eq!(serde_json::to_string(&kind).expect("it is written"), ended);
    }

    #[test]
    fn a_tripped_budget_says_which_and_a_host_says_why() {
        let (play, wave) = (PlayNo(0), WaveNo(1));
        let tripped = EventKind::BudgetTripped {
            play,
            wave,
            budget: BudgetKind::Unreachable,
            bad: 4,
            tolerated: 3,
        };
        let text = serde_json::to_string(&tripped).expect("it is written");
        assert!(text.contains(r#""budget":"unreachable""#), "{text}");
        assert_eq!(serde_json::from_str::<EventKind>(&text).expect("it is read"), tripped);

        let ended = EventKind::HostFinished {
            play,
            host: HostName::new("ps-1"),
            outcome: Outcome::Failed,
            class: Some(FailureClass::Drifted),
        };
        let text = serde_json::to_string(&ended).expect("it is written");
        assert!(text.contains(r#""class":"drifted""#), "{text}");
        assert_eq!(serde_json::from_str::<EventKind>(&text).expect("it is read"), ended);
    }

    #[test]
    fn events_of_journals_before_blocks_and_tags_are_read() {
        let text = r#"{"seq":4,"at":"2026-05-16T20:00:00Z","elapsed":12,"event":"step_started",
            "step":{"task":{"play":0,"task":1},"host":"ps-1"}}"#;
        let event: Event = serde_json::from_str(text).expect("it is read");
        assert!(matches!(event.kind, EventKind::StepStarted { on: None, .. }));

        let header = RunStarted {
            run: RunId::new(uuid::Uuid::from_u128(1)),
            mode: RunMode::Run,
            program: "0.1".to_owned(),
            playbook: "p.yml".to_owned(),
            playbook_sha256: String::new(),
            inventory: "i.yml".to_owned(),
            inventory_sha256: String::new(),
            limit: None,
            extra_vars: Vars::new(),
            tags: TagChoice::default(),
            seed: 1,
            scale: TimeScale::REAL,
            limits: Limits::default(),
            window: None,
            plays: Vec::new(),
            sourced: Vec::new(),
        };
        let written = serde_json::to_value(&header).expect("it is written");
        assert!(written.get("tags").is_none(), "a run of all tasks is written as before");
        assert_eq!(serde_json::from_value::<RunStarted>(written).expect("it is read"), header);
    }
}
