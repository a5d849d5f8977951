//! The files of a package, and their hashes where the snapshot lists some.

use std::collections::HashMap;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::disk::or_missing;
use super::part::seen;
use crate::host::Reader;
use crate::itms::content::FileOnDisk;
use crate::itms::evidence::Seen;
use crate::itms::snapshot::{HashAlgorithm, Manifest};
use crate::model::{StepFailure, WindowsPath};

/// How deep folders are followed, and how many entries are looked at.
const DEEPEST: usize = 32;
const MOST_ENTRIES: usize = 20_000;
/// How much of a file is read at once.
const PIECE: u64 = 4 << 20;

/// The files below a folder by their path below it; none when the folder is not there. Links are
/// not followed.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn walk(
    at: &Reader<'_>,
    folder: &WindowsPath,
) -> Result<Seen<Vec<FileOnDisk>>, StepFailure> {
    let mut files = Vec::new();
    let mut looked_at = 0;
    let mut folders = vec![(folder.clone(), String::new(), 0)];
    while let Some((path, below, depth)) = folders.pop() {
        let listed = match seen(or_missing(at.files().list(&path).await))? {
            Seen::Known(listed) => listed.unwrap_or_default(),
            Seen::Unreadable(why) => return Ok(Seen::Unreadable(why)),
            Seen::NotAsked => return Ok(Seen::NotAsked),
        };
        looked_at += listed.len();
        if looked_at > MOST_ENTRIES {
            let why = format!("{folder} holds more than {MOST_ENTRIES} files and folders");
            return Ok(Seen::Unreadable(why));
        }
        for entry in listed {
            let name = format!("{below}{}", entry.name);
            if !entry.attributes.is_directory() {
                files.push(FileOnDisk { name, size: entry.size, hash: None });
            } else if !entry.attributes.is_link()
                && depth < DEEPEST
                && let Ok(inner) = path.join(&entry.name)
            {
                folders.push((inner, format!("{name}\\"), depth + 1));
            }
        }
    }
    Ok(Seen::Known(files))
}

/// Reads the hashes of those files that the snapshot lists with their size and a hash, as far as
/// the budget goes; what was read is taken off it. Says how many were read, or of the first one that
/// could not be read why: it has no hash, and may be damaged.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn hash(
    at: &Reader<'_>,
    folder: &WindowsPath,
    manifest: &Manifest,
    files: &mut [FileOnDisk],
    budget: &mut u64,
) -> Result<Seen<u32>, StepFailure> {
    let wanted: HashMap<String, (Option<u64>, HashAlgorithm)> = manifest
        .files
        .iter()
        .filter_map(|file| {
            let algorithm = file.hash.as_ref()?.algorithm?;
            Some((file.name.to_lowercase(), (file.size, algorithm)))
        })
        .collect();
    let mut hashes = Seen::Known(0);
    for file in files {
        let Some((size, algorithm)) = wanted.get(&file.name.to_lowercase()) else { continue };
        let is_other_size = size.is_some_and(|size| size != file.size);
        if is_other_size || file.size > *budget {
            continue;
        }
        let Some(mut digest) = Digesting::of(*algorithm) else { continue };
        let Ok(path) = folder.join(&file.name) else { continue };
        *budget -= file.size;
        match read_into(at, &path, file.size, &mut digest).await? {
            Seen::Known(()) => {
                file.hash = Some((*algorithm, digest.finish()));
                if let Seen::Known(count) = &mut hashes {
                    *count += 1;
                }
            }
            Seen::Unreadable(why) if hashes.known().is_some() => hashes = Seen::Unreadable(why),
            Seen::Unreadable(_) | Seen::NotAsked => {}
        }
    }
    Ok(hashes)
}

/// Reads the whole file, or says why that could not be done.
async fn read_into(
    at: &Reader<'_>,
    path: &WindowsPath,
    size: u64,
    digest: &mut Digesting,
) -> Result<Seen<()>, StepFailure> {
    let mut done = 0;
    while done < size {
        let wanted = PIECE.min(size - done);
        let piece = match seen(at.files().read_from(path, done, wanted).await)? {
            Seen::Known(piece) => piece,
            Seen::Unreadable(why) => return Ok(Seen::Unreadable(why)),
            Seen::NotAsked => return Ok(Seen::NotAsked),
        };
        if piece.is_empty() {
            return Ok(Seen::Unreadable(format!("{path} became shorter while it was read")));
        }
        digest.take(&piece);
        done += piece.len() as u64;
    }
    Ok(Seen::Known(()))
}

enum Digesting {
    Sha256(Sha256),
    Md5(Md5),
}

impl Digesting {
    /// None for a function that this program does not have.
    fn of(algorithm: HashAlgorithm) -> Option<Self> {
        match algorithm {
            HashAlgorithm::Sha256 => Some(Self::Sha256(Sha256::new())),
            HashAlgorithm::Md5 => Some(Self::Md5(Md5::new())),
            HashAlgorithm::Sha1 | HashAlgorithm::Sha512 => None,
        }
    }

    fn take(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(piece),
            Self::Md5(digest) => digest.update(piece),
        }
    }

    fn finish(self) -> String {
        let bytes = match self {
            Self::Sha256(digest) => digest.finalize().to_vec(),
            Self::Md5(digest) => digest.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
