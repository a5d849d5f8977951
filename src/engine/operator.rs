//! The person who is asked when a playbook asks for a confirmation.

use async_trait::async_trait;

use crate::event::{Answer, AnsweredBy, Question, Reply};

/// Answers questions, at a terminal or by what was said beforehand.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Answers one question; it may take as long as a person takes. It is dropped when the run
    /// ends before.
    async fn ask(&self, question: &Question) -> Answer;
}

/// Nobody is there: nothing is confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NobodyThere;

#[async_trait]
impl Operator for NobodyThere {
    async fn ask(&self, _: &Question) -> Answer {
        Answer { reply: Reply::NobodyThere, user: String::new(), by: AnsweredBy::CommandLine }
    }
}
