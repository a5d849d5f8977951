//! How many events a second the journal takes, each of them on disk before it counts: three events
//! for each step of a run, sent one after the other as the driver sends them, while those before
//! are on their way. What waits shares one commit, and each commit is synchronised with the disk.
//! The promise is 20,000 events a second.
//!
//! `FLEETMEND_BENCH_DIR` names the directory, and so the disk; without it, it is the target's.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fleetmend::event::{ChangeRecord, Event, EventKind, Journal, Undo};
use fleetmend::model::{Cost, Draw, Elapsed, HostName, LimitName, Outcome, PlayNo, StepId, TaskId};
use fleetmend::store::RunJournal;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde_json::json;

const STEPS: u64 = 20_000;

/// The events of a step that moves two files into quarantine.
fn of_step(number: u64) -> [EventKind; 3] {
    let host = HostName::new(format!("ps-lon-{:04}.corp.example", number / 6));
    let task = u16::try_from(number % 6).expect("small");
    let step = StepId { task: TaskId { play: PlayNo(0), task }, host };
    let folder = r"D:\Program Files\Altiris\Altiris Agent\Package Delivery";
    let package = format!("{{{number:08x}-ecbe-4617-9b8e-0562094a1234}}");
    let moved = |file: &str| {
        json!({
            "from": format!(r"{folder}\{package}\{file}"),
            "to": format!(r"D:\ProgramData\fleetmend\quarantine\019b-7f1e\{number}\{file}"),
            "size": 4711, "modified": 133_900_000_000_000_000_u64,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        })
    };
    let files = json!([moved("snapshot.xml"), moved("PackageStatus.xml")]);
    let change = ChangeRecord {
        action: "quarantine_files".to_owned(),
        change: json!({ "files": files }),
        undo: Undo::With(json!({ "restore": files })),
        lines: vec![format!("move 2 files of {package} into quarantine")],
    };
    let cost = Cost::none().and(LimitName::new(LimitName::NS_IIS), Draw { now: 1, later: 2 });
    [
        EventKind::StepStarted { step: step.clone(), on: None },
        EventKind::StepDecided { step: step.clone(), change, cost },
        EventKind::StepFinished {
            step,
            outcome: Outcome::Changed,
            failure: None,
            note: Some("moved 2 files".to_owned()),
            value: json!({ "moved": 2, "bytes": 9422 }),
        },
    ]
}

fn events() -> Vec<Event> {
    let kinds = (0..STEPS).flat_map(of_step);
    let event = |(seq, kind)| Event {
        seq,
        at: jiff::Timestamp::UNIX_EPOCH,
        elapsed: Elapsed::from_millis(seq),
        kind,
    };
    (0..).zip(kinds).map(event).collect()
}

fn folder() -> PathBuf {
    std::env::var_os("FLEETMEND_BENCH_DIR")
        .map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), Into::into)
}

/// Writes all events and waits until the last one is on disk. Returns the commits.
fn write(events: Vec<Event>, journal: &RunJournal) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut unwritten = FuturesOrdered::new();
        for event in events {
            unwritten.push_back(journal.append(event));
        }
        while let Some(written) = unwritten.next().await {
            written.expect("it is on disk");
        }
    });
    journal.commits()
}

fn stores(criterion: &mut Criterion) {
    let events = events();
    let bytes: usize =
        events.iter().map(|event| serde_json::to_string(event).expect("JSON").len()).sum();
    let mut group =
        criterion.benchmark_group(format!("store, events of {} bytes", bytes / events.len()));
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(30));
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("events on disk", |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let dir = tempfile::tempdir_in(folder()).expect("a directory");
                let journal = RunJournal::create(&dir.path().join("run.db")).expect("a journal");
                let events = events.clone();
                #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
                let from = Instant::now();
                black_box(write(events, &journal));
                took += from.elapsed();
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, stores);
criterion_main!(benches);
