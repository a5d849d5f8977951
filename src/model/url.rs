//! The address of something that a web server offers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An `http://` URL without user, password and fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl {
    /// A DNS name or an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port, where it is written.
    pub port: Option<u16>,
    /// Path and query, escaped, from the slash on.
    pub path: String,
}

/// A text is not the URL of something that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// It is encrypted.
    #[error("`{0}` needs TLS, which this build does not have: check it with a browser")]
    Https(String),
    /// It is something else.
    #[error("`{text}` is not a URL as in `http://host/path`: {reason}")]
    Invalid {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl FromStr for HttpUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| ParseUrlError::Invalid { text: text.to_owned(), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(ParseUrlError::Https(text.to_owned())),
            _ => return Err(invalid("its scheme is not http")),
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(invalid("it holds a user"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().map_err(|_| invalid("its port is not a number"))?;
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_v6 = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inner| inner.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c)));
        if host.is_empty() || host.len() > 253 || !(is_v6 || host.chars().all(is_name)) {
            return Err(invalid("its host is not a name or an address"));
        }
        Ok(Self { host: host.to_owned(), port, path: Self::path(path).map_err(invalid)? })
    }
}

impl HttpUrl {
    /// The longest path with its query, in bytes.
    const LONGEST: usize = 4096;

    /// A path with its query as it is sent: from the slash on, blanks and other alphabets escaped.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent.
    pub fn path(text: &str) -> Result<String, &'static str> {
        let text = text.split('#').next().unwrap_or_default();
        let mut path = String::with_capacity(text.len() + 1);
        if !text.starts_with('/') {
            path.push('/');
        }
        for c in text.chars() {
            match c {
                c if c.is_control() => return Err("it holds a control character"),
                // What a request line can hold; the percent sign of an escape among them.
                c if c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c) => path.push(c),
                c => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        path.push_str(&format!("%{byte:02X}"));
                    }
                }
            }
        }
        if path.len() > Self::LONGEST {
            return Err("it is too long");
        }
        Ok(path)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = ParseUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_path_escaped() {
        let url: HttpUrl = "http://ps-01.corp.example:8080/Altiris/PS/Package Delivery/{A}/ü?x=1#y"
            .parse()
            .unwrap();

        assert_eq!((url.host.as_str(), url.port), ("ps-01.corp.example", Some(8080)));
        assert_eq!(url.path, "/Altiris/PS/Package%20Delivery/%7BA%7D/%C3%BC?x=1");
        assert_eq!(
            url.to_string(),
            "http://ps-01.corp.example:8080/Altiris/PS/Package%20Delivery/%7BA%7D/%C3%BC?x=1"
        );
        let short: HttpUrl = "HTTP://[::1]".parse().unwrap();
        assert_eq!((short.host.as_str(), short.port, short.path.as_str()), ("[::1]", None, "/"));
    }

    #[test]
    fn an_escape_stays_as_it_is() {
        assert_eq!(HttpUrl::path("/a%20b"), Ok("/a%20b".to_owned()));
        assert_eq!(HttpUrl::path("a"), Ok("/a".to_owned()));
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_reason() {
        let tls = "https://smp01/Altiris".parse::<HttpUrl>().unwrap_err();
        assert!(tls.to_string().contains("needs TLS"), "{tls}");
        for text in [
            "",
            "smp01/x",
            "ftp://smp01/",
            "http:///x",
            "http://user:password@smp01/",
            "http://smp01:http/",
            "http://smp 01/",
            "http://smp01/\r\nHost: other",
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text:?}");
        }
    }
}
