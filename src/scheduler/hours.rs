//! The windows of a play as time goes on: at which sites a host may be taken, and how long hosts
//! take.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::event::{WindowEnd, WindowTime};
use crate::model::{AtClose, Elapsed, Hours, Now, Opening, Outcome, WindowZone};
use crate::plan::DraftPlay;

/// So many hosts say more about how long one takes than what was expected.
const ENOUGH: usize = 20;

/// Hosts that go by the same clocks.
#[derive(Debug, Clone, PartialEq)]
struct Site {
    /// What their variable says; none where all hosts go by the same clocks.
    name: Option<String>,
    /// What the wall clock says.
    clock: View,
    /// What it would say, had it not jumped; looked at while it is off.
    undisturbed: View,
    /// Whether the opening of the wall clock was seen to be open.
    is_seen_open: bool,
    /// The latest opening that was seen to be open while the clock was right: that in which the
    /// hosts in flight were taken.
    taken_in: Option<Opening>,
    /// That opening, where it is over.
    over: Option<Over>,
}

/// The opening that is at an instant, or the next one, looked up when the instant leaves it.
#[derive(Debug, Clone, Default, PartialEq)]
struct View {
    opening: Option<Opening>,
    looked: Option<Timestamp>,
}

/// An opening in which hosts were taken and that is over for those in flight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Over {
    opening: Opening,
    /// When that was seen.
    since: Elapsed,
}

impl Over {
    /// What becomes of hosts under way.
    pub(super) fn at_close(&self) -> AtClose {
        self.opening.at_close
    }

    /// When a change under way is cancelled; `None` where it never is. The grace is time that
    /// passes: a clock that jumps takes nothing of it.
    pub(super) fn end_of_grace(&self) -> Option<Elapsed> {
        let is_meant = self.opening.at_close == AtClose::Terminate;
        is_meant.then(|| self.since.plus(self.opening.grace))
    }
}

impl View {
    /// Looks the opening up where it is not known. Returns whether it did.
    fn look(&mut self, wall: Timestamp, find: impl FnOnce() -> Option<Opening>) -> bool {
        let is_known = self.looked.is_some_and(|looked| looked <= wall)
            && self.opening.is_none_or(|opening| wall < opening.close);
        if !is_known {
            *self = Self { opening: find(), looked: Some(wall) };
        }
        !is_known
    }

    /// The opening, where it is open.
    fn open(&self, wall: Timestamp) -> Option<Opening> {
        self.opening.filter(|opening| opening.holds(wall))
    }
}

/// Whether a host may be taken at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How long a host is expected to take, in real time.
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

/// Whether the time of a host that ended so says something about others: that of one for which all
/// was done. One that was left as it was, or was skipped, took no longer than it takes to look, and
/// one that failed did not come to its end.
pub(super) fn is_telling(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Changed | Outcome::Rescued => true,
        Outcome::Unchanged
        | Outcome::Skipped
        | Outcome::Unreachable
        | Outcome::Failed
        | Outcome::Unknown => false,
    }
}

impl PlayHours {
    /// The windows of a play; `None` for one that is always open.
    pub(super) fn new(play: &DraftPlay, estimate: Duration) -> Option<Self> {
        let hours = play.safeguards.hours.clone();
        let site = |name| Site {
            name,
            clock: View::default(),
            undisturbed: View::default(),
            is_seen_open: false,
            taken_in: None,
            over: None,
        };
        (!hours.are_unbounded()).then(|| Self {
            sites: sites(play).into_iter().map(site).collect(),
            hours,
            took: Vec::new(),
            estimate,
        })
    }

    /// Looks at the clock, which would show `undisturbed`, had it not jumped; none while it is
    /// right. Returns the closes of openings that were not seen open before.
    ///
    /// An opening is over for hosts in flight when the clock has passed its close. While the clock
    /// is off nobody knows which of the two is right: it is over when either says that it is closed.
    pub(super) fn look(&mut self, now: Now, undisturbed: Option<Timestamp>) -> Vec<WindowTime> {
        let mut news = Vec::new();
        for site in &mut self.sites {
            let name = site.name.as_deref();
            let find = |wall| self.hours.opening(name, wall);
            if site.clock.look(now.wall, || find(now.wall)) {
                site.is_seen_open = false;
            }
            let opening = site.clock.open(now.wall);
            if let Some(opening) = opening.filter(|_| !site.is_seen_open) {
                site.is_seen_open = true;
                let says = self.hours.zone(name).say(opening.close);
                news.push(WindowTime { at: opening.close, says });
            }
            let is_open = opening.is_some()
                && undisturbed.is_none_or(|wall| {
                    site.undisturbed.look(wall, || find(wall));
                    site.undisturbed.open(wall).is_some()
                });
            if is_open {
                site.over = None;
                if undisturbed.is_none() {
                    site.taken_in = opening;
                }
            } else if let Some(opening) = site.taken_in.filter(|_| site.over.is_none())
                && (undisturbed.is_some() || opening.close <= now.wall)
            {
                site.over = Some(Over { opening, since: now.elapsed });
            }
        }
        news
    }

    /// The day of the present session: that on which the windows opened that are open, else that on
    /// which it is now. Of several, the first.
    pub(super) fn session(&self, wall: Timestamp) -> Option<Date> {
        let is_open = |site: &&Site| site.clock.open(wall).is_some();
        let open = self.sites.iter().filter(is_open);
        let days = open.filter_map(|site| site.clock.opening).map(|opening| opening.day).min();
        let today =
            || self.sites.iter().map(|site| self.hours.zone(site.name.as_deref()).date(wall));
        days.or_else(|| today().min())
    }

    /// Whether a host may be taken at a site, by what was seen at the latest look.
    pub(super) fn standing(&self, site: usize, wall: Timestamp, session: Option<Date>) -> Standing {
        let opening = self.sites.get(site).and_then(|site| site.clock.opening);
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
        // Of a few, the longest; and a few quick ones prove nothing against the estimate.
        let rank = (self.took.len() * 95).div_ceil(100);
        let slow = rank.checked_sub(1).and_then(|at| self.took.get(at)).copied();
        let slow = slow.map(Duration::from_millis).unwrap_or_default();
        let of_one = if self.took.len() < ENOUGH { slow.max(self.estimate) } else { slow };
        of_one + self.hours.margin()
    }

    /// Takes in how long a host took whose end says something about others.
    pub(super) fn took(&mut self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = self.took.partition_point(|other| *other <= millis);
        self.took.insert(at, millis);
    }

    /// The opening of a site that is over, where it has not opened again.
    pub(super) fn over(&self, site: usize) -> Option<Over> {
        self.sites.get(site)?.over
    }

    /// When it is to be looked at again: sites open and close.
    pub(super) fn next_look(&self, wall: Timestamp) -> Option<Timestamp> {
        let of = |site: &Site| {
            let opening = site.clock.opening?;
            let times = [opening.open, opening.cutoff, opening.close];
            times.into_iter().filter(|at| *at > wall).min()
        };
        self.sites.iter().filter_map(of).min()
    }

    /// When changes under way have no grace left.
    pub(super) fn next_end_of_grace(&self, now: Elapsed) -> Option<Elapsed> {
        let of = |site: &Site| site.over?.end_of_grace();
        self.sites.iter().filter_map(of).filter(|at| *at > now).min()
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
        let opens = |site: &&Site| site.clock.opening.is_some_and(|opening| opening.open == at);
        let name = self.sites.iter().find(opens).and_then(|site| site.name.as_deref());
        WindowTime { at, says: self.hours.zone(name).say(at) }
    }
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
        hours.look(Now { elapsed: Elapsed::ZERO, wall: at(wall) }, None);
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
    fn of_few_hosts_the_slowest_says_how_long_one_takes_and_less_than_expected_counts_for_nothing()
    {
        let mut hours = hours("22:00-23:00 UTC");
        hours.took(Duration::from_secs(3));
        assert_eq!(hours.needs(), Duration::from_secs(1860), "a canary with nothing to do");
        for seconds in [2500, 20] {
            hours.took(Duration::from_secs(seconds));
        }
        assert_eq!(hours.needs(), Duration::from_secs(2560));

        (0..17).for_each(|_| hours.took(Duration::from_secs(30)));
        assert_eq!(hours.needs(), Duration::from_secs(90), "19 of 20 took half a minute at most");
    }
}
