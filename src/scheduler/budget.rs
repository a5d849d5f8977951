//! How many hosts may end badly.

/// A budget of B tolerates B bad hosts and is spent with the next one. It is looked at on every
/// result; hosts that could not be reached, or whose outcome is unknown, are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    tolerated: u32,
    forgiven: u32,
    bad: u32,
}

impl Budget {
    /// `forgiven` hosts do not count: the operator resumed after they had spent it.
    pub(super) fn new(tolerated: u32, forgiven: u32) -> Self {
        Self { tolerated, forgiven, bad: 0 }
    }

    pub(super) fn add_bad(&mut self) {
        self.bad = self.bad.saturating_add(1);
    }

    pub(super) fn is_spent(self) -> bool {
        self.bad.saturating_sub(self.forgiven) > self.tolerated
    }

    /// Whether the latest bad host spent it.
    pub(super) fn is_just_spent(self) -> bool {
        self.bad == self.tolerated().saturating_add(1)
    }

    /// Whether so many hosts and one more may end badly, and it is exceeded by one at most.
    pub(super) fn has_room(self, in_flight: usize) -> bool {
        let used = self.bad.saturating_sub(self.forgiven) as usize;
        used.saturating_add(in_flight) <= self.tolerated as usize
    }

    /// Counts anew; nothing is forgiven any more, because nothing that was is counted.
    pub(super) fn clear(&mut self) {
        (self.bad, self.forgiven) = (0, 0);
    }

    /// Bad hosts, those that are forgiven included.
    pub(super) fn bad(self) -> u32 {
        self.bad
    }

    /// Bad hosts that may be, those that are forgiven included.
    pub(super) fn tolerated(self) -> u32 {
        self.tolerated.saturating_add(self.forgiven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_tolerates_what_it_says_and_stops_on_the_next() {
        for tolerated in [0, 1, 5] {
            let mut budget = Budget::new(tolerated, 0);
            for _ in 0..tolerated {
                budget.add_bad();
                assert!(!budget.is_spent());
            }
            budget.add_bad();
            assert!(budget.is_spent());
        }
    }

    #[test]
    fn hosts_that_the_operator_resumed_past_do_not_count_again() {
        let mut budget = Budget::new(1, 2);
        (0..3).for_each(|_| budget.add_bad());
        assert!(!budget.is_spent());

        budget.add_bad();
        assert!(budget.is_spent());
    }
}
