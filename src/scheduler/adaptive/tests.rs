use super::*;

const AT_REST: u64 = 200;

struct Server {
    rule: Adaptive,
    now: u64,
}

impl Server {
    /// A server whose baseline is known.
    fn new(ceiling: u32) -> Self {
        let rule = Adaptive::new(Adapt::default(), ceiling, TimeScale::REAL);
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
            self.rule.look(health, at);
        }
    }

    fn answers(&mut self, millis: u64, times: u32) {
        let latency = Some(Duration::from_millis(millis));
        self.looks(&NsHealth { latency, ..NsHealth::default() }, times);
    }

    fn draws(&mut self, now: u32, later: u32) {
        let at = self.at();
        self.rule.drew(Draw { now, later }, at);
    }
}

fn busy() -> NsHealth {
    let latency = Some(Duration::from_millis(AT_REST));
    NsHealth { latency, status: Some(503), is_busy: true, ..NsHealth::default() }
}

#[test]
fn nothing_is_drawn_before_the_baseline_is_known_and_then_the_floor_is() {
    let mut rule = Adaptive::new(Adapt::default(), 24, TimeScale::REAL);
    let latency = Some(Duration::from_millis(AT_REST));
    let mut shares = Vec::new();
    for second in 1..=5 {
        shares.push(rule.share());
        let health = NsHealth { latency, ..NsHealth::default() };
        rule.look(&health, Elapsed::from_millis(second * 1000));
    }

    assert_eq!(shares, [0.0; 5]);
    assert!((rule.share() - 1.0 / 24.0).abs() < 1e-9);
}

#[test]
fn a_server_at_rest_is_given_all_that_is_declared_within_a_minute_and_never_more() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    assert!((server.rule.share() - 1.0).abs() < 1e-9);

    server.answers(AT_REST, 200);
    assert!(server.rule.share() <= 1.0);
}

#[test]
fn one_slow_answer_among_quick_ones_slows_nothing_and_a_queue_that_stands_does() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.answers(9000, 1);
    server.answers(AT_REST, 1);
    assert!((server.rule.share() - 1.0).abs() < 1e-9, "{}", server.rule.share());

    server.answers(9000, 20);
    assert!(server.rule.share() < 0.4, "{}", server.rule.share());
    assert_eq!(server.rule.finding(), AdaptReason::Slow);
}

#[test]
fn a_busy_answer_halves_the_level_once_and_holds_it_for_ten_windows() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.rule.busy(server.at());
    server.rule.busy(server.at());
    assert!((server.rule.share() - 0.5).abs() < 1e-9);

    server.answers(AT_REST, 9);
    assert!((server.rule.share() - 0.5).abs() < 1e-9, "it is held");
    server.answers(AT_REST, 9);
    assert!(server.rule.share() > 0.5);
}

#[test]
fn the_level_never_falls_below_the_floor_however_busy_the_server_is() {
    let mut server = Server::new(24);
    server.looks(&busy(), 500);

    assert!((server.rule.share() - 1.0 / 24.0).abs() < 1e-9);
}

#[test]
fn three_looks_without_an_answer_lead_to_the_floor_and_six_to_a_pause_until_one_answers() {
    let mut server = Server::new(24);
    server.draws(1, 0);
    server.answers(AT_REST, 60);
    server.looks(&NsHealth::unreadable(), 2);
    assert!(server.rule.share() > 1.0 / 24.0);
    server.looks(&NsHealth::unreadable(), 1);
    assert!((server.rule.share() - 1.0 / 24.0).abs() < 1e-9);
    server.looks(&NsHealth::unreadable(), 3);
    assert!(server.rule.is_paused() && server.rule.share() <= 0.0);

    server.answers(AT_REST, 1);
    assert!(!server.rule.is_paused() && server.rule.share() > 0.0);
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
    assert!(server.rule.share() < 0.4, "{}", server.rule.share());
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
    assert!((server.rule.share() - 1.0).abs() < 1e-9, "a long queue that shrinks is well");

    (0..3).for_each(|n| server.looks(&queue(5000 + n * 10, 99 + n.cast_signed()), 1));
    assert_eq!(server.rule.finding(), AdaptReason::Queue);
    assert!((server.rule.share() - 0.5).abs() < 1e-9);
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
    assert!((server.rule.share() - 1.0).abs() < 1e-9);
    server.looks(&stalled, 3);
    assert_eq!(server.rule.finding(), AdaptReason::Queue);
}

#[test]
fn deferred_load_raises_the_level_only_as_far_as_what_has_arrived_was_borne() {
    let mut server = Server::new(24);
    for _ in 0..29 {
        server.draws(0, 2);
        server.answers(AT_REST, 1);
    }
    assert!((server.rule.share() - 1.0 / 24.0).abs() < 1e-9, "nothing has arrived yet");

    for _ in 0..30 {
        server.draws(0, 2);
        server.answers(AT_REST, 1);
    }
    let share = server.rule.share() * 24.0;
    assert!((1.4..=1.6).contains(&share), "{share}");
}

#[test]
fn deferred_load_is_braked_at_once_and_its_mark_falls_once_for_one_excess() {
    let mut server = Server::new(24);
    server.rule.mark = 20.0;
    for _ in 0..40 {
        server.draws(0, 2);
        server.answers(AT_REST, 1);
    }
    let before = server.rule.mark;
    for _ in 0..25 {
        server.answers(20_000, 1);
    }
    assert!(server.rule.brake < 0.3, "{}", server.rule.brake);
    // What arrives now was drawn under the old mark all the time.
    assert!(server.rule.mark >= before * 0.5, "{} of {before}", server.rule.mark);

    server.answers(AT_REST, 40);
    assert!(server.rule.brake > 0.9, "it goes on where it was borne");
}

#[test]
fn a_look_that_is_not_answered_brakes_before_it_is() {
    let mut server = Server::new(24);
    server.rule.mark = 20.0;
    for _ in 0..40 {
        server.draws(0, 2);
        server.answers(AT_REST, 1);
    }
    let (since, before) = (server.at(), server.rule.share());
    for _ in 0..12 {
        server.now += 1000;
        let now = server.at();
        server.rule.waits(since, now);
    }

    assert!(server.rule.share() < before * 0.7, "{} of {before}", server.rule.share());
}

#[test]
fn a_faster_world_is_judged_by_its_own_time() {
    let scale = TimeScale::new(20.0).expect("a scale");
    let mut rule = Adaptive::new(Adapt::default(), 24, scale);
    assert_eq!(rule.window(), Duration::from_millis(100));
    let health =
        |millis| NsHealth { latency: Some(Duration::from_millis(millis)), ..NsHealth::default() };
    (1..=5).for_each(|n| rule.look(&health(10), Elapsed::from_millis(n * 50)));
    rule.drew(Draw { now: 1, later: 0 }, Elapsed::from_millis(250));
    (6..=80).for_each(|n| rule.look(&health(60), Elapsed::from_millis(n * 50)));
    assert!((rule.share() - 1.0).abs() < 1e-9, "1.2 s of the world's time is not slow");

    (81..=110).for_each(|n| rule.look(&health(400), Elapsed::from_millis(n * 50)));
    assert!(rule.share() < 0.3, "8 s of the world's time is: {}", rule.share());
}
