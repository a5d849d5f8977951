//! What can be reached on a host, as capabilities; reading and changing are different types.

mod change_sql;
mod connector;
mod deadline;
mod error;
mod files;
mod http;
mod later_logons;
mod query;
mod real;
pub mod security;
mod selection;
mod shell;
pub mod smb;
pub mod sql;
pub mod winrm;

pub use change_sql::{ChangeSql, ChangeStatement};
pub use connector::{Connector, Target};
pub use deadline::Deadline;
pub use error::{TransportError, TransportErrorKind};
pub use files::{
    ChangeFiles, DirectoryEntry, FileAttributes, FileMetadata, ReadFiles, SecurityInformation,
};
pub use http::{HttpAnswer, HttpForm, HttpMethod, HttpRequest};
pub use later_logons::{LaterLogons, WithheldLogon};
pub use query::{ReadSql, Row, SqlParameter, SqlValue, Statement};
pub use real::NetworkConnector;
pub use selection::{
    AnyOf, Conditions, Hold, Selection, SqlName, SqlNameError, TableName, column_list,
};
pub use shell::{ChangeScript, ChangeShell, ReadScript, ReadShell};
