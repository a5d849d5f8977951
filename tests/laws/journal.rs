//! Laws of the journal's file: cut anywhere, or with a bit flipped anywhere, it tells a prefix of what
//! was written, or says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use fleetmend::event::{Ack, Event, EventKind, Journal, RunResult, RunStarted, StopStage};
use fleetmend::model::{Elapsed, HostName, RunId};
use fleetmend::store::{JournalFileError, RunJournal, StateDir, read};

/// Offsets besides those at the edges of frames.
const OFFSETS: u64 = 2_000;
/// Bytes of a log's header, and of each frame's.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The same numbers in every run of the test (splitmix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end as u64).expect("an offset")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn header() -> RunStarted {
    RunStarted::bare(RunId::new(uuid::Uuid::from_u128(7)))
}

fn at(seq: u64, kind: EventKind) -> Event {
    Event { seq, at: jiff::Timestamp::UNIX_EPOCH, elapsed: Elapsed::from_millis(seq), kind }
}

/// Events of many sizes: most fit into a page, some need several.
fn event(seq: u64) -> Event {
    let length = match seq % 23 {
        0 => 9_000,
        other => 3 * usize::try_from(other).expect("small"),
    };
    let host = HostName::new(format!("ps-{seq}-{}", "x".repeat(length)));
    at(seq, EventKind::BreakerOpened { host })
}

/// A journal as a process leaves it that is killed, with its log.
struct Left {
    /// The file, and its log at the end.
    file: Vec<u8>,
    log: Vec<u8>,
    events: Vec<Event>,
    /// After each acknowledged batch: the bytes of the log, and the events acknowledged so far.
    acknowledged: Vec<(usize, usize)>,
}

impl Left {
    /// Batches of 1 to 19 events, each acknowledged before the next one.
    fn write() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run.db");
        let journal = RunJournal::create(&path).expect("a new journal");
        let (mut events, mut acknowledged) = (Vec::new(), vec![(0, 0)]);
        for batch in 0..24_u64 {
            let size = 1 + batch * 7 % 19;
            let acks: Vec<Ack> = (0..size)
                .map(|_| {
                    let event = event(events.len() as u64);
                    events.push(event.clone());
                    journal.append(event)
                })
                .collect();
            acks.into_iter().for_each(|ack| block_on(ack).expect("it is on disk"));
            let log = fs::metadata(log_of(&path)).expect("its log").len();
            acknowledged.push((usize::try_from(log).expect("small"), events.len()));
        }
        let (file, log) =
            (fs::read(&path).expect("the file"), fs::read(log_of(&path)).expect("its log"));
        assert!(events.len() >= 200, "{} events", events.len());
        Self { file, log, events, acknowledged }
    }

    fn page(&self) -> usize {
        let bytes: [u8; 4] = self.log[8..12].try_into().expect("four bytes");
        usize::try_from(u32::from_be_bytes(bytes)).expect("a page")
    }

    /// Where frames end, and whether each ends a commit: then it tells the size of the file after it
    /// (<https://www.sqlite.org/fileformat2.html#walformat>).
    fn frames(&self) -> Vec<(usize, bool)> {
        let frame = FRAME_HEADER + self.page();
        let starts = (LOG_HEADER..=self.log.len() - frame).step_by(frame);
        starts
            .map(|start| {
                (start + frame, self.log[start + 4..start + 8].iter().any(|byte| *byte != 0))
            })
            .collect()
    }

    /// Events that were acknowledged when the log had so many bytes.
    fn promised(&self, bytes: usize) -> usize {
        let so_far = self.acknowledged.iter().take_while(|(log, _)| *log <= bytes);
        so_far.last().map_or(0, |(_, events)| *events)
    }
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// A directory in which a journal lies as somebody left it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("run.db")
    }

    fn lay(&self, file: &[u8], log: &[u8]) -> PathBuf {
        let path = self.path();
        fs::write(&path, file).expect("it is written");
        fs::write(log_of(&path), log).expect("it is written");
        self.forget_index();
        path
    }

    /// The index of a log is memory of processes that are gone.
    fn forget_index(&self) {
        let _none = fs::remove_file(self.path().with_extension("db-shm"));
    }
}

/// What a cut log tells: all events of the commits that are wholly before the cut, and nothing of
/// the others. What was acknowledged before the log had grown to the cut is there.
#[test]
fn a_log_cut_anywhere_tells_whole_commits_and_all_that_was_acknowledged() {
    let left = Left::write();
    let frames = left.frames();
    let commits =
        |bytes: usize| frames.iter().filter(|(end, is_commit)| *is_commit && *end <= bytes).count();
    assert!(commits(left.log.len()) >= 24, "{} commits", commits(left.log.len()));
    let mut cuts: Vec<usize> = [0, LOG_HEADER]
        .into_iter()
        .chain(frames.iter().map(|(end, _)| *end))
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1])
        .filter(|cut| *cut <= left.log.len())
        .collect();
    let edges = cuts.len();
    let mut seeded = Seeded(1);
    cuts.extend((0..OFFSETS).map(|_| seeded.below(left.log.len() + 1)));
    // Going on waits for the disk: at a quarter of the edges, on each side of some, and a few others.
    let mut goes_on: BTreeSet<usize> = cuts[..edges].iter().step_by(4).copied().collect();
    goes_on.extend(cuts[edges..].iter().step_by(40));
    cuts.sort_unstable();
    cuts.dedup();

    let (place, other) = (Place::new(), Place::new());
    let path = place.lay(&left.file, &left.log);
    let mut told_by_commits = BTreeMap::new();
    // From the longest to the shortest: the log is cut where it lies.
    for cut in cuts.into_iter().rev() {
        let log = OpenOptions::new().write(true).open(log_of(&path)).expect("the log");
        log.set_len(cut as u64).expect("it is cut");
        place.forget_index();

        let recorded = read(&path).expect("the file itself is whole");

        assert_eq!(recorded.damage, None, "cut at {cut}");
        let told = recorded.events.len();
        assert!(recorded.events == left.events[..told], "cut at {cut}: other events");
        assert!(told >= left.promised(cut), "cut at {cut}: {told} events, more acknowledged");
        let same = *told_by_commits.entry(commits(cut)).or_insert(told);
        assert_eq!(told, same, "cut at {cut}: a part of a commit");
        if goes_on.contains(&cut) {
            goes_on_after(&other.lay(&left.file, &left.log[..cut]), &left.events[..told], cut);
        }
    }
    assert_eq!(told_by_commits.get(&0), Some(&0));
    assert_eq!(told_by_commits.values().max(), Some(&left.events.len()));
    let counts: Vec<usize> = told_by_commits.into_values().collect();
    assert!(counts.is_sorted_by(|a, b| a < b), "each commit holds events: {counts:?}");
}

fn goes_on_after(path: &Path, events: &[Event], cut: usize) {
    let (journal, before) = RunJournal::append_to(path).expect("it goes on");
    assert!(before == events, "cut at {cut}");
    let next = at(events.len() as u64, EventKind::Stopping { stage: StopStage::Drain });
    block_on(journal.append(next.clone())).expect("it is on disk");
    drop(journal);
    let recorded = read(path).expect("it is read");
    assert_eq!((recorded.events.len(), recorded.damage), (events.len() + 1, None), "cut at {cut}");
    assert_eq!(recorded.events.last(), Some(&next), "cut at {cut}");
}

/// The log has checksums of its own: SQLite takes what follows a flipped bit for never written.
#[test]
fn a_bit_flipped_in_the_log_leaves_a_prefix_or_is_reported() {
    let left = Left::write();
    let place = Place::new();
    let (mut seeded, mut log) = (Seeded(2), left.log.clone());
    let mut shorter = 0;
    for _ in 0..OFFSETS {
        let (byte, bit) = (seeded.below(log.len()), seeded.below(8));
        log[byte] ^= 1 << bit;
        let path = place.lay(&left.file, &log);

        // A journal that cannot be read at all says so.
        if let Ok(recorded) = read(&path) {
            let told = recorded.events.len();
            assert!(recorded.events == left.events[..told], "byte {byte}, bit {bit}");
            if let Some(damage) = &recorded.damage {
                assert_eq!(damage.seq, told as u64);
                let refused = RunJournal::append_to(&path);
                assert!(matches!(refused, Err(JournalFileError::Damaged { .. })));
            }
            shorter += usize::from(told < left.events.len());
        }
        log[byte] ^= 1 << bit;
    }
    assert!(shorter > 0, "no flip was noticed");
}

/// A run that ended is one file. Its index says how it ended, so that nothing can be missing unseen.
#[test]
fn a_bit_flipped_in_the_file_of_a_run_that_ended_is_reported_or_changes_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = StateDir::open(temp.path()).expect("a state directory");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let live = dir.start(&header(), now, &[]).expect("it starts");
    let run = live.id();
    let mut events = vec![at(0, EventKind::RunStarted(Box::new(header())))];
    events.extend((1..70).map(|seq| match seq {
        30 => at(seq, EventKind::Stopping { stage: StopStage::Drain }),
        _ => event(seq),
    }));
    let result = RunResult::Stopped;
    events.push(at(70, EventKind::RunFinished { result }));
    for event in &events {
        block_on(live.journal().append(event.clone())).expect("it is on disk");
    }
    live.finish(result, now).expect("it ends");
    let path = dir.journal_path(run);
    let mut file = fs::read(&path).expect("one file");
    assert_eq!(fs::metadata(log_of(&path)).map_or(0, |log| log.len()), 0, "the log is in it");
    let whole = dir.verify(run, Some(result)).expect("it is read");
    assert_eq!((whole.events, whole.wrong), (events.len(), None));

    let (mut seeded, mut reported) = (Seeded(3), 0);
    for _ in 0..OFFSETS {
        let (byte, bit) = (seeded.below(file.len()), seeded.below(8));
        let place = format!("byte {byte}, bit {bit}");
        file[byte] ^= 1 << bit;
        write_over(&path, &file);

        let told = read(&path).map(|recorded| recorded.events);
        if let Ok(told) = &told {
            assert!(*told == events[..told.len()], "{place}: another event");
        }
        match dir.verify(run, Some(result)) {
            Err(_) => reported += 1,
            Ok(verified) => match verified.wrong {
                Some(wrong) => {
                    reported += 1;
                    let number = format!("event {} ", verified.events);
                    let is_told = wrong.starts_with(&number) || wrong.starts_with("its end is");
                    assert!(is_told, "{place}: {wrong}");
                }
                None => assert_eq!(verified.events, events.len(), "{place}: some are missing"),
            },
        }
        file[byte] ^= 1 << bit;
    }
    assert!(reported > OFFSETS / 3, "{reported} of {OFFSETS} flips were reported");
}

/// Without the side files that a reader left.
fn write_over(path: &Path, bytes: &[u8]) {
    for end in ["db-wal", "db-shm"] {
        let _none = fs::remove_file(path.with_extension(end));
    }
    let mut file = File::create(path).expect("the file");
    std::io::Write::write_all(&mut file, bytes).expect("it is written");
}
