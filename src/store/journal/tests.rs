use super::*;
use crate::event::{EventKind, StopStage};
use crate::model::Elapsed;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn event(seq: u64) -> Event {
    Event {
        seq,
        at: jiff::Timestamp::UNIX_EPOCH,
        elapsed: Elapsed::from_millis(seq),
        kind: EventKind::Stopping { stage: StopStage::Drain },
    }
}

fn written(dir: &Path, events: u64) -> PathBuf {
    let path = dir.join("run.db");
    let journal = RunJournal::create(&path).expect("a new journal");
    let acks: Vec<Ack> = (0..events).map(|seq| journal.append(event(seq))).collect();
    acks.into_iter().for_each(|ack| block_on(ack).expect("it is on disk"));
    path
}

fn change(path: &Path, statement: &str) {
    let connection = Connection::open(path).expect("a database");
    connection.execute(statement, []).expect("it is changed");
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_event() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run.db");
    let journal = RunJournal::create(&path).expect("a new journal");

    for seq in 0..40 {
        block_on(journal.append(event(seq))).expect("it is on disk");

        // What a process that is killed now leaves behind: the file and its log, never closed.
        let left = tempfile::tempdir().expect("a directory");
        for name in ["run.db", "run.db-wal"] {
            std::fs::copy(dir.path().join(name), left.path().join(name)).expect("it is there");
        }
        let (journal, events) =
            RunJournal::append_to(&left.path().join("run.db")).expect("it goes on");
        assert_eq!(events.len() as u64, seq + 1);
        block_on(journal.append(event(seq + 1))).expect("it goes on");
        drop(journal);
        let recorded = read(&left.path().join("run.db")).expect("it can be read");
        assert_eq!((recorded.events.len() as u64, recorded.damage), (seq + 2, None));
    }
}

#[test]
fn many_events_share_one_wait_for_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = RunJournal::create(&dir.path().join("run.db")).expect("a new journal");

    let acks: Vec<Ack> = (0..5000).map(|seq| journal.append(event(seq))).collect();
    acks.into_iter().for_each(|ack| block_on(ack).expect("it is on disk"));

    assert!(journal.commits() < 500, "{} commits for 5000 events", journal.commits());
}

#[test]
fn a_changed_event_is_found_with_its_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = written(dir.path(), 10);
    change(&path, "UPDATE events SET json = replace(json, 'drain', 'cancel') WHERE seq = 6");

    let recorded = read(&path).expect("it can be read");

    assert_eq!(recorded.events.len(), 6);
    assert_eq!(recorded.damage.expect("damage").seq, 6);
    assert!(matches!(RunJournal::append_to(&path), Err(JournalFileError::Damaged { .. })));
}

#[test]
fn a_missing_event_and_a_torn_one_are_found_with_their_numbers() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = written(dir.path(), 10);
    change(&path, "UPDATE events SET json = substr(json, 1, 20) WHERE seq = 9");
    assert_eq!(read(&path).expect("it can be read").damage.expect("damage").seq, 9);

    change(&path, "DELETE FROM events WHERE seq = 3");
    let recorded = read(&path).expect("it can be read");
    assert_eq!((recorded.events.len(), recorded.damage.expect("damage").seq), (3, 3));
}

#[test]
fn a_log_cut_at_any_byte_loses_only_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run.db");
    let journal = RunJournal::create(&path).expect("a new journal");
    (0..6).for_each(|seq| block_on(journal.append(event(seq))).expect("it is on disk"));
    let (file, log) = (
        std::fs::read(&path).expect("the file"),
        std::fs::read(dir.path().join("run.db-wal")).expect("its log"),
    );

    let mut most = 0;
    for length in (0..log.len()).step_by(397) {
        let cut = tempfile::tempdir().expect("a directory");
        std::fs::write(cut.path().join("run.db"), &file).expect("it is written");
        std::fs::write(cut.path().join("run.db-wal"), &log[..length]).expect("it is written");
        let recorded = read(&cut.path().join("run.db")).expect("the file itself is whole");
        assert_eq!(recorded.damage, None);
        assert!(recorded.events.len() >= most, "a longer log tells less");
        most = recorded.events.len();
    }
    assert!(most >= 5, "{most} events");
}

#[test]
fn a_disk_that_is_full_is_an_answer_and_ends_the_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = written(dir.path(), 3);
    let connection = Connection::open(&path).expect("a database");
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .expect("the number of pages");
    connection
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .expect("no page more");
    let journal = RunJournal::start(&path, connection, Link::START, 3).expect("it starts");

    let big = |seq| Event {
        kind: EventKind::BreakerOpened { host: crate::model::HostName::new("x".repeat(20_000)) },
        ..event(seq)
    };
    let error = block_on(journal.append(big(3))).expect_err("there is no room");

    assert!(error.reason.contains("full"), "{error}");
    block_on(journal.append(event(3))).expect_err("nothing is written after a gap");
}

#[test]
fn an_event_out_of_turn_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = RunJournal::create(&dir.path().join("run.db")).expect("a new journal");

    let error = block_on(journal.append(event(1))).expect_err("event 0 was due");

    assert!(error.reason.contains("event 1 came where 0 was due"), "{error}");
}

#[test]
fn a_file_that_is_no_journal_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("other.db");
    change(&path, "CREATE TABLE t (x)");

    assert!(matches!(read(&path), Err(ReadJournalError::Format { format: 0, .. })));
    assert!(matches!(read(&dir.path().join("none.db")), Err(ReadJournalError::Sqlite { .. })));
}
