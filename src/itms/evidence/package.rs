//! A package on a package server: what the agent says it holds, and what lies on the disk.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Seen;
use crate::model::Guid;

/// A package in the agent's own list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPackage {
    /// The package.
    pub id: Guid,
    /// Its name.
    pub name: Option<String>,
    /// Its status in the agent's words.
    pub status: String,
    /// The status before that, where the agent tells it.
    pub previous_status: Option<String>,
    /// When the status changed, where the agent tells it.
    pub since: Option<Timestamp>,
    /// Its version.
    pub version: Option<String>,
    /// The folder outside of the agent's store in which it is kept, when it has one of its own.
    pub location: Option<String>,
}

/// A package's files on a package server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOnDisk {
    /// The package.
    pub id: Guid,
    /// Its snapshot; `Known(None)` when there is none.
    pub snapshot: Seen<Option<SnapshotSeen>>,
    /// Whether another program keeps the snapshot open, so that it cannot be replaced (0x20).
    pub is_snapshot_locked: Seen<bool>,
    /// The state in its `PackageStatus.xml`; `Known(None)` when there is no such file.
    pub status_file: Seen<Option<String>>,
    /// The files that the snapshot lists, compared with those that are there.
    pub content: Seen<ContentOnDisk>,
    /// How many of these files were compared by their hash; unreadable where one of them could not
    /// be read to its end.
    #[serde(default)]
    pub hashes: Seen<u32>,
    /// The length of the longest path of its files, `cache` included; over 254 the product gives up
    /// (KB 152039).
    pub longest_path: Option<u32>,
    /// Whether the configured credential has its rights on the package's own folder.
    pub has_credential_rights: Seen<bool>,
}

/// A `snapshot.xml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSeen {
    /// The package's version in it; none when it is not understood.
    pub version: Option<String>,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 over names, sizes and hashes of the files that it lists: the same in two versions
    /// when the content did not change. None when it is not understood.
    pub content_sha256: Option<String>,
    /// The folder that it says the files are in, where it does.
    pub path: Option<String>,
    /// How many files it lists.
    pub files: u32,
    /// The bytes of these files together, where every size is given.
    pub bytes: Option<u64>,
}

/// The files of a package against its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentOnDisk {
    /// How many files the snapshot lists.
    pub listed: u32,
    /// Listed and not there.
    pub missing: Vec<String>,
    /// There with another size.
    pub wrong_size: Vec<String>,
    /// There with the right size and another hash; only files whose hash is listed and was read.
    pub wrong_hash: Vec<String>,
}
