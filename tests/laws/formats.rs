//! Old journals stay readable for ever: those of every format are kept, and each is read, folded,
//! shown, and decided on as on the day it was written.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fleetmend::action::{self, Replay};
use fleetmend::event::{EventKind, RunMode, RunState};
use fleetmend::load::{LoadedInventory, load_inventory, load_playbook_with, render};
use fleetmend::model::Selector;
use fleetmend::plan::{ActionTraits, Answers, Delegates, Draft, DraftRequest, resume, takeback};
use fleetmend::report::{Paint, file_name, recap};
use fleetmend::store::{Recorded, RunJournal, read};

/// The formats that ever were, each with the kinds of runs that are kept of it.
const FORMATS: &[(&str, &[&str])] = &[(
    "format-1",
    &[
        "check",
        "run",
        "undo",
        "failed",
        "taken-up",
        "unconfirmed",
        "flow",
        "spent",
        "retaken",
        "unapproved",
        "approved",
        "closed",
        "reopened",
        "judged",
        "stopped",
        "rejected",
        "guarded",
    ],
)];

/// A journal that is kept, beside the files that it was made from.
struct Kept {
    folder: PathBuf,
    name: &'static str,
    recorded: Recorded,
}

impl Kept {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals");
        let kept: Vec<Self> = FORMATS
            .iter()
            .flat_map(|(format, names)| names.iter().map(move |name| (*format, *name)))
            .map(|(format, name)| {
                let folder = root.join(format);
                let recorded = read(&folder.join(format!("{name}.db")))
                    .unwrap_or_else(|error| panic!("{format} {name}: {error}"));
                Self { folder, name, recorded }
            })
            .collect();
        let folders = fs::read_dir(&root).expect("the formats").count();
        assert_eq!(folders, FORMATS.len(), "every format is looked at");
        kept
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).expect("it is kept")
    }

    fn inventory(&self) -> LoadedInventory {
        load_inventory("inventory.yml", &self.text("inventory.yml"))
            .unwrap_or_else(|found| panic!("{}", render(&found, false)))
    }

    /// What `resume` would make of the first so many events.
    fn draft(&self, state: &RunState) -> Draft {
        let header = state.header.as_deref().expect("a header");
        let inventory = self.inventory();
        let name = file_name(&header.playbook);
        let nothing = |_: &Path| Err("nothing is included".to_owned());
        let loaded = load_playbook_with(
            name,
            &self.text(name),
            action::registry(),
            Some(&inventory),
            &nothing,
        )
        .unwrap_or_else(|found| panic!("{}", render(&found, false)));
        let limit: Option<Selector> =
            header.limit.as_ref().map(|limit| limit.parse().expect("a pattern"));
        let fleet = &inventory.inventory;
        let window = state.window.of_run.as_ref().map(|window| window.parse().expect("a window"));
        let delegates = Delegates::of(&loaded.playbook, fleet, limit.as_ref(), &header.extra_vars)
            .expect("delegates");
        let request = DraftRequest {
            playbook: &loaded.playbook,
            inventory: fleet,
            inventory_sha256: &header.inventory_sha256,
            limit: limit.as_ref(),
            window: window.as_ref(),
            limits: &header.limits,
            tags: &header.tags,
            delegates: &delegates,
            mode: header.mode,
            seed: header.seed,
            scale: header.scale,
        };
        Draft::new(&request, &|name: &str| {
            let action = action::find(name).expect("an action stays for ever");
            ActionTraits {
                is_once: action.is_once(),
                is_idle: action.is_idle(),
                ..ActionTraits::of_host(action.within(), action.replay() == Replay::Safe)
            }
        })
    }

    /// The events after which a cut tells most: the first intent, half of them, all.
    fn cuts(&self) -> Vec<usize> {
        let events = &self.recorded.events;
        let is_intent = |kind: &EventKind| matches!(kind, EventKind::StepDecided { .. });
        let first = events.iter().position(|event| is_intent(&event.kind));
        let mut cuts: Vec<usize> =
            first.map(|at| at + 1).into_iter().chain([events.len() / 2, events.len()]).collect();
        cuts.dedup();
        cuts
    }
}

#[test]
fn journals_of_every_format_are_read_and_folded_whole() {
    for kept in Kept::all() {
        let Recorded { events, damage, .. } = &kept.recorded;
        assert_eq!(*damage, None, "{}", kept.name);
        assert!(events.len() >= 8, "{}", kept.name);
        let state =
            RunState::replay(events).unwrap_or_else(|error| panic!("{}: {error}", kept.name));
        assert!(state.result.is_some(), "{}", kept.name);
        // What this program would write of them folds to the same.
        for event in events {
            let json = serde_json::to_string(event).expect("JSON");
            assert_eq!(
                serde_json::from_str::<fleetmend::event::Event>(&json).expect("JSON"),
                *event
            );
        }
    }
}

#[test]
fn a_journal_of_every_format_is_gone_on_with() {
    for kept in Kept::all() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("run.db");
        fs::copy(kept.folder.join(format!("{}.db", kept.name)), &path).expect("a copy");

        let (journal, events) = RunJournal::append_to(&path).expect("it goes on");

        assert_eq!(events, kept.recorded.events, "{}", kept.name);
        drop(journal);
    }
}

#[test]
fn what_journals_of_every_format_tell_and_what_is_decided_on_them_stays() {
    for kept in Kept::all() {
        let events = &kept.recorded.events;
        let state = RunState::replay(events).expect("it is legal");
        let mut text = recap(&state, Paint::PLAIN);
        let header = state.header.as_deref().expect("a header");
        if header.mode == RunMode::Run {
            for cut in kept.cuts() {
                let _infallible = writeln!(text, "\n== resume after {cut} events");
                decide_to_resume(&kept, cut, &mut text);
            }
            text.push_str("\n== undo\n");
            decide_to_undo(&state, &mut text);
        }
        insta::assert_snapshot!(format!("journal_{}", kept.name), text);
    }
}

fn decide_to_resume(kept: &Kept, cut: usize, text: &mut String) {
    let state = RunState::replay(&kept.recorded.events[..cut]).expect("it is legal");
    let draft = kept.draft(&state);
    for failed in [false, true] {
        let answers = Answers { failed, ..Answers::default() };
        let word = if failed { "--failed: " } else { "" };
        match resume(&draft, &state, &answers) {
            Ok(resumption) => {
                let _infallible = writeln!(text, "{word}{} hosts left", resumption.hosts_left);
                for doubt in &resumption.in_doubt {
                    let lines = doubt.lines.join("; ");
                    let _infallible =
                        writeln!(text, "  {:?} {} ({lines})", doubt.resolution, doubt.step);
                }
                for step in &resumption.again {
                    let _infallible = writeln!(text, "  again {step}");
                }
            }
            Err(error) => {
                let _infallible = writeln!(text, "{word}{error}");
            }
        }
    }
}

fn decide_to_undo(state: &RunState, text: &mut String) {
    let back = takeback(state, None).expect("it can be looked at");
    for (host, inverses) in &back.hosts {
        for inverse in inverses {
            let _infallible =
                writeln!(text, "{host} {} by {}", inverse.lines.join("; "), inverse.action);
        }
    }
    for stays in &back.stays {
        let why = stays.impossible.as_deref().unwrap_or("there is nothing to take back");
        let _infallible = writeln!(text, "stays: {} ({why})", stays.step);
    }
}
