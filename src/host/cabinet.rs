//! Where files that were read from a host are kept on the machine that this program runs on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::Changer;
use crate::model::{FailureClass, StepFailure};

/// How many files of one name are kept beside each other.
const MOST_TWINS: u32 = 50;

/// A folder below the working directory, as a playbook names it: `evidence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EvidenceFolder(String);

impl Default for EvidenceFolder {
    fn default() -> Self {
        Self("evidence".to_owned())
    }
}

impl TryFrom<String> for EvidenceFolder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && !part.starts_with('~')
                && part != "."
                && part != ".."
                && part.chars().all(|c| c.is_alphanumeric() || " ._-".contains(c))
        };
        let text = text.strip_suffix('/').map(str::to_owned).unwrap_or(text);
        if text.split('/').count() > 16 || !text.split('/').all(is_plain) {
            return Err(format!(
                "`{text}` is no folder below the working directory: letters, digits, blanks and \
                 `._-`, parts separated by `/`"
            ));
        }
        Ok(Self(text))
    }
}

impl From<EvidenceFolder> for String {
    fn from(folder: EvidenceFolder) -> Self {
        folder.0
    }
}

/// The folder of one host in one run: `<folder>/<run>/<host>`. Only its owner may enter it.
#[derive(Debug)]
pub struct Cabinet {
    folder: PathBuf,
}

impl Changer<'_> {
    /// Opens the host's cabinet, and makes the folders that are not there.
    ///
    /// # Errors
    ///
    /// `Refused` when a link or a file is on the way, or a folder cannot be made.
    pub async fn cabinet(&self, into: &EvidenceFolder) -> Result<Cabinet, StepFailure> {
        let host: String = self
            .host()
            .name
            .to_string()
            .chars()
            .map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' })
            .collect();
        let host = if host.starts_with('.') { format!("_{host}") } else { host };
        let run = self.run().full();
        let mut folder = PathBuf::new();
        for part in into.0.split('/').chain([run.as_str(), host.as_str()]) {
            folder.push(part);
            make_folder(&folder).await?;
        }
        Ok(Cabinet { folder })
    }
}

impl Cabinet {
    /// Where it is, relative to the working directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a file; never over another one: the second of a name is kept as `x.xml.2`. Returns
    /// its place in the cabinet, parts separated by `/`.
    ///
    /// # Errors
    ///
    /// `Refused` when the name could lead out of the cabinet, or the file cannot be written.
    pub async fn keep(&self, parts: &[&str], content: &[u8]) -> Result<String, StepFailure> {
        let leads_out = |part: &&str| {
            part.is_empty() || *part == "." || *part == ".." || part.contains(['/', '\\', '\0'])
        };
        let Some((name, folders)) = parts.split_last() else {
            return Err(refused(&self.folder, "it has no name"));
        };
        if parts.iter().any(leads_out) {
            return Err(refused(&self.folder.join(parts.join("_")), "its name leads elsewhere"));
        }
        let mut folder = self.folder.clone();
        for part in folders {
            folder.push(part);
            make_folder(&folder).await?;
        }
        for twin in 1..=MOST_TWINS {
            let name = if twin == 1 { (*name).to_owned() } else { format!("{name}.{twin}") };
            let path = folder.join(&name);
            let mut options = tokio::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            options.mode(0o600);
            let mut file = match options.open(&path).await {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(not_written(&path, &error)),
            };
            let written = async {
                file.write_all(content).await?;
                file.flush().await
            };
            written.await.map_err(|error| not_written(&path, &error))?;
            let place: Vec<&str> = folders.iter().copied().chain([name.as_str()]).collect();
            return Ok(place.join("/"));
        }
        Err(refused(&folder.join(name), "there are too many of this name"))
    }
}

async fn make_folder(folder: &Path) -> Result<(), StepFailure> {
    let mut builder = tokio::fs::DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    match builder.create(folder).await {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(not_written(folder, &error)),
    }
    // Looked at without following: a link could lead anywhere.
    match tokio::fs::symlink_metadata(folder).await {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(refused(folder, "it is a link or a file")),
        Err(error) => Err(not_written(folder, &error)),
    }
}

fn refused(path: &Path, reason: &str) -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        format!("could not keep evidence in {}: {reason}", path.display()),
    )
}

fn not_written(path: &Path, error: &std::io::Error) -> StepFailure {
    StepFailure::caused_by(
        FailureClass::Refused,
        format!("could not keep evidence in {}", path.display()),
        error,
    )
}

/// A folder below the working directory that goes away with the test, and its name.
#[cfg(test)]
pub(crate) fn below_here() -> (tempfile::TempDir, String) {
    std::fs::create_dir_all("target").expect("a directory");
    let here = std::env::current_dir().expect("a directory");
    let made = tempfile::Builder::new().prefix("evidence-").tempdir_in("target").expect("made");
    let path = made.path().strip_prefix(&here).unwrap_or(made.path());
    let name = path.to_str().expect("text").to_owned();
    (made, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::{MemoryHost, changer};

    fn below() -> (tempfile::TempDir, EvidenceFolder) {
        let (here, name) = below_here();
        (here, EvidenceFolder::try_from(name).expect("a folder"))
    }

    #[test]
    fn a_folder_is_below_the_working_directory() {
        for fine in ["evidence", "a/b c/d.e", "evidence/"] {
            assert!(EvidenceFolder::try_from(fine.to_owned()).is_ok(), "{fine}");
        }
        for wrong in ["", "/tmp", "..", "a/../b", "a//b", "~/x", "C:\\x", "a\\b", "./a", "a\0"] {
            assert!(EvidenceFolder::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_file_is_kept_beside_one_of_its_name_and_only_its_owner_reads_it() {
        let (_here, into) = below();
        let host = MemoryHost::package_server();
        let session = host.session(7);
        let cabinet = changer(&session).cabinet(&into).await.expect("a cabinet");

        let first = cabinet.keep(&["ps_delivery", "{A}", "x.xml"], b"1").await.expect("kept");
        let second = cabinet.keep(&["ps_delivery", "{A}", "x.xml"], b"2").await.expect("kept");

        assert_eq!(
            (first.as_str(), second.as_str()),
            ("ps_delivery/{A}/x.xml", "ps_delivery/{A}/x.xml.2")
        );
        assert!(cabinet.folder().ends_with("00000000000000000000000000000007/ps-01"));
        let read = |name: &str| std::fs::read(cabinet.folder().join(name)).expect(name);
        assert_eq!((read(&first), read(&second)), (b"1".to_vec(), b"2".to_vec()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode(cabinet.folder()) & 0o777, 0o700);
            assert_eq!(mode(&cabinet.folder().join(&first)) & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_cabinet() {
        let (_here, into) = below();
        let host = MemoryHost::package_server();
        let session = host.session(7);
        let cabinet = changer(&session).cabinet(&into).await.expect("a cabinet");

        for hostile in [&["..", "x"][..], &["a/b"], &["a\\b"], &[""], &[], &["."]] {
            let failure = cabinet.keep(hostile, b"x").await.expect_err("refused");
            assert_eq!(failure.class, FailureClass::Refused, "{hostile:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_on_the_way_is_not_followed() {
        let (here, into) = below();
        let host = MemoryHost::package_server();
        let session = host.session(7);
        let elsewhere = tempfile::tempdir().expect("a directory");
        let run = here.path().join("00000000000000000000000000000007");
        std::os::unix::fs::symlink(elsewhere.path(), run).expect("a link");

        let failure = changer(&session).cabinet(&into).await.expect_err("refused");

        assert!(failure.message.contains("a link or a file"), "{failure}");
    }
}
