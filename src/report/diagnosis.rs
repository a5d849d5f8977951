//! A diagnosis as it is read: as text, as a page with a map, and what changed since the last one.

mod change;
mod group;
mod heat_map;
mod kind;
mod page;
mod rows;
mod text;
mod unread;

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

#[cfg(test)]
#[path = "diagnosis/tests.rs"]
mod tests;
