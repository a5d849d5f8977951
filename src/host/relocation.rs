//! Moving files into a run's quarantine and back: what is moved, as data, and the moving.

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::quarantine::QuarantinedRun;
use super::{Changer, Fence, FencedFile, Role, Root};
use crate::model::{FailureClass, Guid, RunId, StepFailure, WindowsPath};
use crate::transport::{FileMetadata, TransportError, TransportErrorKind};

/// The largest file that is moved: they are manifests and states, not content.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// How many files are moved at once: each takes several round trips.
const AT_ONCE: usize = 8;

/// How often a file that another program holds is tried again, and how long is waited in between.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(700);

/// How many places are tried for a file whose place in the quarantine is taken.
const MOST_TWINS: u32 = 50;

/// Which way files are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into quarantine.
    Away,
    /// From quarantine to where they were.
    Back,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The package it belongs to; none for files that belong to no package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Guid>,
    /// Where it belongs.
    pub from: WindowsPath,
    /// Its place in the run's quarantine, relative to the run's folder.
    pub to: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its last write time, Windows FILETIME.
    pub modified: u64,
    /// The SHA-256 of its content, lower-case hexadecimal.
    pub sha256: String,
}

/// Files of one role that are moved together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relocation {
    /// The role in whose folder they belong.
    pub role: Role,
    /// The run whose quarantine holds them, or will.
    pub run: RunId,
    /// Which way.
    pub direction: Direction,
    /// The packages of which files are moved away, each once; empty on the way back.
    #[serde(default)]
    pub packages_moved: Vec<Guid>,
    /// The files.
    pub moves: Vec<Move>,
    /// What moving them sets off elsewhere, for people; none on the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
}

/// What became of the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relocated {
    /// Files moved now.
    pub moved: usize,
    /// Files that were already where they should be.
    pub already: usize,
    /// Files of others that stood in the way and were moved into this run's quarantine.
    pub displaced: usize,
}

impl Relocation {
    /// Files to move; the packages are counted from them.
    pub fn new(role: Role, run: RunId, direction: Direction, moves: Vec<Move>) -> Self {
        let mut packages_moved: Vec<Guid> = Vec::new();
        if direction == Direction::Away {
            for package in moves.iter().filter_map(|it| it.package) {
                if !packages_moved.contains(&package) {
                    packages_moved.push(package);
                }
            }
        }
        Self { role, run, direction, packages_moved, moves, consequence: None }
    }

    /// The same files the other way.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let direction = match self.direction {
            Direction::Away => Direction::Back,
            Direction::Back => Direction::Away,
        };
        Self::new(self.role, self.run, direction, self.moves.clone())
    }

    /// The same files, with what moving them sets off.
    #[must_use]
    pub fn with_consequence(self, consequence: Option<String>) -> Self {
        Self { consequence, ..self }
    }

    /// What it sets off, and one line for each file.
    pub fn describe(&self) -> Vec<String> {
        let moves = self.moves.iter().map(|it| match self.direction {
            Direction::Away => {
                format!("move {} ({} bytes) into quarantine", it.from, it.size)
            }
            Direction::Back => format!(
                "move {} ({} bytes) back from the quarantine of run {}",
                it.from, it.size, self.run
            ),
        });
        self.consequence.iter().cloned().chain(moves).collect()
    }

    /// The files for `register`.
    pub fn value(&self) -> serde_json::Value {
        let moved: Vec<serde_json::Value> = self
            .moves
            .iter()
            .map(|it| {
                serde_json::json!({
                    "package": it.package, "path": it.from, "modified": it.modified,
                })
            })
            .collect();
        serde_json::json!({ "moved": moved })
    }
}

/// The SHA-256 of a content, lower-case hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of one file.
enum Fate {
    Moved,
    Already,
    /// It was moved, and another one had to make way.
    Displaced,
}

impl Changer<'_> {
    /// Moves files, each by the handle on which its size and time were compared with what was
    /// recorded. Doing it again does no harm: a file that is where it should be counts as done.
    ///
    /// # Errors
    ///
    /// `Drifted` when something has changed since it was recorded, `Refused` outside the fence; the
    /// message says how many files were moved. The first failure ends a move into quarantine; on
    /// the way back the other files are moved all the same.
    pub async fn relocate(&self, relocation: &Relocation) -> Result<Relocated, StepFailure> {
        let root = self.root(relocation.role).await?;
        let fence = self.fence();
        let run = relocation.run;
        let quarantine = match relocation.direction {
            Direction::Away => self.prepare_quarantine(&fence, run, root.path.drive()).await?,
            Direction::Back => QuarantinedRun::of(run, root.path.drive())
                .ok_or_else(|| not_moved(&root.path, "its volume has no quarantine"))?,
        };
        let mut done = Relocated::default();
        let mut failed: Option<StepFailure> = None;
        for some in relocation.moves.chunks(AT_ONCE) {
            let fates = join_all(some.iter().map(|file| async {
                match relocation.direction {
                    Direction::Away => self.move_away(&fence, &root, &quarantine, file).await,
                    Direction::Back => self.move_back(&fence, &root, &quarantine, file).await,
                }
            }))
            .await;
            for fate in fates {
                match fate {
                    Ok(Fate::Moved) => done.moved += 1,
                    Ok(Fate::Already) => done.already += 1,
                    Ok(Fate::Displaced) => {
                        done.moved += 1;
                        done.displaced += 1;
                    }
                    // An effect in doubt is the worst of what went wrong at once, and a host that
                    // is not reached is worse than a file that is refused.
                    Err(failure) => failed = Some(worse(failed, failure)),
                }
            }
            // A file that cannot come back keeps no other one away: what is brought back was there
            // before, and nobody would ask for the rest again.
            let goes_on = relocation.direction == Direction::Back
                && failed.as_ref().is_none_or(|failure| is_refusal(failure.class));
            if failed.is_some() && !goes_on {
                break;
            }
        }
        let Some(mut failure) = failed else { return Ok(done) };
        let (there, of) = (done.moved + done.already, relocation.moves.len());
        if there > 0 {
            failure.message.push_str(&match relocation.direction {
                Direction::Away => format!(" (after {there} of {of} files)"),
                Direction::Back => format!(" ({there} of {of} files are back)"),
            });
        }
        Err(failure)
    }

    async fn move_away(
        &self,
        fence: &Fence<'_>,
        root: &Root,
        quarantine: &QuarantinedRun,
        file: &Move,
    ) -> Result<Fate, StepFailure> {
        let source = fence.recorded(root, &file.from).await?;
        let place = quarantine.place(&file.to)?;
        self.prepare_place(fence, quarantine, &place).await?;
        let kept = self.files().metadata(&place).await?;
        match (source.metadata(), kept) {
            (None, None) => Err(drifted(&file.from, "it is gone and quarantine does not have it")),
            (None | Some(_), Some(kept)) => {
                // Moved by an earlier attempt; what stands there now was written since.
                if self.is_recorded(&place, &kept, file).await? {
                    Ok(Fate::Already)
                } else {
                    Err(drifted(&file.from, &format!("another file is already at {place}")))
                }
            }
            (Some(found), None) => {
                if found.size != file.size || found.modified != file.modified {
                    return Err(drifted(&file.from, "it has changed since it was looked at"));
                }
                self.carry(source.path(), &place, found).await?;
                Ok(Fate::Moved)
            }
        }
    }

    async fn move_back(
        &self,
        fence: &Fence<'_>,
        root: &Root,
        quarantine: &QuarantinedRun,
        file: &Move,
    ) -> Result<Fate, StepFailure> {
        let target = fence.recorded(root, &file.from).await?;
        let place = quarantine.place(&file.to)?;
        let occupant = target.metadata();
        let is_back = match occupant {
            Some(found) => self.is_recorded(target.path(), found, file).await?,
            None => false,
        };
        if is_back {
            return Ok(Fate::Already);
        }
        let kept = match place.parent() {
            Some(folder) if fence.folder(&folder).await? => self.files().metadata(&place).await?,
            _ => None,
        };
        let Some(kept) = kept else {
            return Err(drifted(&file.from, &format!("it is no longer at {place}")));
        };
        if !self.is_recorded(&place, &kept, file).await? {
            return Err(drifted(&file.from, &format!("the file at {place} is another one")));
        }
        let parent = target.path().parent();
        if let Some(folder) = &parent
            && !fence.folder(folder).await?
        {
            return Err(drifted(&file.from, &format!("{folder} is gone; it is kept at {place}")));
        }
        let Some(found) = occupant else {
            self.carry(&place, target.path(), &kept).await?;
            return Ok(Fate::Moved);
        };
        let aside = self.displace(fence, &target, found).await?;
        let Err(mut failure) = self.carry(&place, target.path(), &kept).await else {
            return Ok(Fate::Displaced);
        };
        // The one that made way belongs there as long as nothing else does.
        let is_put_back = failure.class != FailureClass::InDoubt
            && self.carry(&aside, target.path(), found).await.is_ok();
        if !is_put_back {
            failure.message.push_str(&format!("; the file that stood there is kept at {aside}"));
        }
        Err(failure)
    }

    /// Moves a file that stands in the way into this run's own quarantine: nothing is lost. Returns
    /// where it is.
    async fn displace(
        &self,
        fence: &Fence<'_>,
        file: &FencedFile,
        found: &FileMetadata,
    ) -> Result<WindowsPath, StepFailure> {
        let drive = file.path().drive();
        let quarantine = self.prepare_quarantine(fence, self.run(), drive).await?;
        let wanted = format!("displaced\\{}\\{}", file.role(), file.relative());
        for twin in 1..=MOST_TWINS {
            let place = quarantine.place(&twin_of(&wanted, twin))?;
            self.prepare_place(fence, &quarantine, &place).await?;
            if self.files().metadata(&place).await?.is_none() {
                self.carry(file.path(), &place, found).await?;
                return Ok(place);
            }
        }
        Err(not_moved(file.path(), "quarantine already holds too many files of this name"))
    }

    /// Whether the file at a path is the recorded one, by size and content.
    async fn is_recorded(
        &self,
        path: &WindowsPath,
        found: &FileMetadata,
        file: &Move,
    ) -> Result<bool, StepFailure> {
        if found.attributes.is_directory() || found.attributes.is_link() || found.size != file.size
        {
            return Ok(false);
        }
        let content = self.files().read(path, LARGEST_FILE).await?;
        Ok(sha256(&content) == file.sha256)
    }

    /// Renames by handle; a file that another program holds is tried again for a few seconds.
    async fn carry(
        &self,
        from: &WindowsPath,
        to: &WindowsPath,
        expected: &FileMetadata,
    ) -> Result<(), StepFailure> {
        let mut tries = 1;
        loop {
            let files = self.change_files().await?;
            let renamed = files.rename(from, to, expected, self.deadline()).await;
            self.note_files(&renamed).await;
            let held = match renamed {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == TransportErrorKind::SharingViolation => error,
                Err(error) => return Err(error.into()),
            };
            if tries == TRIES || self.deadline().left() < BETWEEN_TRIES {
                return Err(held_by_another(from, &held));
            }
            tries += 1;
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }
}

/// The name of a file's `twin`: the first has the wanted name, `x.xml`, the second `x.xml.2`.
pub(super) fn twin_of(wanted: &str, twin: u32) -> String {
    if twin <= 1 { wanted.to_owned() } else { format!("{wanted}.{twin}") }
}

/// The failure that tells more of what may have happened; the earlier one of two equals.
fn worse(first: Option<StepFailure>, second: StepFailure) -> StepFailure {
    let weight = |failure: &StepFailure| match failure.class {
        FailureClass::InDoubt => 2,
        class if is_refusal(class) => 0,
        _ => 1,
    };
    match first {
        Some(first) if weight(&first) >= weight(&second) => first,
        Some(_) | None => second,
    }
}

/// Whether we refused, so that nothing was asked of the host.
fn is_refusal(class: FailureClass) -> bool {
    matches!(class, FailureClass::Refused | FailureClass::Drifted)
}

/// What is found is not what was recorded.
fn drifted(path: &WindowsPath, reason: &str) -> StepFailure {
    StepFailure::new(FailureClass::Drifted, format!("could not move {path}: {reason}"))
}

fn not_moved(path: &WindowsPath, reason: &str) -> StepFailure {
    StepFailure::new(FailureClass::Refused, format!("could not move {path}: {reason}"))
}

fn held_by_another(path: &WindowsPath, error: &TransportError) -> StepFailure {
    StepFailure::caused_by(
        FailureClass::RemoteFault,
        format!("could not move {path}: another program keeps it open"),
        error,
    )
}

impl super::Reader<'_> {
    /// Looks at a file that is to be moved away: its size, its time, the hash of its content, and a
    /// free place in this run's quarantine. Returns the content as well.
    ///
    /// # Errors
    ///
    /// `Refused` for a file above 16 MiB.
    pub async fn plan_move(
        &self,
        file: &FencedFile,
        package: Option<Guid>,
    ) -> Result<Option<(Move, Vec<u8>)>, StepFailure> {
        let Some(metadata) = file.metadata() else { return Ok(None) };
        let content = self.files().read(file.path(), LARGEST_FILE).await?;
        let wanted = format!("{}\\{}", file.role(), file.relative());
        let quarantine = QuarantinedRun::of(self.run(), file.path().drive())
            .ok_or_else(|| not_moved(file.path(), "its volume has no quarantine"))?;
        for twin in 1..=MOST_TWINS {
            let to = twin_of(&wanted, twin);
            if self.files().metadata(&quarantine.place(&to)?).await?.is_some() {
                continue;
            }
            let planned = Move {
                package,
                from: file.path().clone(),
                to,
                size: metadata.size,
                modified: metadata.modified,
                sha256: sha256(&content),
            };
            return Ok(Some((planned, content)));
        }
        Err(not_moved(file.path(), "quarantine already holds too many files of this name"))
    }

    /// The files of a run's quarantine that belong at `file`, newest first: planned to be moved back.
    ///
    /// # Errors
    ///
    /// They could not be read.
    pub async fn plan_return(
        &self,
        run: RunId,
        file: &FencedFile,
        package: Option<Guid>,
    ) -> Result<Option<Move>, StepFailure> {
        let wanted = format!("{}\\{}", file.role(), file.relative());
        let quarantine = QuarantinedRun::of(run, file.path().drive())
            .ok_or_else(|| not_moved(file.path(), "its volume has no quarantine"))?;
        // The first copy is the file as it was before the run touched it; later ones were written
        // by the agent meanwhile.
        let place = quarantine.place(&wanted)?;
        let Some(metadata) = self.files().metadata(&place).await? else { return Ok(None) };
        if metadata.attributes.is_directory() || metadata.attributes.is_link() {
            return Err(not_moved(file.path(), &format!("{place} is no file")));
        }
        let content = self.files().read(&place, LARGEST_FILE).await?;
        Ok(Some(Move {
            package,
            from: file.path().clone(),
            to: wanted,
            size: metadata.size,
            modified: metadata.modified,
            sha256: sha256(&content),
        }))
    }
}

#[cfg(test)]
#[path = "relocation/tests.rs"]
mod tests;
