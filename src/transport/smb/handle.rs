//! Opening an object without following links, and looking at what was opened on that very handle.

use smb2::client::{CompoundOp, Frame};
use smb2::msg::close::CloseRequest;
use smb2::msg::create::{
    CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
};
use smb2::msg::query_info::{InfoType, QueryInfoRequest, QueryInfoResponse};
use smb2::pack::{Pack, ReadCursor, Unpack};
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, FileId, OplockLevel, TreeId};

use super::connection::SmbFiles;
use super::error::{Phase, from_client};
use super::name::{parse_normalized, path_fits};
use crate::model::WindowsPath;
use crate::transport::{FileAttributes, FileMetadata, TransportError, TransportErrorKind};

// CreateOptions, [MS-SMB2] 2.2.13.
pub(super) const DIRECTORY_FILE: u32 = 0x0000_0001;
pub(super) const NON_DIRECTORY_FILE: u32 = 0x0000_0040;
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// `FileNormalizedNameInformation`, [MS-FSCC] 2.4.
const NORMALIZED_NAME_CLASS: u8 = 48;

/// 64 KiB, what one credit carries.
pub(super) const ONE_CREDIT: u32 = 65_536;

/// How an object is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    /// The rights asked for.
    pub(super) rights: u32,
    /// What others may do meanwhile.
    pub(super) share: u32,
    /// Create options besides the one that keeps links from being followed.
    pub(super) options: u32,
}

impl Access {
    /// Reads attributes only; gets in nobody's way.
    pub(super) const LOOK: Self =
        Self { rights: FileAccessMask::FILE_READ_ATTRIBUTES, share: SHARE_ALL, options: 0 };
    /// Reads the content; gets in nobody's way, as logs are read while they are written.
    pub(super) const READ: Self = Self {
        rights: FileAccessMask::FILE_READ_DATA | FileAccessMask::FILE_READ_ATTRIBUTES,
        share: SHARE_ALL,
        options: NON_DIRECTORY_FILE,
    };
    /// Renames or deletes. Writers are kept out, so that what was compared is what is moved; one
    /// that has it open already is a sharing violation.
    pub(super) const TAKE_AWAY: Self = Self {
        rights: FileAccessMask::DELETE | FileAccessMask::FILE_READ_ATTRIBUTES,
        share: ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_DELETE,
        options: NON_DIRECTORY_FILE,
    };
    /// Asks whether it could be renamed; gets in nobody's way who shares deletion.
    pub(super) const COULD_TAKE_AWAY: Self = Self {
        rights: FileAccessMask::DELETE | FileAccessMask::FILE_READ_ATTRIBUTES,
        share: SHARE_ALL,
        options: NON_DIRECTORY_FILE,
    };
    /// Lists a directory.
    pub(super) const LIST: Self = Self {
        rights: FileAccessMask::FILE_READ_DATA | FileAccessMask::FILE_READ_ATTRIBUTES,
        share: SHARE_ALL,
        options: DIRECTORY_FILE,
    };
}

pub(super) const SHARE_ALL: u32 =
    ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_WRITE | ShareAccess::FILE_SHARE_DELETE;

/// A request that opens what is there.
pub(super) fn open_request(path: &WindowsPath, access: Access) -> CreateRequest {
    CreateRequest {
        requested_oplock_level: OplockLevel::None,
        impersonation_level: ImpersonationLevel::Impersonation,
        desired_access: FileAccessMask::new(access.rights),
        file_attributes: 0,
        share_access: ShareAccess(access.share),
        create_disposition: CreateDisposition::FileOpen,
        create_options: OPEN_REPARSE_POINT | access.options,
        name: path.below_drive(),
        create_contexts: Vec::new(),
    }
}

/// Asks for the normalised name of a handle; the sentinel means the handle opened before it in the
/// same compound.
pub(super) fn name_request(file_id: FileId) -> QueryInfoRequest {
    QueryInfoRequest {
        info_type: InfoType::File,
        file_info_class: NORMALIZED_NAME_CLASS,
        output_buffer_length: ONE_CREDIT,
        additional_information: 0,
        flags: 0,
        file_id,
        input_buffer: Vec::new(),
    }
}

/// Closes a handle.
pub(super) fn close_request(file_id: FileId) -> CloseRequest {
    CloseRequest { flags: 0, file_id }
}

/// An object that is open on the server.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) tree: TreeId,
    pub(super) id: FileId,
    pub(super) metadata: FileMetadata,
}

/// One operation of a compound.
pub(super) type Op<'a> = (Command, &'a dyn Pack);

impl SmbFiles {
    /// Sends requests in one message and returns their answers, whatever their status.
    pub(super) async fn compound(
        &self,
        tree: TreeId,
        ops: &[Op<'_>],
    ) -> Result<Vec<Frame>, smb2::Error> {
        let ops: Vec<CompoundOp<'_>> = ops
            .iter()
            .map(|(command, body)| CompoundOp::new(*command, *body, Some(tree)))
            .collect();
        self.connection.execute_compound(&ops).await?.into_iter().collect()
    }

    /// Opens an object and asks for its normalised name, in one round trip.
    pub(super) async fn open(
        &self,
        path: &WindowsPath,
        access: Access,
        what: &str,
    ) -> Result<Handle, TransportError> {
        check_length(path, what)?;
        let tree = self.tree(path.drive(), what).await?;
        let create = open_request(path, access);
        let name = name_request(FileId::SENTINEL);
        let frames = self
            .compound(tree, &[(Command::Create, &create), (Command::QueryInfo, &name)])
            .await
            .map_err(|error| from_client(Phase::Looking, what, error))?;
        let [created, named] = take_frames(frames, what)?;
        let created = created_of(&created, what)?;
        match normalized_of(path.drive(), &named, what) {
            Ok(normalized) => Ok(Handle {
                tree,
                id: created.file_id,
                metadata: metadata_of(&created, normalized),
            }),
            Err(error) => {
                self.close_quietly(tree, created.file_id).await;
                Err(error)
            }
        }
    }

    /// Closes a handle whose closing decides nothing any more.
    pub(super) async fn close_quietly(&self, tree: TreeId, id: FileId) {
        // The server closes it with the connection at the latest.
        let _ = self.connection.execute(Command::Close, &close_request(id), Some(tree)).await;
    }

    /// Checks on an open handle that it is what the path says: no link, and reached without one.
    ///
    /// Servers before SMB 3.1.1 do not tell a handle's path. There the folders above are looked at
    /// one by one while the handle is held; Windows does not rename a folder in which something is
    /// open.
    pub(super) async fn check_reached(
        &self,
        handle: &Handle,
        path: &WindowsPath,
        what: &str,
    ) -> Result<(), TransportError> {
        if handle.metadata.attributes.is_link() {
            return Err(refused(what, "it is a link"));
        }
        if let Some(normalized) = &handle.metadata.normalized {
            return if normalized == path {
                Ok(())
            } else {
                Err(refused(what, &format!("the server has it at {normalized}")))
            };
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            let create = open_request(&folder, Access::LOOK);
            let close = close_request(FileId::SENTINEL);
            let frames = self
                .compound(handle.tree, &[(Command::Create, &create), (Command::Close, &close)])
                .await
                .map_err(|error| from_client(Phase::Looking, what, error))?;
            let [created, _] = take_frames(frames, what)?;
            let created = created_of(&created, what)?;
            if FileAttributes(created.file_attributes).is_link() {
                return Err(refused(what, &format!("{folder} is a link")));
            }
            above = folder.parent();
        }
        Ok(())
    }
}

/// A refusal of ours.
pub(super) fn refused(what: &str, reason: &str) -> TransportError {
    TransportError::new(TransportErrorKind::Refused, format!("{what}: {reason}"))
}

/// Refuses a path that the 16-bit lengths of the protocol cannot hold.
pub(super) fn check_length(path: &WindowsPath, what: &str) -> Result<(), TransportError> {
    if path_fits(path) { Ok(()) } else { Err(refused(what, "its path is too long")) }
}

/// The answers of a compound, as many as were asked for.
pub(super) fn take_frames<const N: usize>(
    frames: Vec<Frame>,
    what: &str,
) -> Result<[Frame; N], TransportError> {
    frames.try_into().map_err(|_| refused(what, "the server left requests unanswered"))
}

/// A status that is no success, as an error.
pub(super) fn check_status(phase: Phase, frame: &Frame, what: &str) -> Result<(), TransportError> {
    let status = frame.header.status;
    if status == NtStatus::SUCCESS {
        return Ok(());
    }
    let error = smb2::Error::Protocol { status, command: frame.header.command };
    Err(from_client(phase, what, error))
}

/// Reads the body of an answer.
pub(super) fn unpack<T: Unpack>(frame: &Frame, what: &str) -> Result<T, TransportError> {
    T::unpack(&mut ReadCursor::new(&frame.body))
        .map_err(|error| from_client(Phase::Looking, what, error))
}

/// The answer to an open.
pub(super) fn created_of(frame: &Frame, what: &str) -> Result<CreateResponse, TransportError> {
    check_status(Phase::Looking, frame, what)?;
    unpack(frame, what)
}

/// The normalised path in an answer; `None` when the server does not tell.
pub(super) fn normalized_of(
    drive: char,
    frame: &Frame,
    what: &str,
) -> Result<Option<WindowsPath>, TransportError> {
    if frame.header.status != NtStatus::SUCCESS {
        return Ok(None);
    }
    let response: QueryInfoResponse = unpack(frame, what)?;
    parse_normalized(drive, &response.output_buffer)
        .map(Some)
        .ok_or_else(|| refused(what, "the server has it at a path that is none"))
}

/// What the answer to an open says of the object.
pub(super) fn metadata_of(
    created: &CreateResponse,
    normalized: Option<WindowsPath>,
) -> FileMetadata {
    let attributes = FileAttributes(created.file_attributes);
    FileMetadata {
        size: if attributes.is_directory() { 0 } else { created.end_of_file },
        attributes,
        created: created.creation_time.0,
        modified: created.last_write_time.0,
        normalized,
    }
}
