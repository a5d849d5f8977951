//! `agent`: asks the Symantec Management Agent for something and waits until it is seen done.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agent_download::{on_their_way, wait_for_downloads};
use super::agent_effect::{AgentPlaces, Effect, ask_and_see, not_a_package_server};
use super::agent_packages::{PackageList, packages_lacking};
use super::agent_places::find_places;
use super::moved::packages_moved;
use super::scripts::{
    AGENT_REFRESH_PACKAGES, AGENT_RESEND_PACKAGE_STATUS, AGENT_SEND_INVENTORY,
    AGENT_UPDATE_CONFIGURATION,
};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, Guid, StepFailure};

/// The action.
pub(super) struct Agent;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    command: Command,
}

/// What the agent is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    UpdateConfiguration,
    ResendPackageStatus,
    RefreshPackages,
    SendInventory,
    ListPackages,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// There is no agent.
    NoAgent,
    /// The agent has nothing by which the effect could be seen.
    Blind,
    /// How many packages lost their snapshot to this run on the host, and how many others the agent
    /// lacks.
    Configuration { packages_moved: u32, packages_lacking: u32 },
    /// There is an agent that could send its inventory.
    Inventory,
    /// The agent's list, and the packages of the host's work.
    Packages { list: PackageList, work: Vec<Guid> },
}

/// What will be asked for. It says nothing of how far log and policy file have come: they go on by
/// themselves, so that is looked at when the change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Change {
    /// Fetch the policies now.
    UpdateConfiguration {
        /// How many packages the agent will download again because their snapshot is gone.
        packages_moved: u32,
        /// How many other packages it will ask for again because it does not have them. Journals of
        /// before this was counted have none.
        #[serde(default)]
        packages_lacking: u32,
    },
    /// Send the status of all packages.
    ResendPackageStatus {
        /// How many pairs of server and package are not well; the status of each is a request.
        pairs: u32,
        /// The packages that must be downloaded before, as far as time permits.
        packages: Vec<Guid>,
    },
    /// Check all packages against the Notification Server.
    RefreshPackages {
        /// How many packages the agent has.
        packages: u32,
    },
    /// Send the basic inventory.
    SendInventory {},
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn plural(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What a fetched configuration sets off, for plans and check mode.
fn configuration(moved: u32, lacking: u32) -> String {
    let asks = "ask the agent for its configuration";
    match (moved, lacking) {
        (0, 0) => asks.to_owned(),
        (moved, 0) => format!("{asks}; it will download {} again", plural(moved, "package")),
        (0, lacking) => {
            format!("{asks}; it will ask for {} that it lacks", plural(lacking, "package"))
        }
        (moved, lacking) => format!(
            "{asks}; it will download {} again and ask for {} that it lacks",
            plural(moved, "package"),
            if lacking == 1 { "1 other".to_owned() } else { format!("{lacking} others") },
        ),
    }
}

#[async_trait]
impl Action for Agent {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "agent";
    const SUMMARY: &'static str =
        "Asks the Symantec Management Agent for something and waits until it is seen done.";
    const DOC: &'static str = "\
Calls the agent on the host and then looks for the effect; that the call returned proves
nothing.

- `update_configuration`: fetches the policies now. Done when the policy file is newer
  than before the call, or agent.log says so. The agent then asks for every package that
  it does not have, whatever the play is about: two requests each, later. Counted are those
  whose snapshot this run moved away and those that the agent's own list has as neither
  Ready nor Deleted; of the host's work also those that it has in another version than the
  current one. A list that the agent does not give is made up for by the host's work.
- `resend_package_status`: sends the status of all packages to the Notification Server.
  First waits, for at most half of the step's time, until the packages of the host's work
  are downloaded and their snapshots are back: a status sent too early reports the old
  state. It stops waiting when the agent put off all that is missing (Retrying Download)
  and nothing happened for three minutes. Meanwhile it holds nothing of the limits. Done
  when agent.log says so. Costs a request for each pair of the work.
- `refresh_packages`: checks all packages against the Notification Server; two requests
  for each. Done when the package server writes of it to agent.log.
- `send_inventory`: sends the basic inventory, changed or not: version and addresses of the
  agent, by which its Notification Server knows it. One request. Done when agent.log says so.
- `list_packages`: only reads; the list is the step's value.

All but the list are refused on a host that is no package server: client computers are
left alone. When
nothing is seen in time the outcome is unknown, never a guess.

Rights: administrator on the host; the agent's COM interface may be closed to others.
Undo: nothing; the calls leave nothing behind. They do no harm when repeated after a
crash.";
    const EXAMPLE: &'static str = "\
- name: Ask the agent for its configuration
  agent: update_configuration";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "command",
        kind: ParamKind::OneOf(&[
            "update_configuration",
            "resend_package_status",
            "refresh_packages",
            "send_inventory",
            "list_packages",
        ]),
        required: true,
        doc: "What the agent is asked for.",
    }];
    const SCALAR: Option<&'static str> = Some("command");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 900;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let Some(places) = find_places(at).await? else { return Ok(State::NoAgent) };
        if params.command != Command::ListPackages {
            at.expect_package_server().await?;
        }
        let can_show = match params.command {
            Command::UpdateConfiguration => places.can_show(Effect::Configuration),
            Command::ResendPackageStatus => places.can_show(Effect::StatusSent),
            Command::RefreshPackages => places.can_show(Effect::Refreshed),
            Command::SendInventory => places.can_show(Effect::InventorySent),
            Command::ListPackages => true,
        };
        if !can_show {
            return Ok(State::Blind);
        }
        if params.command == Command::UpdateConfiguration {
            let moved = packages_moved(at.prior(), "ps_delivery");
            let lacking = packages_lacking(at).await?;
            let others = lacking.iter().filter(|package| !moved.contains(*package)).count();
            return Ok(State::Configuration {
                packages_moved: count(moved.len()),
                packages_lacking: count(others),
            });
        }
        if params.command == Command::SendInventory {
            return Ok(State::Inventory);
        }
        let list = PackageList::read(at).await?;
        let work = at.work().iter().map(|row| row.package).collect();
        Ok(State::Packages { list, work })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let refuse = |text| Verdict::Refuse(StepFailure::new(FailureClass::Refused, text));
        let (list, work) = match state {
            State::NoAgent => return refuse("the Symantec Management Agent is not installed"),
            State::Blind => {
                return refuse("the agent's log was not found: nothing would show the effect");
            }
            State::Configuration { packages_moved, packages_lacking } => {
                return Verdict::Change(Change::UpdateConfiguration {
                    packages_moved: *packages_moved,
                    packages_lacking: *packages_lacking,
                });
            }
            State::Inventory => return Verdict::Change(Change::SendInventory {}),
            State::Packages { list, .. } if !list.package_server => {
                return Verdict::Refuse(not_a_package_server());
            }
            State::Packages { list, work } => (list, work),
        };
        match params.command {
            Command::ListPackages => {
                Verdict::Unchanged { note: list.summary(), value: list.value() }
            }
            Command::RefreshPackages => {
                Verdict::Change(Change::RefreshPackages { packages: count(list.packages.len()) })
            }
            Command::ResendPackageStatus => Verdict::Change(Change::ResendPackageStatus {
                pairs: count(work.len()).max(1),
                packages: work.clone(),
            }),
            Command::UpdateConfiguration => Verdict::Change(Change::UpdateConfiguration {
                packages_moved: 0,
                packages_lacking: 0,
            }),
            Command::SendInventory => Verdict::Change(Change::SendInventory {}),
        }
    }

    fn cost(change: &Change) -> Cost {
        match change {
            Change::UpdateConfiguration { packages_moved, packages_lacking } => {
                Cost::ns_iis(1, packages_moved.saturating_add(*packages_lacking).saturating_mul(2))
            }
            Change::ResendPackageStatus { pairs, .. } => Cost::ns_iis(*pairs, 0),
            Change::SendInventory {} => Cost::ns_iis(1, 0),
            Change::RefreshPackages { packages } => Cost::ns_iis(0, packages.saturating_mul(2)),
        }
    }

    fn describe(change: &Change) -> Vec<String> {
        match change {
            Change::UpdateConfiguration { packages_moved, packages_lacking } => {
                vec![configuration(*packages_moved, *packages_lacking)]
            }
            Change::ResendPackageStatus { pairs, .. } => vec![format!(
                "send the package status again: {} not well",
                plural(*pairs, "package")
            )],
            Change::SendInventory {} => vec!["send the basic inventory".to_owned()],
            Change::RefreshPackages { packages } => vec![format!(
                "check {} against the Notification Server",
                plural(*packages, "package")
            )],
        }
    }

    async fn wait_before(change: &Change, at: &Reader<'_>) -> Result<(), StepFailure> {
        match change {
            Change::ResendPackageStatus { packages, .. } => wait_for_downloads(at, packages).await,
            Change::UpdateConfiguration { .. }
            | Change::RefreshPackages { .. }
            | Change::SendInventory {} => Ok(()),
        }
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let places = find_places(at).await?.ok_or_else(|| {
            StepFailure::new(
                FailureClass::Refused,
                "the Symantec Management Agent is not installed any more",
            )
        })?;
        apply_with(change, places, at).await
    }

    fn invert(_: &Change) -> Undo {
        Undo::Nothing
    }
}

/// Makes the change where the agent's files are known.
async fn apply_with(
    change: &Change,
    places: AgentPlaces,
    at: &Changer<'_>,
) -> Result<Applied, StepFailure> {
    let (script, effect, done) = match change {
        Change::UpdateConfiguration { .. } => {
            (&AGENT_UPDATE_CONFIGURATION, Effect::Configuration, "configuration fetched")
        }
        Change::ResendPackageStatus { .. } => {
            (&AGENT_RESEND_PACKAGE_STATUS, Effect::StatusSent, "package status sent")
        }
        Change::RefreshPackages { .. } => {
            (&AGENT_REFRESH_PACKAGES, Effect::Refreshed, "packages refreshed")
        }
        Change::SendInventory {} => {
            (&AGENT_SEND_INVENTORY, Effect::InventorySent, "basic inventory sent")
        }
    };
    let waiting = match change {
        Change::ResendPackageStatus { packages, .. } => on_their_way(at, packages).await?,
        Change::UpdateConfiguration { .. }
        | Change::RefreshPackages { .. }
        | Change::SendInventory {} => Vec::new(),
    };
    let seen = ask_and_see(at, script, places, effect).await?;
    Ok(applied(done, &seen, &waiting))
}

/// What was achieved, with the packages that were still on their way when the status was sent.
fn applied(done: &str, seen: &str, waiting: &[Guid]) -> Applied {
    let note = match waiting.len() {
        0 => format!("{done} ({seen})"),
        still => {
            let were = if still == 1 { "was still on its way" } else { "were still on their way" };
            format!("{done} ({seen}), although {} {were}", plural(count(still), "package"))
        }
    };
    let value: Value = json!({ "seen": seen, "still_on_their_way": waiting });
    Applied { note, value, was_so_already: false }
}

#[cfg(test)]
#[path = "agent/tests.rs"]
mod tests;
