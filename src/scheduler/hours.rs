//! The windows of a play as time goes on: at which sites a host may be taken, and how long hosts
//! take.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::event::{WindowEnd, WindowTime};
use crate::model::{AtClose, Hours, Opening, WindowZone};
use crate::plan::DraftPlay;

/// Hosts that go by the same clocks.
#[derive(Debug, Clone, PartialEq)]
struct Site {
    /// What their variable says; none where all hosts go by the same clocks.
    name: Option<String>,
    /// The opening that is, or the next one, as it was seen at `looked`.
    opening: Option<Opening>,
    looked: Option<Timestamp>,
    /// Whether it was seen to be open.
    is_seen_open: bool,
    /// The opening in which hosts were taken and that is over.
    over: Option<Opening>,
}

/// Whether a host may be taken at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may.
    Open,
    /// Not yet.
    Later(Timestamp),
    /// Not in this session.
    Over(WindowEnd),
}

/// The windows of a play under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlayHours {
    hours: Hours,
    sites: Vec<Site>,
    /// How long hosts took, shortest first, in milliseconds of real time.
    took: Vec<u64>,
    /// How long a host takes as long as none has ended, in real time.
    estimate: Duration,
}

/// The sites of a play whose clocks differ: what the variable of its hosts says, each once.
pub(super) fn sites(play: &DraftPlay) -> Vec<Option<String>> {
    if !play.safeguards.hours.differ_by_site() {
        return vec![None];
    }
    let names = play.hosts.iter().map(|host| host.values.get(WindowZone::VARIABLE).cloned());
    let mut names: Vec<Option<String>> = names.collect();
    names.sort();
    names.dedup();
    names
}

impl PlayHours {
    /// The windows of a play; `None` for one that is always open.
    pub(super) fn new(play: &DraftPlay, estimate: Duration) -> Option<Self> {
        let hours = play.safeguards.hours.clone();
        let site =
            |name| Site { name, opening: None, looked: None, is_seen_open: false, over: None };
        (!hours.are_unbounded()).then(|| Self {
            sites: sites(play).into_iter().map(site).collect(),
            hours,
            took: Vec::new(),
            estimate,
        })
    }

    /// Looks at the clock. Returns the closes of openings that were not seen open before.
    pub(super) fn look(&mut self, wall: Timestamp) -> Vec<WindowTime> {
        let mut news = Vec::new();
        for site in &mut self.sites {
            let is_known = site.looked.is_some_and(|looked| looked <= wall)
                && site.opening.is_none_or(|opening| wall < opening.close);
            if !is_known {
                if let Some(before) = site.opening.filter(|before| wall >= before.close)
                    && site.is_seen_open
                {
                    site.over = Some(before);
                }
                site.opening = self.hours.opening(site.name.as_deref(), wall);
                site.looked = Some(wall);
                site.is_seen_open = false;
            }
            let Some(opening) = site.opening.filter(|opening| opening.holds(wall)) else {
                continue;
            };
            if !site.is_seen_open {
                site.is_seen_open = true;
                site.over = None;
                let zone = self.hours.zone(site.name.as_deref());
                news.push(WindowTime { at: opening.close, says: zone.say(opening.close) });
            }
        }
        news
    }

    /// The day of the present session: that on which the windows opened that are open, else that on
    /// which it is now. Of several, the first.
    pub(super) fn session(&self, wall: Timestamp) -> Option<Date> {
        let is_open = |site: &&Site| site.opening.is_some_and(|opening| opening.holds(wall));
        let open = self.sites.iter().filter(is_open);
        let days = open.filter_map(|site| site.opening).map(|opening| opening.day).min();
        let today =
            || self.sites.iter().map(|site| self.hours.zone(site.name.as_deref()).date(wall));
        days.or_else(|| today().min())
    }

    /// Whether a host may be taken at a site, by what was seen at the latest look.
    pub(super) fn standing(&self, site: usize, wall: Timestamp, session: Option<Date>) -> Standing {
        let opening = self.sites.get(site).and_then(|site| site.opening);
        let Some(opening) = opening else { return Standing::Over(WindowEnd::Closed) };
        let needs = self.needs();
        let ends = opening.open.max(wall).checked_add(needs);
        let fits = ends.is_ok_and(|ends| ends <= opening.close);
        let is_too_late = opening.cutoff <= wall;
        if opening.open > wall && session.is_none_or(|session| opening.day > session) {
            Standing::Over(WindowEnd::Closed)
        } else if !fits && !is_too_late {
            Standing::Over(WindowEnd::TooLate { needs })
        } else if opening.open > wall {
            Standing::Later(opening.open)
        } else if is_too_late {
            Standing::Over(WindowEnd::Closed)
        } else {
            Standing::Open
        }
    }

    /// How each site stands.
    pub(super) fn standings(&self, wall: Timestamp, session: Option<Date>) -> Vec<Standing> {
        (0..self.sites.len()).map(|site| self.standing(site, wall, session)).collect()
    }

    /// How long before the close a host is taken at the latest.
    pub(super) fn needs(&self) -> Duration {
        self.p95().unwrap_or(self.estimate) + self.hours.margin()
    }

    /// How long 95 of 100 hosts took at most; of fewer than 20, the longest.
    fn p95(&self) -> Option<Duration> {
        let rank = (self.took.len() * 95).div_ceil(100);
        self.took.get(rank.checked_sub(1)?).copied().map(Duration::from_millis)
    }

    /// Takes in how long a host took.
    pub(super) fn took(&mut self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = self.took.partition_point(|other| *other <= millis);
        self.took.insert(at, millis);
    }

    /// The opening of a site that is over, where it has not opened again.
    pub(super) fn over(&self, site: usize) -> Option<Opening> {
        self.sites.get(site)?.over
    }

    /// When it is to be looked at again: sites open, close, and have no grace left.
    pub(super) fn next_look(&self, wall: Timestamp) -> Option<Timestamp> {
        let of = |site: &Site| {
            let grace = site.over.and_then(|over| end_of_grace(&over));
            let times = site.opening.map(|opening| [opening.open, opening.cutoff, opening.close]);
            times.into_iter().flatten().chain(grace).filter(|at| *at > wall).min()
        };
        self.sites.iter().filter_map(of).min()
    }

    /// When the first of some sites opens next after all that was seen of the present openings.
    pub(super) fn opens_next(&self, sites: &[usize], wall: Timestamp) -> Option<WindowTime> {
        let next = |site: &usize| {
            let name = self.sites.get(*site)?.name.as_deref();
            let opening = self.hours.opening(name, wall)?;
            // What is open and too short for another host is not the next one.
            let opening = match opening.holds(wall) {
                true => self.hours.opening(name, opening.close)?,
                false => opening,
            };
            Some((opening.open, self.hours.zone(name)))
        };
        let (at, zone) = sites.iter().filter_map(next).min_by_key(|(at, _)| *at)?;
        Some(WindowTime { at, says: zone.say(at) })
    }

    /// An opening's time in the words of the site that opens then.
    pub(super) fn says(&self, at: Timestamp) -> WindowTime {
        let opens = |site: &&Site| site.opening.is_some_and(|opening| opening.open == at);
        let name = self.sites.iter().find(opens).and_then(|site| site.name.as_deref());
        WindowTime { at, says: self.hours.zone(name).say(at) }
    }
}

/// When a change under way is cancelled after an opening; `None` where it never is.
pub(super) fn end_of_grace(over: &Opening) -> Option<Timestamp> {
    let is_meant = over.at_close == AtClose::Terminate;
    is_meant.then(|| over.close.checked_add(over.grace).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Safeguards;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn hours(window: &str) -> PlayHours {
        let window = window.parse().expect(window);
        let hours = Hours { windows: vec![window], ..Hours::default() };
        let safeguards = Safeguards { hours, ..Safeguards::default() };
        let play = DraftPlay { safeguards, ..DraftPlay::bare("A play") };
        PlayHours::new(&play, Duration::from_secs(1800)).expect("it has a window")
    }

    fn standing(hours: &mut PlayHours, wall: &str, session: &str) -> Standing {
        hours.look(at(wall));
        hours.standing(0, at(wall), session.parse().ok())
    }

    #[test]
    fn a_host_is_taken_only_when_it_will_end_before_the_close() {
        let mut hours = hours("22:00-23:00 UTC margin=5min cutoff=10min");
        let day = "2026-12-01";

        assert_eq!(
            standing(&mut hours, "2026-12-01T21:00:00Z", day),
            Standing::Later(at("2026-12-01T22:00:00Z"))
        );
        // By the estimate of half an hour.
        assert_eq!(standing(&mut hours, "2026-12-01T22:25:00Z", day), Standing::Open);
        let needs = Duration::from_secs(2100);
        let late = Standing::Over(WindowEnd::TooLate { needs });
        assert_eq!(standing(&mut hours, "2026-12-01T22:25:01Z", day), late);
        // Hosts take less than that.
        (0..100).for_each(|host| hours.took(Duration::from_secs(60 + host)));
        assert_eq!(hours.needs(), Duration::from_secs(60 + 94 + 300));
        assert_eq!(standing(&mut hours, "2026-12-01T22:49:59Z", day), Standing::Open);
        let closed = Standing::Over(WindowEnd::Closed);
        assert_eq!(standing(&mut hours, "2026-12-01T22:50:00Z", day), closed);
        // Tomorrow is another session.
        assert_eq!(standing(&mut hours, "2026-12-01T23:00:00Z", day), closed);
        assert_eq!(standing(&mut hours, "2026-12-02T22:00:00Z", day), Standing::Open);
    }

    #[test]
    fn of_few_hosts_the_slowest_says_how_long_one_takes() {
        let mut hours = hours("22:00-23:00 UTC");
        for seconds in [30, 500, 20] {
            hours.took(Duration::from_secs(seconds));
        }

        assert_eq!(hours.needs(), Duration::from_secs(560));
    }
}
