//! `assert`: what must hold before a host goes on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};

/// The action.
pub(super) struct Assert;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    that: Vec<Claim>,
    #[serde(default)]
    message: Option<String>,
}

/// An expression and what it came to: see [`ParamKind::Expressions`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    expression: String,
    value: Value,
}

impl Claim {
    /// As `when` has it: empty texts, lists and mappings, zero and null are false.
    fn holds(&self) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(entries) => !entries.is_empty(),
        }
    }
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for Assert {
    type Params = Params;
    type State = ();
    type Change = Change;

    const NAME: &'static str = "assert";
    const SUMMARY: &'static str = "Fails a host for which an expression does not hold.";
    const DOC: &'static str = "\
Every expression of `that` must hold, over variables, `work` and what earlier tasks
registered. They are written without braces, as in `when`; one, or a list. The first that
does not hold fails the host, with the message if there is one.

Rights: none; no host is connected to. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Leave hosts with too much work to a person
  assert: { that: [work.count < 500], message: \"{{ inventory_hostname }} has too much work\" }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "that",
            kind: ParamKind::Expressions,
            required: true,
            doc: "The expressions.",
        },
        ParamDoc {
            name: "message",
            kind: ParamKind::Text,
            required: false,
            doc: "What to say when one does not hold.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;
    const NEEDS_HOST: bool = false;

    async fn probe(_: &Params, _: &Reader<'_>) -> Result<(), StepFailure> {
        Ok(())
    }

    fn decide(params: &Params, (): &()) -> Verdict<Change> {
        match params.that.iter().find(|claim| !claim.holds()) {
            None => {
                let note = match params.that.len() {
                    1 => "it holds".to_owned(),
                    count => format!("all {count} hold"),
                };
                Verdict::Unchanged { note, value: Value::Null }
            }
            Some(claim) => {
                let broken = format!("`{}` does not hold", claim.expression);
                let mut failure = match &params.message {
                    Some(message) => StepFailure::new(FailureClass::Refused, message.clone()),
                    None => StepFailure::new(FailureClass::Refused, broken.clone()),
                };
                if params.message.is_some() {
                    failure.causes.push(broken);
                }
                Verdict::Refuse(failure)
            }
        }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(values: &[Value], message: Option<&str>) -> Verdict<Change> {
        let claim = |value: &Value| Claim { expression: "x > 1".to_owned(), value: value.clone() };
        let that = values.iter().map(claim).collect();
        Assert::decide(&Params { that, message: message.map(str::to_owned) }, &())
    }

    #[test]
    fn the_first_claim_that_does_not_hold_is_named() {
        let Verdict::Refuse(failure) = verdict(&[json!(true), json!(0)], Some("too little")) else {
            panic!("it does not hold");
        };
        assert_eq!(failure.to_string(), "too little: `x > 1` does not hold");
        let Verdict::Refuse(failure) = verdict(&[json!([])], None) else {
            panic!("it does not hold");
        };
        assert_eq!(failure.to_string(), "`x > 1` does not hold");
    }

    #[test]
    fn a_host_for_which_all_hold_goes_on() {
        assert!(matches!(verdict(&[json!(true), json!("x")], None), Verdict::Unchanged { .. }));
    }
}
