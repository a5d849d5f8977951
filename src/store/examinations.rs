//! Examinations of fleets, kept so that a later diagnosis can tell a loop from a download.

use jiff::Timestamp;
use rusqlite::Connection;

use super::state_dir::{StateDir, StateDirError};

/// How much of the past of one fleet is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At most so many examinations.
    pub examinations: u32,
    /// At most so many bytes of them together, the newest always.
    pub bytes: u64,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS examinations (
        number INTEGER PRIMARY KEY, fleet TEXT NOT NULL, taken TEXT NOT NULL, body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS by_fleet ON examinations (fleet, number);";

impl StateDir {
    /// Keeps an examination of a fleet, which is known by its inventory, and forgets the oldest
    /// ones beyond the bound.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn keep_examination(
        &self,
        fleet: &str,
        taken: Timestamp,
        body: &str,
        keep: Keep,
    ) -> Result<(), StateDirError> {
        self.with_examinations(|past| {
            let all = past.transaction()?;
            let insert = "INSERT INTO examinations (fleet, taken, body) VALUES (?1, ?2, ?3)";
            all.execute(insert, (fleet, taken.to_string(), body))?;
            let forget = "
                DELETE FROM examinations WHERE number IN (
                    SELECT number FROM (
                        SELECT number,
                               ROW_NUMBER() OVER newest AS place,
                               SUM(LENGTH(CAST(body AS BLOB))) OVER newest AS bytes
                        FROM examinations WHERE fleet = ?1
                        WINDOW newest AS (ORDER BY number DESC)
                    ) WHERE place > 1 AND (place > ?2 OR bytes > ?3)
                )";
            let bytes = i64::try_from(keep.bytes).unwrap_or(i64::MAX);
            all.execute(forget, (fleet, keep.examinations, bytes))?;
            all.commit()
        })
    }

    /// What is kept of a fleet, oldest first.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn examinations(&self, fleet: &str) -> Result<Vec<String>, StateDirError> {
        self.with_examinations(|past| {
            let select = "SELECT body FROM examinations WHERE fleet = ?1 ORDER BY number";
            let mut all = past.prepare(select)?;
            let bodies = all.query_map([fleet], |row| row.get(0))?;
            bodies.collect()
        })
    }

    fn with_examinations<T>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateDirError> {
        let path = self.database("examinations.db");
        let opened = || {
            let mut past = super::state_dir::open_database(&path)?;
            past.execute_batch(SCHEMA)?;
            act(&mut past)
        };
        opened().map_err(|source| StateDirError::Sqlite { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(dir: &StateDir, fleet: &str) -> Vec<String> {
        dir.examinations(fleet).expect("the past")
    }

    #[test]
    fn the_oldest_examinations_of_a_fleet_are_forgotten_and_those_of_others_are_not() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(temp.path()).expect("a state directory");
        let keep = Keep { examinations: 2, bytes: 1000 };
        let add = |fleet: &str, body: &str| {
            dir.keep_examination(fleet, Timestamp::UNIX_EPOCH, body, keep).expect("it is kept");
        };

        add("a.yml", "one");
        add("b.yml", "other");
        add("a.yml", "two");
        add("a.yml", "three");

        assert_eq!(kept(&dir, "a.yml"), ["two", "three"]);
        assert_eq!(kept(&dir, "b.yml"), ["other"]);
    }

    #[test]
    fn large_examinations_push_out_older_ones_but_the_newest_stays() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(temp.path()).expect("a state directory");
        let keep = Keep { examinations: 9, bytes: 10 };
        for body in ["123456", "1234", "12345678901234567890"] {
            dir.keep_examination("a", Timestamp::UNIX_EPOCH, body, keep).expect("it is kept");
        }

        assert_eq!(kept(&dir, "a"), ["12345678901234567890"]);
    }
}
