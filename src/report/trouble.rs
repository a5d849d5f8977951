//! That the journal failed, for people who look at a run that cannot go on.

use super::clean_line;
use crate::event::JournalError;

/// One line: why, and what is awaited.
pub fn journal_trouble(error: &JournalError, under_way: usize) -> String {
    let awaited = match under_way {
        0 => "no change is under way".to_owned(),
        1 => "1 change under way is awaited".to_owned(),
        more => format!("{more} changes under way are awaited"),
    };
    let why = clean_line(&error.reason, 100);
    format!("the journal cannot be written ({why}): nothing new starts, {awaited}")
}
