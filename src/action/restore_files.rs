//! `restore_files`: named files of listed packages are back from the quarantine of an earlier run.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::carrying::{carry_out, inverse_of};
use super::package_files::{FilePattern, admit, movable, names_of, twins_in};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Direction, Move, QuarantinedRun, Reader, Relocation, Role};
use crate::model::{Cost, Guid, RunId, StepFailure};

/// The action.
pub(super) struct RestoreFiles;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    run: String,
    role: Role,
    files: Vec<FilePattern>,
    #[serde(default)]
    packages: Vec<Guid>,
}

/// What the quarantine of the run holds.
#[derive(Debug)]
pub(super) struct State {
    run: RunId,
    moves: Vec<Move>,
}

#[async_trait]
impl Action for RestoreFiles {
    type Params = Params;
    type State = State;
    type Change = Relocation;

    const NAME: &'static str = "restore_files";
    const SUMMARY: &'static str =
        "Moves named files of listed packages back from the quarantine of an earlier run.";
    const DOC: &'static str = "\
Ensures that the files which an earlier run moved away with `quarantine_files` are
where they were. To take a whole run back, use `fleetmend undo RUN`; this is for some
of its files. A file that stands where a quarantined one belongs is moved into this
run's own quarantine first. Files that the quarantine does not hold are nothing to do.

Rights: an administrator of the server, over SMB; WinRM to find the folders.

Undo: moves the files into the quarantine of the earlier run again. Registers `moved`:
package, path and time of each file.
";
    const EXAMPLE: &'static str = "\
- name: Bring the snapshot files back
  restore_files:
    run: 0c3fd1a2
    role: ps_delivery
    files: ['{package}/snapshot.xml']
    packages: '{{ work.package_ids }}'
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "run",
            kind: ParamKind::Text,
            required: true,
            doc: "The run that moved them away: its id, or at least the first eight digits of it.",
        },
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
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let patterns = movable(at, params.role, &params.files).await?;
        let root = at.root(params.role).await?;
        let drive = root.path.drive();
        let run = at.find_quarantined_run(drive, &params.run).await?;
        let kept = match QuarantinedRun::of(run, drive) {
            Some(quarantine) => {
                twins_in(at, params.role, &quarantine.place(params.role.name())?).await?
            }
            None => Vec::new(),
        };
        let names = names_of(&patterns, &params.packages, &kept);
        let mut moves = Vec::new();
        for (package, file) in admit(&at.fence(), &root, &names).await? {
            moves.extend(at.plan_return(run, &file, package).await?);
        }
        Ok(State { run, moves })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Relocation> {
        if state.moves.is_empty() {
            return Verdict::Unchanged {
                note: format!("the quarantine of run {} holds none of the files", state.run),
                value: json!({ "moved": [] }),
            };
        }
        Verdict::Change(Relocation::new(
            params.role,
            state.run,
            Direction::Back,
            state.moves.clone(),
        ))
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
