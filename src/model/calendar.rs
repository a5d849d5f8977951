//! When windows are open: pure, from a window, a zone and an instant.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::{AtClose, ClockTime, Fold, OnTheWall, Weekday, Window, WindowZone, Zone};

/// How many days ahead an opening is looked for: nobody declares dates further away.
const HORIZON: i32 = 5 * 366;
/// The most days between the day on which a window opens and the one on which it closes.
const LONGEST: i32 = 8;
/// The most openings that are taken for one because each begins before the one before it ends.
const JOINED: u32 = 60;

/// One time that a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The date of the zone on which it opens: a night belongs to the day before it.
    pub day: Date,
    /// From here on hosts are taken.
    pub open: Timestamp,
    /// From here on no host is taken.
    pub cutoff: Timestamp,
    /// From here on it is closed.
    pub close: Timestamp,
    /// What becomes of hosts under way then.
    pub at_close: AtClose,
    /// How long a change may go on after it under `at_close: terminate`.
    pub grace: Duration,
}

impl Opening {
    /// Whether an instant lies in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.open <= at && at < self.close
    }
}

impl Window {
    /// The opening in which an instant lies, else the next one after it; `None` when there is none
    /// within five years. Openings that touch or overlap are one.
    pub fn opening(&self, zone: &Zone, at: Timestamp) -> Option<Opening> {
        let mut day = zone.date(at);
        for _ in 0..LONGEST {
            day = day.yesterday().ok()?;
        }
        let (mut found, mut joined): (Option<Opening>, u32) = (None, 0);
        for _ in 0..HORIZON {
            if let Some(next) = self.opening_of(zone, day) {
                match &mut found {
                    Some(before) if next.open <= before.close => {
                        joined += 1;
                        if next.close > before.close {
                            before.close = next.close;
                            before.cutoff = next.cutoff;
                        }
                        if joined > JOINED {
                            break;
                        }
                    }
                    Some(before) if before.close > at => break,
                    Some(_) | None => (found, joined) = (Some(next), 0),
                }
            } else if let Some(before) = &found
                && before.close > at
                && day > zone.date(before.close)
            {
                break;
            }
            let Ok(tomorrow) = day.tomorrow() else { break };
            day = tomorrow;
        }
        found.filter(|opening| opening.close > at)
    }

    /// The opening of a day, if it is one of the window's and its clocks let it open at all.
    fn opening_of(&self, zone: &Zone, day: Date) -> Option<Opening> {
        let (from, to) = self.on_the_wall(day)?;
        // INVARIANT: where a fold is not decided, the window is the narrower one.
        let open = match zone.when(from)? {
            OnTheWall::Once(at) | OnTheWall::Never(at) => at,
            OnTheWall::Twice(first, _) if self.fold == Some(Fold::First) => first,
            OnTheWall::Twice(_, second) => second,
        };
        let close = match zone.when(to)? {
            OnTheWall::Once(at) | OnTheWall::Never(at) => at,
            OnTheWall::Twice(_, second) if self.fold == Some(Fold::Second) => second,
            OnTheWall::Twice(first, _) => first,
        };
        let cutoff = close.checked_sub(self.cutoff).ok()?.max(open);
        let (at_close, grace) = (self.at_close, self.grace);
        (open < close).then_some(Opening { day, open, cutoff, close, at_close, grace })
    }

    /// What the clocks show when the window opens and closes, on a day that is one of its own.
    fn on_the_wall(&self, day: Date) -> Option<(DateTime, DateTime)> {
        if !self.days.hold(day) {
            return None;
        }
        let from = self.open.on(day)?;
        let mut last = day;
        for _ in 0..=LONGEST {
            let to = ClockTime::on(self.close, last)?;
            let is_day = self.close_on.is_none_or(|wanted| Weekday::of(last) == wanted);
            if is_day && to > from {
                return Some((from, to));
            }
            last = last.tomorrow().ok()?;
        }
        None
    }

    /// The times in the next `days` days at which the zone's clocks do not show once when the
    /// window opens or closes.
    pub fn oddities(&self, zone: &Zone, from: Timestamp, days: i32) -> Vec<Oddity> {
        let mut found = Vec::new();
        let mut day = zone.date(from);
        for _ in 0..days {
            let times = self
                .on_the_wall(day)
                .into_iter()
                .flat_map(|(from, to)| [(from, true), (to, false)]);
            for (wall, is_open) in times {
                let kind = match zone.when(wall) {
                    Some(OnTheWall::Twice(..)) => Odd::Twice,
                    Some(OnTheWall::Never(_)) => Odd::Never,
                    Some(OnTheWall::Once(_)) | None => continue,
                };
                found.push(Oddity {
                    day,
                    wall,
                    is_open,
                    kind,
                    opening: self.opening_of(zone, day),
                });
            }
            let Ok(tomorrow) = day.tomorrow() else { break };
            day = tomorrow;
        }
        found
    }
}

/// A time at which a window opens or closes and that clocks do not show once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// The day on which the window opens.
    pub day: Date,
    /// What the clocks would show.
    pub wall: DateTime,
    /// Whether it is when the window opens; else when it closes.
    pub is_open: bool,
    /// Whether they show it twice or never.
    pub kind: Odd,
    /// What the window comes to on that day; `None` when it does not open.
    pub opening: Option<Opening>,
}

/// How often clocks show a time that they do not show once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Twice: they are set back.
    Twice,
    /// Never: they are set forward.
    Never,
}

/// The windows that hold for the hosts of a play: its own, and that of the run. A host is taken
/// only while all of them are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours {
    /// The windows; none of them means that it is always open.
    pub windows: Vec<Window>,
    /// The zones of hosts, by what their variable `site_tz` says.
    pub zones: BTreeMap<String, Zone>,
}

impl Hours {
    /// Whether nothing is said, so that it is always open.
    pub fn are_unbounded(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether hosts go by their own clocks.
    pub fn differ_by_site(&self) -> bool {
        self.windows.iter().any(|window| window.tz == WindowZone::Site)
    }

    /// The time that all windows are open at an instant, else the next one; `None` when there is
    /// none within five years, and for a host without a zone where its own clocks would count.
    /// `site` is what the host's variable says.
    pub fn opening(&self, site: Option<&str>, at: Timestamp) -> Option<Opening> {
        let own = site.and_then(|name| self.zones.get(name));
        let mut from = at;
        // Each round passes the end of one opening at least.
        for _ in 0..HORIZON {
            let mut common: Option<Opening> = None;
            for window in &self.windows {
                let zone = match &window.tz {
                    WindowZone::Named(zone) => zone,
                    WindowZone::Site => own?,
                };
                let opening = window.opening(zone, from)?;
                common = Some(common.map_or(opening, |other| both(other, opening)));
            }
            let common = common?;
            if common.open < common.cutoff.min(common.close) {
                return Some(common);
            }
            // Their common part is empty, or nobody could be taken in it.
            from = common.close;
        }
        None
    }

    /// The zone by which times are told for a host: its own, else that of the first window.
    pub fn zone(&self, site: Option<&str>) -> Zone {
        let own = site.and_then(|name| self.zones.get(name)).cloned();
        let named = self.windows.iter().find_map(|window| match &window.tz {
            WindowZone::Named(zone) => Some(zone.clone()),
            WindowZone::Site => None,
        });
        let first = if self.differ_by_site() { own.or(named) } else { named };
        first.unwrap_or_else(Zone::utc)
    }

    /// How long before the close a host must have ended: the longest that any window wants.
    pub fn margin(&self) -> Duration {
        self.windows.iter().map(|window| window.margin).max().unwrap_or_default()
    }

    /// How long a host is expected to take, in the world's time: the longest that any window says.
    pub fn expect(&self) -> Option<Duration> {
        self.windows.iter().filter_map(|window| window.expect).max()
    }
}

/// The common part of two openings. What closes first says what becomes of hosts then; of two that
/// close at once, the stricter one.
fn both(a: Opening, b: Opening) -> Opening {
    let first = match a.close.cmp(&b.close) {
        std::cmp::Ordering::Less => a,
        std::cmp::Ordering::Greater => b,
        std::cmp::Ordering::Equal if a.at_close >= b.at_close => a,
        std::cmp::Ordering::Equal => b,
    };
    Opening {
        day: a.day.max(b.day),
        open: a.open.max(b.open),
        cutoff: a.cutoff.min(b.cutoff),
        ..first
    }
}

#[cfg(test)]
mod tests;
