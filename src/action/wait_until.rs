//! `wait_until`: files that this run moved away are there again.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::moved::{MovedFile, files_moved};
use super::patience::Patience;
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, Guid, StepFailure, parse_span};
use crate::transport::{TransportError, TransportErrorKind};

/// How often the files are looked at, in the world's time.
const POLL: Duration = Duration::from_secs(10);

/// How many packages a message names.
const NAMED: usize = 10;

/// The action.
pub(super) struct WaitUntil;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    files: Vec<Guid>,
    role: Role,
    #[serde(default)]
    #[expect(dead_code, reason = "there is one thing that files can be newer than")]
    newer_than: NewerThan,
    #[serde(default)]
    within: Option<Span>,
}

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    NsSnapshots,
    PsDelivery,
}

/// What the files must be newer than.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NewerThan {
    #[default]
    Quarantined,
}

/// A span of time as playbooks write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Span(Duration);

impl TryFrom<String> for Span {
    type Error = crate::model::ParseSpanError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_span(&text).map(Self)
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::NsSnapshots => "ns_snapshots",
            Self::PsDelivery => "ps_delivery",
        }
    }

    /// Whether a file that was moved away is the one to wait for. A signature, for instance, is
    /// made together with its snapshot and needs no waiting of its own.
    fn waits_for(self, file: &MovedFile) -> bool {
        let name = file.from.file_name().unwrap_or_default().to_lowercase();
        match self {
            Self::NsSnapshots => name.ends_with(".xml"),
            Self::PsDelivery => name == "snapshot.xml",
        }
    }
}

/// A file that is waited for, and whether it is there again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Awaited {
    file: MovedFile,
    is_back: bool,
}

/// What will be waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The files that are not there again.
    pending: Vec<MovedFile>,
    /// The longest to wait, in the world's time; none means the step's own deadline.
    within: Option<Duration>,
}

/// Whether a file is there again: it exists and was written later than the one moved away.
fn is_back(moved: &MovedFile, modified: Option<u64>) -> bool {
    modified.is_some_and(|modified| modified > moved.modified)
}

async fn look(at: &Reader<'_>, file: &MovedFile) -> Result<bool, TransportError> {
    Ok(is_back(file, at.files().metadata(&file.from).await?.map(|found| found.modified)))
}

/// The first packages of some files, for messages.
fn named(files: &[MovedFile]) -> String {
    let mut names: Vec<String> =
        files.iter().take(NAMED).map(|file| file.package.to_string()).collect();
    if files.len() > NAMED {
        names.push(format!("and {} more", files.len() - NAMED));
    }
    names.join(", ")
}

#[async_trait]
impl Action for WaitUntil {
    type Params = Params;
    type State = Vec<Awaited>;
    type Change = Change;

    const NAME: &'static str = "wait_until";
    const SUMMARY: &'static str =
        "Waits until files that this run moved away are written again by the product.";
    const DOC: &'static str = "\
For every listed package of which an earlier step of the run moved the snapshot away on
this host, waits until a file of the same name is there again that was written later than
the old one. Packages of which nothing was moved need no waiting. The roles are
`ns_snapshots` (the snapshots that the Notification Server builds) and `ps_delivery`
(those that a package server downloads).

Files that are not there in time fail the step, and the message names their packages: the
source of the package may be out of reach of the Notification Server. The step's own
deadline is an hour; give the task a longer `within` to let the parameter of that name go
beyond it.

Rights: reading the files over SMB. Undo: nothing; it only looks.";
    const EXAMPLE: &'static str = "\
- name: Wait for the new snapshots
  wait_until: { files: \"{{ work.package_ids }}\", role: ns_snapshots, newer_than: quarantined, within: 15 min }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "files",
            kind: ParamKind::Guids,
            required: true,
            doc: "The packages whose files are waited for.",
        },
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(&["ns_snapshots", "ps_delivery"]),
            required: true,
            doc: "Where the files are.",
        },
        ParamDoc {
            name: "newer_than",
            kind: ParamKind::OneOf(&["quarantined"]),
            required: false,
            doc: "What they must be newer than: the file that was moved away.",
        },
        ParamDoc {
            name: "within",
            kind: ParamKind::Span,
            required: false,
            doc: "The longest to wait.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 3600;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Awaited>, StepFailure> {
        let mut awaited = Vec::new();
        for file in files_moved(at.prior(), params.role.name()) {
            if params.files.contains(&file.package) && params.role.waits_for(&file) {
                let is_back = look(at, &file).await?;
                awaited.push(Awaited { file, is_back });
            }
        }
        Ok(awaited)
    }

    fn decide(params: &Params, state: &Vec<Awaited>) -> Verdict<Change> {
        let pending: Vec<MovedFile> =
            state.iter().filter(|one| !one.is_back).map(|one| one.file.clone()).collect();
        if pending.is_empty() {
            let note = match state.len() {
                0 => "nothing was moved away that could be waited for".to_owned(),
                1 => "the file is there again".to_owned(),
                count => format!("all {count} files are there again"),
            };
            return Verdict::Unchanged { note, value: Value::Null };
        }
        Verdict::Change(Change { pending, within: params.within.map(|span| span.0) })
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        change.pending.iter().map(|file| format!("wait for a new {}", file.from)).collect()
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let patience = Patience::of_step(at);
        let patience = change.within.map_or(patience, |within| patience.at_most(within, at));
        let mut pending = change.pending.clone();
        loop {
            let mut trouble = None;
            let mut missing = Vec::new();
            for file in pending {
                match look(at, &file).await {
                    Ok(true) => {}
                    Ok(false) => missing.push(file),
                    // Another try with a rejected logon could lock the account.
                    Err(error) if error.kind == TransportErrorKind::AuthRejected => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        missing.push(file);
                        trouble = Some(error);
                    }
                }
            }
            pending = missing;
            if pending.is_empty() {
                let count = change.pending.len();
                let note = match count {
                    1 => "the file is there again".to_owned(),
                    count => format!("all {count} files are there again"),
                };
                return Ok(Applied {
                    note,
                    value: json!({ "files": count }),
                    was_so_already: false,
                });
            }
            if !patience.pause(at, POLL).await {
                return Err(still_missing(&pending, change.pending.len(), trouble.as_ref()));
            }
        }
    }

    fn invert(_: &Change) -> Undo {
        Undo::Nothing
    }
}

fn still_missing(
    pending: &[MovedFile],
    all: usize,
    trouble: Option<&TransportError>,
) -> StepFailure {
    let message = format!(
        "{} of {all} files were not there again in time: {}",
        pending.len(),
        named(pending)
    );
    match trouble {
        Some(error) => StepFailure::caused_by(FailureClass::TimedOut, message, error),
        None => StepFailure::new(FailureClass::TimedOut, message),
    }
}

#[cfg(test)]
#[path = "wait_until/tests.rs"]
mod tests;
