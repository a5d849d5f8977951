//! `quarantine_files`: named files of listed packages are not where the product looks for them.

mod traffic;

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::agent_packages::PackageList;
use super::carrying::{carry_out, inverse_of};
use super::package_files::{FilePattern, admit, movable, names_of, twins_in};
use super::urgent_list::{self, Assigned, URGENT_LIST};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Direction, FencedFile, Move, Reader, Relocation, Role};
use crate::itms::Unreadable;
use crate::itms::package_status::{PackageState, read_state};
use crate::itms::snapshot::read_snapshot;
use crate::itms::traffic::PackageSizes;
use crate::itms::urgent_list::read_urgent_list;
use crate::model::{Cost, FailureClass, Guid, RunId, StepFailure, WindowsPath};
use crate::transport::TransportErrorKind;

/// The most files that are moved when the playbook does not say.
const MOST_FILES: usize = 100;

/// How many files are read at once; each has at most 16 MiB.
const AT_ONCE: usize = 8;

/// The largest status file that is read.
const LARGEST_STATUS: u64 = 16 * 1024 * 1024;

/// The action.
pub(super) struct QuarantineFiles;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    role: Role,
    files: Vec<FilePattern>,
    #[serde(default)]
    packages: Vec<Guid>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    max: std::num::NonZeroUsize,
}

impl Default for Expect {
    fn default() -> Self {
        Self { max: std::num::NonZeroUsize::new(MOST_FILES).expect("it is not zero") }
    }
}

/// What is on the host.
#[derive(Debug)]
pub(super) struct State {
    run: RunId,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// More files than are expected; their contents were not read.
    TooMany(usize),
    /// These files, and why some must stay.
    Files { moves: Vec<Move>, must_stay: Vec<String>, consequence: Option<String> },
}

#[async_trait]
impl Action for QuarantineFiles {
    type Params = Params;
    type State = State;
    type Change = Relocation;

    const NAME: &'static str = "quarantine_files";
    const SUMMARY: &'static str = "Moves named files of listed packages into quarantine, so that the product makes them anew.";
    const DOC: &'static str = "\
Ensures that the files are not where the product looks for them. Each is moved, never
deleted, to `<volume>\\ProgramData\\fleetmend\\quarantine\\<run>`, a folder that only
SYSTEM and the administrators can use. A file that is not there is nothing to do.

Only named files inside the folder of the role are moved: no folder, no wildcard, no
content of packages, nothing behind a link. More files than `expect.max` are refused.
So is a `PackageStatus.xml` that says `Deleted`, since the agent's removal of the
package would never end, and one whose state cannot be read, unless the agent's own
list gives another state; and so is the `snapshot.xml` of such a package. Nothing is moved
on a host that is no package server (`ps_…` roles): client computers are left alone. At
the Notification Server a package's file is also found
without braces and with a language, `{GUID.EN_US}.xml`.

Of files that belong to no package there are two: `UrgentList.xml` of `ps_status`, moved only
when it lists a package that neither the policies nor the agent know (KB 181405), and in
`ps_policies` the file of the agent's own Notification Server, `{ns}.xml`; the agent fetches
it again with its next configuration.

Moving snapshots of the Notification Server away makes new versions, which every package
server and client downloads: what is known of that is said first, in bytes and downloads.

Rights: an administrator of the server, over SMB; WinRM to find the folders.

Undo: moves the same bytes back. A file that the product has made meanwhile is moved
into the quarantine of the undo first. Registers `moved`: package, path and time of
each file.
";
    const EXAMPLE: &'static str = "\
- name: Move the stale snapshot files away
  quarantine_files:
    role: ps_delivery
    files: ['{package}/snapshot.xml']
    packages: '{{ work.package_ids }}'
    expect: { max: 50 }
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(Role::CHANGEABLE),
            required: true,
            doc: "What the files are for; the folder is found on each host.",
        },
        ParamDoc {
            name: "files",
            kind: ParamKind::Texts,
            required: true,
            doc: "Names below the folder; `{package}` stands for a package's GUID in braces, `{ns}` for the agent's server.",
        },
        ParamDoc {
            name: "packages",
            kind: ParamKind::Guids,
            required: false,
            doc: "The packages.",
        },
        ParamDoc {
            name: "expect",
            kind: ParamKind::Map(&[ParamDoc {
                name: "max",
                kind: ParamKind::Count,
                required: true,
                doc: "The most files that may be there; with more, none is moved. Default 100.",
            }]),
            required: false,
            doc: "What the host is expected to hold.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        if params.role.is_of_package_servers() {
            at.expect_package_server().await?;
        }
        let patterns = movable(at, params.role, &params.files).await?;
        let root = at.root(params.role).await?;
        let fence = at.fence();
        let listed = twins_in(at, params.role, &root.path).await?;
        let names = names_of(&patterns, &params.packages, &listed);
        let mut files = admit(&fence, &root, &names).await?;
        files.retain(|(_, file)| file.metadata().is_some());
        if files.len() > params.expect.max.get() {
            return Ok(State { run: at.run(), found: Found::TooMany(files.len()) });
        }
        let mut moves = Vec::with_capacity(files.len());
        let mut must_stay = Vec::new();
        let mut unreadable: Vec<(Option<Guid>, FencedFile)> = Vec::new();
        let mut sizes = PackageSizes::default();
        for planned in plan_moves(at, files).await? {
            if let Some((package, bytes)) = planned.snapshot {
                sizes.add(package, bytes);
            }
            match planned.state {
                Some(PackageState::Deleted) => must_stay.push(deleted(&planned.file)),
                Some(PackageState::Unreadable) => {
                    unreadable.push((planned.the_move.package, planned.file));
                }
                Some(PackageState::Ready | PackageState::Other(_)) | None => {}
            }
            if let Some(listed) = &planned.urgent {
                must_stay.extend(urgent_list::why_stay(listed, &Assigned::read(at).await?));
            }
            moves.push(planned.the_move);
        }
        if !unreadable.is_empty() {
            let list = PackageList::read(at).await?;
            must_stay.extend(unreadable.iter().filter_map(|(package, file)| {
                why_stay(file, package.and_then(|package| state_in(&list, package)))
            }));
        }
        if params.role == Role::PsDelivery {
            must_stay.extend(being_removed(at, &moves).await?);
        }
        let consequence = match params.role {
            Role::NsSnapshots if !sizes.is_empty() => {
                Some(traffic::estimate(&sizes, at).await?.to_string())
            }
            _ => None,
        };
        Ok(State { run: at.run(), found: Found::Files { moves, must_stay, consequence } })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Relocation> {
        let refuse = |reason: String| {
            Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!("could not move files of {} away: {reason}", params.role),
            ))
        };
        match &state.found {
            Found::TooMany(count) => refuse(format!(
                "{count} files are there and at most {} are expected",
                params.expect.max
            )),
            Found::Files { must_stay, .. } if !must_stay.is_empty() => refuse(must_stay.join("; ")),
            Found::Files { moves, .. } if moves.is_empty() => Verdict::Unchanged {
                note: "none of the files is there".to_owned(),
                value: json!({ "moved": [] }),
            },
            Found::Files { moves, consequence, .. } => Verdict::Change(
                Relocation::new(params.role, state.run, Direction::Away, moves.clone())
                    .with_consequence(consequence.clone()),
            ),
        }
    }

    fn cost(_: &Relocation) -> Cost {
        Cost::none()
    }

    fn describe(change: &Relocation) -> Vec<String> {
        change.describe()
    }

    async fn apply(change: &Relocation, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        carry_out(change, at).await
    }

    fn invert(change: &Relocation) -> Undo {
        inverse_of(change)
    }
}

/// What is planned for a file.
struct Planned {
    file: FencedFile,
    the_move: Move,
    /// The state in it, when it is a package's status file.
    state: Option<PackageState>,
    /// The packages in it, when it is the list of urgent ones.
    urgent: Option<Result<Vec<Guid>, Unreadable>>,
    /// The package and the bytes of its files, when it is a snapshot of the Notification Server.
    snapshot: Option<(Guid, Option<u64>)>,
}

/// Reads the files that are to be moved, several at once; what went away meanwhile is left out.
async fn plan_moves(
    at: &Reader<'_>,
    files: Vec<(Option<Guid>, FencedFile)>,
) -> Result<Vec<Planned>, StepFailure> {
    let mut planned = Vec::with_capacity(files.len());
    for some in files.chunks(AT_ONCE) {
        let read = join_all(some.iter().map(|(package, file)| at.plan_move(file, *package))).await;
        for ((_, file), read) in some.iter().zip(read) {
            let Some((the_move, content)) = read? else { continue };
            let state = is_named(file, "PackageStatus.xml").then(|| read_state(&content));
            let urgent = is_named(file, URGENT_LIST).then(|| read_urgent_list(&content));
            let is_snapshot = file.role() == Role::NsSnapshots
                && file
                    .path()
                    .file_name()
                    .is_some_and(|name| name.to_lowercase().ends_with(".xml"));
            let bytes = || read_snapshot(&content).manifest.ok().and_then(|found| found.bytes());
            let snapshot =
                the_move.package.filter(|_| is_snapshot).map(|package| (package, bytes()));
            planned.push(Planned { file: file.clone(), the_move, state, urgent, snapshot });
        }
    }
    Ok(planned)
}

/// Whether a file of the status store has that name.
fn is_named(file: &FencedFile, name: &str) -> bool {
    file.role() == Role::PsStatus
        && file.path().file_name().is_some_and(|found| found.eq_ignore_ascii_case(name))
}

fn deleted(file: &FencedFile) -> String {
    format!("{} says Deleted", file.path())
}

/// Why snapshots of a package server must stay: the agent is removing their packages, which its
/// status files say, or its own list where they cannot be read (KB 178503, 433153).
async fn being_removed(at: &Reader<'_>, moves: &[Move]) -> Result<Vec<String>, StepFailure> {
    let root = match at.root(Role::PsStatus).await {
        Ok(root) => Some(root.path),
        Err(failure) if failure.class == FailureClass::Refused => None,
        Err(failure) => return Err(failure),
    };
    let packages: BTreeSet<Guid> = moves.iter().filter_map(|it| it.package).collect();
    let packages: Vec<Guid> = packages.into_iter().collect();
    let mut stay = Vec::new();
    let mut unclear = Vec::new();
    for some in packages.chunks(AT_ONCE) {
        let states = join_all(some.iter().map(|package| status_of(at, root.as_ref(), *package)));
        for (package, state) in some.iter().zip(states.await) {
            match state? {
                Some(PackageState::Deleted) => {
                    stay.push(format!("the status of {package} says Deleted"));
                }
                Some(PackageState::Unreadable) => unclear.push(*package),
                None if root.is_none() => unclear.push(*package),
                // Without a status file the agent is not removing the package.
                Some(PackageState::Ready | PackageState::Other(_)) | None => {}
            }
        }
    }
    if !unclear.is_empty() {
        let list = PackageList::read(at).await?;
        stay.extend(unclear.into_iter().filter_map(|package| match state_in(&list, package) {
            Some(PackageState::Ready | PackageState::Other(_)) => None,
            Some(PackageState::Deleted) => {
                Some(format!("the agent says that {package} is Deleted"))
            }
            Some(PackageState::Unreadable) | None => Some(format!(
                "the state of {package} cannot be read and the agent does not list it"
            )),
        }));
    }
    Ok(stay)
}

/// The state in a package's status file; none when there is no such file.
async fn status_of(
    at: &Reader<'_>,
    root: Option<&WindowsPath>,
    package: Guid,
) -> Result<Option<PackageState>, StepFailure> {
    let path = root.and_then(|root| root.join(&format!("{package}\\PackageStatus.xml")).ok());
    let Some(path) = path else { return Ok(None) };
    match at.files().read(&path, LARGEST_STATUS).await {
        Ok(content) => Ok(Some(read_state(&content))),
        Err(error) if error.kind == TransportErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the agent's list says of a package; `None` when it does not name it.
fn state_in(list: &PackageList, package: Guid) -> Option<PackageState> {
    let entry = list.packages.iter().find(|entry| entry.id == package)?;
    Some(PackageState::of(&entry.status))
}

/// Why a status file that cannot be read must stay, given the agent's word for the package.
fn why_stay(file: &FencedFile, state: Option<PackageState>) -> Option<String> {
    match state {
        Some(PackageState::Ready | PackageState::Other(_)) => None,
        Some(PackageState::Deleted) => Some(deleted(file)),
        Some(PackageState::Unreadable) | None => Some(format!(
            "the state in {} cannot be read and the agent does not list the package",
            file.path()
        )),
    }
}

#[cfg(test)]
#[path = "quarantine_files/tests.rs"]
mod tests;
