//! Whether Notification Servers are well, by what looks at them found.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::gates::real;
use crate::model::{Elapsed, GateVerdict, HostName, NsBounds, NsHealth, TimeScale, format_span};

/// The shortest real time after which a queue stands still, however fast the world runs.
const STALLED_FLOOR: Duration = Duration::from_secs(2);
/// Lengths of the queue that are remembered.
const REMEMBERED: usize = 256;

/// What earlier looks at one Notification Server found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    /// The shortest time that its connection test took when it was well.
    best: Option<Duration>,
    /// The oldest entry of its queue, and since when it is; none for an empty queue.
    oldest: Option<(Elapsed, Option<i64>)>,
    /// Whether the oldest entry was ever seen to change, or the queue to be empty.
    has_moved: bool,
    /// The lengths of its queue lately.
    lengths: VecDeque<(Elapsed, u64)>,
}

/// Judges looks at all Notification Servers: the worst holds.
pub(super) fn judge_health(
    bounds: &NsBounds,
    memory: &mut BTreeMap<HostName, Memory>,
    looks: &[(HostName, NsHealth)],
    now: Elapsed,
    scale: TimeScale,
) -> (GateVerdict, String) {
    let judged = looks.iter().map(|(server, look)| {
        let memory = memory.entry(server.clone()).or_default();
        let (verdict, seen) = memory.judge(bounds, look, now, scale);
        let seen = if looks.len() > 1 { format!("{}: {seen}", server.short()) } else { seen };
        (verdict, seen)
    });
    let judged: Vec<_> = judged.collect();
    let worst = judged.iter().map(|(verdict, _)| *verdict).max();
    let Some(worst) = worst else {
        return (
            GateVerdict::Unreadable,
            "no host of the inventory has a `cmdb`, so there is no Notification Server to look at"
                .to_owned(),
        );
    };
    let seen = judged.into_iter().filter(|(verdict, _)| *verdict == worst).map(|(_, seen)| seen);
    (worst, seen.collect::<Vec<_>>().join("; "))
}

impl Memory {
    fn judge(
        &mut self,
        bounds: &NsBounds,
        look: &NsHealth,
        now: Elapsed,
        scale: TimeScale,
    ) -> (GateVerdict, String) {
        let stalled = real(bounds.stalled, scale, STALLED_FLOOR);
        let still_since = self.note_queue(look, now, stalled);
        let ill = self.web_is_ill(bounds, look);
        let ill = ill.or_else(|| self.queue_is_ill(bounds, look, still_since, now, stalled, scale));
        if let Some(ill) = ill {
            return (GateVerdict::Fail, ill);
        }
        let (Some(latency), Some(status)) = (look.latency, look.status) else {
            return (
                GateVerdict::Unreadable,
                "its connection test did not answer (HTTP, variable `http_port`)".to_owned(),
            );
        };
        let Some(queue) = look.queue.filter(|queue| *queue == 0 || look.oldest.is_some()) else {
            return (GateVerdict::Unreadable, "its event queue could not be read".to_owned());
        };
        self.best = Some(self.best.map_or(latency, |best| best.min(latency)));
        let seen = format!("{status} in {}, queue {}", millis(latency), grouped(queue));
        if queue > 0 && !self.has_moved {
            return (GateVerdict::Pending, format!("{seen}, not seen to move yet"));
        }
        (GateVerdict::Pass, seen)
    }

    /// Takes in how the queue is, and tells since when its oldest entry is the same.
    fn note_queue(&mut self, look: &NsHealth, now: Elapsed, window: Duration) -> Option<Elapsed> {
        let queue = look.queue?;
        self.lengths.retain(|(at, _)| now.since(*at) <= window);
        if self.lengths.len() >= REMEMBERED {
            self.lengths.pop_front();
        }
        self.lengths.push_back((now, queue));
        let oldest = if queue == 0 { None } else { Some(look.oldest?) };
        match self.oldest {
            Some((since, before)) if before == oldest && oldest.is_some() => Some(since),
            before => {
                self.has_moved |= before.is_some() || oldest.is_none();
                self.oldest = Some((now, oldest));
                oldest.map(|_| now)
            }
        }
    }

    fn web_is_ill(&self, bounds: &NsBounds, look: &NsHealth) -> Option<String> {
        if look.is_busy {
            return Some("it says that it is busy".to_owned());
        }
        if let Some(status) = look.status.filter(|status| *status != 200) {
            return Some(format!("its connection test answers {status}"));
        }
        let latency = look.latency?;
        if latency > bounds.latency {
            let (took, allowed) = (millis(latency), millis(bounds.latency));
            return Some(format!("its connection test takes {took}, {allowed} allowed"));
        }
        let best = self.best.filter(|best| {
            latency > NsBounds::QUICK && latency.as_secs_f64() > best.as_secs_f64() * bounds.slower
        })?;
        let (took, best) = (millis(latency), millis(best));
        Some(format!("its connection test takes {took}, {best} at its best"))
    }

    fn queue_is_ill(
        &self,
        bounds: &NsBounds,
        look: &NsHealth,
        still_since: Option<Elapsed>,
        now: Elapsed,
        stalled: Duration,
        scale: TimeScale,
    ) -> Option<String> {
        let queue = look.queue?;
        if queue > bounds.queue {
            let (queue, allowed) = (grouped(queue), grouped(bounds.queue));
            return Some(format!("queue {queue}, {allowed} allowed"));
        }
        let before = self.lengths.front().map_or(queue, |(_, length)| *length);
        if queue.saturating_sub(before) > bounds.growing {
            let (queue, before) = (grouped(queue), grouped(before));
            return Some(format!("queue {queue}, grown from {before}"));
        }
        let still = now.since(still_since?);
        (still >= stalled).then(|| {
            let still = format_span(scale.to_world(still));
            format!("queue {}, stands still for {still}", grouped(queue))
        })
    }
}

fn millis(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{} ms", grouped(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    } else {
        format_span(span)
    }
}

/// A number with its thousands apart: `4,120`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(millis: u64, queue: u64, oldest: i64) -> NsHealth {
        NsHealth {
            latency: Some(Duration::from_millis(millis)),
            status: Some(200),
            is_busy: false,
            queue: Some(queue),
            oldest: (queue > 0).then_some(oldest),
        }
    }

    fn after(memory: &mut Memory, minutes: u64, look: &NsHealth) -> (GateVerdict, String) {
        let now = Elapsed::from_millis(minutes * 60_000);
        memory.judge(&NsBounds::default(), look, now, TimeScale::REAL)
    }

    #[test]
    fn what_could_not_be_read_is_never_well() {
        let well = look(20, 0, 0);
        for unread in [
            NsHealth { latency: None, status: None, ..well.clone() },
            NsHealth { queue: None, ..well.clone() },
            NsHealth { queue: Some(3), oldest: None, ..well.clone() },
            NsHealth::unreadable(),
        ] {
            let (verdict, seen) = after(&mut Memory::default(), 0, &unread);
            assert_eq!(verdict, GateVerdict::Unreadable, "{seen}");
        }
        assert_eq!(after(&mut Memory::default(), 0, &well).0, GateVerdict::Pass);
        let none = judge_health(
            &NsBounds::default(),
            &mut BTreeMap::new(),
            &[],
            Elapsed::ZERO,
            TimeScale::REAL,
        );
        assert_eq!(none.0, GateVerdict::Unreadable);
    }

    #[test]
    fn a_busy_answer_or_another_status_is_ill_though_the_queue_is_not_read() {
        let busy = NsHealth { is_busy: true, status: Some(503), ..NsHealth::default() };
        let gone = NsHealth { queue: None, status: Some(404), ..look(20, 0, 0) };

        assert_eq!(after(&mut Memory::default(), 0, &busy).0, GateVerdict::Fail);
        assert_eq!(
            after(&mut Memory::default(), 0, &gone),
            (GateVerdict::Fail, "its connection test answers 404".to_owned())
        );
    }

    #[test]
    fn a_queue_that_is_not_seen_to_move_stands_still_after_five_minutes() {
        let mut memory = Memory::default();
        let standing = look(20, 37, 9);

        assert_eq!(after(&mut memory, 0, &standing).0, GateVerdict::Pending);
        assert_eq!(after(&mut memory, 4, &standing).0, GateVerdict::Pending);
        let (verdict, seen) = after(&mut memory, 5, &standing);
        assert_eq!(verdict, GateVerdict::Fail);
        assert_eq!(seen, "queue 37, stands still for 5m00s");
        assert_eq!(after(&mut memory, 6, &look(20, 36, 10)).0, GateVerdict::Pass);
        assert_eq!(after(&mut memory, 7, &look(20, 36, 10)).0, GateVerdict::Pass);
        assert_eq!(after(&mut memory, 11, &look(20, 36, 10)).0, GateVerdict::Fail);
    }

    #[test]
    fn a_long_queue_and_one_that_grows_are_ill() {
        let mut memory = Memory::default();
        assert_eq!(
            after(&mut memory, 0, &look(20, 4120, 9)),
            (GateVerdict::Fail, "queue 4,120, 2,000 allowed".to_owned())
        );
        let mut memory = Memory::default();
        after(&mut memory, 0, &look(20, 0, 0));
        assert_eq!(after(&mut memory, 2, &look(20, 1000, 5)).0, GateVerdict::Pass);
        assert_eq!(
            after(&mut memory, 4, &look(20, 1001, 6)),
            (GateVerdict::Fail, "queue 1,001, grown from 0".to_owned())
        );
        // What it was longer ago than that says nothing of now.
        assert_eq!(after(&mut memory, 8, &look(20, 1200, 8)).0, GateVerdict::Pass);
    }

    #[test]
    fn ten_times_slower_is_ill_from_half_a_second_on() {
        let mut memory = Memory::default();
        after(&mut memory, 0, &look(4, 0, 0));

        assert_eq!(after(&mut memory, 1, &look(500, 0, 0)).0, GateVerdict::Pass);
        let (verdict, seen) = after(&mut memory, 2, &look(501, 0, 0));
        assert_eq!(
            (verdict, seen.as_str()),
            (GateVerdict::Fail, "its connection test takes 501 ms, 4 ms at its best")
        );
        assert_eq!(after(&mut Memory::default(), 0, &look(5001, 0, 0)).0, GateVerdict::Fail);
    }

    #[test]
    fn of_two_servers_the_worse_one_is_named() {
        let looks = [
            (HostName::new("smp01.corp"), look(20, 0, 0)),
            (HostName::new("smp02.corp"), look(20, 5000, 1)),
        ];
        let (verdict, seen) = judge_health(
            &NsBounds::default(),
            &mut BTreeMap::new(),
            &looks,
            Elapsed::ZERO,
            TimeScale::REAL,
        );

        assert_eq!(verdict, GateVerdict::Fail);
        assert_eq!(seen, "smp02: queue 5,000, 2,000 allowed");
    }
}
