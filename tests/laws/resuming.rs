//! Laws of a run that was cut and goes on.

use std::collections::BTreeSet;

use fleetmend::event::{Event, EventKind, RunState};
use fleetmend::model::{Outcome, StepId};
use fleetmend::plan::{Answers, ResumeError, resume};
use fleetmend::scheduler::Command;
use proptest::prelude::*;

use crate::budgets::{
    budgets_tolerate_exactly_what_they_say, hosts_end_for_the_reason_of_a_step,
    nothing_starts_while_a_wave_soaks,
};
use crate::case::{Case, any_case, small_case};
use crate::scheduling::{blocks_are_walked_as_they_are_written, the_journal_holds_nothing_twice};
use crate::world::{Entry, World};

laws! {
    #[test]
    fn a_run_cut_anywhere_repeats_nothing_and_ends_where_it_would_have(
        case in any_case(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 2),
    ) {
        let full = World::new(&case).drive();

        for cut in cuts {
            let length = 1 + cut.index(full.events.len());
            go_on(&case, &full, length);
        }
    }

    #[test]
    fn failed_hosts_that_are_taken_up_again_do_only_what_they_have_not_done(
        case in any_case(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let full = World::new(&case).drive();
        let before = match cut {
            None => &full.events[..],
            Some(cut) => &full.events[..=cut.index(full.events.len())],
        };

        // A host that was cut in the `always` of a block that failed ends first as it must.
        if let Some(first) = take_up(&case, before)
            && let Some(second) = take_up(&case, &first)
        {
            let bad = RunState::replay(&second).expect("it is legal");
            let bad: Vec<_> = bad
                .plays
                .values()
                .flat_map(|play| &play.hosts)
                .filter(|(_, host)| !host.outcome.is_some_and(Outcome::is_well))
                .collect();
            assert!(bad.is_empty(), "{bad:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// Every prefix of a journal is one: it folds, to the same as all at once, and a run goes on
    /// from it.
    #[test]
    fn a_run_goes_on_after_each_of_its_events(case in small_case()) {
        let full = World::new(&case).drive();

        let mut folded = RunState::default();
        for (number, event) in full.events.iter().enumerate() {
            folded.apply(event).expect("what was written is legal");
            let before = &full.events[..=number];
            prop_assert_eq!(&RunState::replay(before).expect("it is legal"), &folded);
            go_on(&case, &full, before.len());
        }
        prop_assert_eq!(folded, full.state);
    }
}

/// Mends what was wrong with the hosts and takes the bad ones up again. Returns the whole journal,
/// or none when nothing was left, or something else kept the run from its end.
fn take_up(case: &Case, before: &[Event]) -> Option<Vec<Event>> {
    let state = RunState::replay(before).expect("what was written is legal");
    let answers = Answers { failed: true, ..Answers::default() };
    let resumption = match resume(&case.draft, &state, &answers) {
        Ok(resumption) => resumption,
        Err(ResumeError::NothingLeft { .. } | ResumeError::AwaitsTask { .. }) => return None,
        Err(other) => panic!("{other}"),
    };
    let settled: BTreeSet<StepId> = resumption
        .state
        .steps()
        .filter(|(_, step)| step.outcome.is_some())
        .map(|(id, _)| id)
        .collect();
    let is_doubted = resumption.undecided().next().is_some();
    let mended = Case { bad_percent: 0, stops: Vec::new(), ..case.clone() };

    let world = World::resumed(&mended, before, resumption).drive();

    for (_, entry) in &world.log {
        if let Entry::Out(Command::Start { step, .. } | Command::Apply { step }) = entry {
            assert!(!settled.contains(step), "{step} was finished before");
        }
    }
    draws_remember_the_cut(case, &world);
    (!is_doubted && !world.is_cut_short()).then_some(world.events)
}

fn go_on(case: &Case, full: &World<'_>, length: usize) {
    let before = &full.events[..length];
    let state = RunState::replay(before).expect("what was written is legal");
    let resumption = match resume(&case.draft, &state, &Answers::default()) {
        Ok(resumption) => resumption,
        Err(ResumeError::NothingLeft { .. }) => {
            let is_through = state.plays.values().all(|play| play.finished);
            assert!(is_through, "{length} events of {:#?}", full.events);
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let undecided: BTreeSet<StepId> =
        resumption.undecided().map(|doubt| doubt.step.clone()).collect();
    let settled: BTreeSet<StepId> = resumption
        .state
        .steps()
        .filter(|(_, step)| step.outcome.is_some())
        .map(|(id, _)| id)
        .collect();

    let left = resumption.state.clone();
    let world = World::resumed(case, before, resumption).drive();

    for (_, entry) in &world.log {
        if let Entry::Out(Command::Start { step, .. } | Command::Apply { step }) = entry {
            assert!(!settled.contains(step), "{step} was finished before the cut");
            assert!(!undecided.contains(step), "{step} is in doubt and was repeated");
        }
    }
    draws_remember_the_cut(case, &world);
    budgets_tolerate_exactly_what_they_say(case, &left, &world);
    hosts_end_for_the_reason_of_a_step(&world);
    nothing_starts_while_a_wave_soaks(case, &world);
    blocks_are_walked_as_they_are_written(case, &world);
    the_journal_holds_nothing_twice(case, &world);
    if full.is_cut_short() || world.is_cut_short() || !undecided.is_empty() {
        return;
    }
    // Which host does a task for all depends on who comes first.
    if case.has_once() {
        return;
    }
    assert_eq!(world.outcomes(), full.outcomes(), "cut after {length}");
    assert_eq!(world.result, full.result, "cut after {length}: {:#?}", world.events);
}

/// Changes are under the limits of both processes together: what was drawn before the cut is still
/// worked off after it.
fn draws_remember_the_cut(case: &Case, world: &World<'_>) {
    let Some(spec) = case.draft.plays[0].limits.0.values().next() else { return };
    let Some(rate) = spec.rate else { return };
    let mut draws = Vec::new();
    for event in &world.events {
        if let EventKind::StepDecided { cost, .. } = &event.kind {
            let draw = cost.of("ns_iis");
            if draw.total() > 0 && !case.draft.is_check() {
                draws.push((event.elapsed.as_millis(), draw));
            }
        }
    }
    for (i, (from, _)) in draws.iter().enumerate() {
        let mut drawn = 0.0;
        for (to, draw) in &draws[i..] {
            #[expect(clippy::cast_precision_loss, reason = "a span of hours")]
            let span = (to - from) as f64 / 1000.0;
            let allowed = f64::from(spec.burst) + rate.per_second(case.draft.scale) * span;
            let needed = f64::from(draw.now.min(spec.burst));
            assert!(drawn + needed <= allowed + 1e-6, "{drawn} + {needed} > {allowed}");
            drawn += f64::from(draw.total());
        }
    }
}
