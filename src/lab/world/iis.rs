//! The Notification Server's IIS: what it can bear, and who asked it for what.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::WorldTime;
use super::spec::IisSpec;

/// Why a request reached the Notification Server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `GetClientPolicies.aspx`, because somebody asked an agent to update its configuration.
    ConfigUpdate,
    /// `GetPackageInfo.aspx`, as a consequence of that.
    PackageInfo,
    /// `GetPackageSnapshot.aspx`, as a consequence of that.
    SnapshotDownload,
    /// `PostEvent.aspx`, because somebody asked an agent to send its package status or its
    /// inventory.
    StatusPost,
    /// Anything that happens without being asked for: schedules and ordinary clients.
    Background,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ConfigUpdate => "config update",
            Self::PackageInfo => "package info",
            Self::SnapshotDownload => "snapshot download",
            Self::StatusPost => "status post",
            Self::Background => "background",
        })
    }
}

/// What the IIS counted, for people and for comparison with what the controller booked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests by cause, refused ones included.
    pub requests: BTreeMap<Cause, u64>,
    /// Requests that were asked for (all but background), by host.
    pub asked_by_host: BTreeMap<String, u64>,
    /// Requests answered 503.
    pub refused: u64,
    /// Of those, requests that were asked for.
    #[serde(default)]
    pub refused_asked: u64,
    /// The most requests that arrived in one minute of the world.
    pub peak_per_minute: u64,
    /// The most events that waited in the queue at once.
    pub queue_peak: u64,
    /// Events that became rows of the CMDB.
    pub drained: u64,
    /// How long the world has run, in its own minutes.
    pub minutes: u64,
}

impl Tally {
    /// Requests that somebody asked for: all but background.
    pub fn asked(&self) -> u64 {
        self.requests.iter().filter(|(cause, _)| **cause != Cause::Background).map(|(_, n)| n).sum()
    }

    /// Requests of one cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.requests.get(&cause).copied().unwrap_or(0)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered after this long.
    Served(Duration),
    /// 503: too many are waiting.
    Busy,
}

/// A server that works at a fixed rate on a bounded queue.
#[derive(Debug, Clone)]
pub struct Iis {
    spec: IisSpec,
    /// Milliseconds of work that wait.
    backlog: u64,
    updated: WorldTime,
    minute: u64,
    in_minute: u64,
    tally: Tally,
    /// When what was asked for arrived; the newest.
    arrivals: VecDeque<(WorldTime, Cause)>,
}

/// The most arrivals that are kept.
const ARRIVALS: usize = 10_000;

/// What a request takes when nobody else is there.
const SERVICE: Duration = Duration::from_millis(250);

impl Iis {
    /// A server that has nothing to do.
    pub fn new(spec: IisSpec) -> Self {
        Self {
            spec,
            backlog: 0,
            updated: WorldTime::START,
            minute: 0,
            in_minute: 0,
            tally: Tally::default(),
            arrivals: VecDeque::new(),
        }
    }

    /// Takes a request in, counts it, and says what becomes of it.
    pub fn request(&mut self, now: WorldTime, cause: Cause, host: &str) -> Verdict {
        self.count(now, cause, host);
        self.work_until(now);
        if !self.has_room() {
            self.tally.refused += 1;
            self.tally.refused_asked += u64::from(cause != Cause::Background);
            return Verdict::Busy;
        }
        self.backlog += self.each();
        Verdict::Served(SERVICE + Duration::from_millis(self.backlog))
    }

    /// Takes in a request that waits like all others and is next to no work itself: the connection
    /// test. It is not counted.
    pub fn look(&mut self, now: WorldTime) -> Verdict {
        self.work_until(now);
        if self.has_room() {
            Verdict::Served(SERVICE + Duration::from_millis(self.backlog))
        } else {
            Verdict::Busy
        }
    }

    /// Lets the server work at another rate from now on; those that wait wait as many as before.
    pub fn set_capacity(&mut self, now: WorldTime, per_minute: u32) {
        self.work_until(now);
        let before = self.each();
        self.spec.per_minute = per_minute;
        self.backlog = self.backlog * self.each() / before.max(1);
    }

    fn work_until(&mut self, now: WorldTime) {
        let passed = now.since(self.updated).as_millis();
        self.backlog = self.backlog.saturating_sub(u64::try_from(passed).unwrap_or(u64::MAX));
        self.updated = now;
    }

    /// Milliseconds of work that a request is.
    fn each(&self) -> u64 {
        60_000 / u64::from(self.spec.per_minute.max(1))
    }

    fn has_room(&self) -> bool {
        self.backlog + self.each() <= self.each() * u64::from(self.spec.queue)
    }

    fn count(&mut self, now: WorldTime, cause: Cause, host: &str) {
        if now.minutes() != self.minute {
            self.minute = now.minutes();
            self.in_minute = 0;
        }
        self.in_minute += 1;
        self.tally.peak_per_minute = self.tally.peak_per_minute.max(self.in_minute);
        *self.tally.requests.entry(cause).or_default() += 1;
        if cause != Cause::Background {
            if self.arrivals.len() == ARRIVALS {
                self.arrivals.pop_front();
            }
            self.arrivals.push_back((now, cause));
            if let Some(count) = self.tally.asked_by_host.get_mut(host) {
                *count += 1;
            } else {
                self.tally.asked_by_host.insert(host.to_owned(), 1);
            }
        }
    }

    /// When the requests that somebody asked for arrived, refused ones included, in order; the
    /// newest 10,000.
    pub fn arrivals(&self) -> impl Iterator<Item = (WorldTime, Cause)> {
        self.arrivals.iter().copied()
    }

    /// The counters so far; the queue's are the caller's to fill in.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_beyond_the_queue_is_refused_and_the_sustainable_rate_never_is() {
        let spec = IisSpec { per_minute: 60, queue: 20 };
        let mut burst = Iis::new(spec);
        let mut steady = Iis::new(spec);

        let served = (0..100)
            .filter(|_| burst.request(WorldTime::START, Cause::ConfigUpdate, "a") != Verdict::Busy)
            .count();
        for second in 0..600 {
            steady.request(WorldTime::from_millis(second * 1000), Cause::Background, "a");
        }

        assert_eq!(served, 20);
        assert_eq!(burst.tally().refused, 80);
        assert_eq!((burst.tally().asked(), burst.arrivals().count()), (100, 100));
        assert_eq!((steady.tally().refused, steady.tally().asked()), (0, 0));
    }

    #[test]
    fn a_look_waits_behind_the_others_and_is_no_work_itself() {
        let mut iis = Iis::new(IisSpec { per_minute: 60, queue: 3 });
        let at_rest = iis.look(WorldTime::START);
        for _ in 0..2 {
            iis.request(WorldTime::START, Cause::Background, "a");
        }
        let behind_two = iis.look(WorldTime::START);
        iis.set_capacity(WorldTime::START, 30);
        let at_half = iis.look(WorldTime::START);
        iis.request(WorldTime::START, Cause::Background, "a");

        let millis = |millis| Verdict::Served(Duration::from_millis(millis));
        assert_eq!([at_rest, behind_two, at_half], [millis(250), millis(2250), millis(4250)]);
        assert_eq!(iis.look(WorldTime::START), Verdict::Busy);
    }
}
