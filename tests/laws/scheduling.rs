//! Laws of the scheduler, and here those of a run as a whole.

mod course;
mod limits;
mod steps;
mod waves;

use fleetmend::event::{EventKind, PlayState, RunResult, RunState};
use fleetmend::model::{Outcome, PlayNo, Unmet};
use fleetmend::scheduler::Command;
use proptest::prelude::*;

pub(crate) use self::course::blocks_are_walked_as_they_are_written;
use self::limits::{
    caps_are_never_exceeded, draws_never_exceed_burst_and_rate, limits_are_served_in_order,
};
pub(crate) use self::steps::the_journal_holds_nothing_twice;
use self::steps::{
    nothing_starts_once_something_was_not_confirmed,
    steps_of_a_host_come_one_after_the_other_and_end_once, two_steps_never_act_on_one_host,
    what_one_host_does_for_all_is_done_once,
};
use self::waves::{
    a_gate_that_is_ill_stops_the_play_when_it_is_too_often, a_paused_play_starts_nothing,
    nothing_of_a_wave_starts_before_its_gates, waves_come_one_after_the_other,
};

use crate::budgets::{
    budgets_tolerate_exactly_what_they_say, hosts_end_for_the_reason_of_a_step,
    nothing_starts_while_a_wave_soaks,
};
use crate::case::{Case, any_case};
use crate::windows::{
    a_closed_window_ends_what_it_says, hosts_are_taken_only_in_their_window,
    the_result_says_that_the_window_closed,
};
use crate::world::{Entry, World};

laws! {
    /// `drive` itself proves that every run ends and that every event is legal.
    #[test]
    fn every_law_of_a_run_holds(case in any_case()) {
        let world = World::new(&case).drive();

        laws_of_one(&case, &world);
    }

    #[test]
    fn the_same_inputs_give_the_same_commands(case in any_case()) {
        let (one, other) = (World::new(&case).drive(), World::new(&case).drive());

        prop_assert_eq!(one.log, other.log);
    }
}

/// All laws of one run; those of several together are elsewhere.
pub(crate) fn laws_of_one(case: &Case, world: &World<'_>) {
    caps_are_never_exceeded(case, world);
    draws_never_exceed_burst_and_rate(case, world);
    limits_are_served_in_order(case, world);
    waves_come_one_after_the_other(world);
    steps_of_a_host_come_one_after_the_other_and_end_once(world);
    nothing_starts_once_the_run_is_stopped(world);
    budgets_tolerate_exactly_what_they_say(case, &RunState::default(), world);
    hosts_end_for_the_reason_of_a_step(world);
    nothing_starts_while_a_wave_soaks(case, world);
    a_run_that_nothing_stopped_ends_every_host(case, world);
    nothing_is_applied_in_check_mode(case, world);
    blocks_are_walked_as_they_are_written(case, world);
    nothing_starts_once_something_was_not_confirmed(world);
    two_steps_never_act_on_one_host(case, world);
    what_one_host_does_for_all_is_done_once(case, world);
    the_journal_holds_nothing_twice(case, world);
    nothing_of_a_wave_starts_before_its_gates(case, world);
    a_paused_play_starts_nothing(world);
    a_gate_that_is_ill_stops_the_play_when_it_is_too_often(case, world);
    hosts_are_taken_only_in_their_window(case, world);
    a_closed_window_ends_what_it_says(case, world);
    the_result_says_that_the_window_closed(world);
}

fn nothing_starts_once_the_run_is_stopped(world: &World<'_>) {
    let mut is_stopped = false;
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(
                EventKind::BudgetTripped { .. }
                | EventKind::BreakerOpened { .. }
                | EventKind::OnceFailed { .. }
                | EventKind::WindowClosed(_)
                | EventKind::GateFailed { .. }
                | EventKind::Stopping { .. },
            )) => is_stopped = true,
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(!is_stopped, "{command:?} after the stop");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn a_run_that_nothing_stopped_ends_every_host(case: &Case, world: &World<'_>) {
    let result = world.result.expect("it ended");
    let outcomes = world.outcomes();
    let is_bad = |outcome: Option<Outcome>| outcome.is_some_and(|outcome| !outcome.is_well());
    if world.is_cut_short() {
        let stopped = matches!(
            result,
            RunResult::Stopped
                | RunResult::BudgetTripped
                | RunResult::WindowClosed
                | RunResult::Unconfirmed
        );
        assert!(stopped, "{result:?}");
        return;
    }
    assert!(outcomes.iter().all(|(.., outcome)| outcome.is_some()), "a host was forgotten");
    let has_bad = outcomes.iter().any(|(.., outcome)| is_bad(*outcome));
    let has_no_work = world.state.plays.values().any(|play| play.work_failure.is_some());
    // Only an oracle that is not followed by a judge of its own judges.
    let judges = |number: PlayNo| {
        let oracle = case.draft.plays[usize::from(number.0)].oracle;
        oracle.is_some_and(|oracle| oracle.unmet == Unmet::Fail)
    };
    let is_unmet = |play: &PlayState| {
        let is_met = play.oracle.as_ref().is_some_and(|report| report.not_ready.is_empty());
        play.oracle_done && (play.oracle_failure.is_some() || !is_met)
    };
    match result {
        RunResult::Done => {
            assert!(!has_bad && !has_no_work);
            let mut plays = world.state.plays.iter();
            assert!(!plays.any(|(number, play)| judges(*number) && is_unmet(play)));
        }
        RunResult::SomeFailed | RunResult::UnreachableOnly => assert!(has_bad || has_no_work),
        RunResult::OracleNotSatisfied => {
            let mut plays = world.state.plays.iter();
            assert!(plays.any(|(number, play)| judges(*number) && play.oracle_done));
        }
        RunResult::Bug
        | RunResult::Stopped
        | RunResult::BudgetTripped
        | RunResult::WindowClosed
        | RunResult::Unconfirmed => {
            panic!("{result:?} without a cause")
        }
    }
    if !has_no_work {
        let ended = world.state.plays.values().filter(|play| play.finished).count();
        assert_eq!(ended, case.draft.plays.len(), "a play was forgotten");
        let waves = world.state.plays.values().flat_map(|play| &play.waves);
        assert!(waves.into_iter().all(|wave| wave.started && wave.finished));
    }
}

fn nothing_is_applied_in_check_mode(case: &Case, world: &World<'_>) {
    let is_change = |entry: &Entry| {
        matches!(entry, Entry::Out(Command::Apply { .. } | Command::CheckOracle { .. }))
    };
    let has_changes = world.log.iter().any(|(_, entry)| is_change(entry));
    assert!(!(case.draft.is_check() && has_changes));
    if case.draft.is_check() {
        assert!(world.state.booked.is_empty() && world.state.in_doubt().next().is_none());
    }
}
