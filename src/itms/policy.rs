//! The policies that an agent received, `Client Policies\<Notification Server>.xml`.
//!
//! The form is known in part: `<Policy guid name version>` with `<ClientPolicy agentClsid>` inside, of
//! which one has `<Security enableCOMSecurity allowUpdateConfiguration …>`; values that 7.5 and later
//! keep secret are encrypted (KB 181777). What belongs to the package server is looked for in the
//! parts that are called after it; what is not found there, or is encrypted, is none: never a guess.

use indexmap::IndexSet;

use super::evidence::AppliedCredential;
use super::xml::{Element, Unreadable, walk};
use crate::model::Guid;

/// How many packages may be assigned to a server.
const MOST_PACKAGES: usize = 100_000;

/// What a policy file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The packages assigned to the package server; none when no part of the file is the package
    /// server's, or its list is encrypted.
    pub packages: Option<Vec<Guid>>,
    /// The credential of the package service (KB 179719); none when it does not tell, or tells
    /// two.
    pub credential: Option<AppliedCredential>,
    /// Who may use the agent's COM object.
    pub com_security: Option<ComSecurity>,
    /// The folder of the package store, `windowsLocation` (KB 150359); none when it is the default.
    pub store: Option<String>,
    /// Whether a part of the package server's is encrypted.
    pub is_encrypted: bool,
}

/// What the policy says of the agent's COM object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComSecurity {
    /// Whether calls are checked at all (`enableCOMSecurity`).
    pub is_enabled: bool,
    /// Whether those without rights may ask for the configuration (`allowUpdateConfiguration`).
    pub allows_update_configuration: Option<bool>,
    /// Whether they may send inventory (`allowSendInventory`).
    pub allows_send_inventory: Option<bool>,
}

/// Reads a policy file.
///
/// # Errors
///
/// It is no whole XML document.
pub fn read_policy(bytes: &[u8]) -> Result<Policy, Unreadable> {
    let mut policy = Policy::default();
    let mut packages: IndexSet<Guid> = IndexSet::new();
    let mut credentials: Vec<AppliedCredential> = Vec::new();
    let mut is_list_hidden = false;
    let mut has_part = false;
    let mut has_names_without_guid = false;
    walk(bytes, |element, inside| {
        if let Some(enabled) = element.value(&["enablecomsecurity"]).and_then(truth) {
            policy.com_security = Some(ComSecurity {
                is_enabled: enabled,
                allows_update_configuration: element
                    .value(&["allowupdateconfiguration"])
                    .and_then(truth),
                allows_send_inventory: element.value(&["allowsendinventory"]).and_then(truth),
            });
        }
        // The root is never such a part: all of the file would be.
        let is_part = inside.iter().skip(1).any(is_of_package_server)
            || !inside.is_empty() && is_of_package_server(element);
        if !is_part {
            return Ok(());
        }
        has_part = true;
        if is_encrypted(element) {
            policy.is_encrypted = true;
            is_list_hidden |=
                !speaks_of_credentials(element) && !inside.iter().any(speaks_of_credentials);
        }
        if is_package(element) {
            let id = element.value(&["id", "guid", "packageid", "packageguid"]);
            let own = (!element.text.is_empty()).then_some(element.text.as_str());
            match id.or(own).map(|text| text.trim().parse::<Guid>()) {
                Some(Ok(guid)) => drop(packages.insert(guid)),
                _ => has_names_without_guid = true,
            }
            if packages.len() > MOST_PACKAGES {
                return Err(Unreadable::because(format!(
                    "it assigns more than {MOST_PACKAGES} packages"
                )));
            }
        }
        credentials.extend(credentials_in(element));
        if let Some(store) = element.value(&["windowslocation"])
            && !store.eq_ignore_ascii_case("_default_")
        {
            policy.store = Some(store.to_owned());
        }
        Ok(())
    })?;
    let is_list_known =
        has_part && !is_list_hidden && !has_names_without_guid && !packages.is_empty();
    policy.packages = is_list_known.then(|| packages.into_iter().collect());
    credentials.dedup();
    policy.credential = match credentials.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    Ok(policy)
}

/// Whether an element is the package server's part of the policies, by its name or the names in it:
/// `agentClsid="Altiris.AeXNSCPkgSvr"`, `<Policy name="Package Server Settings">`, `<PackageServer>`.
fn is_of_package_server(element: &Element) -> bool {
    let is_called_so = |text: &str| {
        let bare: String =
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        ["packageserver", "packageservice", "pkgsvr", "pkgserver"]
            .iter()
            .any(|name| bare.contains(name))
            && !bare.contains("excluding")
    };
    is_called_so(&element.name)
        || element.value(&["agentclsid"]).is_some_and(is_called_so)
        || element.is(&["policy", "clientpolicy", "section", "agent"])
            && element.value(&["name"]).is_some_and(is_called_so)
}

fn is_package(element: &Element) -> bool {
    element.is(&["package", "swdpackage", "packageitem", "assignedpackage"])
}

/// Whether an element, or an attribute of it, is encrypted.
fn is_encrypted(element: &Element) -> bool {
    let name = element.name.to_lowercase();
    name.contains("encrypted")
        || name == "ciphervalue"
        || element.values.iter().any(|(key, value)| {
            let key = key.to_lowercase();
            key == "encrypted" && truth(value) != Some(false)
                || key.ends_with("_secureattribute")
                || key == "encrypteddata"
        })
}

fn speaks_of_credentials(element: &Element) -> bool {
    let speaks = |text: &str| {
        let text = text.to_lowercase();
        ["credential", "password", "username", "account"].iter().any(|word| text.contains(word))
    };
    speaks(&element.name) || element.values.iter().any(|(key, _)| speaks(key))
}

/// The modes of access that an element names under a key that is one.
fn credentials_in(element: &Element) -> Vec<AppliedCredential> {
    const MODES: &[&str] = &[
        "credentialtype",
        "credentialmode",
        "credentials",
        "credential",
        "securitymode",
        "accesstype",
        "accessmode",
        "authenticationmode",
        "accounttype",
    ];
    const FLAGS: &[(&str, AppliedCredential)] = &[
        ("anonymous", AppliedCredential::Anonymous),
        ("anonymousaccess", AppliedCredential::Anonymous),
        ("allowanonymous", AppliedCredential::Anonymous),
        ("useanonymous", AppliedCredential::Anonymous),
        ("useappid", AppliedCredential::ApplicationIdentity),
        ("useapplicationcredentials", AppliedCredential::ApplicationIdentity),
        ("useacc", AppliedCredential::AgentConnectivity),
        ("useagentconnectivitycredentials", AppliedCredential::AgentConnectivity),
    ];
    let mut found: Vec<AppliedCredential> =
        MODES.iter().filter_map(|key| element.value(&[*key])).filter_map(mode).collect();
    found.extend(FLAGS.iter().filter_map(|(key, credential)| {
        (element.value(&[*key]).and_then(truth) == Some(true)).then_some(*credential)
    }));
    found.dedup();
    found
}

fn mode(text: &str) -> Option<AppliedCredential> {
    let bare: String =
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    match bare.as_str() {
        "anonymous" | "anonymousaccess" => Some(AppliedCredential::Anonymous),
        "appid"
        | "application"
        | "applicationidentity"
        | "applicationcredentials"
        | "applicationcredential" => Some(AppliedCredential::ApplicationIdentity),
        "acc"
        | "agentconnectivity"
        | "agentconnectivitycredential"
        | "agentconnectivitycredentials" => Some(AppliedCredential::AgentConnectivity),
        _ => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
