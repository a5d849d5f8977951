//! `fleetmend resume`: goes on with a run that was stopped or killed.

use std::path::Path;
use std::sync::Arc;

use super::approvals::Approvals;
use super::args::{Cli, ResumeArgs};
use super::error::Failure;
use super::launch::{self, Launch, Show};
use super::past::PastRun;
use super::window::PlayWindows;
use super::{files, fleet, names, output, past, rejections, window};
use crate::engine::{DriverConfig, Orders};
use crate::event::{EventKind, RunMode, RunResult, RunStarted};
use crate::model::{Host, HostName, PlayNo, Selector};
use crate::plan::{
    self, Answers, Delegates, Draft, DraftRequest, InDoubt, Resolution, ResumeError, Resumption,
    UndoRun,
};
use crate::report::clean_line;
use crate::scheduler::Scheduler;
use crate::store::StateDir;

/// Goes on where the journal ends.
pub(super) async fn resume(cli: &Cli, args: &ResumeArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::writable_state_dir(cli)?;
    let run = past::find(&state_dir, &args.run)?;
    if let RunMode::Undo { of } = run.header.mode {
        return Err(Failure::input(format!("run {} takes another one back", run.id))
            .hint(format!("run the undo again, what is back is left alone: fleetmend undo {of}")));
    }
    if run.header.playbook == super::diagnose::PLAYBOOK_NAME {
        return Err(Failure::input(format!(
            "run {} was a diagnosis, which changes nothing",
            run.id
        ))
        .hint(format!("diagnose again: fleetmend diagnose -i {}", run.header.inventory)));
    }
    let inventory = past::inventory_of(&run.header)?;
    let playbook = files::playbook(Path::new(&run.header.playbook), Some(&inventory))?;
    let limit = match &run.header.limit {
        Some(pattern) => Some(super::inventory::selector(pattern, &inventory.loaded.inventory)?),
        None => None,
    };
    let approvals = Approvals::read(&args.approve, &playbook)?;
    let delegates = Delegates::of(
        &playbook,
        &inventory.loaded.inventory,
        limit.as_ref(),
        &run.header.extra_vars,
    )
    .map_err(|error| Failure::input("could not go on with the run").because(&error))?;
    let given = args.window.as_deref();
    let of_run = window::read(given.or(run.state.window.of_run.as_deref()))?;
    if args.wait {
        window::expect_any(&playbook, of_run.as_ref())?;
    }
    let draft = Draft::new(
        &DraftRequest {
            playbook: &playbook,
            inventory: &inventory.loaded.inventory,
            inventory_sha256: &inventory.sha256,
            limit: limit.as_ref(),
            limits: &run.header.limits,
            window: of_run.as_ref(),
            tags: &run.header.tags,
            delegates: &delegates,
            mode: run.header.mode,
            seed: run.header.seed,
            scale: run.header.scale,
        },
        &launch::action_traits,
    );
    let known = names::hosts_of(&run.state);
    let answers = Answers {
        retry: names::resolve(run.id, &known, &args.retry)?,
        accept: names::resolve(run.id, &known, &args.accept)?,
        failed: args.failed,
    };
    let resumption =
        plan::resume(&draft, &run.state, &answers).map_err(|error| refused(&error, &run.header))?;
    expect_not_taken_back(&state_dir, &run, &draft, &resumption)?;
    let show = if args.json { Show::Json } else { Show::People };
    if show == Show::People {
        for doubt in &resumption.in_doubt {
            output::talk(&told(doubt));
        }
    }

    let next = (0..)
        .map(PlayNo)
        .zip(&playbook.plays)
        .find(|(number, _)| resumption.state.plays.get(number).is_none_or(|play| !play.finished));
    let windows = next.filter(|_| run.header.mode == RunMode::Run).and_then(|(_, play)| {
        PlayWindows::of(play, of_run.as_ref(), &inventory.loaded.inventory, limit.as_ref())
    });
    if let Some(windows) = &windows {
        window::expect_open(windows, args.wait)?;
    }

    let is_touched = |host: &Host| {
        let within = |pattern: &Selector| pattern.matches(&host.name, &inventory.loaded.inventory);
        let is_meant = limit.as_ref().is_none_or(within)
            && playbook.plays.iter().any(|play| within(&play.hosts));
        is_meant || delegates.hosts().contains(&host.name)
    };
    let fleet =
        fleet::fleet(&inventory, |host| is_touched(host) || host.vars.contains_key("cmdb"))?;
    let connector = rejections::connector(&state_dir, &fleet, &inventory.path)?;
    let held: Vec<HostName> = fleet
        .hosts
        .values()
        .filter(|host| is_touched(host))
        .map(|host| host.name.clone())
        .collect();
    if let Some(windows) = windows.as_ref().filter(|_| args.wait) {
        window::wait(windows).await?;
    }
    let (live, events) =
        state_dir.resume(run.id, launch::wall_clock(), &held).map_err(|error| {
            Failure::input(format!("could not go on with run {}", run.id)).because(&error)
        })?;
    if events.len() != run.recorded.events.len() {
        return Err(Failure::input(format!("run {} went on meanwhile", run.id))
            .hint("resume again, if it did not end"));
    }
    // From here on nobody else takes these hosts back. Until here somebody may have.
    if let Err(refused) = expect_not_taken_back(&state_dir, &run, &draft, &resumption) {
        if let Some((result, (_, ended))) = run.state.result.zip(run.state.span) {
            live.finish(result, ended)
                .map_err(|error| Failure::internal("could not close the run's books", &error))?;
        }
        return Err(refused);
    }
    let (state, again) = (resumption.state.clone(), resumption.again.clone());
    let config = DriverConfig {
        run: run.id,
        orders: Orders::Playbook(Arc::new(playbook)),
        is_check: run.header.mode == RunMode::Check,
        scale: run.header.scale,
        inventory: inventory.loaded.inventory.clone(),
        hosts: fleet.hosts,
        endpoints: fleet.endpoints,
        limit: limit.clone(),
        extra_vars: run.header.extra_vars,
        operator: Arc::new(approvals),
        unfinished: launch::unfinished(&state_dir, run.id)?,
        connector,
    };
    let state = launch::drive(Launch {
        config,
        scheduler: Scheduler::resume(draft, resumption),
        state,
        live,
        opening: EventKind::RunResumed {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            again,
            window: args.window.clone(),
        },
        show,
    })
    .await?;
    Ok(launch::result_of(&state))
}

/// Why a run is not gone on with, and what to do instead.
fn refused(error: &ResumeError, header: &RunStarted) -> Failure {
    let RunStarted { run, playbook, inventory, mode, .. } = header;
    match error {
        ResumeError::NothingLeft { result, .. } => {
            let how = result.map_or("no host waits", RunResult::phrase);
            let check = if *mode == RunMode::Check { "--check " } else { "" };
            Failure::input(format!("run {run} is over ({how}): nothing is left to do"))
                .hint(format!("to do it anew: fleetmend run {check}{playbook} -i {inventory}"))
        }
        ResumeError::Answer { .. } => {
            Failure::input(format!("could not go on with run {run}")).because(error).hint(
                "--retry and --accept answer for hosts whose change is in doubt; `fleetmend show` \
                 names them. Hosts that failed are taken up again by --failed",
            )
        }
        ResumeError::Differs { .. } => {
            Failure::input(format!("could not go on with run {run}")).because(error).hint(
                "a run goes on with the files that it began with: put them back, or begin a new \
                 run with the new ones",
            )
        }
        ResumeError::AwaitsTask { .. } => {
            Failure::input(format!("could not go on with run {run}")).because(error).hint(format!(
                "resume without --failed first, then again with it: fleetmend resume {run}"
            ))
        }
        ResumeError::NoHeader => {
            Failure::input(format!("could not go on with run {run}")).because(error)
        }
    }
}

/// Sees that what the run left behind was not taken back meanwhile.
///
/// # Errors
///
/// It was, or what was taken back cannot be read.
fn expect_not_taken_back(
    state_dir: &StateDir,
    run: &PastRun,
    draft: &Draft,
    resumption: &Resumption,
) -> Result<(), Failure> {
    let undos = past::undos_of(state_dir, run.id)?;
    let undos: Vec<UndoRun<'_>> =
        undos.iter().map(|(run, state)| UndoRun { run: *run, state }).collect();
    plan::expect_not_taken_back(draft, &resumption.state, &undos).map_err(|error| {
        let (playbook, inventory) = (&run.header.playbook, &run.header.inventory);
        Failure::input(format!("could not go on with run {}", run.id))
            .because(&error)
            .hint(format!("run the playbook anew: fleetmend run {playbook} -i {inventory}"))
    })
}

/// A change in doubt as a line, and below it what the operator may answer where he is asked; names
/// in it come from the host.
fn told(doubt: &InDoubt) -> String {
    let mut text =
        format!("in doubt: {} ({})\n", doubt.step, clean_line(&doubt.lines.join("; "), 300));
    if doubt.resolution == Resolution::Unknown {
        let host = clean_line(doubt.step.host.as_str(), 300);
        text.push_str(&format!(
            "  look at it, then resume with --accept {host} if it was done, or --retry {host} to do it\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PlayNo, RunId, StepId, TaskId};

    #[test]
    fn failed_hosts_that_would_wait_for_others_are_refused_with_the_order_to_resume_in() {
        let run = RunId::new(uuid::Uuid::from_u128(1 << 96));
        let task = "Back up the CMDB".to_owned();
        let error = ResumeError::AwaitsTask { run, host: HostName::new("smp01"), task };

        let failure = refused(&error, &RunStarted::bare(run));

        let hint = "resume without --failed first, then again with it: fleetmend resume 00000001";
        assert_eq!(failure.hint.as_deref(), Some(hint));
        assert!(failure.causes.iter().any(|cause| cause.contains("smp01")), "{failure:?}");
    }

    #[test]
    fn what_a_host_named_cannot_steer_the_terminal() {
        let task = TaskId { play: PlayNo(0), task: 0 };
        let mut doubt = InDoubt {
            step: StepId { task, host: HostName::new("smp01") },
            action: "scheduled_task".to_owned(),
            lines: vec!["run the scheduled task `x\u{1b}[2J\ny`".to_owned()],
            resolution: Resolution::Again,
        };

        let line = told(&doubt);

        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert_eq!(line.lines().count(), 1, "{line:?}");
        doubt.resolution = Resolution::Unknown;
        assert!(told(&doubt).contains("--accept smp01") && told(&doubt).contains("--retry smp01"));
    }
}
