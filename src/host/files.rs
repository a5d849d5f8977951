//! Reading the host's files under the step's deadline.

use std::sync::Arc;
use std::time::Duration;

use super::Reader;
use super::session::Connection;
use crate::model::WindowsPath;
use crate::transport::{
    ChangeFiles, DirectoryEntry, FileMetadata, SecurityInformation, TransportError,
    TransportErrorKind,
};

/// How often a file that is open elsewhere is tried, and how long between.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(500);

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

    /// Reads, and tries again for a few seconds while another program has the file open: agents
    /// and virus scanners hold files for moments.
    async fn reading<T, F>(
        self,
        read: impl Fn(Arc<dyn ChangeFiles>) -> F,
    ) -> Result<T, TransportError>
    where
        F: Future<Output = Result<T, TransportError>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let result = read(self.connected().await?).await;
            self.0.note(Connection::Files, &result).await;
            match &result {
                Err(error)
                    if error.kind == TransportErrorKind::SharingViolation
                        && tries < BUSY_TRIES
                        && !self.0.deadline().left().is_zero() =>
                {
                    tokio::time::sleep(BUSY_PAUSE.min(self.0.deadline().left())).await;
                }
                _ => return result,
            }
        }
    }

    /// Metadata of a file or directory; `None` when there is none.
    pub async fn metadata(
        self,
        path: &WindowsPath,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let deadline = self.0.deadline();
        self.reading(|files| async move { files.metadata(path, deadline).await }).await
    }

    /// The entries of a directory.
    pub async fn list(self, path: &WindowsPath) -> Result<Vec<DirectoryEntry>, TransportError> {
        let deadline = self.0.deadline();
        self.reading(|files| async move { files.list(path, deadline).await }).await
    }

    /// The content of a file of at most `limit` bytes; a larger one is `Refused`.
    pub async fn read(self, path: &WindowsPath, limit: u64) -> Result<Vec<u8>, TransportError> {
        let deadline = self.0.deadline();
        self.reading(|files| async move { files.read(path, limit, deadline).await }).await
    }

    /// The bytes of a file from `offset` on, at most `limit` of them.
    pub async fn read_from(
        self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, TransportError> {
        let deadline = self.0.deadline();
        self.reading(|files| async move { files.read_from(path, offset, limit, deadline).await })
            .await
    }

    /// Whether another program keeps the file open so that it could not be moved; `None` where that
    /// cannot be told. Asked once: a file that is held for a moment is held now.
    pub async fn is_held(self, path: &WindowsPath) -> Result<Option<bool>, TransportError> {
        let result = self.connected().await?.is_held(path, self.0.deadline()).await;
        self.0.note(Connection::Files, &result).await;
        result
    }

    /// A security descriptor as it is stored.
    pub async fn descriptor(
        self,
        path: &WindowsPath,
        parts: SecurityInformation,
    ) -> Result<Vec<u8>, TransportError> {
        let deadline = self.0.deadline();
        self.reading(|files| async move { files.descriptor(path, parts, deadline).await }).await
    }
}
