//! How a step ended, and all that the scheduler may know of a failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::HostName;

/// How a step, or a host's whole share of a play, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The host was already as the task wants it, or the task only reads.
    Unchanged,
    /// The host was changed; in check mode, it would have been.
    Changed,
    /// `when` said no, or an earlier step of the host ended badly.
    Skipped,
    /// A step of the host failed, and the playbook provides for that: a block rescued it, or it is
    /// to be ignored. Only hosts end so.
    Rescued,
    /// The step ended and the task is not done.
    Failed,
    /// The host could not be reached, or refused the logon.
    Unreachable,
    /// Whether the effect took place is not known.
    Unknown,
}

impl Outcome {
    /// Whether the host goes on with its next task.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Unchanged | Self::Changed | Self::Skipped | Self::Rescued)
    }

    /// The word that screens and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Skipped => "skipped",
            Self::Rescued => "rescued",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The class of a failure: the only thing about it that decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// No connection could be made, or it was lost before the request was sent.
    Unreachable,
    /// The logon was rejected: wrong password, locked or expired account.
    AuthRejected,
    /// The server said that it is too busy.
    Throttled,
    /// A deadline passed before any effect was asked for.
    TimedOut,
    /// The host answered and refused: a fault, an access denial, a missing object.
    RemoteFault,
    /// We refused: outside the fence, too many matches, a state that must not be touched.
    Refused,
    /// We refused because what was found is not what was recorded or looked at before.
    Drifted,
    /// The effect was asked for and its outcome was never seen.
    InDoubt,
    /// The operator stopped the run.
    Cancelled,
    /// The operator did not confirm, or nobody was there to be asked.
    Unconfirmed,
    /// A mistake in this program.
    Bug,
}

impl FailureClass {
    /// The outcome that a step with this failure has.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Unreachable | Self::AuthRejected => Outcome::Unreachable,
            Self::InDoubt => Outcome::Unknown,
            Self::Throttled
            | Self::TimedOut
            | Self::RemoteFault
            | Self::Refused
            | Self::Drifted
            | Self::Cancelled
            | Self::Unconfirmed
            | Self::Bug => Outcome::Failed,
        }
    }
}

impl FailureClass {
    /// Whether a playbook may go on after it: the host answered, and is known not to be in the
    /// middle of something. A host that is lost, or that nobody knows the state of, is not rescued.
    pub fn is_rescuable(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::TimedOut | Self::RemoteFault | Self::Refused | Self::Drifted
        )
    }

    /// Whether another attempt may help and does no harm by itself: a rejected logon that is tried
    /// again could lock the account.
    pub fn may_be_tried_again(self) -> bool {
        self.is_rescuable() || matches!(self, Self::Unreachable | Self::InDoubt)
    }
}

/// Why a step ended badly, as data: it is journalled, folded and shown, never thrown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// The class.
    pub class: FailureClass,
    /// What was attempted on what: one lower-case phrase.
    pub message: String,
    /// The causes, outermost first. They may hold remote text; screens clean it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The host that rejected the logon, now or before; none where it is not known to be another
    /// one than the step's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<HostName>,
}

impl StepFailure {
    /// A failure without a cause of its own.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), causes: Vec::new(), rejected_by: None }
    }

    /// The same, with causes.
    #[must_use]
    pub fn with_causes(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }

    /// A failure caused by an error; the chain of its sources is kept as text.
    pub fn caused_by(
        class: FailureClass,
        message: impl Into<String>,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .collect();
        Self { class, message: message.into(), causes, rejected_by: None }
    }

    /// Turns an error into a failure whose message is the error's own phrase.
    pub fn from_error(class: FailureClass, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = std::iter::successors(Some(error), |error| error.source());
        let message = chain.next().map(ToString::to_string).unwrap_or_default();
        let causes = chain.map(ToString::to_string).collect();
        Self { class, message, causes, rejected_by: None }
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
