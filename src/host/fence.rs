//! The fence: the only way to a path on which an effect may take place.

use std::collections::HashSet;

use tokio::sync::Mutex;

use super::{Reader, Role, Root};
use crate::model::{FailureClass, StepFailure, WindowsPath};
use crate::transport::FileMetadata;

/// Lets named files inside a role's folder through, and nothing else.
///
/// Every folder on the way is looked at: none may be a link, and the server must have each of them
/// at the path that was asked for, so that no short name or junction leads elsewhere. The handle is
/// checked again when something is done to it.
pub struct Fence<'a> {
    reader: &'a Reader<'a>,
    /// Folders that were looked at, in lower case; a fence lives for one step.
    passed: Mutex<HashSet<String>>,
}

/// A file inside a role's folder. It can only be made by [`Fence::file`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencedFile {
    role: Role,
    path: WindowsPath,
    relative: String,
    metadata: Option<FileMetadata>,
}

impl FencedFile {
    /// The role of the folder it is in.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its path.
    pub fn path(&self) -> &WindowsPath {
        &self.path
    }

    /// Its path below the role's folder.
    pub fn relative(&self) -> &str {
        &self.relative
    }

    /// What is known of it; `None` when it is not there.
    pub fn metadata(&self) -> Option<&FileMetadata> {
        self.metadata.as_ref()
    }
}

impl<'a> Reader<'a> {
    /// A fence for this step.
    pub fn fence(&'a self) -> Fence<'a> {
        Fence { reader: self, passed: Mutex::new(HashSet::new()) }
    }
}

/// What stands at a path on the way.
enum Found {
    Nothing,
    Folder,
    File(FileMetadata),
}

impl Fence<'_> {
    /// Admits the file `relative` below a role's folder. It need not exist.
    ///
    /// # Errors
    ///
    /// `Refused` when the role's files are only read, when the name could lead out of the folder,
    /// is a wildcard, a stream or a device, names a folder, is content of a package, or when a link
    /// is on the way.
    pub async fn file(&self, root: &Root, relative: &str) -> Result<FencedFile, StepFailure> {
        let refused = |reason: String| {
            StepFailure::new(
                FailureClass::Refused,
                format!("could not admit `{relative}` below {}: {reason}", root.role),
            )
        };
        if !root.role.may_change() {
            return Err(refused("its files are only read".to_owned()));
        }
        let path = root.path.join(relative).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::Refused,
                format!("could not admit a name below {}", root.role),
                &error,
            )
        })?;
        if !path.is_below(&root.path) {
            return Err(refused("it is not inside".to_owned()));
        }
        let below: Vec<&str> = path.components().skip(root.path.components().count()).collect();
        if root.role == Role::PsDelivery
            && below.iter().any(|part| part.eq_ignore_ascii_case("cache"))
        {
            return Err(refused("the content of packages is never moved".to_owned()));
        }
        let relative = below.join("\\");
        let fenced =
            |metadata| FencedFile { role: root.role, path: path.clone(), relative, metadata };
        if let Some(folder) = path.parent()
            && !self.folder(&folder).await?
        {
            return Ok(fenced(None));
        }
        match self.look(&path).await? {
            Found::Nothing => Ok(fenced(None)),
            Found::Folder => Err(refused("it is a folder".to_owned())),
            Found::File(metadata) => Ok(fenced(Some(metadata))),
        }
    }

    /// Admits a file whose path was recorded earlier, under the same rules.
    ///
    /// # Errors
    ///
    /// As [`Fence::file`]; `Refused` when it is not inside the folder that the role has now.
    pub async fn recorded(
        &self,
        root: &Root,
        path: &WindowsPath,
    ) -> Result<FencedFile, StepFailure> {
        if !path.is_below(&root.path) {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!("could not admit {path}: {} is now {}", root.role, root.path),
            ));
        }
        let below: Vec<&str> = path.components().skip(root.path.components().count()).collect();
        self.file(root, &below.join("\\")).await
    }

    /// Admits the folder of a role itself, for its security descriptor.
    ///
    /// # Errors
    ///
    /// `Refused` when it is not there, is no folder, or a link is on the way.
    pub async fn root(&self, root: &Root) -> Result<(), StepFailure> {
        if !root.role.may_change() {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!("could not admit the folder of {}: it is only read", root.role),
            ));
        }
        if self.folder(&root.path).await? {
            return Ok(());
        }
        Err(StepFailure::new(
            FailureClass::Refused,
            format!("could not admit {}: it is not there", root.path),
        ))
    }

    /// Walks to a folder from the root of its drive; `false` when it is not there.
    ///
    /// # Errors
    ///
    /// `Refused` when a link or a file is on the way.
    pub(super) async fn folder(&self, folder: &WindowsPath) -> Result<bool, StepFailure> {
        let mut way: Vec<WindowsPath> =
            std::iter::successors(Some(folder.clone()), WindowsPath::parent).collect();
        way.pop(); // The root of the drive is what it is.
        for step in way.into_iter().rev() {
            let key = step.to_string().to_lowercase();
            if self.passed.lock().await.contains(&key) {
                continue;
            }
            match self.look(&step).await? {
                Found::Nothing => return Ok(false),
                Found::Folder => drop(self.passed.lock().await.insert(key)),
                Found::File(_) => {
                    return Err(StepFailure::new(
                        FailureClass::Refused,
                        format!("could not go through {step}: it is a file"),
                    ));
                }
            }
        }
        Ok(true)
    }

    async fn look(&self, path: &WindowsPath) -> Result<Found, StepFailure> {
        let refused = |reason: String| {
            StepFailure::new(FailureClass::Refused, format!("could not admit {path}: {reason}"))
        };
        let Some(metadata) = self.reader.files().metadata(path).await? else {
            return Ok(Found::Nothing);
        };
        if metadata.attributes.is_link() {
            return Err(refused("it is a link".to_owned()));
        }
        if let Some(normalized) = &metadata.normalized
            && normalized != path
        {
            return Err(refused(format!("the server has it at {normalized}")));
        }
        if metadata.attributes.is_directory() {
            Ok(Found::Folder)
        } else {
            Ok(Found::File(metadata))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::{AGENT, MemoryHost, reader};

    #[tokio::test]
    async fn hostile_names_are_not_admitted() {
        let host = MemoryHost::package_server();
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsDelivery).await.expect("a root");
        let fence = at.fence();

        for hostile in [
            "..\\Client Policies\\smp01.xml",
            "{A}\\..\\..\\x.xml",
            "C:\\Windows\\System32\\config\\SAM",
            "\\\\other\\share\\x.xml",
            "{A}\\*.xml",
            "{A}\\snapshot.xml:stream",
            "{A}\\",
            "",
            "NUL",
            "{A}\\cache\\setup.exe",
        ] {
            let failure = fence.file(&root, hostile).await.expect_err(hostile);
            assert_eq!(failure.class, FailureClass::Refused, "{hostile}");
        }
    }

    #[tokio::test]
    async fn a_folder_is_not_admitted_and_a_missing_file_is() {
        let host = MemoryHost::package_server();
        host.write(&format!("{AGENT}\\Package Delivery\\{{A}}\\cache\\setup.exe"), "content");
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsDelivery).await.expect("a root");
        let fence = at.fence();

        assert!(fence.file(&root, "{A}").await.is_err());
        let missing = fence.file(&root, "{B}\\snapshot.xml").await.expect("admitted");
        assert_eq!(missing.metadata(), None);
    }

    #[tokio::test]
    async fn a_link_anywhere_on_the_way_is_not_followed() {
        let host = MemoryHost::package_server();
        let delivery = format!("{AGENT}\\Package Delivery");
        host.write("D:\\Elsewhere\\snapshot.xml", "x");
        host.junction(&format!("{delivery}\\{{A}}"), "D:\\Elsewhere");
        host.write(&format!("{delivery}\\{{B}}\\x.xml"), "x");
        host.junction(&format!("{delivery}\\{{B}}\\snapshot.xml"), "D:\\Elsewhere\\snapshot.xml");
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsDelivery).await.expect("a root");
        let fence = at.fence();

        for linked in ["{A}\\snapshot.xml", "{B}\\snapshot.xml"] {
            let failure = fence.file(&root, linked).await.expect_err(linked);
            assert!(failure.message.contains("it is a link"), "{failure}");
        }
        assert!(fence.file(&root, "{B}\\x.xml").await.is_ok());
    }

    #[tokio::test]
    async fn files_that_are_only_read_are_not_admitted() {
        let host = MemoryHost::package_server();
        host.write(&format!("{AGENT}\\Logs\\agent.log"), "x");
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::AgentLog).await.expect("a root");

        assert!(at.fence().file(&root, "agent.log").await.is_err());
    }
}
