//! Forgets old runs.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::lease::{drop_hosts, lock};
use super::{RunSummary, StateDir, StateDirError};
use crate::model::RunId;

/// Which runs are kept whatever their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRuns {
    /// Runs that began at this instant or later.
    pub since: jiff::Timestamp,
    /// So many of the newest.
    pub newest: usize,
    /// Runs without an end. Of those with one, the journal says whether a resume can go on with them.
    pub unfinished: bool,
}

/// The runs that may be forgotten, of `runs` with the newest first. Runs under way never are.
pub fn prunable(runs: &[RunSummary], keep: KeepRuns) -> Vec<&RunSummary> {
    let old = runs.iter().skip(keep.newest).filter(|run| run.started < keep.since);
    old.filter(|run| !run.is_alive && (run.result.is_some() || !keep.unfinished)).collect()
}

impl StateDir {
    /// Bytes that the journal of a run takes up.
    pub fn bytes(&self, run: RunId) -> u64 {
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        self.files(run).into_iter().map(size).sum()
    }

    /// Forgets a run: its journal, its line in the index and its hold on hosts. It can neither be
    /// shown nor taken back any more.
    ///
    /// # Errors
    ///
    /// A process works on it, or the disk refuses.
    pub fn forget(&self, run: RunId) -> Result<(), StateDirError> {
        let path = self.lock_path(run);
        let _lock = lock(&path)
            .map_err(|source| StateDirError::Io { path, source })?
            .ok_or(StateDirError::Alive { run })?;
        // The index comes first: a journal without a line in it is a file too many, a line without
        // a journal would be a run that cannot be read.
        self.with_index(|index| {
            drop_hosts(index, run)?;
            index.execute("DELETE FROM runs WHERE id = ?1", [run.full()]).map(|_| ())
        })?;
        for path in self.files(run) {
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(StateDirError::Io { path, source }),
            }
        }
        Ok(())
    }

    /// The journal, SQLite's files beside it, and at last the lock.
    fn files(&self, run: RunId) -> Vec<PathBuf> {
        let journal = self.journal_path(run);
        let beside = |end: &str| {
            let mut name = journal.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        vec![journal.clone(), beside("-wal"), beside("-shm"), self.lock_path(run)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RunResult;
    use crate::store::state_dir::tests::a_run;

    fn run(day: i64, result: Option<RunResult>, is_alive: bool) -> RunSummary {
        let started = jiff::Timestamp::from_second(day * 86_400).expect("a day");
        RunSummary {
            id: RunId::new(uuid::Uuid::from_u128(u128::from(day.unsigned_abs()))),
            started,
            mode: "run".to_owned(),
            playbook: "p.yml".to_owned(),
            inventory: "i.yml".to_owned(),
            result,
            finished: None,
            is_alive,
        }
    }

    #[test]
    fn only_old_runs_that_ended_are_forgotten_and_never_those_under_way() {
        let done = Some(RunResult::Done);
        let runs =
            [run(9, done, false), run(4, done, false), run(3, None, false), run(2, None, true)];
        let since = runs[0].started;
        let days = |keep| {
            let days =
                prunable(&runs, keep).into_iter().map(|run| run.started.as_second() / 86_400);
            days.collect::<Vec<_>>()
        };

        assert_eq!(days(KeepRuns { since, newest: 0, unfinished: true }), [4]);
        assert_eq!(days(KeepRuns { since, newest: 0, unfinished: false }), [4, 3]);
        assert_eq!(days(KeepRuns { since, newest: 3, unfinished: false }), [0; 0]);
    }

    #[test]
    fn a_run_that_is_forgotten_leaves_nothing_and_one_under_way_is_not() {
        let (temp, dir, live) = a_run();
        let id = live.id();
        assert!(matches!(dir.forget(id), Err(StateDirError::Alive { .. })));

        drop(live);
        assert!(dir.bytes(id) > 0);
        dir.forget(id).expect("it is forgotten");

        assert_eq!(dir.runs().expect("the index"), []);
        let left = std::fs::read_dir(temp.path().join("runs")).expect("a folder").count();
        assert_eq!(left, 0);
    }
}
