//! Confirmations: given beforehand with `--approve`, or asked for at the terminal.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::environment;
use super::error::{Failure, nearest};
use super::prompts::Prompts;
use crate::engine::Operator;
use crate::event::{Answer, AnsweredBy, Question, Reply};
use crate::model::Playbook;
use crate::report::clean_line;

/// How much of a text of the playbook is shown.
const SHOWN: usize = 400;

/// What the operator approved beforehand, and the terminal for what he did not.
pub(super) struct Approvals {
    /// By name; the text that was typed, where one was given.
    given: BTreeMap<String, Option<String>>,
    user: String,
    /// The terminal, where an operator can be asked.
    prompts: Option<Arc<Prompts>>,
}

impl Approvals {
    /// Reads `--approve NAME` and `--approve NAME=TEXT`, which must be confirmations of the
    /// playbook.
    ///
    /// # Errors
    ///
    /// The playbook has no confirmation of that name.
    pub(super) fn read(given: &[String], playbook: &Playbook) -> Result<Self, Failure> {
        let known = [names(playbook), gates(playbook)].concat();
        let mut all = BTreeMap::new();
        for text in given {
            let (name, typed) = match text.split_once('=') {
                Some((name, typed)) => (name, Some(typed.to_owned())),
                None => (text.as_str(), None),
            };
            if !known.contains(&name) {
                let failure = Failure::input(format!(
                    "the playbook has no confirmation and no gate named `{name}`"
                ));
                let all = known.join(", ");
                return Err(match nearest(name, known.iter().copied()) {
                    _ if known.is_empty() => failure.hint("it asks for none: leave out --approve"),
                    Some(nearest) => {
                        failure.hint(format!("did you mean `{nearest}`? It has {all}"))
                    }
                    None => failure.hint(format!("it has {all}")),
                });
            }
            all.insert(name.to_owned(), typed);
        }
        let prompts = environment::can_ask().then(Prompts::own);
        Ok(Self { given: all, user: environment::user(), prompts })
    }

    /// The confirmations of a playbook that nobody will answer: they are neither approved nor can
    /// anybody be asked.
    pub(super) fn lacking(&self, playbook: &Playbook) -> Vec<String> {
        let names = names(playbook);
        let is_lacking = |name: &&str| self.prompts.is_none() && !self.given.contains_key(*name);
        names.into_iter().filter(is_lacking).map(str::to_owned).collect()
    }

    /// Nothing is approved and nobody is asked: for what asks nothing.
    pub(super) fn none() -> Self {
        Self { given: BTreeMap::new(), user: environment::user(), prompts: None }
    }

    fn answer(&self, reply: Reply, by: AnsweredBy) -> Answer {
        Answer { reply, user: self.user.clone(), by }
    }
}

/// The names of a playbook's confirmations.
fn names(playbook: &Playbook) -> Vec<&str> {
    let confirms = playbook.tasks().filter(|task| task.action.action == "confirm");
    confirms.filter_map(|task| task.action.params.get("name")?.as_str()).collect()
}

/// The names of its gates: what is asked when one comes to no answer.
fn gates(playbook: &Playbook) -> Vec<&str> {
    let mut names: Vec<&str> = playbook
        .plays
        .iter()
        .flat_map(|play| &play.safeguards.gates)
        .map(|gate| gate.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether what was typed confirms the question.
fn reply(question: &Question, typed: &str) -> Reply {
    let is_confirmed = match &question.typed {
        Some(text) => typed.trim() == text.trim(),
        None => matches!(typed.trim(), "y" | "Y" | "yes"),
    };
    if is_confirmed { Reply::Confirmed } else { Reply::Declined }
}

/// The question as text; it holds what the playbook says, which may hold what a host says.
fn told(question: &Question) -> String {
    let mut text = format!("\nconfirm {}\n", clean_line(&question.name, SHOWN));
    if let Some(console) = &question.console {
        text.push_str(&format!("  in the console: {}\n", clean_line(console, SHOWN)));
    }
    let say = clean_line(&question.say, SHOWN);
    text.push_str(&match &question.typed {
        Some(typed) => format!("  {say}\n  type \"{}\" to confirm: ", clean_line(typed, SHOWN)),
        None => format!("  {say} [y/N] "),
    });
    text
}

impl Operator for Approvals {
    fn ask(self: Arc<Self>, question: Question) -> BoxFuture<'static, Answer> {
        let typed = question.typed.as_ref();
        let beforehand = match (self.given.get(&question.name), &self.prompts) {
            (Some(None), _) if typed.is_none() => Reply::Confirmed,
            (Some(None), _) => Reply::Declined,
            (Some(Some(_)), _) if typed.is_none() => Reply::Confirmed,
            (Some(Some(given)), _) => reply(&question, given),
            (None, None) => Reply::NobodyThere,
            (None, Some(prompts)) => {
                // Its place is taken now, in the order in which questions come up.
                let place = prompts.line_up(clean_line(&question.name, SHOWN));
                let asked = async move {
                    // A terminal that has gone away has nobody at it.
                    let said = place.answer(&told(&question)).await;
                    let said = said.map_or(Reply::NobodyThere, |line| reply(&question, &line));
                    self.answer(said, AnsweredBy::Terminal)
                };
                return asked.boxed();
            }
        };
        std::future::ready(self.answer(beforehand, AnsweredBy::CommandLine)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(typed: Option<&str>) -> Question {
        Question {
            name: "acc-restored".to_owned(),
            say: "Is it so?\u{1b}[2J".to_owned(),
            console: None,
            typed: typed.map(str::to_owned),
        }
    }

    fn approvals(given: &[(&str, Option<&str>)]) -> Approvals {
        let given = given.iter().map(|(name, text)| ((*name).to_owned(), text.map(str::to_owned)));
        Approvals { given: given.collect(), user: "ana".to_owned(), prompts: None }
    }

    #[tokio::test]
    async fn what_is_not_approved_is_not_confirmed_where_nobody_can_be_asked() {
        let ask = async |given: &[(&str, Option<&str>)], typed| {
            Arc::new(approvals(given)).ask(question(typed)).await.reply
        };

        assert_eq!(ask(&[], None).await, Reply::NobodyThere);
        assert_eq!(ask(&[("other", None)], None).await, Reply::NobodyThere);
        assert_eq!(ask(&[("acc-restored", None)], None).await, Reply::Confirmed);
        assert_eq!(ask(&[("acc-restored", None)], Some("REPLACE")).await, Reply::Declined);
        assert_eq!(
            ask(&[("acc-restored", Some("REPLACE"))], Some("REPLACE")).await,
            Reply::Confirmed
        );
        assert_eq!(
            ask(&[("acc-restored", Some("replace"))], Some("REPLACE")).await,
            Reply::Declined
        );
    }

    #[test]
    fn a_question_cannot_steer_the_terminal() {
        assert!(!told(&question(Some("X"))).contains('\u{1b}'));
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for no in ["", "n", "no", "yess", "REPLACE"] {
            assert_eq!(reply(&question(None), no), Reply::Declined, "{no}");
        }
        assert_eq!(reply(&question(None), "y\n"), Reply::Confirmed);
    }
}
