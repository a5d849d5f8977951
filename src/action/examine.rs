//! `examine`: looks at everything on a host from which a diagnosis is made, and changes nothing.

mod answers;
mod cmdb;
mod content;
mod disk;
mod log;
mod notification_server;
mod packages;
mod part;
mod rights;
mod server;
mod shell;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::itms::evidence::{Contact, NotificationServerEvidence, Seen, ServerEvidence};
use crate::model::{Cost, Draw, FailureClass, LimitName, StepFailure};

/// The action.
pub(super) struct Examine;

/// How many statements an examination of a Notification Server sends to the CMDB.
const STATEMENTS: u32 = 6;
/// How many mebibytes of content are read on a package server to compare hashes.
const HASH_MIB: u64 = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    what: What,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    hash_up_to: Option<u64>,
}

/// What the host is taken for: one machine may be both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    PackageServer,
    Services,
    NotificationServer,
}

/// What was seen.
pub(super) enum State {
    Server(Box<ServerEvidence>),
    NotificationServer(Box<NotificationServerEvidence>),
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for Examine {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "examine";
    const SUMMARY: &'static str = "Looks at all from which a diagnosis is made; changes nothing.";
    const DOC: &'static str = "\
Keeps what it saw as the step's value; `fleetmend diagnose` makes its verdicts of that.
What could not be read is kept as unreadable, with the reason, and never taken for an
absence; so is what no time was left for. Only a rejected logon, and a host that answers on
no transport, end the step badly.

- `package_server`: over WinRM the agent's service, its list of packages with their
  states, IIS with its application pools, shares, disks, the machine's trust, and
  scheduled tasks whose action names a folder of packages. Over SMB the agent's policy,
  UrgentList.xml, the end of agent.log (2 MiB) with its known signatures, the events that
  wait to be sent, the rights of the configured account, and for at most 512 packages the
  snapshot, the status file, and the files against the snapshot. Files whose hash the
  snapshot lists are read and compared, at most `hash_up_to` MiB of them. The snapshot of
  a package that is not well is opened as if for deletion and closed at once, to see
  whether another program holds it; it is not deleted. While the agent's service is
  stopped its list is not asked for: asking would start the service.
- `services`: of a package server what WinRM tells alone, and no file: for playbooks that
  start what has stopped.
- `notification_server`: the rows of all pairs, the packages with version and origin, the
  versions of agents and the event queue, twice with 30 s between; the snapshots of the
  packages, the end of its log, and the service that dispatches events. Nothing tells
  whether another server that packages come from is a parent: name those in the
  variable `parent_servers`, and write `parent_servers: []` if there is none. Without
  the variable it is not known, and a person is asked.

A server that answers over WinRM alone, or over SMB alone, is examined as far as that
goes; over SMB alone the product is looked for in its usual places.

Rights: administrator on the host; reading the CMDB. Costs nothing at the Notification
Server's IIS, and six statements at the CMDB for a Notification Server. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Look at the package server
  examine: package_server
  register: seen";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "what",
            kind: ParamKind::OneOf(&["package_server", "services", "notification_server"]),
            required: true,
            doc: "What the host is taken for.",
        },
        ParamDoc {
            name: "account",
            kind: ParamKind::Text,
            required: false,
            doc: "The account whose rights on the packages are looked at; else the host's \
                  variable `acc_account`.",
        },
        ParamDoc {
            name: "hash_up_to",
            kind: ParamKind::Count,
            required: false,
            doc: "How many MiB of content are read to compare hashes; 64 when it is not given.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("what");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 1200;

    fn probe_cost(params: &Params) -> Cost {
        match params.what {
            What::PackageServer | What::Services => Cost::none(),
            What::NotificationServer => Cost::none()
                .and(LimitName::new(LimitName::CMDB), Draw { now: STATEMENTS, later: 0 }),
        }
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        // What was seen before the step's time is up must not be lost with it.
        let at = at.at_most(at.scale().to_world(at.deadline().left() * 9 / 10));
        match params.what {
            What::PackageServer => {
                let account = params.account.as_deref().or_else(|| at.host().text("acc_account"));
                let account = account.map(str::trim).filter(|account| !account.is_empty());
                let budget = params.hash_up_to.unwrap_or(HASH_MIB).saturating_mul(1 << 20);
                let seen = server::examine(account, budget, &at).await?;
                Ok(State::Server(Box::new(seen)))
            }
            What::Services => Ok(State::Server(Box::new(server::examine_services(&at).await?))),
            What::NotificationServer => {
                let seen = notification_server::examine(&at).await?;
                Ok(State::NotificationServer(Box::new(seen)))
            }
        }
    }

    fn decide(_: &Params, state: &State) -> Verdict<Change> {
        let (note, value) = match state {
            State::Server(seen) => (server_note(seen), serde_json::to_value(seen)),
            State::NotificationServer(seen) => {
                (notification_server_note(seen), serde_json::to_value(seen))
            }
        };
        match value {
            Ok(value) => Verdict::Unchanged { note, value },
            Err(error) => Verdict::Refuse(StepFailure::from_error(FailureClass::Bug, &error)),
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

fn server_note(seen: &ServerEvidence) -> String {
    let held = seen.held.known().map(|held| format!("{} packages in the agent's list", held.len()));
    let there = seen.on_disk.known().map(|there| format!("{} on the disk", there.len()));
    let mut parts: Vec<String> = held.into_iter().chain(there).collect();
    for (what, contact) in [("WinRM", &seen.winrm), ("SMB", &seen.smb)] {
        if matches!(contact, Contact::Failed { .. }) {
            parts.push(format!("{what} did not answer"));
        }
    }
    if parts.is_empty() { "nothing could be read".to_owned() } else { parts.join(", ") }
}

fn notification_server_note(seen: &NotificationServerEvidence) -> String {
    match (&seen.rows, &seen.packages) {
        (Seen::Known(rows), Seen::Known(packages)) => {
            format!("{} rows of {} packages", rows.len(), packages.len())
        }
        _ => "the CMDB could not be read".to_owned(),
    }
}

#[cfg(test)]
#[path = "examine/tests.rs"]
mod tests;
