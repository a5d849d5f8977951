//! Puts the faults of a plan on the servers of a fleet, by the seed.

use std::time::Duration;

use super::PackageState;
use super::descriptors;
use super::dice::Dice;
use super::faults::{Fault, FaultKind, FaultPlan, Pick, Scope};
use super::fleet::{PackageNo, ServerNo};
use super::product_files;
use super::rows::StatusRow;
use super::simulation::{Broken, Event, World};
use super::transport_faults::{Effect, Rule};
use crate::lab::front::{ConnectionFault, Protocol, RequestFault};

/// Places every fault. Faults of the product come first, so that those of the transport can be put
/// where there is something to repair.
pub(super) fn place(world: &mut World, plan: &FaultPlan) {
    let mut placing = Placing {
        dice: Dice::new(world.spec.seed, 4),
        packages: Dice::new(world.spec.seed, 5),
        of_product: vec![None; world.fleet.servers.len()],
        has_transport_fault: vec![false; world.fleet.servers.len()],
    };
    let mut faults: Vec<&Fault> = plan.faults.iter().collect();
    faults.sort_by_key(|fault| match fault.kind {
        // It changes packages and moves stores, which other faults then use.
        FaultKind::PathTooLong => 0,
        // What is open cannot be changed by other faults any more.
        FaultKind::SnapshotLocked => 3,
        kind if kind.scope() == Scope::Server => 1,
        _ => 2,
    });
    for fault in faults {
        if world.fleet.servers.len() >= fault.in_fleets_from as usize {
            placing.place(world, fault);
        }
    }
    world.broken.sort_by(|a, b| a.server.cmp(&b.server));
}

struct Placing {
    dice: Dice,
    /// Chooses packages: a stream of its own, so that the choice of servers stays as it is.
    packages: Dice,
    of_product: Vec<Option<FaultKind>>,
    has_transport_fault: Vec<bool>,
}

impl Placing {
    fn place(&mut self, world: &mut World, fault: &Fault) {
        match fault.kind.scope() {
            Scope::Sql => return world.sql_rules.extend(rules(fault)),
            Scope::NotificationServer => return world.afflict_notification_server(fault.kind),
            Scope::Package => return self.place_on_packages(world, fault),
            Scope::Server | Scope::Transport => {}
        }
        for server in self.choose(world, fault) {
            if fault.kind.scope() == Scope::Server {
                self.of_product[server] = Some(fault.kind);
            } else {
                self.has_transport_fault[server] = true;
            }
            world.afflict(server, fault);
        }
    }

    /// Puts a fault on packages: the named ones, or one by the seed.
    fn place_on_packages(&mut self, world: &mut World, fault: &Fault) {
        if fault.kind == FaultKind::Orphan && fault.packages.is_empty() {
            return world.retire_server();
        }
        let known = &world.fleet.packages;
        let mut packages: Vec<PackageNo> =
            fault.packages.iter().filter_map(|name| name.find(known)).collect();
        if fault.packages.is_empty() {
            packages.push(self.packages.below(known.len() as u64) as usize);
        }
        for package in packages {
            let named = self.named(world, fault);
            let mut servers = world.holders(package);
            servers.retain(|server| fault.at.is_empty() || named.contains(server));
            world.afflict_package(fault.kind, package, &servers);
            if fault.for_good || fault.kind.needs_a_person() {
                for server in servers {
                    world.give_up(server, fault.kind);
                }
            }
        }
    }

    /// The servers that a fault names.
    fn named(&self, world: &World, fault: &Fault) -> Vec<ServerNo> {
        let servers = &world.fleet.servers;
        let is_named = |number: &ServerNo| {
            let host = &servers[*number];
            fault.at.iter().any(|name| {
                name.eq_ignore_ascii_case(&host.fqdn) || name.eq_ignore_ascii_case(host.short())
            })
        };
        (0..servers.len()).filter(is_named).collect()
    }

    fn choose(&mut self, world: &World, fault: &Fault) -> Vec<ServerNo> {
        let servers = &world.fleet.servers;
        if !fault.at.is_empty() {
            return self.named(world, fault);
        }
        let mut candidates: Vec<ServerNo> =
            (0..servers.len()).filter(|number| self.may_take(world, *number, fault.kind)).collect();
        self.dice.shuffle(&mut candidates);
        if fault.kind.scope() != Scope::Server {
            // Where nothing has to be repaired, nobody would meet the fault.
            candidates.sort_by_key(|number| !self.is_curable(*number));
        }
        if fault.pick == Pick::Last {
            candidates.sort_by_key(|number| std::cmp::Reverse(servers[*number].number()));
        }
        candidates.truncate(fault.hosts.of(servers.len()));
        candidates
    }

    fn may_take(&self, world: &World, server: ServerNo, kind: FaultKind) -> bool {
        if kind.scope() == Scope::Server {
            self.of_product[server].is_none() && world.fleet.servers[server].is_carrier
        } else {
            !self.has_transport_fault[server] && self.of_product[server] != Some(FaultKind::Offline)
        }
    }

    fn is_curable(&self, server: ServerNo) -> bool {
        matches!(
            self.of_product[server],
            Some(FaultKind::Stale | FaultKind::Invalid | FaultKind::MissingAce)
        )
    }
}

impl World {
    /// The packages of a server that the faults of the product are about: those that only a part
    /// of the fleet has, so that making a new version of them does not touch every server.
    fn afflicted(&self, server: ServerNo) -> Vec<PackageNo> {
        let packages = &self.fleet.servers[server].packages;
        let regional: Vec<PackageNo> =
            packages.iter().copied().filter(|p| self.fleet.packages[*p].is_regional).collect();
        if regional.is_empty() { packages.iter().copied().take(1).collect() } else { regional }
    }

    /// The packages of a server that a fault is about.
    fn chosen(&mut self, server: ServerNo, fault: &Fault) -> Vec<PackageNo> {
        let held = self.fleet.servers[server].packages.clone();
        if !fault.packages.is_empty() {
            let known = &self.fleet.packages;
            let named: Vec<PackageNo> =
                fault.packages.iter().filter_map(|name| name.find(known)).collect();
            for &package in &named {
                self.assign(server, package);
            }
            return named;
        }
        match fault.kind {
            FaultKind::CredentialNotApplied | FaultKind::SecureStorage => held,
            FaultKind::DiskFull | FaultKind::ServerBusy | FaultKind::AgentStopped => {
                held.into_iter().step_by(2).collect()
            }
            FaultKind::ShareMissing | FaultKind::OrphanFolder => Vec::new(),
            FaultKind::SnapshotLocked
            | FaultKind::HashDamaged
            | FaultKind::StillDownloading
            | FaultKind::DuplicateRows
            | FaultKind::PathTooLong => self.afflicted(server).into_iter().take(1).collect(),
            FaultKind::AlternateLocationConflict => held.into_iter().take(2).collect(),
            FaultKind::RedownloadLoop => self.afflicted(server).into_iter().take(1).collect(),
            _ => self.afflicted(server),
        }
    }

    fn afflict(&mut self, server: ServerNo, fault: &Fault) {
        let packages = self.chosen(server, fault);
        match fault.kind {
            FaultKind::Stale => self.make_stale(server, &packages, "Invalid"),
            FaultKind::DriftedButReady => self.make_stale(server, &packages, "Ready"),
            FaultKind::Invalid => self.lose_reports(server, &packages),
            FaultKind::MissingAce => self.make_inaccessible(server, &packages),
            FaultKind::UrgentList => self.make_urgent(server),
            FaultKind::Trust1789 => self.lose_trust(server, &packages, fault.for_good),
            FaultKind::RedownloadLoop => self.make_raided(server, &packages),
            FaultKind::Deleted => self.mark_deleted(server, &packages),
            FaultKind::Offline => {
                self.make_stale(server, &packages, "Invalid");
                if fault.times.is_none() {
                    self.agents[server].conditions.is_off = true;
                }
            }
            FaultKind::CredentialNotApplied => self.unapply_credential(server, &packages),
            FaultKind::SecureStorage => self.damage_secure_storage(server, &packages),
            FaultKind::VersionMismatch => self.make_outdated(server),
            FaultKind::SiteUnassigned => self.leave_site(server),
            FaultKind::AlternateLocationConflict => self.share_folder(server, &packages),
            FaultKind::ShareMissing => self.remove_share(server, &packages),
            FaultKind::SnapshotLocked => self.lock_snapshots(server, &packages),
            FaultKind::DiskFull => self.fill_disk(server, &packages),
            FaultKind::PathTooLong => self.deepen_store(server, &packages),
            FaultKind::AgentStopped => self.stop_agent(server, &packages),
            FaultKind::AppPoolStopped => self.stop_app_pool(server),
            FaultKind::IisMissing => self.remove_iis(server),
            FaultKind::OrphanFolder => self.leave_folders(server, &packages),
            FaultKind::HashDamaged => self.damage_content(server, &packages),
            FaultKind::ServerBusy => self.refuse_as_busy(server, &packages),
            FaultKind::StillDownloading => self.start_long_download(server, &packages),
            FaultKind::DuplicateRows => self.double_rows(server, &packages),
            FaultKind::WrongPassword => self.wrong_passwords.push(server),
            FaultKind::ReadOnly => self.make_read_only(server, &packages),
            FaultKind::SharingViolation => self.hold_open(server, &packages, fault),
            FaultKind::Slow
            | FaultKind::Hang
            | FaultKind::ShellQuota
            | FaultKind::Unauthorized
            | FaultKind::Truncated
            | FaultKind::SqlDeadlock
            | FaultKind::ForeignOrigin
            | FaultKind::ParentOwnsIt
            | FaultKind::SourcePathBroken
            | FaultKind::SnapshotMissing
            | FaultKind::RefreshChurn
            | FaultKind::Orphan
            | FaultKind::EventQueueVolume
            | FaultKind::EventQueueStall => {}
        }
        self.rules[server].extend(rules(fault));
        if fault.for_good && (fault.kind == FaultKind::Stale || fault.kind == FaultKind::Invalid) {
            self.agents[server].conditions.no_source.extend(packages);
        }
        if fault.for_good || fault.kind.needs_a_person() {
            self.give_up(server, fault.kind);
        }
    }

    fn afflict_package(&mut self, kind: FaultKind, package: PackageNo, servers: &[ServerNo]) {
        match kind {
            FaultKind::ForeignOrigin => self.make_foreign(package, servers, false),
            FaultKind::ParentOwnsIt => self.make_foreign(package, servers, true),
            FaultKind::SourcePathBroken => self.break_source(package, servers),
            FaultKind::SnapshotMissing => self.lose_snapshot(package, servers),
            FaultKind::RefreshChurn => self.make_churn(package),
            FaultKind::Orphan => self.delete_package(package),
            _ => {}
        }
    }

    /// Lets a fault of the Notification Server's event queue begin now; other kinds do nothing.
    pub fn afflict_notification_server(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::EventQueueVolume => self.flood_queue(),
            FaultKind::EventQueueStall => self.stall_queue(),
            _ => {}
        }
    }

    /// Notes that no repair of this program makes a server well.
    fn give_up(&mut self, server: ServerNo, cause: FaultKind) {
        let server = self.fleet.servers[server].fqdn.clone();
        if !self.broken.iter().any(|broken| broken.server == server) {
            self.broken.push(Broken { server, cause });
        }
    }

    /// Gives a server an old version of packages, which its agent takes for the current one.
    pub(super) fn make_stale(&mut self, server: ServerNo, packages: &[PackageNo], status: &str) {
        for &package in packages {
            let age = self.dice.between(3 * 86_400, 90 * 86_400);
            let old = self.fleet.packages[package].version.saturating_sub(age);
            let holding = self.hold(server, package);
            holding.version = old;
            holding.is_stuck = true;
            holding.state = PackageState::Ready;
            self.furnish_package(server, package, old)
                .expect("the disk of a new machine takes an agent's files");
            let row = StatusRow { status: status.to_owned(), version: old.to_string() };
            self.set_row(server, package, row);
        }
    }

    /// The report that a package is ready never became a row.
    pub(super) fn lose_reports(&mut self, server: ServerNo, packages: &[PackageNo]) {
        for &package in packages {
            let version = self.fleet.packages[package].version.to_string();
            self.set_row(server, package, StatusRow { status: "Invalid".to_owned(), version });
        }
    }

    /// Takes the Agent Connectivity Credential's rights away, so that downloads fail.
    fn make_inaccessible(&mut self, server: ServerNo, packages: &[PackageNo]) {
        let tree = &self.agents[server].tree;
        let layout = &self.fleet.servers[server].layout;
        tree.set_descriptor(&layout.package_delivery, &descriptors::package_store(false))
            .expect("the folder was made with the server");
        // The packages are written anew, so that they inherit from the store as it is now.
        for &package in packages {
            tree.remove(&layout.package_folder(self.fleet.packages[package].guid));
        }
        self.make_stale(server, packages, "Invalid");
        for &package in packages {
            self.hold(server, package).state = PackageState::Invalid;
            self.write_status(server, package);
        }
    }

    /// Puts a package that no policy assigns on the urgent list.
    fn make_urgent(&mut self, server: ServerNo) {
        let at = self.calendar.filetime(self.now);
        let unknown = self.dice.guid();
        let path = self.fleet.servers[server].layout.urgent_list();
        self.agents[server]
            .tree
            .write(&path, product_files::urgent_list(&[unknown]), at)
            .expect("the disk of a new machine takes an agent's files");
    }

    fn lose_trust(&mut self, server: ServerNo, packages: &[PackageNo], for_good: bool) {
        self.agents[server].conditions.has_lost_trust = true;
        self.agents[server].conditions.trust_is_curable = !for_good;
        for &package in packages {
            self.set_row(server, package, Self::no_trust_row());
        }
    }

    fn make_raided(&mut self, server: ServerNo, packages: &[PackageNo]) {
        for &package in packages {
            self.agents[server].conditions.raided.insert(package);
            let folder = self.content_paths(server, package).into_iter().next();
            let folder = folder.as_deref().and_then(|path| path.rsplit_once('\\'));
            let folder = folder.map(|(folder, _)| folder.to_owned()).unwrap_or_default();
            self.add_cleaner(server, &folder);
            let version = self.fleet.packages[package].version.to_string();
            let row = StatusRow { status: PackageState::DownloadPending.to_string(), version };
            self.set_row(server, package, row);
            let wait = self.dice.millis(60_000, 600_000);
            self.schedule(wait, Event::Raid(server, package));
        }
    }

    /// Marks the first package Deleted; the others are stale.
    fn mark_deleted(&mut self, server: ServerNo, packages: &[PackageNo]) {
        self.make_stale(server, packages, "Invalid");
        if let Some(&package) = packages.first() {
            self.hold(server, package).state = PackageState::Deleted;
            self.write_status(server, package);
        }
    }

    fn make_read_only(&mut self, server: ServerNo, packages: &[PackageNo]) {
        if let Some(&package) = packages.first() {
            let path =
                self.fleet.servers[server].layout.snapshot(self.fleet.packages[package].guid);
            self.agents[server]
                .tree
                .set_read_only(&path, true)
                .expect("the manifest was written with the server");
        }
    }

    /// Has another program keep the first package's manifest open.
    fn hold_open(&mut self, server: ServerNo, packages: &[PackageNo], fault: &Fault) {
        if let Some(&package) = packages.first() {
            let path =
                self.fleet.servers[server].layout.snapshot(self.fleet.packages[package].guid);
            let lasts = (!fault.for_good).then(|| Duration::from_millis(fault.delay_ms));
            self.held_files[server].push((path, lasts));
        }
    }

    pub(super) fn hold(
        &mut self,
        server: ServerNo,
        package: PackageNo,
    ) -> &mut super::agent::Holding {
        self.agents[server]
            .holdings
            .get_mut(&package)
            .expect("faults are only put on packages that the server has")
    }
}

/// The rules by which a fault meets connections and requests; none for faults of the product.
fn rules(fault: &Fault) -> Vec<Rule> {
    let rule = |effect, protocol, needle| Rule {
        effect,
        protocol,
        needle,
        after: fault.after,
        left: fault.times,
    };
    let request = |fault, protocol, needle| vec![rule(Effect::Request(fault), protocol, needle)];
    match fault.kind {
        FaultKind::Slow => {
            let delay = RequestFault::Delay(Duration::from_millis(fault.delay_ms));
            request(delay, None, "")
        }
        FaultKind::Hang => vec![rule(Effect::Connection(ConnectionFault::Hang), None, "")],
        FaultKind::Offline => vec![rule(Effect::Connection(ConnectionFault::Refuse), None, "")],
        FaultKind::ShellQuota => request(RequestFault::ShellQuota, Some(Protocol::WinRm), "create"),
        FaultKind::Unauthorized => request(RequestFault::Unauthorized, Some(Protocol::WinRm), ""),
        FaultKind::Truncated => request(RequestFault::Truncate, Some(Protocol::WinRm), ""),
        // Statements that read status rows, not logins: only they can lose a lock.
        FaultKind::SqlDeadlock => request(RequestFault::Deadlock, Some(Protocol::Sql), "read"),
        _ => Vec::new(),
    }
}
