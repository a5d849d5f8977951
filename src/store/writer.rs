//! The one thread that writes a journal: whatever waits shares one commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use futures::channel::oneshot;
use rusqlite::Connection;

use super::chain::Link;
use crate::event::{Event, JournalError};

/// Events that share one commit at most.
const BATCH: usize = 1024;

/// An event on its way to the disk.
pub(super) struct Pending {
    pub(super) event: Event,
    pub(super) done: oneshot::Sender<Result<(), JournalError>>,
}

/// Owns the connection; ends when nobody can send any more.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) link: Link,
    pub(super) next: u64,
    pub(super) commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn run(mut self, queue: &Receiver<Pending>) {
        let mut broken: Option<JournalError> = None;
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter().take(BATCH - 1));
            // A journal with a gap is worth nothing, so after one failure nothing is written.
            let result = broken.clone().map_or_else(|| self.commit(&batch), Err);
            broken = result.clone().err();
            for pending in batch {
                // Whoever does not wait for the disk has dropped the other end.
                let _not_waited_for = pending.done.send(result.clone());
            }
        }
        // Moves the log into the file, so that a run is one file; a failure leaves both, which is
        // as good.
        let _left_in_log = self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    fn commit(&mut self, batch: &[Pending]) -> Result<(), JournalError> {
        let mut link = self.link;
        let mut next = self.next;
        let failed = |reason: String| JournalError { reason };
        let sqlite = |error: rusqlite::Error| JournalError { reason: error.to_string() };
        let transaction = self.connection.transaction().map_err(sqlite)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO events (seq, json, hash) VALUES (?1, ?2, ?3)")
                .map_err(sqlite)?;
            for Pending { event, .. } in batch {
                if event.seq != next {
                    return Err(failed(format!("event {} came where {next} was due", event.seq)));
                }
                let json =
                    serde_json::to_string(event).map_err(|error| failed(error.to_string()))?;
                link = link.next(&json);
                let seq = i64::try_from(event.seq).map_err(|error| failed(error.to_string()))?;
                insert.execute((seq, &json, link.as_bytes())).map_err(sqlite)?;
                next += 1;
            }
        }
        transaction.commit().map_err(sqlite)?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        (self.link, self.next) = (link, next);
        Ok(())
    }
}
