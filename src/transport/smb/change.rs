//! Changing files: every effect on the handle that was checked.

use async_trait::async_trait;
use smb2::client::Frame;
use smb2::msg::create::{CreateDisposition, ShareAccess};
use smb2::msg::create_context::{CreateContext, pack_contexts};
use smb2::msg::query_info::QueryInfoResponse;
use smb2::msg::set_info::{InfoType, SetInfoRequest};
use smb2::msg::write::WriteRequest;
use smb2::types::flags::{FileAccessMask, FileAttributes as Bits};
use smb2::types::status::NtStatus;
use smb2::types::{Command, FileId, TreeId};

use super::connection::SmbFiles;
use super::error::{Phase, from_client};
use super::handle::{
    Access, DIRECTORY_FILE, Handle, NON_DIRECTORY_FILE, ONE_CREDIT, Op, SHARE_ALL, check_length,
    check_status, close_request, created_of, name_request, normalized_of, open_request, refused,
    take_frames, unpack,
};
use super::name::rename_buffer;
use super::read::descriptor_request;
use crate::model::WindowsPath;
use crate::transport::{
    ChangeFiles, Deadline, FileAttributes, FileMetadata, ReadFiles, SecurityInformation,
    TransportError, TransportErrorKind,
};

// [MS-FSCC] 2.4: FileInformationClass.
const BASIC_CLASS: u8 = 4;
const RENAME_CLASS: u8 = 10;
const DISPOSITION_CLASS: u8 = 13;

#[async_trait]
impl ChangeFiles for SmbFiles {
    async fn create_directory(
        &self,
        path: &WindowsPath,
        descriptor: Option<&[u8]>,
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not make the directory {path} on {}", self.host);
        check_length(path, &what)?;
        let tree = self.reach(path, &what, deadline).await?;
        let mut create = open_request(
            path,
            Access {
                rights: FileAccessMask::FILE_READ_ATTRIBUTES,
                share: SHARE_ALL,
                options: DIRECTORY_FILE,
            },
        );
        create.create_disposition = CreateDisposition::FileCreate;
        create.file_attributes = Bits::DIRECTORY;
        if let Some(descriptor) = descriptor {
            // SMB2_CREATE_SD_BUFFER, [MS-SMB2] 2.2.13.2.2.
            create.create_contexts =
                pack_contexts(&[CreateContext::new(b"SecD", descriptor.to_vec())]);
        }
        let close = close_request(FileId::SENTINEL);
        let ops: [Op<'_>; 2] = [(Command::Create, &create), (Command::Close, &close)];
        let [created, _] = self.act(tree, &ops, &what, deadline).await?;
        check_status(Phase::Acting, &created, &what)
    }

    async fn rename(
        &self,
        from: &WindowsPath,
        to: &WindowsPath,
        expected: &FileMetadata,
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not move {from} to {to} on {}", self.host);
        if from.drive() != to.drive() {
            return Err(refused(&what, "it is on another volume"));
        }
        check_length(to, &what)?;
        let handle = self.take_hold(from, expected, &what, deadline).await?;
        let rename = set_file(handle.id, RENAME_CLASS, rename_buffer(to));
        let name = name_request(handle.id);
        let close = close_request(handle.id);
        let ops: [Op<'_>; 3] =
            [(Command::SetInfo, &rename), (Command::QueryInfo, &name), (Command::Close, &close)];
        let [renamed, named, _] = self.act(handle.tree, &ops, &what, deadline).await?;
        check_status(Phase::Acting, &renamed, &what)?;
        was_moved_to(to, &named, &what)
    }

    async fn create_file(
        &self,
        path: &WindowsPath,
        content: &[u8],
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not write {path} on {}", self.host);
        check_length(path, &what)?;
        let tree = self.reach(path, &what, deadline).await?;
        let writing = self.write_new(tree, path, content, &what);
        self.within(Phase::Acting, &what, deadline, writing).await
    }

    async fn delete(
        &self,
        path: &WindowsPath,
        expected: &FileMetadata,
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not delete {path} on {}", self.host);
        let handle = self.take_hold(path, expected, &what, deadline).await?;
        let dispose = set_file(handle.id, DISPOSITION_CLASS, vec![1]);
        let close = close_request(handle.id);
        let ops: [Op<'_>; 2] = [(Command::SetInfo, &dispose), (Command::Close, &close)];
        let [disposed, closed] = self.act(handle.tree, &ops, &what, deadline).await?;
        check_status(Phase::Acting, &disposed, &what)?;
        check_status(Phase::Acting, &closed, &what)
    }

    async fn set_attributes(
        &self,
        path: &WindowsPath,
        attributes: FileAttributes,
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not set the attributes of {path} on {}", self.host);
        let access = Access {
            rights: FileAccessMask::FILE_WRITE_ATTRIBUTES | FileAccessMask::FILE_READ_ATTRIBUTES,
            share: SHARE_ALL,
            options: 0,
        };
        let handle = self.hold(path, access, None, &what, deadline).await?;
        // Times of zero are left as they are; attributes of zero would be, too.
        let bits = if attributes.0 == 0 { Bits::NORMAL } else { attributes.0 };
        let mut buffer = vec![0_u8; 32];
        buffer.extend_from_slice(&bits.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        let set = set_file(handle.id, BASIC_CLASS, buffer);
        let close = close_request(handle.id);
        let ops: [Op<'_>; 2] = [(Command::SetInfo, &set), (Command::Close, &close)];
        let [set, _] = self.act(handle.tree, &ops, &what, deadline).await?;
        check_status(Phase::Acting, &set, &what)
    }

    async fn set_descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        expected: &[u8],
        descriptor: &[u8],
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        let what = format!("could not write the security descriptor of {path} on {}", self.host);
        let owner = if parts.0 & 0x3 == 0 { 0 } else { FileAccessMask::WRITE_OWNER };
        let access = Access {
            rights: FileAccessMask::READ_CONTROL | FileAccessMask::WRITE_DAC | owner,
            share: SHARE_ALL,
            options: 0,
        };
        let handle = self.hold(path, access, None, &what, deadline).await?;
        let compared = self
            .within(Phase::Looking, &what, deadline, async {
                let query = descriptor_request(handle.id, parts);
                let frame = self
                    .connection
                    .execute(Command::QueryInfo, &query, Some(handle.tree))
                    .await
                    .map_err(|error| from_client(Phase::Looking, &*what, error))?;
                check_status(Phase::Looking, &frame, &what)?;
                let stored: QueryInfoResponse = unpack(&frame, &what)?;
                if stored.output_buffer == expected {
                    Ok(())
                } else {
                    Err(refused(&what, "it is no longer the one that was read before"))
                }
            })
            .await;
        self.keep_or_close(&handle, compared).await?;
        let set = SetInfoRequest {
            info_type: InfoType::Security,
            file_info_class: 0,
            additional_information: parts.0,
            file_id: handle.id,
            buffer: descriptor.to_vec(),
        };
        let close = close_request(handle.id);
        let ops: [Op<'_>; 2] = [(Command::SetInfo, &set), (Command::Close, &close)];
        let [set, _] = self.act(handle.tree, &ops, &what, deadline).await?;
        check_status(Phase::Acting, &set, &what)
    }

    fn as_read(&self) -> &dyn ReadFiles {
        self
    }
}

/// Sets file information of a class on a handle.
fn set_file(file_id: FileId, class: u8, buffer: Vec<u8>) -> SetInfoRequest {
    SetInfoRequest {
        info_type: InfoType::File,
        file_info_class: class,
        additional_information: 0,
        file_id,
        buffer,
    }
}

impl SmbFiles {
    /// The tree of a path's drive, while nothing has been asked for yet.
    async fn reach(
        &self,
        path: &WindowsPath,
        what: &str,
        deadline: Deadline,
    ) -> Result<TreeId, TransportError> {
        self.within(Phase::Looking, what, deadline, self.tree(path.drive(), what)).await
    }

    /// Opens a file to move or delete it, and checks on the handle that it is the expected one.
    async fn take_hold(
        &self,
        path: &WindowsPath,
        expected: &FileMetadata,
        what: &str,
        deadline: Deadline,
    ) -> Result<Handle, TransportError> {
        self.hold(path, Access::TAKE_AWAY, Some(expected), what, deadline).await
    }

    /// Opens an object and checks on the handle that it is no link and was reached without one.
    async fn hold(
        &self,
        path: &WindowsPath,
        access: Access,
        expected: Option<&FileMetadata>,
        what: &str,
        deadline: Deadline,
    ) -> Result<Handle, TransportError> {
        self.within(Phase::Looking, what, deadline, async {
            let handle = self.open(path, access, what).await?;
            let mut checked = self.check_reached(&handle, path, what).await;
            if let (Ok(()), Some(expected)) = (&checked, expected) {
                checked = check_expected(&handle.metadata, expected, what);
            }
            self.keep_or_close(&handle, checked).await?;
            Ok(handle)
        })
        .await
    }

    /// Passes a check's result on, after closing the handle when the check failed.
    async fn keep_or_close(
        &self,
        handle: &Handle,
        checked: Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        if checked.is_err() && !self.connection.is_disconnected() {
            self.close_quietly(handle.tree, handle.id).await;
        }
        checked
    }

    /// Sends the requests that change something, in one message.
    async fn act<const N: usize>(
        &self,
        tree: TreeId,
        ops: &[Op<'_>; N],
        what: &str,
        deadline: Deadline,
    ) -> Result<[Frame; N], TransportError> {
        if self.connection.is_disconnected() {
            return Err(from_client(Phase::Looking, what, smb2::Error::Disconnected));
        }
        self.within(Phase::Acting, what, deadline, async {
            let frames = self
                .compound(tree, ops)
                .await
                .map_err(|error| from_client(Phase::Acting, what, error))?;
            // The request may have been carried out and only its answer be missing.
            take_frames(frames, what).map_err(in_doubt)
        })
        .await
    }

    /// Writes a new file; what could not be written whole is taken away again.
    async fn write_new(
        &self,
        tree: TreeId,
        path: &WindowsPath,
        content: &[u8],
        what: &str,
    ) -> Result<(), TransportError> {
        let acting = |error| from_client(Phase::Acting, what, error);
        let mut create = open_request(
            path,
            Access {
                rights: FileAccessMask::FILE_WRITE_DATA
                    | FileAccessMask::FILE_READ_ATTRIBUTES
                    | FileAccessMask::DELETE,
                share: ShareAccess::FILE_SHARE_READ,
                options: NON_DIRECTORY_FILE,
            },
        );
        create.create_disposition = CreateDisposition::FileCreate;
        create.file_attributes = Bits::NORMAL;
        let frame =
            self.connection.execute(Command::Create, &create, Some(tree)).await.map_err(acting)?;
        let id = created_of(&frame, what)?.file_id;
        let mut written = Ok(());
        let mut offset = 0_u64;
        for part in content.chunks(ONE_CREDIT as usize) {
            let write = WriteRequest {
                data_offset: 0x70,
                offset,
                file_id: id,
                channel: 0,
                remaining_bytes: 0,
                write_channel_info_offset: 0,
                write_channel_info_length: 0,
                flags: 0,
                data: part.to_vec(),
            };
            let frame = self
                .connection
                .execute(Command::Write, &write, Some(tree))
                .await
                .map_err(acting)?;
            if frame.header.status != NtStatus::SUCCESS {
                written = check_status(Phase::Acting, &frame, what);
                break;
            }
            offset += part.len() as u64;
        }
        if written.is_err() {
            let dispose = set_file(id, DISPOSITION_CLASS, vec![1]);
            // What is left of a file that could not be written is better than a hidden reason.
            let _ = self.connection.execute(Command::SetInfo, &dispose, Some(tree)).await;
        }
        self.close_quietly(tree, id).await;
        written
    }
}

/// Whether a file that the server says it moved is where it belongs; a server that does not tell
/// is believed. The move took place, so that whatever is wrong now is no refusal.
fn was_moved_to(to: &WindowsPath, named: &Frame, what: &str) -> Result<(), TransportError> {
    match normalized_of(to.drive(), named, what).map_err(in_doubt)? {
        Some(now) if now != *to => Err(TransportError::new(
            TransportErrorKind::InDoubt,
            format!("{what}: it was moved, but the server has it at {now}"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// An error after the request that acts: nobody knows what was done.
fn in_doubt(error: TransportError) -> TransportError {
    TransportError { kind: TransportErrorKind::InDoubt, ..error }
}

/// Whether an open file is the one that was decided on.
fn check_expected(
    found: &FileMetadata,
    expected: &FileMetadata,
    what: &str,
) -> Result<(), TransportError> {
    if found.attributes.is_directory() {
        return Err(refused(what, "it is a directory"));
    }
    if found.size != expected.size || found.modified != expected.modified {
        return Err(refused(what, "it has changed since it was looked at"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, modified: u64) -> FileMetadata {
        let attributes = FileAttributes(0x20);
        FileMetadata { size, attributes, created: 1, modified, normalized: None }
    }

    #[test]
    fn a_file_that_changed_since_it_was_looked_at_is_not_acted_upon() {
        assert!(check_expected(&file(5, 7), &file(5, 7), "x").is_ok());
        for changed in [file(6, 7), file(5, 8)] {
            let error = check_expected(&changed, &file(5, 7), "x").expect_err("it changed");
            assert_eq!(error.kind, TransportErrorKind::Refused);
        }
    }

    #[test]
    fn an_answer_that_cannot_be_understood_after_a_move_leaves_it_in_doubt() {
        let header = smb2::msg::header::Header::new_request(Command::QueryInfo);
        assert_eq!(header.status, NtStatus::SUCCESS);
        let named = Frame { header, body: vec![1, 2, 3], raw: Vec::new() };
        let to: WindowsPath = "C:\\x.xml".parse().expect("a path");

        let error = was_moved_to(&to, &named, "could not move it").expect_err("it makes no sense");

        assert_eq!(error.kind, TransportErrorKind::InDoubt);
    }
}
