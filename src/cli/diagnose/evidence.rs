//! From the run of an examination to the evidence of the fleet.

use jiff::Timestamp;

use crate::event::{RunState, StepState};
use crate::itms::evidence::{FleetEvidence, NotificationServerEvidence, Seen, ServerEvidence};
use crate::model::{FailureClass, Host, HostName, Inventory, StepFailure};

/// The name of the action whose values are taken.
const ACTION: &str = "examine";

/// The evidence that a run collected, in inventory order. A server whose step failed is there with
/// its failure; one that was not looked at is not.
pub(super) fn evidence(state: &RunState, inventory: &Inventory, now: Timestamp) -> FleetEvidence {
    let mut notification_servers = Vec::new();
    let mut servers = Vec::new();
    for host in inventory.hosts() {
        for (what, step) in steps(state, &host.name) {
            match what {
                What::NotificationServer => {
                    notification_servers.push(notification_server(&host, step));
                }
                What::PackageServer => servers.push(server(&host, step)),
            }
        }
    }
    let taken = moment(&notification_servers, &servers).unwrap_or(now);
    FleetEvidence { taken, notification_servers, servers }
}

enum What {
    NotificationServer,
    PackageServer,
}

/// The steps of a host that ended, by what they look at: the built-in playbook ends with the play
/// for package servers.
fn steps<'a>(
    state: &'a RunState,
    host: &'a HostName,
) -> impl Iterator<Item = (What, &'a StepState)> {
    let plays = state.header.as_ref().map_or(&[][..], |header| &header.plays);
    let last = plays.len().saturating_sub(1);
    plays.iter().enumerate().filter_map(move |(number, play)| {
        if play.tasks.first()?.action != ACTION {
            return None;
        }
        let number_of = u16::try_from(number).ok()?;
        let of = state.plays.iter().find(|(known, _)| known.0 == number_of)?.1;
        let step = of.hosts.get(host)?.steps.get(&0)?;
        step.outcome?;
        let is_last = number == last;
        Some((if is_last { What::PackageServer } else { What::NotificationServer }, step))
    })
}

fn server(host: &Host, step: &StepState) -> ServerEvidence {
    match read::<ServerEvidence>(step) {
        Ok(seen) => ServerEvidence { host: host.name.clone(), ..seen },
        Err(failure) => ServerEvidence::of_failure(host.name.clone(), host.guid(), &failure),
    }
}

fn notification_server(host: &Host, step: &StepState) -> NotificationServerEvidence {
    match read::<NotificationServerEvidence>(step) {
        Ok(seen) => NotificationServerEvidence { host: host.name.clone(), ..seen },
        Err(failure) => {
            let why = failure.to_string();
            NotificationServerEvidence {
                host: host.name.clone(),
                packages: Seen::Unreadable(why.clone()),
                rows: Seen::Unreadable(why.clone()),
                queue: Seen::Unreadable(why),
                ..NotificationServerEvidence::default()
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(step: &StepState) -> Result<T, StepFailure> {
    if let Some(failure) = &step.failure {
        return Err(failure.clone());
    }
    serde_json::from_value(step.value.clone()).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::Bug,
            "could not read back what the examination saw",
            &error,
        )
    })
}

/// When it was, by the clock of the examined world: a Notification Server's, else a server's.
fn moment(
    notification_servers: &[NotificationServerEvidence],
    servers: &[ServerEvidence],
) -> Option<Timestamp> {
    let queues = notification_servers.iter().filter_map(|server| server.queue.known());
    let by_queue = queues.map(|queue| queue.first.at).max();
    by_queue.or_else(|| servers.iter().filter_map(|server| server.at).max())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itms::evidence::Contact;

    fn host() -> Host {
        Host {
            name: HostName::new("ps-01"),
            groups: std::sync::Arc::from([]),
            vars: std::sync::Arc::default(),
        }
    }

    #[test]
    fn a_server_that_could_not_be_reached_is_evidence_with_a_reason_for_each_transport() {
        let mut failure = StepFailure::new(FailureClass::Unreachable, "could not reach ps-01");
        failure.causes = vec!["WinRM: refused".to_owned(), "SMB: no route".to_owned()];
        let step = StepState { failure: Some(failure), ..StepState::default() };

        let seen = server(&host(), &step);

        let failed =
            |why: &str| Contact::Failed { class: FailureClass::Unreachable, why: why.to_owned() };
        assert_eq!((seen.winrm, seen.smb), (failed("refused"), failed("no route")));
        assert_eq!(seen.held, Seen::NotAsked);
    }

    #[test]
    fn a_value_that_cannot_be_read_back_is_a_failure_and_no_empty_server() {
        let step = StepState { value: serde_json::json!(7), ..StepState::default() };

        assert!(matches!(server(&host(), &step).winrm, Contact::Failed { .. }));
    }
}
