//! The folders of packages whose rights are looked at, beside the store's own.

use super::agent_packages::{AgentPackage, PackageList};
use super::package_tree;
use crate::host::{Place, Reader, Role, Root};
use crate::itms::agent_evidence::is_downloading;
use crate::itms::package_status::PackageState;
use crate::model::{FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::SecurityInformation;

/// The most folders that are looked at.
const MOST_FOLDERS: usize = 1000;

/// A folder with its list of rights.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) place: Place,
    pub(super) path: WindowsPath,
    /// The descriptor as it is stored.
    pub(super) stored: Vec<u8>,
}

impl Folder {
    /// Reads its descriptor.
    pub(super) async fn read(
        at: &Reader<'_>,
        place: Place,
        path: WindowsPath,
    ) -> Result<Self, StepFailure> {
        let stored = at.files().descriptor(&path, SecurityInformation::DACL).await?;
        Ok(Self { place, path, stored })
    }
}

/// Which packages' folders are looked at.
pub(super) struct Wanted<'a> {
    /// These; all of the store when none.
    pub(super) packages: Option<&'a [Guid]>,
    /// Whether folders outside of the store are looked at as well.
    pub(super) alternate_locations: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) folders: Vec<Folder>,
    /// Packages that are left alone, and why.
    pub(super) left: Vec<String>,
}

/// The folders of packages and those inside them.
///
/// # Errors
///
/// `Refused` for another role than the store, for more folders than are looked at, and when a link
/// is on the way to a package that was named.
pub(super) async fn folders(
    at: &Reader<'_>,
    root: &Root,
    wanted: &Wanted<'_>,
) -> Result<Found, StepFailure> {
    if root.role != Role::PsDelivery {
        return Err(StepFailure::new(
            FailureClass::Refused,
            format!("could not look at packages in {}: only ps_delivery has them", root.role),
        ));
    }
    let list = PackageList::read(at).await?;
    let packages = match wanted.packages {
        Some(packages) => packages.to_vec(),
        None => in_store(at, root).await?,
    };
    let mut found = Found::default();
    for package in packages {
        let entry = list.packages.iter().find(|entry| entry.id == package);
        if let Some(reason) = entry.and_then(why_left) {
            found.left.push(format!("{package} {reason}"));
            continue;
        }
        let own = root.path.join(&package.to_string()).map_err(|error| {
            StepFailure::caused_by(FailureClass::Bug, "could not name a package's folder", &error)
        })?;
        add(at, &mut found, Place::Package, root, own).await?;
        let elsewhere = entry
            .filter(|entry| wanted.alternate_locations && entry.custom_location)
            .map(|entry| entry.location.as_deref().unwrap_or_default());
        match elsewhere.map(str::parse) {
            None => {}
            Some(Ok(folder)) => add(at, &mut found, Place::Alternate, root, folder).await?,
            Some(Err(_)) => found.left.push(format!(
                "the other place of {package} (the agent does not name a folder of this host)"
            )),
        }
    }
    Ok(found)
}

/// Why a package is left alone. Pure.
fn why_left(entry: &AgentPackage) -> Option<&'static str> {
    if is_downloading(&entry.status) {
        Some("is being downloaded")
    } else if PackageState::of(&entry.status) == PackageState::Deleted {
        Some("is being removed by the agent")
    } else {
        None
    }
}

async fn in_store(at: &Reader<'_>, root: &Root) -> Result<Vec<Guid>, StepFailure> {
    let entries = at.files().list(&root.path).await?;
    let folders =
        entries.iter().filter(|it| it.attributes.is_directory() && !it.attributes.is_link());
    let mut packages: Vec<Guid> = folders.filter_map(|entry| entry.name.parse().ok()).collect();
    packages.sort();
    Ok(packages)
}

/// Adds a folder and those inside it; one that is not there is nothing to add.
async fn add(
    at: &Reader<'_>,
    found: &mut Found,
    place: Place,
    root: &Root,
    folder: WindowsPath,
) -> Result<(), StepFailure> {
    let fence = at.fence();
    let is_there = match place {
        Place::Package => fence.package_folder(root, &folder).await?,
        Place::Root | Place::Alternate => fence.alternate(&folder).await?,
    };
    if !is_there {
        return Ok(());
    }
    let below = match package_tree::list(at, &folder).await? {
        None => return Ok(()),
        Some(Ok(tree)) => tree.folders,
        Some(Err(reason)) => return Err(too_many(&folder, &reason)),
    };
    if found.folders.len() + 1 + below.len() > MOST_FOLDERS {
        return Err(too_many(&folder, &format!("there are more than {MOST_FOLDERS} folders")));
    }
    for path in [folder].into_iter().chain(below) {
        found.folders.push(Folder::read(at, place, path).await?);
    }
    Ok(())
}

fn too_many(folder: &WindowsPath, reason: &str) -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        format!("could not look at all folders below {folder}: {reason}; name fewer packages"),
    )
}
