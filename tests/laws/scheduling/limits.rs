//! Laws of limits: how many at once, how fast, and in which order.

use std::collections::{BTreeMap, HashMap};

use fleetmend::event::EventKind;
use fleetmend::model::{Cost, Draw, HostName, LimitName, StepId};
use fleetmend::scheduler::{Command, Input};

use crate::case::Case;
use crate::world::{Entry, World};

/// A limit, split by the value of its variable.
type Key = (LimitName, Option<String>);

fn site(case: &Case, step: &StepId) -> Option<String> {
    let hosts = &case.draft.plays[usize::from(step.task.play.0)].hosts;
    hosts.iter().find(|host| host.name == step.host)?.values.get("site").cloned()
}

/// The site where a step acts.
fn site_of(case: &Case, step: &StepId) -> Option<String> {
    site(case, &StepId { host: case.target(step), ..step.clone() })
}

/// What a step draws for its own time.
fn keys(case: &Case, step: &StepId, cost: &Cost) -> Vec<(Key, Draw)> {
    let drawn = cost.draws().filter(|(_, draw)| draw.total() > 0);
    drawn
        .map(|(name, draw)| {
            let by = (name.as_str() == "wan").then(|| site_of(case, step)).flatten();
            ((name.clone(), by), draw)
        })
        .collect()
}

fn cost(case: &Case, step: &StepId) -> Cost {
    case.fate(step).decision.expect("only what was decided is applied")
}

pub(crate) fn caps_are_never_exceeded(case: &Case, world: &World<'_>) {
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
                // A host that is left when its window closes is gone without a word, so where there
                // are windows a host counts while a step of it is under way.
                let play = &case.draft.plays[usize::from(step.task.play.0)];
                if !play.safeguards.hours.windows.is_empty() {
                    hosts.remove(&step.host);
                }
            }
            Entry::In(Input::WentOn { step, .. }) => {
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
pub(crate) fn draws_never_exceed_burst_and_rate(case: &Case, world: &World<'_>) {
    let mut draws: BTreeMap<Key, Vec<(u64, Draw)>> = BTreeMap::new();
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
pub(crate) fn limits_are_served_in_order(case: &Case, world: &World<'_>) {
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
