//! From each cause to a fleet that is well: it is named and nothing else is, what is proposed repairs
//! it, or a person does what is said to be his, and `undo` brings back what the playbook changed, and
//! the cause with it.

use std::sync::Arc;

use fleetmend::event::{RunResult, RunState};
use fleetmend::itms::evidence::FleetEvidence;
use fleetmend::itms::triage::{Diagnosis, Finding, Playbook, Proposal, Scope, Verdict, triage};
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::world::{self, FaultKind};
use fleetmend::model::{Outcome, TimeScale};
use serde_json::json;

use crate::direct::other_origins;
use crate::named::expectations;
use crate::picture::Picture;
use crate::remains::{self, Touched};
use crate::run::{self, Asked, AtTheConsole};
use crate::scenario::Scenario;
use crate::world::Examined;

/// A cause, and on which servers and packages it is.
pub(crate) struct Cycle {
    pub(crate) verdict: Verdict,
    pub(crate) fault: &'static str,
    pub(crate) servers: &'static [usize],
    pub(crate) packages: &'static [usize],
}

macro_rules! cycles {
    ($($test:ident: $verdict:ident = $fault:literal at $servers:expr, $packages:expr;)*) => {
        const NAMED: &[Verdict] = &[$(Verdict::$verdict),*];

        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                let (servers, packages): (&[usize], &[usize]) = (&$servers, &$packages);
                go_round(&Cycle { verdict: Verdict::$verdict, fault: $fault, servers, packages }).await;
            }
        )*
    };
}

cycles! {
    notification_server_stale: NotificationServerStale = "notification-server-stale" at [2], [4];
    package_server_stale: PackageServerStale = "package-server-stale" at [2], [4];
    drifted_but_ready: DriftedButReady = "drifted-but-ready" at [2], [4];
    still_downloading: StillDownloading = "still-downloading" at [2], [4];
    server_busy: ServerBusy = "server-busy" at [2], [];
    event_queue_volume: EventQueueVolume = "event-queue-volume" at [], [];
    event_queue_stall: EventQueueStall = "event-queue-stall" at [], [];
    credential_not_applied: CredentialNotApplied = "credential-not-applied" at [2], [];
    acl_missing: AclMissing = "acl-missing" at [2], [];
    trust_1789: Trust1789 = "trust-1789" at [2], [];
    urgent_list: UrgentList = "urgent-list" at [2], [];
    secure_storage: SecureStorage = "secure-storage" at [2], [];
    foreign_origin: ForeignOrigin = "foreign-origin" at [], [4];
    parent_owns_it: ParentOwnsIt = "parent-owns-it" at [], [4];
    source_path_broken: SourcePathBroken = "source-path-broken" at [], [4];
    snapshot_missing: SnapshotMissing = "snapshot-missing" at [], [4];
    version_mismatch: VersionMismatch = "version-mismatch" at [2], [];
    site_unassigned: SiteUnassigned = "site-unassigned" at [2], [];
    alternate_location_conflict: AlternateLocationConflict = "alternate-location-conflict" at [2], [3, 4];
    share_missing: ShareMissing = "share-missing" at [2], [];
    snapshot_locked: SnapshotLocked = "snapshot-locked" at [2], [4];
    disk_full: DiskFull = "disk-full" at [2], [];
    path_too_long: PathTooLong = "path-too-long" at [2], [4];
    agent_stopped: AgentStopped = "agent-stopped" at [2], [];
    app_pool_stopped: AppPoolStopped = "app-pool-stopped" at [2], [];
    orphan_folder: OrphanFolder = "orphan-folder" at [2], [];
    hash_damaged: HashDamaged = "hash-damaged" at [2], [4];
    external_deletion_loop: ExternalDeletionLoop = "external-deletion-loop" at [2], [4];
    refresh_churn: RefreshChurn = "refresh-churn" at [], [4];
    duplicate_rows: DuplicateRows = "duplicate-rows" at [2], [3];
    orphan: Orphan = "orphan" at [], [4];
    iis_missing: IisMissing = "iis-missing" at [2], [];
    unreachable: Unreachable = "unreachable" at [2], [];
    unknown: Unknown = "deleted" at [2], [4];
}

#[test]
fn every_verdict_has_its_cycle() {
    let mut named = NAMED.to_vec();
    named.sort_unstable();
    let mut all = Verdict::ALL.to_vec();
    all.sort_unstable();

    assert_eq!(named, all);
}

/// How fast these worlds run: fewer ticks of the driver for an hour of waiting.
pub(crate) fn speed() -> TimeScale {
    TimeScale::new(60.0).expect("a speed")
}

async fn go_round(cycle: &Cycle) {
    let scenario = Scenario::of(cycle.fault, cycle.servers, cycle.packages);
    let examined = Examined::running(scenario.world(5), speed());
    examined.wait(30).await;
    let mut looks = vec![examined.examine().await];
    if matches!(cycle.verdict, Verdict::ExternalDeletionLoop | Verdict::RefreshChurn) {
        for _ in 0..7 {
            examined.wait(7).await;
            looks.push(examined.examine().await);
        }
    }
    let now = looks.pop().expect("a look");

    let diagnosis = diagnose(&now, &looks);

    assert_eq!(names(&diagnosis), [cycle.verdict.name()], "{:#?}", diagnosis.findings);
    let finding = &diagnosis.findings[0];
    match &finding.proposal {
        Proposal::Playbook { playbook, .. } => {
            repair(cycle, &examined, finding, *playbook).await;
        }
        Proposal::Person { instruction, afterwards } => {
            assert!(instruction.len() > 40, "a person is told what to do: {instruction}");
            assert_eq!(afterwards.is_some(), is_listed(cycle.verdict), "{instruction}");
            if cycle.verdict == Verdict::Unknown {
                return is_left_alone(&examined).await;
            }
            mend(&examined, cycle);
            let before = Picture::of(examined.world());
            let run = match afterwards {
                Some(playbook) => Some((*playbook, run_for(&examined, finding, *playbook).await)),
                None => None,
            };
            if matches!(cycle.verdict, Verdict::Unreachable | Verdict::ParentOwnsIt) {
                what_was_hidden_is_repaired(&examined).await;
            }
            is_well(&examined, cycle, "after what a person did").await;
            if let Some((playbook, state)) = run {
                take_back(cycle, &examined, playbook, &state, &before).await;
            }
        }
        Proposal::Wait { reason } => {
            assert!(!reason.is_empty());
            assert!(!is_listed(cycle.verdict), "nothing is run, and nothing taken back");
            if cycle.verdict == Verdict::Unknown {
                return is_left_alone(&examined).await;
            }
            examined.wait(7 * 60).await;
            is_well(&examined, cycle, "after some hours").await;
        }
    }
}

/// Whether docs/verdicts.md says what undo leaves of a verdict.
fn is_listed(verdict: Verdict) -> bool {
    remains::afterwards().iter().any(|row| row.verdict == verdict)
}

/// Runs what is proposed; the fleet is well, and `undo` brings back what was there before.
pub(crate) async fn repair(
    cycle: &Cycle,
    examined: &Examined,
    finding: &Finding,
    playbook: Playbook,
) {
    let before = Picture::of(examined.world());

    let state = run_for(examined, finding, playbook).await;

    if only_tells(playbook) {
        // What is collected is written beside the journal.
        let is_change = |action: &str| action != "collect_files";
        let mut changes = state.steps().flat_map(|(_, step)| &step.changes);
        assert!(changes.all(|(change, _)| !is_change(&change.action)), "{playbook} only reads");
        mend(examined, cycle);
        examined.wait(60).await;
        is_well(examined, cycle, "after what a person did").await;
        return take_back(cycle, examined, playbook, &state, &before).await;
    }
    assert_eq!(state.result, Some(RunResult::Done), "{playbook}: {}", told(&state));
    is_well(examined, cycle, &format!("after {playbook}: {}", told(&state))).await;
    take_back(cycle, examined, playbook, &state, &before).await;
}

/// `undo` brings back all that the run changed, as it was to the last byte, and the diagnosis says then
/// what docs/verdicts.md says; what it names is repaired by what it proposes.
pub(crate) async fn take_back(
    cycle: &Cycle,
    examined: &Examined,
    playbook: Playbook,
    state: &RunState,
    before: &Picture,
) {
    let page = remains::afterwards();
    let is_it = |row: &&remains::Afterwards| {
        row.verdict == cycle.verdict && row.playbook == playbook.file()
    };
    let said = page.iter().find(is_it);
    let said = said.unwrap_or_else(|| panic!("{} is not listed", cycle.verdict.name()));
    take_back_to(said.named.as_deref(), examined, playbook, state, before).await;
}

/// `undo` brings back all that the run changed, and these verdicts are named then; none where there is
/// nothing to take back.
pub(crate) async fn take_back_to(
    named: Option<&[String]>,
    examined: &Examined,
    playbook: Playbook,
    state: &RunState,
    before: &Picture,
) {
    let undone = run::undo(examined.world(), state).await;

    assert_eq!(undone.is_some(), named.is_some(), "{playbook}: something to take back");
    let Some(undone) = undone else { return };
    assert_eq!(undone.result, Some(RunResult::Done), "undo of {playbook}: {}", told(&undone));
    let after = Picture::of(examined.world());
    let what = format!("undo of {playbook}: {}", told(&undone));
    Touched::by(state).is_all_back(before, &after, &what);
    let named = named.unwrap_or_default();
    let again = diagnose(&examined.examine().await, &[]);
    assert_eq!(names(&again), named, "{what}: {:#?}", again.findings);
    is_repaired_again(examined, &what).await;
}

/// Whether a playbook says what is the matter and leaves it to a person.
fn only_tells(playbook: Playbook) -> bool {
    matches!(
        playbook,
        Playbook::RedownloadLoop | Playbook::CheckAgentVersions | Playbook::CheckNscapPermissions
    )
}

/// Runs a playbook as the diagnosis says: for the servers and packages of the finding.
pub(crate) async fn run_for(
    examined: &Examined,
    finding: &Finding,
    playbook: Playbook,
) -> RunState {
    let mut limit: Vec<String> = Vec::new();
    let own = finding.scope.host().filter(|host| !finding.servers.contains(host));
    let servers: Vec<String> = finding.servers.iter().chain(own).map(|it| it.to_string()).collect();
    if !matches!(finding.scope, Scope::NotificationServer { .. }) && !servers.is_empty() {
        limit.push("notification_servers".to_owned());
        limit.extend(servers);
    }
    let mut vars = json!({ "credential_mode": "acc" });
    if let Some(package) = finding.scope.package() {
        vars["packages"] = json!([package.to_string()]);
        vars["left_hierarchy"] = json!(other_origins(examined.world()));
    }
    let is_share_missing = finding.verdict == Verdict::ShareMissing;
    if is_share_missing && playbook == Playbook::FixAlternateLocation {
        vars["alternate_share"] = json!("Deployment");
        vars["alternate_path"] = json!(r"C:\Deployment");
    }
    let console = move |world: &LiveWorld, question: &str| match question {
        "anonymous-set" => {
            world.with(|world| world.set_credential(world::AppliedCredential::Anonymous));
        }
        "credential-restored" => {
            world.with(|world| world.set_credential(world::AppliedCredential::AgentConnectivity));
        }
        // Nothing has to be done where only the share is missing.
        "locations-apart" if !is_share_missing => {
            world.with(|world| world.mend_by_hand(FaultKind::AlternateLocationConflict, None));
        }
        _ => {}
    };
    let asked = Asked {
        playbook: playbook.file(),
        vars,
        limit: &limit,
        operator: Arc::new(AtTheConsole(Arc::clone(examined.world()), console)),
    };
    run::run(examined.world(), asked).await
}

/// Does what a person is asked to do about the fault.
fn mend(examined: &Examined, cycle: &Cycle) {
    let kind: FaultKind =
        serde_json::from_value(json!(cycle.fault.replace('-', "_"))).expect("a fault");
    let server = cycle.servers.first().map(|number| number - 1);
    examined.world().with(|world| world.mend_by_hand(kind, server));
}

/// An agent that removes a package is left to it: nothing is proposed that touches it, today or
/// tomorrow.
async fn is_left_alone(examined: &Examined) {
    examined.wait(24 * 60).await;
    let diagnosis = diagnose(&examined.examine().await, &[]);
    assert_eq!(names(&diagnosis), [Verdict::Unknown.name()]);
    assert!(diagnosis.findings.iter().all(|finding| finding.proposal.playbook().is_none()));
}

/// Soon after the repair nothing is left of the cause but versions that are on their way, and some
/// hours later nothing at all.
async fn is_well(examined: &Examined, cycle: &Cycle, when: &str) {
    examined.wait(30).await;
    let soon = diagnose(&examined.examine().await, &[]);
    if soon.findings.is_empty() {
        return;
    }
    let is_to_come = |finding: &Finding| matches!(finding.proposal, Proposal::Wait { .. });
    assert!(soon.findings.iter().all(is_to_come), "{when}: {:#?}", soon.findings);
    assert!(!names(&soon).contains(&cycle.verdict.name()), "{when}: {:#?}", soon.findings);
    examined.wait(5 * 60).await;
    let later = diagnose(&examined.examine().await, &[]);
    assert!(later.findings.is_empty(), "{when}, hours later: {:#?}", later.findings);
}

/// Whatever is named is repaired by what is proposed, or by itself in a day.
async fn is_repaired_again(examined: &Examined, when: &str) {
    for _ in 0..4 {
        examined.wait(30).await;
        let diagnosis = diagnose(&examined.examine().await, &[]);
        for finding in &diagnosis.findings {
            if let Proposal::Playbook { playbook, .. }
            | Proposal::Person { afterwards: Some(playbook), .. } = &finding.proposal
            {
                run_for(examined, finding, *playbook).await;
            }
        }
        if diagnosis.findings.is_empty() {
            return;
        }
        examined.wait(8 * 60).await;
    }
    let left = diagnose(&examined.examine().await, &[]);
    assert!(left.findings.is_empty(), "{when}, and repaired again: {:#?}", left.findings);
}

/// What the cause had hidden comes to light, and what is proposed for that is run.
async fn what_was_hidden_is_repaired(examined: &Examined) {
    examined.wait(30).await;
    let diagnosis = diagnose(&examined.examine().await, &[]);
    let mut done = Vec::new();
    for finding in &diagnosis.findings {
        let playbook = finding.proposal.playbook();
        let playbook = playbook.unwrap_or_else(|| panic!("{finding:#?}"));
        // One run of it does it for all that are not well.
        if !done.contains(&playbook) {
            run_for(examined, finding, playbook).await;
            done.push(playbook);
        }
    }
}

pub(crate) fn diagnose(now: &FleetEvidence, earlier: &[FleetEvidence]) -> Diagnosis {
    triage(now, earlier, &expectations())
}

pub(crate) fn names(diagnosis: &Diagnosis) -> Vec<&'static str> {
    let mut names: Vec<_> = diagnosis.findings.iter().map(|f| f.verdict.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a run came to, for messages.
pub(crate) fn told(state: &RunState) -> String {
    let mut lines = vec![format!("{:?}", state.result)];
    for (id, step) in state.steps() {
        let is_of_note = step.outcome != Some(Outcome::Unchanged);
        if is_of_note {
            let failure =
                step.failure.as_ref().map(|failure| format!("{failure:?}")).unwrap_or_default();
            let note = step.note.clone().unwrap_or_default();
            lines.push(format!("  {id}: {:?} {note} {failure}", step.outcome));
        }
    }
    lines.join("\n")
}
