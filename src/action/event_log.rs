//! `event_log`: events of a Windows event log.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scripts::EVENT_LOG;
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure, parse_span};

/// The most events of one step.
const MOST: u32 = 200;

/// The action.
pub(super) struct EventLog;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    log: String,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    since: Option<Since>,
    #[serde(default)]
    max: Option<u32>,
}

/// How far back, by the host's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Since(Duration);

impl TryFrom<String> for Since {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_span(&text).map(Self).map_err(|error| error.to_string())
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// When, in UTC.
    time: String,
    /// Its number, unique within its provider.
    id: u32,
    /// 1 critical, 2 error, 3 warning, 4 information.
    level: u32,
    /// Who wrote it.
    provider: String,
    /// Its number in the log.
    #[serde(default)]
    record: String,
    /// Its text in the language of the host, at most 2,000 characters.
    #[serde(default)]
    message: String,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for EventLog {
    type Params = Params;
    type State = Vec<Found>;
    type Change = Change;

    const NAME: &'static str = "event_log";
    const SUMMARY: &'static str = "Reads events of a Windows event log.";
    const DOC: &'static str = "\
Reads the newest events of the log of exactly this name; with `provider`, `ids` and
`since` only those that match all of them. The step's value holds `events`, a list of
mappings with `time` (UTC), `id`, `level` (1 critical, 2 error, 3 warning, 4
information), `provider`, `record` and `message`, and `complete`, whether these are all.
A log that does not exist is a failure; a log without such events is not.

`since` is counted back from the host's own clock. At most 200 events are read, and 2,000
characters of each message, in the language of the host.

Rights: administrator on the host, or a member of Event Log Readers; over WinRM. Undo:
nothing, it only reads.";
    const EXAMPLE: &'static str = "\
- name: Read why the pool stopped
  event_log: { log: System, provider: Microsoft-Windows-WAS, ids: [5002, 5057], since: 24 h }
  register: pool_events";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "log",
            kind: ParamKind::Text,
            required: true,
            doc: "The log: `System`, `Application`, or the name of a channel.",
        },
        ParamDoc {
            name: "provider",
            kind: ParamKind::Text,
            required: false,
            doc: "Who wrote the events.",
        },
        ParamDoc {
            name: "ids",
            kind: ParamKind::Numbers,
            required: false,
            doc: "The numbers of the events.",
        },
        ParamDoc { name: "since", kind: ParamKind::Span, required: false, doc: "How far back." },
        ParamDoc {
            name: "max",
            kind: ParamKind::Count,
            required: false,
            doc: "How many events, the newest first; 50 when nothing is said, 200 at most.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("log");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 300;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Found>, StepFailure> {
        #[derive(Deserialize)]
        struct Answer {
            events: Vec<Found>,
        }
        let input = json!({
            "log": params.log,
            "provider": params.provider.as_deref().unwrap_or_default(),
            "ids": params.ids,
            "seconds": params.since.map_or(0, |since| since.0.as_secs()),
            "max": most(params),
        });
        let answer = at.script(&EVENT_LOG, &input).await?;
        let answer: Answer = serde_json::from_value(answer).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::RemoteFault,
                format!("could not understand the events of the log `{}`", params.log),
                &error,
            )
        })?;
        Ok(answer.events)
    }

    fn decide(params: &Params, events: &Vec<Found>) -> Verdict<Change> {
        let limit = most(params) as usize;
        let complete = events.len() < limit;
        let count = match events.len() {
            0 => "no such events".to_owned(),
            1 => "1 event".to_owned(),
            count => format!("{count} events"),
        };
        let note = if complete { count } else { format!("{count}, and maybe more") };
        let events: Vec<Value> = events.iter().take(limit).map(|event| json!(event)).collect();
        Verdict::Unchanged { note, value: json!({ "events": events, "complete": complete }) }
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

/// How many events are read.
fn most(params: &Params) -> u32 {
    params.max.unwrap_or(50).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
    use super::*;

    fn params(value: Value) -> Params {
        serde_json::from_value(value).expect("parameters")
    }

    fn event() -> Found {
        Found {
            time: "2026-05-16T11:51:05.000Z".to_owned(),
            id: 5002,
            level: 2,
            provider: "Microsoft-Windows-WAS".to_owned(),
            record: "7".to_owned(),
            message: "Application pool stopped".to_owned(),
        }
    }

    #[test]
    fn whether_these_are_all_is_said() {
        let few = EventLog::decide(&params(json!({ "log": "System" })), &vec![event()]);
        let full = EventLog::decide(&params(json!({ "log": "x", "max": 2 })), &vec![event(); 2]);

        let Verdict::Unchanged { note, value } = few else { panic!("{few:?}") };
        assert_eq!((note.as_str(), &value["complete"]), ("1 event", &json!(true)));
        assert_eq!(value["events"][0]["id"], 5002);
        let Verdict::Unchanged { note, value } = full else { panic!("{full:?}") };
        assert_eq!(
            (note.as_str(), &value["complete"]),
            ("2 events, and maybe more", &json!(false))
        );
    }

    #[tokio::test]
    async fn no_more_than_200_events_are_asked_for() {
        let host = ScriptedHost::new(|_, _, input| {
            assert_eq!(
                *input,
                json!({
                    "log": "Sys'tem", "provider": "", "ids": [1], "seconds": 86_400, "max": 200,
                })
            );
            Ok(json!({ "events": [event()] }))
        });
        let session = host.session(&[]);
        let wanted = params(json!({ "log": "Sys'tem", "ids": [1], "since": "24 h", "max": 9999 }));

        let events = EventLog::probe(&wanted, &session.reader(soon(), nothing_before())).await;

        assert_eq!(events, Ok(vec![event()]));
    }
}
