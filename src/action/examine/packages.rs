//! The packages of a package server as they lie on its disk.

use std::collections::{BTreeMap, BTreeSet};

use super::content;
use super::disk::file;
use super::part::{seen, then, understood};
use super::rights::has_full_control;
use crate::host::Reader;
use crate::itms::content::FileOnDisk;
use crate::itms::evidence::{ContentOnDisk, HeldPackage, PackageOnDisk, Seen, ShareSeen};
use crate::itms::package_status::{PackageState, read_state};
use crate::itms::snapshot::{Manifest, Snapshot, read_snapshot};
use crate::model::{Guid, StepFailure, WindowsPath};
use crate::transport::security::Sid;

/// How many packages are looked at on one server.
const MOST_PACKAGES: usize = 512;
/// The largest snapshot and status file that are read, in bytes.
pub(super) const LARGEST_SNAPSHOT: u64 = 4 << 20;
const LARGEST_STATUS: u64 = 1 << 20;
/// How many names of missing or damaged files are kept for a package.
const MOST_NAMES: usize = 200;

/// Where a server keeps its packages.
pub(super) struct Store {
    /// The package store.
    pub(super) delivery: WindowsPath,
    /// The status store, where it was found.
    pub(super) status: Option<WindowsPath>,
    /// The server's own name, by which shares of its own are told from others.
    pub(super) computer: String,
    /// Its shares.
    pub(super) shares: Vec<ShareSeen>,
    /// The configured credential.
    pub(super) sid: Option<Sid>,
    /// Packages whose snapshot another program held, says the agent's log.
    pub(super) held_by_others: BTreeSet<Guid>,
}

/// Looks at the packages. Those beyond the bound, or for which no time is left, are in the answer as
/// unreadable, with that as the reason: nobody may take them for well.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn examine(
    at: &Reader<'_>,
    store: &Store,
    held: &Seen<Vec<HeldPackage>>,
    ids: &BTreeSet<Guid>,
    mut budget: u64,
) -> Result<Vec<PackageOnDisk>, StepFailure> {
    let list = held.known().into_iter().flatten();
    let listed: BTreeMap<Guid, &HeldPackage> = list.map(|package| (package.id, package)).collect();
    let mut packages = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let mut package = not_asked(*id);
        if number >= MOST_PACKAGES {
            let why = format!("only the first {MOST_PACKAGES} packages of a server are looked at");
            leave_out(&mut package, &why);
        } else if at.deadline().left().is_zero() {
            leave_out(&mut package, "no time was left in which to look at it");
        } else {
            let told = match held {
                Seen::Known(_) => Seen::Known(listed.get(id).copied()),
                Seen::Unreadable(why) => Seen::Unreadable(why.clone()),
                Seen::NotAsked => Seen::NotAsked,
            };
            look_at(at, store, &told, &mut budget, &mut package).await?;
        }
        packages.push(package);
    }
    Ok(packages)
}

fn not_asked(id: Guid) -> PackageOnDisk {
    PackageOnDisk {
        id,
        snapshot: Seen::NotAsked,
        is_snapshot_locked: Seen::NotAsked,
        status_file: Seen::NotAsked,
        content: Seen::NotAsked,
        hashes: Seen::NotAsked,
        longest_path: None,
        has_credential_rights: Seen::NotAsked,
    }
}

/// Says of a package why nobody looked at it.
fn leave_out(package: &mut PackageOnDisk, why: &str) {
    package.snapshot = Seen::Unreadable(why.to_owned());
    package.status_file = Seen::Unreadable(why.to_owned());
    package.content = Seen::Unreadable(why.to_owned());
}

/// `told` is what the agent's list says of the package; `Known(None)` when it is not in it.
async fn look_at(
    at: &Reader<'_>,
    store: &Store,
    told: &Seen<Option<&HeldPackage>>,
    budget: &mut u64,
    package: &mut PackageOnDisk,
) -> Result<(), StepFailure> {
    let name = package.id.to_string();
    let Ok(folder) = store.delivery.join(&name) else { return Ok(()) };
    let Ok(path) = folder.join("snapshot.xml") else { return Ok(()) };
    let snapshot = snapshot(at, &path).await?;
    package.snapshot = summary(&snapshot);
    if let Some(status) = &store.status {
        package.status_file = status_of(at, status, &name).await?;
    }
    if store.held_by_others.contains(&package.id) || is_in_trouble(told, package) {
        package.is_snapshot_locked = match seen(at.files().is_held(&path).await)? {
            Seen::Known(Some(is_held)) => Seen::Known(is_held),
            Seen::Known(None) | Seen::NotAsked => Seen::NotAsked,
            Seen::Unreadable(why) => Seen::Unreadable(why),
        };
    }
    if let Some(sid) = &store.sid
        && let Seen::Known(Some(_)) = seen(at.files().metadata(&folder).await)?
    {
        package.has_credential_rights = has_full_control(at, &folder, sid).await?;
    }
    if let Seen::Known(Some(Snapshot { manifest: Ok(manifest), .. })) = &snapshot {
        let location = told.known().copied().flatten().and_then(|held| held.location.as_deref());
        let place = place_of(store, &folder, location);
        let compared = compare(at, place, manifest, budget).await?;
        if told.known().is_some() || compared.content.known().is_some_and(is_whole) {
            package.content = compared.content;
            package.hashes = compared.hashes;
            package.longest_path = compared.longest;
        } else {
            package.content = Seen::Unreadable(where_unknown(told));
        }
    }
    Ok(())
}

/// Whether a package is in a state that a held snapshot can be the reason of. To ask means to open
/// the file as if for deletion, in which moment an agent that replaces it can fail: where nothing is
/// wrong nobody asks.
fn is_in_trouble(told: &Seen<Option<&HeldPackage>>, package: &PackageOnDisk) -> bool {
    let Seen::Known(Some(snapshot)) = &package.snapshot else { return false };
    match told {
        Seen::Known(Some(held)) => {
            let is_old = held.version.is_some()
                && snapshot.version.is_some()
                && held.version != snapshot.version;
            is_old || PackageState::of(&held.status) != PackageState::Ready
        }
        Seen::Known(None) => false,
        Seen::Unreadable(_) | Seen::NotAsked => match &package.status_file {
            Seen::Known(Some(word)) => PackageState::of(word) != PackageState::Ready,
            Seen::Known(None) | Seen::Unreadable(_) | Seen::NotAsked => false,
        },
    }
}

fn is_whole(content: &ContentOnDisk) -> bool {
    content.missing.is_empty() && content.wrong_size.is_empty() && content.wrong_hash.is_empty()
}

/// The agent alone knows of a location outside of its store: without its list, what is not in the
/// store may be elsewhere.
fn where_unknown(told: &Seen<Option<&HeldPackage>>) -> String {
    let why = match told {
        Seen::Unreadable(why) => why.as_str(),
        Seen::Known(_) | Seen::NotAsked => "the agent was not asked",
    };
    format!("the files are not all in the store, and may be kept elsewhere: {why}")
}

/// A snapshot, whether it is understood or not; `Known(None)` when there is none.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn snapshot(
    at: &Reader<'_>,
    path: &WindowsPath,
) -> Result<Seen<Option<Snapshot>>, StepFailure> {
    let bytes = file(at, path, LARGEST_SNAPSHOT).await?;
    Ok(then(bytes, |bytes| Seen::Known(bytes.map(|bytes| read_snapshot(&bytes)))))
}

/// What evidence keeps of a snapshot.
pub(super) fn summary(
    snapshot: &Seen<Option<Snapshot>>,
) -> Seen<Option<crate::itms::evidence::SnapshotSeen>> {
    match snapshot {
        Seen::Known(snapshot) => Seen::Known(snapshot.as_ref().map(Snapshot::seen)),
        Seen::Unreadable(why) => Seen::Unreadable(why.clone()),
        Seen::NotAsked => Seen::NotAsked,
    }
}

async fn status_of(
    at: &Reader<'_>,
    folder: &WindowsPath,
    name: &str,
) -> Result<Seen<Option<String>>, StepFailure> {
    let Ok(path) = folder.join(name).and_then(|folder| folder.join("PackageStatus.xml")) else {
        return Ok(Seen::NotAsked);
    };
    let bytes = file(at, &path, LARGEST_STATUS).await?;
    Ok(then(bytes, |bytes| match bytes.map(|bytes| read_state(&bytes)) {
        None => Seen::Known(None),
        Some(PackageState::Ready) => Seen::Known(Some("Ready".to_owned())),
        Some(PackageState::Deleted) => Seen::Known(Some("Deleted".to_owned())),
        Some(PackageState::Other(word)) => Seen::Known(Some(word)),
        Some(PackageState::Unreadable) => {
            Seen::Unreadable(format!("{path} tells no state, or more than one"))
        }
    }))
}

/// The folder of a package's content: the cache below its own folder, or its alternate location,
/// which may be a share of the server itself.
fn place_of(store: &Store, folder: &WindowsPath, location: Option<&str>) -> Seen<WindowsPath> {
    let Some(location) = location else {
        return understood("a name", folder.join("cache"));
    };
    let computer = store.computer.split('.').next().unwrap_or(&store.computer);
    let expanded = replace(location.trim(), "%COMPUTERNAME%", computer);
    let Some(unc) = expanded.strip_prefix(r"\\") else {
        return understood("the package's location", expanded.trim_end_matches('\\').parse());
    };
    let mut parts = unc.splitn(3, '\\');
    let server = parts.next().unwrap_or_default();
    let share = parts.next().unwrap_or_default();
    let rest = parts.next().unwrap_or_default().trim_end_matches('\\');
    if !server.split('.').next().is_some_and(|short| short.eq_ignore_ascii_case(computer)) {
        return Seen::Unreadable(format!("{location} is on another server"));
    }
    let Some(share) = store.shares.iter().find(|known| known.name.eq_ignore_ascii_case(share))
    else {
        return Seen::Unreadable(format!("the server has no share {share}"));
    };
    let local = format!("{}\\{rest}", share.path.trim_end_matches('\\'));
    understood("the package's location", local.trim_end_matches('\\').parse())
}

/// Replaces a name without regard to case.
fn replace(text: &str, name: &str, by: &str) -> String {
    match text.to_ascii_lowercase().find(&name.to_ascii_lowercase()) {
        Some(start) => format!("{}{by}{}", &text[..start], &text[start + name.len()..]),
        None => text.to_owned(),
    }
}

/// What a comparison of the files with the snapshot showed.
struct Compared {
    content: Seen<ContentOnDisk>,
    hashes: Seen<u32>,
    /// The length of the longest path.
    longest: Option<u32>,
}

impl Compared {
    /// Without the files.
    fn unseen(content: Seen<ContentOnDisk>, longest: Option<u32>) -> Self {
        Self { content, hashes: Seen::NotAsked, longest }
    }
}

/// The files against the snapshot.
async fn compare(
    at: &Reader<'_>,
    place: Seen<WindowsPath>,
    manifest: &Manifest,
    budget: &mut u64,
) -> Result<Compared, StepFailure> {
    let Seen::Known(place) = place else {
        return Ok(Compared::unseen(then(place, |_| Seen::NotAsked), None));
    };
    let listed = manifest.files.iter().map(|file| file.name.as_str());
    let mut files = match content::walk(at, &place).await? {
        Seen::Known(files) => files,
        other => {
            let longest = longest_path(&place, listed);
            return Ok(Compared::unseen(then(other, |_| Seen::NotAsked), longest));
        }
    };
    let hashes = content::hash(at, &place, manifest, &mut files, budget).await?;
    let there = files.iter().map(|file: &FileOnDisk| file.name.as_str());
    let longest = longest_path(&place, listed.chain(there));
    let mut content = manifest.compare(&files).content;
    for names in [&mut content.missing, &mut content.wrong_size, &mut content.wrong_hash] {
        names.truncate(MOST_NAMES);
    }
    Ok(Compared { content: Seen::Known(content), hashes, longest })
}

/// The length of the longest path in UTF-16 units, as Windows counts.
fn longest_path<'a>(place: &WindowsPath, names: impl Iterator<Item = &'a str>) -> Option<u32> {
    let root = place.to_string().encode_utf16().count() + 1;
    let longest = names.map(|name| root + name.encode_utf16().count()).max()?;
    u32::try_from(longest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Store {
            delivery: "C:\\Store".parse().expect("a path"),
            status: None,
            computer: "PS-LON-01".to_owned(),
            shares: vec![ShareSeen { name: "Pkgs".to_owned(), path: "E:\\Packages\\".to_owned() }],
            sid: None,
            held_by_others: BTreeSet::new(),
        }
    }

    fn place(location: Option<&str>) -> String {
        let folder = "C:\\Store\\{A}".parse().expect("a path");
        match place_of(&store(), &folder, location) {
            Seen::Known(path) => path.to_string(),
            Seen::Unreadable(why) => why,
            Seen::NotAsked => String::new(),
        }
    }

    #[test]
    fn content_is_in_the_cache_or_where_the_agent_says() {
        assert_eq!(place(None), "C:\\Store\\{A}\\cache");
        assert_eq!(place(Some("D:\\Alt\\One\\")), "D:\\Alt\\One");
        assert_eq!(place(Some(r"\\%computername%\pkgs\One")), "E:\\Packages\\One");
        assert_eq!(place(Some(r"\\ps-lon-01.corp.example\Pkgs")), "E:\\Packages");
    }

    #[test]
    fn a_location_elsewhere_is_unreadable_and_never_empty() {
        assert!(place(Some(r"\\nas\Pkgs\One")).contains("another server"));
        assert!(place(Some(r"\\ps-lon-01\Gone\One")).contains("no share Gone"));
    }

    #[test]
    fn a_snapshot_is_opened_as_if_for_deletion_only_where_the_package_is_not_well() {
        let snapshot =
            read_snapshot(b"<snapshot version=\"5\"><file name=\"a\" size=\"1\"/></snapshot>");
        let id = Guid::from_u128(1);
        let on_disk = |word: &str| PackageOnDisk {
            snapshot: Seen::Known(Some(snapshot.seen())),
            status_file: Seen::Known(Some(word.to_owned())),
            ..not_asked(id)
        };
        let asks = |status: &str, version: &str| {
            let (status, version) = (status.to_owned(), Some(version.to_owned()));
            let (name, previous_status, since, location) = (None, None, None, None);
            let held = HeldPackage { id, name, status, previous_status, since, version, location };
            is_in_trouble(&Seen::Known(Some(&held)), &on_disk("Ready"))
        };

        assert!(!asks("Ready", "5"), "a live agent may be about to replace it");
        assert!(asks("Retrying Download", "5") && asks("Ready", "6"));
        assert!(!is_in_trouble(&Seen::Known(None), &on_disk("Invalid")), "it is left over");
        assert!(!is_in_trouble(&Seen::NotAsked, &on_disk("Ready")));
        assert!(is_in_trouble(&Seen::NotAsked, &on_disk("Retrying Download")));
        assert!(!is_in_trouble(&Seen::NotAsked, &not_asked(id)), "there is no snapshot");
    }

    #[test]
    fn the_longest_path_counts_its_folder() {
        let place = "C:\\a".parse().expect("a path");

        assert_eq!(longest_path(&place, ["b.txt", "inner\\c.txt"].into_iter()), Some(16));
        assert_eq!(longest_path(&place, std::iter::empty()), None);
    }
}
