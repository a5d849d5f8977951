//! A random playbook over a random fleet, and what becomes of each of its steps.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fleetmend::event::{RunMode, StopStage};
use fleetmend::model::{
    Batch, Cost, Draw, FailureClass, HostName, LimitName, LimitSpec, Limits, Order, Outcome,
    PlayNo, Rate, StepId, TaskId, TimeScale, WorkQuery,
};
use fleetmend::plan::{Draft, DraftHost, DraftPlay, DraftTask};
use proptest::prelude::*;

/// All that a run depends on.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) draft: Draft,
    /// Decides every fate.
    pub(crate) seed: u64,
    /// Of a hundred steps, how many end badly.
    pub(crate) bad_percent: u64,
    /// When the operator stops the run, in milliseconds of real time.
    pub(crate) stops: Vec<(u64, StopStage)>,
}

/// What becomes of a step.
#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) probe: u64,
    /// The change's cost, or how the step ends without one.
    pub(crate) decision: Result<Cost, (Outcome, Option<FailureClass>)>,
    pub(crate) apply: u64,
    pub(crate) end: (Outcome, Option<FailureClass>),
}

/// When the CMDB is satisfied: at which question, or never.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OracleFate {
    pub(crate) satisfied_at: Option<u32>,
    pub(crate) is_readable: bool,
}

impl Case {
    fn roll(&self, what: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn fate(&self, step: &StepId) -> Fate {
        let roll = |what: &str| self.roll(&(step, what));
        let is_bad = |what| roll(what) % 100 < self.bad_percent;
        let class = match roll("class") % 8 {
            0 => FailureClass::AuthRejected,
            1 | 2 => FailureClass::Unreachable,
            3 => FailureClass::TimedOut,
            _ => FailureClass::RemoteFault,
        };
        let draw = |what| Draw {
            now: u32::try_from(roll(what) % 4).expect("small"),
            later: u32::try_from(roll(what) / 7 % 6).expect("small"),
        };
        let cost = match roll("cost") % 5 {
            0 => Cost::none(),
            1 => Cost::none().and(LimitName::new("cmdb"), draw("cmdb")),
            2 => Cost::none()
                .and(LimitName::new("ns_iis"), draw("both"))
                .and(LimitName::new("wan"), draw("wan")),
            _ => Cost::none().and(LimitName::new("ns_iis"), draw("iis")),
        };
        let decision = match roll("decision") % 4 {
            _ if is_bad("probe fails") => Err((class.outcome(), Some(class))),
            0 => Err((Outcome::Unchanged, None)),
            1 if roll("skip") % 2 == 0 => Err((Outcome::Skipped, None)),
            _ => Ok(cost),
        };
        let end = if is_bad("apply fails") {
            let class =
                if class == FailureClass::Unreachable { FailureClass::InDoubt } else { class };
            (class.outcome(), Some(class))
        } else {
            (Outcome::Changed, None)
        };
        Fate { probe: 1 + roll("probe") % 3_000, decision, apply: 1 + roll("apply") % 8_000, end }
    }

    /// Whether the work query names the host.
    pub(crate) fn has_work(&self, play: PlayNo, host: &HostName) -> bool {
        !self.roll(&(play, host, "work")).is_multiple_of(5)
    }

    /// Whether the work query of the play can be answered.
    pub(crate) fn is_work_found(&self, play: PlayNo) -> bool {
        self.roll(&(play, "found")) % 100 >= self.bad_percent
    }

    pub(crate) fn oracle(&self, play: PlayNo) -> OracleFate {
        OracleFate {
            satisfied_at: match self.roll(&(play, "oracle")) % 4 {
                0 => None,
                number => u32::try_from(number).ok(),
            },
            is_readable: !self.roll(&(play, "readable")).is_multiple_of(8),
        }
    }
}

pub(crate) fn any_case() -> impl Strategy<Value = Case> {
    let scale = prop_oneof![Just(1.0), Just(20.0), Just(0.5)];
    let stops = prop_oneof![
        4 => Just(Vec::new()),
        1 => (0..60_000_u64, 0..5_000_u64).prop_map(|(at, then)| {
            vec![(at, StopStage::Drain), (at + then, StopStage::Cancel)]
        }),
        1 => (0..60_000_u64).prop_map(|at| vec![(at, StopStage::Drain)]),
        1 => (0..60_000_u64).prop_map(|at| vec![(at, StopStage::Cancel)]),
    ];
    let bad = prop_oneof![3 => Just(0_u64), 3 => 1..6_u64, 1 => 10..60_u64];
    let mode = prop_oneof![5 => Just(RunMode::Run), 1 => Just(RunMode::Check)];
    let plays = (any_limits(), 1..4_usize)
        .prop_flat_map(|(limits, count)| prop::collection::vec(any_play(limits), count));
    (plays, any::<u64>(), bad, stops, scale, mode).prop_map(
        |(mut plays, seed, bad_percent, stops, scale, mode)| {
            for (number, play) in (0..).map(PlayNo).zip(&mut plays) {
                play.tasks.iter_mut().for_each(|task| task.id.play = number);
            }
            let draft = Draft {
                mode,
                seed,
                scale: TimeScale::new(scale).expect("a scale"),
                playbook_sha256: "p".to_owned(),
                inventory_sha256: "i".to_owned(),
                plays,
            };
            Case { draft, seed, bad_percent, stops }
        },
    )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let rate = (1..40_u32, prop_oneof![Just(1_u64), Just(60)])
        .prop_map(|(units, per)| Rate { units, per: Duration::from_secs(per) });
    let spec = (rate, 1..6_u32, prop::option::of(1..5_u32));
    (spec.clone(), spec, 1..4_u32, 1..4_u32).prop_map(|(iis, wan, cmdb, site)| {
        let limit =
            |(rate, burst, in_flight), by| LimitSpec { rate: Some(rate), burst, in_flight, by };
        let cap = |cap, by| LimitSpec { rate: None, burst: 1, in_flight: Some(cap), by };
        let by_site = || Some("site".to_owned());
        Limits(
            [
                ("ns_iis", limit(iis, None)),
                ("wan", limit(wan, by_site())),
                ("cmdb", cap(cmdb, None)),
                ("site", cap(site, by_site())),
            ]
            .into_iter()
            .map(|(name, spec)| (LimitName::new(name), spec))
            .collect(),
        )
    })
}

fn any_play(limits: Limits) -> impl Strategy<Value = DraftPlay> {
    let batch = prop_oneof![
        (1..6_u32).prop_map(Batch::Hosts),
        (1..=20_u32).prop_map(|share| Batch::Percent(f64::from(share * 5))),
    ];
    let order = prop_oneof![
        Just(Order::Inventory),
        Just(Order::Sorted),
        Just(Order::Shuffle),
        Just(Order::Interleave("site".to_owned())),
    ];
    let budget =
        prop_oneof![Just(None), (0..=4_u32).prop_map(|share| Some(f64::from(share) * 25.0)),];
    (
        prop::collection::vec(0..5_u8, 0..14),
        prop::collection::vec(any::<bool>(), 0..4),
        prop::collection::vec(batch, 0..4),
        order,
        budget,
        1..12_u32,
        any::<bool>(),
        prop::option::of(60..300_u64),
    )
        .prop_map(move |(sites, tasks, serial, order, budget, throttle, has_work, oracle)| {
            let task = |(number, replay_is_safe): (u16, bool)| DraftTask {
                id: TaskId { play: PlayNo(0), task: number },
                name: format!("Task {number}"),
                action: "agent".to_owned(),
                within: Duration::from_secs(600),
                replay_is_safe,
            };
            let host = |(number, site): (usize, u8)| DraftHost {
                name: HostName::new(format!("ps-{number:02}")),
                // Site 0 is no site at all.
                values: if site > 0 {
                    BTreeMap::from([("site".to_owned(), format!("S{site}"))])
                } else {
                    Default::default()
                },
            };
            DraftPlay {
                name: "A play".to_owned(),
                tasks: (0..).zip(tasks).map(task).collect(),
                hosts: sites.into_iter().enumerate().map(host).collect(),
                work: has_work.then_some(WorkQuery::NotReadyPackages),
                order,
                serial,
                throttle,
                max_fail_percentage: budget,
                limits: limits.clone(),
                oracle: oracle.map(Duration::from_secs),
            }
        })
}
