//! Figures and names as sentences of evidence have them.

use jiff::Timestamp;

use super::fleet::{Agent, Pair, version};
use crate::itms::evidence::{Contact, LogFinding, StatusRow};

/// `3 packages are`, `1 package is`.
pub(super) fn either(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How many names a sentence lists.
const MOST_NAMES: usize = 4;

/// `3 packages`, `1 package`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `A, B and 3 more`.
pub(super) fn list<T: ToString>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    match names.len().checked_sub(MOST_NAMES) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// `45 s`, `12 min`, `5 h`, `3 days`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A version as the field writes it, with the moment it stands for; an error text in its place is
/// quoted.
pub(super) fn version_text(text: Option<&str>) -> String {
    match (version(text), text.map(str::trim)) {
        (Some(version), _) => format!("version {version}"),
        (None, Some(text)) if !text.is_empty() => {
            format!("\"{}\"", text.chars().take(120).collect::<String>())
        }
        (None, _) => "no version".to_owned(),
    }
}

/// `row says Invalid, version 1601867730 (2020-10-05 03:15 UTC)`.
pub(super) fn row(row: Option<&StatusRow>) -> String {
    match row {
        None => "there is no row".to_owned(),
        Some(row) => format!(
            "row says {}, {}",
            row.status.as_deref().unwrap_or("NULL"),
            version_text(row.reported_version.as_deref())
        ),
    }
}

/// What the three truths say of a pair, in one sentence.
pub(super) fn truths(pair: &Pair<'_>) -> String {
    let mut parts = vec![row(pair.row())];
    let held = pair.held.and_then(|held| held.version.as_deref());
    parts.push(match &pair.agent {
        Agent::NotSeen => "the agent's word was not seen".to_owned(),
        Agent::Absent => "the agent does not list it".to_owned(),
        Agent::Ready => format!("agent says Ready with {}", version_text(held)),
        Agent::Deleted => "the agent marks it Deleted".to_owned(),
        Agent::Downloading(word) | Agent::Invalid(word) | Agent::Other(word) => {
            format!("agent says {word} with {}", version_text(held))
        }
    });
    if let Some(snapshot) = pair.snapshot() {
        parts.push(format!("snapshot.xml has {}", version_text(snapshot.version.as_deref())));
    }
    if let Some(current) = pair.current() {
        parts.push(format!("current is {current}"));
    }
    parts.join("; ")
}

/// `agent.log has it 3 times, last May 16 11:51:05: "text"`.
pub(super) fn log(finding: &LogFinding) -> String {
    let text: String = finding.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(160).collect();
    format!("log: {}, last {}: \"{text}\"", count(finding.count as usize, "time"), finding.last)
}

/// How a transport failed.
pub(super) fn contact(name: &str, contact: &Contact) -> String {
    match contact {
        Contact::NotTried => format!("{name} was not tried"),
        Contact::Answered => format!("{name} answers"),
        Contact::Failed { why, .. } => format!("{name} does not: {why}"),
    }
}

/// Seconds from one moment to a later one; 0 when it is not later.
pub(super) fn seconds_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_second().saturating_sub(earlier.as_second())).unwrap_or(0)
}
