//! Snapshots, `snapshot.xml` on package servers and `{GUID}.xml` at the Notification Server: the
//! files of a package with their properties.
//!
//! KB 150861 calls it a manifest that lists the files with their properties; KB 433153 speaks of its
//! version, path and hashes. No sample was published, so any layout is read in which an element has
//! a name and a size: as attributes, as child elements, or nested in folders. Whatever else it may
//! be is unreadable, and still has the hash of its bytes: two of them can be told apart.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::evidence::SnapshotSeen;
use super::xml::{Element, Unreadable, walk};

/// How many files a snapshot may list.
pub const MOST_FILES: usize = 100_000;

/// A snapshot, understood or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// What it says.
    pub manifest: Result<Manifest, Unreadable>,
}

/// What a snapshot says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The package's version; none when it names none, or several.
    pub version: Option<String>,
    /// The folder that it says the files are in.
    pub path: Option<String>,
    /// The files, sorted by name; a name is listed once.
    pub files: Vec<ListedFile>,
}

/// A file in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path below the package's content, with backslashes.
    pub name: String,
    /// Its size in bytes, where it is given.
    pub size: Option<u64>,
    /// Its hash, where it is given.
    pub hash: Option<ListedHash>,
    /// When it was last written, as it is written there.
    pub modified: Option<String>,
}

/// The hash of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHash {
    /// How it was made; none when its length does not tell, or the snapshot says otherwise.
    pub algorithm: Option<HashAlgorithm>,
    /// Lower-case hexadecimal when the algorithm is known, else as written.
    pub text: String,
}

/// A hash function, told by the length of what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    fn of_length(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Md5),
            20 => Some(Self::Sha1),
            32 => Some(Self::Sha256),
            64 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// Reads a snapshot's bytes.
pub fn read_snapshot(bytes: &[u8]) -> Snapshot {
    Snapshot { sha256: hex(&Sha256::digest(bytes)), manifest: read_manifest(bytes) }
}

impl Snapshot {
    /// What evidence keeps of it.
    pub fn seen(&self) -> SnapshotSeen {
        let manifest = self.manifest.as_ref().ok();
        SnapshotSeen {
            version: manifest.and_then(|manifest| manifest.version.clone()),
            sha256: self.sha256.clone(),
            content_sha256: manifest.map(Manifest::content_sha256),
            path: manifest.and_then(|manifest| manifest.path.clone()),
            files: manifest
                .map_or(0, |manifest| u32::try_from(manifest.files.len()).unwrap_or(u32::MAX)),
            bytes: manifest.and_then(Manifest::bytes),
        }
    }
}

impl Manifest {
    /// SHA-256 over the sorted names, sizes and hashes: the same in two versions of a package when
    /// its content did not change.
    pub fn content_sha256(&self) -> String {
        let mut digest = Sha256::new();
        for file in &self.files {
            let size = file.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
            let hash = file.hash.as_ref().map_or("-", |hash| &hash.text);
            digest.update(format!("{}\t{size}\t{hash}\n", file.name.to_lowercase()));
        }
        hex(&digest.finalize())
    }

    /// The bytes of all files, where every size is given.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size?))
    }
}

const NAME: &[&str] = &["name", "filename", "file"];
const PLACE: &[&str] =
    &["relativepath", "relpath", "filepath", "fullpath", "path", "directory", "folder"];
const SIZE: &[&str] = &["size", "filesize", "length", "bytes"];
const HASH: &[&str] = &[
    "sha512",
    "sha-512",
    "sha256",
    "sha-256",
    "sha1",
    "sha-1",
    "md5",
    "hash",
    "filehash",
    "hashvalue",
    "digest",
    "checksum",
];
const ALGORITHM: &[&str] = &["hashalgorithm", "algorithm", "hashtype"];
const MODIFIED: &[&str] = &[
    "modified",
    "lastmodified",
    "modifieddate",
    "modifiedtime",
    "lastwritetime",
    "mtime",
    "date",
    "time",
    "timestamp",
];
const VERSION: &[&str] = &["version", "packageversion"];
const ROOT_PLACE: &[&str] = &["path", "packagepath", "sourcepath", "location"];
const COUNT: &[&str] = &["filecount", "filescount", "numberoffiles", "count", "files"];

/// Elements that may have a name and a size and are no files.
const NO_FILE: &[&str] = &[
    "package",
    "swdpackage",
    "snapshot",
    "packagesnapshot",
    "codebase",
    "source",
    "program",
    "location",
];
const FOLDER: &[&str] = &["directory", "dir", "folder"];
const FILE: &[&str] = &["file", "packagefile", "snapshotfile", "fileinfo", "fileentry"];

fn read_manifest(bytes: &[u8]) -> Result<Manifest, Unreadable> {
    let mut files = Vec::new();
    let mut versions: Vec<String> = Vec::new();
    let mut path = None;
    // How many files were found below the open element of each depth.
    let mut below = vec![0_usize];
    walk(bytes, |element, inside| {
        let depth = inside.len();
        below.resize(below.len().max(depth + 1), 0);
        let inner = std::mem::take(&mut below[depth]);
        let mut found = inner;
        if inner == 0 && depth > 0 && is_file(element) {
            if files.len() == MOST_FILES {
                return Err(Unreadable::because(format!("it lists more than {MOST_FILES} files")));
            }
            files.push((element.name.to_lowercase(), file(element, inside)?));
            found = 1;
        } else if let Some(said) = element.value(COUNT).and_then(|text| text.parse::<usize>().ok())
            && (said != inner && (inner > 0 || depth == 0))
        {
            return Err(Unreadable::because(format!(
                "<{}> says that it has {said} files, and {inner} were found",
                element.name
            )));
        }
        let is_around = inner > 0 || depth == 0;
        if is_around && let Some(version) = element.value(VERSION) {
            versions.push(version.trim().to_owned());
        }
        if is_around && !element.is(FOLDER) {
            path = element.value(ROOT_PLACE).map(str::to_owned).or(path.take());
        }
        if depth > 0 {
            below[depth - 1] += found;
        } else if found == 0 && element.value(COUNT).is_none_or(|count| count.trim() != "0") {
            return Err(Unreadable::because("no element in it has a name and a size"));
        }
        Ok(())
    })?;
    versions.dedup();
    let version = match versions.as_slice() {
        [only] if !only.is_empty() => Some(only.clone()),
        _ => None,
    };
    Ok(Manifest { version, path, files: settle(of_one_kind(files)?)? })
}

/// Of elements of several names those that are called files: a signature may have a name and a size,
/// too. When none is called so, nobody knows which of them are.
fn of_one_kind(found: Vec<(String, ListedFile)>) -> Result<Vec<ListedFile>, Unreadable> {
    let Some((first, _)) = found.first() else { return Ok(Vec::new()) };
    if found.iter().all(|(name, _)| name == first) {
        return Ok(found.into_iter().map(|(_, file)| file).collect());
    }
    let called_files: Vec<ListedFile> = found
        .into_iter()
        .filter(|(name, _)| FILE.contains(&name.as_str()))
        .map(|(_, file)| file)
        .collect();
    if called_files.is_empty() {
        return Err(Unreadable::because("elements of several names in it could be files"));
    }
    Ok(called_files)
}

/// Whether an element is a file: it has a name and a size, or is called a file and has a name.
fn is_file(element: &Element) -> bool {
    let is_folder = element.is(FOLDER)
        || element
            .value(&["type", "kind"])
            .is_some_and(|kind| FOLDER.iter().any(|folder| kind.eq_ignore_ascii_case(folder)))
        || element
            .value(&["isdirectory", "isfolder"])
            .is_some_and(|is| is.eq_ignore_ascii_case("true"));
    if is_folder || element.is(NO_FILE) {
        return false;
    }
    let has_size = element.value(SIZE).is_some();
    let has_name = element.value(NAME).or_else(|| element.value(PLACE)).is_some();
    let is_called_so = element.is(FILE);
    has_name && (has_size || is_called_so) || is_called_so && has_size && !element.text.is_empty()
}

fn file(element: &Element, inside: &[Element]) -> Result<ListedFile, Unreadable> {
    let name = relative_name(element, inside)?;
    let size = match element.value(SIZE) {
        None => None,
        Some(text) => Some(text.trim().parse().map_err(|_| {
            Unreadable::because(format!(
                "the size of {name} is no number of bytes: `{}`",
                cut(text)
            ))
        })?),
    };
    Ok(ListedFile {
        name,
        size,
        hash: hash(element),
        modified: element.value(MODIFIED).map(str::to_owned),
    })
}

/// The path of a file below the package's content, out of its own name and the folders around it.
fn relative_name(element: &Element, inside: &[Element]) -> Result<String, Unreadable> {
    let name = element.value(NAME).or_else(|| element.is(FILE).then_some(element.text.as_str()));
    let name = name.filter(|name| !name.is_empty()).map(parts);
    let place = element.value(PLACE).map(parts);
    let mut path = match (name, place) {
        (Some(name), None) => name,
        (None, Some(place)) => place,
        (Some(name), Some(place)) => {
            if is_absolute(&name) || ends_with(&place, &name) {
                if is_absolute(&name) { name } else { place }
            } else {
                [place, name].concat()
            }
        }
        (None, None) => Vec::new(),
    };
    if !is_absolute(&path) {
        for folder in inside.iter().skip(1).rev().filter(|element| element.is(FOLDER)) {
            let Some(outer) = folder.value(NAME).or_else(|| folder.value(PLACE)).map(parts) else {
                continue;
            };
            if is_absolute(&path) || starts_with(&path, &outer) {
                continue;
            }
            path = [outer, path].concat();
        }
    }
    if is_absolute(&path) {
        path = below_content(path, inside)?;
    }
    let is_strange = |part: &String| {
        part == ".."
            || part.chars().any(|c| {
                c.is_control() || c == char::REPLACEMENT_CHARACTER || ":*?\"<>|".contains(c)
            })
    };
    if path.is_empty() || path.iter().any(is_strange) {
        return Err(Unreadable::because(format!(
            "`{}` is no name of a file inside the package",
            cut(&path.join("\\"))
        )));
    }
    Ok(path.join("\\"))
}

/// A path without what is above the package's content.
fn below_content(path: Vec<String>, inside: &[Element]) -> Result<Vec<String>, Unreadable> {
    let around = inside.iter().filter_map(|element| element.value(ROOT_PLACE)).map(parts);
    for root in around {
        if is_absolute(&root) && starts_with(&path, &root) {
            return Ok(path[root.len()..].to_vec());
        }
    }
    let cache = path.iter().position(|part| part.eq_ignore_ascii_case("cache"));
    match cache {
        Some(at) => Ok(path[at + 1..].to_vec()),
        None => Err(Unreadable::because(format!(
            "it lists `{}` by its whole path and does not say where the package is",
            cut(&path.join("\\"))
        ))),
    }
}

/// The parts of a path as the product may write it. Of one that begins at a drive or a server, the
/// first part is `C:` or `\\server`.
fn parts(path: &str) -> Vec<String> {
    let path = path.trim().replace('/', "\\");
    let is_share = path.starts_with("\\\\");
    let mut parts: Vec<String> = path
        .split('\\')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect();
    if is_share && let Some(first) = parts.first_mut() {
        first.insert_str(0, "\\\\");
    }
    parts
}

fn is_absolute(parts: &[String]) -> bool {
    parts.first().is_some_and(|first| {
        first.starts_with("\\\\")
            || matches!(first.as_bytes(), [drive, b':'] if drive.is_ascii_alphabetic())
    })
}

fn starts_with(path: &[String], outer: &[String]) -> bool {
    path.len() > outer.len() && same(&path[..outer.len()], outer)
}

fn ends_with(path: &[String], inner: &[String]) -> bool {
    path.len() >= inner.len() && same(&path[path.len() - inner.len()..], inner)
}

fn same(one: &[String], other: &[String]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.to_lowercase() == other.to_lowercase())
}

fn hash(element: &Element) -> Option<ListedHash> {
    let text = element.value(HASH)?.trim();
    if text.is_empty() {
        return None;
    }
    let bare = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = bare.len() % 2 == 0 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = if is_hex {
        HashAlgorithm::of_length(bare.len() / 2).map(|algorithm| (algorithm, bare.to_lowercase()))
    } else {
        STANDARD.decode(text).ok().and_then(|bytes| {
            HashAlgorithm::of_length(bytes.len()).map(|algorithm| (algorithm, hex(&bytes)))
        })
    };
    let said: Option<String> = element.value(ALGORITHM).map(|said| {
        said.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
    });
    Some(match read {
        Some((algorithm, text)) if said.is_none_or(|said| said.contains(algorithm.name())) => {
            ListedHash { algorithm: Some(algorithm), text }
        }
        _ => ListedHash { algorithm: None, text: text.to_owned() },
    })
}

/// Sorts the files and takes off the folder of the content where every name begins with it.
fn settle(mut files: Vec<ListedFile>) -> Result<Vec<ListedFile>, Unreadable> {
    const CACHE: &str = "cache\\";
    let is_below_cache = |file: &ListedFile| {
        file.name.get(..CACHE.len()).is_some_and(|start| start.eq_ignore_ascii_case(CACHE))
    };
    if files.iter().all(is_below_cache) {
        for file in &mut files {
            file.name.drain(..CACHE.len());
        }
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(files.len());
    let mut settled: Vec<ListedFile> = Vec::with_capacity(files.len());
    for file in files {
        match seen.get(&file.name.to_lowercase()) {
            None => {
                seen.insert(file.name.to_lowercase(), settled.len());
                settled.push(file);
            }
            Some(at) if settled[*at] == file => {}
            Some(_) => {
                return Err(Unreadable::because(format!(
                    "it lists {} twice, and not the same",
                    cut(&file.name)
                )));
            }
        }
    }
    settled.sort_by_cached_key(|file| file.name.to_lowercase());
    Ok(settled)
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[path = "snapshot/tests.rs"]
mod tests;
