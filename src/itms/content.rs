//! A package's files against its snapshot, and one snapshot against an earlier one (KB 433153).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::evidence::{ContentOnDisk, SnapshotSeen};
use super::snapshot::{HashAlgorithm, Manifest};

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOnDisk {
    /// Its path below the package's content, with backslashes.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash in lower-case hexadecimal, where it was read.
    pub hash: Option<(HashAlgorithm, String)>,
}

/// What a comparison of a package's files with its snapshot gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What of the listed files is wrong.
    pub content: ContentOnDisk,
    /// There and not listed.
    pub extra: Vec<String>,
    /// How many files were compared by their hash.
    pub hashed: u32,
}

impl Manifest {
    /// Compares the files that are there with those that are listed; names differ in case only
    /// when they are others.
    pub fn compare(&self, on_disk: &[FileOnDisk]) -> Comparison {
        let mut there: HashMap<String, &FileOnDisk> =
            on_disk.iter().map(|file| (file.name.to_lowercase(), file)).collect();
        let mut comparison = Comparison::default();
        let content = &mut comparison.content;
        content.listed = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        for listed in &self.files {
            let Some(file) = there.remove(&listed.name.to_lowercase()) else {
                content.missing.push(listed.name.clone());
                continue;
            };
            if listed.size.is_some_and(|size| size != file.size) {
                content.wrong_size.push(listed.name.clone());
                continue;
            }
            let Some((algorithm, read)) = &file.hash else { continue };
            let Some(hash) = &listed.hash else { continue };
            if hash.algorithm == Some(*algorithm) {
                comparison.hashed += 1;
                if hash.text != *read {
                    content.wrong_hash.push(listed.name.clone());
                }
            }
        }
        comparison.extra = there.into_values().map(|file| file.name.clone()).collect();
        comparison.extra.sort();
        comparison
    }
}

/// What became of a package's snapshot between two looks (KB 433153: version, hashes, path).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotChange {
    /// Nothing: when files vanish all the same, something else deletes them.
    None,
    /// Another version of the same files: a refresh that changes nothing makes everybody download.
    VersionOnly,
    /// Other files: the package really changed.
    Content,
    /// The same files in another folder.
    Path,
    /// It is gone, has come, or one of the two cannot be read.
    Unknown,
}

/// Compares a snapshot with an earlier one of the same package.
pub fn compare_snapshots(
    before: Option<&SnapshotSeen>,
    now: Option<&SnapshotSeen>,
) -> SnapshotChange {
    let (Some(before), Some(now)) = (before, now) else { return SnapshotChange::Unknown };
    if before.sha256 == now.sha256 {
        return SnapshotChange::None;
    }
    match (&before.content_sha256, &now.content_sha256) {
        (Some(old), Some(new)) if old != new => SnapshotChange::Content,
        (Some(_), Some(_)) if before.path != now.path => SnapshotChange::Path,
        (Some(_), Some(_)) if before.version != now.version => SnapshotChange::VersionOnly,
        (Some(_), Some(_)) => SnapshotChange::None,
        _ => SnapshotChange::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itms::snapshot::read_snapshot;

    fn manifest(text: &str) -> Manifest {
        read_snapshot(text.as_bytes()).manifest.expect("a manifest")
    }

    fn there(name: &str, size: u64) -> FileOnDisk {
        FileOnDisk { name: name.to_owned(), size, hash: None }
    }

    #[test]
    fn what_is_missing_damaged_and_surplus_is_named() {
        let md5 = "0cc175b9c0f1b6a831c399e269772661";
        let manifest = manifest(&format!(
            "<s><f name='A\\Setup.exe' size='1' md5='{md5}'/><f name='b' size='2'/><f name='c' size='3'/>\
             <f name='d' size='4' md5='{md5}'/></s>"
        ));
        let hashed = |name, size, hash: &str| FileOnDisk {
            hash: Some((HashAlgorithm::Md5, hash.to_owned())),
            ..there(name, size)
        };

        let found = manifest.compare(&[
            hashed("a\\setup.EXE", 1, md5),
            there("b", 20),
            hashed("d", 4, &"0".repeat(32)),
            there("z", 1),
        ]);

        assert_eq!(found.content.listed, 4);
        assert_eq!(found.content.missing, ["c"]);
        assert_eq!(found.content.wrong_size, ["b"]);
        assert_eq!(found.content.wrong_hash, ["d"]);
        assert_eq!((found.extra, found.hashed), (vec!["z".to_owned()], 2));
    }

    #[test]
    fn a_hash_of_another_function_says_nothing() {
        let manifest =
            manifest("<s><f name='a' size='1' md5='0cc175b9c0f1b6a831c399e269772661'/></s>");
        let file =
            FileOnDisk { hash: Some((HashAlgorithm::Sha256, "00".repeat(32))), ..there("a", 1) };

        let found = manifest.compare(&[file]);

        assert_eq!(
            found,
            Comparison {
                content: ContentOnDisk { listed: 1, ..Default::default() },
                ..Default::default()
            }
        );
    }

    #[test]
    fn a_refresh_without_new_files_is_told_from_a_real_change_and_from_none() {
        let seen = |text: &str| read_snapshot(text.as_bytes()).seen();
        let before = seen("<s version='1' path='p'><f name='a' size='1'/></s>");
        let cases = [
            ("<s version='1' path='p'><f name='a' size='1'/></s>", SnapshotChange::None),
            ("<s version='2' path='p'><f name='a' size='1'/></s>", SnapshotChange::VersionOnly),
            ("<s version='2' path='q'><f name='a' size='1'/></s>", SnapshotChange::Path),
            ("<s version='2' path='p'><f name='a' size='2'/></s>", SnapshotChange::Content),
            ("<s version='1'  path='p'><f size='1' name='a'/></s>", SnapshotChange::None),
            ("<s version='2'/>", SnapshotChange::Unknown),
        ];

        for (now, change) in cases {
            assert_eq!(compare_snapshots(Some(&before), Some(&seen(now))), change, "{now}");
        }
        assert_eq!(compare_snapshots(Some(&before), None), SnapshotChange::Unknown);
    }
}
