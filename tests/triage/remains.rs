//! What an `undo` leaves as a run made it: nothing but what docs/playbooks.md lists, and a diagnosis
//! that says afterwards what docs/verdicts.md says.

use std::collections::BTreeSet;
use std::path::Path;

use fleetmend::event::RunState;
use fleetmend::itms::triage::Verdict;
use fleetmend::model::Guid;

use crate::picture::{Difference, How, Picture};

/// The first cells of the list in docs/playbooks.md, "What undo leaves".
const REMAINS: [&str; 6] = ["logs", "configuration", "packages", "events", "rows", "quarantine"];

/// What a run changed itself: it must be as it was before, to the last byte.
pub(crate) struct Touched {
    /// Files that were moved and folders whose rights were changed, by host and path in lower case.
    paths: BTreeSet<(String, String)>,
    /// Whether rows of the CMDB were changed, and of which tables.
    tables: BTreeSet<String>,
}

impl Touched {
    pub(crate) fn by(state: &RunState) -> Self {
        let mut touched = Self { paths: BTreeSet::new(), tables: BTreeSet::new() };
        for (id, step) in state.steps() {
            let host = step.on.as_ref().unwrap_or(&id.host).to_string();
            for (record, _) in &step.changes {
                let change = &record.change;
                let moved = change["moves"].as_array().into_iter().flatten();
                let described = change["folders"].as_array().into_iter().flatten();
                let paths = moved.map(|it| &it["from"]).chain(described.map(|it| &it["path"]));
                for path in paths.filter_map(|path| path.as_str()) {
                    touched.paths.insert((host.clone(), path.to_lowercase()));
                }
                if record.action == "cmdb_repair" {
                    let table = match change["repair"]["repair"].as_str() {
                        Some("set_origin") => "ItemNSSource",
                        Some("delete_codebases") => "SWDPackageCodebase",
                        Some("delete_package_status" | "remove_duplicates") => "SWDPackageServer",
                        other => panic!("a repair of which table: {other:?}"),
                    };
                    touched.tables.insert(table.to_owned());
                }
            }
        }
        touched
    }

    /// Panics unless everything that is still other than before is listed as what remains.
    pub(crate) fn is_all_back(&self, before: &Picture, after: &Picture, what: &str) {
        for (host, path) in &self.paths {
            assert!(before.file(host, path).is_some(), "{what}: {host} {path} was there before");
        }
        for difference in before.differences(after) {
            let reason = self.reason(&difference);
            let Some(reason) = reason else { panic!("{what}: left behind: {difference}") };
            assert!(REMAINS.contains(&reason), "{reason} is not listed");
        }
    }

    /// Under which name the difference is listed.
    fn reason(&self, difference: &Difference) -> Option<&'static str> {
        let name = difference.name.as_str();
        let is_touched = self.paths.contains(&(difference.host.clone(), name.to_owned()));
        let is_in = |folder: &str| name.contains(&format!(r"\{folder}\"));
        match &difference.how {
            // Rights, and what Windows keeps beside the disks, are nobody's work but the run's.
            How::Rights(..) | How::Setting(..) => None,
            How::Rows(..) => (!self.tables.contains(name)).then_some("rows"),
            _ if is_touched => None,
            How::New if name.ends_with(r":\programdata") || is_of_quarantine(name) => {
                Some("quarantine")
            }
            How::New | How::Gone | How::Content => {
                if name.ends_with(".log") {
                    Some("logs")
                } else if is_in("client policies") {
                    Some("configuration")
                } else if is_of_package(name) || is_in(r"smp\snapshots") {
                    Some("packages")
                } else if is_in("evtqueue") {
                    Some("events")
                } else {
                    None
                }
            }
        }
    }
}

/// Whether a folder on the way is a package's, in the store or at another location.
fn is_of_package(path: &str) -> bool {
    path.split('\\').any(|folder| folder.parse::<Guid>().is_ok())
}

fn is_of_quarantine(path: &str) -> bool {
    let rest = path.split_once(r":\programdata\fleetmend").map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
}

/// What docs/verdicts.md says of a verdict "After undo".
pub(crate) struct Afterwards {
    pub(crate) verdict: Verdict,
    pub(crate) playbook: String,
    /// The verdicts that are named then; none where there is nothing to take back.
    pub(crate) named: Option<Vec<String>>,
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(path).expect("the page")
}

/// The cells of the tables below a heading.
fn rows_below(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("no \"{heading}\""));
    let section = below.split_once("\n## ").map_or(below, |(section, _)| section);
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn names_in(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of docs/verdicts.md, "After undo".
pub(crate) fn afterwards() -> Vec<Afterwards> {
    let verdict = |name: &str| Verdict::ALL.iter().copied().find(|verdict| verdict.name() == name);
    let mut all = Vec::new();
    for cells in rows_below(&page("verdicts.md"), "## After undo") {
        let [verdicts, playbook, named, _] = &cells[..] else { panic!("four cells: {cells:?}") };
        let is_nothing = named.starts_with("nothing to take back");
        let playbook = names_in(playbook).pop().expect("a playbook");
        for name in names_in(verdicts) {
            let verdict = verdict(&name).unwrap_or_else(|| panic!("no verdict {name}"));
            let named = match named.as_str() {
                "the same" => Some(vec![name]),
                "all is well" => Some(Vec::new()),
                _ if is_nothing => None,
                list => Some(names_in(list)),
            };
            all.push(Afterwards { verdict, playbook: playbook.clone(), named });
        }
    }
    all
}

#[test]
fn what_undo_leaves_is_listed_and_nothing_else_is() {
    let rows = rows_below(&page("playbooks.md"), "## What undo leaves");
    let listed: Vec<&str> = rows.iter().map(|cells| cells[0].as_str()).collect();

    assert_eq!(listed, REMAINS);
}
