//! Faults of the Notification Server's queue of events.

use std::time::Duration;

use crate::lab::world::simulation::{Event, World};

/// How many events wait in a long queue: with what goes on arriving it takes hours.
const MANY: u64 = 4500;
/// How many events arrive per minute while it is long: fewer than are taken out.
const FLOOD: u32 = 105;
/// How many events stand in a queue that stands still: fewer than 50 (KB 205352).
const FEW: u64 = 37;
/// How old they are.
const STALE: Duration = Duration::from_secs(6 * 3600);

impl World {
    /// Thousands of events of other clients wait; the queue gets shorter.
    pub(in crate::lab::world) fn flood_queue(&mut self) {
        self.ns.conditions.flood_per_minute = FLOOD;
        self.enqueue_others(MANY, Duration::from_secs(25 * 60));
        self.schedule(Duration::from_secs(60), Event::Flood);
    }

    /// A few old events, and nothing moves.
    pub(in crate::lab::world) fn stall_queue(&mut self) {
        self.ns.conditions.is_stalled = true;
        self.enqueue_others(FEW, STALE);
    }

    /// Other clients go on to post events, as long as the queue is long.
    pub(in crate::lab::world) fn flood(&mut self) {
        let rate = self.ns.conditions.flood_per_minute;
        if rate > 0 && self.ns.queue.len() > 100 {
            self.enqueue_others(u64::from(rate), Duration::ZERO);
            self.schedule(Duration::from_secs(60), Event::Flood);
        } else {
            self.ns.conditions.flood_per_minute = 0;
        }
    }
}
