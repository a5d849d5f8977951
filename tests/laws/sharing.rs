//! Laws of several runs that share one ledger, on one virtual clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fleetmend::ledger::{ClaimId, SharedDraw};
use fleetmend::model::RunId;
use proptest::prelude::*;

use crate::case::{Case, any_case};
use crate::world::{Entry, Party, Shared, Told, World};

/// More turns than any of these takes together.
const TURNS: usize = 1_000_000;

/// Runs with the limits of the first, when each starts, and which of them is killed when.
type Runs = (Vec<(Case, u64)>, Option<(usize, u64)>);

fn any_runs() -> impl Strategy<Value = Runs> {
    let run = (any_case(), 0..30_000_u64);
    let kill = prop::option::of((0..3_usize, 0..90_000_u64));
    (prop::collection::vec(run, 2..4), kill).prop_map(|(mut runs, kill)| {
        let first = runs[0].0.draft.clone();
        for (case, _) in &mut runs {
            case.draft.scale = first.scale;
            for play in &mut case.draft.plays {
                play.limits = first.plays[0].limits.clone();
            }
        }
        (runs, kill)
    })
}

/// Drives all runs to their ends, in the order in which things happen; `servers` of each.
fn drive<'c>(
    runs: &'c [(Case, u64)],
    kill: Option<(usize, u64)>,
    servers: &[&str],
) -> (Vec<World<'c>>, Vec<(u64, RunId, Told)>) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    let mut worlds: Vec<Option<World<'c>>> = Vec::new();
    for (number, (case, start)) in (1_u128..).zip(runs) {
        let party = Party {
            run: RunId::new(uuid::Uuid::from_u128(number)),
            start: *start,
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            shared: Rc::clone(&shared),
        };
        worlds.push(Some(World::new(case).sharing(party)));
    }
    let mut ended = Vec::new();
    for _ in 0..TURNS {
        let next = |(place, world): (usize, &mut Option<World<'c>>)| {
            Some((world.as_mut()?.next()?, place))
        };
        let Some((at, place)) = worlds.iter_mut().enumerate().filter_map(next).min() else {
            ended.extend(worlds.into_iter().flatten());
            let log = std::mem::take(&mut shared.borrow_mut().log);
            return (ended, log);
        };
        match kill {
            Some((victim, when))
                if at >= when && worlds.get(victim).is_some_and(Option::is_some) =>
            {
                let victim = worlds[victim].take().expect("it is there");
                victim.kill();
            }
            _ => worlds[place].as_mut().expect("it is there").turn(),
        }
    }
    panic!("the runs do not end");
}

/// By limit, what was granted when.
fn grants(log: &[(u64, RunId, Told)]) -> BTreeMap<String, Vec<(u64, SharedDraw)>> {
    let mut by_key: BTreeMap<String, Vec<(u64, SharedDraw)>> = BTreeMap::new();
    for (at, _, told) in log {
        if let Told::Granted(_, draws) = told {
            for draw in draws {
                by_key.entry(draw.key.to_string()).or_default().push((*at, draw.clone()));
            }
        }
    }
    by_key
}

/// For any two points at which units are taken: all that is taken from the first up to the second,
/// plus what the second needs, is at most `burst + rate * span`.
fn draws_never_exceed_burst_and_rate(log: &[(u64, RunId, Told)]) {
    for (key, grants) in grants(log) {
        let Some((rate, burst)) = grants[0].1.spec.rate else { continue };
        let mut points: Vec<(u64, u32, u64)> = Vec::new();
        for (at, SharedDraw { load, .. }) in &grants {
            let (draw, due) = (load.draw, load.due.unwrap_or_default());
            // What falls due too soon to be parted from its draw counts with it. Tokens come in whole
            // parts of 10^15, fewer rather than more.
            let units = |units: u32| i128::from(units) * 1_000_000_000_000_000;
            #[expect(clippy::cast_possible_truncation, reason = "a rate of these tests is small")]
            let back = (rate * 1e9).floor() as i128
                * i128::try_from(due.1.as_micros()).expect("short")
                + units(burst);
            let is_apart =
                draw.total() == 0 || back - units(draw.total()) >= units(due.0.min(burst));
            let lent = if is_apart { 0 } else { u64::from(due.0) };
            points.push((*at * 1000, draw.now.min(burst), u64::from(draw.total()) + lent));
            if is_apart {
                let at = at * 1000 + u64::try_from(due.1.as_micros()).expect("short");
                points.push((at, due.0.min(burst), u64::from(due.0)));
            }
        }
        points.retain(|(_, _, taken)| *taken > 0);
        points.sort_by_key(|(at, ..)| *at);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        for (i, (from, ..)) in points.iter().enumerate() {
            let mut taken = 0.0;
            for (to, needed, total) in &points[i..] {
                let allowed = f64::from(burst) + rate * (to - from) as f64 / 1e6;
                let needed = taken + f64::from(*needed);
                assert!(needed <= allowed + 1e-6, "{key}: {needed} > {allowed}");
                taken += *total as f64;
            }
        }
    }
}

/// Whatever runs hold together is at most the cap; a run that is killed holds nothing.
fn caps_hold_for_all_runs_together(log: &[(u64, RunId, Told)]) {
    let mut held: BTreeMap<String, Vec<(RunId, ClaimId)>> = BTreeMap::new();
    for (at, run, told) in log {
        match told {
            Told::Granted(claim, draws) => {
                for draw in draws {
                    let held = held.entry(draw.key.to_string()).or_default();
                    held.push((*run, *claim));
                    let cap = draw.spec.in_flight.map_or(usize::MAX, |cap| cap as usize);
                    assert!(held.len() <= cap, "{} at {at}: {held:?}", draw.key);
                }
            }
            Told::GivenBack(claim, keys) => {
                for key in keys {
                    let held = held.entry(key.to_string()).or_default();
                    held.retain(|other| *other != (*run, *claim));
                }
            }
            Told::Gone => held.values_mut().for_each(|held| held.retain(|(of, _)| of != run)),
            Told::Refused => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// That every run ends, `drive` itself proves: no run starves, and none waits for one that was
    /// killed.
    #[test]
    fn runs_together_keep_the_limits((runs, kill) in any_runs(), two_servers in any::<bool>()) {
        let servers: &[&str] = if two_servers { &["one", "other"] } else { &["one"] };
        let (worlds, log) = drive(&runs, kill, servers);

        draws_never_exceed_burst_and_rate(&log);
        caps_hold_for_all_runs_together(&log);
        for world in &worlds {
            crate::scheduling::laws_of_one(world.case(), world);
        }
    }

    /// What a run gives back and is not granted any more is nothing: at its end it holds nothing.
    #[test]
    fn a_run_that_ended_holds_nothing((runs, _) in any_runs()) {
        let (_, log) = drive(&runs, None, &["one"]);
        let mut held: Vec<(RunId, ClaimId)> = Vec::new();
        for (_, run, told) in &log {
            match told {
                Told::Granted(claim, _) => held.push((*run, *claim)),
                Told::GivenBack(claim, _) => held.retain(|other| *other != (*run, *claim)),
                Told::Refused | Told::Gone => {}
            }
        }

        prop_assert!(held.is_empty(), "{held:?}");
    }

    /// A run that is alone does what it did without a ledger, and asks hardly more often than it draws:
    /// its own limits and the ledger round instants differently now and then.
    #[test]
    fn a_run_that_is_alone_asks_once_for_each_draw(case in any_case()) {
        let alone = vec![(case, 0)];
        let (worlds, log) = drive(&alone, None, &["one"]);
        let refused = log.iter().filter(|(.., told)| matches!(told, Told::Refused)).count();
        let granted = log.iter().filter(|(.., told)| matches!(told, Told::Granted(..))).count();

        prop_assert!(refused * 20 <= granted + 40, "{refused} refused, {granted} granted");
        let asks = |entry: &&(u64, Entry)| matches!(entry.1, Entry::In(_));
        prop_assert!(worlds[0].log.iter().filter(asks).count() >= granted);
    }
}
