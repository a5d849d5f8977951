//! Looks at the Notification Server while its limit is in use, and what follows from them.

use std::time::Duration;

use super::Command;
use super::adaptive::{Adaptive, STEPS};
use super::scheduler::{Scheduler, Stage};
use crate::event::{EventKind, LimitGauge};
use crate::model::{Adapt, Elapsed, LimitName, LimitSpec, Now, NsHealth, PlayNo, TimeScale};

/// People are not told more often than this, in the world's time, unless nothing is drawn any more.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What is declared for a limit that adapts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Follows {
    adapt: Adapt,
    /// The span in which the level moves: the cap, or fixed steps where there is none.
    ceiling: u32,
    /// Units a second of the world's time.
    rate: Option<f64>,
}

/// The limit `ns_iis` where it follows what the server bears.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adapting {
    limit: LimitName,
    of: Follows,
    rule: Adaptive,
    /// The look under way.
    since: Option<Elapsed>,
    /// When the next look is due, or the one under way is thought of again.
    due: Elapsed,
    /// What was told last: when, and the share.
    told: (Elapsed, f64),
    /// The highest share since then.
    highest: f64,
    is_told_low: bool,
}

impl Adapting {
    fn new(of: Follows, scale: TimeScale, now: Elapsed) -> Self {
        Self {
            limit: LimitName::new(LimitName::NS_IIS),
            of,
            rule: Adaptive::new(of.adapt, of.ceiling, of.rate, scale),
            since: None,
            due: now,
            told: (now, 0.0),
            highest: 0.0,
            is_told_low: false,
        }
    }

    /// What people are told of the present share, when it is far from what they know.
    fn news(&mut self, now: Elapsed, scale: TimeScale) -> Option<EventKind> {
        let share = self.rule.share().least();
        self.highest = self.highest.max(share);
        let is_rested = now.since(self.told.0) >= scale.to_real(TELL_EVERY);
        // Before the first share is known nothing is drawn, which is no news unless it lasts.
        let is_stuck = !self.is_told_low && (is_rested || self.rule.is_paused());
        let is_closed = share <= 0.0 && (self.highest > 0.0 || is_stuck);
        let is_opened = share > 0.0 && self.is_told_low && self.told.1 <= 0.0;
        let has_halved = is_rested && share < self.highest / 2.0;
        let is_back = is_rested && self.is_told_low && share >= 0.95;
        if !(is_closed || is_opened || has_halved || is_back) {
            return None;
        }
        self.told = (now, share);
        self.highest = share;
        self.is_told_low = !is_back;
        Some(EventKind::LimitAdapted {
            limit: self.limit.clone(),
            percent: percent(share),
            why: self.rule.finding(),
        })
    }
}

fn of(spec: &LimitSpec) -> Option<Follows> {
    let ceiling = spec.in_flight.unwrap_or(STEPS);
    let rate = spec.rate.map(|rate| rate.per_second(TimeScale::REAL));
    Some(Follows { adapt: spec.adapt?, ceiling, rate })
}

impl Scheduler {
    /// Begins to follow the server, or goes on as before where the play's limit is the same.
    pub(super) fn begin_adapting(&mut self, play: PlayNo, now: Elapsed) {
        let limits = &self.draft.plays[usize::from(play.0)].limits;
        let name = LimitName::new(LimitName::NS_IIS);
        let wanted = limits.0.get(&name).and_then(of).filter(|_| !self.draft.is_check());
        if self.adapting.as_ref().map(|adapting| adapting.of) != wanted {
            self.adapting = wanted.map(|of| Adapting::new(of, self.draft.scale, now));
        }
        let share = self.adapting.as_ref().map(|adapting| adapting.rule.share());
        self.limiter.adapt(&name, share, now);
    }

    /// The server was looked at.
    pub(super) fn on_health(&mut self, health: &NsHealth, now: Elapsed) {
        let Some(adapting) = &mut self.adapting else { return };
        let Some(since) = adapting.since.take() else { return };
        adapting.rule.look(health, since, now);
        // On a grid of windows: looks that began as soon as the one before was answered would find
        // a server that has just worked off what there was.
        let (window, took) = (adapting.rule.window(), now.since(since));
        let windows = took.as_micros().div_ceil(window.as_micros().max(1)).max(1);
        adapting.due = since.plus(window * u32::try_from(windows).unwrap_or(u32::MAX));
        self.follow(now);
    }

    /// A request of ours was told that the server is busy.
    pub(super) fn on_busy(&mut self, now: Elapsed) {
        let Some(adapting) = &mut self.adapting else { return };
        adapting.rule.busy(now);
        self.follow(now);
    }

    /// Asks for the next look when it is due.
    pub(super) fn adapt(&mut self, now: Now) {
        if self.next_health_look(now).is_none_or(|due| now.elapsed < due) {
            return;
        }
        let now = now.elapsed;
        let Stage::Running(play) = &self.stage else { return };
        let Some(adapting) = &mut self.adapting else { return };
        match adapting.since {
            Some(since) => adapting.rule.waits(since, now),
            None => {
                adapting.since = Some(now);
                self.out.push_back(Command::CheckHealth { play: play.number });
            }
        }
        adapting.due = now.plus(adapting.rule.window());
        self.follow(now);
    }

    /// Tells the rule what was drawn.
    pub(super) fn note_drawn(&mut self, now: Elapsed) {
        let Some(adapting) = &mut self.adapting else { return };
        let drawn = self.limiter.take_drawn(&adapting.limit);
        if !drawn.is_empty() {
            adapting.rule.drew(drawn.draw, &drawn.due, now);
        }
    }

    /// When the next look is due. Nobody looks while nothing is under way and a window is awaited,
    /// which may take hours.
    pub(super) fn next_health_look(&self, now: Now) -> Option<Elapsed> {
        let Stage::Running(play) = &self.stage else { return None };
        let rests = play.active.is_empty() && self.outside(now).is_some();
        let adapting = self.adapting.as_ref().filter(|_| !self.is_halted() && !rests);
        adapting.map(|adapting| adapting.due)
    }

    /// Whether the server has not answered for so long that nothing more is started.
    pub(super) fn is_server_lost(&self) -> bool {
        self.adapting.as_ref().is_some_and(|adapting| adapting.rule.is_paused())
    }

    /// How the limits stand, and why the one that adapts does.
    pub(super) fn limit_gauges(&self, now: Now) -> Vec<LimitGauge> {
        let mut gauges = self.limiter.gauges(now.elapsed);
        if let Some(adapting) = &self.adapting {
            let own = gauges.iter_mut().filter(|gauge| gauge.name == adapting.limit);
            own.for_each(|gauge| gauge.why = Some(adapting.rule.finding()));
        }
        gauges
    }

    /// Lets the limit be what the rule says.
    fn follow(&mut self, now: Elapsed) {
        let Some(adapting) = &mut self.adapting else { return };
        self.limiter.adapt(&adapting.limit, Some(adapting.rule.share()), now);
        if let Some(news) = adapting.news(now, self.draft.scale) {
            self.out.push_back(Command::Emit(news));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 100")]
fn percent(share: f64) -> u8 {
    let percent = (share.clamp(0.0, 1.0) * 100.0).round() as u8;
    if share > 0.0 { percent.max(1) } else { 0 }
}
