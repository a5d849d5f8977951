//! Laws of the scheduler.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleetmend::event::{EventKind, RunResult};
use fleetmend::model::{Cost, HostName, LimitName, Outcome, StepId};
use fleetmend::scheduler::{Command, Input};
use proptest::prelude::*;

use crate::case::{Case, any_case};
use crate::world::{Entry, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// `drive` itself proves that every run ends and that every event is legal.
    #[test]
    fn every_law_of_a_run_holds(case in any_case()) {
        let world = World::new(&case).drive();

        caps_are_never_exceeded(&case, &world);
        draws_never_exceed_burst_and_rate(&case, &world);
        limits_are_served_in_order(&case, &world);
        waves_come_one_after_the_other(&world);
        steps_of_a_host_come_one_after_the_other_and_end_once(&world);
        nothing_starts_once_the_run_is_stopped(&world);
        budgets_tolerate_exactly_what_they_say(&case, &world);
        a_run_that_nothing_stopped_ends_every_host(&case, &world);
        nothing_is_applied_in_check_mode(&case, &world);
    }

    #[test]
    fn the_same_inputs_give_the_same_commands(case in any_case()) {
        let (one, other) = (World::new(&case).drive(), World::new(&case).drive());

        prop_assert_eq!(one.log, other.log);
    }
}

/// A limit, split by the value of its variable.
type Key = (LimitName, Option<String>);

fn site(case: &Case, step: &StepId) -> Option<String> {
    let hosts = &case.draft.plays[usize::from(step.task.play.0)].hosts;
    hosts.iter().find(|host| host.name == step.host)?.values.get("site").cloned()
}

/// What a step draws for its own time.
fn keys(case: &Case, step: &StepId, cost: &Cost) -> Vec<(Key, fleetmend::model::Draw)> {
    let drawn = cost.draws().filter(|(_, draw)| draw.total() > 0);
    drawn
        .map(|(name, draw)| {
            let by = (name.as_str() == "wan").then(|| site(case, step)).flatten();
            ((name.clone(), by), draw)
        })
        .collect()
}

fn cost(case: &Case, step: &StepId) -> Cost {
    case.fate(step).decision.expect("only what was decided is applied")
}

fn caps_are_never_exceeded(case: &Case, world: &World<'_>) {
    let mut hosts: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut applying: BTreeMap<StepId, Vec<Key>> = BTreeMap::new();
    for (at, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) => {
                hosts.insert(step.host.clone(), step.clone());
                let play = &case.draft.plays[usize::from(step.task.play.0)];
                assert!(hosts.len() <= play.throttle as usize, "throttle at {at}");
                let cap = play.limits.0[&LimitName::new("site")].in_flight.expect("a cap");
                let mut sites: BTreeMap<String, u32> = BTreeMap::new();
                for step in hosts.values() {
                    if let Some(site) = site(case, step) {
                        *sites.entry(site).or_default() += 1;
                    }
                }
                assert!(sites.values().all(|held| *held <= cap), "hosts of a site at {at}");
            }
            Entry::Out(Command::Apply { step }) => {
                let drawn = keys(case, step, &cost(case, step));
                applying.insert(step.clone(), drawn.into_iter().map(|(key, _)| key).collect());
                let limits = &case.draft.plays[usize::from(step.task.play.0)].limits;
                let mut held: HashMap<&Key, u32> = HashMap::new();
                applying.values().flatten().for_each(|key| *held.entry(key).or_default() += 1);
                for (key, held) in held {
                    let cap = limits.0[&key.0].in_flight.unwrap_or(u32::MAX);
                    assert!(held <= cap, "{held} in flight of {key:?} at {at}");
                }
            }
            Entry::In(Input::Finished { step, .. }) => {
                applying.remove(step);
            }
            Entry::Out(Command::Emit(EventKind::HostFinished { host, .. })) => {
                hosts.remove(host);
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// For any two draws i <= j of one limit: everything drawn from i up to but without j, plus what j
/// needs now (at least something, at most the burst), is at most `burst + rate * (t_j - t_i)`.
fn draws_never_exceed_burst_and_rate(case: &Case, world: &World<'_>) {
    let mut draws: BTreeMap<Key, Vec<(u64, fleetmend::model::Draw)>> = BTreeMap::new();
    for (at, entry) in &world.log {
        if let Entry::Out(Command::Apply { step }) = entry {
            for (key, draw) in keys(case, step, &cost(case, step)) {
                draws.entry(key).or_default().push((*at, draw));
            }
        }
    }
    for (key, draws) in draws {
        let spec = &case.draft.plays[0].limits.0[&key.0];
        let Some(rate) = spec.rate else { continue };
        let per_second = rate.per_second(case.draft.scale);
        for (i, (from, _)) in draws.iter().enumerate() {
            let mut drawn = 0.0;
            for (to, draw) in &draws[i..] {
                #[expect(clippy::cast_precision_loss, reason = "a span of hours")]
                let span = (to - from) as f64 / 1000.0;
                let allowed = f64::from(spec.burst) + per_second * span;
                let needed = f64::from(draw.now.min(spec.burst));
                assert!(
                    drawn + needed <= allowed + 1e-6,
                    "{key:?}: {drawn} + {needed} > {allowed}"
                );
                drawn += f64::from(draw.total());
            }
        }
    }
}

/// Of two steps that draw from the same limit, the one that decided first goes first.
fn limits_are_served_in_order(case: &Case, world: &World<'_>) {
    let mut waiting: BTreeMap<Key, Vec<StepId>> = BTreeMap::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::In(Input::Decided { step, cost }) => {
                for (key, _) in keys(case, step, cost) {
                    waiting.entry(key).or_default().push(step.clone());
                }
            }
            Entry::Out(Command::Apply { step }) => {
                for (key, _) in keys(case, step, &cost(case, step)) {
                    let queue = waiting.get_mut(&key).expect("it waited");
                    assert_eq!(queue.first(), Some(step), "overtaken at {key:?}");
                    queue.remove(0);
                }
            }
            Entry::Out(Command::Cancel { step }) => {
                waiting.values_mut().for_each(|queue| queue.retain(|other| other != step));
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn waves_come_one_after_the_other(world: &World<'_>) {
    let mut waves: BTreeMap<HostName, usize> = BTreeMap::new();
    let mut open: Vec<BTreeSet<HostName>> = Vec::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(EventKind::PlayStarted { waves: all, .. })) => {
                waves.clear();
                open = all.iter().map(|hosts| hosts.iter().cloned().collect()).collect();
                for (number, hosts) in all.iter().enumerate() {
                    waves.extend(hosts.iter().map(|host| (host.clone(), number)));
                }
            }
            Entry::Out(Command::Start { step, .. }) => {
                let wave = waves[&step.host];
                assert!(open[..wave].iter().all(BTreeSet::is_empty), "{step} before its wave");
            }
            Entry::Out(Command::Emit(EventKind::HostFinished { host, .. })) => {
                assert!(open[waves[host]].remove(host), "{host} ended twice");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn steps_of_a_host_come_one_after_the_other_and_end_once(world: &World<'_>) {
    let mut at: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) => {
                assert!(started.insert(step.clone()), "{step} started twice");
                let before = at.insert(step.host.clone(), step.clone());
                assert_eq!(before, None, "two steps at once");
            }
            Entry::Out(Command::Apply { step }) => assert_eq!(at.get(&step.host), Some(step)),
            Entry::In(Input::Finished { step, .. }) => {
                assert_eq!(at.remove(&step.host).as_ref(), Some(step), "{step} ended twice");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(at.is_empty(), "steps were left behind: {at:?}");
}

fn nothing_starts_once_the_run_is_stopped(world: &World<'_>) {
    let mut is_stopped = false;
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(
                EventKind::BudgetTripped { .. }
                | EventKind::BreakerOpened { .. }
                | EventKind::Stopping { .. },
            )) => is_stopped = true,
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(!is_stopped, "{command:?} after the stop");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn budgets_tolerate_exactly_what_they_say(case: &Case, world: &World<'_>) {
    let mut waves: BTreeMap<HostName, (usize, u32)> = BTreeMap::new();
    let mut bad: BTreeMap<usize, u32> = BTreeMap::new();
    let mut is_due = false;
    for (_, entry) in &world.log {
        let Entry::Out(command) = entry else { continue };
        if is_due {
            let is_told = matches!(command, Command::Emit(EventKind::BudgetTripped { .. }));
            assert!(is_told, "{command:?} where the budget was spent");
        }
        is_due = false;
        match command {
            Command::Emit(EventKind::PlayStarted { play, waves: all }) => {
                (waves, bad) = (BTreeMap::new(), BTreeMap::new());
                let draft = &case.draft.plays[usize::from(play.0)];
                for (number, hosts) in all.iter().enumerate() {
                    let tolerated = draft.tolerated(hosts.len());
                    waves.extend(hosts.iter().map(|h| (h.clone(), (number, tolerated))));
                }
            }
            Command::Emit(EventKind::HostFinished { host, outcome, .. }) if !outcome.is_well() => {
                let (wave, tolerated) = waves[host];
                let bad = bad.entry(wave).or_default();
                *bad += 1;
                is_due = *bad == tolerated + 1;
            }
            Command::Emit(EventKind::BudgetTripped { wave, bad: told, tolerated, .. }) => {
                assert_eq!(Some(told), bad.get(&usize::from(wave.0)));
                assert_eq!(*told, tolerated + 1);
            }
            _ => {}
        }
    }
}

fn a_run_that_nothing_stopped_ends_every_host(case: &Case, world: &World<'_>) {
    let result = world.result.expect("it ended");
    let outcomes = world.outcomes();
    let is_bad = |outcome: Option<Outcome>| outcome.is_some_and(|outcome| !outcome.is_well());
    if world.is_cut_short() {
        assert!(matches!(result, RunResult::Stopped | RunResult::BudgetTripped), "{result:?}");
        return;
    }
    assert!(outcomes.iter().all(|(.., outcome)| outcome.is_some()), "a host was forgotten");
    let has_bad = outcomes.iter().any(|(.., outcome)| is_bad(*outcome));
    let has_no_work = world.state.plays.values().any(|play| play.work_failure.is_some());
    match result {
        RunResult::Done => assert!(!has_bad && !has_no_work),
        RunResult::SomeFailed | RunResult::UnreachableOnly => assert!(has_bad || has_no_work),
        RunResult::OracleNotSatisfied => {
            let plays = world.state.plays.values();
            let is_unsure = |play: &fleetmend::event::PlayState| play.oracle_done;
            assert!(plays.into_iter().any(is_unsure));
        }
        RunResult::Bug | RunResult::Stopped | RunResult::BudgetTripped => {
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
