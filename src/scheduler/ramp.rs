//! The slow start: how many hosts may be in flight.

/// Starts with one host and grows by one with each host that ends well, which doubles it with each
/// full round: 1, 2, 4, up to `throttle`. A host that ends badly halves it.
///
/// It goes on from wave to wave, because a wave that went well has earned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ramp {
    window: u32,
    throttle: u32,
}

impl Ramp {
    pub(super) fn new(throttle: u32) -> Self {
        Self { window: 1, throttle: throttle.max(1) }
    }

    /// Hosts that may be in flight; at least 1, at most `throttle`.
    pub(super) fn window(&self) -> u32 {
        self.window
    }

    pub(super) fn host_ended(&mut self, is_well: bool) {
        // INVARIANT: 1 <= window <= throttle
        self.window =
            if is_well { (self.window + 1).min(self.throttle) } else { (self.window / 2).max(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_of_good_hosts_doubles_the_window_and_a_bad_host_halves_it() {
        let mut ramp = Ramp::new(60);
        let mut rounds = Vec::new();
        for _ in 0..8 {
            rounds.push(ramp.window());
            (0..ramp.window()).for_each(|_| ramp.host_ended(true));
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 60, 60]);

        ramp.host_ended(false);
        assert_eq!(ramp.window(), 30);
        (0..99).for_each(|_| ramp.host_ended(false));
        assert_eq!(ramp.window(), 1);
    }
}
