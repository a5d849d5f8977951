//! What the server bears, learned from what it was asked for and how long its answers took.
//!
//! Between two looks a certain number of our units arrived, and the server got a certain amount of
//! work, counted in seconds that it is busy with it: the growth of its backlog, and the time in
//! which it worked. So `work = each * units + others * seconds`, with what one of our units is, and
//! the part of its time that others take. Both are kept as a belief with its uncertainty (a Kalman
//! filter with two states). When what is seen departs from what was believed by more than chance
//! explains, the belief from before that is doubted, and what was seen since is learned anew.

use std::collections::VecDeque;

/// How many times the expected scatter what was seen departs before the belief is doubted: upwards,
/// where a mistake means refusals, and downwards.
const DOUBTED_UP: f64 = 2.6;
const DOUBTED_DOWN: f64 = 4.0;
/// How much a doubted belief may be wrong: what a unit is, as a part of it, and what others take.
const DOUBT_EACH: f64 = 0.3;
const DOUBT_OTHERS: f64 = 0.15;
/// How far the belief drifts by itself within a second.
const DRIFT_EACH: f64 = 0.006;
const DRIFT_OTHERS: f64 = 0.003;
/// Seconds that are looked back for a departure.
const LOOKED_BACK: f64 = 60.0;
/// The shortest time that is judged, and how much longer the next one is.
const SHORTEST: f64 = 4.0;
const LONGER: f64 = 1.15;
/// The belief at first: what a unit is, in terms of the least that it can be, how sure that is, and
/// the same of others.
const EACH_AT_FIRST: f64 = 2.9;
const OTHERS_AT_FIRST: f64 = 0.05;
const UNSURE_OF_OTHERS: f64 = 0.13;
/// The most that others are believed to take.
const OTHERS_AT_MOST: f64 = 0.98;
/// The scatter of the work is taken from stretches of so many seconds, of which each moves it by
/// this part.
const STRETCH: f64 = 10.0;
const SCATTER_FOLLOWS: f64 = 0.015;
/// One stretch counts at most as so many times what is usual.
const OUTLIER: f64 = 8.0;
/// The least scatter, in seconds: a look is taken once a second, and sees no more of the time in
/// between.
const LEAST_SCATTER: f64 = 0.3;
/// What the looks themselves add to the scatter of a stretch, in seconds squared.
const OF_LOOKS: f64 = 0.3;

/// What lies between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Between {
    /// Seconds of the world's time.
    pub(super) seconds: f64,
    /// Units of ours that arrived.
    pub(super) units: f64,
    /// Seconds of work that the server got.
    pub(super) work: f64,
}

/// What a unit is and what others take, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Belief {
    each: f64,
    others: f64,
    /// Variances and covariance.
    of_each: f64,
    of_both: f64,
    of_others: f64,
}

impl Belief {
    fn work(&self, units: f64, seconds: f64) -> f64 {
        self.each * units + self.others * seconds
    }

    fn variance(&self, units: f64, seconds: f64) -> f64 {
        self.of_each * units * units
            + 2.0 * self.of_both * units * seconds
            + self.of_others * seconds * seconds
    }

    fn doubt(&mut self, each: f64, others: f64) {
        self.of_each = self.of_each.max((each * self.each).powi(2));
        self.of_others = self.of_others.max(others * others);
        self.of_both = 0.0;
    }

    fn learn(&mut self, seen: Between, scatter: f64, least: f64) {
        let Between { seconds, units, work } = seen;
        self.of_each += (DRIFT_EACH * self.each).powi(2) * seconds;
        self.of_others += DRIFT_OTHERS.powi(2) * seconds;
        let noise = scatter * self.work(units, seconds).max(0.05 * seconds);
        let by_each = self.of_each * units + self.of_both * seconds;
        let by_others = self.of_both * units + self.of_others * seconds;
        let variance = noise + units * by_each + seconds * by_others;
        let surprise = work - self.work(units, seconds);
        let (gain_each, gain_others) = (by_each / variance, by_others / variance);
        self.each += gain_each * surprise;
        self.others += gain_others * surprise;
        self.of_each -= gain_each * by_each;
        self.of_both -= gain_each * by_others;
        self.of_others -= gain_others * by_others;
        // What others take is a part of the server's time; a unit takes what is left to explain.
        let others = self.others.clamp(0.0, OTHERS_AT_MOST);
        self.each += self.of_both / self.of_others.max(1e-9) * (others - self.others);
        self.others = others;
        self.each = self.each.max(least);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    seen: Between,
    before: Belief,
}

/// What is known of the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bearing {
    /// The least that a unit can be: whoever declared the limit thought that the server bears it.
    least: f64,
    belief: Belief,
    /// How much the work scatters: its variance, by what it is, in seconds.
    scatter: f64,
    /// The stretch under way: seconds, expected work, and how far it was missed.
    stretch: (f64, f64, f64),
    /// What was seen lately, with the belief from before each.
    lately: VecDeque<Sample>,
    suspicion: f64,
}

impl Bearing {
    /// Of a server for which so many units a second are declared.
    pub(super) fn new(declared: f64) -> Self {
        let least = 1.0 / declared.max(1e-6);
        let each = EACH_AT_FIRST * least;
        let belief = Belief {
            each,
            others: OTHERS_AT_FIRST,
            of_each: each * each,
            of_both: 0.0,
            of_others: UNSURE_OF_OTHERS.powi(2),
        };
        let scatter = each.max(LEAST_SCATTER);
        let (stretch, lately) = ((0.0, 0.0, 0.0), VecDeque::new());
        Self { least, belief, scatter, stretch, lately, suspicion: 0.0 }
    }

    /// Seconds of the server's time that one unit is.
    pub(super) fn each(&self) -> f64 {
        self.belief.each
    }

    /// The part of the server's time that others take.
    pub(super) fn others(&self) -> f64 {
        self.belief.others
    }

    /// The work that so many units and others are within so many seconds, in seconds.
    pub(super) fn work(&self, units: f64, seconds: f64) -> f64 {
        self.belief.work(units, seconds)
    }

    /// How unsure it is what part of its time the server works at so many units a second.
    pub(super) fn unsure(&self, rate: f64) -> f64 {
        self.belief.variance(rate, 1.0).max(0.0).sqrt()
    }

    /// How far what was seen lately is above what is believed, in terms of the expected scatter.
    pub(super) fn suspicion(&self) -> f64 {
        self.suspicion
    }

    /// Learns what was seen between two looks.
    pub(super) fn learn(&mut self, seen: Between) {
        let expected = self.work(seen.units, seen.seconds);
        self.push(seen);
        let (seconds, work, missed) = &mut self.stretch;
        *seconds += seen.seconds;
        *work += expected;
        *missed += seen.work - expected;
        if *seconds >= STRETCH {
            let scatter = *missed * *missed / work.max(0.3);
            self.scatter += SCATTER_FOLLOWS * (scatter.min(OUTLIER * self.scatter) - self.scatter);
            self.scatter = self.scatter.max(LEAST_SCATTER);
            self.stretch = (0.0, 0.0, 0.0);
        }
        let mut kept: f64 = self.lately.iter().map(|sample| sample.seen.seconds).sum();
        while kept > LOOKED_BACK
            && let Some(oldest) = self.lately.pop_front()
        {
            kept -= oldest.seen.seconds;
        }
        self.doubt();
    }

    /// Learns what is at least the case while a look is not answered.
    pub(super) fn learn_at_least(&mut self, seen: Between) {
        if seen.work > self.work(seen.units, seen.seconds) {
            self.push(seen);
            self.doubt();
        }
    }

    /// Nobody could see for a while what the server was given.
    pub(super) fn was_blind(&mut self, each: f64, others: f64) {
        self.belief.doubt(each, others);
    }

    fn push(&mut self, seen: Between) {
        self.lately.push_back(Sample { seen, before: self.belief });
        self.belief.learn(seen, self.scatter, self.least);
    }

    /// Goes back to the belief from which what was seen since departs most, if it departs by more
    /// than chance, and learns anew from there with an open mind.
    fn doubt(&mut self) {
        let Some(place) = self.departure() else { return };
        let mut belief = self.lately[place].before;
        belief.doubt(DOUBT_EACH, DOUBT_OTHERS);
        self.lately.drain(..place);
        for sample in &mut self.lately {
            sample.before = belief;
            belief.learn(sample.seen, self.scatter, self.least);
        }
        self.belief = belief;
    }

    fn departure(&mut self) -> Option<usize> {
        let mut seen = Between { seconds: 0.0, units: 0.0, work: 0.0 };
        let (mut most, mut place, mut next) = (1.0, None, SHORTEST);
        self.suspicion = 0.0;
        for (number, sample) in self.lately.iter().enumerate().rev() {
            seen.seconds += sample.seen.seconds;
            seen.units += sample.seen.units;
            seen.work += sample.seen.work;
            if seen.seconds < next {
                continue;
            }
            next = seen.seconds * LONGER;
            let expected = sample.before.work(seen.units, seen.seconds);
            let scatter = self.scatter * expected.max(0.3 * seen.work).max(0.05 * seen.seconds);
            let variance = scatter + sample.before.variance(seen.units, seen.seconds) + OF_LOOKS;
            let departs = (seen.work - expected) / variance.max(1e-9).sqrt();
            self.suspicion = self.suspicion.max(departs);
            let by = if departs > 0.0 { departs / DOUBTED_UP } else { -departs / DOUBTED_DOWN };
            if by > most {
                (most, place) = (by, Some(number));
            }
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server on which a unit is 0.5 s of work, and others take a part of its time.
    fn seen(units: f64, each: f64, others: f64) -> Between {
        Between { seconds: 1.0, units, work: units * each + others }
    }

    fn learns(bearing: &mut Bearing, each: f64, others: f64, seconds: u32) {
        for second in 0..seconds {
            // Now more and now less of ours, so that the two can be told apart.
            let units = if second / 40 % 2 == 0 { 1.5 } else { 0.5 };
            bearing.learn(seen(units, each, others));
        }
    }

    #[test]
    fn our_work_and_that_of_others_are_told_apart_by_what_we_draw() {
        let mut bearing = Bearing::new(4.0);
        learns(&mut bearing, 0.5, 0.2, 1200);

        assert!((bearing.each() - 0.5).abs() < 0.05, "{}", bearing.each());
        assert!((bearing.others() - 0.2).abs() < 0.06, "{}", bearing.others());
    }

    #[test]
    fn a_server_that_bears_half_is_known_within_a_minute() {
        let mut bearing = Bearing::new(4.0);
        learns(&mut bearing, 0.5, 0.1, 600);
        learns(&mut bearing, 1.0, 0.2, 60);

        let work = bearing.work(1.0, 1.0);
        assert!((work - 1.2).abs() < 0.15, "{work}");
    }

    #[test]
    fn chance_alone_changes_little() {
        let mut bearing = Bearing::new(4.0);
        learns(&mut bearing, 0.5, 0.1, 600);
        let before = bearing.work(1.0, 1.0);
        bearing.learn(Between { seconds: 1.0, units: 1.0, work: 2.5 });

        assert!((bearing.work(1.0, 1.0) - before).abs() < 0.1 * before);
    }

    #[test]
    fn a_unit_is_never_less_than_what_is_declared_says() {
        let mut bearing = Bearing::new(4.0);
        learns(&mut bearing, 0.0, 0.0, 600);

        assert!((bearing.each() - 0.25).abs() < 1e-9, "{}", bearing.each());
    }
}
