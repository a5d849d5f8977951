//! Causes that lie with a package server as a whole: reach, service, trust, credential, rights.

use super::cause::{Answer, Cause, Place};
use super::fleet::{Agent, Fleet, Symptom, is_out_of_reach};
use super::{Certainty, Playbook, Severity, Verdict, words};
use crate::itms::evidence::{AppliedCredential, Contact, Seen, ServiceSeen};
use crate::itms::signature::Signature;

pub(super) fn causes(fleet: &Fleet<'_>) -> Vec<Cause> {
    let usual = usual_credential(fleet);
    let mut causes = Vec::new();
    for server in 0..fleet.servers.len() {
        let credential = credential(fleet, server, usual);
        let is_applied = credential.is_none();
        causes.extend(contact(fleet, server));
        causes.extend(service(fleet, server));
        causes.extend(trust(fleet, server));
        causes.extend(credential);
        causes.extend(rights(fleet, server, is_applied));
    }
    causes
}

/// All pairs of a server.
pub(super) fn all(fleet: &Fleet<'_>, server: usize) -> Vec<usize> {
    fleet.servers[server].pairs.clone()
}

fn contact(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let place = Place::Server(server);
    let lines = [words::contact("WinRM", &seen.winrm), words::contact("SMB", &seen.smb)];
    let failed = |contact: &Contact| matches!(contact, Contact::Failed { .. });
    let instruction = "see that the server runs, that its name resolves, that ports 5985 or 5986 and 445 are \
                       open from here, and that the account may log on; then diagnose again";
    let answer = Answer::Person(instruction.to_owned(), None);
    let cause = Cause::new(Verdict::Unreachable, place, answer).seen_all(lines);
    if is_out_of_reach(seen) {
        Some(cause.reaching(all(fleet, server)))
    } else if failed(&seen.winrm) || failed(&seen.smb) {
        // One way in is left: what it shows is judged, and the rest is not known.
        Some(cause.severity(Severity::Warning).certainty(Certainty::Possible))
    } else if nothing_seen(fleet, server) {
        let answer = Answer::Person("examine the server, then diagnose again".to_owned(), None);
        let cause = Cause::new(Verdict::Unknown, place, answer).severity(Severity::Warning);
        Some(cause.seen("neither the agent's list nor its packages on the disk were seen"))
    } else {
        None
    }
}

fn nothing_seen(fleet: &Fleet<'_>, server: usize) -> bool {
    let seen = fleet.servers[server].seen;
    let is_stopped = matches!(&seen.agent_service, Seen::Known(service) if !runs(service.as_ref()));
    seen.held.known().is_none() && seen.on_disk.known().is_none() && !is_stopped
}

fn runs(service: Option<&ServiceSeen>) -> bool {
    // A state in other words, or between two others, is not taken for a stopped one.
    service.is_some_and(|service| {
        let state = service.state.trim();
        !["stopped", "stop pending", "paused", "pause pending"]
            .iter()
            .any(|word| state.eq_ignore_ascii_case(word))
    })
}

fn service(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let Seen::Known(service) = &fleet.servers[server].seen.agent_service else { return None };
    if runs(service.as_ref()) {
        return None;
    }
    let (line, answer) = match service {
        // A person disabled it, and knows why.
        Some(service) if service.start_mode.trim().eq_ignore_ascii_case("disabled") => (
            told(service),
            Answer::Person(
                "find out who disabled the Symantec Management Agent on the server; if it is to run again, set \
                 its start mode to automatic (`Set-Service AeXNSClient -StartupType Automatic`)"
                    .to_owned(),
                Some(Playbook::StartServices),
            ),
        ),
        Some(service) => (told(service), Answer::Run(vec![Playbook::StartServices])),
        None => (
            "there is no service AeXNSClient".to_owned(),
            Answer::Person(
                "install the Symantec Management Agent (Actions > Agents/Plug-ins > Push Symantec Management \
                 Agent), or take the server out of the inventory"
                    .to_owned(),
                Some(Playbook::UpdateAndResend),
            ),
        ),
    };
    let cause = Cause::new(Verdict::AgentStopped, Place::Server(server), answer).seen(line);
    Some(cause.reaching(all(fleet, server)))
}

fn told(service: &ServiceSeen) -> String {
    format!("service AeXNSClient is {}, start mode {}", service.state, service.start_mode)
}

/// KB 179719: the text of error 1789 in place of versions, in the log, or a secure channel that fails.
fn trust(fleet: &Fleet<'_>, server: usize) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let says_so = |text: Option<&str>| {
        text.is_some_and(|text| {
            text.contains("1789") && version_like(text).is_none()
                || text.to_lowercase().contains("trust relationship")
        })
    };
    let rows = fleet.pairs_of(server).filter(|(_, pair)| {
        pair.rows
            .iter()
            .any(|row| says_so(row.reported_version.as_deref()) || says_so(row.status.as_deref()))
    });
    let (rows, pairs) = (rows.count(), fleet.servers[server].pairs.len());
    let log = fleet.recent(server, Signature::Trust1789);
    let channel = seen.secure_channel.known().copied();
    let certainty = match channel {
        Some(false) => Certainty::Proven,
        _ if rows > 0 => Certainty::Likely,
        // The log alone speaks of the past where the channel holds now.
        None if log.is_some() && fleet.pairs_of(server).any(|(_, pair)| !pair.is_well()) => {
            Certainty::Likely
        }
        Some(true) | None => return None,
    };
    let lines = [
        channel.map(|holds| {
            let word = if holds { "holds" } else { "fails" };
            format!("the machine's secure channel to its domain {word}")
        }),
        (rows > 0).then(|| {
            let pairs = words::count(pairs, "package");
            format!(
                "the rows of {rows} of {pairs} hold the text of error 1789 in place of a version"
            )
        }),
        log.map(words::log),
    ];
    let answer = if channel == Some(true) {
        // It holds again: what is left is to apply the credential anew and to report (KB 179719).
        Answer::Run(vec![Playbook::ResetCredentials])
    } else {
        Answer::Person(
            "on the server, look with `Test-ComputerSecureChannel`; if it says False, repair it with \
             `Test-ComputerSecureChannel -Repair -Credential (Get-Credential)` or join the domain again, and \
             restart the agent; then reset the credentials (KB 179719, procedure 1)"
                .to_owned(),
            Some(Playbook::ResetCredentials),
        )
    };
    let cause = Cause::new(Verdict::Trust1789, Place::Server(server), answer).certainty(certainty);
    Some(cause.seen_all(lines.into_iter().flatten()).reaching(all(fleet, server)))
}

fn version_like(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn applied(fleet: &Fleet<'_>, server: usize) -> Option<AppliedCredential> {
    fleet.servers[server].seen.policy.known()?.credential
}

/// The credential that more than half of the servers apply, if at least three tell.
fn usual_credential(fleet: &Fleet<'_>) -> Option<AppliedCredential> {
    let all: Vec<AppliedCredential> =
        (0..fleet.servers.len()).filter_map(|server| applied(fleet, server)).collect();
    let is_usual = |credential: &AppliedCredential| {
        all.len() >= 3 && all.iter().filter(|other| *other == credential).count() * 2 > all.len()
    };
    all.iter().copied().find(is_usual)
}

/// KB 179719: the credential of the console is not the one that the policy on the server says.
fn credential(fleet: &Fleet<'_>, server: usize, usual: Option<AppliedCredential>) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let applied = applied(fleet, server);
    let configured = fleet.expectations.credential;
    let has_account = seen.store_access.known().is_some();
    let denied = fleet.recent(server, Signature::AccessDeniedEvent);
    let (certainty, line) = match (applied, configured.or(usual)) {
        (Some(applied), Some(expected)) if applied != expected => {
            let whose = if configured.is_some() { "the console has" } else { "most servers have" };
            let certainty =
                if configured.is_some() { Certainty::Proven } else { Certainty::Likely };
            (certainty, format!("its policy says {}, {whose} {}", name(applied), name(expected)))
        }
        (Some(AppliedCredential::Anonymous), None) if has_account => {
            let line = "its policy says anonymous access, and the inventory names an account";
            (Certainty::Likely, line.to_owned())
        }
        // The account has its rights and the agent is still denied: it does not run under it.
        (None, _)
            if denied.is_some()
                && seen.store_access.known().is_some_and(|access| access.has_full_control)
                && fleet.pairs_of(server).any(|(_, pair)| pair.has(Symptom::RowBehind)) =>
        {
            (
                Certainty::Likely,
                "its policy does not tell under which credential it runs".to_owned(),
            )
        }
        (_, _) => return None,
    };
    let outbound = seen.outbound.known().filter(|queue| queue.files > 0);
    let lines = [
        seen.policy
            .known()
            .and_then(|policy| policy.written)
            .map(|written| format!("its policy is of {}", written.strftime("%Y-%m-%d %H:%M UTC"))),
        outbound.map(|queue| {
            let age = queue
                .oldest_seconds
                .map_or(String::new(), |age| format!(", the oldest {} old", words::span(age)));
            let waits = words::either(queue.files as usize, "event waits", "events wait");
            format!("{waits} to be sent{age}")
        }),
        denied.map(words::log),
        fleet.recent(server, Signature::AccessDeniedDirectory).map(words::log),
    ];
    let answer = Answer::Run(vec![Playbook::ResetCredentials]);
    let cause = Cause::new(Verdict::CredentialNotApplied, Place::Server(server), answer);
    let cause = cause.certainty(certainty).seen(line).seen_all(lines.into_iter().flatten());
    Some(cause.reaching(all(fleet, server)))
}

fn name(credential: AppliedCredential) -> &'static str {
    match credential {
        AppliedCredential::Anonymous => "anonymous access",
        AppliedCredential::ApplicationIdentity => "the application identity",
        AppliedCredential::AgentConnectivity => "the Agent Connectivity Credential",
    }
}

/// KB 179719: full control on the package store. A package that is being downloaded lacks it for a
/// while (KB 150861), and where anonymous access is meant to be it means nothing.
fn rights(fleet: &Fleet<'_>, server: usize, is_applied: bool) -> Option<Cause> {
    let seen = fleet.servers[server].seen;
    let configured = fleet.expectations.credential.or_else(|| applied(fleet, server));
    if configured == Some(AppliedCredential::Anonymous) {
        return None;
    }
    let store = seen.store_access.known();
    let log = fleet.recent(server, Signature::AccessDeniedDirectory);
    let lacks_store = store.is_some_and(|access| !access.has_full_control);
    let packages: Vec<(usize, String)> = fleet
        .pairs_of(server)
        .filter(|(_, pair)| {
            let is_settled = matches!(pair.agent, Agent::Ready | Agent::Invalid(_));
            let rights = pair.disk.map(|disk| &disk.has_credential_rights);
            is_settled && rights == Some(&Seen::Known(false))
        })
        .map(|(index, pair)| (index, pair.title()))
        .collect();
    let is_felt = fleet.pairs_of(server).any(|(_, pair)| {
        pair.has(Symptom::Invalid) || pair.has(Symptom::Downloading) || pair.has(Symptom::RowBehind)
    });
    let by_log = log.is_some() && store.is_none() && is_felt && is_applied;
    if !lacks_store && packages.is_empty() && !by_log {
        return None;
    }
    let certainty = if by_log && !lacks_store && packages.is_empty() {
        Certainty::Likely
    } else {
        Certainty::Proven
    };
    let names: Vec<&String> = packages.iter().map(|(_, name)| name).collect();
    let lines = [
        store
            .filter(|_| lacks_store)
            .map(|access| format!("{} has no full control of the package store", access.account)),
        (!packages.is_empty()).then(|| {
            let many = words::count(packages.len(), "package");
            format!("the credential has no full control of {many}: {}", words::list(&names))
        }),
        log.map(words::log),
    ];
    let reach = if lacks_store || by_log {
        all(fleet, server)
    } else {
        packages.iter().map(|(index, _)| *index).collect()
    };
    // The rights alone, before the credential of all servers is reset for their sake.
    let answer = Answer::Run(vec![Playbook::FixStorePermissions, Playbook::ResetCredentials]);
    let cause = Cause::new(Verdict::AclMissing, Place::Server(server), answer);
    let cause = cause.certainty(certainty).seen_all(lines.into_iter().flatten());
    let severity = if is_felt { Severity::Error } else { Severity::Warning };
    Some(cause.severity(severity).reaching(reach))
}
