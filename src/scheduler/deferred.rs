//! At what rate load may be drawn that arrives later.
//!
//! Load that is deferred cannot be steered by what is seen now: that is the work of draws from one
//! or two minutes ago, and what is on its way cannot be called back. But it is known. So what the
//! server bears is learned from the load that arrives now ([`Bearing`]), not from what is drawn
//! now; and what may be drawn is what the server will bear when it arrives, on top of what is on
//! its way already ([`Pipeline`]) and of the backlog that will be left then.

use std::collections::VecDeque;

use super::bearing::{Bearing, Between};
use super::pipeline::{Pipeline, whole};
use crate::model::Draw;

/// The part of what others leave of the server's time that our load may take: the rest is what
/// load that comes at random needs, so that it seldom waits.
const TAKEN: f64 = 0.895;
/// How many times the uncertainty of what the server works is left free.
const CAUTION: f64 = 0.24;
/// How many times the load that arrived within [`BORNE_WITHIN`] seconds may be drawn at most.
const GROWTH: f64 = 2.0;
const BORNE_WITHIN: f64 = 180.0;
/// Load that arrives is counted over so many seconds.
const COUNTED: f64 = 20.0;
/// How far ahead the backlog is foretold, in seconds, and in which steps.
const FORETOLD: f64 = 100.0;
const STEP: f64 = 5.0;
/// A foretold backlog beyond so many seconds is worked off, within so many seconds.
const BACKLOG: f64 = 1.0;
const WORKED_OFF: f64 = 70.0;
/// What was drawn too much or too little within so many seconds arrives together with what is drawn
/// now; this part of it is made up for, and at most so much more is drawn for that.
const TOGETHER: f64 = 45.0;
const MADE_UP: f64 = 0.7;
const MADE_UP_AT_MOST: f64 = 1.6;
/// From how many times the expected scatter on work is suspected that nobody knows of, and over how
/// many more drawing stops.
const SUSPECTED: f64 = 1.75;
const STOPPED_OVER: f64 = 0.7;
/// The part of the floor that is drawn at least.
const LEAST: f64 = 0.05;
/// Seconds without draws after the server said that it is busy.
const HOLD: f64 = 10.0;
/// How much a belief may be wrong after a while of which nobody knows what was refused.
const BLIND_EACH: f64 = 0.3;
const BLIND_OTHERS: f64 = 0.2;
/// Nobody looked in between when a look begins so many windows after the one before was over: a
/// change window was waited for.
const AWAY: f64 = 5.0;
/// The backlog of a server that says that it is busy, in seconds, where none was seen yet.
const BUSY_BACKLOG: f64 = 5.0;

/// What a look that found no end says: when it began, and the backlog that there was at least.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AtLeast {
    begun: f64,
    backlog: f64,
}

/// The rate at which deferred load is drawn, in units a second of the world's time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deferred {
    declared: f64,
    floor: f64,
    /// Seconds from one look to the next.
    window: f64,
    rate: f64,
    pipeline: Pipeline,
    bearing: Bearing,
    /// The latest look that was answered: when it began, and the backlog in seconds.
    last: Option<(f64, f64)>,
    /// What is known since then.
    at_least: Option<AtLeast>,
    /// Requests were refused since then: nobody knows how many.
    is_refusing: bool,
    highest: f64,
    /// When the latest look was over, as far as it is.
    seen_until: f64,
    /// Whether anything of ours arrived yet.
    has_arrived: bool,
    /// What arrived a second, at each look.
    borne: VecDeque<(f64, f64)>,
    drawn: VecDeque<(f64, f64)>,
    stopped_until: f64,
}

impl Deferred {
    /// For a limit for which `declared` units a second are declared, of which the part `floor` is
    /// drawn at first.
    pub(super) fn new(declared: f64, floor: f64, window: f64) -> Self {
        let floor = floor * declared;
        Self {
            declared,
            floor,
            window,
            rate: floor,
            pipeline: Pipeline::default(),
            bearing: Bearing::new(declared),
            last: None,
            at_least: None,
            is_refusing: false,
            highest: 0.0,
            seen_until: f64::INFINITY,
            has_arrived: false,
            borne: VecDeque::new(),
            drawn: VecDeque::new(),
            stopped_until: 0.0,
        }
    }

    /// The share of what is declared that may be drawn.
    pub(super) fn share(&self) -> f64 {
        (self.rate / self.declared).min(1.0)
    }

    /// Lets at most the floor be drawn until the next look.
    pub(super) fn fall_to_floor(&mut self) {
        self.rate = self.rate.min(self.floor);
    }

    /// Takes in what was drawn, and what of it falls due at a known time: units and seconds.
    pub(super) fn drew(&mut self, draw: Draw, due: &[(u32, u64)], second: u64) {
        self.pipeline.now(second, f64::from(draw.now));
        self.pipeline.later(second, f64::from(draw.later));
        for (units, after) in due {
            self.pipeline.due(second, *after, f64::from(*units));
        }
        let units = f64::from(draw.total());
        let at = whole(second);
        match self.drawn.back_mut() {
            Some((when, drawn)) if *when >= at => *drawn += units,
            _ => self.drawn.push_back((at, units)),
        }
    }

    /// A look that began at `begun` found so many seconds of backlog.
    pub(super) fn looked(&mut self, backlog: f64, begun: f64, now: f64) {
        self.highest = self.highest.max(backlog);
        let was_away = begun - self.seen_until > AWAY * self.window;
        let is_known = !self.is_refusing && !was_away;
        if let Some(seen) = self.between(backlog, begun).filter(|_| is_known) {
            self.has_arrived |= seen.units > 0.0;
            if self.has_arrived {
                self.bearing.learn(seen);
            }
        }
        if self.at_least.take().is_some() || was_away {
            self.bearing.was_blind(BLIND_EACH, BLIND_OTHERS);
        }
        self.is_refusing = false;
        self.last = Some((begun, backlog));
        self.seen_until = now;
        self.pipeline.forget(begun - COUNTED * 3.0);
        self.steer(now);
    }

    /// A look that began at `begun` is not answered so far, so that there is at least this backlog.
    pub(super) fn waits(&mut self, backlog: f64, begun: f64, now: f64) {
        self.seen_until = now;
        let is_news = self.last.is_none_or(|(_, before)| backlog > before);
        if backlog <= 0.0 || !(is_news || self.at_least.is_some()) {
            return;
        }
        let mut foreseen = self.clone();
        if let Some(seen) = foreseen.between(backlog, begun).filter(|_| foreseen.has_arrived) {
            foreseen.bearing.learn_at_least(seen);
        }
        foreseen.at_least = Some(AtLeast { begun, backlog });
        foreseen.steer(now);
        self.rate = self.rate.min(foreseen.rate);
    }

    /// A look that began at `begun` was given up: there was at least this backlog.
    pub(super) fn gave_up(&mut self, backlog: f64, begun: f64, now: f64) {
        self.at_least = Some(AtLeast { begun, backlog });
        self.waits(backlog, begun, now);
    }

    /// The server said at a look, or to a request of ours, that it is busy.
    pub(super) fn busy(&mut self, begun: f64, now: f64) {
        self.stopped_until = now + HOLD;
        self.seen_until = now;
        self.is_refusing = true;
        let backlog = self.highest.max(BUSY_BACKLOG);
        self.at_least = Some(AtLeast { begun, backlog });
        self.steer(now);
    }

    /// What lies between the last look that was answered and one that found this backlog.
    ///
    /// The server worked all the time in which there was a backlog. Where the looks do not tell
    /// (the time after the backlog seen was worked off), it counts as working when there is one
    /// again.
    fn between(&self, backlog: f64, begun: f64) -> Option<Between> {
        let (before, was) = self.last?;
        let seconds = begun - before;
        if seconds <= 0.0 {
            return None;
        }
        let busy = if self.at_least.is_some() {
            seconds
        } else if was > 0.0 {
            let known = ((was / self.window).ceil() * self.window).min(seconds);
            if backlog > 0.0 { seconds } else { known }
        } else {
            0.0
        };
        let units = self.pipeline.arriving(before, begun);
        Some(Between { seconds, units, work: backlog - was + busy })
    }

    /// What arrives of ours a second.
    fn arriving(&self, now: f64) -> f64 {
        let within = |from: f64| self.pipeline.arriving(now - from, now - from + COUNTED) / COUNTED;
        within(COUNTED).max(within(2.0 * COUNTED))
    }

    /// The backlog now, from what was seen last and what arrived since.
    fn backlog(&self, now: f64) -> f64 {
        let since = |begun: f64, backlog: f64| {
            let seconds = now - begun;
            let units = self.pipeline.arriving(begun, now);
            (backlog + self.bearing.work(units, seconds) - seconds).max(0.0)
        };
        let seen = self.last.filter(|(begun, backlog)| {
            // One look that found nothing is nothing to go by for its own duration.
            *backlog > 0.0 || now - begun >= 2.0 * self.window
        });
        let seen = seen.map_or(0.0, |(begun, backlog)| since(begun, backlog));
        let least = self.at_least.map_or(0.0, |least| since(least.begun, least.backlog));
        seen.max(least)
    }

    /// The backlog that there will be if `rate` is drawn from now on.
    fn foretell(&self, rate: f64, now: f64) -> f64 {
        let (mut backlog, mut ahead) = (self.backlog(now), 0.0);
        while ahead < FORETOLD {
            let known = self.pipeline.arriving(now + ahead, now + ahead + STEP);
            let drawn = rate * Pipeline::part_arriving(ahead + STEP / 2.0) * STEP;
            backlog = (backlog + self.bearing.work(known + drawn, STEP) - STEP).max(0.0);
            ahead += STEP;
        }
        backlog
    }

    fn steer(&mut self, now: f64) {
        let arriving = self.arriving(now);
        self.borne.push_back((now, arriving));
        while self.borne.front().is_some_and(|(at, _)| at + BORNE_WITHIN < now) {
            self.borne.pop_front();
        }
        if !self.has_arrived {
            return;
        }
        let borne = self.borne.iter().map(|(_, units)| *units).fold(0.0, f64::max);
        let most = (GROWTH * borne).max(self.floor).min(self.declared);
        let (each, others) = (self.bearing.each(), self.bearing.others());
        let free = TAKEN * (1.0 - others);
        let free = free - CAUTION * self.bearing.unsure(self.rate.max(arriving));
        let backlog = self.foretell((free / each).clamp(0.0, most), now);
        let mut rate = (free - (backlog - BACKLOG).max(0.0) / WORKED_OFF) / each;
        if rate > 0.0 {
            let missing = rate - self.drawn_lately(now);
            rate = (rate + MADE_UP * missing).clamp(0.0, MADE_UP_AT_MOST * rate);
        }
        rate *= 1.0 - ((self.bearing.suspicion() - SUSPECTED) / STOPPED_OVER).clamp(0.0, 1.0);
        if now < self.stopped_until {
            rate = 0.0;
        }
        self.rate = rate.min(most).max(LEAST * self.floor);
    }

    /// What was drawn a second, lately.
    fn drawn_lately(&mut self, now: f64) -> f64 {
        while self.drawn.front().is_some_and(|(at, _)| at + TOGETHER < now) {
            self.drawn.pop_front();
        }
        self.drawn.iter().map(|(_, units)| *units).sum::<f64>() / TOGETHER
    }
}

#[cfg(test)]
mod tests;
