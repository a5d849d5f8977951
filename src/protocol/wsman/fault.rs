//! SOAP faults as Windows writes them.

use super::uri;
use super::xml::{Element, push_element};

/// The `Code` of a `WSManFault`: a Win32 error or one of WinRM's own, `0x8033….`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultCode(pub u32);

impl FaultCode {
    /// The operation did not end within its `OperationTimeout`; on `Receive` this only means that
    /// there was no output yet ([MS-WSMV] 3.1.4.14).
    pub const TIMED_OUT: Self = Self(2_150_858_793);
    /// `MaxShellsPerUser` or `MaxProcessesPerShell` is reached.
    pub const SHELL_QUOTA: Self = Self(2_150_859_173);
    /// `MaxConcurrentOperationsPerUser` is reached.
    pub const OPERATION_QUOTA: Self = Self(2_150_859_174);
    /// The shell is unknown: it was deleted, timed out, or the host restarted.
    pub const SHELL_NOT_FOUND: Self = Self(2_150_858_843);
    /// The selectors or the resource do not name something this service has.
    pub const INVALID_RESOURCE: Self = Self(2_150_858_752);
    /// Win32 `ERROR_ACCESS_DENIED`: authenticated, but not allowed to use WinRM.
    pub const ACCESS_DENIED: Self = Self(5);
}

impl std::fmt::Display for FaultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a server says about a request it did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `Sender` or `Receiver`: whose mistake it was.
    pub role: String,
    /// The local name of the subcode, `TimedOut`, `AccessDenied`, `InvalidSelectors`, ….
    pub subcode: String,
    /// The number in `WSManFault`, when there is one.
    pub code: Option<FaultCode>,
    /// The server's text, in its own language.
    pub message: String,
}

impl Fault {
    /// A fault of the server's side.
    pub fn receiver(code: FaultCode, subcode: &str, message: &str) -> Self {
        Self {
            role: "Receiver".to_owned(),
            subcode: subcode.to_owned(),
            code: Some(code),
            message: message.to_owned(),
        }
    }

    /// A fault of the client's side.
    pub fn sender(code: FaultCode, subcode: &str, message: &str) -> Self {
        Self { role: "Sender".to_owned(), ..Self::receiver(code, subcode, message) }
    }

    /// Says whether this is the fault of an operation without a result yet, by number or, where
    /// a server leaves the number out, by subcode.
    pub fn is_timed_out(&self) -> bool {
        self.code == Some(FaultCode::TIMED_OUT)
            || (self.code.is_none() && self.subcode == "TimedOut")
    }

    pub(super) fn read(fault: &Element) -> Self {
        // The prefix of a QName in text is the server's choice: only the local name counts.
        let local = |text: &str| text.rsplit(':').next().unwrap_or(text).to_owned();
        let code = fault.child(uri::SOAP, "Code");
        let detail = fault
            .child(uri::SOAP, "Detail")
            .and_then(|detail| detail.child(uri::WSMAN_FAULT, "WSManFault"));
        let reason = fault.child(uri::SOAP, "Reason").and_then(|r| r.child_text(uri::SOAP, "Text"));
        let detailed = detail
            .and_then(|detail| detail.child(uri::WSMAN_FAULT, "Message"))
            .map(|message| message.all_text().trim().to_owned())
            .filter(|message| !message.is_empty());
        Self {
            role: code
                .and_then(|c| c.child_text(uri::SOAP, "Value"))
                .map(local)
                .unwrap_or_default(),
            subcode: code
                .and_then(|c| c.child(uri::SOAP, "Subcode"))
                .and_then(|c| c.child_text(uri::SOAP, "Value"))
                .map(local)
                .unwrap_or_default(),
            code: detail
                .and_then(|detail| detail.attribute("Code"))
                .and_then(|code| code.trim().parse().ok())
                .map(FaultCode),
            message: detailed.unwrap_or_else(|| reason.unwrap_or_default().to_owned()),
        }
    }

    pub(super) fn write(&self, out: &mut String, machine: &str) {
        out.push_str("<s:Fault><s:Code>");
        push_element(out, "s:Value", "", &format!("s:{}", self.role));
        out.push_str("<s:Subcode>");
        push_element(out, "s:Value", "", &format!("w:{}", self.subcode));
        out.push_str("</s:Subcode></s:Code><s:Reason>");
        push_element(out, "s:Text", " xml:lang=\"en-US\"", &self.message);
        out.push_str("</s:Reason>");
        if let Some(code) = self.code {
            out.push_str(&format!(
                "<s:Detail><f:WSManFault xmlns:f=\"{}\" Code=\"{code}\" Machine=\"",
                uri::WSMAN_FAULT
            ));
            super::xml::push_text(out, machine);
            out.push_str("\">");
            push_element(out, "f:Message", "", &self.message);
            out.push_str("</f:WSManFault></s:Detail>");
        }
        out.push_str("</s:Fault>");
    }
}
