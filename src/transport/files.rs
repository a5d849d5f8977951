//! A host's file system, reading and changing apart.

use async_trait::async_trait;

use super::{Deadline, TransportError};
use crate::model::WindowsPath;

/// Attribute bits of a file ([MS-FSCC] 2.6) that this program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileAttributes(pub u32);

impl FileAttributes {
    /// `FILE_ATTRIBUTE_READONLY`.
    pub const READ_ONLY: u32 = 0x1;
    /// `FILE_ATTRIBUTE_DIRECTORY`.
    pub const DIRECTORY: u32 = 0x10;
    /// `FILE_ATTRIBUTE_REPARSE_POINT`: a junction or a link.
    pub const REPARSE_POINT: u32 = 0x400;

    /// Whether the bit is set.
    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Whether it is a directory.
    pub fn is_directory(self) -> bool {
        self.has(Self::DIRECTORY)
    }

    /// Whether it is a junction or a link.
    pub fn is_link(self) -> bool {
        self.has(Self::REPARSE_POINT)
    }
}

/// What is known of a file or directory without reading its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMetadata {
    /// Size in bytes; 0 for a directory.
    pub size: u64,
    /// Attribute bits.
    pub attributes: FileAttributes,
    /// Creation time, Windows FILETIME (100 ns since 1601).
    pub created: u64,
    /// Last write time, Windows FILETIME.
    pub modified: u64,
    /// The path that the server has for the opened handle, links resolved, where it tells
    /// (`FileNormalizedNameInformation`).
    pub normalized: Option<WindowsPath>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Attribute bits.
    pub attributes: FileAttributes,
    /// Last write time, Windows FILETIME.
    pub modified: u64,
}

/// Parts of a security descriptor to read or write ([MS-DTYP] 2.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityInformation(pub u32);

impl SecurityInformation {
    /// Owner, group and DACL.
    pub const OWNER_GROUP_DACL: Self = Self(0x7);
    /// The DACL alone.
    pub const DACL: Self = Self(0x4);
    /// The DACL, protected from inheritance.
    pub const PROTECTED_DACL: Self = Self(0x8000_0004);
}

/// Reads files. All paths are opened without following links in their last part.
#[async_trait]
pub trait ReadFiles: Send + Sync {
    /// Metadata of a file or directory; `None` when there is none.
    async fn metadata(
        &self,
        path: &WindowsPath,
        deadline: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError>;

    /// The entries of a directory, `.` and `..` left out; at most 100,000.
    async fn list(
        &self,
        path: &WindowsPath,
        deadline: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError>;

    /// The content of a file of at most `limit` bytes; a larger one is `Refused`.
    async fn read(
        &self,
        path: &WindowsPath,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError>;

    /// The bytes of a file from `offset` on, at most `limit` of them: for logs that grow.
    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError>;

    /// Whether another program keeps a file open so that it could not be moved; `None` where the
    /// implementation cannot tell.
    ///
    /// Windows refuses to open a file for deletion while somebody has it open without sharing that
    /// ([MS-FSA] 2.1.5.1.2.2), so it is opened so, with everything shared, and closed in the same
    /// message. Nothing is marked for deletion and nothing is written.
    async fn is_held(
        &self,
        _path: &WindowsPath,
        _deadline: Deadline,
    ) -> Result<Option<bool>, TransportError> {
        Ok(None)
    }

    /// A self-relative security descriptor ([MS-DTYP] 2.4.6) as it is stored.
    async fn descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError>;

    /// Ends the session; harmless when already ended.
    async fn close(&self);
}

/// Changes files, too. Every effect is by handle: the object is opened without following links,
/// its attributes and normalised path are checked on that handle, then it is acted upon.
#[async_trait]
pub trait ChangeFiles: ReadFiles {
    /// Makes a directory; its parent must exist. A descriptor given is set at creation.
    /// `AlreadyExists` when there is one.
    async fn create_directory(
        &self,
        path: &WindowsPath,
        descriptor: Option<&[u8]>,
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Moves a file within a volume, never over another one. The handle that was checked is the one
    /// that is renamed: it must not be a directory or a link, its normalised path must be `from`,
    /// and its size and last write time must be those of `expected`, else `Refused`.
    async fn rename(
        &self,
        from: &WindowsPath,
        to: &WindowsPath,
        expected: &FileMetadata,
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Writes a new file; `AlreadyExists` when there is one.
    async fn create_file(
        &self,
        path: &WindowsPath,
        content: &[u8],
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Deletes a file under the same checks as [`ChangeFiles::rename`].
    async fn delete(
        &self,
        path: &WindowsPath,
        expected: &FileMetadata,
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Sets attribute bits.
    async fn set_attributes(
        &self,
        path: &WindowsPath,
        attributes: FileAttributes,
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// Writes parts of a security descriptor, if what is stored is still `expected` byte for byte;
    /// else `Refused`.
    async fn set_descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        expected: &[u8],
        descriptor: &[u8],
        deadline: Deadline,
    ) -> Result<(), TransportError>;

    /// The same session with its reading half only.
    fn as_read(&self) -> &dyn ReadFiles;
}
