//! Why an operation on the tree was refused.

use thiserror::Error;

/// Why an operation on the tree was refused; each has one NTSTATUS in the SMB front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The last name of the path is not there.
    #[error("file or folder not found")]
    NotFound,
    /// A folder on the way is not there.
    #[error("path not found")]
    PathNotFound,
    /// The path is not of the form `C:\folder\file`, or a name holds a character Windows forbids.
    #[error("invalid name")]
    InvalidName,
    /// The descriptor does not grant the caller what was asked.
    #[error("access denied")]
    AccessDenied,
    /// The object is open in a way that excludes this use.
    #[error("file in use")]
    SharingViolation,
    /// The object is read-only, or a volume root, and cannot be deleted.
    #[error("object cannot be deleted")]
    CannotDelete,
    /// The object was deleted and waits for its last handle to close.
    #[error("object is being deleted")]
    DeletePending,
    /// The folder is not empty.
    #[error("folder not empty")]
    NotEmpty,
    /// The name is taken.
    #[error("name already exists")]
    Exists,
    /// A file was wanted and a folder found.
    #[error("object is a folder")]
    IsDirectory,
    /// A folder was wanted and a file found.
    #[error("object is not a folder")]
    NotADirectory,
    /// Junctions lead in a circle.
    #[error("too many junctions on the path")]
    Loop,
    /// The volume is full.
    #[error("volume full")]
    Full,
    /// A rename would leave the volume.
    #[error("source and target are on different volumes")]
    OtherVolume,
    /// The handle is closed or was never given out.
    #[error("handle closed")]
    ClosedHandle,
    /// The security descriptor is malformed.
    #[error("malformed security descriptor")]
    MalformedDescriptor,
}
