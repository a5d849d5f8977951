use super::*;

const AT_REST: u64 = 200;

struct Server {
    rule: Adaptive,
    now: u64,
}

impl Server {
    /// A server whose baseline is known.
    fn new(ceiling: u32) -> Self {
        let rule = Adaptive::new(Adapt::default(), ceiling, Some(2.0), TimeScale::REAL);
        let mut server = Self { rule, now: 0 };
        server.answers(AT_REST, PREFLIGHT);
        server
    }

    fn at(&self) -> Elapsed {
        Elapsed::from_millis(self.now)
    }

    fn looks(&mut self, health: &NsHealth, times: u32) {
        for _ in 0..times {
            self.now += 1000;
            let at = self.at();
            self.rule.look(health, at, at);
        }
    }

    fn answers(&mut self, millis: u64, times: u32) {
        let latency = Some(Duration::from_millis(millis));
        self.looks(&NsHealth { latency, ..NsHealth::default() }, times);
    }

    fn draws(&mut self, now: u32, later: u32) {
        let at = self.at();
        self.rule.drew(Draw { now, later }, &[], at);
    }
}

fn busy() -> NsHealth {
    let latency = Some(Duration::from_millis(AT_REST));
    NsHealth { latency, status: Some(503), is_busy: true, ..NsHealth::default() }
}

#[test]
fn nothing_is_drawn_before_the_baseline_is_known_and_then_the_floor_is() {
    let mut rule = Adaptive::new(Adapt::default(), 24, Some(2.0), TimeScale::REAL);
    let latency = Some(Duration::from_millis(AT_REST));
    let mut shares = Vec::new();
    for second in 1..=5 {
        shares.push(rule.share());
        let health = NsHealth { latency, ..NsHealth::default() };
        let at = Elapsed::from_millis(second * 1000);
        rule.look(&health, at, at);
    }

    assert_eq!(shares, [Share::NOTHING; 5]);
    assert!((rule.share().least() - 1.0 / 24.0).abs() < 1e-9);
}

#[test]
fn a_server_at_rest_is_given_all_that_is_declared_within_a_minute_and_never_more() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    assert!((server.rule.share().least() - 1.0).abs() < 1e-9);

    server.answers(AT_REST, 200);
    assert!(server.rule.share().least() <= 1.0);
}

#[test]
fn one_slow_answer_among_quick_ones_slows_nothing_and_a_queue_that_stands_does() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.answers(9000, 1);
    server.answers(AT_REST, 1);
    assert!((server.rule.share().least() - 1.0).abs() < 1e-9, "{}", server.rule.share().least());

    server.answers(9000, 20);
    assert!(server.rule.share().least() < 0.4, "{}", server.rule.share().least());
    assert_eq!(server.rule.finding(), AdaptReason::Slow);
}

#[test]
fn a_busy_answer_halves_the_level_once_and_holds_it_for_ten_windows() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.rule.busy(server.at());
    server.rule.busy(server.at());
    assert!((server.rule.share().least() - 0.5).abs() < 1e-9);

    server.answers(AT_REST, 9);
    assert!((server.rule.share().least() - 0.5).abs() < 1e-9, "it is held");
    server.answers(AT_REST, 9);
    assert!(server.rule.share().least() > 0.5);
}

#[test]
fn the_level_never_falls_below_the_floor_however_busy_the_server_is() {
    let mut server = Server::new(24);
    server.looks(&busy(), 500);

    assert!((server.rule.share().least() - 1.0 / 24.0).abs() < 1e-9);
}

#[test]
fn three_looks_without_an_answer_lead_to_the_floor_and_six_to_a_pause_until_one_answers() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.looks(&NsHealth::unreadable(), 2);
    assert!(server.rule.share().least() > 1.0 / 24.0);
    server.looks(&NsHealth::unreadable(), 1);
    assert!((server.rule.share().least() - 1.0 / 24.0).abs() < 1e-9);
    server.looks(&NsHealth::unreadable(), 3);
    assert!(server.rule.is_paused() && server.rule.share().least() <= 0.0);

    server.answers(AT_REST, 1);
    assert!(!server.rule.is_paused() && server.rule.share().least() > 0.0);
}

#[test]
fn the_baseline_comes_from_the_floor_so_that_our_own_queue_is_never_taken_for_rest() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    // Just tolerated, for a quarter of an hour: other rules learn this as the new normal.
    server.answers(3000, 900);
    let base = server.rule.base.expect("it is known");

    // Three measurements at the floor took a tenth of the difference each.
    assert!(base < 1.0, "{base}");
    server.answers(9000, 20);
    assert!(server.rule.share().least() < 0.4, "{}", server.rule.share().least());
}

#[test]
fn a_queue_that_grows_beyond_its_bound_counts_as_busy_and_one_that_shrinks_does_not() {
    let queue = |rows: u64, oldest: i64| NsHealth {
        latency: Some(Duration::from_millis(AT_REST)),
        queue: Some(rows),
        oldest: Some(oldest),
        ..NsHealth::default()
    };
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    (0..30).for_each(|n| server.looks(&queue(5000 - n * 10, 7 + n.cast_signed()), 1));
    assert!((server.rule.share().least() - 1.0).abs() < 1e-9, "a long queue that shrinks is well");

    (0..3).for_each(|n| server.looks(&queue(5000 + n * 10, 99 + n.cast_signed()), 1));
    assert_eq!(server.rule.finding(), AdaptReason::Queue);
    assert!((server.rule.share().least() - 0.5).abs() < 1e-9);
}

#[test]
fn a_queue_out_of_which_nothing_is_taken_for_two_minutes_counts_as_busy() {
    let stalled = NsHealth {
        latency: Some(Duration::from_millis(AT_REST)),
        queue: Some(3),
        oldest: Some(41),
        ..NsHealth::default()
    };
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.looks(&stalled, 119);
    assert!((server.rule.share().least() - 1.0).abs() < 1e-9);
    server.looks(&stalled, 3);
    assert_eq!(server.rule.finding(), AdaptReason::Queue);
}

#[test]
fn a_faster_world_is_judged_by_its_own_time() {
    let scale = TimeScale::new(20.0).expect("a scale");
    let mut rule = Adaptive::new(Adapt::default(), 24, Some(2.0), scale);
    assert_eq!(rule.window(), Duration::from_millis(100));
    let health =
        |millis| NsHealth { latency: Some(Duration::from_millis(millis)), ..NsHealth::default() };
    let look = |rule: &mut Adaptive, millis, n: u64| {
        let at = Elapsed::from_millis(n * 50);
        rule.look(&health(millis), at, at);
    };
    (1..=5).for_each(|n| look(&mut rule, 10, n));
    rule.drew(Draw { now: 1, later: 0 }, &[], Elapsed::from_millis(250));
    (6..=80).for_each(|n| look(&mut rule, 60, n));
    assert!((rule.share().least() - 1.0).abs() < 1e-9, "1.2 s of the world's time is not slow");

    (81..=110).for_each(|n| look(&mut rule, 400, n));
    assert!(rule.share().least() < 0.3, "8 s of the world's time is: {}", rule.share().least());
}

#[test]
fn where_load_is_deferred_the_rate_is_steered_and_as_many_changes_as_declared_may_be_under_way() {
    let mut server = Server::new(24);
    server.draws(1, 9);
    server.answers(AT_REST, 1);

    assert_eq!(server.rule.share(), Share::of_rate(1.0 / 24.0));
    // Two minutes after the last of it the level is what is seen again.
    server.answers(AT_REST, 121);
    let share = server.rule.share();
    assert_eq!(share, Share::of_both(share.least()));
}

#[test]
fn deferred_load_of_a_limit_without_a_rate_is_held_by_its_cap_as_any_load_is() {
    let mut rule = Adaptive::new(Adapt::default(), 4, None, TimeScale::REAL);
    let health = NsHealth { latency: Some(Duration::from_millis(AT_REST)), ..NsHealth::default() };
    for second in 0..PREFLIGHT {
        let at = Elapsed::from_millis(u64::from(second) * 1000);
        rule.look(&health, at, at);
    }
    rule.drew(Draw { now: 0, later: 9 }, &[], Elapsed::from_millis(5000));

    assert_eq!(rule.share(), Share::of_both(0.25));
}

#[test]
fn a_server_that_is_not_read_leaves_deferred_load_the_floor_and_then_nothing() {
    let mut server = Server::new(4);
    for _ in 0..200 {
        server.draws(0, 1);
        server.answers(AT_REST, 1);
    }
    assert!(server.rule.share().least() > 0.25, "{:?}", server.rule.share());
    server.looks(&NsHealth::unreadable(), 3);
    assert!(server.rule.share().least() <= 0.25);
    server.looks(&NsHealth::unreadable(), 3);
    assert_eq!(server.rule.share(), Share::NOTHING);
}
