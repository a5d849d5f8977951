use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::event::RunStarted;
use crate::ledger::{LimitKey, Load, SharedDraw, SharedSpec};
use crate::model::{Draw, LimitName};
use crate::store::LiveRun;

const AT: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

/// A clock that stands still: a minute after the boot.
fn noon() -> Moment {
    Moment { stretch: "a boot".to_owned(), at: Duration::from_secs(60) }
}

/// One that goes on by 61 s with each look: leases end.
fn hurried() -> Moment {
    static LOOKS: AtomicU64 = AtomicU64::new(1);
    let at = Duration::from_secs(61) * u32::try_from(LOOKS.fetch_add(1, Ordering::SeqCst)).unwrap();
    Moment { stretch: "a boot".to_owned(), at }
}

fn start(dir: &StateDir, id: u128) -> LiveRun {
    let header = RunStarted::bare(RunId::new(uuid::Uuid::from_u128(id)));
    dir.start(&header, AT, &[]).expect("it starts")
}

fn key() -> LimitKey {
    LimitKey { server: "sql".to_owned(), name: LimitName::new("ns_iis"), by: None }
}

/// Three at once, one in a hundred seconds, and two in flight.
fn draw(claim: u64) -> Word {
    let draw = SharedDraw {
        key: key(),
        spec: SharedSpec { rate: Some((0.01, 3)), in_flight: Some(2) },
        load: Load::from(Draw { now: 1, later: 0 }),
    };
    Word::Draw { claim: ClaimId(claim), draws: vec![draw] }
}

fn tell(ledger: &SharedLedger, words: Vec<Word>) -> Vec<(ClaimId, Answer)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(ledger.tell(words))
}

fn is_granted(ledger: &SharedLedger, claim: u64) -> bool {
    matches!(tell(ledger, vec![draw(claim)])[..], [(_, Answer::Granted { .. })])
}

#[test]
fn two_runs_of_a_state_directory_draw_from_one_limit() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let (a, b) = (start(&dir, 1), start(&dir, 2));
    let one = a.limits(noon).expect("a ledger");
    let other = b.limits(noon).expect("a ledger");

    assert!(is_granted(&one, 1) && is_granted(&other, 1));
    assert!(!is_granted(&other, 2), "two are in flight");
    let words = vec![Word::GiveBack { claim: ClaimId(1), keys: vec![key()] }, draw(2)];
    assert!(matches!(tell(&one, words)[..], [(_, Answer::Wait { .. })]), "the other one was first");
    assert!(is_granted(&other, 2));
}

#[test]
fn a_run_that_ends_gives_back_its_places_and_what_it_drew_stays_drawn() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let (a, b) = (start(&dir, 1), start(&dir, 2));
    let one = a.limits(noon).expect("a ledger");
    assert!(is_granted(&one, 1) && is_granted(&one, 2));
    drop(one);

    let other = b.limits(noon).expect("a ledger");
    assert!(is_granted(&other, 1), "a place is free and a unit is left");
    assert!(!is_granted(&other, 2), "three were drawn");
}

#[test]
fn a_run_whose_process_is_gone_holds_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let (a, b) = (start(&dir, 1), start(&dir, 2));
    let one = a.limits(noon).expect("a ledger");
    assert!(is_granted(&one, 1) && is_granted(&one, 2));
    let other = b.limits(noon).expect("a ledger");
    assert!(!is_granted(&other, 1));

    // The lock goes with the process; its places are still in the file.
    drop(a);
    assert!(is_granted(&other, 1));
}

#[test]
fn a_run_that_hangs_loses_its_places_when_its_lease_ends() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let (a, b) = (start(&dir, 1), start(&dir, 2));
    let one = a.limits(hurried).expect("a ledger");
    assert!(is_granted(&one, 1) && is_granted(&one, 2));

    let other = b.limits(hurried).expect("a ledger");
    assert!(is_granted(&other, 1), "the other one lives, and has said nothing for a minute");
}

#[test]
fn a_run_that_goes_on_in_a_new_process_starts_with_free_hands() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let run = start(&dir, 1);
    let killed = run.limits(noon).expect("a ledger");
    assert!(is_granted(&killed, 1) && is_granted(&killed, 2));
    // The thread of a process that is killed gives nothing back.
    std::mem::forget(killed);

    let resumed = run.limits(noon).expect("a ledger");
    assert!(is_granted(&resumed, 1));
}

#[test]
fn nothing_is_granted_when_the_ledger_cannot_be_read() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let run = start(&dir, 1);
    let ledger = run.limits(noon).expect("a ledger");
    assert!(is_granted(&ledger, 1));
    let index = Connection::open(dir.index_path()).expect("a database");
    index.execute("UPDATE shared_limits SET state = '{'", []).expect("it is damaged");

    let answers = tell(&ledger, vec![draw(2)]);
    let [(_, Answer::Unreadable(error))] = &answers[..] else { panic!("{answers:?}") };
    assert!(error.to_string().contains("\"ns_iis\" of \"sql\" is damaged"), "{error}");

    // What is given back meanwhile is not lost.
    assert!(
        tell(&ledger, vec![Word::GiveBack { claim: ClaimId(1), keys: vec![key()] }]).is_empty()
    );
    index.execute("DELETE FROM shared_limits", []).expect("it is gone");
    assert!(is_granted(&ledger, 3));
}

#[test]
fn limits_that_nobody_could_tell_from_new_ones_are_forgotten() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let run = start(&dir, 1);
    let slots = SharedDraw {
        key: key(),
        spec: SharedSpec { rate: None, in_flight: Some(2) },
        load: Load::default(),
    };
    let ledger = run.limits(noon).expect("a ledger");
    tell(&ledger, vec![Word::Draw { claim: ClaimId(1), draws: vec![slots] }]);
    let index = Connection::open(dir.index_path()).expect("a database");
    let count = || -> i64 {
        let count = "SELECT (SELECT COUNT(*) FROM shared_limits) + (SELECT COUNT(*) FROM sharers)";
        index.query_row(count, [], |row| row.get(0)).expect("a count")
    };
    assert_eq!(count(), 2);

    drop(ledger);
    assert_eq!(count(), 0);
}
