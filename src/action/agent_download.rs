//! Waiting until a package server has downloaded what the run made it download.

use super::agent_effect::POLL;
use super::agent_packages::PackageList;
use super::moved::files_moved;
use super::patience::Patience;
use crate::host::Reader;
use crate::model::{Guid, StepFailure};

/// Waits until the packages are downloaded, for at most half of the step's time.
///
/// A package is downloaded when the agent's list has it in no downloading state and, where this run
/// moved its snapshot away, the file is back. The list alone would not do: right after a
/// configuration update it still shows the states from before.
pub(super) async fn wait_for_downloads(
    at: &Reader<'_>,
    packages: &[Guid],
) -> Result<(), StepFailure> {
    let patience = Patience::half_of_step(at);
    while !on_their_way(at, packages).await?.is_empty() && patience.pause(at, POLL).await {}
    Ok(())
}

/// The packages that are not downloaded yet.
pub(super) async fn on_their_way(
    at: &Reader<'_>,
    packages: &[Guid],
) -> Result<Vec<Guid>, StepFailure> {
    let mut waiting = PackageList::read(at).await?.on_their_way(packages);
    for package in snapshots_missing(at, packages).await? {
        if !waiting.contains(&package) {
            waiting.push(package);
        }
    }
    Ok(waiting)
}

/// The packages whose snapshot this run moved away and that have none again.
async fn snapshots_missing(at: &Reader<'_>, packages: &[Guid]) -> Result<Vec<Guid>, StepFailure> {
    let mut missing = Vec::new();
    for file in files_moved(at.prior(), "ps_delivery") {
        if packages.contains(&file.package) && at.files().metadata(&file.from).await?.is_none() {
            missing.push(file.package);
        }
    }
    Ok(missing)
}
