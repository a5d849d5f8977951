//! The directory that holds all state: the index of runs, their journals, the leases.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use thiserror::Error;

use super::lease::{drop_hosts, lock, take_hosts};
use super::{HeldHost, JournalFileError, LiveRun, ReadJournalError, Recorded, RunJournal};
use crate::event::{Event, RunMode, RunResult, RunStarted};
use crate::model::{HostName, RunId};

/// How long one process waits for another's short transaction.
const BUSY: Duration = Duration::from_secs(10);

/// Bytes that a journal needs to begin with: its file, its log, and the index of the log.
const ROOM: usize = 128 * 1024;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS runs (
        id TEXT PRIMARY KEY, started TEXT NOT NULL, mode TEXT NOT NULL, playbook TEXT NOT NULL,
        inventory TEXT NOT NULL, result TEXT, finished TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS leases (
        host TEXT PRIMARY KEY, run TEXT NOT NULL, pid INTEGER NOT NULL, since TEXT NOT NULL
    ) STRICT;";

/// The state directory cannot do what was asked.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// It lies on a network file system, whose locks SQLite cannot trust.
    #[error("could not use {} for state: it is on a network file system ({kind})", .path.display())]
    Network {
        /// The directory.
        path: PathBuf,
        /// The file system's name.
        kind: String,
    },
    /// The file system refused.
    #[error("could not use {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("could not use the index of runs {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// It is read-only, or full.
    #[error("could not write to the state directory {}", .path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The run's journal cannot be written.
    #[error("could not open the run's journal")]
    Journal {
        /// Why.
        #[source]
        source: Box<JournalFileError>,
    },
    /// The run's journal cannot be read.
    #[error("could not read the run's journal")]
    Read(#[from] ReadJournalError),
    /// Other runs hold some of the hosts.
    #[error("could not take {}", Held(.held))]
    Held {
        /// The hosts, with who holds them.
        held: Vec<HeldHost>,
    },
    /// The run is under way in another process.
    #[error("run {run} is under way in another process")]
    Alive {
        /// The run.
        run: RunId,
    },
    /// No run begins like that.
    #[error("there is no run `{prefix}`")]
    NoSuchRun {
        /// What was asked for.
        prefix: String,
    },
    /// Several runs begin like that.
    #[error("`{prefix}` could be {} runs: {}", .runs.len(), ids(.runs))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The runs.
        runs: Vec<RunId>,
    },
}

/// A line of the index of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// When it began.
    pub started: jiff::Timestamp,
    /// `run`, `check`, or `undo` and the run it takes back.
    pub mode: String,
    /// The playbook's file name, as given.
    pub playbook: String,
    /// The inventory's file name, as given.
    pub inventory: String,
    /// How it ended; none while it is under way, and when its process was killed.
    pub result: Option<RunResult>,
    /// When it ended.
    pub finished: Option<jiff::Timestamp>,
    /// Whether a process works on it now.
    pub is_alive: bool,
}

/// The directory that holds all state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// How the mode of a run begins that takes another one back; that one's short number follows.
    pub const UNDO_OF: &str = "undo ";

    /// Opens the directory, and makes it if it is not there, readable by its owner only.
    ///
    /// # Errors
    ///
    /// A network file system (known on Linux only), or a directory that cannot be written.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let runs = path.join("runs");
        let io = |source| StateDirError::Io { path: path.to_owned(), source };
        make_private(&runs).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        if let Some(kind) = network(&path) {
            return Err(StateDirError::Network { path, kind });
        }
        let dir = Self { path };
        dir.with_index(|index| {
            index.execute_batch(SCHEMA)?;
            index.execute_batch(super::shared::SCHEMA)
        })?;
        Ok(dir)
    }

    /// Sees that a journal can be begun: writes and removes a file of as many bytes as one needs for
    /// its first events.
    ///
    /// # Errors
    ///
    /// It is read-only, or has less room than that.
    pub fn expect_writable(&self) -> Result<(), StateDirError> {
        let path = self.path.join("runs").join(format!(".writable-{}", std::process::id()));
        let written = std::fs::File::create(&path)
            .and_then(|mut file| file.write_all(&[0; ROOM]).and_then(|()| file.sync_all()));
        // What could not be written whole is removed as well.
        let removed = match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        written
            .and(removed)
            .map_err(|source| StateDirError::NotWritable { path: self.path.clone(), source })
    }

    /// Where the run's journal is.
    pub fn journal_path(&self, run: RunId) -> PathBuf {
        self.path.join("runs").join(format!("{}.db", run.full()))
    }

    /// Enters a new run into the index, takes its hosts and begins its journal.
    ///
    /// # Errors
    ///
    /// Another run holds one of the hosts, or the disk refuses; then nothing is entered.
    pub fn start(
        &self,
        header: &RunStarted,
        at: jiff::Timestamp,
        hosts: &[HostName],
    ) -> Result<LiveRun, StateDirError> {
        let run = header.run;
        let mode = match header.mode {
            RunMode::Run => "run".to_owned(),
            RunMode::Check => "check".to_owned(),
            RunMode::Undo { of } => format!("{}{of}", Self::UNDO_OF),
        };
        let row = (run.full(), at.to_string(), mode, &header.playbook, &header.inventory);
        let lock = self.claim(run, hosts, at, |transaction| {
            let columns = "(id, started, mode, playbook, inventory)";
            let insert = format!("INSERT INTO runs {columns} VALUES (?1, ?2, ?3, ?4, ?5)");
            transaction.execute(&insert, row.clone()).map(|_| ())
        })?;
        match RunJournal::create(&self.journal_path(run)) {
            Ok(journal) => Ok(LiveRun::new(run, self.clone(), journal, lock)),
            Err(error) => {
                let forget = |index: &Connection| {
                    drop_hosts(index, run)?;
                    index.execute("DELETE FROM runs WHERE id = ?1", [run.full()]).map(|_| ())
                };
                // The first error is the one that tells.
                let _second = self.with_index(forget);
                Err(error.into())
            }
        }
    }

    /// Takes up a run that no process works on; returns its events as well.
    ///
    /// # Errors
    ///
    /// A process works on it, another run holds one of the hosts, or its journal is damaged.
    pub fn resume(
        &self,
        run: RunId,
        at: jiff::Timestamp,
        hosts: &[HostName],
    ) -> Result<(LiveRun, Vec<Event>), StateDirError> {
        let lock = self.claim(run, hosts, at, |_| Ok(()))?;
        match RunJournal::append_to(&self.journal_path(run)) {
            Ok((journal, events)) => {
                self.with_index(|index| {
                    let reopen = "UPDATE runs SET result = NULL, finished = NULL WHERE id = ?1";
                    index.execute(reopen, [run.full()]).map(|_| ())
                })?;
                Ok((LiveRun::new(run, self.clone(), journal, lock), events))
            }
            Err(error) => {
                // The first error is the one that tells.
                let _second = self.release(run);
                Err(error.into())
            }
        }
    }

    /// Reads the journal of a run, also of one that is under way.
    ///
    /// # Errors
    ///
    /// It is missing or cannot be read at all; damage is in the answer.
    pub fn recorded(&self, run: RunId) -> Result<Recorded, StateDirError> {
        Ok(super::read(&self.journal_path(run))?)
    }

    /// All runs, the newest first.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, StateDirError> {
        let mut runs: Vec<RunSummary> = self.with_index(|index| {
            let mut all = index.prepare(
                "SELECT id, started, mode, playbook, inventory, result, finished FROM runs",
            )?;
            let rows = all.query_map([], summary)?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })?;
        let by_age = |a: &RunSummary, b: &RunSummary| (b.started, b.id).cmp(&(a.started, a.id));
        runs.sort_by(by_age);
        for run in &mut runs {
            run.is_alive = run.result.is_none() && self.is_alive(run.id);
        }
        Ok(runs)
    }

    /// The run whose identifier begins with `prefix`; dashes and case do not matter.
    ///
    /// # Errors
    ///
    /// None or several begin so.
    pub fn find(&self, prefix: &str) -> Result<RunId, StateDirError> {
        let digits = prefix.trim().replace('-', "").to_lowercase();
        let begins = |run: &RunSummary| !digits.is_empty() && run.id.full().starts_with(&digits);
        let found: Vec<RunId> = self.runs()?.iter().filter(|r| begins(r)).map(|r| r.id).collect();
        let prefix = prefix.to_owned();
        match found[..] {
            [] => Err(StateDirError::NoSuchRun { prefix }),
            [only] => Ok(only),
            [_, _, ..] => Err(StateDirError::Ambiguous { prefix, runs: found }),
        }
    }

    /// Takes the run's lock and its hosts in one transaction of the index.
    fn claim(
        &self,
        run: RunId,
        hosts: &[HostName],
        at: jiff::Timestamp,
        enter: impl Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<std::fs::File, StateDirError> {
        let path = self.lock_path(run);
        let mut index = self.index()?;
        let sqlite = |source| StateDirError::Sqlite { path: self.index_path(), source };
        let transaction =
            index.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        let lock = lock(&path)
            .map_err(|source| StateDirError::Io { path, source })?
            .ok_or(StateDirError::Alive { run })?;
        let is_alive = |other| self.is_alive(other);
        let held = take_hosts(&transaction, run, hosts, at, &is_alive).map_err(sqlite)?;
        if !held.is_empty() {
            return Err(StateDirError::Held { held });
        }
        enter(&transaction).map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        Ok(lock)
    }

    pub(super) fn record_result(
        &self,
        run: RunId,
        result: RunResult,
        at: jiff::Timestamp,
    ) -> Result<(), StateDirError> {
        let word = serde_json::to_value(result).ok();
        let word = word.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        self.with_index(|index| {
            let update = "UPDATE runs SET result = ?2, finished = ?3 WHERE id = ?1";
            index.execute(update, (run.full(), word, at.to_string())).map(|_| ())
        })
    }

    pub(super) fn release(&self, run: RunId) -> Result<(), StateDirError> {
        self.with_index(|index| drop_hosts(index, run))
    }

    /// Whether a process holds the run's lock. A lock that cannot be looked at counts as held.
    pub(super) fn is_alive(&self, run: RunId) -> bool {
        let path = self.lock_path(run);
        path.exists() && !matches!(lock(&path), Ok(Some(_)))
    }

    pub(super) fn lock_path(&self, run: RunId) -> PathBuf {
        self.path.join("runs").join(format!("{}.lock", run.full()))
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.database("state.db")
    }

    pub(super) fn database(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn index(&self) -> Result<Connection, StateDirError> {
        let path = self.index_path();
        open_database(&path).map_err(|source| StateDirError::Sqlite { path: path.clone(), source })
    }

    pub(super) fn with_index<T>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateDirError> {
        let index = self.index()?;
        act(&index).map_err(|source| StateDirError::Sqlite { path: self.index_path(), source })
    }
}

/// Opens a database of the directory, and makes it if it is not there.
pub(super) fn open_database(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// A run by the 32 digits of its identifier.
pub(super) fn run_of(digits: &str) -> Option<RunId> {
    serde_json::from_value(serde_json::Value::String(digits.to_owned())).ok()
}

/// A line of the index; none when it was not written by this program.
fn summary(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<RunSummary>> {
    let text = |column: usize| row.get::<_, String>(column);
    let result: Option<String> = row.get(5)?;
    let finished: Option<String> = row.get(6)?;
    let (Some(id), Ok(started)) = (run_of(&text(0)?), text(1)?.parse()) else { return Ok(None) };
    Ok(Some(RunSummary {
        id,
        started,
        mode: text(2)?,
        playbook: text(3)?,
        inventory: text(4)?,
        result: result.and_then(|word| serde_json::from_value(word.into()).ok()),
        finished: finished.and_then(|at| at.parse().ok()),
        is_alive: false,
    }))
}

fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    super::mounts::network_file_system(&mounts, path)
}

#[cfg(not(target_os = "linux"))]
fn network(_path: &Path) -> Option<String> {
    None
}

fn ids(runs: &[RunId]) -> String {
    runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Says who holds hosts, the first three by name.
struct Held<'a>(&'a [HeldHost]);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.iter().take(3);
        let told: Vec<String> = told
            .map(|held| format!("{} (run {}, process {})", held.host, held.run, held.pid))
            .collect();
        f.write_str(&told.join(", "))?;
        match self.0.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
