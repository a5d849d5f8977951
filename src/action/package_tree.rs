//! The files and folders of a package on a host, as far as they lie in its own folder.

use std::collections::HashMap;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use crate::host::Reader;
use crate::itms::content::FileOnDisk;
use crate::itms::snapshot::{HashAlgorithm, Manifest};
use crate::model::{FailureClass, StepFailure, WindowsPath};
use crate::transport::TransportErrorKind;

/// How many files and folders a package may have, and how deep these may be.
const MOST_ENTRIES: usize = 100_000;
const DEEPEST: usize = 32;

/// How much of a file is read at once.
const PIECE: u64 = 1 << 20;

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The files, their names relative to the folder.
    pub(super) files: Vec<FileOnDisk>,
    /// The folders below it, by their paths.
    pub(super) folders: Vec<WindowsPath>,
    /// Links, by their names: nobody follows them.
    pub(super) links: Vec<String>,
}

/// Lists all that is below a folder; `None` when there is no such folder. `Err` with words when it
/// is more than a package can have.
pub(super) async fn list(
    at: &Reader<'_>,
    folder: &WindowsPath,
) -> Result<Option<Result<Tree, String>>, StepFailure> {
    let mut tree = Tree::default();
    let mut open = vec![(folder.clone(), String::new(), 0_usize)];
    let mut count = 0;
    while let Some((path, prefix, depth)) = open.pop() {
        let entries = match at.files().list(&path).await {
            Err(error) if error.kind == TransportErrorKind::NotFound && depth == 0 => {
                return Ok(None);
            }
            // Somebody took it away meanwhile.
            Err(error) if error.kind == TransportErrorKind::NotFound => continue,
            listed => listed?,
        };
        for entry in entries {
            count += 1;
            if count > MOST_ENTRIES || depth > DEEPEST {
                return Ok(Some(Err(format!(
                    "it holds more than {MOST_ENTRIES} files, or folders more than {DEEPEST} deep"
                ))));
            }
            let name = format!("{prefix}{}", entry.name);
            if entry.attributes.is_link() {
                tree.links.push(name);
            } else if entry.attributes.is_directory() {
                // A name that is none for this program is left alone.
                let Ok(below) = path.join(&entry.name) else { continue };
                tree.folders.push(below.clone());
                open.push((below, format!("{name}\\"), depth + 1));
            } else {
                tree.files.push(FileOnDisk { name, size: entry.size, hash: None });
            }
        }
    }
    tree.folders.sort_by_key(|folder| folder.to_string().to_lowercase());
    Ok(Some(Ok(tree)))
}

/// Hashes the files whose hash a manifest lists, as long as `room` bytes last; a file of another
/// size is wrong without that. One that cannot be read, because somebody holds it, has no hash.
pub(super) async fn hash(
    at: &Reader<'_>,
    folder: &WindowsPath,
    files: &mut [FileOnDisk],
    manifest: &Manifest,
    room: &mut u64,
) -> Result<(), StepFailure> {
    let listed: HashMap<String, (u64, HashAlgorithm)> = manifest
        .files
        .iter()
        .filter_map(|file| {
            Some((file.name.to_lowercase(), (file.size?, file.hash.as_ref()?.algorithm?)))
        })
        .collect();
    for file in files {
        let Some((size, algorithm)) = listed.get(&file.name.to_lowercase()) else { continue };
        let Ok(path) = folder.join(&file.name) else { continue };
        if *size != file.size || file.size > *room {
            continue;
        }
        *room -= file.size;
        let hashed = match algorithm {
            HashAlgorithm::Md5 => digest::<Md5>(at, &path, file.size).await,
            HashAlgorithm::Sha256 => digest::<Sha256>(at, &path, file.size).await,
            HashAlgorithm::Sha512 => digest::<Sha512>(at, &path, file.size).await,
            HashAlgorithm::Sha1 => continue,
        };
        match hashed {
            Ok(hashed) => file.hash = Some((*algorithm, hashed)),
            Err(failure) if failure.class == FailureClass::RemoteFault => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn digest<D: Digest>(
    at: &Reader<'_>,
    path: &WindowsPath,
    size: u64,
) -> Result<String, StepFailure> {
    let mut digest = D::new();
    let mut read = 0;
    while read < size {
        let bytes = at.files().read_from(path, read, PIECE).await?;
        if bytes.is_empty() {
            break;
        }
        read += bytes.len() as u64;
        digest.update(&bytes);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
