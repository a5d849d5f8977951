//! What holds a play up for a while, though nothing has stopped it: no wave opens and no host is
//! taken; steps under way go on.

use super::scheduler::{Scheduler, Stage};
use crate::event::WaitReason;
use crate::model::{Elapsed, Now};

/// Why no further host is taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) why: WaitReason,
    /// When it ends by the passing of time alone, as far as is known.
    pub(super) until: Option<Elapsed>,
}

impl Scheduler {
    /// What holds up the hosts of the wave under way, or of the next one; the first that does.
    pub(super) fn hold(&self, now: Now) -> Option<Hold> {
        // Gates come last: what they say is fresh when all else lets the wave open.
        self.hold_before_gates(now).or_else(|| self.gated())
    }

    /// What holds hosts up besides gates.
    pub(super) fn hold_before_gates(&self, now: Now) -> Option<Hold> {
        self.outside(now)
            .or_else(|| self.soaking(now.elapsed))
            .or_else(|| self.out_of_budget())
            .or_else(|| self.unanswered())
    }

    /// What holds up a host that was admitted and has its place in flight already: it counts among
    /// those in flight for the budgets.
    pub(super) fn hold_of_admitted(&self, now: Now) -> Option<Hold> {
        self.outside(now)
            .or_else(|| self.soaking(now.elapsed))
            .or_else(|| self.unanswered())
            .or_else(|| self.gated())
    }

    /// Nobody knows what the Notification Server bears; it ends with the next look that is answered.
    fn unanswered(&self) -> Option<Hold> {
        self.is_server_lost().then_some(Hold { why: WaitReason::NotificationServer, until: None })
    }

    /// The wave before had its effect only when its soak is over.
    fn soaking(&self, now: Elapsed) -> Option<Hold> {
        let Stage::Running(play) = &self.stage else { return None };
        let until = play.soak_until.filter(|until| now < *until)?;
        Some(Hold { why: WaitReason::Soak, until: Some(until) })
    }

    /// With `strict`, the hosts in flight are as many as may end badly.
    fn out_of_budget(&self) -> Option<Hold> {
        let Stage::Running(play) = &self.stage else { return None };
        (!play.may_take_more()).then_some(Hold { why: WaitReason::Budget, until: None })
    }
}
