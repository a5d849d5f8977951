//! The fence: the only way to a path on which an effect may take place.

use std::collections::HashSet;

use tokio::sync::Mutex;

use super::roots::why_no_place;
use super::{Reader, Role, Root};
use crate::model::{FailureClass, Guid, StepFailure, WindowsPath};
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
    /// is a wildcard, a stream or a device, names a folder, is content of a package, is in a folder
    /// of the policies' own, or when a link is on the way.
    pub async fn file(&self, root: &Root, relative: &str) -> Result<FencedFile, StepFailure> {
        if !root.role.may_change() {
            return Err(not_admitted(root.role, relative, "its files are only read"));
        }
        let (path, below) = inside(root, relative)?;
        if root.role == Role::PsDelivery
            && below.iter().any(|part| part.eq_ignore_ascii_case("cache"))
        {
            return Err(not_admitted(
                root.role,
                relative,
                "the content of packages is never moved",
            ));
        }
        let is_policy = || {
            let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
            below.len() == 1 && name.ends_with(".xml")
        };
        if root.role == Role::PsPolicies && !is_policy() {
            return Err(not_admitted(root.role, relative, "it is no file of policies"));
        }
        self.stand_at(root, path, &below.join("\\")).await
    }

    /// Admits the file `relative` below a role's folder for reading alone. It need not exist.
    ///
    /// # Errors
    ///
    /// `Refused` when the name could lead out of the folder, is a wildcard, a stream or a device,
    /// names a folder, or when a link is on the way.
    pub async fn to_read(&self, root: &Root, relative: &str) -> Result<FencedFile, StepFailure> {
        let (path, below) = inside(root, relative)?;
        self.stand_at(root, path, &below.join("\\")).await
    }

    async fn stand_at(
        &self,
        root: &Root,
        path: WindowsPath,
        relative: &str,
    ) -> Result<FencedFile, StepFailure> {
        let fenced = |metadata| FencedFile {
            role: root.role,
            path: path.clone(),
            relative: relative.to_owned(),
            metadata,
        };
        if let Some(folder) = path.parent()
            && !self.folder(&folder).await?
        {
            return Ok(fenced(None));
        }
        match self.look(&path).await? {
            Found::Nothing => Ok(fenced(None)),
            Found::Folder => Err(not_admitted(root.role, relative, "it is a folder")),
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

    /// Whether a folder is there and no link is on the way: for reading outside of all roles.
    ///
    /// # Errors
    ///
    /// `Refused` when a link or a file is on the way.
    pub async fn exists(&self, folder: &WindowsPath) -> Result<bool, StepFailure> {
        self.folder(folder).await
    }

    /// Admits a folder inside a package's folder of the store, or that folder itself, for its
    /// security descriptor; `false` when it is not there.
    ///
    /// # Errors
    ///
    /// `Refused` when it is not in the folder of a package, or a link is on the way.
    pub async fn package_folder(
        &self,
        root: &Root,
        folder: &WindowsPath,
    ) -> Result<bool, StepFailure> {
        let name = folder.to_string();
        if root.role != Role::PsDelivery || !folder.is_below(&root.path) {
            return Err(not_admitted(root.role, &name, "it is not inside the store"));
        }
        let package = folder.components().nth(root.path.components().count());
        if package.is_none_or(|package| package.parse::<Guid>().is_err()) {
            return Err(not_admitted(root.role, &name, "it belongs to no package"));
        }
        self.folder(folder).await
    }

    /// Admits a folder outside of the store in which the agent keeps a package, for its security
    /// descriptor or for a share; `false` when it is not there. Whether the agent names it is for
    /// the caller to see.
    ///
    /// # Errors
    ///
    /// `Refused` when it is a whole volume, one of the system's, the users' or other programs'
    /// folders, or is named by a short name, or a link is on the way.
    pub async fn alternate(&self, folder: &WindowsPath) -> Result<bool, StepFailure> {
        let facts = self.reader.facts().await?;
        if let Some(reason) = why_no_place(folder, &facts) {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!("could not admit {folder} as a package's own place: {reason}"),
            ));
        }
        self.folder(folder).await
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

/// The path of a name below a role's folder, and its parts below it.
fn inside<'n>(root: &Root, relative: &'n str) -> Result<(WindowsPath, Vec<&'n str>), StepFailure> {
    let path = root.path.join(relative).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::Refused,
            format!("could not admit a name below {}", root.role),
            &error,
        )
    })?;
    if !path.is_below(&root.path) {
        return Err(not_admitted(root.role, relative, "it is not inside"));
    }
    Ok((path, relative.split(['\\', '/']).collect()))
}

fn not_admitted(role: Role, relative: &str, reason: &str) -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        format!("could not admit `{relative}` below {role}: {reason}"),
    )
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
    async fn of_the_policies_only_the_files_themselves_are_admitted() {
        let host = MemoryHost::package_server();
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsPolicies).await.expect("a root");
        let fence = at.fence();

        assert!(fence.file(&root, "smp01.corp.example.xml").await.is_ok());
        for other in ["Cache\\x.xml", "keys.dat", "smp01.corp.example"] {
            assert!(fence.file(&root, other).await.is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn only_folders_of_packages_are_admitted_for_their_rights() {
        let host = MemoryHost::package_server();
        let package = Guid::from_u128(7);
        let delivery = format!("{AGENT}\\Package Delivery");
        host.folder(&format!("{delivery}\\{package}\\cache\\lang"));
        host.folder(&format!("{delivery}\\Other"));
        host.junction(&format!("{delivery}\\{package}\\linked"), "D:\\Elsewhere");
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsDelivery).await.expect("a root");
        let folder = |below: &str| format!("{delivery}\\{below}").parse().expect("a path");
        let fence = at.fence();

        for (below, is_there) in [
            (format!("{package}"), true),
            (format!("{package}\\cache\\lang"), true),
            (format!("{package}\\gone"), false),
        ] {
            assert_eq!(fence.package_folder(&root, &folder(&below)).await, Ok(is_there), "{below}");
        }
        let linked = format!("{package}\\linked");
        for refused in ["Other", "Other\\x", &linked] {
            assert!(fence.package_folder(&root, &folder(refused)).await.is_err(), "{refused}");
        }
        assert!(fence.package_folder(&root, &root.path).await.is_err());
    }

    #[tokio::test]
    async fn another_place_is_not_reached_through_a_junction() {
        let host = MemoryHost::package_server();
        host.folder("E:\\Images\\A");
        host.junction("E:\\Way", "C:\\");
        let session = host.session(1);
        let at = reader(&session);
        let fence = at.fence();
        let folder = |text: &str| text.parse().expect("a path");

        assert_eq!(fence.alternate(&folder("E:\\Images\\A")).await, Ok(true));
        assert_eq!(fence.alternate(&folder("E:\\Images\\B")).await, Ok(false));
        for refused in ["E:\\Way", "C:\\Users\\x", "C:\\PROGRA~1\\x"] {
            assert!(fence.alternate(&folder(refused)).await.is_err(), "{refused}");
        }
    }

    #[tokio::test]
    async fn files_that_are_only_read_are_not_admitted() {
        let host = MemoryHost::package_server();
        host.write(&format!("{AGENT}\\Logs\\agent.log"), "x");
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::AgentLog).await.expect("a root");

        assert!(at.fence().file(&root, "agent.log").await.is_err());
        assert!(at.fence().to_read(&root, "agent.log").await.is_ok());
        assert!(at.fence().to_read(&root, "..\\agent.log").await.is_err());
    }
}
