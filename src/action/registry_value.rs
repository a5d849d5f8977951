//! `registry`: a value of the host's registry, read, or set where it is as expected.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scripts::{REGISTRY_READ, REGISTRY_SET};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, StepFailure};

/// The action.
pub(super) struct Registry;

/// Keys whose values are secrets: not even read.
const SECRET: &[&str] = &[
    "sam",
    "security",
    "software\\microsoft\\windows nt\\currentversion\\winlogon",
    "software\\altiris\\altiris agent\\secure storage",
];

/// Keys below which nothing is set: who the agent is and whom it obeys, what starts with Windows,
/// what runs in place of what, and what other actions change with more care.
const FIXED: &[&str] = &[
    "software\\altiris\\altiris agent\\servers",
    "software\\altiris\\communications",
    "software\\symantec\\symantec endpoint protection",
    "software\\policies",
    "software\\classes",
    "software\\microsoft\\cryptography",
    "software\\microsoft\\windows\\currentversion\\policies",
    "software\\microsoft\\windows\\currentversion\\run",
    "software\\microsoft\\windows\\currentversion\\runonce",
    "software\\microsoft\\windows nt\\currentversion\\image file execution options",
    "software\\microsoft\\windows nt\\currentversion\\schedule",
    "software\\microsoft\\windows nt\\currentversion\\windows",
    "system\\currentcontrolset\\services",
    "system\\currentcontrolset\\control\\lsa",
    "system\\currentcontrolset\\control\\session manager",
    "system\\currentcontrolset\\control\\securepipeservers",
    "bcd00000000",
];

/// Values that are set nowhere: the identity of an agent (KB 181405 counts on it in every row).
const FIXED_VALUES: &[&str] = &["machineguid", "machineresourceguid", "ownernsguid"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    key: Key,
    value: String,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    expect: Option<String>,
    #[serde(default)]
    expect_absent: bool,
}

/// A key below HKEY_LOCAL_MACHINE, without the hive's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Key(String);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (hive, rest) = text.split_once('\\').unwrap_or((&text, ""));
        if !["hklm", "hklm:", "hkey_local_machine"].contains(&hive.to_lowercase().as_str()) {
            return Err(format!("`{text}` is not a key below HKLM\\"));
        }
        let parts: Vec<&str> = rest.split('\\').collect();
        if parts.iter().any(|part| part.is_empty() || part.chars().any(char::is_control)) {
            return Err(format!("`{text}` is not the name of a key"));
        }
        Ok(Self(parts.join("\\")))
    }
}

impl Key {
    /// The name by which keys are compared: lower case, of the 64-bit view, and of the control set
    /// that is in use.
    fn plain(&self) -> String {
        let lower = self.0.to_lowercase();
        let parts = lower.split('\\').filter(|part| *part != "wow6432node").map(|part| {
            let number = part.strip_prefix("controlset");
            let is_set =
                number.is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()));
            if is_set { "currentcontrolset" } else { part }
        });
        parts.collect::<Vec<_>>().join("\\")
    }

    fn is_below(&self, keys: &[&str]) -> bool {
        let plain = self.plain();
        keys.iter().any(|key| {
            plain.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
        })
    }
}

/// The kinds of values that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    String,
    ExpandString,
    Dword,
    Qword,
}

impl Kind {
    const NAMES: &'static [&'static str] = &["string", "expand_string", "dword", "qword"];

    /// The name of `Microsoft.Win32.RegistryValueKind`.
    fn word(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::ExpandString => "ExpandString",
            Self::Dword => "DWord",
            Self::Qword => "QWord",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::String, Self::ExpandString, Self::Dword, Self::Qword]
            .into_iter()
            .find(|kind| kind.word().eq_ignore_ascii_case(word))
    }

    /// A text as the registry tells it: numbers in decimal.
    fn canonical(self, text: &str) -> Result<String, String> {
        let most = match self {
            Self::String | Self::ExpandString => return Ok(text.to_owned()),
            Self::Dword => u64::from(u32::MAX),
            Self::Qword => u64::MAX,
        };
        let text = text.trim();
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        number
            .filter(|number| *number <= most)
            .map(|number| number.to_string())
            .ok_or_else(|| format!("`{text}` is not a number that fits"))
    }
}

/// What the host says of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    /// Whether the key exists.
    key: bool,
    /// Whether the value does.
    value: bool,
    /// Its kind, in the words of .NET.
    kind: Option<String>,
    /// Its data: a text, or a list of texts; numbers in decimal, binary data in Base64.
    data: Option<Value>,
}

impl Found {
    fn text(&self) -> Option<&str> {
        self.data.as_ref().and_then(Value::as_str)
    }

    /// The value as a change writes it down; `None` for one that does not exist. `Err` for a kind
    /// that is not set.
    fn datum(&self) -> Result<Option<Datum>, String> {
        if !self.value {
            return Ok(None);
        }
        let word = self.kind.as_deref().unwrap_or_default();
        match (Kind::of(word), self.text()) {
            (Some(kind), Some(text)) => Ok(Some(Datum { kind, data: text.to_owned() })),
            _ => Err(format!("its kind is {word}, which this action only reads")),
        }
    }
}

/// A value's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Datum {
    kind: Kind,
    data: String,
}

/// What will be done: a value that is not there is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The key below HKEY_LOCAL_MACHINE.
    key: String,
    /// The value's name.
    value: String,
    /// What it holds before.
    before: Option<Datum>,
    /// What it will hold.
    after: Option<Datum>,
}

async fn read(key: &str, value: &str, at: &Reader<'_>) -> Result<Found, StepFailure> {
    let answer = at.script(&REGISTRY_READ, &json!({ "key": key, "value": value })).await?;
    serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            format!("could not understand the value `{value}` of HKLM\\{key}"),
            &error,
        )
    })
}

fn refused(text: String) -> StepFailure {
    StepFailure::new(FailureClass::Refused, text)
}

#[async_trait]
impl Action for Registry {
    type Params = Params;
    type State = Found;
    type Change = Change;

    const NAME: &'static str = "registry";
    const SUMMARY: &'static str = "Reads a value of the registry, or sets one that is as expected.";
    const DOC: &'static str = "\
Without `data` it only reads: the step's value holds `exists`, `kind` and `data`. Numbers
are told in decimal, binary data in Base64, and %VARIABLES% are not filled in. The key is
below HKLM, in the 64-bit view.

With `data` the value is set, where it holds what `expect` says, or does not exist and
`expect_absent` says so; anything else is drift and refused. Only texts and numbers are
set. Keys are neither made nor removed.

Never set: the identity of an agent (`MachineGuid`) and the servers that it obeys, keys of
services (see `service`), of security, of policies, and of what starts with Windows. Never
read: SAM, SECURITY, Winlogon and the agent's secure storage.

Rights: administrator on the host, over WinRM. Undo: the earlier value, or the removal of
one that this added; refused when it was changed since. Safe to repeat after a crash.";
    const EXAMPLE: &'static str = "\
- name: Read where the event queue lies
  registry: { key: 'HKLM\\SOFTWARE\\Altiris\\eXpress\\Notification Server', value: EventQueuePath }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "key",
            kind: ParamKind::Text,
            required: true,
            doc: "The key, from `HKLM\\` on.",
        },
        ParamDoc {
            name: "value",
            kind: ParamKind::Text,
            required: true,
            doc: "The value's name; an empty text is the key's default value.",
        },
        ParamDoc {
            name: "data",
            kind: ParamKind::Text,
            required: false,
            doc: "What it is to hold; a number as text, as in `'512000'` or `'0x7D000'`.",
        },
        ParamDoc {
            name: "kind",
            kind: ParamKind::OneOf(Kind::NAMES),
            required: false,
            doc: "The kind of a value that does not exist yet; an existing one keeps its own.",
        },
        ParamDoc {
            name: "expect",
            kind: ParamKind::Text,
            required: false,
            doc: "What it must hold before it is set.",
        },
        ParamDoc {
            name: "expect_absent",
            kind: ParamKind::Bool,
            required: false,
            doc: "Whether it must not exist before it is set.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    fn refuses(params: &Value) -> Option<String> {
        let text = params.get("key")?.as_str()?;
        // What a template makes of it is seen when it is filled in.
        if text.contains("{{") {
            return None;
        }
        match Key::try_from(text.to_owned()) {
            Ok(key) if key.is_below(SECRET) => {
                Some(format!("the values of HKLM\\{} are secrets, which are not read", key.0))
            }
            Ok(key) if params.get("data").is_some() && key.is_below(FIXED) => {
                Some(format!("HKLM\\{} is a key that is never changed", key.0))
            }
            Ok(_) => None,
            Err(why) => Some(why),
        }
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Found, StepFailure> {
        if params.key.is_below(SECRET) {
            return Err(refused(format!(
                "could not read HKLM\\{}: its values are secrets",
                params.key.0
            )));
        }
        read(&params.key.0, &params.value, at).await
    }

    fn decide(params: &Params, now: &Found) -> Verdict<Change> {
        match decide(params, now) {
            Ok(verdict) => verdict,
            Err(Refusal { class, why }) => Verdict::Refuse(StepFailure::new(
                class,
                format!(
                    "could not set the value `{}` of HKLM\\{}: {why}",
                    params.value, params.key.0
                ),
            )),
        }
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let Change { key, value, before, after } = change;
        let shown = |datum: &Option<Datum>| match datum {
            Some(datum) => format!("`{}`", datum.data),
            None => "no value".to_owned(),
        };
        vec![match after {
            Some(_) => format!(
                "set the value `{value}` of HKLM\\{key} to {} (now {})",
                shown(after),
                shown(before)
            ),
            None => format!("remove the value `{value}` of HKLM\\{key} (now {})", shown(before)),
        }]
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let Change { key, value, before, after } = change;
        let what = || format!("the value `{value}` of HKLM\\{key}");
        let not_set = |why: &str| refused(format!("could not set {}: {why}", what()));
        let now = read(key, value, at).await?;
        let present = now.datum().map_err(|why| not_set(&why))?;
        if present == *after {
            let note = "so already".to_owned();
            return Ok(Applied { note, value: told(&now), was_so_already: true });
        }
        if present != *before {
            return Err(StepFailure::new(
                FailureClass::Drifted,
                format!("could not set {}: it has changed since it was looked at", what()),
            ));
        }
        let input = json!({
            "key": key,
            "value": value,
            "kind": after.as_ref().map_or("", |datum| datum.kind.word()),
            "data": after.as_ref().map_or("", |datum| datum.data.as_str()),
        });
        // An answer that was lost leaves the step in doubt: it is safe to replay.
        at.change_script(&REGISTRY_SET, &input).await?;
        let now = read(key, value, at).await?;
        if now.datum().map_err(|why| not_set(&why))? != *after {
            return Err(StepFailure::new(
                FailureClass::InDoubt,
                format!("set {} and do not see it set", what()),
            ));
        }
        let note = if after.is_some() { "set" } else { "removed" }.to_owned();
        Ok(Applied { note, value: told(&now), was_so_already: false })
    }

    fn invert(change: &Change) -> Undo {
        let inverse =
            Change { before: change.after.clone(), after: change.before.clone(), ..change.clone() };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
}

/// The value for `register`.
fn told(now: &Found) -> Value {
    json!({ "exists": now.value, "kind": now.kind, "data": now.data })
}

/// Why a value is not set.
#[derive(Debug)]
struct Refusal {
    class: FailureClass,
    why: String,
}

impl Refusal {
    /// What is there is not what was expected.
    fn drift(why: String) -> Self {
        Self { class: FailureClass::Drifted, why }
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { class: FailureClass::Refused, why }
    }
}

fn decide(params: &Params, now: &Found) -> Result<Verdict<Change>, Refusal> {
    let Some(data) = &params.data else {
        if params.kind.is_some() || params.expect.is_some() || params.expect_absent {
            return Err("`kind`, `expect` and `expect_absent` need `data`".to_owned().into());
        }
        let note = match (&now.data, now.key) {
            (Some(Value::String(text)), _) if now.value => text.chars().take(200).collect(),
            (Some(data), _) if now.value => data.to_string().chars().take(200).collect(),
            (_, true) => "there is no such value".to_owned(),
            (_, false) => "there is no such key".to_owned(),
        };
        return Ok(Verdict::Unchanged { note, value: told(now) });
    };
    if params.key.is_below(FIXED) || params.key.is_below(SECRET) {
        return Err("the key is one that is never changed".to_owned().into());
    }
    if FIXED_VALUES.contains(&params.value.trim().to_lowercase().as_str()) {
        return Err("the value is an identity, which is never changed".to_owned().into());
    }
    if !now.key {
        return Err("there is no such key".to_owned().into());
    }
    let before = now.datum()?;
    let kind = match (&before, params.kind) {
        (Some(before), Some(kind)) if before.kind != kind => {
            return Err(
                format!("its kind is {} and not {}", before.kind.word(), kind.word()).into()
            );
        }
        (Some(before), _) => before.kind,
        (None, kind) => kind.unwrap_or(Kind::String),
    };
    let after = Datum { kind, data: kind.canonical(data)? };
    if before.as_ref() == Some(&after) {
        let value = told(now);
        return Ok(Verdict::Unchanged { note: "so already".to_owned(), value });
    }
    match (&before, &params.expect, params.expect_absent) {
        (Some(now), Some(expected), false) if now.data == kind.canonical(expected)? => {}
        (None, None, true) => {}
        (_, None, false) => {
            return Err("say by `expect` or `expect_absent` what is there before"
                .to_owned()
                .into());
        }
        (_, Some(_), true) => {
            return Err("`expect` and `expect_absent` exclude each other".to_owned().into());
        }
        (Some(now), _, _) => {
            return Err(Refusal::drift(format!("it holds `{}`, which was not expected", now.data)));
        }
        (None, _, _) => {
            return Err(Refusal::drift("it does not exist, which was not expected".to_owned()));
        }
    }
    Ok(Verdict::Change(Change {
        key: params.key.0.clone(),
        value: params.value.clone(),
        before,
        after: Some(after),
    }))
}

#[cfg(test)]
#[path = "registry_value/tests.rs"]
mod tests;
