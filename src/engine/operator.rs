//! The person who is asked when a playbook asks for a confirmation.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::event::{Answer, AnsweredBy, Question, Reply};

/// Answers questions, at a terminal or by what was said beforehand.
pub trait Operator: Send + Sync {
    /// Answers one question; it may take as long as a person takes. Questions are put in the order
    /// in which this is called, also while others are open. What it returns is dropped when an
    /// answer is not needed any more: the question is taken back.
    fn ask(self: Arc<Self>, question: Question) -> BoxFuture<'static, Answer>;
}

/// Nobody is there: nothing is confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NobodyThere;

impl Operator for NobodyThere {
    fn ask(self: Arc<Self>, _: Question) -> BoxFuture<'static, Answer> {
        let (user, by) = (String::new(), AnsweredBy::CommandLine);
        std::future::ready(Answer { reply: Reply::NobodyThere, user, by }).boxed()
    }
}
