//! `audit_packages`: the files of packages against their snapshots, and these against an earlier look.

use std::num::NonZeroU32;

use async_trait::async_trait;
use futures::future::join_all;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agent_packages::PackageList;
use super::package_tree::{self, Tree};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Fence, Reader, Role, Root};
use crate::itms::content::{Comparison, SnapshotChange, compare_snapshots};
use crate::itms::evidence::{Seen, SnapshotSeen};
use crate::itms::package_status::{PackageState, read_state};
use crate::itms::snapshot::{Manifest, Snapshot, read_snapshot};
use crate::model::{Cost, FailureClass, Guid, StepFailure, WindowsPath};

/// The most packages of one audit, how many are looked at at once, and the largest manifest.
const MOST_PACKAGES: usize = 1000;
const AT_ONCE: usize = 8;
const LARGEST: u64 = 16 << 20;

/// How many names of files are kept of each kind.
const NAMES_KEPT: usize = 20;

/// The action.
pub(super) struct AuditPackages;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    packages: Vec<Guid>,
    #[serde(default)]
    against: Option<Earlier>,
    #[serde(default)]
    hash_up_to: Option<NonZeroU32>,
}

/// What an earlier audit registered, as far as it is compared.
#[derive(Debug, Deserialize)]
struct Earlier {
    packages: Vec<EarlierPackage>,
}

#[derive(Debug, Deserialize)]
struct EarlierPackage {
    id: Guid,
    snapshot: Option<SnapshotSeen>,
    #[serde(default)]
    missing: u64,
}

/// A package on the disk.
#[derive(Debug)]
pub(super) struct Audited {
    id: Guid,
    snapshot: Seen<Option<SnapshotSeen>>,
    content: Seen<Comparison>,
    /// The state in its status file, looked at when files are missing.
    state: Option<PackageState>,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for AuditPackages {
    type Params = Params;
    type State = Vec<Audited>;
    type Change = Change;

    const NAME: &'static str = "audit_packages";
    const SUMMARY: &'static str =
        "Compares the files of packages with their snapshots, and these with an earlier audit.";
    const DOC: &'static str = "\
Reads each package's `snapshot.xml` on a package server and compares the files that it lists
with those that are there: missing, of another size, not listed. With `hash_up_to` files are
read and hashed as well, up to so many MiB a server, as far as the snapshot lists MD5, SHA-256
or SHA-512: that finds files damaged at their right size (KB 433153).

With `against`, what an earlier audit registered, each package's snapshot is compared with the
one of then, and `conclusion` says what goes on (KB 433153):

- `external_deletion`: files vanished and the snapshot is the same: another program deletes.
- `refresh_churn`: a new version of the same files; everybody downloads them for nothing.
- `real_change`: other files. `path_changed`: the same files in another folder.
- `being_removed`: the agent itself removes the package. `damaged`, `no_snapshot`, `unknown`.
- `whole`: nothing is wrong.

Registers `packages` (id, conclusion, change, snapshot, counts and the first names of files that
are not right) and `damaged`, the ids of those with files missing or wrong.

Rights: reading the package store over SMB; WinRM to find it. Undo: nothing.
";
    const EXAMPLE: &'static str = "\
- name: See whether the packages are whole
  audit_packages: { packages: '{{ work.package_ids }}', hash_up_to: 200 }
  register: audit
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "packages",
            kind: ParamKind::Guids,
            required: false,
            doc: "The packages; all of the store when none is named.",
        },
        ParamDoc {
            name: "against",
            kind: ParamKind::Text,
            required: false,
            doc: "What an earlier `audit_packages` registered, as in `'{{ before }}'`.",
        },
        ParamDoc {
            name: "hash_up_to",
            kind: ParamKind::Count,
            required: false,
            doc: "How much is read and hashed, in MiB; nothing when not given.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 1800;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Audited>, StepFailure> {
        let root = at.root(Role::PsDelivery).await?;
        let packages = if params.packages.is_empty() {
            in_store(at, &root).await?
        } else {
            params.packages.clone()
        };
        if packages.len() > MOST_PACKAGES {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!(
                    "could not audit {} packages at once: at most {MOST_PACKAGES}",
                    packages.len()
                ),
            ));
        }
        let mut room = params.hash_up_to.map_or(0, |mib| u64::from(mib.get()) << 20);
        let mut list = None;
        let fence = at.fence();
        let mut audited = Vec::with_capacity(packages.len());
        for some in packages.chunks(AT_ONCE) {
            let looks = join_all(some.iter().map(|id| Look::at(at, &fence, &root, *id))).await;
            for (id, look) in some.iter().zip(looks) {
                audited.push(match look {
                    Ok(look) => look.compare(at, &mut list, &mut room).await?,
                    // What the fence does not let through says nothing about the other packages.
                    Err(failure) if failure.class == FailureClass::Refused => Audited {
                        id: *id,
                        snapshot: Seen::Unreadable(failure.message),
                        content: Seen::NotAsked,
                        state: None,
                    },
                    Err(failure) => return Err(failure),
                });
            }
        }
        Ok(audited)
    }

    fn decide(params: &Params, state: &Vec<Audited>) -> Verdict<Change> {
        let mut counts: IndexMap<&'static str, usize> = IndexMap::new();
        let mut packages = Vec::with_capacity(state.len());
        let mut damaged = Vec::new();
        for package in state {
            let earlier = params
                .against
                .as_ref()
                .map(|earlier| earlier.packages.iter().find(|before| before.id == package.id));
            let (change, conclusion) = conclude(package, earlier);
            *counts.entry(conclusion).or_default() += 1;
            if is_damaged(package) {
                damaged.push(package.id);
            }
            packages.push(value_of(package, change, conclusion));
        }
        counts.sort_by(|_, a, _, b| b.cmp(a));
        let parts: Vec<String> =
            counts.iter().map(|(conclusion, count)| format!("{count} {conclusion}")).collect();
        let note = match state.len() {
            0 => "no packages".to_owned(),
            1 => format!("1 package: {}", parts.join(", ")),
            count => format!("{count} packages: {}", parts.join(", ")),
        };
        Verdict::Unchanged { note, value: json!({ "packages": packages, "damaged": damaged }) }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}

/// The packages of the store, by the names of their folders.
async fn in_store(at: &Reader<'_>, root: &Root) -> Result<Vec<Guid>, StepFailure> {
    let entries = at.files().list(&root.path).await?;
    let mut packages: Vec<Guid> = entries
        .iter()
        .filter(|entry| entry.attributes.is_directory() && !entry.attributes.is_link())
        .filter_map(|entry| entry.name.parse().ok())
        .collect();
    packages.sort();
    Ok(packages)
}

/// What was read of a package, before its files are compared.
struct Look {
    id: Guid,
    folder: WindowsPath,
    snapshot: Option<Snapshot>,
    tree: Option<Result<Tree, String>>,
    state: Option<PackageState>,
}

impl Look {
    async fn at(
        at: &Reader<'_>,
        fence: &Fence<'_>,
        root: &Root,
        id: Guid,
    ) -> Result<Self, StepFailure> {
        let file = fence.to_read(root, &format!("{id}\\snapshot.xml")).await?;
        let snapshot = match file.metadata() {
            None => None,
            Some(_) => Some(read_snapshot(&at.files().read(file.path(), LARGEST).await?)),
        };
        let cache = fence.to_read(root, &format!("{id}\\cache\\x")).await?;
        let Some(folder) = cache.path().parent() else {
            return Err(StepFailure::new(FailureClass::Bug, format!("{id} has no folder")));
        };
        let has_list = snapshot.as_ref().is_some_and(|snapshot| snapshot.manifest.is_ok());
        let tree = if has_list { package_tree::list(at, &folder).await? } else { None };
        Ok(Self { id, folder, snapshot, tree, state: None })
    }

    /// Compares the files with the snapshot; a package without a folder of its own may be kept
    /// elsewhere, which the agent's list says.
    async fn compare(
        mut self,
        at: &Reader<'_>,
        list: &mut Option<Result<PackageList, String>>,
        room: &mut u64,
    ) -> Result<Audited, StepFailure> {
        let snapshot = self.snapshot.take();
        let seen = Seen::Known(snapshot.as_ref().map(Snapshot::seen));
        let (id, manifest) = match snapshot.map(|snapshot| snapshot.manifest) {
            None => {
                return Ok(Audited {
                    id: self.id,
                    snapshot: seen,
                    content: Seen::NotAsked,
                    state: None,
                });
            }
            Some(Err(reason)) => {
                let content = Seen::Unreadable(reason.to_string());
                return Ok(Audited { id: self.id, snapshot: seen, content, state: None });
            }
            Some(Ok(manifest)) => (self.id, manifest),
        };
        let other_place = match self.tree {
            Some(_) => Ok(None),
            None => other_place(at, list, id).await?,
        };
        let other_place = match other_place {
            Ok(place) => place,
            Err(why) => {
                let content = Seen::Unreadable(format!(
                    "it has no folder of its own in the store, and whether it is kept elsewhere \
                     is not known: {why}"
                ));
                return Ok(Audited { id, snapshot: seen, content, state: None });
            }
        };
        if let Some(named) = other_place {
            self.folder = match elsewhere(at, named.as_deref(), &manifest).await? {
                Ok(folder) => folder,
                Err(reason) => {
                    let content = Seen::Unreadable(reason);
                    return Ok(Audited { id, snapshot: seen, content, state: None });
                }
            };
            self.tree = package_tree::list(at, &self.folder).await?;
        }
        let content = match self.tree.take().unwrap_or_else(|| Ok(Tree::default())) {
            Err(reason) => Seen::Unreadable(reason),
            Ok(tree) if !tree.links.is_empty() => {
                Seen::Unreadable(format!("{} is a link, and links are not followed", tree.links[0]))
            }
            Ok(mut tree) => {
                package_tree::hash(at, &self.folder, &mut tree.files, &manifest, room).await?;
                Seen::Known(manifest.compare(&tree.files))
            }
        };
        let has_gaps = content.known().is_some_and(|found| !found.content.missing.is_empty());
        if has_gaps {
            self.state = state_of(at, id).await?;
        }
        Ok(Audited { id, snapshot: seen, content, state: self.state })
    }
}

/// The other place in which the agent says that it keeps a package, where it tells; none when it keeps
/// it in its store; the reason when the agent does not answer, as one whose service does not run. The
/// agent is asked once.
async fn other_place(
    at: &Reader<'_>,
    list: &mut Option<Result<PackageList, String>>,
    id: Guid,
) -> Result<Result<Option<Option<String>>, String>, StepFailure> {
    let list = match list {
        Some(list) => list,
        None => list.insert(match PackageList::read(at).await {
            Ok(list) => Ok(list),
            Err(failure) if failure.class == FailureClass::RemoteFault => Err(failure.to_string()),
            Err(failure) => return Err(failure),
        }),
    };
    let entry = |list: &PackageList| {
        let entry = list.packages.iter().find(|it| it.id == id && it.custom_location);
        entry.map(|entry| entry.location.clone())
    };
    Ok(list.as_ref().map(entry).map_err(Clone::clone))
}

/// The folder that the agent names, or else the snapshot, when it is one of this host.
async fn elsewhere(
    at: &Reader<'_>,
    named: Option<&str>,
    manifest: &Manifest,
) -> Result<Result<WindowsPath, String>, StepFailure> {
    let mut places = named.into_iter().chain(manifest.path.as_deref());
    let Some(folder) = places.find_map(|path| path.parse().ok()) else {
        return Ok(Err(
            "it is kept at another place, and no folder of this host is named".to_owned()
        ));
    };
    Ok(match at.fence().exists(&folder).await {
        Ok(true) => Ok(folder),
        Ok(false) => Err(format!("it is kept at another place: {folder} is not there")),
        Err(failure) if failure.class == FailureClass::Refused => Err(failure.message),
        Err(failure) => return Err(failure),
    })
}

/// The state in a package's status file, where it can be found.
async fn state_of(at: &Reader<'_>, id: Guid) -> Result<Option<PackageState>, StepFailure> {
    let root = match at.root(Role::PsStatus).await {
        Ok(root) => root,
        Err(failure) if failure.class == FailureClass::Refused => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let file = at.fence().to_read(&root, &format!("{id}\\PackageStatus.xml")).await?;
    match file.metadata() {
        None => Ok(None),
        Some(_) => Ok(Some(read_state(&at.files().read(file.path(), LARGEST).await?))),
    }
}

fn is_damaged(package: &Audited) -> bool {
    package.content.known().is_some_and(|found| {
        let content = &found.content;
        !(content.missing.is_empty()
            && content.wrong_size.is_empty()
            && content.wrong_hash.is_empty())
    })
}

/// What became of the snapshot, and what goes on with the package. `earlier` is none without an
/// earlier audit, and `Some(None)` when that did not know the package.
fn conclude(
    package: &Audited,
    earlier: Option<Option<&EarlierPackage>>,
) -> (Option<SnapshotChange>, &'static str) {
    let snapshot = package.snapshot.known().and_then(Option::as_ref);
    let change = earlier.map(|before| {
        compare_snapshots(before.and_then(|before| before.snapshot.as_ref()), snapshot)
    });
    if package.state == Some(PackageState::Deleted) {
        return (change, "being_removed");
    }
    let now = match (&package.snapshot, &package.content) {
        (Seen::Known(None), _) => "no_snapshot",
        (Seen::Known(Some(_)), Seen::Known(_)) if is_damaged(package) => "damaged",
        (Seen::Known(Some(_)), Seen::Known(_)) => "whole",
        _ => "unknown",
    };
    let missing = package.content.known().map_or(0, |found| found.content.missing.len() as u64);
    let had_missing = earlier.flatten().map_or(0, |before| before.missing);
    let conclusion = match change {
        Some(SnapshotChange::Content) => "real_change",
        Some(SnapshotChange::VersionOnly) => "refresh_churn",
        Some(SnapshotChange::Path) => "path_changed",
        Some(SnapshotChange::None) if missing > had_missing => "external_deletion",
        Some(SnapshotChange::None) | None => now,
        Some(SnapshotChange::Unknown) if snapshot.is_none() => now,
        Some(SnapshotChange::Unknown) => "unknown",
    };
    (change, conclusion)
}

fn value_of(package: &Audited, change: Option<SnapshotChange>, conclusion: &str) -> Value {
    let found = package.content.known().cloned().unwrap_or_default();
    let first = |names: &[String]| names.iter().take(NAMES_KEPT).cloned().collect::<Vec<_>>();
    let why_unknown = match (&package.snapshot, &package.content) {
        (Seen::Unreadable(reason), _) | (_, Seen::Unreadable(reason)) => Some(reason),
        _ => None,
    };
    json!({
        "id": package.id,
        "conclusion": conclusion,
        "change": change,
        "snapshot": package.snapshot.known().and_then(Option::as_ref),
        "why_unknown": why_unknown,
        "listed": found.content.listed,
        "missing": found.content.missing.len(),
        "wrong_size": found.content.wrong_size.len(),
        "wrong_hash": found.content.wrong_hash.len(),
        "extra": found.extra.len(),
        "hashed": found.hashed,
        "files": {
            "missing": first(&found.content.missing),
            "wrong_size": first(&found.content.wrong_size),
            "wrong_hash": first(&found.content.wrong_hash),
            "extra": first(&found.extra),
        },
    })
}

#[cfg(test)]
#[path = "audit_packages/tests.rs"]
mod tests;
