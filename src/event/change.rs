//! A change as data, with the change that takes it back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an action will do to one host; written to the journal before it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The action that applies it.
    pub action: String,
    /// The action's own form of the change: what was there before and what will be there after.
    pub change: Value,
    /// What takes it back.
    pub undo: Undo,
    /// What it does, one line each, for plans, check mode and reports.
    pub lines: Vec<String>,
}

/// What takes a change back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Applying this change with the same action.
    With(Value),
    /// The change leaves nothing behind that could be taken back.
    Nothing,
    /// It cannot be taken back, and why.
    Impossible(String),
}
