//! What can be reached on a host, as capabilities; reading and changing are different types.

mod connector;
mod deadline;
mod error;
mod files;
mod query;
mod shell;
pub mod sql;
pub mod winrm;
pub mod smb;

pub use connector::{Connector, Target};
pub use deadline::Deadline;
pub use error::{TransportError, TransportErrorKind};
pub use files::{
    ChangeFiles, DirectoryEntry, FileAttributes, FileMetadata, ReadFiles, SecurityInformation,
};
pub use query::{ReadSql, Row, SqlParameter, SqlValue, Statement};
pub use shell::{ChangeScript, ChangeShell, ReadScript, ReadShell};
