//! The verbs over files against the simulated world: its scripts answer ours, its files are read
//! and moved over SMB. The world writes its files by its own hand, the verbs read them by theirs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetmend::action::{Applied, Decision, find};
use fleetmend::event::{ChangeRecord, Undo};
use fleetmend::host::{Session, SessionConfig};
use fleetmend::itms::policy::read_policy;
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::cmdb::Cmdb;
use fleetmend::lab::front::{
    Account, Accounts, ConnectionFault, Faults as Front, Protocol, RequestFault,
};
use fleetmend::lab::smb::{Shares, SmbMachine, serve};
use fleetmend::lab::tree::Tree;
use fleetmend::lab::world::{FaultPlan, FleetSpec, MachineId, World};
use fleetmend::model::{
    Credential, FailureClass, Guid, Host, HostName, RunId, StepFailure, TimeScale,
};
use fleetmend::protocol::auth::Names;
use fleetmend::protocol::security_descriptor::{SecurityDescriptor, Sid};
use fleetmend::secret::Secret;
use fleetmend::transport::smb::connect;
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, ReadScript, ReadShell, ReadSql,
    Target, TransportError, TransportErrorKind,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SPEED: f64 = 400.0;
const PASSWORD: &str = "right password";
/// 2026-11-21 as a FILETIME.
const NOW: u64 = 134_080_992_000_000_000;
const ACCOUNT: &str = "S-1-5-21-1-2-3-1105";

struct Well;

impl Front for Well {
    fn on_connect(&self, _: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _: Protocol, _: &str) -> Option<RequestFault> {
        None
    }
}

/// A machine of a world, with its files on a free port.
struct Machine {
    world: Arc<LiveWorld>,
    id: MachineId,
    port: u16,
    _stop: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

/// A world of six package servers with these faults, which runs by itself.
fn world(faults: &str) -> Arc<LiveWorld> {
    let started = "2026-05-16T10:00:00Z".parse().unwrap();
    let world = World::new(FleetSpec::new(6, 7, started), &FaultPlan::parse(faults).unwrap());
    let speed = TimeScale::new(SPEED).unwrap();
    let live = LiveWorld::start(world, speed, Cmdb::new().unwrap()).unwrap();
    tokio::spawn(Arc::clone(&live).run());
    live
}

impl Machine {
    async fn of(world: &Arc<LiveWorld>, id: MachineId) -> Self {
        let machine = SmbMachine {
            names: Names {
                computer: "HOST".to_owned(),
                domain: "CORP".to_owned(),
                dns_computer: "host.corp.example".to_owned(),
                dns_domain: "corp.example".to_owned(),
            },
            accounts: Accounts::new(vec![Account {
                domain: "CORP".to_owned(),
                user: "deploy".to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
                sid: "S-1-5-21-1-2-3-1104".to_owned(),
                groups: vec!["S-1-5-32-544".to_owned()],
            }]),
            tree: world.with(|world| world.tree(id).clone()),
            shares: Shares::default(),
            faults: Arc::new(Well),
            require_encryption: false,
            clock: Arc::new(|| NOW),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, machine, stopped));
        Self { world: Arc::clone(world), id, port, _stop: stop, _task: task }
    }

    /// The first package server of a world with these faults.
    async fn first_server(faults: &str) -> Self {
        Self::of(&world(faults), MachineId::Server(0)).await
    }

    fn tree(&self) -> Tree {
        self.world.with(|world| world.tree(self.id).clone())
    }

    /// The package store, and the packages in it.
    fn store(&self) -> (String, Vec<Guid>) {
        let store =
            self.world.with(|world| world.fleet().servers[0].layout.package_delivery.clone());
        let packages =
            self.tree().list(&store).iter().filter_map(|entry| entry.name.parse().ok()).collect();
        (store, packages)
    }

    fn session(&self, run: u128) -> Session {
        let name = HostName::new("machine");
        let target = Target {
            host: name.clone(),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            credential: Credential {
                user: r"CORP\deploy".to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            },
            option: None,
        };
        Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::from_u128(run)),
            host: Host { name, groups: Arc::from([]), vars: Arc::default() },
            work: Arc::from([]),
            scale: TimeScale::new(SPEED).unwrap(),
            winrm: Some(target.clone()),
            smb: Some(target),
            cmdb: None,
            connector: Arc::new(Wires { world: Arc::clone(&self.world), id: self.id }),
        })
    }

    async fn decide(&self, action: &str, params: Value) -> Result<Decision, StepFailure> {
        let session = self.session(1);
        let prepared = find(action).unwrap().prepare(params).unwrap();
        let decision = prepared.decide(&session.reader(soon(), Arc::from([]))).await;
        session.close().await;
        decision
    }

    async fn read(&self, action: &str, params: Value) -> (String, Value) {
        match self.decide(action, params).await.unwrap() {
            Decision::Unchanged { note, value } => (note, value),
            other => panic!("it changes: {other:?}"),
        }
    }

    async fn change(&self, action: &str, params: Value) -> ChangeRecord {
        match self.decide(action, params).await.unwrap() {
            Decision::Change(record, _) => record,
            other => panic!("nothing to do: {other:?}"),
        }
    }

    async fn apply(&self, run: u128, action: &str, change: &Value) -> Applied {
        let session = self.session(run);
        let changer = session.changer(soon(), Arc::from([]));
        let applied = find(action).unwrap().apply(change, &changer).await.unwrap();
        session.close().await;
        applied
    }

    /// Decides and applies; the change is returned for its undo.
    async fn run(&self, action: &str, params: Value) -> (Applied, ChangeRecord) {
        let record = self.change(action, params).await;
        (self.apply(1, action, &record.change).await, record)
    }

    async fn undo(&self, record: &ChangeRecord) -> Applied {
        let Undo::With(inverse) = &record.undo else { panic!("{:?}", record.undo) };
        self.apply(2, &record.action, inverse).await
    }
}

/// The machine's files over SMB, and its scripts.
#[derive(Clone)]
struct Wires {
    world: Arc<LiveWorld>,
    id: MachineId,
}

impl Wires {
    fn run(&self, text: &str, input: &Value) -> Result<Value, TransportError> {
        self.world.with(|world| world.run_script(self.id, text, input)).map_err(|error| {
            TransportError::caused_by(TransportErrorKind::Fault, "could not run a script", error)
        })
    }
}

#[async_trait]
impl Connector for Wires {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    async fn files(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(connect(target, deadline).await?))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(TransportError::new(TransportErrorKind::Refused, "these tests do not need that"))
    }
}

#[async_trait]
impl ReadShell for Wires {
    async fn read(
        &self,
        script: &ReadScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.run(script.text, input)
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for Wires {
    async fn change(
        &self,
        script: &ChangeScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.run(script.text, input)
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

/// A deadline that no test reaches.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packages_of_a_server_that_is_well_are_whole_to_the_last_byte() {
    let server = Machine::first_server("faults: []").await;
    let (_, packages) = server.store();

    let (note, value) = server.read("audit_packages", json!({ "hash_up_to": 500 })).await;

    assert_eq!(note, format!("{0} packages: {0} whole", packages.len()));
    for package in value["packages"].as_array().unwrap() {
        assert!(package["listed"].as_u64().unwrap() > 0, "{package}");
        assert_eq!(package["hashed"], package["listed"], "{package}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_damaged_between_two_audits_is_told_apart() {
    let server = Machine::first_server("faults: []").await;
    let (store, packages) = server.store();
    let (_, before) = server.read("audit_packages", json!({ "hash_up_to": 500 })).await;
    let files = |package: Guid| server.tree().list(&format!(r"{store}\{package}\cache"));
    let first = |package: Guid| format!(r"{store}\{package}\cache\{}", files(package)[0].name);

    assert!(server.tree().remove(&first(packages[0])));
    let size = usize::try_from(files(packages[1])[0].size).unwrap();
    server.tree().write(&first(packages[1]), vec![b'?'; size], NOW).unwrap();
    let (_, value) =
        server.read("audit_packages", json!({ "against": before, "hash_up_to": 500 })).await;

    let conclusion = |package: Guid| {
        let packages = value["packages"].as_array().unwrap();
        let found = packages.iter().find(|found| found["id"] == json!(package)).unwrap();
        found["conclusion"].as_str().unwrap().to_owned()
    };
    assert_eq!(conclusion(packages[0]), "external_deletion");
    assert_eq!(conclusion(packages[1]), "damaged");
    assert_eq!(conclusion(packages[2]), "whole");
    assert_eq!(value["damaged"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_denied_is_found_behind_the_mark_and_fails_the_step() {
    let server =
        Machine::first_server("faults: [{ kind: credential_not_applied, hosts: 6 }]").await;
    let (_, before) = server.read("scan_log", json!({ "only_mark": true })).await;
    let refuse = json!({ "since": before, "refuse": ["trust_1789", "access_denied_event"] });
    let (note, _) = server.read("scan_log", refuse.clone()).await;
    assert_eq!(note, "nothing in 0 events", "what was there before the mark is no finding");

    let record = server.change("agent", json!("resend_package_status")).await;
    let session = server.session(1);
    // It cannot be sent: the step would wait for its effect to the end.
    let deadline = Deadline::after(Duration::from_secs(2));
    let sent = find("agent").unwrap();
    let sent = sent.apply(&record.change, &session.changer(deadline, Arc::from([]))).await;
    assert_eq!(sent.unwrap_err().class, FailureClass::InDoubt);

    let failure = server.decide("scan_log", refuse).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::RemoteFault);
    assert!(failure.message.contains("access_denied_event"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_reached_is_found_in_the_notification_servers_log() {
    let world = world("faults: [{ kind: source_path_broken }]");
    let server = Machine::of(&world, MachineId::NotificationServer).await;

    let (note, value) = server.read("scan_log", json!({ "role": "ns_log" })).await;

    assert!(note.contains("source_path"), "{note}");
    assert!(!value["findings"][0]["packages"].as_array().unwrap().is_empty(), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_urgent_list_with_a_package_without_policy_goes_and_comes_back() {
    let server = Machine::first_server("faults: [{ kind: urgent_list, hosts: 6 }]").await;
    let status = server.world.with(|world| world.fleet().servers[0].layout.package_status.clone());
    let path = format!(r"{status}\UrgentList.xml");
    let params = json!({ "role": "ps_status", "files": ["UrgentList.xml"] });
    let content = server.tree().read(&path).unwrap();

    let (applied, record) = server.run("quarantine_files", params.clone()).await;
    assert_eq!(applied.note, "moved 1 file into quarantine");
    assert!(!server.tree().exists(&path));
    server.undo(&record).await;
    assert_eq!(server.tree().read(&path).unwrap(), content);

    // A list of packages that the server has is there for a good reason.
    let (_, packages) = server.store();
    let urgent = format!("<UrgentList><Package Id=\"{}\"/></UrgentList>", packages[0]);
    server.tree().write(&path, urgent, NOW).unwrap();
    let failure = server.decide("quarantine_files", params).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_policies_go_and_come_back() {
    let server = Machine::first_server("faults: []").await;
    let params = json!({ "role": "ps_policies", "files": ["{ns}.xml"] });

    let (_, record) = server.run("quarantine_files", params).await;
    let path = record.change["moves"][0]["from"].as_str().unwrap().to_owned();
    assert!(!server.tree().exists(&path));
    server.undo(&record).await;

    let policy = read_policy(&server.tree().read(&path).unwrap()).unwrap();
    let (_, packages) = server.store();
    let assigned = policy.packages.expect("what the world writes is understood");
    assert!(packages.iter().all(|package| assigned.contains(package)));
    let other = json!({ "role": "ps_policies", "files": ["other.xml"] });
    assert!(server.decide("quarantine_files", other).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_packages_get_their_rights_over_smb_and_lose_them_again() {
    let server = Machine::first_server("faults: []").await;
    let (store, packages) = server.store();
    let folders: Vec<String> =
        packages[..2].iter().map(|package| format!(r"{store}\{package}")).collect();
    let closed = SecurityDescriptor::administrators_only().encode();
    for folder in &folders {
        server.tree().set_descriptor(folder, &closed).unwrap();
    }
    let sid: Sid = ACCOUNT.parse().unwrap();
    let rights = |folder: &str| {
        let stored = server.tree().descriptor(folder).unwrap();
        SecurityDescriptor::parse(&stored).unwrap().granted_to(std::slice::from_ref(&sid))
    };

    let params = json!({ "role": "ps_delivery", "account": ACCOUNT, "rights": "full_control",
        "packages": packages[..2] });
    let (_, record) = server.run("acl", params.clone()).await;
    assert!(folders.iter().all(|folder| rights(folder) == 0x1F_01FF));
    assert_eq!(rights(&format!(r"{store}\{}", packages[2])), 0, "it was not named");
    let again = server.decide("acl", params).await.unwrap();
    assert!(matches!(again, Decision::Unchanged { .. }), "{again:?}");

    server.undo(&record).await;
    for folder in &folders {
        assert_eq!(rights(folder), 0);
        let back = SecurityDescriptor::parse(&server.tree().descriptor(folder).unwrap()).unwrap();
        assert_eq!(back.dacl(), SecurityDescriptor::administrators_only().dacl());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_kept_with_the_hashes_of_what_the_host_has() {
    std::fs::create_dir_all("target").unwrap();
    let here = tempfile::Builder::new().prefix("evidence-").tempdir_in("target").unwrap();
    let current = std::env::current_dir().unwrap();
    let into = here.path().strip_prefix(&current).unwrap_or(here.path()).to_str().unwrap();
    let server = Machine::first_server("faults: []").await;
    let (store, packages) = server.store();

    let params = json!({ "role": "ps_delivery", "files": ["{package}/snapshot.xml"],
        "packages": packages, "into": into });
    let (applied, _) = server.run("collect_files", params).await;

    let folder = PathBuf::from(applied.value["folder"].as_str().unwrap());
    assert!(folder.ends_with(Path::new("00000000000000000000000000000001/machine")));
    for package in packages {
        let kept = std::fs::read(folder.join(format!("ps_delivery/{package}/snapshot.xml")));
        let there = server.tree().read(&format!(r"{store}\{package}\snapshot.xml"));
        assert_eq!(kept.unwrap(), there.unwrap());
    }
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"sha256\""), "{manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_notification_server_are_read() {
    let world = world("faults: []");
    let server = Machine::of(&world, MachineId::NotificationServer).await;

    let (note, value) = server.read("read_setting", json!("MaxConcurrentPackageInfoRequest")).await;
    assert_eq!(note, "MaxConcurrentPackageInfoRequest is 20");
    assert!(value["path"].as_str().unwrap().ends_with(r"\CoreSettings.config"));

    let (_, value) = server.read("read_setting", json!("OwnerNSGuid")).await;
    let owner: Guid = value["value"].as_str().unwrap().parse().unwrap();
    assert_eq!(owner, world.with(|world| world.fleet().notification_server.guid));
}
