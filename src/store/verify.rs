//! Proves that what a journal tells is what was written.

use super::{StateDir, StateDirError};
use crate::event::{RunResult, RunState};
use crate::model::RunId;

/// What a look at a whole journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events that are what was written, in order from the first.
    pub events: usize,
    /// What is wrong after them; none when nothing is.
    pub wrong: Option<String>,
}

impl StateDir {
    /// Reads the whole journal of a run: each event must carry the hash that follows from all before
    /// it, and must be able to follow them. `result` is what the index of runs says: a journal that
    /// lost its last events contradicts it.
    ///
    /// # Errors
    ///
    /// The journal is missing, or so damaged that nothing of it can be read.
    pub fn verify(&self, run: RunId, result: Option<RunResult>) -> Result<Verified, StateDirError> {
        let recorded = self.recorded(run)?;
        let mut state = RunState::default();
        for (events, event) in recorded.events.iter().enumerate() {
            if let Err(illegal) = state.apply(event) {
                return Ok(Verified { events, wrong: Some(illegal.to_string()) });
            }
        }
        let wrong = match recorded.damage {
            Some(damage) => Some(damage.to_string()),
            None if result.is_some() && state.result != result => Some(format!(
                "its end is missing: the index of runs says that it ended ({})",
                result.map_or("", RunResult::phrase)
            )),
            None => None,
        };
        Ok(Verified { events: recorded.events.len(), wrong })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Journal, StopStage};
    use crate::store::state_dir::tests::{AT, a_run, block_on, event};

    fn changed(dir: &StateDir, run: RunId, sql: &str) {
        let file = rusqlite::Connection::open(dir.journal_path(run)).expect("a file");
        file.execute_batch(sql).expect("it is changed");
    }

    #[test]
    fn a_bit_that_was_flipped_is_found_with_the_number_of_its_event() {
        let (_temp, dir, live) = a_run();
        let run = live.id();
        block_on(async {
            let stage = StopStage::Drain;
            live.journal().append(event(1, EventKind::Stopping { stage })).await.expect("disk");
            let result = RunResult::Stopped;
            live.journal().append(event(2, EventKind::RunFinished { result })).await.expect("disk");
        });
        live.finish(RunResult::Stopped, AT).expect("it ends");
        let whole = dir.verify(run, Some(RunResult::Stopped)).expect("it is read");
        assert_eq!(whole, Verified { events: 3, wrong: None });

        changed(
            &dir,
            run,
            "UPDATE events SET json = replace(json, 'drain', 'drbin') WHERE seq = 1",
        );
        let found = dir.verify(run, Some(RunResult::Stopped)).expect("it is read");

        assert_eq!(found.events, 1);
        assert!(found.wrong.expect("damage").starts_with("event 1 is damaged"));
    }

    #[test]
    fn events_that_were_cut_off_contradict_the_index() {
        let (_temp, dir, live) = a_run();
        let run = live.id();
        block_on(async {
            let result = RunResult::Done;
            live.journal().append(event(1, EventKind::RunFinished { result })).await.expect("disk");
        });
        live.finish(RunResult::Done, AT).expect("it ends");

        changed(&dir, run, "DELETE FROM events WHERE seq = 1");
        let found = dir.verify(run, Some(RunResult::Done)).expect("it is read");

        assert!(found.wrong.expect("a lost end").starts_with("its end is missing"));
    }
}
