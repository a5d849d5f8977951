//! A fleet that is well, as evidence, and ways to make it unwell.

use jiff::Timestamp;

use crate::itms::evidence::*;
use crate::model::{FailureClass, Guid, HostName};

pub(super) const SERVERS: usize = 4;
pub(super) const PACKAGES: usize = 3;
/// 2020-10-06 03:15 UTC.
pub(super) const NOW: &str = "1601954124";
/// A day before.
pub(super) const OLD: &str = "1601867730";

pub(super) fn taken() -> Timestamp {
    // Ten days after the current version was made.
    Timestamp::from_second(1_602_818_124).unwrap()
}

pub(super) fn package(number: usize) -> Guid {
    Guid::from_u128(0xA000 + number as u128)
}

pub(super) fn server(number: usize) -> Guid {
    Guid::from_u128(0xB000 + number as u128)
}

pub(super) fn name(number: usize) -> HostName {
    HostName::new(format!("ps-{number:02}.example.com"))
}

pub(super) fn snapshot(version: &str) -> SnapshotSeen {
    SnapshotSeen {
        version: Some(version.to_owned()),
        sha256: format!("{version:0>64}"),
        content_sha256: Some(format!("c{version:0>63}")),
        path: None,
        files: 3,
        bytes: Some(40 << 20),
    }
}

fn row(server_number: usize, package_number: usize) -> StatusRow {
    StatusRow {
        server: server(server_number),
        server_name: Some(format!("PS-{server_number:02}")),
        package: package(package_number),
        status: Some("Ready".to_owned()),
        reported_version: Some(NOW.to_owned()),
    }
}

pub(super) fn held(number: usize) -> HeldPackage {
    HeldPackage {
        id: package(number),
        name: Some(format!("Package {number}")),
        status: "Ready".to_owned(),
        previous_status: None,
        since: None,
        version: Some(NOW.to_owned()),
        location: None,
    }
}

pub(super) fn on_disk(number: usize) -> PackageOnDisk {
    PackageOnDisk {
        id: package(number),
        snapshot: Seen::Known(Some(snapshot(NOW))),
        is_snapshot_locked: Seen::Known(false),
        status_file: Seen::Known(Some("Ready".to_owned())),
        content: Seen::Known(ContentOnDisk { listed: 3, ..ContentOnDisk::default() }),
        hashes: Seen::Known(3),
        longest_path: Some(120),
        has_credential_rights: Seen::Known(true),
    }
}

pub(super) fn service(state: &str) -> ServiceSeen {
    ServiceSeen { state: state.to_owned(), start_mode: "Auto".to_owned() }
}

fn a_server(number: usize, all: usize) -> ServerEvidence {
    let packages: Vec<Guid> = (0..all).map(package).collect();
    let pool = AppPool { name: "Packages".to_owned(), is_started: true, serves_packages: true };
    let share = ShareSeen { name: "PkgSvrHost".to_owned(), path: "C:\\Store".to_owned() };
    ServerEvidence {
        host: name(number),
        guid: Some(server(number)),
        at: Some(taken()),
        winrm: Contact::Answered,
        smb: Contact::Answered,
        agent_service: Seen::Known(Some(service("Running"))),
        agent_version: Seen::Known("8.7.1.0".to_owned()),
        plugin_version: Seen::Known(Some("8.7.1.0".to_owned())),
        secure_channel: Seen::Known(true),
        iis: Seen::Known(IisSeen { is_installed: true, app_pools: vec![pool] }),
        shares: Seen::Known(vec![share]),
        store_volume: Seen::Known(VolumeSeen {
            root: "C:\\".to_owned(),
            free: 60 << 30,
            size: 120 << 30,
        }),
        store_access: Seen::Known(StoreAccess {
            account: "EXAMPLE\\acc".to_owned(),
            has_full_control: true,
        }),
        policy: Seen::Known(PolicySeen {
            written: Some(taken()),
            packages: Some(packages.clone()),
            credential: Some(AppliedCredential::AgentConnectivity),
        }),
        urgent_list: Seen::Known(Vec::new()),
        orphan_folders: Seen::Known(Vec::new()),
        log: Seen::Known(Vec::new()),
        outbound: Seen::Known(OutboundQueue { files: 0, oldest_seconds: None }),
        tasks: Seen::Known(Vec::new()),
        held: Seen::Known((0..all).map(held).collect()),
        on_disk: Seen::Known((0..all).map(on_disk).collect()),
    }
}

/// Four servers with three packages, all well.
pub(super) fn well() -> FleetEvidence {
    well_of(SERVERS, PACKAGES)
}

/// Each of so many servers with each of so many packages, all well.
pub(super) fn well_of(servers: usize, packages: usize) -> FleetEvidence {
    let offered = |number| OfferedPackage {
        id: package(number),
        name: Some(format!("Package {number}")),
        current_version: Some(NOW.to_owned()),
        origin: Seen::Known(Origin::Local),
        snapshot: Seen::Known(Some(snapshot(NOW))),
        source_reachable: Seen::NotAsked,
    };
    let rows =
        (0..servers).flat_map(|server| (0..packages).map(move |package| row(server, package)));
    let ns = NotificationServerEvidence {
        host: HostName::new("smp01"),
        packages: Seen::Known((0..packages).map(offered).collect()),
        rows: Seen::Known(rows.collect()),
        servers_with_site: Seen::Known((0..servers).map(server).collect()),
        queue: queue(0, 0, None),
        current_agent_version: Seen::Known("8.7.1".to_owned()),
        current_plugin_version: Seen::Known("8.7.1".to_owned()),
        log: Seen::Known(Vec::new()),
        dispatcher: Seen::Known(service("Running")),
    };
    FleetEvidence {
        taken: taken(),
        notification_servers: vec![ns],
        servers: (0..servers).map(|number| a_server(number, packages)).collect(),
    }
}

/// A package of another server, `smp-hq`.
pub(super) fn foreign(is_live_parent: Option<bool>) -> Seen<Origin> {
    Seen::Known(Origin::Foreign { server: Some("smp-hq".to_owned()), is_live_parent })
}

/// Two looks a minute apart: `entries` each time, the oldest identifier `moved` further.
pub(super) fn queue(entries: u64, moved: i64, oldest: Option<u64>) -> Seen<EventQueue> {
    let sample = |seconds: i64, id: i64| QueueSample {
        at: Timestamp::from_second(taken().as_second() + seconds).unwrap(),
        entries,
        oldest_id: (entries > 0).then_some(id),
        oldest_file_seconds: oldest,
    };
    Seen::Known(EventQueue { first: sample(0, 100), second: Some(sample(60, 100 + moved)) })
}

pub(super) fn logged(signature: &str, packages: &[usize]) -> LogFinding {
    LogFinding {
        signature: signature.to_owned(),
        count: 3,
        last: "Oct 16 03:10:00".to_owned(),
        seconds_ago: Some(300),
        packages: packages.iter().map(|number| package(*number)).collect(),
        text: format!("an event of {signature}"),
    }
}

pub(super) fn failed() -> Contact {
    Contact::Failed { class: FailureClass::Unreachable, why: "connection refused".to_owned() }
}

/// The parts of evidence by what they are about.
pub(super) trait Change {
    fn ns(&mut self) -> &mut NotificationServerEvidence;
    fn offered(&mut self, package: usize) -> &mut OfferedPackage;
    fn row(&mut self, server: usize, package: usize) -> &mut StatusRow;
    fn server(&mut self, server: usize) -> &mut ServerEvidence;
    fn held(&mut self, server: usize, package: usize) -> &mut HeldPackage;
    fn disk(&mut self, server: usize, package: usize) -> &mut PackageOnDisk;
    fn content(&mut self, server: usize, package: usize) -> &mut ContentOnDisk;
    fn logs(&mut self, server: usize, signature: &str, packages: &[usize]);
    /// The server has an old version, in the agent's list and on the disk.
    fn make_old(&mut self, server: usize, package: usize, row_status: &str);
    /// The agent says something else than Ready, and the row says the same.
    fn make(&mut self, server: usize, package: usize, status: &str);
}

pub(super) fn known<T>(seen: &mut Seen<T>) -> &mut T {
    match seen {
        Seen::Known(value) => value,
        Seen::Unreadable(_) | Seen::NotAsked => panic!("the builder knows everything"),
    }
}

impl Change for FleetEvidence {
    fn ns(&mut self) -> &mut NotificationServerEvidence {
        &mut self.notification_servers[0]
    }
    fn offered(&mut self, number: usize) -> &mut OfferedPackage {
        &mut known(&mut self.ns().packages)[number]
    }
    fn row(&mut self, server: usize, number: usize) -> &mut StatusRow {
        &mut known(&mut self.ns().rows)[server * PACKAGES + number]
    }
    fn server(&mut self, number: usize) -> &mut ServerEvidence {
        &mut self.servers[number]
    }
    fn held(&mut self, server: usize, number: usize) -> &mut HeldPackage {
        &mut known(&mut self.servers[server].held)[number]
    }
    fn disk(&mut self, server: usize, number: usize) -> &mut PackageOnDisk {
        &mut known(&mut self.servers[server].on_disk)[number]
    }
    fn content(&mut self, server: usize, number: usize) -> &mut ContentOnDisk {
        known(&mut self.disk(server, number).content)
    }
    fn logs(&mut self, server: usize, signature: &str, packages: &[usize]) {
        known(&mut self.servers[server].log).push(logged(signature, packages));
    }
    fn make_old(&mut self, server: usize, number: usize, row_status: &str) {
        self.held(server, number).version = Some(OLD.to_owned());
        self.disk(server, number).snapshot = Seen::Known(Some(snapshot(OLD)));
        let row = self.row(server, number);
        row.status = Some(row_status.to_owned());
        row.reported_version = Some(OLD.to_owned());
    }
    fn make(&mut self, server: usize, number: usize, status: &str) {
        status.clone_into(&mut self.held(server, number).status);
        self.disk(server, number).status_file = Seen::Known(Some(status.to_owned()));
        self.row(server, number).status = Some(status.to_owned());
    }
}
