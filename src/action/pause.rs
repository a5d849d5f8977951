//! `pause`: the world's time passes.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure, format_span, parse_span};

/// The action.
pub(super) struct Pause;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(rename = "for", deserialize_with = "span")]
    time: Duration,
}

fn span<'d, D: serde::Deserializer<'d>>(text: D) -> Result<Duration, D::Error> {
    parse_span(&String::deserialize(text)?).map_err(serde::de::Error::custom)
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for Pause {
    type Params = Params;
    type State = ();
    type Change = Change;

    const NAME: &'static str = "pause";
    const SUMMARY: &'static str = "Lets time pass before the host goes on.";
    const DOC: &'static str = "\
Waits for a span of the world's time, for each host on its own. Stopping the run ends it
and counts no failure; a resume waits anew. Check mode does not wait. To wait for a person,
use `confirm`; to wait for files of the product, `wait_until`.

Rights: none; no host is connected to. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Let the agents settle
  pause: { for: 2 min }";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "for",
        kind: ParamKind::Span,
        required: true,
        doc: "How long, in the world's time.",
    }];
    const SCALAR: Option<&'static str> = Some("for");
    const REPLAY: Replay = Replay::Safe;
    const NEEDS_HOST: bool = false;
    const IDLE: bool = true;

    fn rehearse(params: &Params) -> Option<String> {
        Some(format!("would wait for {}", format_span(params.time)))
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<(), StepFailure> {
        if at.pause(params.time).await {
            return Ok(());
        }
        Err(StepFailure::new(
            FailureClass::TimedOut,
            format!(
                "a pause of {} is longer than the task may take: give the task a longer `within`",
                format_span(params.time)
            ),
        ))
    }

    fn decide(params: &Params, (): &()) -> Verdict<Change> {
        let note = format!("waited for {}", format_span(params.time));
        Verdict::Unchanged { note, value: Value::Null }
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
