//! What an operator is asked, and what he said.

use serde::{Deserialize, Serialize};

/// Something that only a person can confirm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its name, by which it can be answered beforehand.
    pub name: String,
    /// What is to be confirmed.
    pub say: String,
    /// Where it is done or seen: the way through the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// The text that has to be typed; none means that a yes is enough.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
}

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is so.
    Confirmed,
    /// It is not, or another text was typed.
    Declined,
    /// Nobody was there to be asked.
    NobodyThere,
}

/// How it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// At the terminal, while the run waited.
    Terminal,
    /// On the command line, before the run began.
    CommandLine,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was said.
    pub reply: Reply,
    /// The user of the operating system under whom it was said.
    pub user: String,
    /// How it was said.
    pub by: AnsweredBy,
}
