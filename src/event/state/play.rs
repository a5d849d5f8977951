//! What is known of one play: its waves, its hosts, its gates and the budget that stopped it.

use indexmap::IndexMap;

use super::{Confirmation, StepState};
use crate::event::{Answer, OracleReport, Question, Reply};
use crate::model::{
    BudgetKind, Elapsed, FailureClass, GateVerdict, HostName, MatchedWork, Outcome, StepFailure,
    StepId, WaveNo,
};

/// A play so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlayState {
    /// The work found for it.
    pub work: Option<MatchedWork>,
    /// Why no work could be found.
    pub work_failure: Option<StepFailure>,
    /// Whether its waves are fixed.
    pub started: bool,
    /// Its waves.
    pub waves: Vec<WaveState>,
    /// Its hosts, in the order of the waves.
    pub hosts: IndexMap<HostName, HostState>,
    /// The budget that tripped, the first of them.
    pub tripped: Option<Tripped>,
    /// Hosts that no longer count against its budgets: the operator resumed after they had tripped
    /// one.
    pub forgiven: IndexMap<BudgetKind, usize>,
    /// The bad hosts that ended one after the other, up to now.
    pub row: Vec<HostName>,
    /// The step that one host did for all and that failed.
    pub once_failed: Option<StepId>,
    /// Its gates, by name.
    pub gates: IndexMap<String, GateState>,
    /// The gate that stopped it, and what was seen.
    pub gate_failed: Option<(String, String)>,
    /// What an operator was asked, by the task's place in the play.
    pub confirmations: IndexMap<u16, Confirmation>,
    /// The latest word of the CMDB.
    pub oracle: Option<OracleReport>,
    /// Whether it was the last word.
    pub oracle_done: bool,
    /// Why the CMDB could not be read at last.
    pub oracle_failure: Option<StepFailure>,
    /// Whether it ended.
    pub finished: bool,
}

impl PlayState {
    /// Whether it stopped by itself: nothing after it may run.
    pub fn is_stopped(&self) -> bool {
        self.tripped.is_some() || self.once_failed.is_some() || self.gate_failed.is_some()
    }

    /// Hosts over all waves that a budget counts; none are counted so for the budgets that count
    /// something else.
    pub fn bad(&self, budget: BudgetKind) -> usize {
        let is_counted = |host: &&HostState| {
            host.outcome.is_some_and(|outcome| !outcome.is_well())
                && match budget {
                    BudgetKind::Fleet => true,
                    BudgetKind::Unreachable => host.class == Some(FailureClass::Unreachable),
                    BudgetKind::Auth => host.class == Some(FailureClass::AuthRejected),
                    BudgetKind::Drifted => host.class == Some(FailureClass::Drifted),
                    BudgetKind::Wave | BudgetKind::Consecutive => false,
                }
        };
        self.hosts.values().filter(is_counted).count()
    }
}

/// A wave so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveState {
    /// Its hosts.
    pub hosts: usize,
    /// Whether it began.
    pub started: bool,
    /// Whether all its hosts are through.
    pub finished: bool,
    /// When they were: the soak after it is counted from there.
    pub finished_at: Option<Elapsed>,
    /// How its hosts ended, by outcome.
    pub ended: IndexMap<Outcome, usize>,
    /// Bad hosts that no longer count against its budget: the operator resumed after they had
    /// tripped it.
    pub forgiven: usize,
}

impl WaveState {
    /// Hosts that ended badly.
    pub fn bad(&self) -> usize {
        self.ended.iter().filter(|(outcome, _)| !outcome.is_well()).map(|(_, hosts)| hosts).sum()
    }
}

/// A budget that was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    /// Which.
    pub budget: BudgetKind,
    /// The wave of the host that spent it.
    pub wave: WaveNo,
    /// Hosts that it counted.
    pub bad: u32,
    /// Hosts that it tolerates.
    pub tolerated: u32,
}

/// A host's share of one play.
#[derive(Debug, Clone, PartialEq)]
pub struct HostState {
    /// Its wave.
    pub wave: WaveNo,
    /// Its steps by the task's place in the play.
    pub steps: IndexMap<u16, StepState>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended badly.
    pub class: Option<FailureClass>,
}

/// A gate so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GateState {
    /// The latest answer that was told, with the wave for which it was asked.
    pub checked: Option<(WaveNo, GateVerdict)>,
    /// What was seen then.
    pub seen: String,
    /// What an operator was asked about it, each time.
    pub asked: Vec<GateQuestion>,
}

impl GateState {
    /// The question that still has to be answered with a yes, if there is one.
    pub fn unconfirmed(&self) -> Option<&Question> {
        let GateQuestion { question, answer, .. } = self.asked.last()?;
        let is_open = answer.as_ref().is_none_or(|(said, _)| said.reply != Reply::Confirmed);
        let has_passed = self.checked.is_some_and(|(_, verdict)| verdict == GateVerdict::Pass);
        (is_open && !has_passed).then_some(question)
    }
}

/// A question to an operator about a gate that came to no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GateQuestion {
    /// The wave.
    pub wave: WaveNo,
    /// What was asked.
    pub question: Question,
    /// What was said, and when.
    pub answer: Option<(Answer, jiff::Timestamp)>,
}
