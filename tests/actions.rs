//! Actions against the simulated world, without a network between: its scripts answer what ours
//! ask, its agents fetch, download and write their logs as they do in the lab.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetmend::action::{Applied, Decision, find};
use fleetmend::host::{PriorChange, Session, SessionConfig};
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::cmdb::Cmdb;
use fleetmend::lab::tree::{Kind, Tree};
use fleetmend::lab::world::{FaultPlan, FleetSpec, MachineId, World};
use fleetmend::model::{
    Cost, Credential, FailureClass, Guid, Host, HostName, RunId, ServerIdentity, StepFailure,
    TimeScale, WindowsPath, WorkRow,
};
use fleetmend::secret::Secret;
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, DirectoryEntry, FileAttributes,
    FileMetadata, ReadFiles, ReadScript, ReadShell, ReadSql, SecurityInformation, Target,
    TransportError, TransportErrorKind,
};
use serde_json::{Value, json};

const SPEED: f64 = 400.0;

/// A machine of the world, as transports show it.
#[derive(Clone)]
struct Machine {
    world: Arc<LiveWorld>,
    id: MachineId,
}

impl Machine {
    fn tree(&self) -> Tree {
        self.world.with(|world| world.tree(self.id).clone())
    }

    fn run(&self, text: &str, input: &Value) -> Result<Value, TransportError> {
        self.world.with(|world| world.run_script(self.id, text, input)).map_err(|error| {
            TransportError::caused_by(TransportErrorKind::Fault, "could not run a script", error)
        })
    }
}

#[async_trait]
impl Connector for Machine {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(not_here())
    }
}

#[async_trait]
impl ReadShell for Machine {
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
impl ChangeShell for Machine {
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

fn not_here() -> TransportError {
    TransportError::new(TransportErrorKind::Refused, "these tests do not need that")
}

#[async_trait]
impl ReadFiles for Machine {
    async fn metadata(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError> {
        Ok(self.tree().entry(&path.to_string()).map(|entry| FileMetadata {
            size: entry.size,
            attributes: FileAttributes(match entry.kind {
                Kind::Directory => FileAttributes::DIRECTORY,
                Kind::File | Kind::Junction => 0,
            }),
            created: entry.created,
            modified: entry.modified,
            normalized: Some(path.clone()),
        }))
    }

    async fn list(
        &self,
        _: &WindowsPath,
        _: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        Err(not_here())
    }

    async fn read(&self, _: &WindowsPath, _: u64, _: Deadline) -> Result<Vec<u8>, TransportError> {
        Err(not_here())
    }

    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let bytes = self.tree().read(&path.to_string()).ok_or_else(not_here)?;
        let start = usize::try_from(offset).expect("small").min(bytes.len());
        let length = usize::try_from(limit).expect("small").min(bytes.len() - start);
        Ok(bytes[start..start + length].to_vec())
    }

    async fn descriptor(
        &self,
        _: &WindowsPath,
        _: SecurityInformation,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        Err(not_here())
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeFiles for Machine {
    async fn create_directory(
        &self,
        _: &WindowsPath,
        _: Option<&[u8]>,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    async fn rename(
        &self,
        _: &WindowsPath,
        _: &WindowsPath,
        _: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    async fn create_file(
        &self,
        _: &WindowsPath,
        _: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    async fn delete(
        &self,
        _: &WindowsPath,
        _: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    async fn set_attributes(
        &self,
        _: &WindowsPath,
        _: FileAttributes,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    async fn set_descriptor(
        &self,
        _: &WindowsPath,
        _: SecurityInformation,
        _: &[u8],
        _: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(not_here())
    }

    fn as_read(&self) -> &dyn ReadFiles {
        self
    }
}

/// A world without faults that runs by itself.
fn world() -> Arc<LiveWorld> {
    let started = "2026-05-16T10:00:00Z".parse().expect("a time");
    let world = World::new(FleetSpec::new(6, 7, started), &FaultPlan::none());
    let speed = TimeScale::new(SPEED).expect("a scale");
    let live = LiveWorld::start(world, speed, Cmdb::new().expect("a CMDB")).expect("a world");
    tokio::spawn(Arc::clone(&live).run());
    live
}

/// A session with one machine, whose work is these packages.
fn session(world: &Arc<LiveWorld>, id: MachineId, packages: &[Guid]) -> Session {
    let name = HostName::new("machine");
    let target = Target {
        host: name.clone(),
        address: String::new(),
        port: 1,
        credential: Credential { user: String::new(), password: Secret::new(String::new()) },
        option: None,
    };
    let row = |package: &Guid| WorkRow {
        server: ServerIdentity { guid: Guid::from_u128(1), name: None, fqdn: None },
        package: *package,
        package_name: None,
        status: "Invalid".to_owned(),
        current_version: None,
        reported_version: None,
    };
    Session::new(SessionConfig {
        run: RunId::new(uuid::Uuid::nil()),
        host: Host { name, groups: Arc::from([]), vars: Arc::default() },
        work: packages.iter().map(row).collect(),
        scale: TimeScale::new(SPEED).expect("a scale"),
        winrm: Some(target.clone()),
        smb: Some(target),
        cmdb: None,
        connector: Arc::new(Machine { world: Arc::clone(world), id }),
    })
}

/// The step's deadline: half an hour of the world.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs_f64(1800.0 / SPEED))
}

async fn decide(
    session: &Session,
    prior: &Arc<[PriorChange]>,
    action: &str,
    params: Value,
) -> Result<Decision, StepFailure> {
    let prepared = find(action).expect(action).prepare(params).expect("parameters");
    prepared.decide(&session.reader(soon(), Arc::clone(prior))).await
}

/// Runs a step to its end; what it did and what it cost.
async fn run(
    session: &Session,
    prior: &Arc<[PriorChange]>,
    action: &str,
    params: Value,
) -> Result<(Applied, Cost), StepFailure> {
    let Decision::Change(record, cost) = decide(session, prior, action, params).await? else {
        panic!("{action} changes nothing");
    };
    let action = find(action).expect(action);
    action.wait_before(&record.change, &session.reader(soon(), Arc::clone(prior))).await?;
    let changer = session.changer(soon(), Arc::clone(prior));
    Ok((action.apply(&record.change, &changer).await?, cost))
}

fn nothing_before() -> Arc<[PriorChange]> {
    Arc::from([])
}

/// Takes a file away as a step of the run would, and says what that step's change was.
fn take_away(
    world: &Arc<LiveWorld>,
    id: MachineId,
    role: &str,
    package: Guid,
    path: &str,
) -> Arc<[PriorChange]> {
    let tree = world.with(|world| world.tree(id).clone());
    let modified = tree.modified(path).expect("the file is there");
    assert!(tree.remove(path));
    Arc::from([PriorChange {
        action: "quarantine_files".to_owned(),
        change: json!({
            "role": role,
            "packages_moved": [package],
            "moves": [{ "package": package, "from": path, "modified": modified }],
        }),
    }])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_list_is_read_and_says_ready() {
    let world = world();
    let session = session(&world, MachineId::Server(0), &[]);

    let list = decide(&session, &nothing_before(), "agent", json!("list_packages")).await;

    let Ok(Decision::Unchanged { note, value }) = list else { panic!("{list:?}") };
    assert!(note.contains("Ready"), "{note}");
    assert!(value["packages"][0]["built"].is_string(), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_fetches_its_configuration_downloads_and_then_sends_its_status() {
    let world = world();
    let id = MachineId::Server(0);
    let (package, path) = world.with(|world| {
        let store = &world.fleet().servers[0].layout.package_delivery;
        let tree = world.tree(id);
        let folders = tree.list(store);
        let folder = folders.iter().find(|entry| entry.name.starts_with('{')).expect("a package");
        let package: Guid = folder.name.parse().expect("a GUID");
        (package, format!("{store}\\{}\\snapshot.xml", folder.name))
    });
    let session = session(&world, id, &[package]);
    let prior = take_away(&world, id, "ps_delivery", package, &path);

    let (applied, cost) =
        run(&session, &prior, "agent", json!("update_configuration")).await.expect("updated");
    assert!(applied.note.starts_with("configuration fetched"), "{}", applied.note);
    assert_eq!(cost, Cost::ns_iis(1, 2));

    let (applied, cost) =
        run(&session, &prior, "agent", json!("resend_package_status")).await.expect("sent");
    assert!(applied.note.starts_with("package status sent (agent.log: "), "{}", applied.note);
    assert_eq!(applied.value["still_on_their_way"], json!([]), "{}", applied.note);
    assert_eq!(cost, Cost::ns_iis(1, 0));
    assert!(world.with(|world| world.tree(id).exists(&path)), "sent before it was back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notification_server_builds_a_snapshot_again_and_the_wait_sees_it() {
    let world = world();
    let id = MachineId::NotificationServer;
    let session = session(&world, id, &[]);
    let (package, path) = world.with(|world| {
        let package = world.fleet().packages[0].guid;
        (package, format!("C:\\ProgramData\\Symantec\\SMP\\Snapshots\\{package}.xml"))
    });
    let prior = take_away(&world, id, "ns_snapshots", package, &path);
    let wait = json!({ "files": [package], "role": "ns_snapshots", "within": "15 min" });

    let early = run(
        &session,
        &prior,
        "wait_until",
        json!({
            "files": [package], "role": "ns_snapshots", "within": "30 s",
        }),
    );
    assert_eq!(early.await.expect_err("nobody builds it").class, FailureClass::TimedOut);

    let (applied, _) =
        run(&session, &prior, "scheduled_task", json!("NS.Package Refresh")).await.expect("it ran");
    assert!(applied.note.ends_with(" ran"), "{}", applied.note);

    match decide(&session, &prior, "wait_until", wait.clone()).await.expect("a decision") {
        Decision::Unchanged { note, .. } => assert_eq!(note, "the file is there again"),
        Decision::Change(..) | Decision::WasDone { .. } => {
            run(&session, &prior, "wait_until", wait).await.expect("it came");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_notification_server_cannot_do_is_refused() {
    let world = world();
    let session = session(&world, MachineId::NotificationServer, &[]);

    let agent = decide(&session, &nothing_before(), "agent", json!("update_configuration")).await;
    let task = decide(&session, &nothing_before(), "scheduled_task", json!("NS.Package")).await;

    assert_eq!(
        agent.expect_err("no agent").message,
        "the Symantec Management Agent is not installed"
    );
    assert!(task.expect_err("several").message.contains("exactly one must"));
}
