//! Reading files, directories and security descriptors.

use async_trait::async_trait;
use smb2::msg::directory_info::parse_entries;
use smb2::msg::query_directory::{
    FileInformationClass, QueryDirectoryFlags, QueryDirectoryRequest, QueryDirectoryResponse,
};
use smb2::msg::query_info::{InfoType, QueryInfoRequest, QueryInfoResponse};
use smb2::msg::read::{ReadRequest, ReadResponse, SMB2_CHANNEL_NONE};
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, CreditCharge, FileId, TreeId};

use super::connection::SmbFiles;
use super::error::{Phase, from_client};
use super::handle::{
    Access, ONE_CREDIT, SHARE_ALL, check_length, check_status, close_request, created_of,
    metadata_of, name_request, normalized_of, open_request, refused, take_frames, unpack,
};
use crate::model::WindowsPath;
use crate::transport::{
    Deadline, DirectoryEntry, FileAttributes, FileMetadata, ReadFiles, SecurityInformation,
    TransportError, TransportErrorKind,
};

/// The most entries of a directory that are read.
const MOST_ENTRIES: usize = 100_000;
/// The most bytes asked for in one read: 16 credits.
const LARGEST_READ: u32 = 16 * ONE_CREDIT;

#[async_trait]
impl ReadFiles for SmbFiles {
    async fn metadata(
        &self,
        path: &WindowsPath,
        deadline: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let what = format!("could not look at {path} on {}", self.host);
        let looked = self.within(Phase::Looking, &what, deadline, self.look(path, &what)).await;
        match looked {
            Err(error) if error.kind == TransportErrorKind::NotFound => Ok(None),
            looked => looked.map(Some),
        }
    }

    async fn list(
        &self,
        path: &WindowsPath,
        deadline: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        let what = format!("could not list {path} on {}", self.host);
        self.within(Phase::Looking, &what, deadline, self.list_all(path, &what)).await
    }

    async fn read(
        &self,
        path: &WindowsPath,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let what = format!("could not read {path} on {}", self.host);
        let reading = async {
            let (metadata, first) = self.read_first(path, 0, &what).await?;
            if metadata.size > limit {
                let size = metadata.size;
                return Err(refused(
                    &what,
                    &format!("it has {size} bytes, more than the {limit} that are read of it"),
                ));
            }
            if metadata.size <= first.len() as u64 {
                return Ok(first);
            }
            let content = self.read_range(path, 0, limit.saturating_add(1), &what).await?;
            if content.len() as u64 > limit {
                return Err(refused(&what, &format!("it grew beyond {limit} bytes meanwhile")));
            }
            Ok(content)
        };
        self.within(Phase::Looking, &what, deadline, reading).await
    }

    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let what = format!("could not read {path} from byte {offset} on {}", self.host);
        let reading = async {
            let (metadata, mut first) = self.read_first(path, offset, &what).await?;
            let there = metadata.size.saturating_sub(offset).min(limit);
            if there > first.len() as u64 && first.len() == ONE_CREDIT as usize {
                return self.read_range(path, offset, limit, &what).await;
            }
            first.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(first)
        };
        self.within(Phase::Looking, &what, deadline, reading).await
    }

    async fn descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let what = format!("could not read the security descriptor of {path} on {}", self.host);
        let reading = async {
            check_length(path, &what)?;
            let tree = self.tree(path.drive(), &what).await?;
            let create = open_request(
                path,
                Access { rights: FileAccessMask::READ_CONTROL, share: SHARE_ALL, options: 0 },
            );
            let query = descriptor_request(FileId::SENTINEL, parts);
            let close = close_request(FileId::SENTINEL);
            let frames = self
                .compound(
                    tree,
                    &[
                        (Command::Create, &create),
                        (Command::QueryInfo, &query),
                        (Command::Close, &close),
                    ],
                )
                .await
                .map_err(|error| from_client(Phase::Looking, &*what, error))?;
            let [created, queried, _] = take_frames(frames, &what)?;
            created_of(&created, &what)?;
            check_status(Phase::Looking, &queried, &what)?;
            let response: QueryInfoResponse = unpack(&queried, &what)?;
            Ok(response.output_buffer)
        };
        self.within(Phase::Looking, &what, deadline, reading).await
    }

    async fn is_held(
        &self,
        path: &WindowsPath,
        deadline: Deadline,
    ) -> Result<Option<bool>, TransportError> {
        let what = format!("could not see whether {path} is held open on {}", self.host);
        let asking = async {
            check_length(path, &what)?;
            let tree = self.tree(path.drive(), &what).await?;
            let create = open_request(path, Access::COULD_TAKE_AWAY);
            let close = close_request(FileId::SENTINEL);
            let frames = self
                .compound(tree, &[(Command::Create, &create), (Command::Close, &close)])
                .await
                .map_err(|error| from_client(Phase::Looking, &*what, error))?;
            let [created, _] = take_frames(frames, &what)?;
            match created_of(&created, &what) {
                Ok(_) => Ok(Some(false)),
                Err(error) if error.kind == TransportErrorKind::SharingViolation => Ok(Some(true)),
                Err(error) => Err(error),
            }
        };
        self.within(Phase::Looking, &what, deadline, asking).await
    }

    async fn close(&self) {
        self.end().await;
    }
}

/// Asks for a descriptor. Only the low bits name parts; the high ones say how a write treats
/// inheritance.
pub(super) fn descriptor_request(file_id: FileId, parts: SecurityInformation) -> QueryInfoRequest {
    QueryInfoRequest {
        info_type: InfoType::Security,
        file_info_class: 0,
        output_buffer_length: ONE_CREDIT,
        additional_information: parts.0 & 0xFFFF,
        flags: 0,
        file_id,
        input_buffer: Vec::new(),
    }
}

fn read_request(file_id: FileId, offset: u64, length: u32) -> ReadRequest {
    ReadRequest {
        padding: 0x50,
        flags: 0,
        length,
        offset,
        file_id,
        minimum_count: 0,
        channel: SMB2_CHANNEL_NONE,
        remaining_bytes: 0,
        read_channel_info: Vec::new(),
    }
}

impl SmbFiles {
    /// Opens, asks for the normalised name and closes: one round trip.
    async fn look(&self, path: &WindowsPath, what: &str) -> Result<FileMetadata, TransportError> {
        check_length(path, what)?;
        let tree = self.tree(path.drive(), what).await?;
        let create = open_request(path, Access::LOOK);
        let name = name_request(FileId::SENTINEL);
        let close = close_request(FileId::SENTINEL);
        let frames = self
            .compound(
                tree,
                &[
                    (Command::Create, &create),
                    (Command::QueryInfo, &name),
                    (Command::Close, &close),
                ],
            )
            .await
            .map_err(|error| from_client(Phase::Looking, what, error))?;
        let [created, named, _] = take_frames(frames, what)?;
        let created = created_of(&created, what)?;
        Ok(metadata_of(&created, normalized_of(path.drive(), &named, what)?))
    }

    /// Opens, reads at most 64 KiB and closes: one round trip.
    async fn read_first(
        &self,
        path: &WindowsPath,
        offset: u64,
        what: &str,
    ) -> Result<(FileMetadata, Vec<u8>), TransportError> {
        check_length(path, what)?;
        let tree = self.tree(path.drive(), what).await?;
        let create = open_request(path, Access::READ);
        let read = read_request(FileId::SENTINEL, offset, ONE_CREDIT);
        let close = close_request(FileId::SENTINEL);
        let frames = self
            .compound(
                tree,
                &[(Command::Create, &create), (Command::Read, &read), (Command::Close, &close)],
            )
            .await
            .map_err(|error| from_client(Phase::Looking, what, error))?;
        let [created, data, _] = take_frames(frames, what)?;
        let metadata = metadata_of(&created_of(&created, what)?, None);
        if metadata.attributes.is_link() {
            return Err(refused(what, "it is a link"));
        }
        let content = if data.header.status == NtStatus::END_OF_FILE {
            Vec::new()
        } else {
            check_status(Phase::Looking, &data, what)?;
            unpack::<ReadResponse>(&data, what)?.data
        };
        Ok((metadata, content))
    }

    /// Reads from one handle until the end of the file or `limit` bytes.
    async fn read_range(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, TransportError> {
        let handle = self.open(path, Access::READ, what).await?;
        let result = if handle.metadata.attributes.is_link() {
            Err(refused(what, "it is a link"))
        } else {
            self.read_handle(handle.tree, handle.id, offset, limit, what).await
        };
        self.close_quietly(handle.tree, handle.id).await;
        result
    }

    async fn read_handle(
        &self,
        tree: TreeId,
        id: FileId,
        offset: u64,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, TransportError> {
        let negotiated = self.connection.params().map_or(ONE_CREDIT, |it| it.max_read_size);
        let largest = negotiated.clamp(ONE_CREDIT, LARGEST_READ);
        let mut content = Vec::new();
        while (content.len() as u64) < limit {
            let left = limit - content.len() as u64;
            let length = u32::try_from(left).unwrap_or(u32::MAX).min(largest);
            let read = read_request(id, offset + content.len() as u64, length);
            let charge = u16::try_from(length.div_ceil(ONE_CREDIT)).unwrap_or(u16::MAX);
            let frame = self
                .connection
                .execute_with_credits(Command::Read, &read, Some(tree), CreditCharge(charge))
                .await
                .map_err(|error| from_client(Phase::Looking, what, error))?;
            if frame.header.status == NtStatus::END_OF_FILE {
                break;
            }
            check_status(Phase::Looking, &frame, what)?;
            let data = unpack::<ReadResponse>(&frame, what)?.data;
            if data.is_empty() || data.len() > length as usize {
                return Err(refused(what, "the server's answer does not fit what was asked for"));
            }
            content.extend_from_slice(&data);
        }
        Ok(content)
    }

    async fn list_all(
        &self,
        path: &WindowsPath,
        what: &str,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        let handle = self.open(path, Access::LIST, what).await?;
        let result = if handle.metadata.attributes.is_link() {
            Err(refused(what, "it is a link"))
        } else {
            self.list_handle(handle.tree, handle.id, what).await
        };
        self.close_quietly(handle.tree, handle.id).await;
        result
    }

    async fn list_handle(
        &self,
        tree: TreeId,
        id: FileId,
        what: &str,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        let class = FileInformationClass::FileBothDirectoryInformation;
        let query = QueryDirectoryRequest {
            file_information_class: class,
            flags: QueryDirectoryFlags(0),
            file_index: 0,
            file_id: id,
            output_buffer_length: ONE_CREDIT,
            file_name: "*".to_owned(),
        };
        let mut entries = Vec::new();
        loop {
            // Two at once: for most directories the second one already says that there is no more.
            let frames = self
                .compound(
                    tree,
                    &[(Command::QueryDirectory, &query), (Command::QueryDirectory, &query)],
                )
                .await
                .map_err(|error| from_client(Phase::Looking, what, error))?;
            for frame in &frames {
                let status = frame.header.status;
                if status == NtStatus::NO_MORE_FILES || status == NtStatus::NO_SUCH_FILE {
                    return Ok(entries);
                }
                check_status(Phase::Looking, frame, what)?;
                let response: QueryDirectoryResponse = unpack(frame, what)?;
                let found = parse_entries(class, &response.output_buffer)
                    .map_err(|error| from_client(Phase::Looking, what, error))?;
                if found.is_empty() {
                    return Err(refused(what, "the server's answer holds no entry"));
                }
                entries.extend(
                    found
                        .into_iter()
                        .filter(|entry| entry.file_name != "." && entry.file_name != "..")
                        .map(|entry| DirectoryEntry {
                            name: entry.file_name,
                            size: entry.end_of_file,
                            attributes: FileAttributes(entry.file_attributes),
                            modified: entry.last_write_time.0,
                        }),
                );
                if entries.len() > MOST_ENTRIES {
                    return Err(refused(what, "it has more than 100000 entries"));
                }
            }
        }
    }
}
