//! The names and numbers by which the parts of a run are known.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A run of a playbook, a UUID whose first eight digits people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(uuid::Uuid);

impl RunId {
    /// Names a run after a UUID made elsewhere.
    pub fn new(id: uuid::Uuid) -> Self {
        Self(id)
    }

    /// The whole identifier, 32 lower-case hexadecimal digits.
    pub fn full(&self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full()[..8])
    }
}

/// A host's name in the inventory; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Takes a name as the inventory writes it.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name up to the first dot, or the whole name when it is an address.
    pub fn short(&self) -> &str {
        match self.0.split_once('.') {
            Some((short, _)) if !short.bytes().all(|b| b.is_ascii_digit()) => short,
            _ => &self.0,
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The position of a play in its playbook, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlayNo(pub u16);

/// The position of a wave in its play, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WaveNo(pub u16);

/// The position of a task: its play, and its place among that play's tasks, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The play.
    pub play: PlayNo,
    /// The place in it.
    pub task: u16,
}

/// A task on one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId {
    /// The task.
    pub task: TaskId,
    /// The host.
    pub host: HostName,
}

impl fmt::Display for PlayNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u32::from(self.0) + 1)
    }
}

impl fmt::Display for WaveNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u32::from(self.0) + 1)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.play, u32::from(self.task) + 1)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.task, self.host)
    }
}
