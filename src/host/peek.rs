//! Reading the host's files under the step's deadline.

use super::Reader;
use super::session::Connection;
use crate::model::WindowsPath;
use crate::transport::{FileMetadata, TransportError};

/// The files of a host, reading only. Errors are those of [`crate::transport::ReadFiles`].
#[derive(Clone, Copy)]
pub struct HostFiles<'a>(&'a Reader<'a>);

impl<'a> Reader<'a> {
    /// The files of the host.
    pub fn files(&'a self) -> HostFiles<'a> {
        HostFiles(self)
    }
}

impl HostFiles<'_> {
    /// Metadata of a file or directory; `None` when there is none.
    pub async fn metadata(
        self,
        path: &WindowsPath,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let files = self.0.session().files(self.0.deadline()).await?;
        let result = files.metadata(path, self.0.deadline()).await;
        self.0.note(Connection::Files, &result).await;
        result
    }

    /// The bytes of a file from `offset` on, at most `limit` of them.
    pub async fn read_from(
        self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, TransportError> {
        let files = self.0.session().files(self.0.deadline()).await?;
        let result = files.read_from(path, offset, limit, self.0.deadline()).await;
        self.0.note(Connection::Files, &result).await;
        result
    }
}
