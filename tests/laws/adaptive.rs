//! The limit that adapts, against the lab's model of the Notification Server's web server, on a
//! virtual clock: how much of what the server bears is used, and how much of it is refused.
//!
//! 100 minutes of the world for each seed. The declared rate is 1.3 to 3 times what the server
//! bears, so that the limit has to find it. From minute 30 to 45 the server bears half, from minute
//! 65 to 85 other clients take 30 to 60 % of it. "Used" is our served requests by what others left,
//! at rest (minutes 20 to 30), at half capacity (35 to 45) and under outside load (70 to 85): 5
//! minutes after each change, 20 after the start. "Back" is how long after the server is itself
//! again the last minute brings 80 % of what it brought at rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fleetmend::event::RunMode;
use fleetmend::lab::world::{Cause, Iis, IisSpec, Verdict, WorldTime};
use fleetmend::model::{
    Adapt, Cost, Elapsed, HostName, LimitName, LimitScope, LimitSpec, Limits, Now, NsHealth, Order,
    Outcome, PlayNo, Rate, Safeguards, StepId, TaskId, TimeScale,
};
use fleetmend::plan::{Draft, DraftFlow, DraftHost, DraftPlay, DraftTask};
use fleetmend::scheduler::{Command, Input, Scheduler};

const MINUTE: u64 = 60_000;
const END: u64 = 100 * MINUTE;
/// When what the server bears changes, by what factor, and whether others ask it.
const PHASES: [(u64, f64, bool); 5] = [
    (0, 1.0, false),
    (30 * MINUTE, 0.5, false),
    (45 * MINUTE, 1.0, false),
    (65 * MINUTE, 1.0, true),
    (85 * MINUTE, 1.0, false),
];
const AT_REST: (u64, u64) = (20, 30);
const AT_HALF: (u64, u64) = (35, 45);
const WITH_OTHERS: (u64, u64) = (70, 85);
/// The longest that a look takes: then it has no answer.
const LOOK: u64 = 15_000;
/// How many seconds of work wait at most, as in the lab's own server: 12 requests at 28 a minute.
const DEPTH: u64 = 26;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Requests come while the step runs, one each.
    Direct,
    /// 1 to 6 requests come 30 to 120 s after the step.
    Deferred,
}

/// What a seed came to.
struct Figures {
    seed: u64,
    per_minute: u32,
    declared: u32,
    others: u64,
    used: [f64; 3],
    asked: u64,
    refused: u64,
    back: [u64; 2],
}

impl Figures {
    /// Whether seven tenths of what the server bears were used, whatever it bore.
    fn is_used(&self) -> bool {
        self.used.iter().all(|used| *used >= 0.7)
    }

    fn is_back(&self) -> bool {
        self.back.iter().all(|seconds| *seconds <= 300)
    }

    /// Whether less than one in two hundred was refused.
    fn is_spared(&self) -> bool {
        self.refused * 200 < self.asked
    }
}

/// A small generator, so that a seed is the same case for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Phase,
    /// A request of somebody else: an ordinary client, or the outside load.
    Client,
    Other,
    Looked(Option<u64>, bool),
    Decides(StepId),
    /// A request of ours; of a step that waits for it, where it is direct.
    Request(Option<StepId>),
    Ends(StepId),
}

struct Ns {
    load: Load,
    dice: Dice,
    iis: Iis,
    per_minute: u32,
    /// What the outside load takes, in percent.
    others: u64,
    scheduler: Scheduler,
    now: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    set_off: u64,
    /// By minute and second: ours that were served, and others' that were.
    served: Vec<u64>,
    taken: Vec<u64>,
    later: BTreeMap<HostName, u32>,
    asked: u64,
    refused: u64,
}

impl Ns {
    fn new(seed: u64, load: Load, adapt: Option<Adapt>) -> (Self, u32) {
        let mut dice = Dice(seed.wrapping_mul(7919) + 13);
        let per_minute = [28, 60, 120, 240][usize::try_from(dice.next() % 4).expect("small")];
        let declared = u64::from(per_minute) * dice.between(130, 300) / 100;
        let declared = u32::try_from(declared).expect("a rate");
        let in_flight = [12, 16, 24][usize::try_from(dice.next() % 3).expect("small")];
        let others = dice.between(30, 60);
        let queue = u32::try_from(u64::from(per_minute) * DEPTH / 60).expect("few");
        let rate = Rate { units: declared, per: Duration::from_secs(60) };
        let (burst, in_flight) = (3, Some(in_flight));
        let scope = LimitScope::Controller;
        let spec = LimitSpec { rate: Some(rate), burst, in_flight, by: None, adapt, scope };
        let steps = u64::from(per_minute) * END / MINUTE;
        let draft = draft(usize::try_from(steps).expect("few"), spec);
        let world = Self {
            load,
            dice,
            iis: Iis::new(IisSpec { per_minute, queue }),
            per_minute,
            others,
            scheduler: Scheduler::new(draft),
            now: 0,
            agenda: BinaryHeap::new(),
            set_off: 0,
            served: vec![0; 6001],
            taken: vec![0; 6001],
            later: BTreeMap::new(),
            asked: 0,
            refused: 0,
        };
        (world, declared)
    }

    fn after(&mut self, millis: u64, happens: Happens) {
        self.set_off += 1;
        self.agenda.push(Reverse((self.now + millis, self.set_off, happens)));
    }

    fn phase(&self) -> (f64, bool) {
        let of = PHASES.iter().rev().find(|(from, _, _)| *from <= self.now);
        of.map(|(_, factor, others)| (*factor, *others)).expect("the first one began")
    }

    fn drive(&mut self) {
        for (from, _, _) in PHASES {
            self.after(from, Happens::Phase);
        }
        self.after(0, Happens::Client);
        while self.now < END {
            let now = Elapsed::from_millis(self.now);
            let at = Now { elapsed: now, wall: jiff::Timestamp::UNIX_EPOCH };
            while let Some(command) = self.scheduler.poll(at) {
                self.obey(command);
            }
            let wakeup = self.scheduler.next_wakeup().map(Elapsed::as_millis);
            let next = self.agenda.peek().map(|Reverse((at, _, _))| *at);
            self.now = next.into_iter().chain(wakeup).min().expect("clients come for ever");
            if next == Some(self.now)
                && let Some(Reverse((_, _, happens))) = self.agenda.pop()
            {
                self.happen(happens);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { step, .. } => {
                let after = self.dice.between(100, 400);
                self.after(after, Happens::Decides(step));
            }
            Command::Apply { step } if self.load == Load::Direct => {
                let after = self.dice.between(200, 1000);
                self.after(after, Happens::Request(Some(step)));
            }
            Command::Apply { step } => {
                for _ in 0..self.later.remove(&step.host).expect("it was decided") {
                    let after = self.dice.between(30_000, 120_000);
                    self.after(after, Happens::Request(None));
                }
                let after = self.dice.between(2000, 8000);
                self.after(after, Happens::Ends(step));
            }
            Command::CheckHealth { .. } => match self.iis.look(WorldTime::from_millis(self.now)) {
                Verdict::Busy => self.after(20, Happens::Looked(Some(20), true)),
                Verdict::Served(after) => {
                    let millis = u64::try_from(after.as_millis()).expect("small");
                    let millis = millis * self.dice.between(90, 115) / 100;
                    if millis > LOOK {
                        self.after(LOOK, Happens::Looked(None, false));
                    } else {
                        self.after(millis, Happens::Looked(Some(millis), false));
                    }
                }
            },
            Command::Emit(_) => {}
            other => panic!("{other:?} is not expected"),
        }
    }

    fn happen(&mut self, happens: Happens) {
        let at = WorldTime::from_millis(self.now);
        let second = usize::try_from(self.now / 1000).expect("small");
        match happens {
            Happens::Phase => {
                let (factor, others) = self.phase();
                let per_minute = (f64::from(self.per_minute) * factor) as u32;
                self.iis.set_capacity(at, per_minute);
                if others {
                    self.after(0, Happens::Other);
                }
            }
            Happens::Client => {
                let verdict = self.iis.request(at, Cause::Background, "");
                self.taken[second] += u64::from(verdict != Verdict::Busy);
                let after = self.dice.between(15_000, 45_000);
                self.after(after, Happens::Client);
            }
            Happens::Other if self.phase().1 => {
                let verdict = self.iis.request(at, Cause::Background, "");
                self.taken[second] += u64::from(verdict != Verdict::Busy);
                let mean = MINUTE * 100 / (u64::from(self.per_minute) * self.others);
                let after = self.dice.between(mean / 2, mean * 3 / 2);
                self.after(after, Happens::Other);
            }
            Happens::Other => {}
            Happens::Looked(millis, is_busy) => {
                let latency = millis.map(Duration::from_millis);
                let health = NsHealth { latency, is_busy, ..NsHealth::default() };
                self.tell(Input::Health { play: PlayNo(0), health });
            }
            Happens::Decides(step) => {
                let cost = match self.load {
                    Load::Direct => Cost::ns_iis(1, 0),
                    Load::Deferred => {
                        let later = u32::try_from(self.dice.between(1, 6)).expect("small");
                        self.later.insert(step.host.clone(), later);
                        Cost::ns_iis(0, later)
                    }
                };
                self.tell(Input::Decided { step, cost });
            }
            Happens::Request(step) => {
                self.asked += 1;
                match self.iis.request(at, Cause::ConfigUpdate, "ours") {
                    Verdict::Served(after) => {
                        self.served[second] += 1;
                        let millis = u64::try_from(after.as_millis()).expect("small");
                        if let Some(step) = step {
                            self.after(millis, Happens::Ends(step));
                        }
                    }
                    Verdict::Busy => {
                        self.refused += 1;
                        if let Some(step) = step {
                            self.tell(Input::Busy);
                            self.after(300, Happens::Ends(step));
                        }
                    }
                }
            }
            // A refused step counts as done: neither the slow start nor a budget is to help.
            Happens::Ends(step) => {
                self.tell(Input::Finished { step, outcome: Outcome::Changed, class: None });
            }
        }
    }

    fn tell(&mut self, input: Input) {
        let now = Elapsed::from_millis(self.now);
        self.scheduler.handle(Now { elapsed: now, wall: jiff::Timestamp::UNIX_EPOCH }, input);
    }

    /// Our served requests by what others left, between two seconds.
    fn used(&self, from: usize, to: usize) -> f64 {
        let capacity = |second: usize| {
            let at = 1000 * u64::try_from(second).expect("small");
            let of = PHASES.iter().rev().find(|(from, _, _)| *from <= at).expect("the first");
            f64::from(self.per_minute) * of.1 / 60.0
        };
        let sum = |counts: &[u64]| counts[from..to].iter().map(|n| *n as f64).sum::<f64>();
        let left = (from..to).map(capacity).sum::<f64>() - sum(&self.taken);
        sum(&self.served) / left
    }

    fn back(&self, minute: usize, at_rest: f64) -> u64 {
        let from = minute * 60;
        let is_back = |second: &usize| self.served_in(*second) >= 0.8 * at_rest;
        let back = (from + 10..6000).find(is_back).unwrap_or(6000);
        u64::try_from(back - from).expect("small")
    }

    /// Ours that were served in the minute before a second, each second.
    fn served_in(&self, second: usize) -> f64 {
        self.served[second - 60..second].iter().map(|n| *n as f64).sum::<f64>() / 60.0
    }
}

fn draft(steps: usize, spec: LimitSpec) -> Draft {
    const TASKS: u16 = 50;
    let task = |number| DraftTask {
        id: TaskId { play: PlayNo(0), task: number },
        name: "A change".to_owned(),
        action: "agent".to_owned(),
        within: Duration::from_secs(3600),
        replay_is_safe: true,
        flow: DraftFlow::default(),
    };
    let host = |number| DraftHost {
        name: HostName::new(format!("ps-{number}")),
        values: BTreeMap::new(),
        delegates: BTreeMap::new(),
    };
    let play = DraftPlay {
        name: "A play".to_owned(),
        tasks: (0..TASKS).map(task).collect(),
        blocks: Vec::new(),
        delegate_values: BTreeMap::new(),
        hosts: (0..=60 + 4 * steps / usize::from(TASKS)).map(host).collect(),
        work: None,
        order: Order::Inventory,
        serial: Vec::new(),
        throttle: 48,
        max_fail_percentage: None,
        safeguards: Safeguards::default(),
        limits: Limits([(LimitName::new(LimitName::NS_IIS), spec)].into_iter().collect()),
        oracle: None,
    };
    Draft {
        mode: RunMode::Run,
        seed: 1,
        scale: TimeScale::REAL,
        playbook_sha256: String::new(),
        inventory_sha256: String::new(),
        plays: vec![play],
    }
}

fn run(seed: u64, load: Load, adapt: Option<Adapt>) -> Figures {
    let (mut ns, declared) = Ns::new(seed, load, adapt);
    ns.drive();
    let minutes = |(from, to): (usize, usize)| ns.used(from * 60, to * 60);
    let of = |(from, to): (u64, u64)| {
        minutes((usize::try_from(from).expect("small"), usize::try_from(to).expect("small")))
    };
    let at_rest = ns.served[1200..1800].iter().map(|n| *n as f64).sum::<f64>() / 600.0;
    Figures {
        seed,
        per_minute: ns.per_minute,
        declared,
        others: ns.others,
        used: [of(AT_REST), of(AT_HALF), of(WITH_OTHERS)],
        asked: ns.asked,
        refused: ns.refused,
        back: [ns.back(45, at_rest), ns.back(85, at_rest)],
    }
}

/// Runs seeds, prints a line for each and returns them.
#[expect(clippy::print_stdout, reason = "the figures of docs/measurements.md")]
fn table(load: Load, adapt: Option<Adapt>, seeds: std::ops::Range<u64>) -> Vec<Figures> {
    println!("{load:?} load, adapt: {adapt:?}");
    println!("seed  bears  declared  others   at rest  at half  others    asked  503     back (s)");
    let mut all = Vec::new();
    for seed in seeds {
        let f = run(seed, load, adapt);
        println!(
            "{:>4}  {:>3}/min  {:>3}/min  {:>4} %   {:>5.1} %  {:>5.1} %  {:>5.1} %  {:>6}  {:>4}  {:>4} {:>4}",
            f.seed,
            f.per_minute,
            f.declared,
            f.others,
            f.used[0] * 100.0,
            f.used[1] * 100.0,
            f.used[2] * 100.0,
            f.asked,
            f.refused,
            f.back[0],
            f.back[1]
        );
        all.push(f);
    }
    println!(
        "mean                             {:>5.1} %  {:>5.1} %  {:>5.1} %  503: {:.3} % of all, {:.3} % of the worst seed",
        mean(&all, 0) * 100.0,
        mean(&all, 1) * 100.0,
        mean(&all, 2) * 100.0,
        refused(&all) * 100.0,
        worst_refused(&all) * 100.0
    );
    all
}

fn mean(all: &[Figures], phase: usize) -> f64 {
    all.iter().map(|f| f.used[phase]).sum::<f64>() / all.len() as f64
}

/// Prints how a figure is spread over the seeds.
#[expect(clippy::print_stdout, reason = "the figures of docs/measurements.md")]
fn spread(what: &str, mut of: Vec<f64>) {
    of.sort_by(f64::total_cmp);
    let at = |share: usize| of[(of.len() - 1) * share / 100];
    println!(
        "{what:>8}: least {:.2}, 5 % below {:.2}, median {:.2}, 5 % above {:.2}, most {:.2}",
        at(0),
        at(5),
        at(50),
        at(95),
        at(100)
    );
}

#[expect(clippy::disallowed_methods, reason = "how the long form is told")]
fn is_long() -> bool {
    std::env::var("FLEETMEND_ADAPTIVE_LONG").is_ok()
}

/// Refused of all requests of all seeds.
fn refused(all: &[Figures]) -> f64 {
    let sum = |of: fn(&Figures) -> u64| all.iter().map(of).sum::<u64>() as f64;
    sum(|f| f.refused) / sum(|f| f.asked)
}

fn worst_refused(all: &[Figures]) -> f64 {
    all.iter().map(|f| f.refused as f64 / f.asked as f64).fold(0.0, f64::max)
}

#[test]
fn direct_load_uses_nine_tenths_of_what_the_server_bears_and_hardly_any_is_refused() {
    let all = table(Load::Direct, Some(Adapt::default()), 0..20);

    for f in &all {
        assert!(f.used.iter().all(|used| *used >= 0.9), "seed {}: {:?}", f.seed, f.used);
    }
    assert!(refused(&all) < 0.001, "{}", refused(&all));
    for f in &all {
        assert!(f.is_back(), "seed {}: {:?}", f.seed, f.back);
    }
}

/// None of these seeds was looked at while the rule's constants were chosen; that was done on
/// others, 1000 to 1259.
#[test]
fn deferred_load_uses_seven_tenths_of_what_the_server_bears_and_little_is_refused() {
    let all = table(Load::Deferred, Some(Adapt::default()), 0..20);

    for f in &all {
        assert!(f.is_used() && f.is_back(), "seed {}: {:?} {:?}", f.seed, f.used, f.back);
    }
    assert!(refused(&all) < 0.0025, "{}", refused(&all));
    // A server that serves 28 a minute is asked for 1500 in all: eight of them are 0.5 %.
    assert!(worst_refused(&all) < 0.01, "{}", worst_refused(&all));
    let spared = all.iter().filter(|f| f.is_spared()).count();
    assert!(spared >= 19, "{spared} of 20");
}

/// The long form: a hundred seeds more, as seldom looked at.
#[test]
fn deferred_load_of_a_hundred_more_seeds_is_as_well_steered() {
    if !is_long() {
        return;
    }
    let all = table(Load::Deferred, Some(Adapt::default()), 3000..3100);
    spread("at rest", all.iter().map(|f| f.used[0] * 100.0).collect());
    spread("at half", all.iter().map(|f| f.used[1] * 100.0).collect());
    spread("others", all.iter().map(|f| f.used[2] * 100.0).collect());
    spread("503", all.iter().map(|f| f.refused as f64 / f.asked as f64 * 100.0).collect());
    for change in 0..2 {
        spread("back", all.iter().map(|f| f.back[change] as f64).collect());
    }
    let each = all.iter().filter(|f| f.is_used() && f.is_back() && f.is_spared()).count();
    assert!(each >= 80, "{each} of 100 meet all of it");
    assert!(refused(&all) < 0.0025, "{}", refused(&all));
    assert!(worst_refused(&all) < 0.01, "{}", worst_refused(&all));
    assert!(all.iter().all(|f| f.is_back() && f.used.iter().all(|used| *used >= 0.6)));
}

#[test]
fn without_adapting_deferred_load_is_refused_in_masses() {
    let f = run(4, Load::Deferred, None);

    assert!(f.refused as f64 / f.asked as f64 > 0.2, "{} of {}", f.refused, f.asked);
}
