//! Makes the fixtures of a journal format: runs of every kind, as this program writes them. One that is
//! kept already is never written again. The law that they stay readable is in `tests/laws/formats.rs`.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fleetmend::lab::MachineId;
use fleetmend::model::Zone;

use crate::world::{SmallLab, UnderWay, World, text};

/// The format that this program writes.
const FORMAT: &str = "format-1";
const FAULTS: &str = "faults: [{ kind: stale, hosts: 2 }]";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals").join(FORMAT)
}

struct Maker {
    lab: SmallLab,
    world: World,
}

impl Maker {
    /// A fleet as it was when nothing had been done yet; the first of a format is kept.
    fn new(network: u8) -> Self {
        let maker =
            Self { lab: SmallLab::start(3, 5, 400.0, FAULTS, network), world: World::new() };
        let kept = folder().join("inventory.yml");
        if !kept.exists() {
            std::fs::copy(maker.lab.inventory(), kept).expect("it is kept");
        }
        maker
    }

    /// The arguments that run a playbook of the folder. Journals name the files of their runs: those of
    /// nobody's machine.
    fn run(&self, playbook: &str, inventory: &str, first: &[&str]) -> Vec<String> {
        let path = self.world.path().join(playbook);
        std::fs::copy(folder().join(playbook), &path).expect("it is there");
        let path = path.display().to_string();
        let rest = ["--json", "--seed", "5", &path, "-i", inventory];
        first.iter().chain(&rest).map(|word| (*word).to_owned()).collect()
    }

    /// Runs the program, and keeps the journal of the run, which may be one that it went on with.
    fn keep(&self, name: &str, args: &[String], code: i32) -> String {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (events, ended) = self.world.events(&args);
        assert_eq!(ended.code, Some(code), "{name}: {}{}", ended.stdout, ended.stderr);
        let run = match args[0] {
            "resume" => args[1].to_owned(),
            _ => text(&events[0], "run").to_owned(),
        };
        self.keep_run(name, &run);
        run
    }

    /// Starts the program, with this password of the administrator in place of his own.
    fn start(&self, args: &[String], password: Option<&str>) -> UnderWay {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.world.command(&args);
        if let Some(password) = password {
            let known = self.lab.lab().credentials();
            let (_, own) = known.iter().find(|(name, _)| *name == "lab-admin").expect("his own");
            command.env("FLEETMEND_LAB_ADMIN_USER", &own.user);
            command.env("FLEETMEND_LAB_ADMIN_PASSWORD", password);
        }
        UnderWay::start(command)
    }

    fn keep_run(&self, name: &str, run: &str) {
        let kept = folder().join(format!("{name}.db"));
        if kept.exists() {
            return;
        }
        let digits = run.replace('-', "");
        let journal = self.world.path().join("state/runs").join(format!("{digits}.db"));
        // Nothing of it lies beside it: the run has ended.
        std::fs::copy(journal, kept).expect("it is kept");
    }

    /// Where the Notification Server's web server is.
    fn notification_server(&self) -> SocketAddr {
        let at = self.lab.lab().endpoints()[0].1;
        (at.address, at.http).into()
    }

    /// The inventory with another port for the Notification Server's web server, which comes first in it.
    fn inventory_with(&self, name: &str, http_port: u16) -> String {
        let inventory = self.lab.inventory();
        let whole = std::fs::read_to_string(&inventory).expect("an inventory");
        let (before, after) = whole.split_once("http_port: ").expect("a port");
        let rest = after.split_once('\n').expect("a line").1;
        // The lab's credentials are named as they lie beside it.
        let path = Path::new(&inventory).with_file_name(name);
        std::fs::write(&path, format!("{before}http_port: {http_port}\n{rest}")).expect("written");
        path.display().to_string()
    }

    fn put_what_is_waited_for(&self) {
        self.lab.lab().world().with(|world| {
            for server in 0..3 {
                let tree = world.tree(MachineId::Server(server));
                tree.write(r"C:\ProgramData\put-there.txt", Vec::new(), 0).expect("written");
            }
        });
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[test]
#[ignore = "writes the fixtures of this format that are not there yet: see CONTRIBUTING.md"]
fn write_the_fixtures_of_this_format() {
    let maker = Maker::new(97);
    let inventory = maker.lab.inventory();
    let run = |name: &str, playbook: &str, first: &[&str], code: i32| {
        maker.keep(name, &maker.run(playbook, &inventory, first), code)
    };

    run("check", "changes.yml", &["run", "--check"], 0);
    let changed = run("run", "changes.yml", &["run", "--yes"], 0);
    maker.keep("undo", &words(["undo", &changed, "--yes", "--json"]), 0);

    let failed = run("failed", "failing.yml", &["run", "--yes"], 2);
    maker.put_what_is_waited_for();
    maker.keep("taken-up", &words(["resume", &failed, "--failed", "--json"]), 0);

    let unconfirmed = run("unconfirmed", "flow.yml", &["run", "--yes"], 9);
    maker.keep("flow", &words(["resume", &unconfirmed, "--approve", "go-on", "--json"]), 0);
}

#[test]
#[ignore = "writes the fixtures of this format that are not there yet: see CONTRIBUTING.md"]
fn write_the_fixtures_of_safeguards() {
    let maker = Maker::new(98);
    let inventory = maker.lab.inventory();

    let run = |name: &str, playbook: &str, first: &[&str], code: i32| {
        maker.keep(name, &maker.run(playbook, &inventory, first), code)
    };

    // A budget is spent, and what failed is taken up when its cause is gone.
    let spent = run("spent", "spent.yml", &["run", "--yes"], 3);
    maker.put_what_is_waited_for();
    maker.keep("retaken", &words(["resume", &spent, "--failed", "--json"]), 0);

    // A gate that cannot be read, since nothing listens where the server's web server should be, and a
    // person who says that the run goes on.
    let unread = maker.inventory_with("unread.yml", 9);
    let asked = maker.keep("unapproved", &maker.run("gated.yml", &unread, &["run", "--yes"]), 9);
    let resume =
        words(["resume", &asked, "--approve", "ns_healthy", "--approve", "go-on", "--json"]);
    maker.keep("approved", &resume, 0);

    // A window that closes with hosts left, and the next one.
    #[expect(clippy::disallowed_methods, reason = "the program goes by the wall clock")]
    let now = jiff::Timestamp::now();
    let wall = |seconds: i64| {
        let at = now + jiff::SignedDuration::from_secs(seconds);
        Zone::utc().wall(at).strftime("%H:%M:%S").to_string()
    };
    let window = format!("{}-{} UTC expect=10min margin=100ms", wall(-60), wall(4));
    let first = ["run", "--yes", "--window", &window];
    let closed = run("closed", "settling.yml", &first, 5);
    let resume = words(["resume", &closed, "--window", "00:00-24:00 UTC", "--json"]);
    maker.keep("reopened", &resume, 0);

    // What the CMDB says at the end of a play, and a gate that says no.
    run("judged", "judged.yml", &["run", "--yes"], 3);

    // Left by the operator in the middle.
    let args = maker.run("settling.yml", &inventory, &["run", "--yes"]);
    let mut stopped = maker.start(&args, None);
    let first = stopped
        .read_until(|seen| seen.last().is_some_and(|last| text(last, "event") == "host_finished"));
    let sent = Command::new("kill").args(["-INT", &stopped.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert_eq!(stopped.wait().1, Some(6));
    maker.keep_run("stopped", text(&first[0], "run"));

    // A password that is not the one: the last word, since nobody tries it again.
    let args = maker.run("spent.yml", &inventory, &["run", "--yes"]);
    let mut rejected = maker.start(&args, Some("not the one"));
    let first = rejected.read(1);
    assert_eq!(rejected.wait().1, Some(3));
    maker.keep_run("rejected", text(&first[0], "run"));

    // A limit that is closed while its server does not answer, and opened again, beside a soak, a gate
    // and handlers.
    let door = Door::before(maker.notification_server());
    let inventory = maker.inventory_with("behind-a-door.yml", door.port);
    let args = maker.run("guarded.yml", &inventory, &["run", "--yes"]);
    let mut guarded = maker.start(&args, None);
    let first = guarded.read_until(|seen| {
        seen.iter().filter(|event| text(event, "event") == "step_went_on").count() >= 2
    });
    door.is_open.store(false, Ordering::Relaxed);
    guarded
        .read_until(|seen| seen.last().is_some_and(|last| text(last, "event") == "limit_adapted"));
    door.is_open.store(true, Ordering::Relaxed);
    let (rest, code) = guarded.wait();
    assert_eq!(code, Some(0), "{rest:#?}");
    maker.keep_run("guarded", text(&first[0], "run"));
}

/// What stands before a web server: while it is closed, whoever comes gets no answer.
struct Door {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Door {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((server.ip(), 0)).expect("a free port");
        let port = listener.local_addr().expect("its port").port();
        let is_open = Arc::new(AtomicBool::new(true));
        let opens = Arc::clone(&is_open);
        std::thread::spawn(move || {
            for guest in listener.incoming().map_while(Result::ok) {
                if opens.load(Ordering::Relaxed)
                    && let Ok(host) = TcpStream::connect(server)
                {
                    let (guests, hosts) = (guest.try_clone(), host.try_clone());
                    std::thread::spawn(move || carry(guest, host));
                    std::thread::spawn(move || carry(hosts.ok()?, guests.ok()?));
                }
            }
        });
        Self { port, is_open }
    }
}

/// Carries bytes one way until either side has ended.
fn carry(mut from: TcpStream, mut to: TcpStream) -> Option<u64> {
    let carried = std::io::copy(&mut from, &mut to).ok();
    // The other side may have gone first.
    let _gone = to.shutdown(Shutdown::Both);
    carried
}
