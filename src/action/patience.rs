//! A wait that ends a little before its step does.

use std::time::Duration;

use crate::host::Reader;
use crate::transport::Deadline;

/// The most that is left of a step when its waiting ends, in real time.
const RESERVE: Duration = Duration::from_secs(2);

fn reserve(left: Duration) -> Duration {
    RESERVE.min(left / 10)
}

/// How long an action waits for an effect.
///
/// It ends before the step's deadline, so that the action can say what it waited for: whoever runs
/// the step only knows that it did not end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    end: Deadline,
}

impl Patience {
    /// To the end of the step, less a tenth of it or two seconds.
    pub(super) fn of_step(at: &Reader<'_>) -> Self {
        let left = at.deadline().left();
        Self { end: at.deadline().at_most(left - reserve(left)) }
    }

    /// For half of what is left of the step.
    pub(super) fn half_of_step(at: &Reader<'_>) -> Self {
        Self { end: at.deadline().at_most(at.deadline().left() / 2) }
    }

    /// Not longer than `span` of the world's time from now.
    #[must_use]
    pub(super) fn at_most(self, span: Duration, at: &Reader<'_>) -> Self {
        Self { end: self.end.at_most(at.scale().to_real(span)) }
    }

    /// Lets `span` of the world's time pass, or what is left; `false` when nothing is left.
    pub(super) async fn pause(self, at: &Reader<'_>, span: Duration) -> bool {
        let left = at.scale().to_world(self.end.left());
        at.pause(span.min(left)).await && !self.end.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted_host::{ScriptedHost, nothing_before};
    use super::*;

    #[test]
    fn a_wait_leaves_a_tenth_of_its_step_and_at_most_two_seconds() {
        assert_eq!(reserve(Duration::from_secs(10)), Duration::from_secs(1));
        assert_eq!(reserve(Duration::from_secs(3600)), Duration::from_secs(2));
        assert_eq!(reserve(Duration::ZERO), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_wait_ends_when_its_span_of_the_world_does_although_its_step_goes_on() {
        let host = ScriptedHost::new(|_, name, _| panic!("{name} is not needed"));
        let session = host.session(&[]);
        let at = session.reader(Deadline::after(Duration::from_secs(60)), nothing_before());
        let patience = Patience::of_step(&at).at_most(Duration::from_secs(50), &at);

        while patience.pause(&at, Duration::from_secs(500)).await {}

        assert!(at.deadline().left() > Duration::from_secs(30));
    }
}
