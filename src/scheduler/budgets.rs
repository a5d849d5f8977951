//! The budgets of a play over all its waves.

use super::budget::Budget;
use crate::model::{BudgetKind, FailureClass, MaxFail, Outcome};

/// What a play tolerates over all its waves; only what is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Budgets {
    budgets: Vec<(BudgetKind, Budget)>,
}

impl Budgets {
    /// The budgets of a play with so many hosts; `forgiven` says how many bad hosts of each do not
    /// count: the operator resumed after they had spent one.
    pub(super) fn new(
        declared: &MaxFail,
        hosts: usize,
        forgiven: impl Fn(BudgetKind) -> u32,
    ) -> Self {
        let tolerated = |kind| match kind {
            BudgetKind::Fleet => declared.fleet.map(|share| share.of(hosts)),
            BudgetKind::Unreachable => declared.unreachable.map(|share| share.of(hosts)),
            BudgetKind::Drifted => declared.drifted.map(|share| share.of(hosts)),
            BudgetKind::Consecutive => declared.consecutive,
            // Where none is tolerated, the breaker stops the run before the host is through.
            BudgetKind::Auth => declared.auth.filter(|hosts| *hosts > 0),
            BudgetKind::Wave => None,
        };
        let budget = |kind| Some((kind, Budget::new(tolerated(kind)?, forgiven(kind))));
        Self { budgets: BudgetKind::OF_PLAY.into_iter().filter_map(budget).collect() }
    }

    /// Takes in how a host ended, and returns the budgets that it spent.
    pub(super) fn host_ended(
        &mut self,
        outcome: Outcome,
        class: Option<FailureClass>,
    ) -> Vec<(BudgetKind, Budget)> {
        let mut spent = Vec::new();
        for (kind, budget) in &mut self.budgets {
            if is_counted(*kind, outcome, class) {
                budget.add_bad();
                if budget.is_just_spent() {
                    spent.push((*kind, *budget));
                }
            } else if *kind == BudgetKind::Consecutive
                && outcome.is_well()
                && outcome != Outcome::Skipped
            {
                budget.clear();
            }
        }
        spent
    }

    /// Replaces the count of bad hosts in a row by what the journal says of it.
    pub(super) fn set_row(&mut self, hosts: usize) {
        for (kind, budget) in &mut self.budgets {
            if *kind == BudgetKind::Consecutive {
                budget.clear();
                (0..hosts).for_each(|_| budget.add_bad());
            }
        }
    }

    /// Those that are spent.
    pub(super) fn spent(&self) -> impl Iterator<Item = (BudgetKind, Budget)> {
        self.budgets.iter().copied().filter(|(_, budget)| budget.is_spent())
    }

    /// Whether no budget can be exceeded by more than one host, should all these and one more end
    /// badly.
    pub(super) fn have_room(&self, in_flight: usize) -> bool {
        self.budgets.iter().all(|(_, budget)| budget.has_room(in_flight))
    }
}

/// Whether a budget counts a host that ended so.
fn is_counted(kind: BudgetKind, outcome: Outcome, class: Option<FailureClass>) -> bool {
    !outcome.is_well()
        && match kind {
            BudgetKind::Wave | BudgetKind::Fleet | BudgetKind::Consecutive => true,
            BudgetKind::Unreachable => class == Some(FailureClass::Unreachable),
            BudgetKind::Auth => class == Some(FailureClass::AuthRejected),
            BudgetKind::Drifted => class == Some(FailureClass::Drifted),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tolerance;

    const BAD: (Outcome, Option<FailureClass>) = (Outcome::Failed, Some(FailureClass::RemoteFault));
    const LOST: (Outcome, Option<FailureClass>) =
        (Outcome::Unreachable, Some(FailureClass::Unreachable));
    const WELL: (Outcome, Option<FailureClass>) = (Outcome::Changed, None);
    const SKIPPED: (Outcome, Option<FailureClass>) = (Outcome::Skipped, None);
    const RESCUED: (Outcome, Option<FailureClass>) =
        (Outcome::Rescued, Some(FailureClass::Drifted));

    /// The kinds that each end spends, one after the other.
    fn spends(
        declared: MaxFail,
        ends: &[(Outcome, Option<FailureClass>)],
    ) -> Vec<(usize, BudgetKind)> {
        let mut budgets = Budgets::new(&declared, 100, |_| 0);
        let mut told = Vec::new();
        for (at, (outcome, class)) in ends.iter().enumerate() {
            let spent = budgets.host_ended(*outcome, *class);
            told.extend(spent.into_iter().map(|(kind, _)| (at, kind)));
        }
        told
    }

    #[test]
    fn each_budget_counts_its_own_hosts_and_is_told_once() {
        let declared = MaxFail {
            fleet: Some(Tolerance::Percent(3.0)),
            unreachable: Some(Tolerance::Hosts(1)),
            drifted: Some(Tolerance::Hosts(0)),
            ..MaxFail::default()
        };

        let told = spends(declared, &[BAD, LOST, WELL, LOST, RESCUED, BAD, BAD]);

        assert_eq!(told, [(3, BudgetKind::Unreachable), (5, BudgetKind::Fleet)]);
    }

    #[test]
    fn a_row_ends_with_a_host_that_is_well_and_not_with_one_that_was_skipped() {
        let declared = MaxFail { consecutive: Some(2), ..MaxFail::default() };

        assert_eq!(spends(declared, &[BAD, LOST, WELL, BAD, LOST]), []);
        let told = spends(declared, &[BAD, LOST, SKIPPED, BAD]);
        assert_eq!(told, [(3, BudgetKind::Consecutive)]);
    }

    #[test]
    fn room_is_left_for_every_host_in_flight_to_end_badly() {
        let declared = MaxFail { fleet: Some(Tolerance::Hosts(3)), ..MaxFail::default() };
        let mut budgets = Budgets::new(&declared, 100, |_| 1);
        assert!(budgets.have_room(3) && !budgets.have_room(4));

        budgets.host_ended(BAD.0, BAD.1);
        assert!(budgets.have_room(3), "the first one is forgiven");
        budgets.host_ended(BAD.0, BAD.1);
        assert!(budgets.have_room(2) && !budgets.have_room(3));
    }
}
