//! The present state of the scheduler for people: lossy, never journalled.

use super::AdaptReason;
use crate::model::{Elapsed, LimitName, StepId};

/// What a step in flight is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reads the host.
    Probing,
    /// Lets time pass, or waits for a person.
    Pausing,
    /// Knows its change and waits for a limit.
    Waiting,
    /// Changes the host and waits for the effect.
    Applying,
}

/// A step in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The step.
    pub step: StepId,
    /// When it started.
    pub since: Elapsed,
    /// What it is doing.
    pub phase: Phase,
}

/// Why hosts or steps wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// A limit is exhausted; for a limit split by a variable, its value.
    Limit(LimitName, Option<String>),
    /// Other runs have drawn what a limit allows, or hold it.
    OtherRuns(LimitName, Option<String>),
    /// The limits that other runs share could not be read; why.
    Ledger(String),
    /// As many hosts are in flight as `throttle` or the slow start allows.
    Throttle,
    /// The change window is closed, or too short for another host.
    Window,
    /// The wall clock jumped.
    Clock,
    /// The wave before is watched for what it causes.
    Soak,
    /// With `strict`, as many hosts are in flight as may still end badly.
    Budget,
    /// A gate has not passed: its name, and what was seen.
    Gate(String, String),
    /// Another host does the task for all.
    Once,
    /// A step of another host acts on the host that the task is delegated to.
    Delegate,
    /// The Notification Server does not answer, and a limit adapts to how it does.
    NotificationServer,
    /// The wave before is not through.
    Wave,
}

/// The state of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitGauge {
    /// The limit; for one split by a variable, its value.
    pub name: LimitName,
    /// The value of the variable that splits it.
    pub by: Option<String>,
    /// Units booked since the start, later ones included.
    pub booked: u64,
    /// Units that may be drawn now; negative while a booking is being worked off.
    pub available: Option<f64>,
    /// Changes under way.
    pub in_flight: u32,
    /// Changes that may be under way now.
    pub cap: Option<u32>,
    /// The share of what is declared that may be drawn now, for a limit that adapts.
    pub share: Option<f64>,
    /// Why it is that share.
    pub why: Option<AdaptReason>,
}

/// What the scheduler would tell an operator now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauge {
    /// Steps in flight, oldest first.
    pub in_flight: Vec<InFlight>,
    /// Hosts or steps that wait, by reason.
    pub waiting: Vec<(WaitReason, usize)>,
    /// The limits that something was drawn from, `ns_iis` first.
    pub limits: Vec<LimitGauge>,
    /// Until when, as far as is known, no wave opens and no host is taken; none where nothing holds
    /// them up.
    pub held_until: Option<Elapsed>,
    /// Until when the CMDB is asked whether all is Ready, while it is.
    pub oracle_until: Option<Elapsed>,
    /// Questions that are open at an operator: while there are any, the terminal is his.
    pub asking: usize,
    /// Hosts that slow start and `throttle` allow in flight now.
    pub window: u32,
}
