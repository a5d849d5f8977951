//! Whether a task is tried again: pure.

use crate::model::{FailureClass, Outcome, Retry, StepFailure};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Its outcome.
    pub outcome: Outcome,
    /// Why it ended badly.
    pub class: Option<FailureClass>,
    /// Whether it began to change something.
    pub has_applied: bool,
    /// Whether `until` holds over its result; true where there is none.
    pub is_met: bool,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterAttempt {
    /// It is the last one, and the step ends as it did.
    Ends,
    /// It is the last one, and the step fails although it did not.
    Fails(StepFailure),
    /// There is another one.
    Again,
}

impl Attempt {
    /// Says whether there is another attempt. Only what is safe is repeated: what changed nothing,
    /// or what an action does twice without harm.
    pub fn judge(&self, retry: &Retry, replay_is_safe: bool) -> AfterAttempt {
        let is_well = self.outcome.is_well();
        if self.outcome == Outcome::Skipped || (is_well && self.is_met) {
            return AfterAttempt::Ends;
        }
        let is_untouched =
            if is_well { self.outcome == Outcome::Unchanged } else { !self.has_applied };
        let may_help = is_well || self.class.is_some_and(FailureClass::may_be_tried_again);
        let is_safe = is_untouched || replay_is_safe;
        if may_help && is_safe && self.number <= retry.retries {
            return AfterAttempt::Again;
        }
        if !is_well {
            return AfterAttempt::Ends;
        }
        let message = if is_safe {
            format!("`until` did not hold after {} attempts", self.number)
        } else {
            "`until` does not hold, and what was done is not safe to repeat".to_owned()
        };
        AfterAttempt::Fails(StepFailure::new(FailureClass::TimedOut, message))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RETRY: Retry = Retry { until: None, retries: 2, delay: Duration::from_secs(1) };

    fn failed(number: u32, class: FailureClass, has_applied: bool) -> Attempt {
        Attempt { number, outcome: class.outcome(), class: Some(class), has_applied, is_met: true }
    }

    fn well(outcome: Outcome, is_met: bool) -> Attempt {
        Attempt { number: 1, outcome, class: None, has_applied: false, is_met }
    }

    #[test]
    fn what_failed_before_a_change_is_tried_as_often_as_was_said() {
        let again = |number| failed(number, FailureClass::Throttled, false).judge(&RETRY, false);

        assert_eq!([again(1), again(2)], [AfterAttempt::Again, AfterAttempt::Again]);
        assert_eq!(again(3), AfterAttempt::Ends);
    }

    #[test]
    fn what_may_have_changed_something_is_repeated_only_where_that_is_safe() {
        for class in [FailureClass::RemoteFault, FailureClass::InDoubt] {
            assert_eq!(failed(1, class, true).judge(&RETRY, false), AfterAttempt::Ends);
            assert_eq!(failed(1, class, true).judge(&RETRY, true), AfterAttempt::Again);
        }
    }

    #[test]
    fn a_rejected_logon_is_never_tried_again() {
        for class in [FailureClass::AuthRejected, FailureClass::Cancelled, FailureClass::Bug] {
            assert_eq!(failed(1, class, false).judge(&RETRY, true), AfterAttempt::Ends);
        }
    }

    #[test]
    fn a_result_that_does_not_do_is_asked_for_again_and_fails_at_last() {
        assert_eq!(well(Outcome::Unchanged, true).judge(&RETRY, false), AfterAttempt::Ends);
        assert_eq!(well(Outcome::Skipped, false).judge(&RETRY, false), AfterAttempt::Ends);
        assert_eq!(well(Outcome::Unchanged, false).judge(&RETRY, false), AfterAttempt::Again);
        let last = Attempt { number: 3, ..well(Outcome::Unchanged, false) };
        assert!(matches!(last.judge(&RETRY, false), AfterAttempt::Fails(_)));
        let changed = well(Outcome::Changed, false);
        assert!(matches!(changed.judge(&RETRY, false), AfterAttempt::Fails(_)));
        assert_eq!(changed.judge(&RETRY, true), AfterAttempt::Again);
    }
}
