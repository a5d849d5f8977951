//! A journal that is being written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::channel::oneshot;
use rusqlite::Connection;
use thiserror::Error;

use super::chain::Link;
use super::reader::{APPLICATION, FORMAT};
use super::writer::{Pending, Writer};
use super::{Damage, ReadJournalError, read};
use crate::event::{Ack, Event, Journal, JournalError};

/// Events that may wait for the disk; the next one makes its sender wait.
const QUEUE: usize = 4096;

/// A journal cannot be opened for writing.
#[derive(Debug, Error)]
pub enum JournalFileError {
    /// SQLite refused.
    #[error("could not open the journal {} for writing", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Its thread could not be started.
    #[error("could not start the writer of the journal {}", .path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What is there cannot be read.
    #[error("could not go on with a journal")]
    Read(#[from] ReadJournalError),
    /// What is there is not what was written.
    #[error("could not go on with the journal {}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        damage: Damage,
    },
}

/// A journal that is being written, by a thread of its own. Dropping it writes what waits.
#[derive(Debug)]
pub struct RunJournal {
    queue: Option<SyncSender<Pending>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl RunJournal {
    /// Begins a journal in a new file.
    ///
    /// # Errors
    ///
    /// The file exists or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalFileError> {
        let fail = |source| JournalFileError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(fail)?;
        connection.pragma_update(None, "application_id", APPLICATION).map_err(fail)?;
        connection.pragma_update(None, "user_version", FORMAT).map_err(fail)?;
        connection
            .execute_batch(
                "CREATE TABLE events (
                     seq INTEGER PRIMARY KEY, json TEXT NOT NULL, hash BLOB NOT NULL
                 ) STRICT",
            )
            .map_err(fail)?;
        Self::start(path, connection, Link::START, 0)
    }

    /// Goes on with a journal, after proving that it is whole; returns its events as well.
    ///
    /// # Errors
    ///
    /// It is missing, damaged or cannot be written.
    pub fn append_to(path: &Path) -> Result<(Self, Vec<Event>), JournalFileError> {
        let recorded = read(path)?;
        if let Some(damage) = recorded.damage {
            return Err(JournalFileError::Damaged { path: path.to_owned(), damage });
        }
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|source| JournalFileError::Sqlite { path: path.to_owned(), source })?;
        let next = recorded.events.len() as u64;
        let journal = Self::start(path, connection, recorded.link, next)?;
        Ok((journal, recorded.events))
    }

    fn start(
        path: &Path,
        connection: Connection,
        link: Link,
        next: u64,
    ) -> Result<Self, JournalFileError> {
        let fail = |source| JournalFileError::Sqlite { path: path.to_owned(), source };
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        let commits = Arc::new(AtomicU64::new(0));
        let writer = Writer { connection, link, next, commits: Arc::clone(&commits) };
        let (queue, pending) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&pending))
            .map_err(|source| JournalFileError::Thread { path: path.to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits })
    }

    /// How often the disk was waited for since it was opened; many events share one wait.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Journal for RunJournal {
    /// Waits when as many events as fit wait for the disk.
    fn append(&self, event: Event) -> Ack {
        let (done, written) = oneshot::channel();
        let gone = || JournalError { reason: "its writer has ended".to_owned() };
        let send = |queue: &SyncSender<Pending>| queue.send(Pending { event, done }).is_ok();
        match self.queue.as_ref().map(send) {
            Some(true) => async move { written.await.unwrap_or_else(|_| Err(gone())) }.boxed(),
            Some(false) | None => std::future::ready(Err(gone())).boxed(),
        }
    }
}

impl Drop for RunJournal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has told those who waited.
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
