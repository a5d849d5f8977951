use super::*;
use crate::event::{EventKind, Journal};
use crate::model::Elapsed;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(crate) const AT: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

fn header(id: u128) -> RunStarted {
    RunStarted {
        playbook: "p.yml".to_owned(),
        inventory: "i.yml".to_owned(),
        ..RunStarted::bare(RunId::new(uuid::Uuid::from_u128(id)))
    }
}

fn hosts(names: &[&str]) -> Vec<HostName> {
    names.iter().map(|name| HostName::new(*name)).collect()
}

/// A run under way, with its first event.
pub(crate) fn a_run() -> (tempfile::TempDir, StateDir, LiveRun) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let live = dir.start(&header(A), AT, &hosts(&["ps-1"])).expect("it starts");
    let first = EventKind::RunStarted(Box::new(header(A)));
    block_on(live.journal().append(event(0, first))).expect("it is on disk");
    (temp, dir, live)
}

/// An event at the beginning of time.
pub(crate) fn event(seq: u64, kind: EventKind) -> Event {
    Event { seq, at: AT, elapsed: Elapsed::ZERO, kind }
}

const A: u128 = 0xaaaa_0000_0000_0000_0000_0000_0000_0001;
const B: u128 = 0xaaaa_0000_0000_0000_0000_0000_0000_0002;

#[test]
fn two_live_runs_cannot_hold_the_same_host() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let first = dir.start(&header(A), AT, &hosts(&["ps-1", "ps-2"])).expect("it starts");

    let error = dir.start(&header(B), AT, &hosts(&["PS-2", "ps-3"])).expect_err("ps-2 is held");
    assert!(matches!(&error, StateDirError::Held { held } if held.len() == 1), "{error}");
    assert_eq!(dir.runs().expect("the index").len(), 1, "nothing was entered");

    first.finish(RunResult::Done, AT).expect("it ends");
    dir.start(&header(B), AT, &hosts(&["ps-2", "ps-3"])).expect("the host is free");
}

#[test]
fn a_killed_run_loses_its_hosts_at_once_and_can_be_resumed() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let run = dir.start(&header(A), AT, &hosts(&["ps-1"])).expect("it starts");
    let kind = EventKind::RunStarted(Box::new(header(A)));
    let event = Event { seq: 0, at: AT, elapsed: Elapsed::ZERO, kind };
    block_on(run.journal().append(event)).expect("it is on disk");
    drop(run);
    // A killed process leaves its leases in the index, with nobody on the lock.
    let stale = "INSERT INTO leases VALUES ('ps-1', ?1, 1, '')";
    dir.with_index(|index| index.execute(stale, [header(A).run.full()])).expect("a stale lease");

    let other = dir.start(&header(B), AT, &hosts(&["ps-1"])).expect("the host is free");
    let error = dir.resume(header(A).run, AT, &hosts(&["ps-1"])).expect_err("it is held again");
    assert!(matches!(error, StateDirError::Held { .. }));
    drop(other);

    let (resumed, events) = dir.resume(header(A).run, AT, &hosts(&["ps-1"])).expect("it goes on");
    assert_eq!(events.len(), 1);
    let error = dir.resume(header(A).run, AT, &[]).expect_err("it is under way");
    assert!(matches!(error, StateDirError::Alive { .. }));
    assert!(dir.runs().expect("the index").iter().any(|run| run.is_alive));
    drop(resumed);
    assert!(dir.runs().expect("the index").iter().all(|run| !run.is_alive));
}

#[test]
fn a_run_is_found_by_the_digits_that_only_it_begins_with() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    drop(dir.start(&header(A), AT, &[]).expect("it starts"));
    drop(dir.start(&header(B), AT, &[]).expect("it starts"));

    let error = dir.find("AAAA").expect_err("two begin so");
    assert_eq!(error.to_string(), "`AAAA` could be 2 runs: aaaa0000, aaaa0000");
    assert!(matches!(dir.find("bbbb"), Err(StateDirError::NoSuchRun { .. })));
    assert!(matches!(dir.find(""), Err(StateDirError::NoSuchRun { .. })));
    let full = header(B).run.full();
    assert_eq!(dir.find(&full).expect("one"), header(B).run);
}

#[test]
fn the_index_tells_how_a_run_ended() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let run = dir.start(&header(A), AT, &[]).expect("it starts");
    run.finish(RunResult::BudgetTripped, AT).expect("it ends");

    let runs = dir.runs().expect("the index");

    assert_eq!(runs[0].result, Some(RunResult::BudgetTripped));
    assert_eq!((runs[0].finished, runs[0].playbook.as_str()), (Some(AT), "p.yml"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_state() {
    use std::os::unix::fs::PermissionsExt;

    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("state");
    StateDir::open(&path).expect("a state directory");

    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_directory_that_cannot_be_written_is_told_so_and_the_look_leaves_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let runs = temp.path().join("runs");

    dir.expect_writable().expect("there is room");
    assert_eq!(std::fs::read_dir(&runs).expect("a folder").count(), 0);

    std::fs::remove_dir(&runs).expect("it is empty");
    let error = dir.expect_writable().expect_err("nothing can be made there");
    assert!(matches!(error, StateDirError::NotWritable { .. }), "{error}");
}
