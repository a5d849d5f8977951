//! What survives the process: journals of runs, the index of runs, and who holds which host.
//!
//! A state directory has one `runs/<id>.db` for each run, with its events in order, each chained to
//! the one before by a hash, one `state.db` with the index of runs, the leases on hosts, the
//! rejected credentials and the ledger of limits that runs share, and `examinations.db` with what diagnoses saw. A
//! process that is killed loses its leases at once, because they hold only as long as the lock on
//! `runs/<id>.lock`, which the operating system frees.

mod chain;
mod credentials;
mod examinations;
mod journal;
mod lease;
mod mounts;
mod prune;
mod reader;
mod shared;
mod state_dir;
mod verify;
mod writer;

pub use credentials::{CredentialBook, FirstLogon};
pub use examinations::Keep;
pub use journal::{JournalFileError, RunJournal};
pub use lease::{HeldHost, LiveRun};
pub use prune::{KeepRuns, prunable};
pub use reader::{Damage, ReadJournalError, Recorded, read};
pub use shared::{SharedClock, SharedLedger};
pub use state_dir::{RunSummary, StateDir, StateDirError};
pub use verify::Verified;
