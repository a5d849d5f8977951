//! A diagnosis as it is read: as text, as a page with a map, and what changed since the last one.

mod change;
mod group;
mod heat_map;
mod kind;
mod page;
mod rows;
mod text;
mod unread;

use serde::Serialize;

use crate::itms::evidence::FleetEvidence;
use crate::itms::triage::Diagnosis;

pub use change::changes;
pub use page::diagnosis_page;
pub use text::diagnosis_text;

/// What a report of a diagnosis is made from.
#[derive(Debug, Clone, Copy)]
pub struct Examination<'a> {
    /// The inventory's name as the operator gave it.
    pub inventory: &'a str,
    /// What was seen.
    pub evidence: &'a FleetEvidence,
    /// What was made of it.
    pub diagnosis: &'a Diagnosis,
}

/// A diagnosis for other programs: beside what is wrong, what could not be read, without which a pair
/// that is not named may not be well either.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
    /// Each part that could not be read, with the reason and the hosts.
    unread: Vec<unread::Unread>,
}

/// Writes a diagnosis as one JSON document.
///
/// # Errors
///
/// It cannot be written down.
pub fn diagnosis_json(examination: &Examination<'_>) -> serde_json::Result<String> {
    let unread = unread::unread(examination.evidence);
    serde_json::to_string(&Document { diagnosis: examination.diagnosis, unread })
}

#[cfg(test)]
#[path = "diagnosis/tests.rs"]
mod tests;
