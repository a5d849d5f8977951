//! A repair of the CMDB whose way is cut at any packet, or whose program dies there: `resume` says
//! what became of it, the change is made once, and `undo` brings the rows back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fleetmend::lab::cmdb::Cmdb;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use crate::wire::Wire;
use crate::world::{SmallLab, UnderWay, World, text};

const TABLE: &str = "SWDPackageServer";
/// How long the program may take to come to a cut: a bound for a test that hangs, never waited for.
const BOUND: Duration = Duration::from_secs(60);

/// Who finds the way cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The program, which cannot ask again before it ends.
    Lasts,
    /// Nobody: the program dies at that packet.
    Kills,
}

/// A playbook that deletes the rows of packages, in a loop where there are several.
fn playbook(packages: &[String]) -> String {
    let (named, each) = match packages {
        [one] => (format!("'{one}'"), String::new()),
        several => ("'{{ item }}'".to_owned(), format!("      loop: {several:?}\n")),
    };
    format!(
        "- name: Clean the status of packages\n  hosts: notification_servers\n  tasks:\n    \
         - name: Delete the rows\n      cmdb_repair:\n        repair: delete_package_status\n        \
         packages: [{named}]\n        expect: {{ max: 10 }}\n        \
         attest_unused_package_setting: true\n{each}"
    )
}

/// A lab whose CMDB is reached over a way that can be cut.
struct Ground {
    world: World,
    cmdb: Cmdb,
    wire: Wire,
    /// Told at each cut.
    cut: mpsc::Receiver<()>,
    /// Whether a cut is kept from being noticed.
    is_held: watch::Sender<bool>,
    /// Whether the way stays cut.
    lasts: Arc<AtomicBool>,
    playbook: String,
    inventory: String,
    packages: Vec<String>,
    before: Vec<String>,
    print: u64,
    _lab: SmallLab,
    _runtime: tokio::runtime::Runtime,
}

/// What a run that was cut told.
struct Cutoff {
    run: String,
    events: Vec<Value>,
    /// None when it was killed.
    code: Option<i32>,
}

impl Ground {
    fn new(network: u8, packages: usize) -> Self {
        let lab = SmallLab::start(3, 5, 1.0, "faults: []", network);
        let world = World::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (told, cut) = mpsc::channel();
        let (is_held, held) = watch::channel(true);
        let lasts = Arc::new(AtomicBool::new(false));
        let stays = Arc::clone(&lasts);
        let at_cut = Box::new(move || {
            let (mut held, stays) = (held.clone(), Arc::clone(&stays));
            let _gone = told.send(());
            Box::pin(async move {
                let _gone = held.wait_for(|is_held| !is_held).await;
                stays.load(Ordering::Relaxed)
            }) as BoxFuture<'static, bool>
        });
        let address = lab.lab().sql_address();
        let wire = runtime.block_on(Wire::lay(address, at_cut));
        let server = format!("server: {}, port: {},", address.ip(), address.port());
        let over = format!("server: {}, port: {},", wire.address.ip(), wire.address.port());
        let yaml = std::fs::read_to_string(lab.inventory()).expect("the inventory");
        assert!(yaml.contains(&server), "{yaml}");
        // Beside the lab's own: the credentials are found from there.
        let inventory = lab.lab().inventory().with_file_name("over-the-wire.yml");
        std::fs::write(&inventory, yaml.replace(&server, &over)).expect("written");
        let cmdb = lab.lab().world().cmdb().clone();
        let packages: Vec<String> = lab.lab().world().with(|world| {
            world.fleet().packages.iter().take(packages).map(|p| p.guid.to_string()).collect()
        });
        let path = world.path().join("repair.yml");
        std::fs::write(&path, playbook(&packages)).expect("written");
        Self {
            before: cmdb.dump(TABLE).expect("rows"),
            print: cmdb.fingerprint(TABLE).expect("rows"),
            playbook: path.display().to_string(),
            inventory: inventory.display().to_string(),
            world,
            cmdb,
            wire,
            cut,
            is_held,
            lasts,
            packages,
            _lab: lab,
            _runtime: runtime,
        }
    }

    /// How many of the packages were repaired in a run, by its copies: exactly their rows are gone.
    fn repaired(&self, run: &str, what: &str) -> usize {
        let made = self.cmdb.made_tables().expect("tables");
        let done = made.iter().filter(|name| name.contains(&run[..8])).count();
        assert!(done <= self.packages.len(), "{what}: one copy for each repair: {made:?}");
        let gone: Vec<&str> =
            self.packages[..done].iter().map(|guid| guid.trim_matches(['{', '}'])).collect();
        let is_left = |row: &&String| !gone.iter().any(|guid| row.contains(guid));
        let left: Vec<String> = self.before.iter().filter(is_left).cloned().collect();
        assert!(self.cmdb.dump(TABLE).expect("rows") == left, "{what}: all or nothing");
        done
    }

    fn assert_untouched(&self, what: &str) {
        assert!(self.cmdb.dump(TABLE).expect("rows") == self.before, "{what}");
        assert_eq!(self.cmdb.fingerprint(TABLE).expect("rows"), self.print, "{what}");
    }

    fn args(&self) -> [&str; 6] {
        ["run", "--yes", "--json", &self.playbook, "-i", &self.inventory]
    }

    /// Runs the program to its end, with the way cut at a packet of a direction.
    fn cut(&self, args: &[&str], at: (usize, usize), how: Cut) -> Cutoff {
        self.lasts.store(how == Cut::Lasts, Ordering::Relaxed);
        self.is_held.send_replace(true);
        self.wire.reset(Some(at));
        let mut under_way = UnderWay::start(self.world.command(args));
        self.cut.recv_timeout(BOUND).unwrap_or_else(|_| panic!("{at:?} was not come to"));
        let (events, code) = match how {
            Cut::Lasts => {
                self.is_held.send_replace(false);
                under_way.wait()
            }
            Cut::Kills => {
                let seen = under_way.read(1);
                under_way.kill();
                self.is_held.send_replace(false);
                (seen, None)
            }
        };
        self.wire.reset(None);
        Cutoff { run: text(&events[0], "run").to_owned(), events, code }
    }

    /// Runs the playbook undisturbed. Returns the run and how many packets each direction had.
    fn undisturbed(&self) -> (String, [usize; 2]) {
        self.wire.reset(None);
        let (events, ended) = self.world.events(&self.args());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        let run = text(&events[0], "run").to_owned();
        assert_eq!(self.repaired(&run, "undisturbed"), self.packages.len());
        (run, self.wire.reset(None))
    }

    fn undo(&self, run: &str, what: &str) {
        let undone = self.world.run(&["undo", "--yes", run]);
        assert_eq!(undone.code, Some(0), "{what}: {}{}", undone.stdout, undone.stderr);
        self.assert_untouched(what);
    }
}

/// Cuts a run at every packet. Whatever became of it, `resume` finds out, and `undo` brings the
/// rows back.
fn cut_at_every_packet(ground: &Ground, how: Cut) {
    let (run, packets) = ground.undisturbed();
    ground.undo(&run, "undisturbed");
    let (mut lost_answers, mut in_doubt) = (0, 0);
    for (direction, place) in (0..2).flat_map(|way| (0..packets[way]).map(move |at| (way, at))) {
        let what = format!("{how:?} at packet {place} of direction {direction}");
        let cutoff = ground.cut(&ground.args(), (direction, place), how);
        let run = &cutoff.run;
        let done = ground.repaired(run, &what);
        // Of the repairs that are done, the events tell those before the one that was cut.
        let (known, _) = ground.world.events(&["show", "--json", run]);
        let told = known.iter().filter(|event| text(event, "event") == "step_went_on").count();
        lost_answers += done - told;
        let recap = ground.world.run(&["show", run]).stdout;
        let resumed = ground.world.run(&["resume", run]);
        let end = cutoff.events.iter().rfind(|event| text(event, "event") == "step_finished");
        match (how, end.map_or("", |end| text(end, "outcome"))) {
            (Cut::Lasts, "unreachable") => {
                // Its end is known: nothing of this repair was done, and the budget stopped the run.
                assert_eq!((cutoff.code, done), (Some(3), told), "{what}: {recap}");
                assert!(!recap.contains("fleetmend resume"), "{what}: {recap}");
                assert_eq!(resumed.code, Some(7), "{what}: {}", resumed.stderr);
            }
            (Cut::Lasts, "unknown") | (Cut::Kills, "") => {
                in_doubt += 1;
                assert_eq!(cutoff.code, (how == Cut::Lasts).then_some(3), "{what}: {recap}");
                assert!(recap.contains(&format!("fleetmend resume {}", &run[..8])), "{recap}");
                assert_eq!(resumed.code, Some(0), "{what}: {}{}", resumed.stdout, resumed.stderr);
                assert_eq!(ground.repaired(run, &what), ground.packages.len(), "{what}");
                assert!(
                    resumed.stdout.contains("1 host       changed 1\n"),
                    "{what}: {}",
                    resumed.stdout
                );
                let is_doubted = resumed.stderr.contains("in doubt: 1.1 on");
                assert!(is_doubted || done == told, "{what}: {}", resumed.stderr);
                let again = ground.world.run(&["resume", run]);
                assert_eq!(again.code, Some(7), "{what}: {}", again.stderr);
            }
            (_, other) => panic!("{what}: {other}, {recap}"),
        }
        ground.undo(run, &what);
    }
    // The answer to each COMMIT is one packet. An item whose end was not on disk yet is one more.
    assert!(lost_answers >= ground.packages.len(), "{lost_answers}");
    assert!(in_doubt >= 2 * ground.packages.len(), "{in_doubt}");
}

#[test]
fn a_run_whose_way_is_cut_at_any_packet_is_resumed_to_one_change_and_undone() {
    cut_at_every_packet(&Ground::new(60, 1), Cut::Lasts);
}

#[test]
fn a_run_that_dies_at_any_packet_is_resumed_to_one_change_and_undone() {
    cut_at_every_packet(&Ground::new(61, 1), Cut::Kills);
}

#[test]
fn a_loop_that_dies_at_any_packet_is_resumed_to_one_change_of_each_item_and_undone() {
    cut_at_every_packet(&Ground::new(62, 2), Cut::Kills);
}

#[test]
fn an_undo_that_dies_or_is_cut_at_any_packet_is_run_again_to_its_end() {
    let ground = Ground::new(63, 1);
    let (run, _) = ground.undisturbed();
    ground.undo(&run, "undisturbed");
    let packets = ground.wire.reset(None);
    let mut lost_answers = 0;
    for (direction, how) in [(0, Cut::Lasts), (1, Cut::Kills)] {
        for place in 0..packets[direction] {
            let what = format!("{how:?} at packet {place} of direction {direction}");
            let (run, _) = ground.undisturbed();
            let cutoff = ground.cut(&["undo", "--yes", "--json", &run], (direction, place), how);
            let is_back = ground.cmdb.dump(TABLE).expect("rows") == ground.before;
            lost_answers += usize::from(is_back);
            assert!(is_back || ground.repaired(&run, &what) == 1, "{what}: all or nothing");
            assert_ne!(cutoff.code, Some(0), "{what}: it does not know that it is done");
            ground.undo(&run, &what);
        }
    }
    assert_eq!(lost_answers, 1, "the answer to COMMIT is one packet");
}
