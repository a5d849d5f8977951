use super::*;

/// A server that works at a fixed pace, with others' load that comes evenly, and units of ours that
/// arrive a minute and a quarter after they were drawn.
struct Server {
    rule: Deferred,
    each: f64,
    others: f64,
    backlog: f64,
    second: u64,
    drawn: Vec<f64>,
    rest: f64,
}

impl Server {
    /// For which 4 units a second are declared, and one is drawn at first in ten seconds.
    fn new(each: f64, others: f64) -> Self {
        let rule = Deferred::new(4.0, 0.025, 1.0);
        Self { rule, each, others, backlog: 0.0, second: 0, drawn: Vec::new(), rest: 0.0 }
    }

    /// Draws all that may be drawn for so many seconds.
    fn draws(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let wanted = self.rest + self.rule.share() * 4.0;
            let units = wanted.floor();
            self.rest = wanted - units;
            self.drawn.push(units);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            let later = units as u32;
            self.rule.drew(Draw { now: 0, later }, &[], self.second);
            self.second += 1;
            let arrived: f64 = self.drawn.iter().rev().skip(29).take(91).sum::<f64>() / 91.0;
            let work = arrived * self.each + self.others;
            self.backlog = (self.backlog + work - 1.0).max(0.0);
            let now = whole(self.second);
            // The server that has room works evenly: a look finds it at work as often as it is.
            let is_found_at_work = (now * 0.618).fract() < work;
            let seen = if is_found_at_work { self.backlog.max(0.01) } else { self.backlog };
            self.rule.looked(seen, now, now);
        }
    }

    /// The part of its time that it worked for us and others, by what is drawn now.
    fn works(&self) -> f64 {
        self.rule.rate * self.each + self.others
    }
}

#[test]
fn the_rate_grows_until_nine_tenths_of_the_servers_time_are_taken_and_stays() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(1500);
    assert!((0.75..0.95).contains(&server.works()), "{}", server.works());
    server.draws(600);
    assert!((0.75..0.95).contains(&server.works()), "{}", server.works());
    assert!(server.backlog < 5.0, "{}", server.backlog);
}

#[test]
fn what_others_take_is_left_to_them() {
    let mut server = Server::new(0.5, 0.5);
    server.draws(1800);
    assert!((0.8..0.98).contains(&server.works()), "{}", server.works());
}

#[test]
fn a_server_that_bears_half_is_drawn_next_to_nothing_from_until_its_backlog_will_be_gone() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(1800);
    let before = server.rule.rate;
    server.each = 1.0;
    server.draws(40);
    assert!(server.rule.rate < before / 4.0, "{} of {before}", server.rule.rate);

    server.draws(600);
    assert!((0.7..0.95).contains(&server.works()), "{}", server.works());
    server.each = 0.5;
    server.draws(200);
    assert!(server.works() > 0.7, "{}", server.works());
}

#[test]
fn nothing_is_concluded_before_the_first_load_has_arrived() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(29);
    assert!((server.rule.share() - 0.025).abs() < 1e-9);
}

#[test]
fn a_server_that_says_that_it_is_busy_is_left_alone_for_ten_seconds() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(1500);
    let (before, now) = (server.rule.rate, whole(server.second));
    server.rule.busy(now, now);
    assert!(server.rule.rate <= LEAST * server.rule.floor + 1e-9);
    server.draws(60);
    assert!(server.rule.rate > before / 4.0, "{} of {before}", server.rule.rate);
}

#[test]
fn a_look_that_is_not_answered_lowers_the_rate_before_it_is_and_never_raises_it() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(1500);
    let (begun, before) = (whole(server.second + 1), server.rule.rate);
    let rates: Vec<f64> = (1..=14)
        .map(|seconds| {
            server.rule.waits(whole(seconds), begun, begun + whole(seconds));
            server.rule.rate
        })
        .collect();

    assert!(rates.is_sorted_by(|a, b| a >= b), "{rates:?}");
    assert!(rates[13] < before / 4.0, "{rates:?} of {before}");
}

#[test]
fn load_that_falls_due_at_a_known_time_is_left_room_for_until_then() {
    let mut server = Server::new(0.5, 0.0);
    server.draws(1500);
    let before = server.rule.rate;
    // A minute of the server's work, in half a minute.
    server.rule.drew(Draw::default(), &[(120, 30)], server.second);
    server.draws(1);
    assert!(server.rule.rate < before / 2.0, "{} of {before}", server.rule.rate);
}

#[test]
fn the_rate_is_never_above_what_is_declared_however_little_a_unit_is() {
    let mut server = Server::new(0.001, 0.0);
    for _ in 0..20 {
        server.draws(100);
        assert!(server.rule.share() <= 1.0);
    }
    assert!(server.rule.share() > 0.5, "{}", server.rule.share());
}

#[test]
fn what_nobody_looked_at_is_not_taken_for_a_server_at_rest() {
    let mut server = Server::new(0.5, 0.4);
    server.draws(1800);
    let others = server.rule.bearing.others();
    // An hour until the next change window.
    server.second += 3600;
    server.drawn.extend([0.0; 3600]);
    server.draws(1);

    assert!((server.rule.bearing.others() - others).abs() < 0.05);
}
