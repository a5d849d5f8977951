//! Runs of the past: what is recorded of them, and the files that they were made from.

use std::path::Path;

use super::error::Failure;
use super::files::{self, InventoryFile};
use super::sources;
use crate::event::{RunMode, RunStarted, RunState};
use crate::model::RunId;
use crate::store::{Recorded, StateDir, StateDirError};

/// A run as its journal tells it.
pub(super) struct PastRun {
    /// The run.
    pub id: RunId,
    /// Its events.
    pub recorded: Recorded,
    /// Their fold.
    pub state: RunState,
    /// Its first event.
    pub header: RunStarted,
}

/// Finds a run by the first digits of its identifier.
///
/// # Errors
///
/// There is no such run, or there are several.
pub(super) fn find_id(state_dir: &StateDir, prefix: &str) -> Result<RunId, Failure> {
    state_dir.find(prefix).map_err(|error| {
        let failure = match &error {
            StateDirError::NoSuchRun { .. } | StateDirError::Ambiguous { .. } => {
                Failure::input(error.to_string())
            }
            _ => Failure::input(format!("could not find run `{prefix}`")).because(&error),
        };
        failure
            .hint("`fleetmend runs` lists them; the first digits are enough while they are one's")
    })
}

/// Finds a run by the first digits of its identifier and reads its journal.
///
/// # Errors
///
/// There is no such run, there are several, or its journal is damaged.
pub(super) fn find(state_dir: &StateDir, prefix: &str) -> Result<PastRun, Failure> {
    let id = find_id(state_dir, prefix)?;
    let (recorded, state) = read(state_dir, id)?;
    let header = state
        .header
        .as_deref()
        .cloned()
        .ok_or_else(|| Failure::input(format!("run {id} ended before it began")))?;
    Ok(PastRun { id, recorded, state, header })
}

/// Reads the journal of a run.
///
/// # Errors
///
/// It is missing or damaged.
pub(super) fn read(state_dir: &StateDir, id: RunId) -> Result<(Recorded, RunState), Failure> {
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::input(format!("could not read the journal of run {id}")).because(error)
    };
    let recorded = state_dir.recorded(id).map_err(|error| unreadable(&error))?;
    if let Some(damage) = &recorded.damage {
        return Err(unreadable(damage).hint(
            "the journal was changed by something else than fleetmend; what is before the damage \
             can be read with SQLite",
        ));
    }
    let state = RunState::replay(&recorded.events).map_err(|error| unreadable(&error))?;
    Ok((recorded, state))
}

/// The runs that took a run back, whole or in part, the newest first; also those under way and
/// those that were cut.
///
/// # Errors
///
/// The index of runs cannot be read, or the journal of one of them.
pub(super) fn undos_of(
    state_dir: &StateDir,
    run: RunId,
) -> Result<Vec<(RunId, RunState)>, Failure> {
    let runs = state_dir
        .runs()
        .map_err(|error| Failure::internal("could not read the index of runs", &error))?;
    let mode = format!("{}{run}", StateDir::UNDO_OF);
    let mut undos = Vec::new();
    for undo in runs.iter().filter(|other| other.mode == mode) {
        let (_, state) = read(state_dir, undo.id)?;
        // Runs with the same first digits share a mode; the journal has all of them.
        if state.header.as_ref().is_some_and(|header| header.mode == RunMode::Undo { of: run }) {
            undos.push((undo.id, state));
        }
    }
    Ok(undos)
}

/// Reads the inventory that a run was made from, with the hosts that its sources had then.
///
/// # Errors
///
/// It is not there any more, or wrong.
pub(super) fn inventory_of(header: &RunStarted) -> Result<InventoryFile, Failure> {
    let file = files::inventory(Path::new(&header.inventory))?;
    if header.sourced.is_empty() { Ok(file) } else { sources::grown(file, header.sourced.clone()) }
}
