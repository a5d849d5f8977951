//! Plain HTTP: what anybody may fetch, and what a logon is needed for.

mod client;

use super::{Deadline, TransportError};
use crate::model::HttpUrl;

pub(super) use client::{fetch, read};

/// How something is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// With its content.
    Get,
    /// Without.
    Head,
}

/// Something to be fetched without a logon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// How.
    pub method: HttpMethod,
    /// What.
    pub url: HttpUrl,
    /// Where to connect, when that is not where the URL says: a name or an address, and a port.
    pub connect: Option<(String, u16)>,
    /// How much of the content is kept, in bytes; the rest is not read.
    pub limit: usize,
}

/// Fields to be sent to a page with the host's credential, as a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpForm {
    /// The path of the page, from the slash on.
    pub path: &'static str,
    /// The fields.
    pub fields: Vec<(&'static str, String)>,
}

impl HttpForm {
    /// The fields as `application/x-www-form-urlencoded` (WHATWG URL, section 5.2).
    pub fn body(&self) -> String {
        let mut body = String::new();
        for (name, value) in &self.fields {
            if !body.is_empty() {
                body.push('&');
            }
            body.push_str(name);
            body.push('=');
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                        body.push(char::from(byte));
                    }
                    b' ' => body.push('+'),
                    byte => body.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        body
    }
}

/// What a web server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The content, as far as it was kept.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub is_cut: bool,
    /// The length that the server announced.
    pub length: Option<u64>,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Where it sends the client on to; nobody goes there.
    pub location: Option<String>,
}

/// The failure of a connector that has no way to the web.
pub(super) fn not_offered() -> TransportError {
    TransportError::new(
        super::TransportErrorKind::Refused,
        "could not ask a web server: this connection has no HTTP",
    )
}

/// A deadline for one exchange, whatever the step's is.
pub(super) fn patience(deadline: Deadline) -> Deadline {
    deadline.at_most(std::time::Duration::from_secs(120))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped_so_that_none_becomes_another() {
        let form = HttpForm {
            path: "/x",
            fields: vec![("PackageGuid", "{A}&x=1 ü".to_owned()), ("b", "2".to_owned())],
        };

        assert_eq!(form.body(), "PackageGuid=%7BA%7D%26x%3D1+%C3%BC&b=2");
    }
}
