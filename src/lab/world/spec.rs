//! What a simulated fleet is asked to be.

use jiff::Timestamp;

/// The size and the pace of a simulated fleet. All rates are in the world's own time.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSpec {
    /// How many package servers.
    pub servers: u32,
    /// Over how many sites; at least 1.
    pub sites: u32,
    /// How many packages; a third of them are assigned to a part of the fleet only, unless the fleet
    /// is uniform.
    pub packages: u32,
    /// Every package is assigned to every server.
    pub is_uniform: bool,
    /// Everything that looks like chance comes from it.
    pub seed: u64,
    /// The date on which the world begins.
    pub started: Timestamp,
    /// What the Notification Server's IIS can bear.
    pub iis: IisSpec,
    /// How many events per minute the Notification Server takes out of its queue.
    pub drain_per_minute: u32,
    /// How many requests per minute the ordinary clients make, whatever the controller does.
    pub clients_per_minute: u32,
}

/// The capacity of the simulated IIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IisSpec {
    /// Requests per minute that it can serve for ever.
    pub per_minute: u32,
    /// Requests that may wait; the next one is answered 503.
    pub queue: u32,
}

impl FleetSpec {
    /// A fleet of the usual shape: six sites, 24 packages, an IIS that bears 28 requests per minute.
    pub fn new(servers: u32, seed: u64, started: Timestamp) -> Self {
        Self {
            servers,
            sites: 6.min(servers.max(1)),
            packages: 24,
            is_uniform: false,
            seed,
            started,
            iis: IisSpec { per_minute: 28, queue: 12 },
            drain_per_minute: 120,
            clients_per_minute: 2,
        }
    }
}
