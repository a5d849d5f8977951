//! The ledger of shared limits in `state.db`: each batch of words is one transaction, on a thread
//! of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::state_dir::{StateDir, StateDirError, open_database};
use crate::ledger::{
    Answer, ClaimId, Ledger, Moment, SharedLimits, SharedLimitsError, SharedPool, Word,
};
use crate::model::RunId;

/// Batches of words that may wait for the disk; the next one makes its sender wait.
const QUEUE: usize = 4096;
/// How long a run that says nothing keeps what it holds, though its process still has its lock: it
/// hangs. A process that is gone loses it at once.
const LEASE: Duration = Duration::from_secs(60);

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS shared_limits (key TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS sharers (
        run TEXT PRIMARY KEY, pid INTEGER NOT NULL, stretch TEXT NOT NULL, expires INTEGER NOT NULL
    ) STRICT;";

/// Tells the present of the clock that all processes share.
pub type SharedClock = fn() -> Moment;

/// Words on their way to the ledger.
struct Told {
    words: Vec<Word>,
    /// Who among them asks for something.
    claims: Vec<ClaimId>,
    done: oneshot::Sender<Vec<(ClaimId, Answer)>>,
}

/// The ledger of a state directory as one run speaks to it. Dropping it gives back all that the run
/// holds.
#[derive(Debug)]
pub struct SharedLedger {
    queue: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<()>>,
}

impl SharedLedger {
    pub(super) fn start(
        dir: StateDir,
        run: RunId,
        clock: SharedClock,
    ) -> Result<Self, StateDirError> {
        let (queue, words) = sync_channel(QUEUE);
        let path = dir.index_path();
        let clerk = Clerk {
            dir,
            run,
            clock,
            connection: None,
            is_durable: true,
            is_known: false,
            expires: None,
            owed: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("limits".to_owned())
            .spawn(move || clerk.run(&words))
            .map_err(|source| StateDirError::Io { path, source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }
}

impl SharedLimits for SharedLedger {
    fn tell(&self, words: Vec<Word>) -> BoxFuture<'static, Vec<(ClaimId, Answer)>> {
        let gone = || SharedLimitsError { reason: "its thread has ended".to_owned() };
        let lost = refusals(&words, &gone());
        let claims = lost.iter().map(|(claim, _)| *claim).collect();
        let (done, answered) = oneshot::channel();
        let send = |queue: &SyncSender<Told>| queue.send(Told { words, claims, done }).is_ok();
        match self.queue.as_ref().map(send) {
            Some(true) => async move { answered.await.unwrap_or(lost) }.boxed(),
            Some(false) | None => std::future::ready(lost).boxed(),
        }
    }
}

impl Drop for SharedLedger {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left those who waited without a grant.
            let _panicked = thread.join();
        }
    }
}

/// The answer to every draw among the words when nothing can be read.
fn refusals(words: &[Word], error: &SharedLimitsError) -> Vec<(ClaimId, Answer)> {
    let refusal = |word: &Word| match word {
        Word::Draw { claim, .. } => Some((*claim, Answer::Unreadable(error.clone()))),
        Word::GiveBack { .. } | Word::Renew => None,
    };
    words.iter().filter_map(refusal).collect()
}

/// The thread's own: it alone uses the connection.
struct Clerk {
    dir: StateDir,
    run: RunId,
    clock: SharedClock,
    connection: Option<Connection>,
    /// Whether commits wait for the disk.
    is_durable: bool,
    /// Whether what an earlier process of this run held is forgotten.
    is_known: bool,
    /// Until when the run's lease holds, as it was last written.
    expires: Option<Duration>,
    /// What was to be given back when the ledger could not be written.
    owed: Vec<Word>,
}

impl Clerk {
    fn run(mut self, queue: &Receiver<Told>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter());
            let mut words = std::mem::take(&mut self.owed);
            words.extend(batch.iter_mut().flat_map(|told| std::mem::take(&mut told.words)));
            let answers = self.transact(&words).unwrap_or_else(|error| {
                // It may have been to a file that is there no more.
                self.connection = None;
                let answers = refusals(&words, &SharedLimitsError { reason: error.to_string() });
                words.retain(|word| matches!(word, Word::GiveBack { .. }));
                self.owed = std::mem::take(&mut words);
                answers
            });
            let mut answers: BTreeMap<ClaimId, Answer> = answers.into_iter().collect();
            for Told { claims, done, .. } in batch {
                let own = claims.iter().filter_map(|claim| answers.remove_entry(claim));
                // A driver that has gone away does not listen any more.
                let _not_waited_for = done.send(own.collect());
            }
        }
        // Whoever comes next sees that the run's lock is free and forgets it all the same.
        let _stale = self.sweep(false);
    }

    /// Takes in words in one transaction.
    fn transact(&mut self, words: &[Word]) -> Result<Vec<(ClaimId, Answer)>, LedgerError> {
        if !self.is_known {
            self.sweep(true)?;
            self.is_known = true;
        }
        // Places in flight end with the process; what is drawn from a bucket must survive a loss of
        // power as well.
        let is_rated = |word: &Word| match word {
            Word::Draw { draws, .. } => draws.iter().any(|draw| draw.spec.rate.is_some()),
            Word::GiveBack { .. } | Word::Renew => false,
        };
        let is_durable = words.iter().any(is_rated);
        let (run, clock, dir) = (self.run, self.clock, self.dir.clone());
        let before = self.expires;
        let connection = self.connection(is_durable)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read here, so that instants come in the order of transactions.
        let now = clock();
        let pools = some(&transaction, &Ledger::keys(words))?;
        let mut ledger = Ledger::new(pools.clone());
        let gone = gone(&transaction, &dir, run, &ledger, &now)?;
        ledger.forget(&gone, &now);
        let answers = ledger.tell(run, words, &now);
        write(&transaction, &pools, &ledger)?;
        let is_due = before.is_none_or(|until| until < now.at + LEASE / 2);
        if is_due {
            renew(&transaction, run, &now)?;
        }
        transaction.commit()?;
        if is_due {
            self.expires = Some(now.at + LEASE);
        }
        Ok(answers)
    }

    /// Forgets what this run and those that are gone held, and limits that nobody could tell from
    /// new ones.
    fn sweep(&mut self, goes_on: bool) -> Result<(), LedgerError> {
        let (run, clock, dir) = (self.run, self.clock, self.dir.clone());
        let connection = self.connection(true)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = clock();
        let pools = all(&transaction)?;
        let mut ledger = Ledger::new(pools.clone());
        let mut gone = gone(&transaction, &dir, run, &ledger, &now)?;
        gone.insert(run);
        ledger.forget(&gone, &now);
        write(&transaction, &pools, &ledger)?;
        for (key, _) in ledger.pools().iter().filter(|(_, pool)| pool.is_idle(&now)) {
            transaction.execute("DELETE FROM shared_limits WHERE key = ?1", [key])?;
        }
        for run in gone {
            transaction.execute("DELETE FROM sharers WHERE run = ?1", [run.full()])?;
        }
        if goes_on {
            renew(&transaction, run, &now)?;
        }
        transaction.commit()?;
        self.expires = goes_on.then_some(now.at + LEASE);
        Ok(())
    }

    fn connection(&mut self, is_durable: bool) -> Result<&mut Connection, LedgerError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.is_durable = true;
                open_database(&self.dir.index_path())?
            }
        };
        if self.is_durable != is_durable {
            let word = if is_durable { "FULL" } else { "NORMAL" };
            connection.pragma_update(None, "synchronous", word)?;
            self.is_durable = is_durable;
        }
        Ok(self.connection.insert(connection))
    }
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
enum LedgerError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("limit {key} is damaged: {source}")]
    Damaged { key: String, source: serde_json::Error },
}

/// Runs that are named in the ledger and do not live any more, or hang.
fn gone(
    transaction: &Transaction<'_>,
    dir: &StateDir,
    own: RunId,
    ledger: &Ledger,
    now: &Moment,
) -> Result<BTreeSet<RunId>, LedgerError> {
    let mut lease =
        transaction.prepare_cached("SELECT stretch, expires FROM sharers WHERE run = ?1")?;
    let mut gone = BTreeSet::new();
    for run in ledger.runs().into_iter().filter(|run| *run != own) {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        let found = lease.query_row([run.full()], row).optional()?;
        let holds =
            found.is_some_and(|(stretch, until)| stretch == now.stretch && until >= millis(now.at));
        if !holds || !dir.is_alive(run) {
            gone.insert(run);
        }
    }
    Ok(gone)
}

fn some(
    transaction: &Transaction<'_>,
    keys: &BTreeSet<String>,
) -> Result<BTreeMap<String, SharedPool>, LedgerError> {
    let mut find = transaction.prepare_cached("SELECT state FROM shared_limits WHERE key = ?1")?;
    let mut pools = BTreeMap::new();
    for key in keys {
        if let Some(text) = find.query_row([key], |row| row.get::<_, String>(0)).optional()? {
            pools.insert(key.clone(), pool(key, &text)?);
        }
    }
    Ok(pools)
}

fn all(transaction: &Transaction<'_>) -> Result<BTreeMap<String, SharedPool>, LedgerError> {
    let mut find = transaction.prepare("SELECT key, state FROM shared_limits")?;
    let rows =
        find.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut pools = BTreeMap::new();
    for row in rows {
        let (key, text) = row?;
        let found = pool(&key, &text)?;
        pools.insert(key, found);
    }
    Ok(pools)
}

fn pool(key: &str, text: &str) -> Result<SharedPool, LedgerError> {
    serde_json::from_str(text)
        .map_err(|source| LedgerError::Damaged { key: key.to_owned(), source })
}

/// Writes what is not as it was.
fn write(
    transaction: &Transaction<'_>,
    before: &BTreeMap<String, SharedPool>,
    ledger: &Ledger,
) -> Result<(), LedgerError> {
    let mut put = transaction
        .prepare_cached("INSERT OR REPLACE INTO shared_limits (key, state) VALUES (?1, ?2)")?;
    for (key, pool) in ledger.pools().iter().filter(|(key, pool)| before.get(*key) != Some(*pool)) {
        let text = serde_json::to_string(pool)
            .map_err(|source| LedgerError::Damaged { key: key.clone(), source })?;
        put.execute((key, text))?;
    }
    Ok(())
}

fn renew(transaction: &Transaction<'_>, run: RunId, now: &Moment) -> Result<(), LedgerError> {
    let put = "INSERT OR REPLACE INTO sharers (run, pid, stretch, expires) VALUES (?1, ?2, ?3, ?4)";
    let expires = millis(now.at + LEASE);
    transaction.execute(put, (run.full(), std::process::id(), &now.stretch, expires))?;
    Ok(())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
