//! The SOAP envelope with its addressing and WS-Management headers.

use std::time::Duration;

use super::shell::{Request, Response};
use super::xml::{Element, push_element, push_text};
use super::{WsmanError, duration, uri};

/// What every request but `Identify` says beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The address of the service, `http://host:5985/wsman`.
    pub to: String,
    /// `uuid:` and a UUID; the answer relates to it.
    pub message_id: String,
    /// `wsmv:SessionId`: the same for all requests of one client, or Windows refuses a later
    /// disconnect.
    pub session_id: Option<String>,
    /// The resource: [`uri::CMD_SHELL`] for all requests of this client. `Signal` and `Delete`
    /// under another one than the shell's own do nothing.
    pub resource_uri: String,
    /// The shell the request is for; absent in `Create`.
    pub shell_id: Option<String>,
    /// When the server gives up and answers with a timed-out fault.
    pub operation_timeout: Option<Duration>,
    /// The largest answer the client takes, in bytes.
    pub max_envelope_size: Option<usize>,
}

/// A request with its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEnvelope {
    /// The headers; those of `Identify` are neither written nor read.
    pub header: RequestHeader,
    /// The request.
    pub request: Request,
}

const PREFIXES: [(&str, &str); 7] = [
    ("s", uri::SOAP),
    ("a", uri::ADDRESSING),
    ("w", uri::WSMAN),
    ("p", uri::WSMV),
    ("x", uri::TRANSFER),
    ("rsp", uri::SHELL),
    ("wsmid", uri::IDENTITY),
];

fn open_envelope() -> String {
    let mut out = String::with_capacity(2_048);
    out.push_str("<s:Envelope");
    for (prefix, namespace) in PREFIXES {
        out.push_str(&format!(" xmlns:{prefix}=\"{namespace}\""));
    }
    out.push('>');
    out
}

const MUST_UNDERSTAND: &str = " s:mustUnderstand=\"true\"";

impl RequestEnvelope {
    /// The message that asks a server what it is; it has no headers.
    pub fn identify() -> String {
        let mut out = open_envelope();
        out.push_str("<s:Header/><s:Body>");
        Request::Identify.write(&mut out);
        out.push_str("</s:Body></s:Envelope>");
        out
    }

    /// Writes the message.
    pub fn to_xml(&self) -> String {
        let header = &self.header;
        let mut out = open_envelope();
        out.push_str("<s:Header>");
        if self.request != Request::Identify {
            push_element(&mut out, "a:To", "", &header.to);
            push_element(&mut out, "w:ResourceURI", MUST_UNDERSTAND, &header.resource_uri);
            out.push_str("<a:ReplyTo>");
            push_element(&mut out, "a:Address", MUST_UNDERSTAND, uri::ANONYMOUS);
            out.push_str("</a:ReplyTo>");
            push_element(&mut out, "a:Action", MUST_UNDERSTAND, self.request.action());
            if let Some(size) = header.max_envelope_size {
                push_element(&mut out, "w:MaxEnvelopeSize", MUST_UNDERSTAND, &size.to_string());
            }
            push_element(&mut out, "a:MessageID", "", &header.message_id);
            out.push_str("<w:Locale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>");
            out.push_str("<p:DataLocale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>");
            if let Some(session) = &header.session_id {
                push_element(&mut out, "p:SessionId", " s:mustUnderstand=\"false\"", session);
            }
            if let Some(timeout) = header.operation_timeout {
                push_element(&mut out, "w:OperationTimeout", "", &duration::write(timeout));
            }
            if let Some(shell) = &header.shell_id {
                out.push_str("<w:SelectorSet>");
                push_element(&mut out, "w:Selector", " Name=\"ShellId\"", shell);
                out.push_str("</w:SelectorSet>");
            }
            let options = self.request.options();
            if !options.is_empty() {
                out.push_str("<w:OptionSet s:mustUnderstand=\"true\">");
                for (name, value) in options {
                    out.push_str("<w:Option Name=\"");
                    out.push_str(name);
                    out.push_str("\">");
                    push_text(&mut out, &value);
                    out.push_str("</w:Option>");
                }
                out.push_str("</w:OptionSet>");
            }
        }
        out.push_str("</s:Header><s:Body>");
        self.request.write(&mut out);
        out.push_str("</s:Body></s:Envelope>");
        out
    }

    /// Reads a request, as a server does.
    ///
    /// # Errors
    ///
    /// [`WsmanError`] when it is no SOAP request, or one of ours with a part missing.
    pub fn parse(document: &[u8]) -> Result<Self, WsmanError> {
        let root = Element::parse(document)?;
        let body = body_of(&root)?;
        let header = root.child(uri::SOAP, "Header");
        let text = |namespace, name| {
            header.and_then(|header| header.child_text(namespace, name)).map(str::to_owned)
        };
        let named = |set: &str, item: &'static str| -> Vec<(String, String)> {
            header
                .and_then(|header| header.child(uri::WSMAN, set))
                .into_iter()
                .flat_map(|set| set.children(uri::WSMAN, item))
                .filter_map(|item| {
                    Some((item.attribute("Name")?.to_owned(), item.text.trim().to_owned()))
                })
                .collect()
        };
        let read = RequestHeader {
            to: text(uri::ADDRESSING, "To").unwrap_or_default(),
            message_id: text(uri::ADDRESSING, "MessageID").unwrap_or_default(),
            session_id: text(uri::WSMV, "SessionId"),
            resource_uri: text(uri::WSMAN, "ResourceURI").unwrap_or_default(),
            shell_id: named("SelectorSet", "Selector")
                .into_iter()
                .find(|(name, _)| name == "ShellId")
                .map(|(_, value)| value),
            operation_timeout: text(uri::WSMAN, "OperationTimeout")
                .and_then(|timeout| duration::read(&timeout)),
            max_envelope_size: text(uri::WSMAN, "MaxEnvelopeSize")
                .and_then(|size| size.parse().ok()),
        };
        if body.child(uri::IDENTITY, "Identify").is_some() {
            return Ok(Self { header: read, request: Request::Identify });
        }
        let action = text(uri::ADDRESSING, "Action")
            .ok_or(WsmanError::Message("a request without an action"))?;
        if read.message_id.is_empty() {
            return Err(WsmanError::Message("a request without a message identifier"));
        }
        let request = Request::read(&action, &named("OptionSet", "Option"), body)?;
        Ok(Self { header: read, request })
    }
}

/// An answer with its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseEnvelope {
    /// The `MessageID` of the request this answers; empty for `Identify`.
    pub relates_to: String,
    /// The answer's own `MessageID`.
    pub message_id: String,
    /// The answer.
    pub response: Response,
}

impl ResponseEnvelope {
    /// Writes the message; `machine` is the name a fault carries.
    pub fn to_xml(&self, machine: &str) -> String {
        let mut out = open_envelope();
        out.push_str("<s:Header>");
        if !matches!(self.response, Response::Identified(_)) {
            push_element(&mut out, "a:Action", "", self.response.action());
            push_element(&mut out, "a:MessageID", "", &self.message_id);
            push_element(&mut out, "a:To", "", uri::ANONYMOUS);
            push_element(&mut out, "a:RelatesTo", "", &self.relates_to);
        }
        out.push_str("</s:Header><s:Body>");
        self.response.write(&mut out, machine);
        out.push_str("</s:Body></s:Envelope>");
        out
    }

    /// Reads an answer, as a client does. The caller compares `relates_to` with what it sent.
    ///
    /// # Errors
    ///
    /// [`WsmanError`] when it is no SOAP answer of a kind this codec covers.
    pub fn parse(document: &[u8]) -> Result<Self, WsmanError> {
        let root = Element::parse(document)?;
        let body = body_of(&root)?;
        let text = |name| {
            root.child(uri::SOAP, "Header")
                .and_then(|header| header.child_text(uri::ADDRESSING, name))
                .unwrap_or_default()
        };
        Ok(Self {
            relates_to: text("RelatesTo").to_owned(),
            message_id: text("MessageID").to_owned(),
            response: Response::read(text("Action"), body)?,
        })
    }
}

fn body_of(root: &Element) -> Result<&Element, WsmanError> {
    if !root.is(uri::SOAP, "Envelope") {
        return Err(WsmanError::Message("the document is no SOAP 1.2 envelope"));
    }
    root.child(uri::SOAP, "Body").ok_or(WsmanError::Message("an envelope without a body"))
}

#[cfg(test)]
mod tests;
