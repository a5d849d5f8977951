//! The folders of packages whose rights are looked at, beside the store's own.

use std::collections::BTreeSet;

use super::agent_packages::{AgentPackage, PackageList};
use super::package_tree;
use crate::host::{Place, Reader, Role, Root};
use crate::itms::agent_evidence::is_downloading;
use crate::itms::package_status::PackageState;
use crate::itms::snapshot::read_snapshot;
use crate::model::{FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::SecurityInformation;

/// The most folders that are looked at.
const MOST_FOLDERS: usize = 1000;
/// The largest snapshot that is read, in bytes.
const LARGEST_SNAPSHOT: u64 = 4 << 20;

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
        add(at, &mut found, root, own).await?;
        let elsewhere = entry
            .filter(|entry| wanted.alternate_locations && entry.custom_location)
            .map(|entry| entry.location.as_deref().unwrap_or_default());
        match elsewhere.map(str::parse) {
            None => {}
            Some(Ok(folder)) => add_elsewhere(at, &mut found, root, package, folder).await?,
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
    root: &Root,
    folder: WindowsPath,
) -> Result<(), StepFailure> {
    if !at.fence().package_folder(root, &folder).await? {
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
        found.folders.push(Folder::read(at, Place::Package, path).await?);
    }
    Ok(())
}

/// Adds the folder outside of the store that the agent names for a package, and of those inside it
/// the ones in which the package's snapshot lists files: others may have theirs there as well.
async fn add_elsewhere(
    at: &Reader<'_>,
    found: &mut Found,
    root: &Root,
    package: Guid,
    folder: WindowsPath,
) -> Result<(), StepFailure> {
    let fence = at.fence();
    if !fence.alternate(&folder).await? {
        return Ok(());
    }
    let file = fence.to_read(root, &format!("{package}\\snapshot.xml")).await?;
    let snapshot = match file.metadata() {
        Some(metadata) if metadata.size <= LARGEST_SNAPSHOT => {
            Some(read_snapshot(&at.files().read(file.path(), LARGEST_SNAPSHOT).await?))
        }
        Some(_) | None => None,
    };
    let mut places = vec![folder.clone()];
    match snapshot.map(|snapshot| snapshot.manifest) {
        Some(Ok(manifest)) => {
            let names = manifest.files.iter().map(|file| file.name.as_str());
            places.extend(folders_of(names).iter().filter_map(|below| folder.join(below).ok()));
        }
        Some(Err(_)) | None => found.left.push(format!(
            "the folders inside {folder} ({package} has no snapshot that says which are its own)"
        )),
    }
    if found.folders.len() + places.len() > MOST_FOLDERS {
        return Err(too_many(&folder, &format!("there are more than {MOST_FOLDERS} folders")));
    }
    for path in places {
        if fence.alternate(&path).await? {
            found.folders.push(Folder::read(at, Place::Alternate, path).await?);
        }
    }
    Ok(())
}

/// The folders in which files of these names lie, and those above them. Pure.
fn folders_of<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for name in names {
        let parts: Vec<String> = name.split(['\\', '/']).map(str::to_lowercase).collect();
        folders.extend((1..parts.len()).map(|depth| parts[..depth].join("\\")));
    }
    folders
}

fn too_many(folder: &WindowsPath, reason: &str) -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        format!("could not look at all folders below {folder}: {reason}; name fewer packages"),
    )
}
