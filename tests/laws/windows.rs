//! Laws of change windows, over a virtual wall clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetmend::event::{EventKind, RunMode, RunResult, RunState, WindowEnd};
use fleetmend::model::{
    AtClose, HostName, Hours, Opening, Outcome, PlayNo, StepId, Window, WindowZone, Zone,
};
use fleetmend::plan::{Answers, DraftPlay, resume};
use fleetmend::scheduler::{Command, Input};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::case::{Case, any_case, any_window, hours};
use crate::world::{Entry, World};

laws! {
    /// Hosts are under way when the window closes, because nobody knew how long they take.
    #[test]
    fn what_is_under_way_at_the_close_ends_as_was_said(case in any_late_case()) {
        let world = World::new(&case).drive();

        hosts_are_taken_only_in_their_window(&case, &world);
        a_closed_window_ends_what_it_says(&case, &world);
        the_result_says_that_the_window_closed(&world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_goes_on_in_the_next_windows_and_ends_the_same(
        case in prop_oneof![any_case(), any_late_case()],
    ) {
        let mut case = case;
        case.bad_percent = 0;
        case.stops.clear();
        for play in &mut case.draft.plays {
            // What a gate says depends on how often it was asked.
            play.safeguards.gates.clear();
            for window in &mut play.safeguards.hours.windows {
                // Whose change was cut is in doubt, which is another law.
                if window.at_close == AtClose::Terminate {
                    window.at_close = AtClose::StopAfterBlock;
                }
            }
        }
        night_after_night(&case);
    }
}

/// A run that begins shortly before the window of its first play closes, or that of the run.
fn any_late_case() -> impl Strategy<Value = Case> {
    let windows = prop::collection::vec(any_window(), 1..3);
    (any_case(), windows, 1..40_000_u64, 0..3_u64).prop_map(|(mut case, windows, left, expect)| {
        case.draft.mode = RunMode::Run;
        case.stops.clear();
        let plain = |window| Window {
            cutoff: Duration::ZERO,
            margin: Duration::ZERO,
            expect: Some(Duration::from_secs(expect)),
            tz: WindowZone::Named(Zone::utc()),
            ..window
        };
        let play = &mut case.draft.plays[0];
        play.safeguards.hours = hours(windows.into_iter().map(plain).collect(), &mut play.hosts);
        let evening = "2026-12-01T22:00:00Z".parse().expect("an instant");
        let opening = play.safeguards.hours.opening(None, evening).expect("it opens");
        case.wall = opening.close - Duration::from_millis(left);
        case
    })
}

fn play_of<'c>(case: &'c Case, step: &StepId) -> &'c DraftPlay {
    &case.draft.plays[usize::from(step.task.play.0)]
}

/// The windows of the step's host, around an instant.
fn opening(case: &Case, step: &StepId, at: Timestamp) -> Option<Opening> {
    let play = play_of(case, step);
    let host = play.hosts.iter().find(|host| host.name == step.host).expect("a host");
    let site = host.values.get(WindowZone::VARIABLE).map(String::as_str);
    play.safeguards.hours.opening(site, at)
}

fn has_window(case: &Case, step: &StepId) -> bool {
    !play_of(case, step).safeguards.hours.are_unbounded()
}

pub(crate) fn hosts_are_taken_only_in_their_window(case: &Case, world: &World<'_>) {
    let mut taken: BTreeMap<(PlayNo, HostName), u64> = BTreeMap::new();
    let mut took: BTreeMap<PlayNo, Vec<u64>> = BTreeMap::new();
    for (at, entry) in &world.log {
        let wall = world.wall_at(*at);
        match entry {
            Entry::Out(Command::FindWork { play }) => {
                let hours = &case.draft.plays[usize::from(play.0)].safeguards.hours;
                assert!(
                    is_any_open(case, *play, hours, wall),
                    "work of {play} is asked for at {wall}"
                );
            }
            Entry::Out(Command::Start { step, .. }) if has_window(case, step) => {
                let key = (step.task.play, step.host.clone());
                if taken.contains_key(&key) {
                    continue;
                }
                taken.insert(key, *at);
                let opening = opening(case, step, wall).expect("it is open");
                assert!(
                    opening.open <= wall && wall < opening.cutoff,
                    "{step} at {wall}: {opening:?}"
                );
                if is_measured(play_of(case, step)) {
                    let none = Vec::new();
                    let needs = needs(case, step, took.get(&step.task.play).unwrap_or(&none));
                    assert!(wall + needs <= opening.close, "{step} at {wall} needs {needs:?}");
                }
            }
            Entry::Out(Command::Emit(EventKind::HostFinished { play, host, outcome, .. })) => {
                if matches!(outcome, Outcome::Changed | Outcome::Rescued) {
                    let since = taken.get(&(*play, host.clone())).unwrap_or(at);
                    took.entry(*play).or_default().push(at - since);
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// Whether no host of a play ever waits for another one, for a person, for a gate or for a lost
/// server, so that its time is its own.
fn is_measured(play: &DraftPlay) -> bool {
    let is_once = play.tasks.iter().any(|task| task.flow.is_once);
    let is_paused = play.safeguards.gates.iter().any(|gate| gate.watch)
        || play.limits.0.values().any(|limit| limit.adapt.is_some());
    !is_once && !is_paused && play.hosts.iter().all(|host| host.delegates.is_empty())
}

fn needs(case: &Case, step: &StepId, took: &[u64]) -> Duration {
    let windows = &play_of(case, step).safeguards.hours.windows;
    let expected = windows.iter().filter_map(|window| window.expect).max().expect("it is said");
    let expected = case.draft.scale.to_real(expected);
    let margin = windows.iter().map(|window| window.margin).max().expect("a window");
    let mut took = took.to_vec();
    took.sort_unstable();
    // The least of those that 95 of 100 do not exceed.
    let enough = |rank: &usize| (rank + 1) * 100 >= took.len() * 95;
    let p95 = (0..took.len()).find(enough).map(|rank| Duration::from_millis(took[rank]));
    // A few hosts can only show that one takes longer than was expected.
    let least = if took.len() < 20 { expected } else { Duration::ZERO };
    p95.unwrap_or_default().max(least) + margin
}

fn is_any_open(case: &Case, play: PlayNo, hours: &Hours, wall: Timestamp) -> bool {
    let hosts = &case.draft.plays[usize::from(play.0)].hosts;
    let mut sites: Vec<Option<&str>> = hosts
        .iter()
        .map(|host| host.values.get(WindowZone::VARIABLE).map(String::as_str))
        .collect();
    sites.push(None);
    hours.are_unbounded()
        || hosts.is_empty()
        || sites.iter().any(|site| hours.opening(*site, wall).is_some_and(|one| one.holds(wall)))
}

pub(crate) fn a_closed_window_ends_what_it_says(case: &Case, world: &World<'_>) {
    let mut last: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut first: BTreeMap<(PlayNo, HostName), Opening> = BTreeMap::new();
    let mut applied: BTreeSet<StepId> = BTreeSet::new();
    // Steps that go on in a block that an earlier step of the host began.
    let mut inner: BTreeSet<StepId> = BTreeSet::new();
    for (at, entry) in &world.log {
        let wall = world.wall_at(*at);
        match entry {
            Entry::Out(Command::Start { step, .. }) if has_window(case, step) => {
                let key = (step.task.play, step.host.clone());
                let opening =
                    *first.entry(key).or_insert_with(|| opening(case, step, wall).expect("open"));
                let course = play_of(case, step).course();
                let block = course.outermost(step.task.task);
                let before = last.insert(step.host.clone(), step.clone());
                let before = before.filter(|before| before.task.play == step.task.play);
                if before.is_some_and(|b| block.is_some() && course.outermost(b.task.task) == block)
                {
                    inner.insert(step.clone());
                }
                if wall >= opening.close {
                    match opening.at_close {
                        AtClose::Finish => {}
                        AtClose::StopAfterBlock => {
                            assert!(inner.contains(step), "{step} at {wall}")
                        }
                        AtClose::Terminate => panic!("{step} starts at {wall}"),
                    }
                }
            }
            Entry::Out(Command::Apply { step }) if has_window(case, step) => {
                let opening = first[&(step.task.play, step.host.clone())];
                let goes_on = inner.contains(step) || applied.contains(step);
                applied.insert(step.clone());
                if wall >= opening.close {
                    match opening.at_close {
                        AtClose::Finish => {}
                        AtClose::StopAfterBlock => assert!(goes_on, "{step} changes at {wall}"),
                        AtClose::Terminate => panic!("{step} changes at {wall}"),
                    }
                }
            }
            Entry::In(Input::Finished { step, .. }) if has_window(case, step) => {
                let opening = first[&(step.task.play, step.host.clone())];
                if opening.at_close == AtClose::Terminate {
                    // A cancelled step of this world takes three milliseconds to end.
                    let end = opening.close + opening.grace + Duration::from_millis(4);
                    assert!(wall <= end, "{step} ends at {wall} only");
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

pub(crate) fn the_result_says_that_the_window_closed(world: &World<'_>) {
    let is_closed = world.state.window.closed.is_some();
    let worse = [RunResult::Bug, RunResult::Stopped, RunResult::BudgetTripped];
    let result = world.result.expect("it ended");
    assert_eq!(is_closed && !worse.contains(&result), result == RunResult::WindowClosed);
    if let Some(closed) = &world.state.window.closed {
        let play = world.state.plays.get(&closed.play).filter(|play| play.started);
        let left = play.map(|play| play.hosts.values().filter(|h| h.outcome.is_none()).count());
        assert!(left.is_none_or(|left| left == closed.left as usize), "{closed:?}");
    }
}

/// Resumes a run whenever its window opens next, until it is through.
fn night_after_night(case: &Case) {
    if case.has_once() {
        return;
    }
    let mut free = case.clone();
    for play in &mut free.draft.plays {
        play.safeguards.hours = Hours::default();
    }
    let undisturbed = World::new(&free).drive();
    let mut world = World::new(case).drive();
    let mut nights = 0;
    while world.result == Some(RunResult::WindowClosed) {
        let closed = world.state.window.closed.clone().expect("it says so");
        let opens = closed.opens.expect("it opens every evening");
        let before = ended(&world);
        let state = RunState::replay(&world.events).expect("a legal journal");
        let resumption = resume(&case.draft, &state, &Answers::default()).expect("hosts are left");
        let events = world.events.clone();
        world = World::resumed_at(case, &events, resumption, opens.at).drive();
        nights += 1;
        let too_late = matches!(closed.why, WindowEnd::TooLate { .. });
        if too_late && ended(&world) == before {
            // No host fits into any evening: nothing is ever done, and the run says why.
            return;
        }
        assert!(nights < 1_000, "it never ends: {:?}", world.state.window);
    }
    assert_eq!(world.result, undisturbed.result, "{:#?}", world.events);
    let mut outcomes = [world.outcomes(), undisturbed.outcomes()];
    outcomes.iter_mut().for_each(|all| all.sort());
    assert_eq!(outcomes[0], outcomes[1]);
}

/// Steps that ended.
fn ended(world: &World<'_>) -> usize {
    world.state.steps().filter(|(_, step)| step.outcome.is_some()).count()
}
