//! Waiting until a package server has downloaded what the run made it download.

use std::time::Duration;

use super::agent_effect::POLL;
use super::agent_packages::PackageList;
use super::moved::files_moved;
use super::patience::Patience;
use crate::host::Reader;
use crate::itms::agent_evidence::is_put_off;
use crate::model::{Guid, StepFailure};

/// How long nothing may happen to packages whose downloads the agent put off, in the world's time.
/// An agent that was turned away tries again sooner than that at first.
const STILL: Duration = Duration::from_secs(3 * 60);

/// Waits until the packages are downloaded, for at most half of the step's time; not on when the agent
/// put off all downloads that are missing, and nothing happens any more.
///
/// A package is downloaded when the agent's list has it in no downloading state and, where this run
/// moved its snapshot away, the file is back. The list alone would not do: right after a
/// configuration update it still shows the states from before.
pub(super) async fn wait_for_downloads(
    at: &Reader<'_>,
    packages: &[Guid],
) -> Result<(), StepFailure> {
    let longest = Patience::half_of_step(at);
    let (mut before, mut patience) = (Vec::new(), longest);
    loop {
        let missing = missing(at, packages).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let is_put_off = |(_, status): &Missing| status.as_deref().is_some_and(is_put_off);
        if !missing.iter().all(is_put_off) {
            patience = longest;
        } else if missing != before {
            patience = longest.at_most(STILL, at);
        }
        before = missing;
        if !patience.pause(at, POLL).await {
            return Ok(());
        }
    }
}

/// The packages that are not downloaded yet.
pub(super) async fn on_their_way(
    at: &Reader<'_>,
    packages: &[Guid],
) -> Result<Vec<Guid>, StepFailure> {
    Ok(missing(at, packages).await?.into_iter().map(|(package, _)| package).collect())
}

/// A package that is not downloaded, with its status in the agent's list.
type Missing = (Guid, Option<String>);

async fn missing(at: &Reader<'_>, packages: &[Guid]) -> Result<Vec<Missing>, StepFailure> {
    let list = PackageList::read(at).await?;
    let mut missing = list.on_their_way(packages);
    for package in snapshots_missing(at, packages).await? {
        if !missing.contains(&package) {
            missing.push(package);
        }
    }
    let with_status =
        |package: Guid| (package, list.status_of(package).map(|status| status.to_owned()));
    Ok(missing.into_iter().map(with_status).collect())
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
