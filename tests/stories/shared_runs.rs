//! Runs of one controller that go on at the same time share what they draw from: one limit, one
//! place at a site. What one of them set off counts for the others, and what is killed gives back
//! its places.

use std::time::{Duration, Instant};

use fleetmend::engine::boot_moment;
use fleetmend::lab::world::{AGENT_SERVICE, FleetSpec, IisSpec};
use fleetmend::lab::{Cause, MachineId};
use jiff::Timestamp;
use serde_json::Value;

use crate::world::{SmallLab, UnderWay, World, text};

/// A bound for a test that hangs.
const BOUND: Duration = Duration::from_secs(60);
const SPEED: f64 = 400.0;

/// A lab whose Notification Server bears so many requests per minute, and no other clients.
fn lab(servers: u32, sites: u32, iis: IisSpec, faults: &str, network: u8) -> SmallLab {
    let started = "2026-05-16T20:00:00Z".parse().expect("a time");
    let usual = FleetSpec::new(servers, u64::from(network), started);
    let fleet = FleetSpec { sites, iis, clients_per_minute: 0, packages: 4, ..usual };
    SmallLab::of_fleet(fleet, SPEED, faults, std::net::Ipv4Addr::new(127, 100 + network, 0, 1))
}

/// The names of servers, as `hosts` of a play takes them.
fn servers(lab: &SmallLab, numbers: std::ops::Range<usize>) -> String {
    lab.lab().world().with(|world| {
        let names: Vec<&str> =
            world.fleet().servers[numbers].iter().map(|server| server.fqdn.as_str()).collect();
        names.join(",")
    })
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

fn at(event: &Value) -> Timestamp {
    text(event, "at").parse().expect("an instant")
}

/// All that a run wrote.
fn journal(world: &World, run: &str) -> Vec<Value> {
    world.events(&["show", "--json", run]).0
}

/// What the ledger keeps of a limit: for each Notification Server and each value of `by` one.
fn kept(world: &World, limit: &str) -> Vec<Value> {
    let path = world.path().join("state/state.db");
    let ledger = rusqlite::Connection::open(path).expect("the ledger");
    let mut found =
        ledger.prepare("SELECT state FROM shared_limits WHERE key LIKE ?1").expect("its table");
    let pools = found
        .query_map([format!("\"{limit}\" of %")], |row| row.get::<_, String>(0))
        .expect("its rows");
    pools.map(|row| serde_json::from_str(&row.expect("a row")).expect("JSON")).collect()
}

/// Looks again and again until there is something to see.
fn look_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a bound, which is not waited for")]
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < BOUND, "never seen: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until a run stands in the queue of a limit.
fn wait_for_queue(world: &World, limit: &str, run: &str) {
    look_until("a run that waits for what another one holds", || {
        let pools = kept(world, limit);
        let mut queue = pools.iter().filter_map(|pool| pool["queue"].as_array()).flatten();
        queue.any(|ticket| text(&ticket["owner"], "run") == run).then_some(())
    });
}

/// From when to when each change was under way, as the journal has it: begun at the latest, and ended
/// at the earliest. One whose end is not known ended when its process was killed.
fn changing(events: &[Value], killed: Option<Timestamp>) -> Vec<(Timestamp, Timestamp)> {
    let span = |(place, event): (usize, &Value)| {
        let ends = |later: &&Value| {
            ["step_went_on", "step_finished"].contains(&text(later, "event"))
                && later["step"] == event["step"]
        };
        let end = events[place..].iter().find(ends).map(at);
        (at(event), end.or(killed).expect("it ended"))
    };
    let is_decision = |event: &Value| text(event, "event") == "step_decided";
    events.iter().enumerate().filter(|(_, event)| is_decision(event)).map(span).collect()
}

/// From when to when each host was in a play, as the journal has it.
fn staying(events: &[Value]) -> Vec<(Timestamp, Timestamp)> {
    let ended = of(events, "host_finished").into_iter();
    let span = |end: &Value| {
        let begun =
            of(events, "step_started").into_iter().find(|e| e["step"]["host"] == end["host"]);
        (at(begun.expect("its first step")), at(end))
    };
    ended.map(span).collect()
}

/// The most spans that have a point in common.
fn most_at_once(spans: &[(Timestamp, Timestamp)]) -> usize {
    let holds =
        |point: Timestamp| spans.iter().filter(move |(from, to)| *from <= point && point < *to);
    spans.iter().map(|(from, _)| holds(*from).count()).max().unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "the program under test goes by the wall clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
fn two_runs_keep_one_limit_and_the_one_that_is_killed_gives_back_its_places() {
    const BURST: usize = 2;
    const PLACES: usize = 2;
    const PER_MINUTE: f64 = 2.0;
    // Two runs that did not know of each other would be too much for it.
    let lab = lab(6, 2, IisSpec { per_minute: 3, queue: 6 }, "faults: []", 74);
    let world = World::new();
    let inventory = lab.inventory();
    // Two agents do not do what they are asked: whoever asks them holds a place and waits.
    let idle = [2, 3];
    lab.lab().world().with(|world| idle.iter().for_each(|server| world.hang_agent(*server)));
    let play = |numbers, items: usize| {
        let hosts = servers(&lab, numbers);
        let items: Vec<usize> = (0..items).collect();
        format!(
            "- hosts: '{hosts}'\n  throttle: 2\n  max_fail_percentage: 0\n  limits:\n    ns_iis: \
             {{ rate: {PER_MINUTE}/min, burst: {BURST}, in_flight: {PLACES} }}\n  tasks:\n    - agent: \
             update_configuration\n      within: 24 h\n      loop: {items:?}\n"
        )
    };
    // The first one works its way to the agents that do nothing; the second one has more to do.
    let first = world.write("first.yml", &play(0..4, 6));
    let second = world.write("second.yml", &play(4..6, 9));

    let mut one = UnderWay::run(&world, &first, &inventory);
    let begun = one.read_until(|seen| !of(seen, "step_decided").is_empty());
    let one_run = text(&begun[0], "run").to_owned();
    let mut other = UnderWay::run(&world, &second, &inventory);
    let other_run = text(&other.read(1)[0], "run").to_owned();
    let hung = idle.map(|server| servers(&lab, server..server + 1));
    let held = one.read_until(|seen| {
        let hosts = of(seen, "step_decided").into_iter().map(|event| text(&event["step"], "host"));
        hosts.filter(|host| hung.iter().any(|name| name == host)).count() == PLACES
    });
    let full = at(held.last().expect("it holds them"));
    wait_for_queue(&world, "ns_iis", &other_run);
    let killed = now();
    one.kill();
    let (_, code) = other.wait();
    assert_eq!(code, Some(0), "what the killed one held is free");
    lab.lab().world().with(|world| {
        let mut servers = idle.iter().map(|server| MachineId::Server(*server));
        assert!(servers.all(|server| world.restart_service(server, AGENT_SERVICE)));
    });
    let resumed = world.run(&["resume", &one_run, "--json"]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);

    // Never more places than there are, whoever holds them.
    let (ones, others) = (journal(&world, &one_run), journal(&world, &other_run));
    let cut = ones.iter().position(|event| text(event, "event") == "run_resumed");
    let (before, after) = ones.split_at(cut.expect("it was taken up"));
    let mut spans = changing(before, Some(killed));
    spans.extend(changing(&others, None).into_iter().chain(changing(after, None)));
    assert_eq!(most_at_once(&spans), PLACES, "{spans:?}");
    // Both were at work together; and while one held all places, the other one began nothing.
    let begun: Vec<Timestamp> = of(&others, "step_decided").into_iter().map(at).collect();
    assert!(begun.iter().any(|at| *at < full) && begun.iter().any(|at| *at > killed), "{begun:?}");
    let between = begun.iter().filter(|at| **at > full && **at < killed).count();
    assert_eq!(between, 0, "{begun:?} between {full} and {killed}");

    // What the Notification Server counted is what was declared: each change one request.
    let tally = lab.lab().report();
    assert_eq!((tally.of(Cause::ConfigUpdate), tally.asked()), (4 * 6 + 2 * 9, 4 * 6 + 2 * 9));
    assert_eq!(tally.refused, 0);
    // A request arrives while its change is under way: in any window those whose change began in it,
    // and of those under way when it opened.
    let arrivals = lab.lab().world().with(|world| world.arrivals());
    for (place, (from, _)) in arrivals.iter().enumerate() {
        for (count, (to, _)) in (1_u32..).zip(&arrivals[place..]) {
            let minutes = to.since(*from).as_secs_f64() / 60.0;
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let allowed = (BURST + PLACES) as f64 + PER_MINUTE * minutes;
            assert!(f64::from(count) <= allowed + 0.01, "{count} in {minutes} min: {arrivals:?}");
        }
    }
}

#[test]
fn two_runs_take_turns_at_a_site_that_takes_one_host_at_a_time() {
    let lab = lab(4, 1, IisSpec { per_minute: 28, queue: 12 }, "faults: []", 75);
    let world = World::new();
    let inventory = lab.inventory();
    let play = |numbers| {
        let hosts = servers(&lab, numbers);
        format!(
            r"- hosts: '{hosts}'
  throttle: 2
  max_fail_percentage: 0
  limits:
    site: {{ by: site, in_flight: 1 }}
  tasks:
    - command: {{ line: 'echo it is there', changes: false, removes: 'C:\ProgramData\put-there.txt' }}
      register: looked
      until: looked.ran
      retries: 100
      delay: 2 min
"
        )
    };
    let put = |servers: std::ops::Range<usize>| {
        lab.lab().world().with(|world| {
            for server in servers {
                let tree = world.tree(MachineId::Server(server));
                tree.write(r"C:\ProgramData\put-there.txt", Vec::new(), 0).expect("written");
            }
        });
    };
    let first = world.write("first.yml", &play(0..2));
    let second = world.write("second.yml", &play(2..4));
    put(2..4);

    let mut one = UnderWay::run(&world, &first, &inventory);
    let begun = one.read_until(|seen| !of(seen, "step_started").is_empty());
    let one_run = text(&begun[0], "run").to_owned();
    let mut other = UnderWay::run(&world, &second, &inventory);
    let other_run = text(&other.read(1)[0], "run").to_owned();
    wait_for_queue(&world, "site", &other_run);
    put(0..2);

    assert_eq!((one.wait().1, other.wait().1), (Some(0), Some(0)));
    let (ones, others) = (journal(&world, &one_run), journal(&world, &other_run));
    let spans = [staying(&ones), staying(&others)].concat();
    assert_eq!((spans.len(), most_at_once(&spans)), (4, 1), "{spans:?}");
    let first_end = at(of(&ones, "host_finished")[0]);
    assert!(at(of(&others, "step_started")[0]) >= first_end, "the place was held");
}

/// A lab with one server whose agent will fetch two packages anew once it looks: somebody moved their
/// snapshots away. Returns the names of this server and of another one.
fn with_moved_snapshots(network: u8) -> (SmallLab, [String; 2]) {
    let faults = "faults: [{ kind: stale, hosts: 1, packages: [1, 2] }]";
    let lab = lab(2, 2, IisSpec { per_minute: 28, queue: 12 }, faults, network);
    let names = lab.lab().world().with(|world| {
        let stale = world.not_ready();
        assert_eq!(stale.len(), 2, "{stale:?}");
        let servers = &world.fleet().servers;
        let number = servers.iter().position(|one| one.guid == stale[0].0).expect("a server");
        for (_, package) in stale {
            let snapshot = servers[number].layout.snapshot(package);
            assert!(world.tree(MachineId::Server(number)).remove(&snapshot), "{snapshot}");
        }
        [number, 1 - number].map(|number| servers[number].fqdn.clone())
    });
    (lab, names)
}

#[test]
fn what_a_task_causes_is_booked_at_its_due_time_and_is_what_the_server_counts() {
    let (lab, [server, _]) = with_moved_snapshots(76);
    let world = World::new();
    let playbook = world.write(
        "causes.yml",
        &format!(
            "- hosts: {server}
  work: not_ready_packages
  max_fail_percentage: 0
  tasks:
    - name: Take what is missing
      agent: update_configuration
      causes: {{ ns_iis: '{{{{ 2 * (work.package_ids | length) }}}}', after: 2 days }}
"
        ),
    );

    let (events, ended) =
        world.events(&["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    let (wall, boot) = (now(), boot_moment().at);

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let pools = kept(&world, "ns_iis");
    assert_eq!(pools.len(), 1, "{pools:#?}");
    let booked = pools[0]["bucket"]["booked"].as_array().expect("bookings");
    assert_eq!(booked.len(), 1, "{pools:#?}");
    assert_eq!(booked[0]["units"], 4);
    // Two days after the change was allowed to begin: not before it was asked for, and not after it was
    // decided.
    let due = Duration::from_micros(booked[0]["at"].as_u64().expect("an instant"));
    let drawn = due - Duration::from_secs(2 * 24 * 3600).div_f64(SPEED);
    let by_boot = |event: &Value| {
        boot - Duration::try_from(wall.duration_since(at(event))).expect("before now")
    };
    let slack = Duration::from_millis(2);
    let started = by_boot(of(&events, "step_started")[0]) - slack;
    let decided = by_boot(of(&events, "step_decided")[0]) + slack;
    assert!((started..=decided).contains(&drawn), "{started:?} {drawn:?} {decided:?}");

    // The agent asks for each of the packages twice, some time later.
    let tally = look_until("the downloads", || {
        let tally = lab.lab().report();
        (tally.asked() >= 5).then_some(tally)
    });
    let counts = [Cause::ConfigUpdate, Cause::PackageInfo, Cause::SnapshotDownload];
    assert_eq!(counts.map(|cause| tally.of(cause)), [1, 2, 2], "{tally:?}");
}

#[test]
fn what_one_run_has_caused_is_waited_for_by_the_next_one() {
    let (lab, [server, other]) = with_moved_snapshots(77);
    let world = World::new();
    let inventory = lab.inventory();
    let play = |host: &str, causes: &str| {
        format!(
            "- hosts: {host}\n  max_fail_percentage: 0\n  limits:\n    ns_iis: {{ rate: 8/h, burst: 3 \
             }}\n  tasks:\n    - agent: update_configuration\n      within: 24 h\n{causes}"
        )
    };
    let causes = "      causes: { ns_iis: 3, after: 10 min }\n";
    let first = world.write("first.yml", &play(&server, causes));
    let second = world.write("second.yml", &play(&other, ""));
    let run = |playbook: &str| {
        let (events, ended) = world.events(&["run", "--yes", "--json", playbook, "-i", &inventory]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        events
    };

    let (ones, others) = (run(&first), run(&second));

    // When the three fall due, all of the burst must be there, and what the first change drew itself
    // takes seven and a half minutes to come back; there is no time for another one. After them it
    // takes as long again.
    let waited =
        at(of(&others, "step_decided")[0]).duration_since(at(of(&ones, "step_started")[0]));
    let waited = Duration::try_from(waited).expect("it came after").mul_f64(SPEED);
    assert!(waited >= Duration::from_secs(60 * 10 + 60 * 15 / 2), "{waited:?}");
}
