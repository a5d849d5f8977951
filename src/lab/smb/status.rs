//! NTSTATUS values, [MS-ERREF] 2.3.1.

use crate::lab::tree::TreeError;

/// The status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

impl Status {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const BUFFER_OVERFLOW: Self = Self(0x8000_0005);
    pub(super) const NO_MORE_FILES: Self = Self(0x8000_0006);
    pub(super) const INVALID_INFO_CLASS: Self = Self(0xC000_0003);
    pub(super) const INFO_LENGTH_MISMATCH: Self = Self(0xC000_0004);
    pub(super) const INVALID_PARAMETER: Self = Self(0xC000_000D);
    pub(super) const NO_SUCH_FILE: Self = Self(0xC000_000F);
    pub(super) const INVALID_DEVICE_REQUEST: Self = Self(0xC000_0010);
    pub(super) const END_OF_FILE: Self = Self(0xC000_0011);
    pub(super) const MORE_PROCESSING_REQUIRED: Self = Self(0xC000_0016);
    pub(super) const ACCESS_DENIED: Self = Self(0xC000_0022);
    pub(super) const BUFFER_TOO_SMALL: Self = Self(0xC000_0023);
    pub(super) const OBJECT_NAME_INVALID: Self = Self(0xC000_0033);
    pub(super) const OBJECT_NAME_NOT_FOUND: Self = Self(0xC000_0034);
    pub(super) const OBJECT_NAME_COLLISION: Self = Self(0xC000_0035);
    pub(super) const OBJECT_PATH_NOT_FOUND: Self = Self(0xC000_003A);
    pub(super) const SHARING_VIOLATION: Self = Self(0xC000_0043);
    pub(super) const DELETE_PENDING: Self = Self(0xC000_0056);
    pub(super) const PRIVILEGE_NOT_HELD: Self = Self(0xC000_0061);
    pub(super) const LOGON_FAILURE: Self = Self(0xC000_006D);
    pub(super) const INVALID_SECURITY_DESCR: Self = Self(0xC000_0079);
    pub(super) const DISK_FULL: Self = Self(0xC000_007F);
    pub(super) const INSUFFICIENT_RESOURCES: Self = Self(0xC000_009A);
    pub(super) const PIPE_DISCONNECTED: Self = Self(0xC000_00B0);
    pub(super) const FILE_IS_A_DIRECTORY: Self = Self(0xC000_00BA);
    pub(super) const NOT_SUPPORTED: Self = Self(0xC000_00BB);
    pub(super) const NETWORK_NAME_DELETED: Self = Self(0xC000_00C9);
    pub(super) const BAD_NETWORK_NAME: Self = Self(0xC000_00CC);
    pub(super) const NOT_SAME_DEVICE: Self = Self(0xC000_00D4);
    pub(super) const DIRECTORY_NOT_EMPTY: Self = Self(0xC000_0101);
    pub(super) const NOT_A_DIRECTORY: Self = Self(0xC000_0103);
    pub(super) const CANNOT_DELETE: Self = Self(0xC000_0121);
    pub(super) const FILE_CLOSED: Self = Self(0xC000_0128);
    pub(super) const USER_SESSION_DELETED: Self = Self(0xC000_0203);
    pub(super) const NOT_FOUND: Self = Self(0xC000_0225);
    pub(super) const NOT_A_REPARSE_POINT: Self = Self(0xC000_0275);
    pub(super) const REPARSE_POINT_NOT_RESOLVED: Self = Self(0xC000_0280);
}

impl From<TreeError> for Status {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::NotFound => Self::OBJECT_NAME_NOT_FOUND,
            TreeError::PathNotFound => Self::OBJECT_PATH_NOT_FOUND,
            TreeError::InvalidName => Self::OBJECT_NAME_INVALID,
            TreeError::AccessDenied => Self::ACCESS_DENIED,
            TreeError::SharingViolation => Self::SHARING_VIOLATION,
            TreeError::CannotDelete => Self::CANNOT_DELETE,
            TreeError::DeletePending => Self::DELETE_PENDING,
            TreeError::NotEmpty => Self::DIRECTORY_NOT_EMPTY,
            TreeError::Exists => Self::OBJECT_NAME_COLLISION,
            TreeError::IsDirectory => Self::FILE_IS_A_DIRECTORY,
            TreeError::NotADirectory => Self::NOT_A_DIRECTORY,
            TreeError::Loop => Self::REPARSE_POINT_NOT_RESOLVED,
            TreeError::Full => Self::DISK_FULL,
            TreeError::OtherVolume => Self::NOT_SAME_DEVICE,
            TreeError::ClosedHandle => Self::FILE_CLOSED,
            TreeError::MalformedDescriptor => Self::INVALID_SECURITY_DESCR,
        }
    }
}
