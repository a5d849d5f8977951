//! Who holds which host: two runs never work on the same one at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use super::state_dir::{StateDir, StateDirError, run_of};
use super::{JournalFileError, RunJournal, SharedClock, SharedLedger};
use crate::event::RunResult;
use crate::model::{HostName, RunId};

/// A host that another run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldHost {
    /// The host.
    pub host: HostName,
    /// The run that holds it.
    pub run: RunId,
    /// The process of that run.
    pub pid: u32,
}

/// A run of this process: it holds its hosts and its journal until it is dropped or the process
/// ends, however it ends.
#[derive(Debug)]
pub struct LiveRun {
    id: RunId,
    dir: StateDir,
    journal: Arc<RunJournal>,
    /// Held, not read: the operating system frees it with the process.
    _lock: File,
}

impl LiveRun {
    pub(super) fn new(id: RunId, dir: StateDir, journal: RunJournal, lock: File) -> Self {
        Self { id, dir, journal: Arc::new(journal), _lock: lock }
    }

    /// The run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Its journal. It must not outlive the run, whose lock protects it.
    pub fn journal(&self) -> Arc<RunJournal> {
        Arc::clone(&self.journal)
    }

    /// The ledger of limits, for this run. It must not outlive the run, whose lock says that what
    /// it holds is held.
    ///
    /// # Errors
    ///
    /// Its thread cannot be started. A ledger that cannot be read is told with each draw.
    pub fn limits(&self, clock: SharedClock) -> Result<SharedLedger, StateDirError> {
        SharedLedger::start(self.dir.clone(), self.id, clock)
    }

    /// Writes the result into the index and gives the hosts free.
    ///
    /// # Errors
    ///
    /// The index cannot be written; the journal has the result all the same.
    pub fn finish(self, result: RunResult, at: jiff::Timestamp) -> Result<(), StateDirError> {
        self.dir.record_result(self.id, result, at)
    }
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        // Whoever wants the hosts next sees that the lock is free and takes them all the same.
        let _stale = self.dir.release(self.id);
    }
}

/// Takes the lock of a run; `None` when a live process holds it.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Gives the run all these hosts, or none and says who holds them. Runs whose process is gone lose
/// theirs. The transaction keeps other processes from looking at locks meanwhile.
pub(super) fn take_hosts(
    transaction: &Transaction<'_>,
    run: RunId,
    hosts: &[HostName],
    since: jiff::Timestamp,
    is_alive: &dyn Fn(RunId) -> bool,
) -> rusqlite::Result<Vec<HeldHost>> {
    let mut others = transaction.prepare("SELECT DISTINCT run FROM leases WHERE run <> ?1")?;
    let others: Vec<String> =
        others.query_map([run.full()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for other in others {
        if !run_of(&other).is_some_and(is_alive) {
            transaction.execute("DELETE FROM leases WHERE run = ?1", [&other])?;
        }
    }
    let mut held = Vec::new();
    let mut find = transaction.prepare("SELECT run, pid FROM leases WHERE host = ?1")?;
    let mut insert = transaction
        .prepare("INSERT OR REPLACE INTO leases (host, run, pid, since) VALUES (?1, ?2, ?3, ?4)")?;
    for host in hosts {
        // Names are compared as DNS does.
        let key = host.as_str().to_lowercase();
        let holder = find.query_map([&key], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let holder = holder.collect::<rusqlite::Result<Vec<(String, u32)>>>()?;
        match holder.into_iter().find_map(|(text, pid)| Some((run_of(&text)?, pid))) {
            Some((holder, pid)) if holder != run => {
                held.push(HeldHost { host: host.clone(), run: holder, pid });
            }
            Some(_) | None => {
                insert.execute((&key, run.full(), std::process::id(), since.to_string()))?;
            }
        }
    }
    Ok(held)
}

/// Removes all leases of a run.
pub(super) fn drop_hosts(connection: &Connection, run: RunId) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM leases WHERE run = ?1", [run.full()]).map(|_| ())
}

impl From<JournalFileError> for StateDirError {
    fn from(source: JournalFileError) -> Self {
        Self::Journal { source: Box::new(source) }
    }
}
