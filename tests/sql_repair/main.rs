//! Repairs of the CMDB over TCP: exactly the intended rows or none, whatever is cut, and back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; helpers are not test functions to clippy"
)]

mod seeded;
mod wire;

use std::future::ready;
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
    Credential, FailureClass, Host, HostName, PlayNo, RunId, StepFailure, TaskId, TimeScale,
};
use fleetmend::secret::Secret;
use fleetmend::transport::{Deadline, NetworkConnector, Target};
use serde_json::{Value, json};

use crate::seeded::{
    PARENT, Prints, codebases, duplicates, origin, package, prints, repairs, seeded, server,
    status, tables,
};
use crate::wire::Wire;

const READER: &str = "cmdb-reader";
const WRITER: &str = "cmdb-writer";
const PASSWORD: &str = "Lock-Ring 7 é";
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
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
    assert_eq!(failure.class, FailureClass::Drifted);
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
/// everything that was decided brings the table back. Returns whether the repair was committed.
async fn resumes_and_returns(
    run: &mut Run,
    cmdb: &Cmdb,
    params: &Value,
    outcome: Result<Applied, StepFailure>,
    (before, after): (&Prints, &Prints),
) -> bool {
    let resumed = run.decide(params).await.unwrap();
    let now = prints(cmdb);
    let is_done = match resumed {
        Decision::WasDone { note, .. } => {
            assert!(note.contains("was done before"), "{note}");
            true
        }
        Decision::Unchanged { note, .. } => panic!("it is done or to be done: {note}"),
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
    is_done
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
            let is_an_error = matches!(fault, RequestFault::Deadlock | RequestFault::LockTimeout);
            if is_an_error && params["repair"] != "remove_duplicates" {
                // To the controller one error of a statement is as another.
                continue;
            }
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
    assert!(met >= (4 * 3 + 2) * 8, "{met} requests met a fault");
}

/// Cuts the way after every packet of both directions, in turn.
async fn cut_at_every_packet(lasts: bool, only: &[usize]) {
    let cmdb = seeded();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let wire = Wire::lay(front.address(), Box::new(move || Box::pin(ready(lasts)))).await;
    let (before, all) = known_repairs(&cmdb, front.address()).await;
    let (mut number, mut cuts, mut lost_answers) = (0, 0, 0);
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
                let ends = (&before, &after);
                let is_done = resumes_and_returns(&mut run, &cmdb, &params, outcome, ends).await;
                lost_answers += usize::from(is_done);
                run.session.close().await;
            }
        }
    }
    assert!(cuts >= 18 * only.len(), "{cuts} cuts");
    // The answer to COMMIT is one packet, so that each repair was committed and cut once.
    assert_eq!(lost_answers, only.len());
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
    let wire = Wire::lay(front.address(), Box::new(|| Box::pin(ready(true)))).await;
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
