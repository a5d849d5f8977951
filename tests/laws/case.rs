//! A random playbook over a random fleet, and what becomes of each of its steps.

mod any;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fleetmend::event::{Reply, RunMode, StopStage};
use fleetmend::model::{
    Cost, Draw, Due, FailureClass, Gate, GateVerdict, HostName, LimitName, Outcome, PlayNo, StepId,
    WaveNo,
};
use fleetmend::plan::{Draft, DraftFlow};

pub(crate) use self::any::{any_case, any_window, hours, small_case};

/// All that a run depends on.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) draft: Draft,
    /// Decides every fate.
    pub(crate) seed: u64,
    /// Of a hundred steps, how many end badly.
    pub(crate) bad_percent: u64,
    /// When the operator stops the run, in milliseconds of real time.
    pub(crate) stops: Vec<(u64, StopStage)>,
    /// The wall clock when the run begins.
    pub(crate) wall: jiff::Timestamp,
}

/// What becomes of a step.
#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) probe: u64,
    /// The change's cost, or how the step ends without one.
    pub(crate) decision: Result<Cost, (Outcome, Option<FailureClass>)>,
    pub(crate) apply: u64,
    pub(crate) end: (Outcome, Option<FailureClass>),
}

/// When the CMDB is satisfied: at which question, or never.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OracleFate {
    pub(crate) satisfied_at: Option<u32>,
    pub(crate) is_readable: bool,
}

impl Case {
    fn roll(&self, what: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn fate(&self, step: &StepId) -> Fate {
        let roll = |what: &str| self.roll(&(step, what));
        let is_bad = |what| roll(what) % 100 < self.bad_percent;
        let class = match roll("class") % 8 {
            0 => FailureClass::AuthRejected,
            1 | 2 => FailureClass::Unreachable,
            3 => FailureClass::TimedOut,
            4 => FailureClass::Drifted,
            _ => FailureClass::RemoteFault,
        };
        let draw = |what| Draw {
            now: u32::try_from(roll(what) % 4).expect("small"),
            later: u32::try_from(roll(what) / 7 % 6).expect("small"),
        };
        let cost = match roll("cost") % 5 {
            0 => Cost::none(),
            1 => Cost::none().and(LimitName::new("cmdb"), draw("cmdb")),
            2 => Cost::none()
                .and(LimitName::new("ns_iis"), draw("both"))
                .and(LimitName::new("wan"), draw("wan")),
            _ => Cost::none().and(LimitName::new("ns_iis"), draw("iis")),
        };
        let due = Due {
            units: u32::try_from(roll("due") % 6).expect("small"),
            after: Duration::from_secs(
                [30, 30, 47][usize::try_from(roll("due") % 3).expect("three")],
            ),
        };
        let cost = if !cost.is_none() && roll("falls due").is_multiple_of(4) {
            cost.and_due(LimitName::new("ns_iis"), due)
        } else {
            cost
        };
        let decision = match roll("decision") % 4 {
            _ if is_bad("probe fails") => Err((class.outcome(), Some(class))),
            0 => Err((Outcome::Unchanged, None)),
            1 if roll("skip") % 2 == 0 => Err((Outcome::Skipped, None)),
            _ => Ok(cost),
        };
        let end = if is_bad("apply fails") {
            let class =
                if class == FailureClass::Unreachable { FailureClass::InDoubt } else { class };
            (class.outcome(), Some(class))
        } else {
            (Outcome::Changed, None)
        };
        Fate { probe: 1 + roll("probe") % 3_000, decision, apply: 1 + roll("apply") % 8_000, end }
    }

    /// What the operator answers, where a step asks; the same for whoever asks for a play.
    pub(crate) fn answer(&self, step: &StepId) -> Option<(Outcome, Option<FailureClass>)> {
        let flow = self.flow(step);
        (flow.is_once && flow.is_idle).then(|| {
            if self.draft.mode == RunMode::Run
                && self.roll(&(step.task, "answer")).is_multiple_of(4)
            {
                (Outcome::Failed, Some(FailureClass::Unconfirmed))
            } else {
                (Outcome::Unchanged, None)
            }
        })
    }

    /// How many items the step has.
    pub(crate) fn items(&self, step: &StepId) -> usize {
        if self.flow(step).is_loop && self.draft.mode == RunMode::Run {
            usize::try_from(self.roll(&(step, "items")) % 4).expect("small")
        } else {
            1
        }
    }

    /// How long the ledger takes for an answer, in milliseconds.
    pub(crate) fn latency(&self, claim: u64) -> u64 {
        self.roll(&(claim, "latency")) % 12
    }

    /// How long the step pauses between items, in milliseconds.
    pub(crate) fn pause(&self, step: &StepId) -> u64 {
        self.roll(&(step, "pause")) % 2 * 700
    }

    pub(crate) fn flow(&self, step: &StepId) -> DraftFlow {
        let play = &self.draft.plays[usize::from(step.task.play.0)];
        play.tasks[usize::from(step.task.task)].flow
    }

    /// The host on which the step acts.
    pub(crate) fn target(&self, step: &StepId) -> HostName {
        let hosts = &self.draft.plays[usize::from(step.task.play.0)].hosts;
        let host = hosts.iter().find(|host| host.name == step.host).expect("a host of the play");
        host.delegates.get(&step.task.task).unwrap_or(&step.host).clone()
    }

    /// Whether a task is done by one host for all: which one depends on timing.
    pub(crate) fn has_once(&self) -> bool {
        self.draft.plays.iter().flat_map(|play| &play.tasks).any(|task| task.flow.is_once)
    }

    /// Whether the work query names the host.
    pub(crate) fn has_work(&self, play: PlayNo, host: &HostName) -> bool {
        !self.roll(&(play, host, "work")).is_multiple_of(5)
    }

    /// Whether the work query of the play can be answered.
    pub(crate) fn is_work_found(&self, play: PlayNo) -> bool {
        self.roll(&(play, "found")) % 100 >= self.bad_percent
    }

    /// What a gate says when it is asked for the so-manieth time for a wave; none is no answer.
    pub(crate) fn gate(&self, play: PlayNo, wave: WaveNo, gate: u16, count: u32) -> GateVerdict {
        match self.roll(&(play, wave, gate, count, "gate")) % 24 {
            0 => GateVerdict::Fail,
            1 | 2 => GateVerdict::Unreadable,
            3 => GateVerdict::Inconclusive,
            4 | 5 => GateVerdict::Pending,
            _ => GateVerdict::Pass,
        }
    }

    /// What the operator says when he is asked about a gate, and after how many milliseconds.
    pub(crate) fn gate_reply(&self, play: PlayNo, wave: WaveNo, gate: &str) -> (Reply, u64) {
        let roll = self.roll(&(play, wave, gate, "reply"));
        match roll % 5 {
            0 => (Reply::Declined, 1 + roll % 90_000),
            1 | 2 => (Reply::Confirmed, 1 + roll % 90_000),
            _ => (Reply::NobodyThere, 1),
        }
    }

    /// The places of a play's gates, with their declarations.
    pub(crate) fn gates(&self, play: PlayNo) -> &[Gate] {
        &self.draft.plays[usize::from(play.0)].safeguards.gates
    }

    pub(crate) fn oracle(&self, play: PlayNo) -> OracleFate {
        OracleFate {
            satisfied_at: match self.roll(&(play, "oracle")) % 4 {
                0 => None,
                number => u32::try_from(number).ok(),
            },
            is_readable: !self.roll(&(play, "readable")).is_multiple_of(8),
        }
    }
}
