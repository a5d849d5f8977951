//! Makes the fixtures of a journal format, once for each: runs of every kind, as this program writes
//! them. The law that they stay readable is in `tests/laws/formats.rs`.

use std::path::{Path, PathBuf};

use fleetmend::lab::MachineId;

use crate::world::{SmallLab, World, text};

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
    /// Runs the program, and keeps the journal of the run, which may be one that it went on with.
    fn keep(&self, name: &str, args: &[&str], code: i32) -> String {
        let (events, ended) = self.world.events(args);
        assert_eq!(ended.code, Some(code), "{name}: {}{}", ended.stdout, ended.stderr);
        let run = match args[0] {
            "resume" => args[1].to_owned(),
            _ => text(&events[0], "run").to_owned(),
        };
        let digits = run.replace('-', "");
        let journal = self.world.path().join("state/runs").join(format!("{digits}.db"));
        std::fs::copy(journal, folder().join(format!("{name}.db"))).expect("it is kept");
        run
    }
}

#[test]
#[ignore = "writes the fixtures of this format, once: see CONTRIBUTING.md"]
fn write_the_fixtures_of_this_format() {
    let maker = Maker { lab: SmallLab::start(3, 5, 400.0, FAULTS, 97), world: World::new() };
    let inventory = maker.lab.inventory();
    std::fs::copy(&inventory, folder().join("inventory.yml")).expect("it is kept");
    // Journals name the files of their runs: those of nobody's machine.
    let playbook = |name: &str| {
        let path = maker.world.path().join(name);
        std::fs::copy(folder().join(name), &path).expect("it is there");
        path.display().to_string()
    };
    let (changes, failing, flow) =
        (playbook("changes.yml"), playbook("failing.yml"), playbook("flow.yml"));
    let of = |playbook: &str| -> Vec<String> {
        let args = ["--json", "--seed", "5", playbook, "-i", inventory.as_str()];
        args.map(str::to_owned).to_vec()
    };
    let run = |name: &str, playbook: &str, first: &[&str], code: i32| {
        let rest = of(playbook);
        let args: Vec<&str> =
            first.iter().copied().chain(rest.iter().map(String::as_str)).collect();
        maker.keep(name, &args, code)
    };

    run("check", &changes, &["run", "--check"], 0);
    let changed = run("run", &changes, &["run", "--yes"], 0);
    maker.keep("undo", &["undo", &changed, "--yes", "--json"], 0);

    let failed = run("failed", &failing, &["run", "--yes"], 2);
    maker.lab.lab().world().with(|world| {
        for server in 0..3 {
            let tree = world.tree(MachineId::Server(server));
            tree.write(r"C:\ProgramData\put-there.txt", Vec::new(), 0).expect("written");
        }
    });
    maker.keep("taken-up", &["resume", &failed, "--failed", "--json"], 0);

    let unconfirmed = run("unconfirmed", &flow, &["run", "--yes"], 9);
    maker.keep("flow", &["resume", &unconfirmed, "--approve", "go-on", "--json"], 0);
}
