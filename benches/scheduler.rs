//! How fast the scheduler decides, alone, on one core: 10,000 hosts with 6 tasks each, one of which
//! draws from a limit. Every answer comes at once, on a clock that jumps to where something is due.
//! The promise is 100,000 decisions a second; a decision is a command of the scheduler.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fleetmend::model::{
    Batch, Cost, Draw, Elapsed, HostName, LimitName, Now, Outcome, PlayNo, TaskId,
};
use fleetmend::plan::{Draft, DraftHost, DraftPlay, DraftTask};
use fleetmend::scheduler::{Command, Input, Scheduler};

const HOSTS: u32 = 10_000;
const TASKS: u16 = 6;
/// The task that draws from a limit.
const DRAWS: u16 = 3;

fn draft(throttle: u32) -> Draft {
    let task = |task| DraftTask::bare(TaskId { play: PlayNo(0), task }, "agent");
    let host = |number| DraftHost {
        values: BTreeMap::from([("site".to_owned(), format!("S{:02}", number % 40))]),
        ..DraftHost::bare(HostName::new(format!("ps-{number:05}.corp.example")))
    };
    let play = DraftPlay {
        tasks: (0..TASKS).map(task).collect(),
        hosts: (0..HOSTS).map(host).collect(),
        serial: vec![Batch::Hosts(1), Batch::Percent(5.0), Batch::Percent(100.0)],
        throttle,
        max_fail_percentage: Some(5.0),
        ..DraftPlay::bare("A play")
    };
    Draft::bare(vec![play])
}

/// Drives a run to its end and counts the decisions.
fn drive(draft: Draft) -> u64 {
    let mut scheduler = Scheduler::new(draft);
    let mut answers: VecDeque<Input> = VecDeque::new();
    let (mut now, mut decisions) = (Elapsed::from_millis(0), 0);
    let at = |elapsed| Now { elapsed, wall: jiff::Timestamp::UNIX_EPOCH };
    loop {
        while let Some(command) = scheduler.poll(at(now)) {
            decisions += 1;
            match command {
                Command::Start { step, .. } => {
                    let cost = if step.task.task == DRAWS {
                        Cost::none()
                            .and(LimitName::new(LimitName::NS_IIS), Draw { now: 1, later: 0 })
                    } else {
                        Cost::none()
                    };
                    answers.push_back(Input::Decided { step, cost });
                }
                Command::Apply { step } | Command::Cancel { step } => {
                    let outcome = Outcome::Changed;
                    answers.push_back(Input::Finished { step, outcome, class: None });
                }
                Command::Finish(_) => return decisions,
                Command::Emit(event) => {
                    black_box(event);
                }
                other => panic!("{other:?} belongs to no play without work and gates"),
            }
        }
        match answers.pop_front() {
            Some(answer) => scheduler.handle(at(now), answer),
            None => now = scheduler.next_wakeup().expect("something is due"),
        }
    }
}

fn decides(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler alone, 10,000 hosts with 6 tasks");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(20));
    for throttle in [60, 1000] {
        let draft = draft(throttle);
        group.throughput(Throughput::Elements(drive(draft.clone())));
        group.bench_function(format!("decisions with {throttle} hosts in flight"), |bencher| {
            bencher.iter_batched(
                || draft.clone(),
                |draft| black_box(drive(draft)),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decides);
criterion_main!(benches);
