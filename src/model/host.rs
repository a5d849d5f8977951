//! One server of the inventory, with the variables that hold for it.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Guid, HostName};
use crate::secret::Secret;

/// Variables by name, in the order they were written.
pub type Vars = IndexMap<String, Value>;

/// The name of a credential; never a password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialName(pub String);

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A user and a password, found by a credential's name.
#[derive(Debug, Clone)]
pub struct Credential {
    /// `DOM\user`, `user@domain` or a local name.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

impl Credential {
    /// Splits `DOM\user` into domain and user; the other forms have an empty domain, as Windows
    /// expects `user@domain` whole in the user field.
    pub fn domain_and_user(&self) -> (&str, &str) {
        self.user.split_once('\\').unwrap_or(("", &self.user))
    }
}

/// One server, with its variables resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Its name in the inventory.
    pub name: HostName,
    /// The groups it is in, parents before children, `all` first.
    pub groups: Arc<[String]>,
    /// Its variables, the winner of each name.
    pub vars: Arc<Vars>,
}

impl Host {
    /// A variable that is a text; numbers and booleans are not texts.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.vars.get(name).and_then(Value::as_str)
    }

    /// A variable that is a port number.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.vars.get(name).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
    }

    /// Where to connect: `ansible_host`, else the name.
    pub fn address(&self) -> &str {
        self.text("ansible_host").unwrap_or(self.name.as_str())
    }

    /// The site, from the variable `site`.
    pub fn site(&self) -> Option<&str> {
        self.text("site")
    }

    /// The server's resource GUID, from the variable `itms_guid`.
    pub fn guid(&self) -> Option<Guid> {
        self.text("itms_guid").and_then(|text| text.parse().ok())
    }

    /// The fully qualified name: the variable `fqdn`, else the name when it has a dot.
    pub fn fqdn(&self) -> Option<&str> {
        self.text("fqdn").or_else(|| {
            let name = self.name.as_str();
            name.contains('.').then_some(name)
        })
    }

    /// Whether the CMDB lists the host as a package server: a source of the inventory said so.
    pub fn is_sourced_package_server(&self) -> bool {
        self.vars.get(super::sourced::IS_PACKAGE_SERVER) == Some(&Value::Bool(true))
    }

    /// The credential to log on with, from the variable `credential`.
    pub fn credential(&self) -> Option<CredentialName> {
        self.text("credential").map(|name| CredentialName(name.to_owned()))
    }
}
