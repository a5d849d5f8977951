use indexmap::IndexMap;
use serde_json::json;

use super::*;
use crate::engine::{Endpoints, NobodyThere};
use crate::model::{
    ActionCall, Cost, Credential, Group, Guid, Order, RunId, Safeguards, TaskFlow, TaskId,
    TimeScale, Vars, WorkQuery,
};
use crate::secret::Secret;
use crate::transport::{
    ChangeFiles, ChangeShell, Connector, ReadSql, Target, TransportError, TransportErrorKind,
};

/// Nobody answers.
struct Dead;

fn refused() -> TransportError {
    TransportError::new(TransportErrorKind::Refused, "could not connect")
}

#[async_trait::async_trait]
impl Connector for Dead {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Err(refused())
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Err(refused())
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(refused())
    }
}

/// Nobody answers, and nobody refuses.
struct Silent;

#[async_trait::async_trait]
impl Connector for Silent {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        std::future::pending().await
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        std::future::pending().await
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        std::future::pending().await
    }
}

/// A task that moves snapshots, on three package servers and their Notification Server.
fn foreseen_of(flow: TaskFlow) -> (DriverConfig, Delegates) {
    foreseen_on(flow, &["smp"], None)
}

/// The same with these Notification Servers.
fn foreseen_on(
    flow: TaskFlow,
    notification_servers: &[&str],
    work: Option<WorkQuery>,
) -> (DriverConfig, Delegates) {
    let group = |names: &[&str]| Group {
        hosts: names.iter().map(|name| (HostName::new(*name), Vars::default())).collect(),
        ..Group::default()
    };
    let groups = IndexMap::from([
        (Inventory::PACKAGE_SERVERS.to_owned(), group(&["ps-0", "ps-1", "ps-2"])),
        ("notification_servers".to_owned(), group(notification_servers)),
    ]);
    let inventory = Inventory::new(groups).expect("an inventory");
    let task = Task {
        id: TaskId { play: PlayNo(0), task: 0 },
        name: "Move".to_owned(),
        action: ActionCall {
            action: "quarantine_files".to_owned(),
            params: json!({
                "role": "ns_snapshots",
                "files": ["{package}.xml"],
                "packages": [Guid::from_u128(1)],
                "expect": { "max": 5 },
            }),
        },
        when: None,
        register: None,
        uses: Cost::none(),
        causes: None,
        within: None,
        line: 1,
        flow,
    };
    let play = Play {
        name: "Move".to_owned(),
        hosts: "all".parse().expect("a pattern"),
        work,
        order: Order::Inventory,
        serial: Vec::new(),
        throttle: 60,
        max_fail_percentage: None,
        safeguards: Safeguards::default(),
        limits: IndexMap::new(),
        oracle: None,
        vars: Vars::default(),
        tasks: vec![task],
        blocks: Vec::new(),
    };
    let playbook = Playbook { path: "a.yml".to_owned(), sha256: String::new(), plays: vec![play] };
    let delegates = Delegates::of(&playbook, &inventory, None, &Vars::default()).expect("hosts");
    let hosts: IndexMap<HostName, Host> =
        inventory.hosts().map(|host| (host.name.clone(), host)).collect();
    let config = DriverConfig {
        run: RunId::new(uuid::Uuid::nil()),
        endpoints: hosts.keys().map(|name| (name.clone(), Endpoints::default())).collect(),
        orders: Orders::Playbook(Arc::new(playbook)),
        is_check: true,
        scale: TimeScale::REAL,
        inventory,
        hosts,
        limit: None,
        extra_vars: Vars::default(),
        operator: Arc::new(NobodyThere),
        unfinished: Arc::from([]),
        connector: Arc::new(Dead),
    };
    (config, delegates)
}

async fn hosts_read(flow: TaskFlow, tags: &TagChoice) -> Vec<String> {
    let (config, delegates) = foreseen_of(flow);
    let foreseen = foresee(config, &delegates, tags).await;
    foreseen.iter().filter_map(|one| Some(one.host.as_ref()?.to_string())).collect()
}

#[tokio::test]
async fn only_hosts_that_may_have_snapshots_are_read() {
    let read = hosts_read(TaskFlow::default(), &TagChoice::default()).await;

    assert_eq!(read, ["smp"], "a package server has none");
}

#[tokio::test]
async fn the_host_to_which_a_task_is_delegated_is_read_and_only_once() {
    for run_once in [false, true] {
        let delegate_to = Some("smp".to_owned());
        let flow = TaskFlow { delegate_to, run_once, ..TaskFlow::default() };

        assert_eq!(hosts_read(flow, &TagChoice::default()).await, ["smp"], "{run_once}");
    }
}

#[tokio::test]
async fn what_the_tags_leave_out_is_not_read() {
    let skip = ["later".to_owned()];
    let flow = TaskFlow { tags: skip.clone().into(), ..TaskFlow::default() };
    let tags = TagChoice { skip: skip.into(), ..TagChoice::default() };

    assert_eq!(hosts_read(flow, &tags).await, [""; 0]);
}

/// Puts every host behind transports on which nobody answers.
fn make_silent(config: &mut DriverConfig) {
    config.connector = Arc::new(Silent);
    for (name, endpoints) in &mut config.endpoints {
        let target = Target {
            host: name.clone(),
            address: "127.0.0.1".to_owned(),
            port: 1,
            credential: Credential {
                user: "reader".to_owned(),
                password: Secret::new("password".to_owned()),
            },
            option: None,
        };
        let cmdb = name.as_str().starts_with("smp").then(|| target.clone());
        *endpoints = Endpoints {
            winrm: Some(target.clone()),
            smb: Some(target),
            cmdb,
            ..Endpoints::default()
        };
    }
}

/// Foresees with a clock that stands still; returns what was foreseen and the seconds it took.
async fn foreseen_and_seconds(
    (config, delegates): (DriverConfig, Delegates),
) -> (Vec<Foreseen>, f64) {
    let start = tokio::time::Instant::now();
    let foreseen = foresee(config, &delegates, &TagChoice::default()).await;
    (foreseen, start.elapsed().as_secs_f64())
}

fn is_too_late(foreseen: &Foreseen) -> bool {
    matches!(&foreseen.lines, Err(failure) if failure.class == FailureClass::TimedOut)
}

#[tokio::test(start_paused = true)]
async fn hosts_that_never_answer_keep_nobody_waiting_longer_than_a_minute_all_together() {
    let names: Vec<String> = (0..3 * AT_ONCE).map(|number| format!("smp{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut asked = foreseen_on(TaskFlow::default(), &names, None);
    make_silent(&mut asked.0);

    let (foreseen, seconds) = foreseen_and_seconds(asked).await;

    assert_eq!(foreseen.len(), names.len(), "each is named");
    assert!(foreseen.iter().all(is_too_late), "{foreseen:#?}");
    assert!((60.0..66.0).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn work_that_is_never_named_keeps_nobody_waiting_longer_than_a_minute() {
    let mut asked = foreseen_on(TaskFlow::default(), &["smp"], Some(WorkQuery::NotReadyPackages));
    make_silent(&mut asked.0);

    let (foreseen, seconds) = foreseen_and_seconds(asked).await;

    assert_eq!(foreseen.len(), 1);
    assert!(foreseen[0].host.is_none() && is_too_late(&foreseen[0]), "{foreseen:#?}");
    assert!((60.0..66.0).contains(&seconds), "{seconds} s");
}
