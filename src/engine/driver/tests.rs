use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use indexmap::IndexMap;
use serde_json::json;

use super::*;
use crate::engine::{Endpoints, NobodyThere};
use crate::event::{Gauge, PlayHeader, RunMode, RunStarted, TaskHeader};
use crate::host::queries::whole_schema;
use crate::model::{
    ActionCall, Credential, Group, Host, HostName, Inventory, Limits, Now, Order, Play, Playbook,
    RunId, TagChoice, Task, TaskFlow, TaskId, TimeScale, Vars, WorkQuery,
};
use crate::plan::{ActionTraits, Delegates, Draft, DraftRequest};
use crate::secret::Secret;
use crate::transport::{
    ChangeFiles, ChangeShell, Connector, Deadline, ReadSql, Row, SqlParameter, Statement, Target,
    TransportError, TransportErrorKind,
};

/// A database that answers after a while, or never.
struct Database {
    hangs: bool,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl ReadSql for Database {
    async fn query(
        &self,
        statement: &Statement<'_>,
        _: &[SqlParameter],
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        if statement.name == "schema" && !self.hangs {
            return Ok(whole_schema());
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        Ok(Vec::new())
    }

    async fn close(&self) {}
}

#[derive(Default)]
struct Databases {
    hangs: bool,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

fn refused() -> TransportError {
    TransportError::new(TransportErrorKind::Refused, "could not connect")
}

#[async_trait]
impl Connector for Databases {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Err(refused())
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Err(refused())
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Ok(Box::new(Database {
            hangs: self.hangs,
            under_way: Arc::clone(&self.under_way),
            most: Arc::clone(&self.most),
        }))
    }
}

/// Keeps events in memory.
#[derive(Default)]
struct Memory(Mutex<Vec<Event>>);

impl Journal for Memory {
    fn append(&self, event: Event) -> Ack {
        self.0.lock().unwrap().push(event);
        std::future::ready(Ok(())).boxed()
    }
}

/// A run of `cmdb_query` on `hosts` Notification Servers.
fn run(hosts: usize, work: Option<WorkQuery>, connector: Databases) -> (Driver, EventKind) {
    let names: Vec<HostName> = (0..hosts).map(|n| HostName::new(format!("smp{n}"))).collect();
    let group = Group {
        hosts: names.iter().map(|name| (name.clone(), Vars::default())).collect(),
        ..Group::default()
    };
    let inventory = Inventory::new(IndexMap::from([("servers".to_owned(), group)])).expect("one");
    let task = Task {
        id: TaskId { play: PlayNo(0), task: 0 },
        name: "Read".to_owned(),
        action: ActionCall {
            action: "cmdb_query".to_owned(),
            params: json!({ "query": "this_server" }),
        },
        when: None,
        register: None,
        uses: Cost::none(),
        within: None,
        line: 1,
        flow: TaskFlow::default(),
    };
    let play = Play {
        name: "Read".to_owned(),
        hosts: "all".parse().expect("a pattern"),
        work,
        order: Order::Inventory,
        serial: Vec::new(),
        throttle: 60,
        max_fail_percentage: None,
        limits: IndexMap::new(),
        oracle: None,
        vars: Vars::default(),
        tasks: vec![task],
        blocks: Vec::new(),
    };
    let playbook = Playbook { path: "a.yml".to_owned(), sha256: String::new(), plays: vec![play] };
    let scale = TimeScale::REAL;
    let limits = Limits::default();
    let request = DraftRequest {
        playbook: &playbook,
        inventory: &inventory,
        inventory_sha256: "",
        limit: None,
        limits: &limits,
        tags: &TagChoice::default(),
        delegates: &Delegates::default(),
        mode: RunMode::Run,
        seed: 1,
        scale,
    };
    let traits = |_: &str| ActionTraits::of_host(Duration::from_secs(60), true);
    let draft = Draft::new(&request, &traits);
    let header = RunStarted {
        run: RunId::new(uuid::Uuid::from_u128(1)),
        mode: RunMode::Run,
        program: "1".to_owned(),
        playbook: "a.yml".to_owned(),
        playbook_sha256: String::new(),
        inventory: String::new(),
        inventory_sha256: String::new(),
        sourced: Vec::new(),
        limit: None,
        extra_vars: Vars::default(),
        tags: TagChoice::default(),
        seed: 1,
        scale,
        limits: limits.clone(),
        plays: vec![PlayHeader {
            name: "Read".to_owned(),
            tasks: vec![TaskHeader { name: "Read".to_owned(), action: "cmdb_query".to_owned() }],
        }],
    };
    let endpoint = |name: &HostName| {
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
        (name.clone(), Endpoints { cmdb: Some(target), ..Endpoints::default() })
    };
    let hosts: IndexMap<HostName, Host> =
        inventory.hosts().map(|host| (host.name.clone(), host)).collect();
    let config = DriverConfig {
        run: header.run,
        endpoints: names.iter().map(endpoint).collect(),
        orders: Orders::Playbook(Arc::new(playbook)),
        is_check: false,
        scale,
        inventory,
        hosts,
        limit: None,
        extra_vars: Vars::default(),
        operator: Arc::new(NobodyThere),
        connector: Arc::new(connector),
    };
    let driver = Driver::new(
        config,
        Scheduler::new(draft),
        RunState::default(),
        Arc::new(Memory::default()),
        Vec::new(),
    );
    (driver, EventKind::RunStarted(Box::new(header)))
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_question_that_hangs_does_not_keep_an_operator_who_leaves() {
    let connector = Databases { hangs: true, ..Databases::default() };
    let (driver, opening) = run(1, Some(WorkQuery::NotReadyPackages), connector);
    let (stop, stops) = mpsc::channel(1);
    stop.send(StopStage::Cancel).await.expect("there is room");

    let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

    let state = driven.expect("it ends at once").expect("it is recorded");
    assert_eq!(state.result, Some(RunResult::Stopped));
}

#[tokio::test]
async fn readings_of_the_cmdb_draw_from_its_limit() {
    let connector = Databases::default();
    let most = Arc::clone(&connector.most);
    let (driver, opening) = run(12, None, connector);
    let (_stop, stops) = mpsc::channel(1);

    let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

    let state = driven.expect("it ends").expect("it is recorded");
    assert_eq!(state.result, Some(RunResult::Done));
    assert_eq!(most.load(Ordering::SeqCst), 2, "readings at one time");
    assert!(state.steps().all(|(_, step)| step.changes.is_empty()), "no intent is recorded");
}

#[tokio::test]
async fn a_reader_that_panics_does_not_end_the_run() {
    struct Clumsy;
    impl Observer for Clumsy {
        fn observe(&mut self, _: &Event, _: &RunState) {
            panic!("a mistake on the screen");
        }

        fn tick(&mut self, _: Now, _: &Gauge, _: &RunState) {}
    }
    let (mut driver, opening) = run(1, None, Databases::default());
    driver.observers.push(Box::new(Clumsy));
    let (_stop, stops) = mpsc::channel(1);

    let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

    assert_eq!(driven.expect("it ends").expect("recorded").result, Some(RunResult::Done));
}

#[tokio::test]
async fn a_question_that_panics_ends_the_play_and_not_in_silence() {
    let (mut driver, opening) = run(1, Some(WorkQuery::NotReadyPackages), Databases::default());
    drop(driver.emit(opening).expect("it is the first"));
    while let Some(command) = driver.scheduler.poll(driver.clock.now()) {
        if !matches!(command, Command::FindWork { .. }) {
            driver.execute(command).expect("it is executed");
        }
    }
    let abort = driver.tasks.spawn(async { panic!("a mistake in the question") });
    let question = Question { play: PlayNo(0), is_oracle: false, abort: abort.clone() };
    driver.questions.insert(abort.id(), question);
    let ended = driver.tasks.join_next_with_id().await.expect("it ended");

    driver.ended(ended).expect("it is heard");
    while let Some(command) = driver.scheduler.poll(driver.clock.now()) {
        driver.execute(command).expect("it is executed");
    }

    assert_eq!(driver.state.result, Some(RunResult::Bug));
}
