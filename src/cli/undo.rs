//! `fleetmend undo`: takes back what a run changed, in a run of its own.

use std::sync::Arc;

use super::approvals::Approvals;
use super::args::{Cli, UndoArgs};
use super::error::Failure;
use super::launch::{self, Launch, Show};
use super::{fleet, names, output, past, rejections};
use crate::engine::{DriverConfig, Orders};
use crate::event::{EventKind, PlayHeader, RunMode, RunResult, RunStarted, RunState, TaskHeader};
use crate::model::{HostName, RunId, TagChoice};
use crate::plan;
use crate::report::clean_line;
use crate::scheduler::Scheduler;

/// Takes a run back, newest change first on each host.
pub(super) async fn undo(cli: &Cli, args: &UndoArgs) -> Result<RunResult, Failure> {
    let state_dir = launch::writable_state_dir(cli)?;
    let past = past::find(&state_dir, &args.run)?;
    let only = if args.hosts.is_empty() {
        None
    } else {
        Some(names::resolve(past.id, &names::hosts_of(&past.state), &args.hosts)?)
    };
    let takeback = plan::takeback(&past.state, only.as_ref()).map_err(|error| {
        Failure::input(format!("could not take run {} back", past.id)).because(&error)
    })?;
    let show = if args.json { Show::Json } else { Show::People };
    if show == Show::People {
        for stays in &takeback.stays {
            if let Some(why) = &stays.impossible {
                output::talk(&format!("stays: {} ({})\n", stays.step, clean_line(why, 300)));
            }
        }
    }
    if takeback.hosts.is_empty() {
        let why = match past.header.mode {
            RunMode::Check => "was a check: it changed nothing",
            _ if past.header.playbook == super::diagnose::PLAYBOOK_NAME => {
                "was a diagnosis: it changed nothing"
            }
            RunMode::Run | RunMode::Undo { .. } if !takeback.stays.is_empty() => {
                "made no change that can be taken back"
            }
            RunMode::Run | RunMode::Undo { .. } => "changed nothing, or all of it is back already",
        };
        output::talk(&format!("nothing to take back: run {} {why}\n", past.id));
        return Ok(RunResult::Done);
    }
    let inventory = past::inventory_of(&past.header)?;
    let known = |name: &&HostName| inventory.loaded.inventory.host(name).is_some();
    if let Some(lost) = takeback.hosts.keys().find(|name| !known(name)) {
        return Err(Failure::input(format!("could not take run {} back on {lost}", past.id))
            .hint("it is not in the inventory any more: put it back, or name the other hosts"));
    }
    let changes: usize = takeback.hosts.values().map(Vec::len).sum();
    let question = format!("take back {changes} changes on {} hosts?", takeback.hosts.len());
    launch::confirm(&question, args.yes)?;

    let draft = takeback
        .draft(
            &past.state,
            &inventory.loaded.inventory,
            &past.header.limits,
            past.header.scale,
            &launch::action_traits,
        )
        .map_err(|error| {
            Failure::input(format!("could not take run {} back", past.id)).because(&error)
        })?;
    let fleet = fleet::fleet(&inventory, |host| takeback.hosts.contains_key(&host.name))?;
    let connector = rejections::connector(&state_dir, &fleet, &inventory.path)?;
    let run = RunId::new(uuid::Uuid::new_v4());
    let plays = draft.plays.iter().map(|play| PlayHeader {
        name: play.name.clone(),
        tasks: play.tasks.iter().map(|task| TaskHeader::new(&task.name, &task.action)).collect(),
    });
    let header = RunStarted {
        run,
        tags: TagChoice::default(),
        mode: RunMode::Undo { of: past.id },
        program: env!("CARGO_PKG_VERSION").to_owned(),
        plays: plays.collect(),
        ..past.header.clone()
    };
    let held: Vec<HostName> = takeback.hosts.keys().cloned().collect();
    let live = state_dir
        .start(&header, launch::wall_clock(), &held)
        .map_err(|error| Failure::input("could not start the undo").because(&error))?;
    // From here on nobody else changes these hosts. Until here the run may have gone on.
    let now = past::find(&state_dir, &past.id.full())?;
    if now.recorded.events.len() != past.recorded.events.len() {
        return Err(Failure::input(format!("run {} went on meanwhile", past.id))
            .hint("undo again: this one would have left its latest changes behind"));
    }
    let config = DriverConfig {
        run,
        orders: Orders::TakeBack(Arc::new(takeback)),
        is_check: false,
        scale: past.header.scale,
        inventory: inventory.loaded.inventory,
        hosts: fleet.hosts,
        endpoints: fleet.endpoints,
        limit: None,
        extra_vars: past.header.extra_vars,
        operator: Arc::new(Approvals::none()),
        unfinished: launch::unfinished(&state_dir, run)?,
        connector,
    };
    let state = launch::drive(Launch {
        config,
        scheduler: Scheduler::new(draft),
        state: RunState::default(),
        live,
        opening: EventKind::RunStarted(Box::new(header)),
        show,
    })
    .await?;
    Ok(launch::result_of(&state))
}
