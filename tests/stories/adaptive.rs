//! A limit that adapts, over the lab's own protocols: the program looks at the Notification
//! Server's web server, whose capacity is halved under way, and which others ask later.
//!
//! In the long form (`FLEETMEND_ADAPTIVE_LONG`) in real time, with load that comes at once and with
//! load that comes later; in the short form ten times as fast, with the first alone.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use fleetmend::lab::world::{FleetSpec, IisSpec, Tally};
use serde_json::Value;

use crate::world::{SmallLab, UnderWay, World, text};

/// Requests a minute that the server bears.
const BEARS: u32 = 120;
/// Seconds of its work that may wait, as in the lab's usual server.
const DEPTH: u32 = 26;
const CLIENTS: u32 = 4;
/// Requests a minute that others make while they make many.
const OTHERS: u32 = BEARS * 45 / 100;

/// What is asked for in the long form and in the short.
struct Story {
    /// One task of many.
    task: &'static str,
    /// Units a minute that are declared: more than the server bears.
    declared: u32,
    speed: f64,
    /// How long each part takes in the world's time, and what of it is not measured, in seconds.
    part: u64,
    settles: u64,
    network: u8,
}

/// A part of a story: what the server bears and what clients ask for, a minute.
struct Part {
    name: &'static str,
    bears: u32,
    clients: u32,
}

const PARTS: [Part; 4] = [
    Part { name: "at rest", bears: BEARS, clients: CLIENTS },
    Part { name: "at half", bears: BEARS / 2, clients: CLIENTS },
    Part { name: "others", bears: BEARS, clients: OTHERS },
    Part { name: "back", bears: BEARS, clients: CLIENTS },
];

/// What came of a part.
struct Figures {
    /// Ours that were served, by what others left of the capacity, while it is measured.
    used: f64,
    /// When a minute brought 80 % of what it brought at rest, in the world's seconds.
    back: Option<u64>,
}

/// What came of a story.
struct Told {
    parts: Vec<Figures>,
    tally: Tally,
    events: Vec<Value>,
    recap: String,
}

#[expect(clippy::disallowed_methods, reason = "how the long form is told")]
fn is_long() -> bool {
    std::env::var("FLEETMEND_ADAPTIVE_LONG").is_ok()
}

/// Adds what the owner of the server allows to the inventory of a lab.
fn allow(inventory: &str, declared: u32) {
    let whole = std::fs::read_to_string(inventory).expect("an inventory");
    let limit = format!(
        "limits: {{ ns_iis: {{ rate: {declared}/min, burst: 3, in_flight: 24 }}, site: {{ by: \
         site, in_flight: 24 }} }}"
    );
    let allowed = whole.replacen("  vars:\n", &format!("  vars:\n    {limit}\n"), 1);
    assert_ne!(whole, allowed);
    std::fs::write(inventory, allowed).expect("an inventory");
}

/// Tasks of each server. The slow start lets two servers begin when the first has ended: those of
/// the first site have nothing to do, so that it is over at once.
fn playbook(world: &World, story: &Story, first_site: &str) -> String {
    let task = format!("    - {}\n      when: site != '{first_site}'\n", story.task);
    let tasks = task.repeat(25);
    let (path, declared) = (world.path().join("much.yml"), story.declared);
    let text = format!(
        "- name: Ask for much\n  hosts: package_servers\n  throttle: 24\n  max_fail_percentage: 5\n  \
         limits: {{ ns_iis: {{ rate: {declared}/min, burst: 3, in_flight: 24, adapt: true }} }}\n  \
         tasks:\n{tasks}"
    );
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[expect(clippy::disallowed_methods, reason = "the world under test goes by the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the world under test goes by the real clock")]
fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(now()));
}

fn tell(story: &Story) -> Told {
    let started = "2026-05-16T20:00:00Z".parse().expect("a time");
    let fleet = FleetSpec {
        packages: 6,
        is_uniform: true,
        iis: IisSpec { per_minute: BEARS, queue: BEARS * DEPTH / 60 },
        clients_per_minute: CLIENTS,
        ..FleetSpec::new(96, 7, started)
    };
    let address = Ipv4Addr::new(127, 100 + story.network, 0, 1);
    let lab = SmallLab::of_fleet(fleet, story.speed, "faults: []", address);
    let (world, inventory) = (World::new(), lab.inventory());
    allow(&inventory, story.declared);
    let first_site = lab.lab().world().with(|world| world.fleet().servers[0].site.clone());
    let playbook = playbook(&world, story, &first_site);
    let mut under_way = UnderWay::run(&world, &playbook, &inventory);
    let first = under_way.read(1);
    assert!(!first.is_empty(), "it did not start");
    let (run, id) = (text(&first[0], "run").to_owned(), under_way.id());
    let reader = std::thread::spawn(move || under_way.wait().0);

    let mut parts = Vec::new();
    let mut at_rest = f64::INFINITY;
    let begun = now();
    for (number, part) in (0_u64..).zip(&PARTS) {
        lab.lab().world().with(|world| {
            world.let_iis_bear(part.bears);
            world.let_clients_ask(part.clients);
        });
        // The tally at each second of the world.
        let counted: Vec<Counted> = (0..=story.part)
            .map(|second| {
                let at = seconds(number * story.part + second) / story.speed;
                wait_until(begun + Duration::from_secs_f64(at));
                Counted::of(&lab.lab().report())
            })
            .collect();
        let settled = usize::try_from(story.settles).expect("few");
        let (from, until) = (&counted[settled], &counted[counted.len() - 1]);
        let measured = seconds(story.part - story.settles);
        let capacity = f64::from(part.bears) * measured / 60.0;
        let ours = seconds(until.ours - from.ours);
        if part.name == "at rest" {
            at_rest = ours / measured * 60.0;
        }
        let is_back = |place: &usize| {
            seconds(counted[*place].ours - counted[*place - 60].ours) >= 0.8 * at_rest
        };
        let back = (60..counted.len()).find(is_back).map(|place| place as u64);
        parts.push(Figures { used: ours / (capacity - seconds(until.others - from.others)), back });
    }
    let stopped = std::process::Command::new("kill").arg(id.to_string()).status();
    assert!(stopped.expect("kill runs").success());
    let events = reader.join().expect("it is read");
    let recap = world.run(&["show", &run]).stdout;
    Told { parts, tally: lab.lab().report(), events, recap }
}

/// Requests that were served so far.
struct Counted {
    ours: u64,
    others: u64,
}

impl Counted {
    fn of(tally: &Tally) -> Self {
        let all: u64 = tally.requests.values().sum();
        let ours = tally.asked() - tally.refused_asked;
        Self { ours, others: all - tally.refused - ours }
    }
}

#[expect(clippy::cast_precision_loss, reason = "few")]
fn seconds(whole: u64) -> f64 {
    whole as f64
}

/// Prints what came of a story, as docs/measurements.md has it.
#[expect(clippy::print_stdout, reason = "the figures of docs/measurements.md")]
fn print(story: &Story, told: &Told) {
    println!("{} at speed {}, {}/min declared", story.task, story.speed, story.declared);
    for (part, figures) in PARTS.iter().zip(&told.parts) {
        let back = figures.back.map_or_else(|| "never".to_owned(), |after| format!("{after} s"));
        println!(
            "  {:8} bears {:>3}/min, clients {:>2}/min: used {:>5.1} %, a minute of 80 % after {back}",
            part.name,
            part.bears,
            part.clients,
            figures.used * 100.0
        );
    }
    let tally = &told.tally;
    println!(
        "  503: {} of {} ({:.3} %)",
        tally.refused_asked,
        tally.asked(),
        seconds(tally.refused_asked) / seconds(tally.asked()) * 100.0
    );
    for event in adapted(&told.events) {
        println!("  {} {} % {}", event["elapsed"], event["percent"], text(event, "why"));
    }
    let closing = told.recap.lines().filter(|line| line.contains("booked"));
    closing.for_each(|line| println!("  {line}"));
}

fn adapted(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| text(event, "event") == "limit_adapted").collect()
}

/// What holds whatever the machine is busy with: the limit followed the server, and it was told.
fn followed(told: &Told) {
    assert!(!adapted(&told.events).is_empty(), "nothing was told");
    assert!(told.recap.contains("booked; lowered"), "{}", told.recap);
    let tally = &told.tally;
    assert!(tally.refused_asked * 20 <= tally.asked(), "{tally:?}");
    assert!(told.parts.iter().all(|part| part.used > 0.2));
}

#[test]
fn load_that_comes_at_once_follows_what_the_server_bears() {
    let (speed, part, settles) = if is_long() { (1.0, 180, 60) } else { (10.0, 90, 30) };
    let task = "agent: update_configuration";
    let story = Story { task, declared: 2 * BEARS, speed, part, settles, network: 90 };
    let told = tell(&story);
    print(&story, &told);

    followed(&told);
    if is_long() {
        for (part, figures) in PARTS.iter().zip(&told.parts) {
            assert!(figures.used >= 0.85, "{}: {}", part.name, figures.used);
        }
        let tally = &told.tally;
        assert!(tally.refused_asked * 100 <= tally.asked(), "{tally:?}");
        assert!(told.parts[3].back.is_some(), "it is not back");
    }
}

/// Over twenty minutes in the long form; not in the short form, where nothing would come of it in seconds.
#[test]
fn load_that_comes_later_follows_what_the_server_bears() {
    if !is_long() {
        return;
    }
    // Each package of a host is booked twice and asked for once: half of what is booked comes.
    let (task, declared) = ("agent: refresh_packages", 4 * BEARS);
    let story = Story { task, declared, speed: 1.0, part: 330, settles: 210, network: 91 };
    let told = tell(&story);
    print(&story, &told);

    followed(&told);
    for (part, figures) in PARTS.iter().zip(&told.parts) {
        assert!(figures.used >= 0.5, "{}: {}", part.name, figures.used);
    }
    let tally = &told.tally;
    assert!(tally.refused_asked * 50 <= tally.asked(), "{tally:?}");
    assert!(told.parts[3].back.is_some_and(|after| after <= 300), "{:?}", told.parts[3].back);
}
