use super::*;
use crate::event::{LimitGauge, NotReady, PlayHeader, RunStarted};
use crate::model::{Elapsed, Guid, HostName, LimitName, PlayNo, RunId, WaveNo};

fn state(rest: Vec<EventKind>) -> RunState {
    let header = RunStarted {
        playbook: "p.yml".to_owned(),
        plays: vec![PlayHeader { name: "A play".to_owned(), tasks: Vec::new() }],
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(7)))
    };
    let waves = vec![(1..=9).map(|n| HostName::new(format!("ps-0{n}.corp.example"))).collect()];
    let begin = [
        EventKind::RunStarted(Box::new(header)),
        EventKind::PlayStarted { play: PlayNo(0), waves },
    ];
    let mut state = RunState::default();
    for (seq, kind) in (0..).zip(begin.into_iter().chain(rest)) {
        let (at, elapsed) = (jiff::Timestamp::UNIX_EPOCH, Elapsed::ZERO);
        state.apply(&Event { seq, at, elapsed, kind }).expect("a legal event");
    }
    state
}

fn lines(gauge: &Gauge, state: &RunState) -> Vec<String> {
    let now = Now { elapsed: Elapsed::from_millis(60_000), wall: jiff::Timestamp::UNIX_EPOCH };
    let lines = frame(now, gauge, state, 79, Paint::PLAIN).0;
    assert!(lines.len() <= Screen::HEIGHT && lines.iter().all(|line| line.chars().count() <= 79));
    lines
}

#[test]
fn a_gate_that_holds_hosts_up_is_named_with_what_it_saw() {
    let seen = "queue 4,120, 2,000 allowed".to_owned();
    let state = state(vec![EventKind::GateChecked {
        play: PlayNo(0),
        wave: WaveNo(0),
        gate: "ns_healthy".to_owned(),
        verdict: GateVerdict::Fail,
        seen: seen.clone(),
        in_a_row: 1,
    }]);
    let gauge = Gauge {
        waiting: vec![(WaitReason::Gate("ns_healthy".to_owned(), seen), 9)],
        window: 1,
        ..Gauge::default()
    };

    let lines = lines(&gauge, &state);

    let gate = "gate       ns_healthy fail: queue 4,120, 2,000 allowed";
    assert!(lines.iter().any(|line| line == gate), "{lines:#?}");
    let waits = "waiting: 9 on gate ns_healthy (queue 4,120, 2,000 a";
    assert!(lines.iter().any(|line| line.contains(waits)), "{lines:#?}");
}

#[test]
fn while_the_cmdb_is_asked_it_is_shown_who_is_not_well_yet_and_how_long_it_waits() {
    let pair = |host: u8, package: u128| NotReady {
        host: HostName::new(format!("ps-0{host}.corp.example")),
        package: Guid::from_u128(package),
        package_name: None,
        status: None,
        reported_version: None,
        current_version: None,
        is_refused: false,
    };
    let not_ready = vec![pair(1, 1), pair(1, 2), pair(7, 1)];
    let report = OracleReport { ready: 6, of: 9, not_ready };
    let state = state(vec![EventKind::OracleChecked { play: PlayNo(0), report, last: false }]);
    let oracle_until = Some(Elapsed::from_millis(60_000 + 12 * 60_000));

    let lines = lines(&Gauge { oracle_until, ..Gauge::default() }, &state);

    let oracle = "oracle     6 of 9 pairs Ready with the current version   waits 12m00s at most";
    assert!(lines.iter().any(|line| line == oracle), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "not yet    ps-01 (2), ps-07 (1)"), "{lines:#?}");
}

#[test]
fn a_limit_that_is_held_below_what_is_declared_says_how_far_and_why() {
    let state = state(Vec::new());
    let ns_iis = LimitGauge {
        name: LimitName::new(LimitName::NS_IIS),
        by: None,
        booked: 41,
        available: Some(2.0),
        in_flight: 3,
        cap: Some(10),
        share: Some(0.42),
        why: Some(AdaptReason::Slow),
    };

    let held = "ns_iis     41 booked   3/10 in flight   held at 42 % (answers slowly)   2 free";
    let own = Gauge { limits: vec![ns_iis.clone()], ..Gauge::default() };
    assert!(lines(&own, &state).iter().any(|line| line == held), "{:#?}", lines(&own, &state));

    let whole = LimitGauge { share: Some(1.0), why: Some(AdaptReason::Well), ..ns_iis };
    let own = Gauge { limits: vec![whole], ..Gauge::default() };
    assert!(!lines(&own, &state).iter().any(|line| line.contains("held")));
}

#[test]
fn as_long_as_any_question_is_open_the_terminal_is_the_operators() {
    let mut screen = Screen::new(Paint::PLAIN, Box::new(|| 80));
    let now = Now { elapsed: Elapsed::ZERO, wall: jiff::Timestamp::UNIX_EPOCH };
    let state = state(Vec::new());
    for asking in [2, 1] {
        screen.tick(now, &Gauge { asking, ..Gauge::default() }, &state);
        assert!(screen.bars.is_empty(), "{asking} open");
    }

    screen.tick(now, &Gauge::default(), &state);

    assert!(!screen.bars.is_empty());
}
