//! `scan_log`: what a log says of why packages are not well, from a mark on or from its end.

use std::num::NonZeroU32;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Fence, FencedFile, Reader, Role, Root};
use crate::itms::agent_log::{Event, LogMark};
use crate::itms::evidence::LogFinding;
use crate::itms::signature::{Signature, fold, signatures};
use crate::model::{Cost, FailureClass, StepFailure};

/// How much of the log's end is read when there is no mark, in MiB.
const LAST_MIB: u32 = 8;

/// The most that is read in one scan, how much at once, and of how many logs.
const MOST_BYTES: u64 = 64 << 20;
const WINDOW: usize = 1 << 20;
const MOST_LOGS: usize = 32;

/// How much of a log's beginning tells it from the one that came after it.
const HEAD: u64 = 512;

/// The most events with a signature that are summed up.
const MOST_EVENTS: usize = 20_000;

/// The action.
pub(super) struct ScanLog;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    role: LogRole,
    #[serde(default)]
    since: Option<Since>,
    #[serde(default)]
    last_mib: Option<NonZeroU32>,
    #[serde(default)]
    signatures: Vec<Named>,
    #[serde(default)]
    refuse: Vec<Named>,
    #[serde(default)]
    only_mark: bool,
}

/// Which log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LogRole {
    #[default]
    AgentLog,
    NsLog,
}

impl LogRole {
    const NAMES: &'static [&'static str] = &["agent_log", "ns_log"];

    fn role(self) -> Role {
        match self {
            Self::AgentLog => Role::AgentLog,
            Self::NsLog => Role::NsLog,
        }
    }

    /// The name of the log that is written to (KB 179719, 171848).
    fn file(self) -> &'static str {
        match self {
            Self::AgentLog => "agent.log",
            Self::NsLog => "a.log",
        }
    }

    /// Whether a name is that of an older log: `agent.log.1`, `agent1.log`, `agent_2.log.bak`.
    fn is_older(self, name: &str) -> bool {
        let name = name.to_lowercase();
        let stem = self.file().trim_end_matches(".log");
        name != self.file()
            && name.contains(".log")
            && name
                .strip_prefix(stem)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphabetic()))
    }
}

/// A signature by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Named(Signature);

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Signature::of(&name).map(Self).ok_or_else(|| {
            let known: Vec<&str> = Signature::ALL.into_iter().map(Signature::name).collect();
            format!("there is no signature `{name}`: they are {}", known.join(", "))
        })
    }
}

/// Where an earlier scan came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The log's name.
    log: String,
    /// How many bytes of it were read.
    offset: u64,
    /// The SHA-256 of its first bytes, and how many these are: a log that is started anew has the
    /// name of the one before it.
    head: String,
    head_bytes: usize,
}

/// A mark, or what `scan_log` registered with a mark in it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Since {
    Mark(Mark),
    Registered { mark: Mark },
}

impl Since {
    fn mark(&self) -> &Mark {
        match self {
            Self::Mark(mark) | Self::Registered { mark } => mark,
        }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct State {
    findings: Vec<LogFinding>,
    events: usize,
    bytes: u64,
    /// How many older logs were read as well.
    older_logs: usize,
    /// Why not all was read that should have been.
    gap: Option<String>,
    mark: Mark,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for ScanLog {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "scan_log";
    const SUMMARY: &'static str = "Looks for the signatures of known troubles in the agent's or the Notification Server's log.";
    const DOC: &'static str = "\
Reads agent.log, or the Notification Server's a.log, and sums up the events that show a known
trouble: `server_busy`, `trust_1789`, `access_denied_directory`, `snapshot_locked`, … A name
that does not exist is refused with the list of all.

With `since` it reads what was written after an earlier scan, whose registered value it is
given; a log that was started anew meanwhile is followed through its older names
(`agent.log.1`). Without, it reads the last `last_mib` MiB. At most 64 MiB are read. With
`only_mark` nothing is read and only the mark is registered, for a later task.

With `refuse` the step fails when one of these signatures is found, and also when a part of
the log since the mark is gone: then nobody can say that it was clean.

Registers `findings` (signature, count, date of the last one, packages, text), `events`,
`complete`, `gap` and `mark`.

Rights: reading the folder of the log over SMB; WinRM to find it. Undo: nothing.
";
    const EXAMPLE: &'static str = "\
- name: See that the agent reports no denied access any more
  scan_log: { role: agent_log, last_mib: 1, refuse: [trust_1789, access_denied_event] }
  register: scanned
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(LogRole::NAMES),
            required: false,
            doc: "Which log; `agent_log` when not given.",
        },
        ParamDoc {
            name: "since",
            kind: ParamKind::Text,
            required: false,
            doc: "What an earlier `scan_log` registered, as in `'{{ before }}'`: read on from there.",
        },
        ParamDoc {
            name: "last_mib",
            kind: ParamKind::Count,
            required: false,
            doc: "How much of the end is read without `since`, in MiB; default 8, at most 64.",
        },
        ParamDoc {
            name: "signatures",
            kind: ParamKind::Texts,
            required: false,
            doc: "The signatures that are looked for; all when not given.",
        },
        ParamDoc {
            name: "refuse",
            kind: ParamKind::Texts,
            required: false,
            doc: "The signatures with which the step fails.",
        },
        ParamDoc {
            name: "only_mark",
            kind: ParamKind::Bool,
            required: false,
            doc: "Whether only the end of the log is marked, for a later task.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let root = at.root(params.role.role()).await?;
        let fence = at.fence();
        let log = Log::open(&fence, &root, params.role.file()).await?.ok_or_else(|| {
            StepFailure::new(
                FailureClass::Refused,
                format!("could not scan {}: it is not there", params.role.file()),
            )
        })?;
        let head = at.files().read_from(log.file.path(), 0, HEAD).await?;
        let (pieces, mut gap) = if params.only_mark {
            (Vec::new(), None)
        } else if let Some(since) = &params.since {
            since_mark(at, &fence, &root, params.role, log.clone(), &head, since.mark()).await?
        } else {
            let last = u64::from(params.last_mib.map_or(LAST_MIB, NonZeroU32::get)) << 20;
            let from = log.size.saturating_sub(last.min(MOST_BYTES));
            (vec![Piece { log: log.clone(), from }], None)
        };
        let older_logs = pieces.len().saturating_sub(1);
        let mut scan = Scan { wanted: wanted(params), ..Scan::default() };
        let mut end = log.size;
        for piece in pieces {
            end = scan.read(at, &piece).await?;
        }
        if scan.is_cut {
            gap = gap.or_else(|| {
                Some(format!("more than {} MiB or {MOST_EVENTS} troubles", MOST_BYTES >> 20))
            });
        }
        let mut findings = fold(&scan.events);
        if let Some(wanted) = &scan.wanted {
            findings.retain(|finding| wanted.iter().any(|it| it.name() == finding.signature));
        }
        Ok(State {
            findings,
            events: scan.count,
            bytes: scan.bytes,
            older_logs,
            gap,
            mark: Mark {
                log: params.role.file().to_owned(),
                offset: end,
                head: hash(&head),
                head_bytes: head.len(),
            },
        })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let log = params.role.file();
        let found: Vec<String> = state
            .findings
            .iter()
            .map(|finding| format!("{} {}", finding.signature, times(finding.count)))
            .collect();
        let refused = state
            .findings
            .iter()
            .find(|finding| params.refuse.iter().any(|named| named.0.name() == finding.signature));
        if let Some(finding) = refused {
            return Verdict::Refuse(StepFailure::new(
                FailureClass::RemoteFault,
                format!(
                    "{log} shows {} {}, the last on {}: {}",
                    finding.signature,
                    times(finding.count),
                    finding.last,
                    finding.text
                ),
            ));
        }
        if let (Some(gap), false) = (&state.gap, params.refuse.is_empty()) {
            return Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!("could not see all of {log} since the mark: {gap}"),
            ));
        }
        let mut note = if params.only_mark {
            format!("{log} is marked")
        } else if found.is_empty() {
            format!("nothing in {}", events(state.events))
        } else {
            format!("{} in {}", found.join(", "), events(state.events))
        };
        if let Some(gap) = &state.gap {
            note.push_str(&format!("; not all was seen: {gap}"));
        }
        let value = json!({
            "findings": state.findings,
            "events": state.events,
            "bytes": state.bytes,
            "older_logs": state.older_logs,
            "complete": state.gap.is_none(),
            "gap": state.gap,
            "mark": state.mark,
        });
        Verdict::Unchanged { note, value }
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

/// The signatures that are looked for: those asked for, and those with which the step fails.
fn wanted(params: &Params) -> Option<Vec<Signature>> {
    let named = params.signatures.iter().chain(&params.refuse);
    (!params.signatures.is_empty()).then(|| named.map(|named| named.0).collect())
}

fn events(count: usize) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A log that is there.
#[derive(Debug, Clone)]
struct Log {
    file: FencedFile,
    size: u64,
    modified: u64,
}

impl Log {
    async fn open(fence: &Fence<'_>, root: &Root, name: &str) -> Result<Option<Self>, StepFailure> {
        let file = fence.to_read(root, name).await?;
        let found = file.metadata().map(|metadata| (metadata.size, metadata.modified));
        Ok(found.map(|(size, modified)| Self { file, size, modified }))
    }
}

/// A log and where to read on in it.
#[derive(Debug)]
struct Piece {
    log: Log,
    from: u64,
}

/// What was written since a mark, oldest first, and why that may not be all.
async fn since_mark(
    at: &Reader<'_>,
    fence: &Fence<'_>,
    root: &Root,
    role: LogRole,
    log: Log,
    head: &[u8],
    mark: &Mark,
) -> Result<(Vec<Piece>, Option<String>), StepFailure> {
    let is_marked = |size: u64, head: &[u8]| {
        size >= mark.offset
            && head.get(..mark.head_bytes).is_some_and(|head| hash(head) == mark.head)
    };
    if mark.log != role.file() {
        return Err(StepFailure::new(
            FailureClass::Refused,
            format!("could not read on in {}: the mark is one of {}", role.file(), mark.log),
        ));
    }
    if is_marked(log.size, head) {
        return Ok((vec![Piece { log, from: mark.offset }], None));
    }
    let mut older = Vec::new();
    let entries = at.files().list(&root.path).await?;
    for entry in entries.iter().filter(|entry| role.is_older(&entry.name)) {
        older.extend(Log::open(fence, root, &entry.name).await?);
    }
    older.sort_by_key(|log| log.modified);
    let first = older.len().saturating_sub(MOST_LOGS);
    let mut pieces: Vec<Piece> = Vec::new();
    for older in older.drain(first..) {
        let head = at.files().read_from(older.file.path(), 0, HEAD).await?;
        if is_marked(older.size, &head) {
            pieces = vec![Piece { log: older, from: mark.offset }];
        } else if !pieces.is_empty() {
            pieces.push(Piece { log: older, from: 0 });
        }
    }
    let gap = pieces
        .is_empty()
        .then(|| "the log was started anew and the older one is not there".to_owned());
    pieces.push(Piece { log, from: 0 });
    Ok((pieces, gap))
}

/// The events that were read so far.
#[derive(Default)]
struct Scan {
    wanted: Option<Vec<Signature>>,
    /// Those with a wanted signature, and the last one, whose date is the end of the log.
    events: Vec<Event>,
    last_is_aside: bool,
    count: usize,
    bytes: u64,
    is_cut: bool,
}

impl Scan {
    /// Reads a piece; returns where the last whole event of it ends.
    async fn read(&mut self, at: &Reader<'_>, piece: &Piece) -> Result<u64, StepFailure> {
        let mut mark = LogMark::at_end(piece.from);
        loop {
            let offset = mark.offset(u64::MAX);
            if self.bytes >= MOST_BYTES {
                self.is_cut |= offset < piece.log.size;
                return Ok(offset);
            }
            let bytes = at.files().read_from(piece.log.file.path(), offset, WINDOW as u64).await?;
            self.bytes += bytes.len() as u64;
            for event in mark.take(offset, &bytes, WINDOW) {
                self.add(event);
            }
            if bytes.len() < WINDOW {
                return Ok(mark.offset(u64::MAX));
            }
        }
    }

    fn add(&mut self, event: Event) {
        self.count += 1;
        let shown = signatures(&event);
        let is_wanted = match &self.wanted {
            None => !shown.is_empty(),
            Some(wanted) => shown.iter().any(|signature| wanted.contains(signature)),
        };
        if self.last_is_aside {
            self.events.pop();
        }
        self.last_is_aside = !is_wanted || self.events.len() >= MOST_EVENTS;
        self.is_cut |= is_wanted && self.last_is_aside;
        // An event that is only there for its date says nothing.
        let kept =
            if self.last_is_aside { Event { date: event.date, ..Event::default() } } else { event };
        self.events.push(kept);
    }
}

#[cfg(test)]
#[path = "scan_log/tests.rs"]
mod tests;
