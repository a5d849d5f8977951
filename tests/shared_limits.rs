//! Two processes share one limit of a state directory, and one of them is killed half way.
//!
//! Each is this very program, started again for the one test that is the worker.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fleetmend::engine::boot_moment;
use fleetmend::event::RunStarted;
use fleetmend::ledger::{
    Answer, ClaimId, LimitKey, Load, SharedDraw, SharedLimits, SharedSpec, Word,
};
use fleetmend::model::{Draw, LimitName, RunId};
use fleetmend::store::{SharedLedger, StateDir};

/// The limit under test: units each second, units at once.
const RATE: f64 = 20.0;
const BURST: u32 = 5;
/// Places in flight of another limit, which has no rate.
const PLACES: usize = 4;
/// What each process has going on at once, of each limit.
const LOOPS: u64 = 4;
const WORKER: &str = "FLEETMEND_SHARED_WORKER";

#[expect(clippy::disallowed_methods, reason = "how a worker and the long form are told")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How long both together draw: 8 s in the short form, `FLEETMEND_SHARED_SECONDS` in the long.
fn seconds() -> u64 {
    variable("FLEETMEND_SHARED_SECONDS").map_or(8, |text| text.parse().expect("a number"))
}

fn draw(name: &str, rate: Option<(f64, u32)>, places: Option<u32>) -> SharedDraw {
    let key = LimitKey { server: "sql01".to_owned(), name: LimitName::new(name), by: None };
    let now = u32::from(rate.is_some());
    SharedDraw {
        key,
        spec: SharedSpec { rate, in_flight: places },
        load: Load::from(Draw { now, later: 0 }),
    }
}

fn micros(span: Duration) -> u128 {
    span.as_micros()
}

/// Draws, holds and gives back until nobody listens.
async fn draws(ledger: Arc<SharedLedger>, number: u64, draw: SharedDraw, hold: Duration) {
    for turn in 0_u64.. {
        let claim = ClaimId(turn * 1000 + number);
        let at = loop {
            let words = vec![Word::Draw { claim, draws: vec![draw.clone()] }];
            match ledger.tell(words).await.into_iter().next() {
                Some((_, Answer::Granted { at, .. })) => break at,
                Some((_, Answer::Wait { span, .. })) => tokio::time::sleep(span).await,
                other => panic!("the ledger cannot be read: {other:?}"),
            }
        };
        say(&format!("+ {} {} {}", draw.key.name, claim.0, micros(at)));
        tokio::time::sleep(hold).await;
        say(&format!("- {} {} {}", draw.key.name, claim.0, micros(boot_moment().at)));
        ledger.tell(vec![Word::GiveBack { claim, keys: vec![draw.key.clone()] }]).await;
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more has seen enough.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        panic!("nobody listens");
    }
}

/// Not a test of its own: what the processes do that the test below starts.
#[test]
fn worker() {
    let Some(told) = variable(WORKER) else { return };
    let (number, dir) = told.split_once(' ').expect("a number and a directory");
    let number: u128 = number.parse().expect("a number");
    let dir = StateDir::open(Path::new(dir)).expect("a state directory");
    let run = RunId::new(uuid::Uuid::from_u128(number));
    let live =
        dir.start(&RunStarted::bare(run), jiff::Timestamp::UNIX_EPOCH, &[]).expect("it starts");
    let ledger = Arc::new(live.limits(boot_moment).expect("a ledger"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let rated = (0..LOOPS).map(|number| {
            let draw = draw("rated", Some((RATE, BURST)), None);
            draws(Arc::clone(&ledger), number, draw, Duration::from_millis(20))
        });
        let places = (0..LOOPS).map(|number| {
            let draw = draw("places", None, Some(u32::try_from(PLACES).expect("few")));
            draws(Arc::clone(&ledger), 100 + number, draw, Duration::from_millis(150))
        });
        tokio::join!(futures::future::join_all(rated), futures::future::join_all(places));
    });
}

/// A worker, which does not outlive its value.
struct Worker {
    child: Child,
    lines: Receiver<String>,
    number: u128,
}

impl Worker {
    fn start(number: u128, dir: &Path) -> Self {
        let program: PathBuf = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
            .env(WORKER, format!("{number} {}", dir.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("its output");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.map_while(|line| send.send(line).ok()).for_each(drop);
        });
        Self { child, lines, number }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }

    /// What it said, by limit: when each claim was granted, and when it began to give back.
    fn log(&self) -> Vec<Held> {
        let mut held: BTreeMap<(String, u64), Held> = BTreeMap::new();
        for line in self.lines.iter() {
            let words: Vec<&str> = line.split(' ').collect();
            let [sign @ ("+" | "-"), name, claim, at] = words[..] else { continue };
            let key = (name.to_owned(), claim.parse().expect("a claim"));
            let at: u128 = at.parse().expect("an instant");
            if sign == "+" {
                let name = name.to_owned();
                held.insert(key, Held { name, by: self.number, from: at, to: None });
            } else if let Some(held) = held.get_mut(&key) {
                held.to = Some(at);
            }
        }
        held.into_values().collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A grant, in microseconds since the boot.
#[derive(Debug, Clone)]
struct Held {
    name: String,
    by: u128,
    from: u128,
    to: Option<u128>,
}

#[expect(clippy::disallowed_methods, reason = "how long they draw is what the test is about")]
fn pass(span: Duration) {
    std::thread::sleep(span);
}

fn seconds_between(from: u128, to: u128) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let micros = (to - from) as f64;
    micros / 1e6
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what the long form is for")]
fn two_processes_keep_one_limit_and_the_one_that_is_killed_gives_back_what_it_held() {
    if variable(WORKER).is_some() {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    StateDir::open(temp.path()).expect("a state directory");
    let half = Duration::from_secs(seconds()) / 2;
    let mut one = Worker::start(1, temp.path());
    let mut other = Worker::start(2, temp.path());
    pass(half);
    let killed = micros(boot_moment().at);
    one.kill();
    pass(half);
    let ended = micros(boot_moment().at);
    other.kill();
    let mut log = one.log();
    for held in &mut log {
        held.to = held.to.or(Some(killed));
    }
    log.extend(other.log());
    log.sort_by_key(|held| held.from);

    let rated: Vec<&Held> = log.iter().filter(|held| held.name == "rated").collect();
    let by = |number| rated.iter().filter(|held| held.by == number).count();
    assert!(by(1) > 0 && by(2) > by(1), "both drew: {} and {}", by(1), by(2));
    // The window law, over all pairs.
    let mut violations = 0;
    let mut closest = f64::MAX;
    for (i, first) in rated.iter().enumerate() {
        for (count, last) in (1_u32..).zip(&rated[i..]) {
            let allowed = f64::from(BURST) + RATE * seconds_between(first.from, last.from);
            closest = closest.min(allowed - f64::from(count));
            // An instant is a whole microsecond.
            violations += u32::from(f64::from(count) > allowed + RATE * 2e-6);
        }
    }
    let span = seconds_between(rated[0].from, rated[rated.len() - 1].from);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = (rated.len() as f64 - f64::from(BURST)) / span;
    let over = (rate / RATE - 1.0) * 100.0;

    // Places: how many are held at once, and by whom after the other one is gone.
    let places: Vec<&Held> = log.iter().filter(|held| held.name == "places").collect();
    let held_at = |at: u128| {
        places.iter().filter(move |p| p.from <= at && p.to.unwrap_or(ended) > at).count()
    };
    let most = places.iter().map(|place| held_at(place.from)).max().unwrap_or(0);
    let after = places.iter().filter(|place| place.from > killed);
    let survivor = after.map(|place| held_at(place.from)).max().unwrap_or(0);
    let full = places.iter().find(|p| p.from > killed && held_at(p.from) == PLACES);
    println!(
        "{} draws in {span:.1} s ({} and {}), {violations} violations, {over:+.2} %, closest {closest:.3} units; \
         at most {most} of {PLACES} places at once, all of them the survivor's {:.0} ms after the kill",
        rated.len(),
        by(1),
        by(2),
        full.map_or(f64::NAN, |place| seconds_between(killed, place.from) * 1000.0),
    );
    assert_eq!(violations, 0);
    // On a machine that is busy with other things a draw comes later, never earlier.
    assert!((-20.0..=2.0).contains(&over), "{over:+.2} % of the declared rate");
    assert!(most <= PLACES, "{most} places held at once");
    assert_eq!(survivor, PLACES, "the survivor has all places");
}
