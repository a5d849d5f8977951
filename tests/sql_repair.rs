//! Repairs of the CMDB over TCP: exactly the intended rows or none, whatever is cut, and back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; helpers are not test functions to clippy"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetmend::action::{self, Applied, Decision};
use fleetmend::event::{ChangeRecord, Undo};
use fleetmend::host::{PriorChange, Session, SessionConfig};
use fleetmend::lab::cmdb::{Cmdb, PackageServerRow};
use fleetmend::lab::front::{
    Account, Accounts, ConnectionFault, Faults, NoFaults, Protocol, RequestFault,
};
use fleetmend::lab::tds::{CMDB_WRITERS, TdsFront, TdsSettings};
use fleetmend::model::{
    Credential, FailureClass, Guid, Host, HostName, PlayNo, RunId, StepFailure, TaskId, TimeScale,
};
use fleetmend::secret::Secret;
use fleetmend::transport::{Deadline, NetworkConnector, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const READER: &str = "cmdb-reader";
const WRITER: &str = "cmdb-writer";
const PASSWORD: &str = "Lock-Ring 7 é";
const SERVERS: u128 = 200;
const PACKAGES: u128 = 50;
const LOCAL: Guid = Guid::from_u128(0x5000);
const PARENT: Guid = Guid::from_u128(0x5001);

fn server(number: u128) -> Guid {
    Guid::from_u128(0xA000 + number)
}

fn package(number: u128) -> Guid {
    Guid::from_u128(0xB000 + number)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// The tables that must not differ but where they are meant to.
const TABLES: [&str; 9] = [
    "SWDPackageServer",
    "SWDPackage",
    "SWDPackageCodebase",
    "ItemNSSource",
    "OriginNSSourceNS",
    "ForwardServer",
    "vThisNS",
    "vItem",
    "backupset",
];

type Tables = BTreeMap<&'static str, Vec<String>>;

fn tables(cmdb: &Cmdb) -> Tables {
    TABLES.into_iter().map(|table| (table, cmdb.dump(table).unwrap())).collect()
}

/// The same in short, for comparing often.
type Prints = BTreeMap<&'static str, u64>;

fn prints(cmdb: &Cmdb) -> Prints {
    TABLES.into_iter().map(|table| (table, cmdb.fingerprint(table).unwrap())).collect()
}

/// Each repair with the prints of all tables before and after it.
async fn known_repairs(cmdb: &Cmdb, address: SocketAddr) -> (Prints, Vec<(Value, Prints)>) {
    let before = prints(cmdb);
    let mut known = Vec::new();
    for (number, (params, table, rows)) in (0xF000_0000..).zip(repairs(&tables(cmdb))) {
        let mut run = Run::new(number, address, Some(address));
        let record = run.decided(&params).await;
        run.apply(&record.change).await.unwrap();
        assert!(cmdb.dump(table).unwrap() == rows);
        let after = prints(cmdb);
        assert!(after != before);
        run.undo(&record).await.unwrap();
        assert!(prints(cmdb) == before);
        known.push((params, after));
    }
    (before, known)
}

/// 200 servers with 50 packages each, a codebase for each pair, cells of every hostile kind,
/// duplicates of two packages, and three packages that come from another server.
fn seeded() -> Cmdb {
    const HOSTILE: [&str; 6] = [
        "'; DROP TABLE SWDPackageServer; --",
        "]]; DELETE FROM [SWDPackageServer] --",
        "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}",
        "/* @P1 */ \" ` \\ %_[]",
        "The trust relationship failed(1789). Zürich 𝄞",
        "",
    ];
    let cmdb = Cmdb::new().unwrap();
    cmdb.set_this_server(LOCAL, "smp01").unwrap();
    cmdb.add_backup("nightly", cmdb.now() - jiff::SignedDuration::from_hours(5), false).unwrap();
    for p in 0..PACKAGES {
        cmdb.upsert_package(package(p), &format!("Package {p} ' ] --"), "7").unwrap();
    }
    for s in 0..SERVERS {
        for p in 0..PACKAGES {
            let hostile = usize::try_from(s + p).unwrap() % (HOSTILE.len() * 3);
            let version = match HOSTILE.get(hostile) {
                Some(text) => Some((*text).to_owned()),
                None if hostile == 7 => None,
                None => Some((1_600_000_000 + s + p).to_string()),
            };
            let status = (hostile != 8).then(|| "Ready".to_owned());
            let row = PackageServerRow { server: server(s), package: package(p), status, version };
            cmdb.add_package_server_row(&row).unwrap();
            // Two packages have one or two more of the same rows on some servers.
            let surplus = if p < 2 { s % 3 } else { 0 };
            for _ in 0..surplus {
                cmdb.add_package_server_row(&row).unwrap();
            }
            let url = format!("http://ps-{s}/it's]--/{{{p}}}");
            cmdb.upsert_codebase(package(p), &url, &server(s).to_string(), HOSTILE[hostile % 6])
                .unwrap();
        }
    }
    for p in 10..13 {
        cmdb.set_origin(package(p), PARENT, "old-parent").unwrap();
    }
    cmdb
}

async fn front(cmdb: &Cmdb, faults: Arc<dyn Faults>) -> TdsFront {
    let account = |user: &str, groups: &[&str]| Account {
        domain: String::new(),
        user: user.into(),
        password: Secret::new(PASSWORD.into()),
        sid: "S-1-9-3-1".into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let settings = TdsSettings {
        server: "SQL01".into(),
        database: "Symantec_CMDB".into(),
        cmdb: cmdb.clone(),
        accounts: Accounts::new(vec![account(READER, &[]), account(WRITER, &[CMDB_WRITERS])]),
        faults,
    };
    TdsFront::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

/// A run of one step, with what it decided so far.
struct Run {
    session: Session,
    prior: Vec<ChangeRecord>,
}

impl Run {
    /// Reads at `reading` and changes at `writing`; without that there is no writer.
    fn new(number: u128, reading: SocketAddr, writing: Option<SocketAddr>) -> Self {
        let target = |address: SocketAddr, user: &str| Target {
            host: HostName::new("smp01"),
            address: address.ip().to_string(),
            port: address.port(),
            credential: Credential { user: user.into(), password: Secret::new(PASSWORD.into()) },
            option: Some("Symantec_CMDB".into()),
        };
        let session = Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::from_u128(number << 96)),
            host: Host {
                name: HostName::new("smp01"),
                groups: Arc::from([]),
                vars: Arc::default(),
            },
            work: Arc::from([]),
            scale: TimeScale::REAL,
            winrm: None,
            smb: None,
            cmdb: Some(target(reading, READER)),
            connector: Arc::new(NetworkConnector),
        })
        .with_cmdb_writer(writing.map(|address| target(address, WRITER)));
        Self { session, prior: Vec::new() }
    }

    fn prior(&self) -> Arc<[PriorChange]> {
        self.prior
            .iter()
            .map(|record| PriorChange {
                action: record.action.clone(),
                change: record.change.clone(),
            })
            .collect()
    }

    async fn decide(&self, params: &Value) -> Result<Decision, StepFailure> {
        let action = action::find("cmdb_repair").unwrap();
        let prepared = action.prepare(params.clone()).expect("parameters that fit");
        let task = TaskId { play: PlayNo(0), task: 1 };
        let reader = self.session.reader(soon(), self.prior()).for_task(task);
        prepared.decide(&reader).await
    }

    /// The change that is decided on; as the journal gives it back.
    async fn decided(&mut self, params: &Value) -> ChangeRecord {
        match self.decide(params).await {
            Ok(Decision::Change(record, _)) => {
                let text = serde_json::to_string(&record).unwrap();
                let record: ChangeRecord = serde_json::from_str(&text).unwrap();
                self.prior.push(record.clone());
                record
            }
            other => panic!("a change is due: {other:?}"),
        }
    }

    async fn apply(&self, change: &Value) -> Result<Applied, StepFailure> {
        let changer = self.session.changer(soon(), self.prior());
        action::find("cmdb_repair").unwrap().apply(change, &changer).await
    }

    async fn undo(&self, record: &ChangeRecord) -> Result<Applied, StepFailure> {
        let Undo::With(inverse) = &record.undo else { panic!("it can be undone") };
        self.apply(inverse).await
    }

    async fn refusal(&self, params: &Value) -> String {
        match self.decide(params).await {
            Err(failure) => {
                assert_eq!(failure.class, FailureClass::Refused, "{failure:?}");
                failure.message
            }
            Ok(other) => panic!("a refusal is due: {other:?}"),
        }
    }
}

fn codebases() -> Value {
    json!({
        "repair": "delete_codebases",
        "packages": [package(3), package(4)],
        "servers": (0..20).map(server).collect::<Vec<_>>(),
        "expect": { "max": 40 },
        "attest_unused_package_setting": true,
    })
}

fn status() -> Value {
    json!({
        "repair": "delete_package_status",
        "packages": [package(0), package(5)],
        "servers": (50..90).map(server).collect::<Vec<_>>(),
        "expect": { "max": 400 },
        "attest_unused_package_setting": true,
    })
}

fn duplicates() -> Value {
    json!({
        "repair": "remove_duplicates",
        "packages": [package(1)],
        "servers": (0..30).map(server).collect::<Vec<_>>(),
        "expect": { "max": 30 },
    })
}

fn origin() -> Value {
    json!({
        "repair": "set_origin",
        "packages": [package(10), package(11), package(20)],
        "owner_guid": LOCAL,
        "left_hierarchy": [PARENT],
        "expect": { "max": 2 },
    })
}

/// Each repair, its table, and the rows of that table as they must be after it.
fn repairs(before: &Tables) -> Vec<(Value, &'static str, Vec<String>)> {
    let is_of = |row: &str, key: Guid| row.contains(&key.bare());
    let any = |row: &str, mut keys: std::ops::Range<u128>, make: fn(u128) -> Guid| {
        keys.any(|number| is_of(row, make(number)))
    };
    let kept = |table: &str, gone: &dyn Fn(&str) -> bool| -> Vec<String> {
        before[table].iter().filter(|row| !gone(row)).cloned().collect()
    };
    let codebases_left =
        kept("SWDPackageCodebase", &|row| any(row, 3..5, package) && any(row, 0..20, server));
    let status_left = kept("SWDPackageServer", &|row| {
        (is_of(row, package(0)) || is_of(row, package(5))) && any(row, 50..90, server)
    });
    let mut once = before["SWDPackageServer"].clone();
    let mut last = String::new();
    once.retain(|row| {
        let is_meant = is_of(row, package(1)) && any(row, 0..30, server);
        let is_surplus = is_meant && *row == last;
        last.clone_from(row);
        !is_surplus
    });
    let mut origins: Vec<String> = before["ItemNSSource"]
        .iter()
        .map(|row| {
            let changes = is_of(row, package(10)) || is_of(row, package(11));
            if changes { row.replace("Integer(2)", "Integer(1)") } else { row.clone() }
        })
        .collect();
    origins.sort_unstable();
    vec![
        (codebases(), "SWDPackageCodebase", codebases_left),
        (status(), "SWDPackageServer", status_left),
        (duplicates(), "SWDPackageServer", once),
        (origin(), "ItemNSSource", origins),
    ]
}

#[tokio::test]
async fn exactly_the_intended_rows_differ_and_undo_brings_them_back() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let before = tables(&cmdb);

    for (number, (params, table, rows)) in (1..).zip(repairs(&before)) {
        let mut run = Run::new(number, front.address(), Some(front.address()));
        let record = run.decided(&params).await;
        assert!(tables(&cmdb) == before, "deciding changes nothing");
        assert!(rows != before[table], "the test means something");

        let applied = run.apply(&record.change).await.unwrap();

        assert!(!applied.was_so_already);
        let mut expected = before.clone();
        expected.insert(table, rows);
        assert!(tables(&cmdb) == expected, "{}", params["repair"]);
        let backup = format!("fleetmend_backup_20260101_{number:08x}_1_2");
        assert!(cmdb.made_tables().unwrap().contains(&backup), "{:?}", cmdb.made_tables());
        assert!(run.apply(&record.change).await.unwrap().was_so_already, "once is enough");
        assert!(tables(&cmdb) == expected);

        assert!(!run.undo(&record).await.unwrap().was_so_already);
        assert!(tables(&cmdb) == before, "{}", params["repair"]);
        assert!(run.undo(&record).await.unwrap().was_so_already);
        assert!(cmdb.made_tables().unwrap().contains(&backup), "undo never drops the copy");
    }
    front.stop().await;
}

#[tokio::test]
async fn the_whole_table_needs_its_sentence_and_then_goes_and_comes_back() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let before = tables(&cmdb);
    let mut run = Run::new(1, front.address(), Some(front.address()));
    let mut params = json!({
        "repair": "delete_codebases", "all": true, "expect": { "max": 10_000 },
        "attest_unused_package_setting": true,
    });
    for typed in [None, Some("yes"), Some("delete all rows of SWDPackageCodebase")] {
        params["typed"] = json!(typed);
        assert!(run.refusal(&params).await.contains("DELETE ALL ROWS OF SWDPackageCodebase"));
    }
    params["typed"] = json!("DELETE ALL ROWS OF SWDPackageCodebase");

    let record = run.decided(&params).await;
    run.apply(&record.change).await.unwrap();
    assert!(tables(&cmdb)["SWDPackageCodebase"].is_empty());

    run.undo(&record).await.unwrap();
    assert!(tables(&cmdb) == before);
}

#[tokio::test]
async fn what_is_not_safe_is_refused_before_anything_is_changed() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let before = tables(&cmdb);
    let run = Run::new(1, front.address(), Some(front.address()));
    let with = |mut params: Value, name: &str, value: Value| {
        params[name] = value;
        params
    };

    for (params, why) in [
        (with(codebases(), "expect", json!({ "max": 39 })), "40 rows"),
        (with(codebases(), "expect", Value::Null), "expect"),
        (with(codebases(), "attest_unused_package_setting", json!(false)), "1 Week"),
        (with(codebases(), "backup_within", json!("4 h")), "ended 5h00m"),
        (with(codebases(), "packages", json!([])), "by package"),
        (with(origin(), "left_hierarchy", json!([])), "left_hierarchy"),
        (with(origin(), "live_parents", json!([PARENT])), "a parent"),
        (with(origin(), "owner_guid", json!(PARENT)), "must be the same"),
        (with(origin(), "owner_guid", json!(server(1))), "exactly one"),
        (with(origin(), "packages", json!([package(999)])), "no row in ItemNSSource"),
        (with(origin(), "all", json!(true)), "narrowed"),
        (
            json!({ "repair": "remove_duplicates", "expect": { "max": 1 } }),
            "no packages or servers",
        ),
        (json!({}), "either"),
        (json!({ "purge_backup": "SWDPackageServer" }), "no name of a backup table"),
    ] {
        let refusal = run.refusal(&params).await;
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
    cmdb.mark_column("SWDPackageServer", "Version", true, false).unwrap();
    assert!(run.refusal(&status()).await.contains("Version (an identity)"));
    cmdb.mark_column("SWDPackageServer", "Version", false, true).unwrap();
    assert!(run.refusal(&status()).await.contains("Version (computed)"));
    assert!(tables(&cmdb) == before);
    assert!(cmdb.made_tables().unwrap().is_empty());
}

#[tokio::test]
async fn rows_of_a_pair_that_differ_are_no_duplicates() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let row = PackageServerRow {
        server: server(7),
        package: package(1),
        status: Some("READY".to_owned()),
        version: Some("another".to_owned()),
    };
    cmdb.add_package_server_row(&row).unwrap();
    let run = Run::new(1, front.address(), Some(front.address()));

    let refusal = run.refusal(&duplicates()).await;

    assert!(refusal.contains("differ in Status, Version"), "{refusal}");
}

#[tokio::test]
async fn without_a_writer_nothing_is_even_asked() {
    // Nothing listens there.
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let run = Run::new(1, nowhere, None);

    assert!(run.refusal(&status()).await.contains("writer_credential"));
}

#[tokio::test]
async fn rows_that_changed_since_they_were_read_stop_the_repair_and_the_undo() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let mut run = Run::new(1, front.address(), Some(front.address()));
    let record = run.decided(&status()).await;
    cmdb.upsert_package_server_row(server(60), package(5), "Invalid", Some("x")).unwrap();
    let before = tables(&cmdb);

    let failure = run.apply(&record.change).await.unwrap_err();
    assert!(failure.message.contains("2 rows"), "{failure:?}");
    assert!(tables(&cmdb) == before);
    assert!(cmdb.made_tables().unwrap().is_empty());

    let record = run.decided(&status()).await;
    run.apply(&record.change).await.unwrap();
    cmdb.upsert_package_server_row(server(60), package(5), "Ready", Some("8")).unwrap();
    let drifted = tables(&cmdb);
    let failure = run.undo(&record).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains("1 rows") && failure.message.contains("changed since"));
    assert!(tables(&cmdb) == drifted);

    cmdb.delete_package_server_row(server(60), package(5)).unwrap();
    run.undo(&record).await.unwrap();
    assert!(tables(&cmdb) == before);
}

#[tokio::test]
async fn a_copy_is_dropped_only_when_asked_for_by_name_and_not_by_its_own_run() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let mut run = Run::new(1, front.address(), Some(front.address()));
    let record = run.decided(&origin()).await;
    run.apply(&record.change).await.unwrap();
    let name = cmdb.made_tables().unwrap().remove(0);
    let purge = json!({ "purge_backup": name });
    assert!(run.refusal(&purge).await.contains("this run"));

    let mut later = Run::new(2, front.address(), Some(front.address()));
    let dropped = later.decided(&purge).await;
    assert!(matches!(dropped.undo, Undo::Impossible(_)));
    later.apply(&dropped.change).await.unwrap();
    assert!(cmdb.made_tables().unwrap().is_empty());
    assert!(later.apply(&dropped.change).await.unwrap().was_so_already);
    let failure = run.undo(&record).await.unwrap_err();
    assert!(failure.message.contains("is gone"), "{failure:?}");
}

/// Meets the n-th request of the writer with a fault.
struct Nth {
    left: Mutex<Option<(usize, RequestFault)>>,
    asked: AtomicUsize,
}

impl Faults for Nth {
    fn on_connect(&self, _: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _: Protocol, _: &str) -> Option<RequestFault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut left = self.left.lock().unwrap();
        match &mut *left {
            None => None,
            Some((0, fault)) => {
                let fault = *fault;
                *left = None;
                Some(fault)
            }
            Some((count, _)) => {
                *count -= 1;
                None
            }
        }
    }
}

/// After a failed or cut step: all or nothing, and a resumed run knows which and ends well; undo of
/// everything that was decided brings the table back.
async fn resumes_and_returns(
    run: &mut Run,
    cmdb: &Cmdb,
    params: &Value,
    outcome: Result<Applied, StepFailure>,
    (before, after): (&Prints, &Prints),
) {
    let resumed = run.decide(params).await.unwrap();
    let now = prints(cmdb);
    let is_done = match resumed {
        Decision::Unchanged { note, .. } => {
            assert!(note.contains("was done before"), "{note}");
            true
        }
        Decision::Change(..) => false,
    };
    assert!(now == if is_done { after } else { before }.clone(), "all or nothing");
    match outcome {
        Ok(_) => assert!(is_done, "what was said to be done is done"),
        Err(failure) if failure.class == FailureClass::InDoubt => {}
        Err(failure) => assert!(!is_done, "what was said to have failed is not done: {failure:?}"),
    }
    if !is_done {
        let again = run.decided(params).await;
        run.apply(&again.change).await.unwrap();
        assert!(prints(cmdb) == *after);
    }
    for record in run.prior.iter().rev() {
        run.undo(record).await.unwrap();
    }
    assert!(prints(cmdb) == *before, "undo brings everything back");
}

#[tokio::test]
async fn a_fault_at_every_request_leaves_all_or_nothing() {
    let cmdb = seeded();
    let faults = Arc::new(Nth { left: Mutex::new(None), asked: AtomicUsize::new(0) });
    let front = front(&cmdb, Arc::clone(&faults) as Arc<dyn Faults>).await;
    let (before, repairs) = known_repairs(&cmdb, front.address()).await;
    let mut number = 0;
    let mut met = 0;
    for (params, after) in repairs {
        for fault in [
            RequestFault::Deadlock,
            RequestFault::LockTimeout,
            RequestFault::StatementFails,
            RequestFault::Drop,
            RequestFault::Truncate,
        ] {
            for nth in 0.. {
                number += 1;
                let mut run = Run::new(number, front.address(), Some(front.address()));
                let record = run.decided(&params).await;
                *faults.left.lock().unwrap() = Some((nth, fault));
                let outcome = run.apply(&record.change).await;
                if faults.left.lock().unwrap().take().is_some() {
                    // There were fewer requests than that: every one has met the fault.
                    run.undo(&record).await.unwrap();
                    break;
                }
                met += 1;
                resumes_and_returns(&mut run, &cmdb, &params, outcome, (&before, &after)).await;
                run.session.close().await;
            }
        }
    }
    assert!(met >= 4 * 5 * 8, "{met} requests met a fault");
}

/// The way to the server, which is cut after so many packets of one direction.
struct Wire {
    address: SocketAddr,
    state: Arc<WireState>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct WireState {
    /// Packets of TDS that went to the server, and that came from it.
    passed: [AtomicUsize; 2],
    /// The direction, and after how many of its packets the way is cut.
    cut: Mutex<Option<(usize, usize)>>,
    /// Whether it stays cut.
    is_down: Mutex<bool>,
    /// Whether a cut lasts.
    lasts: bool,
}

impl Wire {
    async fn lay(to: SocketAddr, lasts: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(WireState { lasts, ..WireState::default() });
        let own = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *own.is_down.lock().unwrap() {
                    continue;
                }
                let server = TcpStream::connect(to).await.unwrap();
                let own = Arc::clone(&own);
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Whichever ends first ends both: that is the cut.
                    tokio::select! {
                        () = own.carry(0, from_client, to_server) => {}
                        () = own.carry(1, from_server, to_client) => {}
                    }
                });
            }
        });
        Self { address, state, task }
    }

    fn reset(&self, cut: Option<(usize, usize)>) {
        self.state.passed.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        *self.state.cut.lock().unwrap() = cut;
        *self.state.is_down.lock().unwrap() = false;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WireState {
    async fn carry(
        &self,
        direction: usize,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
    ) {
        loop {
            let mut header = [0; 8];
            if from.read_exact(&mut header).await.is_err() {
                return;
            }
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let mut packet = header.to_vec();
            packet.resize(length.max(8), 0);
            if from.read_exact(&mut packet[8..]).await.is_err() {
                return;
            }
            let passed = self.passed[direction].fetch_add(1, Ordering::Relaxed);
            {
                let mut cut = self.cut.lock().unwrap();
                if *cut == Some((direction, passed)) {
                    *cut = None;
                    *self.is_down.lock().unwrap() = self.lasts;
                    return;
                }
            }
            if to.write_all(&packet).await.is_err() {
                return;
            }
        }
    }
}

/// Cuts the way after every packet of both directions, in turn.
async fn cut_at_every_packet(lasts: bool, only: &[usize]) {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let wire = Wire::lay(front.address(), lasts).await;
    let (before, all) = known_repairs(&cmdb, front.address()).await;
    let (mut number, mut cuts) = (0, 0);
    for (params, after) in only.iter().map(|at| all[*at].clone()) {
        for direction in [0, 1] {
            for packets in 0.. {
                number += 1;
                let mut run = Run::new(number, front.address(), Some(wire.address));
                let record = run.decided(&params).await;
                wire.reset(Some((direction, packets)));
                let outcome = run.apply(&record.change).await;
                let was_cut = wire.state.cut.lock().unwrap().is_none();
                wire.reset(None);
                if !was_cut {
                    outcome.unwrap();
                    run.undo(&record).await.unwrap();
                    break;
                }
                cuts += 1;
                resumes_and_returns(&mut run, &cmdb, &params, outcome, (&before, &after)).await;
                run.session.close().await;
            }
        }
    }
    assert!(cuts >= 18 * only.len(), "{cuts} cuts");
}

#[tokio::test]
async fn a_cut_at_every_packet_leaves_all_or_nothing_and_resume_knows_which() {
    cut_at_every_packet(true, &[0, 1, 2, 3]).await;
}

#[tokio::test]
async fn after_a_short_cut_the_step_itself_finds_out_what_became_of_it() {
    cut_at_every_packet(false, &[1]).await;
}

#[tokio::test]
async fn an_undo_that_is_cut_at_every_packet_leaves_all_or_nothing() {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let wire = Wire::lay(front.address(), true).await;
    let (before, repairs) = known_repairs(&cmdb, front.address()).await;
    let mut number = 0;
    for (params, after) in repairs.into_iter().skip(2) {
        number += 1;
        let mut run = Run::new(number, front.address(), Some(wire.address));
        let record = run.decided(&params).await;
        run.apply(&record.change).await.unwrap();
        for direction in [0, 1] {
            for packets in 0.. {
                wire.reset(Some((direction, packets)));
                let outcome = run.undo(&record).await;
                let was_cut = wire.state.cut.lock().unwrap().is_none();
                wire.reset(None);
                // It waits for a transaction that is still open, and says what became of it.
                let again = run.undo(&record).await.unwrap();
                assert!(prints(&cmdb) == before);
                match outcome {
                    Ok(_) => assert!(again.was_so_already),
                    Err(failure) if failure.class == FailureClass::InDoubt => {}
                    Err(failure) => assert!(!again.was_so_already, "{failure:?}"),
                }
                number += 1;
                run = Run::new(number, front.address(), Some(wire.address));
                let record = run.decided(&params).await;
                run.apply(&record.change).await.unwrap();
                run.session.close().await;
                assert!(prints(&cmdb) == after);
                run = Run::new(number, front.address(), Some(wire.address));
                run.prior = vec![record];
                if !was_cut {
                    break;
                }
            }
        }
        let record = run.prior.remove(0);
        run.undo(&record).await.unwrap();
    }
}
