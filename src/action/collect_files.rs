//! `collect_files`: copies of named files as evidence, on the machine that this program runs on.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::package_files::{FilePattern, filled_in, names_of, twins_in};
use super::urgent_list::URGENT_LIST;
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Cabinet, Changer, EvidenceFolder, Fence, Reader, Role, Root};
use crate::model::{Cost, FailureClass, Guid, StepFailure, WindowsPath};

/// The most files of one step, and the largest one and all together, in bytes.
const MOST_FILES: usize = 500;
const LARGEST: u64 = 16 << 20;
const MOST_BYTES: u64 = 256 << 20;

/// How much of the end of a log is kept when the playbook does not say, in KiB.
const TAIL_KIB: u32 = 1024;

/// The action.
pub(super) struct CollectFiles;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    role: Role,
    files: Vec<FilePattern>,
    #[serde(default)]
    packages: Vec<Guid>,
    #[serde(default)]
    into: EvidenceFolder,
    #[serde(default)]
    tail_kib: Option<std::num::NonZeroU32>,
}

const ROLES: &[&str] = &["ps_delivery", "ps_status", "ns_snapshots", "agent_log", "ns_log"];

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<Guid>,
    /// Where it is.
    path: WindowsPath,
    /// Its name below the role's folder.
    relative: String,
    /// Its size and its last write time, Windows FILETIME, when it was looked at.
    size: u64,
    modified: u64,
}

/// What will be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    role: Role,
    into: EvidenceFolder,
    /// The most bytes of each file, counted from its end; none when each is kept whole.
    tail: Option<u64>,
    sources: Vec<Source>,
}

#[async_trait]
impl Action for CollectFiles {
    type Params = Params;
    type State = Vec<Source>;
    type Change = Change;

    const NAME: &'static str = "collect_files";
    const SUMMARY: &'static str = "Copies named files of a host as evidence, with their hashes.";
    const DOC: &'static str = "\
Copies `snapshot.xml`, `PackageStatus.xml`, `UrgentList.xml` or the end of a log into
`<into>/<run>/<host>/<role>` below the working directory, and writes `manifest.json` beside
them: path, size, last write time and SHA-256 of each. Only the owner can enter folders that
are made, and no file is written over. In check mode nothing is copied.

At most 500 files and 256 MiB a step, 16 MiB a file; what is larger, held by another program or
gone is named in the manifest with the reason. The content of packages and the policies, which
hold credentials, are not copied.

The host is only read. Registers `folder`, `manifest` and `files`.

Rights: reading the files over SMB; WinRM to find the folders. Undo: nothing is taken back; the
copies stay.
";
    const EXAMPLE: &'static str = "\
- name: Keep what the packages look like now
  collect_files:
    role: ps_delivery
    files: ['{package}/snapshot.xml']
    packages: '{{ work.package_ids }}'
    into: evidence
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(ROLES),
            required: true,
            doc: "What the files are for; the folder is found on each host.",
        },
        ParamDoc {
            name: "files",
            kind: ParamKind::Texts,
            required: true,
            doc: "Names below the folder; `{package}` stands for a package's GUID in braces.",
        },
        ParamDoc {
            name: "packages",
            kind: ParamKind::Guids,
            required: false,
            doc: "The packages.",
        },
        ParamDoc {
            name: "into",
            kind: ParamKind::Text,
            required: false,
            doc: "The folder below the working directory; `evidence` when not given.",
        },
        ParamDoc {
            name: "tail_kib",
            kind: ParamKind::Count,
            required: false,
            doc: "How much of the end of a log is kept, in KiB; default 1024, at most 16384.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Source>, StepFailure> {
        let patterns = filled_in(at, &params.files).await?;
        if let Some(failure) = objection(params.role, &patterns) {
            return Err(failure);
        }
        let root = at.root(params.role).await?;
        let fence = at.fence();
        let listed = twins_in(at, params.role, &root.path).await?;
        let mut sources = Vec::new();
        for (package, name) in names_of(&patterns, &params.packages, &listed) {
            let file = fence.to_read(&root, &name).await?;
            let Some(metadata) = file.metadata() else { continue };
            sources.push(Source {
                package,
                path: file.path().clone(),
                relative: file.relative().to_owned(),
                size: metadata.size,
                modified: metadata.modified,
            });
        }
        Ok(sources)
    }

    fn decide(params: &Params, sources: &Vec<Source>) -> Verdict<Change> {
        if sources.is_empty() {
            return Verdict::Unchanged {
                note: "none of the files is there".to_owned(),
                value: json!({ "folder": null, "manifest": null, "files": [] }),
            };
        }
        let is_log = matches!(params.role, Role::AgentLog | Role::NsLog);
        let tail = is_log.then(|| {
            let kib = params.tail_kib.map_or(TAIL_KIB, std::num::NonZeroU32::get);
            (u64::from(kib) << 10).min(LARGEST)
        });
        let bytes: u64 =
            sources.iter().map(|source| source.size.min(tail.unwrap_or(LARGEST))).sum();
        if sources.len() > MOST_FILES || bytes > MOST_BYTES {
            return Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!(
                    "could not collect {} files of {} MiB: at most {MOST_FILES} files and {} MiB",
                    sources.len(),
                    bytes >> 20,
                    MOST_BYTES >> 20
                ),
            ));
        }
        Verdict::Change(Change {
            role: params.role,
            into: params.into.clone(),
            tail,
            sources: sources.clone(),
        })
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let into = String::from(change.into.clone());
        change
            .sources
            .iter()
            .map(|source| match change.tail {
                Some(tail) if tail < source.size => {
                    format!("copy the last {} KiB of {} into {into}", tail >> 10, source.path)
                }
                _ => format!("copy {} ({} bytes) into {into}", source.path, source.size),
            })
            .collect()
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let root = at.root(change.role).await?;
        let fence = at.fence();
        let cabinet = at.cabinet(&change.into).await?;
        let mut files = Vec::with_capacity(change.sources.len());
        let (mut kept, mut bytes) = (0_usize, 0_u64);
        for source in &change.sources {
            let copied = copy(at, &fence, &root, &cabinet, change, &source.relative).await?;
            let mut entry = json!({ "package": source.package, "path": source.path });
            match copied {
                Ok(copy) => {
                    kept += 1;
                    bytes += copy.bytes;
                    entry["kept_as"] = json!(copy.kept_as);
                    entry["size"] = json!(copy.size);
                    entry["from_byte"] = json!(copy.from);
                    entry["bytes"] = json!(copy.bytes);
                    entry["modified"] = json!(moment(copy.modified).map(|at| at.to_string()));
                    entry["sha256"] = json!(copy.sha256);
                }
                Err(reason) => entry["not_kept"] = json!(reason),
            }
            files.push(entry);
        }
        let manifest = json!({
            "host": at.host().name, "run": at.run().full(), "role": change.role, "files": files,
        });
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| {
            StepFailure::caused_by(FailureClass::Bug, "could not write the manifest", &error)
        })?;
        let manifest = cabinet.keep(&["manifest.json"], &text).await?;
        let folder = cabinet.folder().display().to_string();
        let of = change.sources.len();
        let value: Value = json!({ "folder": folder, "manifest": manifest, "files": files });
        Ok(Applied {
            note: if kept == of {
                format!("kept {kept} files ({bytes} bytes) in {folder}")
            } else {
                format!("kept {kept} of {of} files ({bytes} bytes) in {folder}")
            },
            value,
            was_so_already: false,
        })
    }

    fn invert(_: &Change) -> Undo {
        Undo::Nothing
    }
}

/// Why these files are not copied; `None` when they may be. Pure.
fn objection(role: Role, patterns: &[FilePattern]) -> Option<StepFailure> {
    let refuse = |reason: &str| {
        Some(StepFailure::new(
            FailureClass::Refused,
            format!("could not collect these files of {role}: {reason}"),
        ))
    };
    let is_named = |pattern: &FilePattern| match role {
        Role::PsDelivery | Role::NsSnapshots => pattern.is_per_package(),
        Role::PsStatus => pattern.is_per_package() || pattern.is_named(URGENT_LIST),
        _ => !pattern.is_per_package(),
    };
    match role {
        Role::PsPolicies | Role::NsSettings => refuse("they hold credentials"),
        Role::AgentQueue | Role::NsQueue => refuse("they are on their way"),
        Role::PsDelivery if patterns.iter().any(|it| it.has_part("cache")) => {
            refuse("the content of packages is not copied")
        }
        _ if !patterns.iter().all(is_named) => refuse(match role {
            Role::AgentLog | Role::NsLog => "a log belongs to no package",
            _ => "each name must hold `{package}`",
        }),
        _ => None,
    }
}

/// A copy that was kept.
struct Copy {
    kept_as: String,
    size: u64,
    modified: u64,
    from: u64,
    bytes: u64,
    sha256: String,
}

/// Copies one file as it is now. `Err` in the inside says why it could not be read; other files
/// are copied all the same.
async fn copy(
    at: &Reader<'_>,
    fence: &Fence<'_>,
    root: &Root,
    cabinet: &Cabinet,
    change: &Change,
    relative: &str,
) -> Result<Result<Copy, String>, StepFailure> {
    let file = fence.to_read(root, relative).await?;
    let Some(found) = file.metadata() else { return Ok(Err("it is gone".to_owned())) };
    let from = change.tail.map_or(0, |tail| found.size.saturating_sub(tail));
    let read = match change.tail {
        Some(tail) => at.files().read_from(file.path(), from, tail).await,
        None => at.files().read(file.path(), LARGEST).await,
    };
    let content = match read.map_err(StepFailure::from) {
        Ok(content) => content,
        Err(failure)
            if matches!(failure.class, FailureClass::RemoteFault | FailureClass::Refused) =>
        {
            return Ok(Err(failure.message));
        }
        Err(failure) => return Err(failure),
    };
    let parts: Vec<&str> = [change.role.name()].into_iter().chain(relative.split('\\')).collect();
    let kept_as = cabinet.keep(&parts, &content).await?;
    Ok(Ok(Copy {
        kept_as,
        size: found.size,
        modified: found.modified,
        from,
        bytes: content.len() as u64,
        sha256: Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect(),
    }))
}

/// The moment of a Windows FILETIME ([MS-DTYP] 2.3.3).
fn moment(filetime: u64) -> Option<Timestamp> {
    const TO_UNIX: i128 = 116_444_736_000_000_000;
    Timestamp::from_nanosecond((i128::from(filetime) - TO_UNIX) * 100).ok()
}

#[cfg(test)]
#[path = "collect_files/tests.rs"]
mod tests;
