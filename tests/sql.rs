//! The controller's SQL client against the lab's SQL Server, over TCP.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; helpers are not test functions to clippy"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fleetmend::host::statements::{
    self, EVENT_QUEUE, NOT_READY_PACKAGES, PACKAGE_SERVERS, READINESS, THIS_SERVER,
};
use fleetmend::host::{queries, repair_statements};
use fleetmend::lab::cmdb::{Cmdb, known_statements, recognise};
use fleetmend::lab::front::{
    Account, Accounts, ConnectionFault, Faults, NoFaults, Protocol, RequestFault,
};
use fleetmend::lab::tds::{TdsFront, TdsSettings};
use fleetmend::model::{Credential, Guid, HostName};
use fleetmend::secret::Secret;
use fleetmend::transport::sql::{Protection, SqlClient};
use fleetmend::transport::{
    Deadline, ReadSql, Row, SqlParameter, SqlValue, Statement, Target, TransportError,
    TransportErrorKind,
};

#[path = "sql/queries.rs"]
mod named_queries;
#[path = "sql/troubled.rs"]
mod troubled;

use troubled::{PACKAGE, SERVER, filled};

const PASSWORD: &str = "Lock-Ring 7 é";

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Meets the next requests with these faults, one each.
struct Script {
    connect: Option<ConnectionFault>,
    requests: Mutex<VecDeque<(&'static str, RequestFault)>>,
}

impl Faults for Script {
    fn on_connect(&self, protocol: Protocol) -> Option<ConnectionFault> {
        assert_eq!(protocol, Protocol::Sql);
        self.connect
    }

    fn on_request(&self, _: Protocol, operation: &str) -> Option<RequestFault> {
        let mut requests = self.requests.lock().unwrap();
        let is_due = requests.front().is_some_and(|(wanted, _)| *wanted == operation);
        is_due.then(|| requests.pop_front().unwrap().1)
    }
}

fn requests(faults: &[(&'static str, RequestFault)]) -> Arc<dyn Faults> {
    let requests = Mutex::new(faults.iter().copied().collect());
    Arc::new(Script { connect: None, requests })
}

async fn front(cmdb: &Cmdb, faults: Arc<dyn Faults>) -> TdsFront {
    let account = Account {
        domain: "SQL01".into(),
        user: "cmdb-reader".into(),
        password: Secret::new(PASSWORD.into()),
        sid: "S-1-5-21-1-2-3-1001".into(),
        groups: Vec::new(),
    };
    let settings = TdsSettings {
        server: "SQL01".into(),
        database: "Symantec_CMDB".into(),
        cmdb: cmdb.clone(),
        accounts: Accounts::new(vec![account]),
        faults,
    };
    TdsFront::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

fn target(front: &TdsFront, user: &str, password: &str, database: &str) -> Target {
    Target {
        host: HostName::new("sql01.corp.example"),
        address: front.address().ip().to_string(),
        port: front.address().port(),
        credential: Credential { user: user.into(), password: Secret::new(password.into()) },
        option: Some(database.into()),
    }
}

async fn connect(front: &TdsFront) -> Result<SqlClient, TransportError> {
    let target = target(front, "CMDB-reader", PASSWORD, "symantec_cmdb");
    SqlClient::connect(&target, Protection::LoopbackOnly, soon()).await
}

fn kind(result: Result<impl Sized, TransportError>) -> TransportErrorKind {
    result.err().expect("an error is due").kind
}

#[test]
fn the_lab_knows_exactly_the_statements_that_the_controller_sends() {
    let sent: Vec<_> = statements::ALL
        .into_iter()
        .chain(queries::statements())
        .chain(repair_statements::ALL)
        .collect();
    for statement in &sent {
        assert_eq!(recognise(statement.text), Some(statement.name));
    }
    let mut sent: Vec<_> = sent.iter().map(|statement| statement.name).collect();
    let mut known: Vec<_> = known_statements().collect();
    sent.sort_unstable();
    sent.dedup();
    known.sort_unstable();
    assert_eq!(sent, known);
}

#[tokio::test]
async fn every_statement_gives_typed_rows_over_the_wire() {
    let front = front(&filled(), Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();

    let rows = client.query(&NOT_READY_PACKAGES, &[], soon()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].guid("ServerGuid"), Some(SERVER));
    assert_eq!(rows[0].text("ServerName"), Some("PS-ZÜRICH-01"));
    assert_eq!(rows[0].text("OriginServer"), Some("smp01"));
    assert_eq!(
        (rows[0].text("CurrentVersion"), rows[0].text("ReportedVersion")),
        (Some("4"), Some("3"))
    );

    let ready = async |server| {
        client.query(&READINESS, &[SqlParameter::Guid(server)], soon()).await.unwrap()
    };
    let rows: Vec<Row> = ready(SERVER).await;
    assert_eq!((rows.len(), rows[0].guid("PackageGuid")), (1, Some(PACKAGE)));
    assert!(ready(Guid::from_u128(2)).await.is_empty());

    let rows = client.query(&PACKAGE_SERVERS, &[], soon()).await.unwrap();
    let at = SqlValue::Timestamp("2026-11-20T08:30:00.123Z".parse().unwrap());
    assert_eq!(rows[0].get("LastInventory"), Some(&at));
    assert_eq!(rows[0].text("AgentVersion"), Some("8.6.3268.0"));

    let rows = client.query(&THIS_SERVER, &[], soon()).await.unwrap();
    assert_eq!(rows[0].get("ServerId"), Some(&SqlValue::Integer(1)));
    let rows = client.query(&EVENT_QUEUE, &[], soon()).await.unwrap();
    assert_eq!(rows[0].get("Entries"), Some(&SqlValue::Integer(0)));
    assert_eq!(rows[0].get("OldestId"), Some(&SqlValue::Null));

    let flags =
        Statement { name: "t", text: "SELECT _Latest, Name FROM SWDPackage WHERE Name = @P1" };
    let name = SqlParameter::Text("7-ZIP".into());
    let rows = client.query(&flags, &[name], soon()).await.unwrap();
    assert_eq!(rows[0].get("_latest"), Some(&SqlValue::Bool(true)));
    client.close().await;
    front.stop().await;
}

#[tokio::test]
async fn a_long_answer_and_a_long_request_cross_in_many_packets() {
    let cmdb = filled();
    for number in 0..3_000_u32 {
        let package = Guid::from_u128(0x1000 + u128::from(number));
        let error = format!("{number} {}", "Server is busy. ".repeat(20));
        cmdb.upsert_package_server_row(SERVER, package, "Not Ready", Some(&error)).unwrap();
    }
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();

    let all = Statement { name: "t", text: "SELECT * FROM SWDPackageServer ORDER BY PackageId" };
    let rows = client.query(&all, &[], soon()).await.unwrap();

    assert_eq!(rows.len(), 3_001);
    assert!(rows[3_000].text("Version").unwrap().starts_with("2999 Server is busy."));
    let long = SqlParameter::Text("x".repeat(100_000));
    let by_name = Statement { name: "t", text: "SELECT Name FROM vItem WHERE Name = @P1" };
    assert!(client.query(&by_name, &[long], soon()).await.unwrap().is_empty());
    assert_eq!(client.query(&EVENT_QUEUE, &[], soon()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_user_or_database_is_told_apart() {
    let front = front(&filled(), Arc::new(NoFaults)).await;
    let attempt = async |user: &str, password: &str, database: &str| {
        let target = target(&front, user, password, database);
        kind(SqlClient::connect(&target, Protection::LoopbackOnly, soon()).await)
    };

    let rejected = TransportErrorKind::AuthRejected;
    assert_eq!(attempt("cmdb-reader", "wrong", "Symantec_CMDB").await, rejected);
    let wrong = target(&front, "cmdb-reader", "wrong", "Symantec_CMDB");
    let error = SqlClient::connect(&wrong, Protection::LoopbackOnly, soon()).await.err().unwrap();
    let (server, host) = (format!("{}:{}", wrong.address, wrong.port), &wrong.host);
    let expected =
        format!("could not log on to SQL Server {server} (the CMDB of {host}) as `cmdb-reader`");
    assert_eq!(error.to_string(), expected, "what is connected to is named, and as whom");
    assert_eq!(attempt("nobody", PASSWORD, "Symantec_CMDB").await, rejected);
    assert_eq!(attempt("cmdb-reader", PASSWORD, "other").await, TransportErrorKind::NotFound);
    let refused = TransportErrorKind::Refused;
    assert_eq!(attempt("CORP\\cmdb-reader", PASSWORD, "Symantec_CMDB").await, refused);
}

#[tokio::test]
async fn the_password_does_not_cross_a_network_unprotected() {
    let front = front(&filled(), Arc::new(NoFaults)).await;
    let mut target = target(&front, "cmdb-reader", PASSWORD, "Symantec_CMDB");
    // TEST-NET-1: nothing answers there, and nothing is even asked.
    target.address = "192.0.2.1".into();

    let error = SqlClient::connect(&target, Protection::LoopbackOnly, soon()).await.err().unwrap();

    assert_eq!(error.kind, TransportErrorKind::Refused);
    assert!(error.to_string().contains("unprotected"), "{error}");
}

#[tokio::test]
async fn an_unknown_statement_is_an_error_and_the_session_goes_on() {
    let front = front(&filled(), Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();
    let unknown = Statement { name: "t", text: "MERGE vItem" };

    let error = client.query(&unknown, &[], soon()).await.unwrap_err();

    assert_eq!(error.kind, TransportErrorKind::Fault);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not simulated"), "{cause}");
    assert_eq!(client.query(&EVENT_QUEUE, &[], soon()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_deadlock_and_a_busy_server_leave_the_session_usable_and_a_cut_one_does_not() {
    let name = EVENT_QUEUE.name;
    let faults = [
        (name, RequestFault::Deadlock),
        (name, RequestFault::Busy),
        (name, RequestFault::Delay(Duration::from_millis(50))),
        (name, RequestFault::Drop),
    ];
    let front = front(&filled(), requests(&faults)).await;
    let client = connect(&front).await.unwrap();
    let query = async || client.query(&EVENT_QUEUE, &[], soon()).await;

    assert_eq!(kind(query().await), TransportErrorKind::Conflict);
    assert_eq!(kind(query().await), TransportErrorKind::Throttled);
    assert_eq!(query().await.unwrap().len(), 1);
    assert_eq!(kind(query().await), TransportErrorKind::Unreachable);
    assert_eq!(kind(query().await), TransportErrorKind::Unreachable, "it is over");
}

#[tokio::test]
async fn a_truncated_answer_is_no_answer() {
    let faults = requests(&[(PACKAGE_SERVERS.name, RequestFault::Truncate)]);
    let front = front(&filled(), faults).await;
    let client = connect(&front).await.unwrap();

    let result = client.query(&PACKAGE_SERVERS, &[], soon()).await;

    assert_eq!(kind(result), TransportErrorKind::Unreachable);
}

#[tokio::test]
async fn a_hanging_server_costs_no_more_than_the_deadline() {
    let faults = requests(&[(EVENT_QUEUE.name, RequestFault::Hang)]);
    let hanging = front(&filled(), faults).await;
    let client = connect(&hanging).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
    let began = Instant::now();

    let short = Deadline::after(Duration::from_millis(200));
    assert_eq!(kind(client.query(&EVENT_QUEUE, &[], short).await), TransportErrorKind::TimedOut);
    assert_eq!(
        kind(client.query(&EVENT_QUEUE, &[], soon()).await),
        TransportErrorKind::Unreachable
    );

    let silent =
        Script { connect: Some(ConnectionFault::Hang), requests: Mutex::new(VecDeque::new()) };
    let silent = front(&filled(), Arc::new(silent)).await;
    let target = target(&silent, "cmdb-reader", PASSWORD, "Symantec_CMDB");
    let short = Deadline::after(Duration::from_millis(200));
    let result = SqlClient::connect(&target, Protection::LoopbackOnly, short).await;
    assert_eq!(kind(result), TransportErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let refusing =
        Script { connect: Some(ConnectionFault::Refuse), requests: Mutex::new(VecDeque::new()) };
    let front = front(&filled(), Arc::new(refusing)).await;

    assert_eq!(kind(connect(&front).await), TransportErrorKind::Unreachable);
}

#[tokio::test]
async fn a_client_that_speaks_no_tds_is_cut_and_others_are_served_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let front = front(&filled(), Arc::new(NoFaults)).await;

    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: sql01\r\n\r\n"[..],
        // A login packet without a login, a batch before the login, a packet shorter than its header.
        &[0x10, 1, 0, 12, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x01, 1, 0, 8, 0, 0, 1, 0],
        &[0x12, 1, 0, 3, 0, 0, 1, 0],
    ] {
        let mut stream = tokio::net::TcpStream::connect(front.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let read = soon().of(stream.read_to_end(&mut answer)).await.expect("it is cut soon");
        assert!(read.is_err() || answer.is_empty(), "{answer:?}");
    }

    let client = connect(&front).await.unwrap();
    assert_eq!(client.query(&EVENT_QUEUE, &[], soon()).await.unwrap().len(), 1);
}
