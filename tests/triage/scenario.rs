//! Scenarios: causes and where they are, from the articles or by a seed.

use std::collections::BTreeSet;

use fleetmend::lab::FaultPlan;
use fleetmend::lab::world::{FleetSpec, World};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Deserialize;

/// A fleet and what is wrong with it. Servers and packages are numbers from 1; every server has every
/// package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Where it comes from: articles and rows.
    #[serde(rename = "from")]
    pub(crate) _from: String,
    #[serde(rename = "story")]
    pub(crate) _story: String,
    pub(crate) servers: u32,
    pub(crate) packages: u32,
    pub(crate) causes: Vec<Cause>,
}

/// Something that is wrong, by the name of its verdict.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cause {
    pub(crate) cause: String,
    #[serde(default)]
    pub(crate) servers: Vec<usize>,
    #[serde(default)]
    pub(crate) packages: Vec<usize>,
}

impl Cause {
    /// Whether it takes several looks to tell it.
    pub(crate) fn needs_history(&self) -> bool {
        matches!(self.cause.as_str(), "external-deletion-loop" | "refresh-churn")
    }
}

/// The hundred scenarios that were written from the articles alone.
pub(crate) fn of_articles() -> Vec<Scenario> {
    serde_saphyr::from_str(include_str!("articles.yml")).expect("the scenarios are read")
}

impl Scenario {
    /// One cause in a fleet of four servers with five packages.
    pub(crate) fn of(cause: &str, servers: &[usize], packages: &[usize]) -> Self {
        let (servers, packages) = (servers.to_vec(), packages.to_vec());
        Self {
            name: cause.to_owned(),
            _from: String::new(),
            _story: String::new(),
            servers: 4,
            packages: 5,
            causes: vec![Cause { cause: cause.to_owned(), servers, packages }],
        }
    }

    /// The fleet.
    pub(crate) fn spec(&self, seed: u64) -> FleetSpec {
        FleetSpec {
            packages: self.packages,
            is_uniform: true,
            // One site: servers are numbered throughout.
            sites: 1,
            ..FleetSpec::new(self.servers, seed, "2026-05-16T06:00:00Z".parse().expect("a date"))
        }
    }

    /// The world in which it is so.
    pub(crate) fn world(&self, seed: u64) -> World {
        World::new(self.spec(seed), &self.faults())
    }

    /// What is wrong, as the lab is told it.
    pub(crate) fn faults(&self) -> FaultPlan {
        let mut faults = String::from("faults:\n");
        if self.causes.is_empty() {
            faults = "faults: []".to_owned();
        }
        for cause in &self.causes {
            let at: Vec<String> =
                cause.servers.iter().map(|number| format!("ps-lon-{number:02}")).collect();
            // A server as a whole: each of its packages suffers.
            let suffers_in_all = matches!(cause.cause.as_str(), "acl-missing" | "trust-1789");
            let packages: Vec<usize> = if cause.packages.is_empty() && suffers_in_all {
                (1..=self.packages as usize).collect()
            } else {
                cause.packages.clone()
            };
            let kind = cause.cause.replace('-', "_");
            // Trust that a new policy restores by itself would not be there any more when looked at.
            let for_good = cause.cause == "trust-1789";
            faults += &format!(
                "  - {{ kind: {kind}, at: [{}], packages: {packages:?}, for_good: {for_good} }}\n",
                at.join(", ")
            );
        }
        FaultPlan::parse(&faults).unwrap_or_else(|error| panic!("{error:?}\n{faults}"))
    }

    /// The causes on one server itself, its pairs included.
    pub(crate) fn on_server(&self, number: usize) -> BTreeSet<&str> {
        let is_there = |cause: &&Cause| cause.servers.contains(&number);
        self.causes.iter().filter(is_there).map(|cause| cause.cause.as_str()).collect()
    }

    /// The causes of packages and of the Notification Server.
    pub(crate) fn elsewhere(&self) -> BTreeSet<&str> {
        let is_there = |cause: &&Cause| cause.servers.is_empty();
        self.causes.iter().filter(is_there).map(|cause| cause.cause.as_str()).collect()
    }
}

/// What a cause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// A pair, that nothing else on the server hides.
    Pair,
    /// A server, whatever its packages are.
    Server,
    /// A server, and by it all or many of its packages.
    Whole,
    Package,
    NotificationServer,
}

const CAUSES: [(&str, About); 33] = [
    ("notification-server-stale", About::Pair),
    ("package-server-stale", About::Pair),
    ("drifted-but-ready", About::Pair),
    ("still-downloading", About::Pair),
    ("snapshot-locked", About::Pair),
    ("path-too-long", About::Pair),
    ("hash-damaged", About::Pair),
    ("external-deletion-loop", About::Pair),
    ("duplicate-rows", About::Pair),
    ("alternate-location-conflict", About::Pair),
    ("version-mismatch", About::Server),
    ("site-unassigned", About::Server),
    ("share-missing", About::Server),
    ("app-pool-stopped", About::Server),
    ("iis-missing", About::Server),
    ("orphan-folder", About::Server),
    ("urgent-list", About::Server),
    ("server-busy", About::Whole),
    ("credential-not-applied", About::Whole),
    ("acl-missing", About::Whole),
    ("trust-1789", About::Whole),
    ("secure-storage", About::Whole),
    ("disk-full", About::Whole),
    ("agent-stopped", About::Whole),
    ("unreachable", About::Whole),
    ("foreign-origin", About::Package),
    ("parent-owns-it", About::Package),
    ("source-path-broken", About::Package),
    ("snapshot-missing", About::Package),
    ("refresh-churn", About::Package),
    ("orphan", About::Package),
    ("event-queue-volume", About::NotificationServer),
    ("event-queue-stall", About::NotificationServer),
];

/// Chance, from a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    /// Some of the numbers, at least one and at most `most`, in order.
    fn some(&mut self, mut from: Vec<usize>, most: usize) -> Vec<usize> {
        let count = 1 + self.below(most.min(from.len()));
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(from.swap_remove(self.below(from.len())));
        }
        taken.sort_unstable();
        taken
    }
}

/// A scenario by a seed: more than half have one cause, a third two, the rest three. Two causes share a
/// server every other time.
pub(crate) fn random(seed: u64) -> Scenario {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let (servers, packages) = (3 + dice.below(5), 5 + dice.below(4));
    let wanted = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][dice.below(10)];
    let mut scenario = Scenario {
        name: format!("random {seed}"),
        _from: String::new(),
        _story: String::new(),
        servers: servers as u32,
        packages: packages as u32,
        causes: Vec::new(),
    };
    let mut free: Vec<usize> = (1..=packages).collect();
    // What each server has: a cause that hides others keeps them away.
    let mut on: Vec<Vec<About>> = vec![Vec::new(); servers + 1];
    let mut shared = None;
    while scenario.causes.len() < wanted {
        let (name, about) = CAUSES[dice.below(CAUSES.len())];
        if scenario.causes.iter().any(|cause| cause.cause == name) {
            continue;
        }
        let mut cause = Cause { cause: name.to_owned(), servers: Vec::new(), packages: Vec::new() };
        if matches!(about, About::Pair | About::Package) {
            // Two causes never meet on one pair, and one package always stays well.
            let needed = if name == "alternate-location-conflict" { 2 } else { 1 };
            if free.len() < needed + 1 {
                continue;
            }
            while cause.packages.len() < needed {
                cause.packages.push(free.swap_remove(dice.below(free.len())));
            }
            cause.packages.sort_unstable();
        }
        if matches!(about, About::Pair | About::Server | About::Whole) {
            let shares = dice.below(2) == 0;
            let mut at = match shared {
                Some(server) if shares => vec![server],
                _ => dice.some((1..=servers).collect(), 2),
            };
            at.retain(|server| may_meet(name, about, &on[*server]));
            if at.is_empty() {
                free.extend(cause.packages);
                continue;
            }
            for server in &at {
                on[*server].push(about);
                if name == "unreachable" || name == "agent-stopped" {
                    // Nothing else can be seen there.
                    on[*server].push(About::NotificationServer);
                }
            }
            shared = shared.or(at.first().copied());
            cause.servers = at;
        }
        scenario.causes.push(cause);
    }
    scenario
}

/// Whether a cause can be told on a server that has others.
fn may_meet(name: &str, about: About, others: &[About]) -> bool {
    let is_hidden = others.contains(&About::NotificationServer);
    let hides = matches!(name, "unreachable" | "agent-stopped");
    let is_alone = others.is_empty();
    match about {
        _ if is_hidden => false,
        _ if hides => is_alone,
        About::Whole => others.iter().all(|other| *other == About::Server),
        About::Pair => others.iter().all(|other| *other != About::Whole),
        _ => true,
    }
}

#[test]
fn the_hundred_scenarios_can_all_be_made() {
    let scenarios = of_articles();

    assert_eq!(scenarios.len(), 100);
    for (number, scenario) in scenarios.iter().enumerate() {
        let world = scenario.world(number as u64);
        let names: Vec<&str> = world.fleet().servers.iter().map(|server| server.short()).collect();
        let numbered = (1..=scenario.servers).map(|number| format!("ps-lon-{number:02}"));
        assert_eq!(names, numbered.collect::<Vec<_>>(), "{}", scenario.name);
    }
}

#[test]
fn chance_comes_from_the_seed_and_reaches_every_cause() {
    let all: Vec<Scenario> = (0..500).map(random).collect();

    let causes: BTreeSet<&str> =
        all.iter().flat_map(|s| &s.causes).map(|cause| cause.cause.as_str()).collect();
    assert_eq!(causes.len(), CAUSES.len());
    assert_eq!(format!("{:?}", random(7)), format!("{:?}", random(7)));
    let two_on_one =
        all.iter().filter(|s| (1..=s.servers as usize).any(|n| s.on_server(n).len() == 2));
    assert!(two_on_one.count() > 30);
}
