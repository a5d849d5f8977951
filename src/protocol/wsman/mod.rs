//! WS-Management as Windows Remote Management speaks it ([MS-WSMV]): both halves, without I/O.
//!
//! The client builds a [`RequestEnvelope`] and reads a [`ResponseEnvelope`]; a server reads the
//! one and builds the other. Only the remote shell (WinRS) and `Identify` are covered: the
//! PowerShell remoting protocol is not.
//!
//! Limits hold for everything that is read: no document type, no entity but the five of XML
//! itself, depth, element count and size bounded.
//!
//! [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/

mod duration;
mod envelope;
mod fault;
mod shell;
mod xml;

pub use envelope::{RequestEnvelope, RequestHeader, ResponseEnvelope};
pub use fault::{Fault, FaultCode};
pub use shell::{
    CommandState, CreateShell, Identity, OutputStream, Received, Request, Response, SendInput,
    SignalCode, StartCommand,
};
pub use xml::XmlError;

/// XML namespaces and the resource and action addresses of [MS-WSMV] 2.2.
pub mod uri {
    /// SOAP 1.2 envelope.
    pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
    /// WS-Addressing, 2004/08.
    pub const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
    /// The anonymous reply address of WS-Addressing.
    pub const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
    /// DMTF WS-Management.
    pub const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
    /// Microsoft's additions to WS-Management.
    pub const WSMV: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd";
    /// WS-Transfer.
    pub const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
    /// The remote shell; also the prefix of its actions, states and signals.
    pub const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
    /// The resource of a `cmd.exe` shell.
    pub const CMD_SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
    /// The detail element of a Windows fault.
    pub const WSMAN_FAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";
    /// `Identify`.
    pub const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
    /// The action of faults.
    pub const FAULT_ACTION: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault";
}

/// A message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WsmanError {
    /// The XML is malformed or exceeds a bound.
    #[error("read SOAP message")]
    Xml(#[from] XmlError),
    /// The XML is well formed but not the message that was expected.
    #[error("read SOAP message: {0}")]
    Message(&'static str),
}
