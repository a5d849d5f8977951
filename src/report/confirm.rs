//! What an operator answered, in words.

use super::clean_line;
use crate::event::{Answer, AnsweredBy, Reply};

/// An answer as a phrase: `confirmed by ana at the terminal`.
pub(super) fn answered(answer: &Answer) -> String {
    let user = clean_line(&answer.user, 60);
    let by = match answer.by {
        AnsweredBy::Terminal => "at the terminal",
        AnsweredBy::CommandLine => "with --approve",
    };
    match answer.reply {
        Reply::Confirmed => format!("confirmed by {user} {by}"),
        Reply::Declined => format!("not confirmed by {user} {by}"),
        Reply::NobodyThere => "nobody was there to confirm it".to_owned(),
    }
}
