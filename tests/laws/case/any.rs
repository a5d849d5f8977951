//! Random playbooks over random fleets.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetmend::event::{RunMode, StopStage};
use fleetmend::model::{
    Adapt, Batch, Block, Gate, GateAsk, GateQuery, HandlerSet, HostName, Hours, LimitName,
    LimitScope, LimitSpec, Limits, MaxFail, Oracle, Order, PlayNo, Rate, Safeguards, TaskId,
    TimeScale, Tolerance, Unmet, Window, WindowZone, WorkQuery, Zone,
};
use fleetmend::plan::{Draft, DraftFlow, DraftHost, DraftPlay, DraftTask};
use proptest::prelude::*;

use super::Case;

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
    let windows = prop::collection::vec(prop::option::weighted(0.3, any_window()), 3);
    (plays, any::<u64>(), bad, stops, scale, mode, windows, any_evening()).prop_map(
        |(mut plays, seed, bad_percent, stops, scale, mode, windows, wall)| {
            for (number, play) in (0..).map(PlayNo).zip(&mut plays) {
                play.tasks.iter_mut().for_each(|task| task.id.play = number);
            }
            if mode == RunMode::Run {
                for (play, window) in plays.iter_mut().zip(windows) {
                    play.safeguards.hours = hours(window.into_iter().collect(), &mut play.hosts);
                }
            }
            let draft = Draft {
                mode,
                seed,
                scale: TimeScale::new(scale).expect("a scale"),
                ..Draft::bare(plays)
            };
            Case { draft, seed, bad_percent, stops, wall }
        },
    )
}

/// Zones whose evenings begin one after the other.
const ZONES: [&str; 3] = ["UTC", "Europe/Oslo", "Asia/Kolkata"];

/// A window of some minutes, each evening.
pub(crate) fn any_window() -> impl Strategy<Value = Window> {
    let tz = prop::sample::select(&["UTC", "UTC", "site"][..]);
    let at_close = prop::sample::select(&["finish", "stop_after_block", "terminate"][..]);
    (1..16_u64, 0..50_u64, 0..30_u64, 1..600_u64, tz, at_close, 0..20_u64).prop_map(
        |(minutes, cutoff, margin, expect, tz, at_close, grace)| {
            let window = format!("22:00-22:{minutes:02} {tz} margin=1s at_close={at_close}");
            let window: Window = window.parse().expect("a window");
            Window {
                cutoff: Duration::from_secs(cutoff),
                margin: Duration::from_secs(margin),
                expect: Some(Duration::from_secs(expect)),
                grace: Duration::from_secs(grace),
                ..window
            }
        },
    )
}

/// From some minutes before the evening begins in Oslo to some minutes after it began in London.
fn any_evening() -> impl Strategy<Value = jiff::Timestamp> {
    let start: jiff::Timestamp = "2026-12-01T20:55:00Z".parse().expect("an instant");
    let seconds = prop_oneof![0..900_u64, 3_600..4_500_u64];
    seconds.prop_map(move |seconds| start + Duration::from_secs(seconds))
}

/// The windows of a play; its hosts say whose clocks they go by, where that counts.
pub(crate) fn hours(windows: Vec<Window>, hosts: &mut [DraftHost]) -> Hours {
    let mut hours = Hours { windows, ..Hours::default() };
    if hours.differ_by_site() {
        for (host, zone) in hosts.iter_mut().zip(ZONES.into_iter().cycle()) {
            host.values.insert(WindowZone::VARIABLE.to_owned(), zone.to_owned());
            hours.zones.insert(zone.to_owned(), Zone::find(zone).expect("a zone"));
        }
    }
    hours
}

/// A case with few hosts, for laws that look at each of its events.
pub(crate) fn small_case() -> impl Strategy<Value = Case> {
    any_case().prop_map(|mut case| {
        case.draft.plays.truncate(2);
        for play in &mut case.draft.plays {
            play.hosts.truncate(3);
        }
        case
    })
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let rate = (1..40_u32, prop_oneof![Just(1_u64), Just(60)])
        .prop_map(|(units, per)| Rate { units, per: Duration::from_secs(per) });
    let spec = (rate, 1..6_u32, prop::option::of(1..5_u32));
    let adapt = prop_oneof![7 => Just(None), 1 => Just(Some(Adapt::default()))];
    (spec.clone(), spec, 1..4_u32, 1..4_u32, adapt).prop_map(|(mut iis, wan, cmdb, site, adapt)| {
        if adapt.is_some() {
            // The server of these worlds is never well for long: a slow rate that is held at its floor
            // would take days, and a look each second of them.
            iis.0.per = Duration::from_secs(1);
        }
        let limit = |(rate, burst, in_flight), by| LimitSpec {
            rate: Some(rate),
            burst,
            in_flight,
            by,
            adapt: None,
            scope: LimitScope::Controller,
        };
        let cap = |cap, by| LimitSpec {
            rate: None,
            burst: 1,
            in_flight: Some(cap),
            by,
            adapt: None,
            scope: LimitScope::Controller,
        };
        let by_site = || Some("site".to_owned());
        Limits(
            [
                ("ns_iis", LimitSpec { adapt, ..limit(iis, None) }),
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
        prop::collection::vec(any::<bool>(), 0..7),
        prop::collection::vec(batch, 0..4),
        order,
        budget,
        1..12_u32,
        any::<bool>(),
        prop::option::of(60..300_u64),
        (any_flow(), any_handlers()),
        any_safeguards(),
        any_gates(),
    )
        .prop_map(
            move |(
                sites,
                tasks,
                serial,
                order,
                budget,
                throttle,
                has_work,
                oracle,
                (flow, handlers),
                safeguards,
                gates,
            )| {
                let count = u16::try_from(tasks.len()).expect("few tasks");
                let flow_of = |number: u16| match number.checked_sub(count) {
                    None => DraftFlow {
                        notify: handlers.1[usize::from(number)],
                        ..flow.0[usize::from(number)]
                    },
                    Some(handler) => handlers.0[usize::from(handler)],
                };
                let task = |(number, replay_is_safe): (u16, bool)| DraftTask {
                    within: Duration::from_secs(600),
                    replay_is_safe,
                    flow: flow_of(number),
                    ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, "agent")
                };
                let safe = handlers.0.iter().map(|handler| !handler.is_loop);
                let tasks: Vec<bool> = tasks.into_iter().chain(safe).collect();
                let blocks: Vec<Block> =
                    flow.1.iter().filter(|block| block.end <= count).copied().collect();
                let host = |(number, site): (usize, u8)| DraftHost {
                    // Site 0 is no site at all.
                    values: if site > 0 {
                        BTreeMap::from([("site".to_owned(), format!("S{site}"))])
                    } else {
                        Default::default()
                    },
                    delegates: flow
                        .2
                        .iter()
                        .filter(|_| number > 0)
                        .map(|task| (*task, HostName::new("ps-00")))
                        .collect(),
                    ..DraftHost::bare(HostName::new(format!("ps-{number:02}")))
                };
                let first_values = sites.first().map(|site| host((0, *site)).values);
                let first_values = first_values.unwrap_or_default();
                DraftPlay {
                    tasks: (0..).zip(tasks).map(task).collect(),
                    blocks,
                    delegate_values: BTreeMap::from([(HostName::new("ps-00"), first_values)]),
                    hosts: sites.into_iter().enumerate().map(host).collect(),
                    work: has_work.then_some(WorkQuery::NotReadyPackages),
                    order,
                    serial,
                    throttle,
                    max_fail_percentage: budget,
                    safeguards: Safeguards { gates, ..safeguards },
                    limits: limits.clone(),
                    oracle: oracle.map(|seconds| Oracle {
                        within: Duration::from_secs(seconds),
                        unmet: if seconds % 3 == 0 { Unmet::GoOn } else { Unmet::Fail },
                    }),
                    ..DraftPlay::bare("A play")
                }
            },
        )
}

/// Budgets of a play over all its waves, and a soak between them.
fn any_safeguards() -> impl Strategy<Value = Safeguards> {
    let tolerance = || {
        let some = prop_oneof![
            (0..5_u32).prop_map(Tolerance::Hosts),
            (0..=10_u32).prop_map(|share| Tolerance::Percent(f64::from(share * 10))),
        ];
        prop::option::weighted(0.3, some)
    };
    let count = || prop::option::weighted(0.3, 0..4_u32);
    let max_fail = (tolerance(), tolerance(), count(), count(), tolerance(), any::<bool>())
        .prop_map(|(fleet, unreachable, auth, consecutive, drifted, strict)| MaxFail {
            fleet,
            unreachable,
            auth,
            consecutive,
            drifted,
            strict,
        });
    let soak = prop::option::weighted(0.3, (1..600_u64).prop_map(Duration::from_secs));
    let declared = prop_oneof![1 => Just(MaxFail::default()), 2 => max_fail];
    (declared, soak).prop_map(|(max_fail, soak)| Safeguards {
        max_fail,
        soak,
        ..Safeguards::default()
    })
}

/// None in most plays: a gate that fails ends what other laws are about.
fn any_gates() -> impl Strategy<Value = Vec<Gate>> {
    let gate = (0..3_u32, 0..3_u32, any::<bool>(), 1..60_u64, 10..300_u64);
    let gates = prop::collection::vec(gate, 1..3).prop_map(|gates| {
        let ask = || {
            GateAsk::Query(GateQuery {
                query: "event_queue".to_owned(),
                parameters: serde_json::Map::new(),
                pass: "row.Entries < 2000".to_owned(),
                fail: None,
            })
        };
        let gate = |(number, (fail_limit, error_limit, watch, every, within))| Gate {
            name: format!("gate-{number}"),
            ask: ask(),
            every: Duration::from_secs(every),
            fail_limit,
            error_limit,
            watch,
            within: Duration::from_secs(within),
        };
        gates.into_iter().enumerate().map(gate).collect()
    });
    prop_oneof![2 => Just(Vec::new()), 1 => gates]
}

/// The flow of up to seven tasks, blocks among them, and tasks that are delegated.
fn any_flow() -> impl Strategy<Value = (Vec<DraftFlow>, Vec<Block>, Vec<u16>)> {
    let flow = prop_oneof![
        8 => Just(DraftFlow::default()),
        1 => Just(DraftFlow { is_taken: false, ..DraftFlow::default() }),
        1 => Just(DraftFlow { ignores_errors: true, ..DraftFlow::default() }),
        1 => Just(DraftFlow { is_loop: true, ..DraftFlow::default() }),
        1 => Just(DraftFlow { is_idle: true, ..DraftFlow::default() }),
    ];
    let once = prop_oneof![
        6 => Just(None),
        1 => Just(Some(DraftFlow { is_once: true, ..DraftFlow::default() })),
        1 => Just(Some(DraftFlow { is_once: true, is_idle: true, ..DraftFlow::default() })),
    ];
    // The parts of an outer block, and whether a block stands in each of them.
    let block = (0..3_u16, 1..3_u16, 0..3_u16, 0..3_u16, any::<[bool; 3]>());
    let blocks = prop::option::weighted(0.6, block).prop_map(|block| {
        let Some((start, body, rescue, always, inner)) = block else { return Vec::new() };
        let rescue_at = start + body;
        let always_at = rescue_at + rescue;
        let end = always_at + always;
        let mut blocks = vec![Block { start, rescue: rescue_at, always: always_at, end }];
        for ((from, to), wanted) in
            [(start, rescue_at), (rescue_at, always_at), (always_at, end)].into_iter().zip(inner)
        {
            if wanted && to - from == 2 {
                // One task, rescued by the other; or followed by it in any case.
                let is_rescued = from % 2 == 0;
                let always = if is_rescued { to } else { from + 1 };
                blocks.push(Block { start: from, rescue: from + 1, always, end: to });
            }
        }
        blocks
    });
    let delegated = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::btree_set(0..7_u16, 1..3).prop_map(|set| set.into_iter().collect()),
    ];
    (prop::collection::vec(flow, 7), once, 0..7_usize, blocks, delegated).prop_map(
        |(mut flows, once, at, blocks, delegated)| {
            if let Some(once) = once {
                flows[at] = once;
            }
            (flows, blocks, delegated)
        },
    )
}

/// Up to three handlers, and which of them each of seven tasks notifies.
fn any_handlers() -> impl Strategy<Value = (Vec<DraftFlow>, Vec<HandlerSet>)> {
    let handler = DraftFlow { is_handler: true, ..DraftFlow::default() };
    let handler = prop_oneof![
        4 => Just(handler),
        1 => Just(DraftFlow { ignores_errors: true, ..handler }),
        1 => Just(DraftFlow { is_loop: true, ..handler }),
        1 => Just(DraftFlow { is_taken: false, ..handler }),
    ];
    let handlers = prop_oneof![
        2 => Just(Vec::new()).boxed(),
        1 => prop::collection::vec(handler, 1..4).boxed(),
    ];
    (handlers, prop::collection::vec(0..8_usize, 7)).prop_map(|(handlers, notify)| {
        let set = |bits: usize| (0..3).filter(|n| bits & (1 << n) != 0).collect::<HandlerSet>();
        let notify =
            notify.into_iter().map(|bits| if handlers.is_empty() { set(0) } else { set(bits) });
        let notify = notify.collect();
        (handlers, notify)
    })
}
