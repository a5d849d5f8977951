//! Reading the host's files under the step's deadline.

use std::sync::Arc;

use super::Reader;
use super::session::Connection;
use crate::model::WindowsPath;
use crate::transport::{
    ChangeFiles, DirectoryEntry, FileMetadata, SecurityInformation, TransportError,
};

/// The files of a host, reading only; connected on first use. A broken connection is forgotten, so
/// that the next use makes a new one.
///
/// Errors are those of [`crate::transport::ReadFiles`].
#[derive(Clone, Copy)]
pub struct HostFiles<'a>(&'a Reader<'a>);

impl<'a> Reader<'a> {
    /// The files of the host.
    pub fn files(&'a self) -> HostFiles<'a> {
        HostFiles(self)
    }
}

impl HostFiles<'_> {
    async fn connected(self) -> Result<Arc<dyn ChangeFiles>, TransportError> {
        self.0.session().files(self.0.deadline()).await
    }

    async fn noted<T>(self, result: Result<T, TransportError>) -> Result<T, TransportError> {
        self.0.note(Connection::Files, &result).await;
        result
    }

    /// Metadata of a file or directory; `None` when there is none.
    pub async fn metadata(
        self,
        path: &WindowsPath,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let files = self.connected().await?;
        self.noted(files.metadata(path, self.0.deadline()).await).await
    }

    /// The entries of a directory.
    pub async fn list(self, path: &WindowsPath) -> Result<Vec<DirectoryEntry>, TransportError> {
        let files = self.connected().await?;
        self.noted(files.list(path, self.0.deadline()).await).await
    }

    /// The content of a file of at most `limit` bytes; a larger one is `Refused`.
    pub async fn read(self, path: &WindowsPath, limit: u64) -> Result<Vec<u8>, TransportError> {
        let files = self.connected().await?;
        self.noted(files.read(path, limit, self.0.deadline()).await).await
    }

    /// The bytes of a file from `offset` on, at most `limit` of them.
    pub async fn read_from(
        self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, TransportError> {
        let files = self.connected().await?;
        self.noted(files.read_from(path, offset, limit, self.0.deadline()).await).await
    }

    /// A security descriptor as it is stored.
    pub async fn descriptor(
        self,
        path: &WindowsPath,
        parts: SecurityInformation,
    ) -> Result<Vec<u8>, TransportError> {
        let files = self.connected().await?;
        self.noted(files.descriptor(path, parts, self.0.deadline()).await).await
    }
}
