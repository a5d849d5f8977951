//! The world: its state, its events, and the passing of its time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::conditions::{HoldingConditions, HostConditions, NotificationServerConditions};
use super::dice::Dice;
use super::faults::{FaultKind, FaultPlan};
use super::fleet::{self, Fleet, PackageNo, ServerNo};
use super::iis::{Cause, Iis, Tally};
use super::ns::Ns;
use super::rows::{RowChange, StatusRow};
use super::spec::FleetSpec;
use super::time::Calendar;
use super::transport_faults::{HeldFile, Rule, TransportFaults};
use super::windows::Windows;
use super::{WorldTime, founding, place_faults};
use crate::lab::tree::Tree;
use crate::model::Guid;

/// One machine of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineId {
    /// The Notification Server.
    NotificationServer,
    /// A package server, by its place in [`Fleet::servers`].
    Server(usize),
}

/// A server that no repair makes well, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its fully qualified name.
    pub server: String,
    /// What is wrong with it.
    pub cause: FaultKind,
}

/// A deterministic simulation of a Notification Server and its package servers.
///
/// It has no clock and no sockets. [`World::advance`] makes everything happen up to an instant of
/// its own time; the same specification, faults and calls at the same instants give the same world.
/// The disks ([`World::tree`]) may be changed from outside at any time, as real disks are: agents
/// look at them when they act.
#[derive(Debug)]
pub struct World {
    pub(super) spec: FleetSpec,
    pub(super) calendar: Calendar,
    pub(super) fleet: Fleet,
    pub(super) now: WorldTime,
    pub(super) dice: Dice,
    pub(super) iis: Iis,
    pub(super) ns: Ns,
    pub(super) agents: Vec<Agent>,
    pub(super) changes: Vec<RowChange>,
    pub(super) broken: Vec<Broken>,
    pub(super) rules: Vec<Vec<Rule>>,
    pub(super) sql_rules: Vec<Rule>,
    /// Files that another program has open, and for how long after they were touched.
    pub(super) held_files: Vec<Vec<(String, Option<Duration>)>>,
    pub(super) wrong_passwords: Vec<ServerNo>,
    /// What somebody changed in Windows itself.
    pub(super) windows: BTreeMap<MachineId, Windows>,
    /// Second rows of pairs, written when the first ones are.
    pub(super) second_rows: Vec<(ServerNo, PackageNo, StatusRow)>,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// An agent goes on with what it is doing.
    Agent(ServerNo),
    /// An agent's scheduled request for its configuration.
    Configuration(ServerNo),
    /// An agent reports what it has not reported yet.
    StatusDue(ServerNo),
    /// Something deletes a package's content on a server.
    Raid(ServerNo, PackageNo),
    /// An agent finds out that a package's content is not what it should be, or that it has a new
    /// version.
    Noticed(ServerNo, PackageNo),
    /// The Notification Server makes a new version of an unchanged package.
    Churn(PackageNo),
    /// Other clients post events.
    Flood,
    /// The Notification Server has updated a package's distribution points, as it was asked to.
    DistributionPoints(PackageNo),
    /// An ordinary client asks the Notification Server for something.
    Client,
    /// The Notification Server takes an event out of its queue.
    Drain,
    /// A scheduled task starts by its schedule.
    TaskDue(usize),
    /// A scheduled task ends.
    TaskEnds(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: WorldTime,
    // Two events of one instant happen in the order in which they were scheduled.
    number: u64,
    event: Event,
}

impl World {
    /// Founds a fleet with its faults. The rows of its CMDB are the first changes to be taken.
    pub fn new(spec: FleetSpec, faults: &FaultPlan) -> Self {
        let fleet = fleet::build(&spec);
        let calendar = Calendar::new(spec.started);
        let mut world = Self {
            calendar,
            now: WorldTime::START,
            dice: Dice::new(spec.seed, 2),
            iis: Iis::new(spec.iis),
            ns: founding::notification_server(&fleet, calendar, &mut Dice::new(spec.seed, 3)),
            agents: fleet.servers.iter().map(|_| founding::agent(calendar)).collect(),
            changes: Vec::new(),
            broken: Vec::new(),
            rules: vec![Vec::new(); fleet.servers.len()],
            sql_rules: Vec::new(),
            held_files: vec![Vec::new(); fleet.servers.len()],
            wrong_passwords: Vec::new(),
            windows: BTreeMap::new(),
            second_rows: Vec::new(),
            events: BinaryHeap::new(),
            scheduled: 0,
            spec,
            fleet,
        };
        world.furnish();
        place_faults::place(&mut world, faults);
        world.publish_rows();
        world.begin_schedules();
        world
    }

    /// The machines and packages as they were set up.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The present instant of the world.
    pub fn now(&self) -> WorldTime {
        self.now
    }

    /// How the world's time reads as a date.
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The disk of a machine; clones share it.
    pub fn tree(&self, machine: MachineId) -> &Tree {
        match machine {
            MachineId::NotificationServer => &self.ns.tree,
            MachineId::Server(number) => &self.agents[number].tree,
        }
    }

    /// When the next thing happens by itself, or `None` if nothing ever will.
    pub fn next_event(&self) -> Option<WorldTime> {
        self.events.peek().map(|Reverse(next)| next.at)
    }

    /// Makes everything happen that happens up to `to`; an instant that has passed changes nothing.
    pub fn advance(&mut self, to: WorldTime) {
        while let Some(Reverse(next)) = self.events.peek().copied()
            && next.at <= to
        {
            self.events.pop();
            self.now = self.now.max(next.at);
            self.happen(next.event);
        }
        self.now = self.now.max(to);
    }

    /// The changes of the CMDB since this was last called, in order.
    pub fn take_changes(&mut self) -> Vec<RowChange> {
        std::mem::take(&mut self.changes)
    }

    /// Takes the status rows over as somebody else left them in the CMDB; of a pair with several rows
    /// the last one counts.
    pub fn adopt_rows(&mut self, rows: impl IntoIterator<Item = ((Guid, Guid), StatusRow)>) {
        self.ns.rows = rows.into_iter().collect();
        self.ns.lacks_addresses = true;
    }

    /// The Notification Server's row of a (server, package) pair.
    pub fn row(&self, server: Guid, package: Guid) -> Option<&StatusRow> {
        self.ns.rows.get(&(server, package))
    }

    /// The version of a package at the Notification Server.
    pub fn version(&self, package: Guid) -> Option<u64> {
        let number = self.fleet.packages.iter().position(|known| known.guid == package)?;
        Some(self.ns.versions[number])
    }

    /// The pairs whose row is not Ready, by server and package: the work that the CMDB shows.
    pub fn not_ready(&self) -> Vec<(Guid, Guid)> {
        let not_ready = self.ns.rows.iter().filter(|(_, row)| row.status != "Ready");
        not_ready.map(|(pair, _)| *pair).collect()
    }

    /// The servers that no repair makes well, in the order of the fleet.
    pub fn expected_broken(&self) -> &[Broken] {
        &self.broken
    }

    /// What is wrong with a package server beyond the state of its packages.
    pub fn conditions(&self, server: usize) -> &HostConditions {
        &self.agents[server].conditions
    }

    /// What is wrong with the Notification Server beyond its rows.
    pub fn notification_server_conditions(&self) -> &NotificationServerConditions {
        &self.ns.conditions
    }

    /// What is particular to a package on a package server.
    pub fn holding_conditions(&self, server: usize, package: Guid) -> HoldingConditions {
        let number = self.fleet.packages.iter().position(|known| known.guid == package);
        number.map(|number| self.agents[server].conditions.of(number)).unwrap_or_default()
    }

    /// Whether anything listens on a machine.
    pub fn is_listening(&self, machine: MachineId) -> bool {
        match machine {
            MachineId::NotificationServer => true,
            MachineId::Server(number) => !self.agents[number].conditions.is_off,
        }
    }

    /// Whether the fleet's account has another password on this machine.
    pub fn has_wrong_password(&self, machine: MachineId) -> bool {
        matches!(machine, MachineId::Server(number) if self.wrong_passwords.contains(&number))
    }

    /// The faults that meet connections to a machine; each call begins them anew.
    pub fn transport_faults(&self, machine: MachineId) -> TransportFaults {
        let MachineId::Server(number) = machine else {
            return TransportFaults::new(Vec::new(), Vec::new());
        };
        let tree = &self.agents[number].tree;
        // A file that is gone or already open elsewhere cannot be held: there is no fault then.
        let held = self.held_files[number]
            .iter()
            .filter_map(|(path, lasts)| HeldFile::open(tree, path, *lasts).ok());
        TransportFaults::new(self.rules[number].clone(), held.collect())
    }

    /// The faults that meet connections to the CMDB; each call begins them anew.
    pub fn sql_faults(&self) -> TransportFaults {
        TransportFaults::new(self.sql_rules.clone(), Vec::new())
    }

    /// What the Notification Server counted so far.
    pub fn report(&self) -> Tally {
        Tally {
            queue_peak: self.ns.queue_peak,
            drained: self.ns.drained,
            minutes: self.now.minutes(),
            ..self.iis.tally()
        }
    }

    /// When the requests that somebody asked for reached the Notification Server, and why, in order;
    /// the newest 10,000.
    pub fn arrivals(&self) -> Vec<(WorldTime, Cause)> {
        self.iis.arrivals().collect()
    }

    pub(super) fn schedule(&mut self, after: Duration, event: Event) {
        let at = self.now.plus(after);
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Agent(server) => self.agent_goes_on(server),
            Event::Configuration(server) => self.scheduled_configuration(server),
            Event::StatusDue(server) => self.scheduled_status(server),
            Event::Raid(server, package) => self.raid(server, package),
            Event::Noticed(server, package) => self.notice(server, package),
            Event::Churn(package) => self.churn(package),
            Event::Flood => self.flood(),
            Event::DistributionPoints(package) => self.distribution_points_updated(package),
            Event::Client => self.client_asks(),
            Event::Drain => self.drain(),
            Event::TaskDue(task) => self.task_due(task),
            Event::TaskEnds(task) => self.task_ends(task),
        }
    }

    /// Lets the Notification Server's IIS serve at another rate from now on.
    pub fn let_iis_bear(&mut self, per_minute: u32) {
        self.iis.set_capacity(self.now, per_minute);
    }

    /// Lets the ordinary clients of a fleet that has any ask at another rate, from their next
    /// request on.
    pub fn let_clients_ask(&mut self, per_minute: u32) {
        self.spec.clients_per_minute = per_minute;
    }

    /// An ordinary client's request: light, and nobody's business.
    fn client_asks(&mut self) {
        self.iis.request(self.now, Cause::Background, "");
        self.schedule_client();
    }

    pub(super) fn schedule_client(&mut self) {
        if self.spec.clients_per_minute > 0 {
            let mean = 60_000 / u64::from(self.spec.clients_per_minute);
            let wait = self.dice.millis(mean / 2, mean * 3 / 2);
            self.schedule(wait, Event::Client);
        }
    }
}
