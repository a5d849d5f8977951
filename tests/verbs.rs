//! The actions over Windows itself and over HTTP, against a lab with its real protocols: what they
//! change is seen in the simulated machine, undo takes it back, drift is refused, and hostile names
//! stay data.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use fleetmend::action::{Applied, Decision, find};
use fleetmend::event::{ChangeRecord, Undo};
use fleetmend::host::{Session, SessionConfig};
use fleetmend::lab::world::{
    AGENT_SERVICE, APP_POOL, DISPATCHER_SERVICE, FaultPlan, MachineId, PACKAGE_SHARE,
};
use fleetmend::lab::{Lab, LabConfig};
use fleetmend::model::{FailureClass, Guid, Host, HostName, RunId, StepFailure, TimeScale, Vars};
use fleetmend::transport::{Deadline, NetworkConnector, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

const SPEED: f64 = 400.0;
const SERVER: MachineId = MachineId::Server(0);
const NS: MachineId = MachineId::NotificationServer;
/// What a name could hold that means something to PowerShell, cmd.exe, WQL or XML.
const HOSTILE: &str = "a'b\"c`d$(Stop-Computer)%PATH%&<x>;{0}*?\u{2019}ü😀";

/// A lab of three package servers without faults, in a network of its own.
struct World {
    lab: Lab,
    _dir: TempDir,
}

impl World {
    async fn start(network: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let started = "2026-05-16T10:00:00Z".parse().unwrap();
        let config = LabConfig {
            faults: FaultPlan::none(),
            speed: TimeScale::new(SPEED).unwrap(),
            first_address: Ipv4Addr::new(127, 150, network, 1),
            ..LabConfig::new(3, 7, started, dir.path().to_owned())
        };
        Self { lab: Lab::start(config).await.unwrap(), _dir: dir }
    }

    /// A session with one machine, over the lab's network.
    fn session(&self, machine: MachineId) -> Session {
        let at = self.lab.endpoints().iter().find(|(known, _)| *known == machine).unwrap().1;
        let fqdn = self.lab.world().with(|world| match machine {
            MachineId::NotificationServer => world.fleet().notification_server.fqdn.clone(),
            MachineId::Server(number) => world.fleet().servers[number].fqdn.clone(),
        });
        let name = HostName::new(fqdn.as_str());
        let target = |port| Target {
            host: name.clone(),
            address: at.address.to_string(),
            port,
            credential: self.lab.credentials()[0].1.clone(),
            option: None,
        };
        let vars = Vars::from_iter([
            ("ansible_host".to_owned(), json!(at.address.to_string())),
            ("http_port".to_owned(), json!(at.http)),
        ]);
        Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::nil()),
            host: Host { name: name.clone(), groups: Arc::from([]), vars: Arc::new(vars) },
            work: Arc::from([]),
            scale: TimeScale::new(SPEED).unwrap(),
            winrm: Some(target(at.winrm)),
            smb: Some(target(at.smb)),
            cmdb: None,
            connector: Arc::new(NetworkConnector),
        })
    }

    fn is_agent_running(&self) -> bool {
        self.lab.world().with(|world| world.conditions(0).is_service_running)
    }

    fn is_pool_started(&self) -> bool {
        self.lab.world().with(|world| world.conditions(0).is_app_pool_started)
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

async fn decide(session: &Session, action: &str, params: Value) -> Result<Decision, StepFailure> {
    let prepared = find(action).unwrap().prepare(params).expect("parameters");
    prepared.decide(&session.reader(soon(), Arc::from([]))).await
}

/// What a step that only reads keeps.
async fn read(session: &Session, action: &str, params: Value) -> Value {
    match decide(session, action, params).await {
        Ok(Decision::Unchanged { value, .. }) => value,
        other => panic!("{action}: {other:?}"),
    }
}

async fn change(session: &Session, action: &str, params: Value) -> ChangeRecord {
    match decide(session, action, params).await {
        Ok(Decision::Change(record, _)) => record,
        other => panic!("{action}: {other:?}"),
    }
}

async fn apply(session: &Session, action: &str, change: &Value) -> Result<Applied, StepFailure> {
    find(action).unwrap().apply(change, &session.changer(soon(), Arc::from([]))).await
}

/// Runs a step to its end.
async fn run(session: &Session, action: &str, params: Value) -> (Applied, ChangeRecord) {
    let record = change(session, action, params).await;
    let applied = apply(session, action, &record.change).await.expect(action);
    (applied, record)
}

async fn undo(session: &Session, record: &ChangeRecord) -> Result<Applied, StepFailure> {
    let Undo::With(inverse) = &record.undo else { panic!("{:?}", record.undo) };
    apply(session, &record.action, inverse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_does_nothing_until_its_service_is_started_and_undo_stops_it_again() {
    let world = World::start(1).await;
    let session = world.session(SERVER);
    let stop = json!({ "name": AGENT_SERVICE, "state": "stopped", "start_mode": "disabled" });

    let (applied, stopped) = run(&session, "service", stop.clone()).await;
    assert_eq!(applied.note, "stopped");
    assert!(!world.is_agent_running());
    let list = decide(&session, "agent", json!("list_packages")).await;
    assert!(list.is_err(), "nobody answers: {list:?}");
    let start = json!({ "name": AGENT_SERVICE, "state": "started" });
    let refused = decide(&session, "service", start).await.expect_err("it is disabled");
    assert!(refused.message.contains("disabled"), "{}", refused.message);

    undo(&session, &stopped).await.expect("undone");
    assert!(world.is_agent_running());
    let now = read(&session, "service", json!({ "name": AGENT_SERVICE })).await;
    assert_eq!((&now["state"], &now["start_mode"]), (&json!("running"), &json!("automatic")));
    assert!(undo(&session, &stopped).await.expect("undone twice").was_so_already);
    read(&session, "agent", json!("list_packages")).await;
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_mode_that_somebody_else_changed_is_not_put_back() {
    let world = World::start(2).await;
    let session = world.session(SERVER);
    let manual = json!({ "name": AGENT_SERVICE, "start_mode": "manual" });

    let (_, record) = run(&session, "service", manual).await;
    let delayed = json!({ "name": AGENT_SERVICE, "start_mode": "automatic_delayed" });
    run(&session, "service", delayed).await;

    let failure = undo(&session, &record).await.expect_err("drift");
    assert_eq!(failure.class, FailureClass::Drifted);
    let now = read(&session, "service", json!({ "name": AGENT_SERVICE })).await;
    assert_eq!(now["start_mode"], "automatic_delayed");
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dispatcher_and_the_agent_are_restarted_and_unknown_services_are_named() {
    let world = World::start(3).await;
    let (ns, server) = (world.session(NS), world.session(SERVER));

    for (session, name) in [(&ns, DISPATCHER_SERVICE), (&server, AGENT_SERVICE)] {
        let restart = json!({ "name": name, "state": "restarted" });
        let (applied, record) = run(session, "service", restart).await;
        assert_eq!(applied.note, "restarted, and running");
        let back = undo(session, &record).await.expect("it sees to it that it runs");
        assert!(back.was_so_already, "{}", back.note);
    }
    let wanted = json!({ "name": HOSTILE, "state": "started" });
    let failure = decide(&server, "service", wanted).await.expect_err("there is none");
    assert_eq!(failure.message, format!("there is no service `{HOSTILE}`"));
    ns.close().await;
    server.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_stopped_answers_503_and_one_that_is_started_serves_again() {
    let world = World::start(4).await;
    let session = world.session(SERVER);
    let (fqdn, package, file) = world.lab.world().with(|world| {
        let server = &world.fleet().servers[0];
        let store = &server.layout.package_delivery;
        let tree = world.tree(SERVER);
        let folders = tree.list(store);
        let folder = folders.iter().find(|entry| entry.name.starts_with('{')).unwrap();
        let cache = tree.list(&format!(r"{store}\{}\cache", folder.name));
        let package: Guid = folder.name.parse().unwrap();
        (server.fqdn.clone(), package, cache[0].name.clone())
    });
    let codebase = format!("http://{fqdn}/Altiris/PS/Package Delivery/{package}/cache/");
    let page = |url: &str| json!({ "url": url, "status": [200, 404, 503] });
    let url = format!("{codebase}{file}");

    assert_eq!(read(&session, "http", page(&url)).await["status"], 200);
    let head = json!({ "url": codebase, "method": "head" });
    assert_eq!(read(&session, "http", head).await["status"], 200);
    assert_eq!(read(&session, "http", page("/Altiris/PS/nothing")).await["status"], 404);

    let stop = json!({ "name": APP_POOL.to_lowercase(), "state": "stopped" });
    let (_, record) = run(&session, "app_pool", stop).await;
    assert!(!world.is_pool_started());
    let failure = decide(&session, "http", json!(url)).await.expect_err("503");
    assert!(failure.message.ends_with("answers 503 and not 200"), "{}", failure.message);
    let events = read(&session, "event_log", json!({ "log": "System", "ids": [5002] })).await;
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1));

    undo(&session, &record).await.expect("undone");
    assert!(world.is_pool_started());
    assert_eq!(read(&session, "http", page(&url)).await["status"], 200);
    let unknown = json!({ "name": HOSTILE, "state": "started" });
    let failure = decide(&session, "app_pool", unknown).await.expect_err("there is none");
    assert!(failure.message.contains(HOSTILE) && failure.message.contains(APP_POOL));
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_gets_what_the_article_asks_for_and_undo_restores_its_list() {
    let world = World::start(5).await;
    let session = world.session(SERVER);
    let params = json!({ "name": PACKAGE_SHARE, "role": "ps_delivery" });

    let (applied, record) = run(&session, "share", params.clone()).await;
    assert_eq!(applied.note, "gave SYSTEM full control");
    read(&session, "share", params.clone()).await;

    // Somebody gives another account rights: the undo would take them away.
    let account = r"LAB\svc-acc";
    let more = json!({ "name": PACKAGE_SHARE, "account": account, "rights": "change" });
    let (_, second) = run(&session, "share", more).await;
    let failure = undo(&session, &record).await.expect_err("drift");
    assert_eq!(failure.class, FailureClass::Drifted);

    undo(&session, &second).await.expect("undone");
    undo(&session, &record).await.expect("undone");
    assert!(undo(&session, &record).await.expect("undone twice").was_so_already);
    let again = change(&session, "share", params).await;
    assert_eq!(again.change, record.change, "all is as it was");
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_made_of_a_folder_that_exists_and_only_of_one() {
    let world = World::start(6).await;
    let session = world.session(SERVER);
    let shares = || world.lab.world().with(|world| world.shares(0));
    let before = shares();
    let nowhere = json!({ "name": "Alternate", "path": "C:\\Nowhere'; Remove-Item C:\\" });
    assert!(find("share").unwrap().prepare(nowhere).is_err(), "no path holds a colon there");

    let nowhere = json!({ "name": "Alternate", "path": "C:\\Nowhere $(x) `'" });
    let failure = decide(&session, "share", nowhere).await.expect_err("no folder");
    assert!(failure.message.contains("there is no such folder"), "{}", failure.message);
    let hostile = json!({ "name": HOSTILE, "role": "ps_status" });
    let failure = decide(&session, "share", hostile).await.expect_err("no name of a share");
    assert!(failure.message.contains("not one that a share can have"), "{}", failure.message);

    let (_, record) =
        run(&session, "share", json!({ "name": "It's $(x) `ü", "role": "ps_status" })).await;
    assert!(shares().iter().any(|(name, _)| name == "It's $(x) `ü"), "{:?}", shares());
    undo(&session, &record).await.expect("undone");
    assert_eq!(shares(), before);
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_the_registry_is_set_where_it_is_as_expected() {
    let world = World::start(7).await;
    let session = world.session(NS);
    let key = r"HKLM\SOFTWARE\Altiris\eXpress\Notification Server";
    let size = json!({ "key": key, "value": "MaxFileQSize(KB)" });
    let set = |data: &str, expect: &str| json!({ "key": key, "value": "MaxFileQSize(KB)", "data": data, "expect": expect });

    let failure = decide(&session, "registry", set("1024000", "7")).await.expect_err("drift");
    assert_eq!(failure.class, FailureClass::Drifted);
    assert!(failure.message.contains("`512000`, which was not expected"), "{}", failure.message);
    let (_, record) = run(&session, "registry", set("1024000", "512000")).await;
    assert_eq!(read(&session, "registry", size.clone()).await["data"], "1024000");
    let (_, other) = run(&session, "registry", set("7", "1024000")).await;
    assert_eq!(undo(&session, &record).await.expect_err("drift").class, FailureClass::Drifted);
    undo(&session, &other).await.expect("undone");
    undo(&session, &record).await.expect("undone");
    assert_eq!(read(&session, "registry", size).await["data"], "512000");

    let added = json!({ "key": key, "value": HOSTILE, "data": HOSTILE, "expect_absent": true });
    let (_, record) = run(&session, "registry", added).await;
    let hostile = json!({ "key": key, "value": HOSTILE });
    assert_eq!(read(&session, "registry", hostile.clone()).await["data"], HOSTILE);
    undo(&session, &record).await.expect("undone");
    assert_eq!(read(&session, "registry", hostile).await["exists"], false);
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_playbooks_run_as_they_stand_and_what_is_there_is_not_run() {
    let world = World::start(8).await;
    let session = world.session(SERVER);

    let echo = json!({ "script": format!("Write-Output {HOSTILE}"), "changes": false });
    let value = read(&session, "powershell", echo).await;
    assert_eq!(value["stdout"], format!("{HOSTILE}\r\n"));
    let exit = json!({ "line": "exit 3010", "changes": false, "succeeds_on": [0, 3010] });
    assert_eq!(read(&session, "command", exit).await["exit_code"], 3010);

    let file = r"C:\ProgramData\it's $(x).txt";
    let make = json!({ "line": format!("type nul > \"{file}\""), "creates": file });
    let (applied, record) = run(&session, "command", make.clone()).await;
    assert_eq!(applied.note, "ran");
    assert!(matches!(record.undo, Undo::Impossible(_)));
    assert!(world.lab.world().with(|world| world.tree(SERVER).exists(file)));
    assert_eq!(read(&session, "command", make).await["ran"], false);
    let gone = json!({ "script": "hostname", "removes": r"C:\ProgramData\nothing" });
    assert_eq!(read(&session, "powershell", gone).await["ran"], false);

    let failed = change(&session, "powershell", json!("exit 1")).await;
    let failure = apply(&session, "powershell", &failed.change).await.expect_err("it failed");
    assert_eq!(failure.message, "the program ended with exit code 1");
    let lines = decide(&session, "command", json!("hostname\r\nhostname")).await;
    assert_eq!(lines.expect_err("two lines").class, FailureClass::Refused);
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tasks_and_inventory_are_read_and_sent() {
    let world = World::start(9).await;
    let (ns, server) = (world.session(NS), world.session(SERVER));

    let unknown = decide(&server, "event_log", json!(HOSTILE)).await.expect_err("no such log");
    assert!(unknown.to_string().contains(HOSTILE), "{unknown}");
    let events = read(&ns, "event_log", json!({ "log": "System", "since": "2 h" })).await;
    assert_eq!(events["events"][0]["id"], 6005);

    let tasks = read(&ns, "scheduled_task", json!({ "list": "NS.Package*" })).await;
    let tasks = tasks["tasks"].as_array().expect("tasks").clone();
    assert_eq!(tasks.len(), 3);
    assert!(tasks.iter().all(|task| {
        task["action"].as_str().is_some_and(|action| action.contains("ScheduleProcessor.exe"))
    }));
    let none = read(&server, "scheduled_task", json!({ "list": HOSTILE })).await;
    assert_eq!(none["tasks"], json!([]));

    let (applied, _) = run(&server, "agent", json!("send_inventory")).await;
    assert!(applied.note.starts_with("basic inventory sent"), "{}", applied.note);
    ns.close().await;
    server.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distribution_points_are_updated_until_the_snapshot_is_newer() {
    let world = World::start(10).await;
    let session = world.session(NS);
    let (package, path, version) = world.lab.world().with(|world| {
        let package = world.fleet().packages[0].guid;
        let path = format!(r"C:\ProgramData\Symantec\SMP\Snapshots\{package}.xml");
        assert!(world.tree(NS).remove(&path));
        (package, path, world.version(package))
    });

    let connection = json!("/Altiris/NS/Agent/ConnectionTest.asp");
    assert_eq!(read(&session, "http", connection).await["status"], 200);
    let (applied, record) =
        run(&session, "distribution_points", json!({ "packages": [package] })).await;
    assert_eq!(applied.note, "updated 1 package");
    assert!(matches!(record.undo, Undo::Impossible(_)));
    world.lab.world().with(|world| {
        assert!(world.tree(NS).exists(&path));
        assert!(world.version(package) > version);
    });

    let nobody = json!({ "packages": [Guid::from_u128(7)] });
    let unknown = change(&session, "distribution_points", nobody).await;
    let failure = apply(&session, "distribution_points", &unknown.change).await;
    assert!(failure.expect_err("no such package").to_string().contains("ASDKItemNotFound"));
    session.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sdk_the_scheduled_task_is_named() {
    let world = World::start(11).await;
    let session = world.session(NS);
    let package = world.lab.world().with(|world| {
        world.set_asdk(false);
        world.fleet().packages[0].guid
    });

    let record = change(&session, "distribution_points", json!({ "packages": [package] })).await;
    let failure = apply(&session, "distribution_points", &record.change).await.expect_err("404");

    assert_eq!(failure.class, FailureClass::RemoteFault);
    assert!(failure.to_string().contains("NS.Package Distribution Point Update"), "{failure}");
    let server = world.session(SERVER);
    let elsewhere = decide(&server, "distribution_points", json!({ "packages": [package] })).await;
    assert_eq!(elsewhere.expect_err("refused").message, "not a Notification Server");
    session.close().await;
    server.close().await;
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_a_wrong_password_is_a_rejected_logon() {
    use fleetmend::secret::Secret;
    use fleetmend::transport::{Connector, HttpForm};

    let world = World::start(12).await;
    let at = world.lab.endpoints()[0].1;
    let mut credential = world.lab.credentials()[0].1.clone();
    credential.password = Secret::new("wrong".to_owned());
    let target = Target {
        host: HostName::new("ns"),
        address: at.address.to_string(),
        port: at.http,
        credential,
        option: None,
    };
    let page = "/Altiris/ASDK.SMF/SoftwarePackageManagementService.asmx/UpdateDistributionPoints";
    let form = HttpForm { path: page, fields: vec![("PackageGuid", "x".to_owned())] };

    let error = NetworkConnector.post_form(&target, &form, soon()).await.expect_err("rejected");

    assert_eq!(error.class(), FailureClass::AuthRejected);
    let public = HttpForm { path: "/Altiris/NS/Agent/ConnectionTest.asp", fields: Vec::new() };
    let answer = NetworkConnector.post_form(&target, &public, soon()).await.expect("an answer");
    assert_eq!(answer.status, 405, "a page that asks nobody is not told the form");
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_iis_is_unreachable_over_http_alone() {
    let dir = tempfile::tempdir().unwrap();
    let started = "2026-05-16T10:00:00Z".parse().unwrap();
    let config = LabConfig {
        faults: FaultPlan::parse("faults: [{kind: iis_missing, hosts: 3}]").unwrap(),
        speed: TimeScale::new(SPEED).unwrap(),
        first_address: Ipv4Addr::new(127, 150, 13, 1),
        ..LabConfig::new(3, 7, started, dir.path().to_owned())
    };
    let world = World { lab: Lab::start(config).await.unwrap(), _dir: dir };
    let without = world
        .lab
        .world()
        .with(|world| (0..3).map(MachineId::Server).find(|server| !world.has_web_server(*server)));
    let session = world.session(without.expect("a server without IIS"));

    let failure = decide(&session, "http", json!("/Altiris/PS/")).await.expect_err("no IIS");
    assert_eq!(failure.class, FailureClass::Unreachable);
    let pool = decide(&session, "app_pool", json!(APP_POOL)).await.expect_err("no IIS");
    assert_eq!(pool.message, "IIS is not installed");
    let service = decide(&session, "service", json!("W3SVC")).await.expect_err("no service");
    assert_eq!(service.message, "there is no service `W3SVC`");
    session.close().await;
    world.lab.stop().await;
}
