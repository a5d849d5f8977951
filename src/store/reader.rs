//! Reads a journal and proves that it is whole.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::chain::Link;
use crate::event::Event;

/// The format of the file, in SQLite's `user_version`.
pub(super) const FORMAT: i64 = 1;
/// Says that a SQLite file is a journal of ours: `FLTM`.
pub(super) const APPLICATION: i64 = 0x464C_544D;

/// A journal cannot be read at all.
#[derive(Debug, Error)]
pub enum ReadJournalError {
    /// SQLite could not open or read the file.
    #[error("could not read the journal {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// It is no journal, or one of a later program.
    #[error("could not read the journal {}: its format is {format}, this program reads 1", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format; 0 for a file that is no journal.
        format: i64,
    },
}

/// Where a journal stops being what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {seq} is damaged: {reason}")]
pub struct Damage {
    /// The number of the first event that cannot be trusted.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What a journal tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The events, as far as they are what was written.
    pub events: Vec<Event>,
    /// The first event that is not; none when all are.
    pub damage: Option<Damage>,
    pub(super) link: Link,
}

/// Reads a journal, also one that is being written. Every event must have the next number, be
/// readable, and carry the hash that follows from all before it.
///
/// Events that were cut off at the end cannot be told from events that were never written.
///
/// # Errors
///
/// The file is missing, is no journal, or is so damaged that SQLite cannot open it.
pub fn read(path: &Path) -> Result<Recorded, ReadJournalError> {
    let fail = |source| ReadJournalError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    check_format(&connection, path)?;
    let mut statement =
        connection.prepare("SELECT seq, json, hash FROM events ORDER BY seq").map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let mut recorded = Recorded { events: Vec::new(), damage: None, link: Link::START };
    loop {
        let seq = recorded.events.len() as u64;
        let row = match rows.next() {
            Ok(None) => return Ok(recorded),
            Ok(Some(row)) => take(row, seq, recorded.link),
            Err(error) => Err(error.to_string()),
        };
        match row {
            Ok((event, link)) => {
                recorded.events.push(event);
                recorded.link = link;
            }
            Err(reason) => {
                recorded.damage = Some(Damage { seq, reason });
                return Ok(recorded);
            }
        }
    }
}

fn take(row: &rusqlite::Row<'_>, seq: u64, link: Link) -> Result<(Event, Link), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let number: i64 = row.get(0).map_err(text)?;
    if u64::try_from(number) != Ok(seq) {
        return Err(format!("number {number} follows, numbers between are missing"));
    }
    let json: String = row.get(1).map_err(text)?;
    let hash: Vec<u8> = row.get(2).map_err(text)?;
    let next = link.next(&json);
    if hash != next.as_bytes() {
        return Err("its hash does not follow from the events before it".to_owned());
    }
    let event: Event = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    if event.seq != seq {
        return Err(format!("it says that it is event {}", event.seq));
    }
    Ok((event, next))
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), ReadJournalError> {
    let fail = |source| ReadJournalError::Sqlite { path: path.to_owned(), source };
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(fail)?;
    let format = number("user_version").map_err(fail)?;
    if application != APPLICATION || format != FORMAT {
        let format = if application == APPLICATION { format } else { 0 };
        return Err(ReadJournalError::Format { path: path.to_owned(), format });
    }
    Ok(())
}
