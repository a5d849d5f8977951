use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use indexmap::IndexMap;
use serde_json::json;

use super::questions::Asked;
use super::*;
use crate::action;
use crate::engine::{Endpoints, NobodyThere, Operator};
use crate::event::{
    Ack, Answer, AnsweredBy, Gauge, PlayHeader, Reply, RunMode, RunStarted, TaskHeader,
};
use crate::host::queries::whole_schema;
use crate::model::{
    ActionCall, Cost, Credential, Group, Host, HostName, Inventory, Limits, Now, Order, Play,
    Playbook, RunId, Safeguards, TagChoice, Task, TaskFlow, TaskId, TimeScale, Vars, WorkQuery,
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

pub(super) fn refused() -> TransportError {
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
    let action =
        ActionCall { action: "cmdb_query".to_owned(), params: json!({ "query": "this_server" }) };
    run_of(action, TaskFlow::default(), Arc::new(NobodyThere), hosts, work, connector)
}

/// A run of one task on `hosts` Notification Servers.
pub(super) fn run_of(
    action: ActionCall,
    flow: TaskFlow,
    operator: Arc<dyn Operator>,
    hosts: usize,
    work: Option<WorkQuery>,
    connector: impl Connector + 'static,
) -> (Driver, EventKind) {
    let names: Vec<HostName> = (0..hosts).map(|n| HostName::new(format!("smp{n}"))).collect();
    let group = Group {
        hosts: names.iter().map(|name| (name.clone(), Vars::default())).collect(),
        ..Group::default()
    };
    let inventory = Inventory::new(IndexMap::from([("servers".to_owned(), group)])).expect("one");
    let task = Task {
        id: TaskId { play: PlayNo(0), task: 0 },
        name: "Read".to_owned(),
        action,
        when: None,
        register: Some("result".to_owned()),
        uses: Cost::none(),
        causes: None,
        within: None,
        line: 1,
        flow,
    };
    let play = Play {
        name: "Read".to_owned(),
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
    let scale = TimeScale::REAL;
    let limits = Limits::default();
    let request = DraftRequest {
        window: None,
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
    let traits = |name: &str| {
        let action = action::find(name).expect("an action");
        let (is_once, is_idle) = (action.is_once(), action.is_idle());
        ActionTraits { is_once, is_idle, ..ActionTraits::of_host(Duration::from_secs(60), true) }
    };
    let draft = Draft::new(&request, &traits);
    let header = RunStarted {
        seed: request.seed,
        scale,
        limits: limits.clone(),
        plays: vec![PlayHeader {
            name: "Read".to_owned(),
            tasks: vec![TaskHeader::new("Read", "cmdb_query")],
        }],
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(1)))
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
        let (winrm, cmdb) = (Some(target.clone()), Some(target));
        (name.clone(), Endpoints { winrm, cmdb, ..Endpoints::default() })
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
        operator,
        unfinished: Arc::from([]),
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

pub(super) const SOON: Duration = Duration::from_secs(20);

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
    let question = Question { asked: Asked::Work(PlayNo(0)), abort: abort.clone() };
    driver.questions.insert(abort.id(), question);
    let ended = driver.tasks.join_next_with_id().await.expect("it ended");

    driver.ended(ended).expect("it is heard");
    while let Some(command) = driver.scheduler.poll(driver.clock.now()) {
        driver.execute(command).expect("it is executed");
    }

    assert_eq!(driver.state.result, Some(RunResult::Bug));
}

/// An operator who says the same to every question, or never says anything.
pub(super) struct Says(pub(super) Option<Reply>, pub(super) AtomicUsize);

impl Operator for Says {
    fn ask(self: Arc<Self>, _: crate::event::Question) -> BoxFuture<'static, Answer> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let (user, by) = ("ana".to_owned(), AnsweredBy::Terminal);
        match self.0 {
            Some(reply) => std::future::ready(Answer { reply, user, by }).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

pub(super) fn confirm() -> ActionCall {
    let params = json!({ "name": "go", "say": "Go on" });
    ActionCall { action: "confirm".to_owned(), params }
}

#[tokio::test]
async fn an_operator_is_asked_once_for_all_hosts_and_what_he_says_is_on_record() {
    let operator = Arc::new(Says(Some(Reply::Confirmed), AtomicUsize::new(0)));
    let asked = Arc::clone(&operator) as Arc<dyn Operator>;
    let (driver, opening) =
        run_of(confirm(), TaskFlow::default(), asked, 9, None, Databases::default());
    let (_stop, stops) = mpsc::channel(1);

    let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

    let state = driven.expect("it ends").expect("it is recorded");
    assert_eq!(state.result, Some(RunResult::Done));
    assert_eq!(operator.1.load(Ordering::SeqCst), 1);
    let asked = &state.plays[&PlayNo(0)].confirmations[&0];
    assert_eq!(asked.answer.as_ref().map(|(answer, _)| answer.user.as_str()), Some("ana"));
    assert!(state.plays[&PlayNo(0)].hosts.values().all(|host| host.outcome.is_some()));
}

#[tokio::test]
async fn a_run_does_not_end_as_done_when_the_operator_says_no() {
    for reply in [Reply::Declined, Reply::NobodyThere] {
        let operator = Arc::new(Says(Some(reply), AtomicUsize::new(0)));
        let (driver, opening) =
            run_of(confirm(), TaskFlow::default(), operator, 3, None, Databases::default());
        let (_stop, stops) = mpsc::channel(1);

        let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

        let state = driven.expect("it ends").expect("it is recorded");
        assert_eq!(state.result, Some(RunResult::Unconfirmed));
        assert!(state.plays[&PlayNo(0)].hosts.values().all(|host| host.outcome.is_none()));
    }
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_person_nor_for_time_to_pass() {
    let pause = ActionCall { action: "pause".to_owned(), params: json!({ "for": "50 s" }) };
    for action in [confirm(), pause] {
        let operator = Arc::new(Says(None, AtomicUsize::new(0)));
        let (driver, opening) =
            run_of(action, TaskFlow::default(), operator, 2, None, Databases::default());
        let (stop, stops) = mpsc::channel(1);
        let drains = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.send(StopStage::Drain).await.expect("it listens");
        };

        let driven = tokio::time::timeout(SOON, async {
            tokio::join!(driver.drive(opening, stops), drains)
        });

        let state = driven.await.expect("it ends").0.expect("it is recorded");
        assert_eq!(state.result, Some(RunResult::Stopped));
        assert!(state.plays[&PlayNo(0)].hosts.values().all(|host| host.outcome.is_none()));
    }
}

#[tokio::test]
async fn a_loop_reads_item_by_item_and_draws_for_each() {
    let connector = Databases::default();
    let most = Arc::clone(&connector.most);
    let action =
        ActionCall { action: "cmdb_query".to_owned(), params: json!({ "query": "{{ item }}" }) };
    let each = Some(json!(["this_server", "package_servers", "this_server"]));
    let flow = TaskFlow { each, ..TaskFlow::default() };
    let (driver, opening) = run_of(action, flow, Arc::new(NobodyThere), 6, None, connector);
    let (_stop, stops) = mpsc::channel(1);

    let driven = tokio::time::timeout(SOON, driver.drive(opening, stops)).await;

    let state = driven.expect("it ends").expect("it is recorded");
    assert_eq!(state.result, Some(RunResult::Done));
    assert_eq!(most.load(Ordering::SeqCst), 2, "readings at one time");
    for (_, step) in state.steps() {
        assert_eq!(step.parts.len(), 2, "the last item ends the step");
        let results = step.value.as_array().expect("a list");
        let items: Vec<_> = results.iter().map(|result| result["item"].clone()).collect();
        assert_eq!(items, ["this_server", "package_servers", "this_server"]);
    }
}

#[tokio::test]
async fn a_loop_ends_with_its_first_failure_and_goes_on_where_failures_are_ignored() {
    for (ignore_errors, done) in [(false, 2), (true, 3)] {
        let action = ActionCall {
            action: "assert".to_owned(),
            params: json!({ "that": [{ "expression": "item < 2", "value": "{{ item < 2 }}" }] }),
        };
        let each = Some(json!([1, 2, 1]));
        let flow = TaskFlow { each, ignore_errors, ..TaskFlow::default() };
        let operator = Arc::new(NobodyThere);
        let (driver, opening) = run_of(action, flow, operator, 1, None, Databases::default());
        let (_stop, stops) = mpsc::channel(1);

        let state = driver.drive(opening, stops).await.expect("it is recorded");

        let (_, step) = state.steps().next().expect("a step");
        assert_eq!(step.value.as_array().map(Vec::len), Some(done));
        let message = step.failure.as_ref().map(ToString::to_string).expect("a failure");
        assert_eq!(message, "item `2`: `item < 2` does not hold");
        assert_eq!(state.result == Some(RunResult::Done), ignore_errors);
    }
}
