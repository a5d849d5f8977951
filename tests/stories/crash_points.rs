//! A run of a whole fleet, killed again and again: what was shown is kept, nothing is done twice whose
//! outcome is known, and in the end each effect took place once on each server.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Instant;

use fleetmend::lab::MachineId;
use serde_json::Value;

use crate::crash_and_resume::{asked, assert_nothing_twice};
use crate::world::{SmallLab, UnderWay, World, text};

/// Two effects on each server that nobody can take for one: a line each in a file. Nobody knows what
/// a command does, so that one in doubt is the operator's to answer.
const PLAYBOOK: &str = "\
- hosts: package_servers
  serial: [10%, 100%]
  max_fail_percentage: 100
  tasks:
    - name: The first effect
      command: 'echo MARK-first >> \"FILE\"'
    - name: The second effect
      command: 'echo MARK-second >> \"FILE\"'
";
const FILE: &str = r"C:\ProgramData\effects.txt";
/// Events of a server in a run that nothing disturbs: three of each step, and its end.
const EVENTS: usize = 7;

pub(crate) struct Fleet {
    pub lab: SmallLab,
    pub world: World,
    pub servers: usize,
}

impl Fleet {
    pub(crate) fn start(servers: usize, seed: u64, network: u8) -> Self {
        let count = u32::try_from(servers).expect("a fleet");
        let lab = SmallLab::start(count, seed, 400.0, "faults: []", network);
        Self { lab, world: World::new(), servers }
    }

    /// Writes the playbook of two effects that carry a mark.
    pub(crate) fn playbook(&self, mark: &str) -> String {
        let path = self.world.path().join(format!("{mark}.yml")).display().to_string();
        let playbook = PLAYBOOK.replace("MARK", mark).replace("FILE", FILE);
        std::fs::write(&path, playbook).expect("written");
        path
    }

    /// What the operator answers for each step whose outcome nobody knows: he looks.
    pub(crate) fn answers(&self, mark: &str, events: &[Value]) -> Vec<String> {
        let answer = |(host, task): (String, u64)| {
            let word = if task == 0 { "first" } else { "second" };
            let is_done = self.effects(self.server(&host)).contains(&format!("{mark}-{word}"));
            [if is_done { "--accept" } else { "--retry" }.to_owned(), host]
        };
        unknown(events).into_iter().flat_map(answer).collect()
    }

    /// Each effect of these marks took place on each server, once and in order.
    pub(crate) fn assert_each_effect_once(&self, marks: &[String]) {
        let each = |mark: &String| [format!("{mark}-first"), format!("{mark}-second")];
        let expected: Vec<String> = marks.iter().flat_map(each).collect();
        for server in 0..self.servers {
            assert_eq!(self.effects(server), expected, "server {server}");
        }
    }

    /// What the effects left on a server, line by line.
    pub(crate) fn effects(&self, server: usize) -> Vec<String> {
        let read = |world: &mut fleetmend::lab::world::World| {
            world.tree(MachineId::Server(server)).read(FILE)
        };
        let bytes = self.lab.lab().world().with(read).unwrap_or_default();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }

    /// The name of a server.
    pub(crate) fn name(&self, server: usize) -> String {
        self.lab.lab().world().with(|world| world.fleet().servers[server].fqdn.clone())
    }

    fn server(&self, host: &str) -> usize {
        self.lab.lab().world().with(|world| {
            let servers = &world.fleet().servers;
            servers.iter().position(|server| server.fqdn == host).expect("a server")
        })
    }

    /// One run from its beginning to its end, killed whenever it has shown `every` events more, while
    /// there are kills left. Returns how many there were, and how many steps were in doubt.
    fn run(&self, mark: &str, every: usize, kills: usize) -> (usize, usize) {
        let path = self.playbook(mark);
        let inventory = self.lab.inventory();
        let mut args: Vec<String> =
            ["run", "--yes", "--json", "--seed", "5", path.as_str(), "-i", inventory.as_str()]
                .map(str::to_owned)
                .to_vec();
        let (mut killed, mut doubts) = (0, 0);
        let mut run = None;
        let mut kept: Vec<Value> = Vec::new();
        loop {
            let borrowed: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut under_way = UnderWay::start(self.world.command(&borrowed));
            let mut shown = under_way.read(if killed < kills { every } else { usize::MAX });
            let code = if killed < kills && shown.len() == every {
                under_way.kill();
                killed += 1;
                None
            } else {
                let (rest, code) = under_way.wait();
                shown.extend(rest);
                code
            };
            let what = format!("{mark}, after {killed} kills, {args:?}, ended with {code:?}");
            let run = run.get_or_insert_with(|| text(&shown[0], "run").to_owned());

            let (now, looked) = self.world.events(&["show", "--json", run.as_str()]);
            assert_eq!(looked.code, Some(0), "{what}: {}", looked.stderr);
            assert!(now.len() >= kept.len() + shown.len(), "{what}: events were lost");
            assert!(now[..kept.len()] == kept, "{what}: the past changed");
            assert!(now[kept.len()..][..shown.len()] == shown, "{what}: shown and not kept");
            assert_nothing_twice(&kept, &now, &what);
            kept = now;

            let answers = self.answers(mark, &kept);
            let last = kept.last().expect("an event");
            if text(last, "event") == "run_finished" && answers.is_empty() {
                assert_eq!(text(last, "result"), "done", "{what}: {last}");
                return (killed, doubts);
            }
            doubts += answers.len() / 2;
            args = ["resume", "--json", run.as_str()].map(str::to_owned).to_vec();
            args.extend(answers);
        }
    }
}

/// The steps whose outcome nobody knows, by host and task.
fn unknown(events: &[Value]) -> BTreeSet<(String, u64)> {
    let mut unknown = BTreeSet::new();
    for event in events {
        let step = || {
            let host = event["step"]["host"].as_str().expect("a host").to_owned();
            (host, event["step"]["task"]["task"].as_u64().expect("a task"))
        };
        match text(event, "event") {
            "step_finished" if text(event, "outcome") == "unknown" => {
                unknown.insert(step());
            }
            "step_finished" | "step_started" => {
                unknown.remove(&step());
            }
            _ => {}
        }
    }
    unknown
}

#[test]
fn a_fleet_killed_again_and_again_has_each_effect_once_and_loses_nothing_that_was_shown() {
    let servers = asked("FLEETMEND_CRASH_SERVERS", 200);
    let points = asked("FLEETMEND_CRASH_POINTS", 20);
    let fleet = Fleet::start(servers, 71, 94);
    // A little less than all, so that the run is not over before its last kill.
    let every = (servers * EVENTS * 9 / 10 / points).max(2);
    #[expect(clippy::disallowed_methods, reason = "the long form tells what it took")]
    let began = Instant::now();

    let (mut kills, mut doubts, mut marks) = (0, 0, Vec::new());
    while kills < points {
        let mark = format!("run{}", marks.len());
        let (killed, doubted) = fleet.run(&mark, every, points - kills);
        assert!(killed > 0, "it ended before it was killed");
        (kills, doubts) = (kills + killed, doubts + doubted);
        marks.push(mark);
    }

    fleet.assert_each_effect_once(&marks);
    let told = format!(
        "{kills} kills in {} runs of {servers} servers: {} effects, each once; the operator was asked \
         {doubts} times; {:.0} s\n",
        marks.len(),
        servers * marks.len() * 2,
        began.elapsed().as_secs_f64()
    );
    std::io::stderr().write_all(told.as_bytes()).expect("stderr is open");
}
