//! Package servers that the CMDB knows, as hosts of an inventory.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::work::HostIndex;
use super::{Guid, Host, HostName, Inventory, ServerIdentity, Vars};

/// Where hosts come from, besides the inventory's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventorySource {
    /// The package servers of the CMDBs: `cmdb: package_servers`.
    CmdbPackageServers,
}

impl InventorySource {
    /// As inventories write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CmdbPackageServers => "cmdb: package_servers",
        }
    }
}

/// A package server as the CMDB has it; a run records those that it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcedServer {
    /// Its resource GUID.
    pub guid: Guid,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its fully qualified name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Its site, where the operator's query says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
}

/// How a host came into an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOrigin {
    /// It stands in the file.
    File,
    /// It stands in the file, and the CMDB knows it.
    Both,
    /// Only the CMDB has it.
    Source,
}

/// What became of the servers of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// How many hosts were added.
    pub added: usize,
    /// How many hosts of the file were found in it.
    pub known: usize,
    /// Servers that cannot be hosts, each with the reason.
    pub left_out: Vec<String>,
}

/// The servers of a source and the hosts of an inventory cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("could not take the package servers of the CMDB for hosts: {}", .0.join("; "))]
pub struct Ambiguous(pub Vec<String>);

/// The variable by which a host is known to be a package server.
pub(super) const IS_PACKAGE_SERVER: &str = "itms_package_server";

/// Servers as hosts: what is known of those of the file, and those that are new.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) known: IndexMap<HostName, Vars>,
    pub(super) new: IndexMap<HostName, Vars>,
    pub(super) merged: Merged,
}

/// Adds the servers to an inventory and tells its hosts what the CMDB knows of them.
///
/// A server is matched by GUID, else by fully qualified name, else by a short name that only one
/// host has and that no two fully qualified names contradict. What the inventory says of a host wins over what the source says. A new host is named
/// by its fully qualified name in lower case and stands in the group `package_servers`.
///
/// # Errors
///
/// A server could be several hosts, several servers the same one, or a host declares another GUID.
pub(super) fn merge(inventory: &Inventory, servers: &[SourcedServer]) -> Result<Taken, Ambiguous> {
    let hosts: Vec<Host> = inventory.hosts().collect();
    let index = HostIndex::new(&hosts);
    let mut merged = Merged::default();
    let mut troubles = Vec::new();
    let (mut known, mut new) = (IndexMap::new(), IndexMap::new());
    // Which server each host is, by its name in lower case.
    let mut taken: BTreeMap<String, Guid> = BTreeMap::new();
    let spelt: HashSet<String> =
        hosts.iter().map(|host| host.name.as_str().to_lowercase()).collect();
    let mut seen: HashSet<Guid> = HashSet::new();
    for server in servers {
        if !seen.insert(server.guid) {
            continue;
        }
        let identity = ServerIdentity {
            guid: server.guid,
            name: server.name.clone(),
            fqdn: server.fqdn.clone(),
        };
        let name = match index.candidates(&identity) {
            [only] => {
                let host = &hosts[*only];
                if let Some(other) = host.guid().filter(|guid| *guid != server.guid) {
                    troubles.push(format!(
                        "{} is {} there, and the inventory says that its `itms_guid` is {other}",
                        host.name, server.guid
                    ));
                    continue;
                }
                host.name.clone()
            }
            [] => match new_name(server) {
                // A host of that name whose `fqdn` is another one.
                Ok(name) if spelt.contains(name.as_str()) => {
                    troubles.push(format!(
                        "{} would be called {name}, as another host of the inventory is",
                        server.guid
                    ));
                    continue;
                }
                Ok(name) => name,
                Err(why) => {
                    merged.left_out.push(format!("{} ({why})", server.guid));
                    continue;
                }
            },
            several => {
                let names: Vec<&str> =
                    several.iter().take(10).map(|at| hosts[*at].name.as_str()).collect();
                troubles.push(format!("{} could be {}", told(server), names.join(" or ")));
                continue;
            }
        };
        if let Some(other) = taken.insert(name.as_str().to_lowercase(), server.guid) {
            troubles.push(format!("{name} is both {other} and {}", server.guid));
            continue;
        }
        let is_known = spelt.contains(&name.as_str().to_lowercase());
        if is_known {
            merged.known += 1;
            known.insert(name, vars_of(server));
        } else {
            merged.added += 1;
            new.insert(name, vars_of(server));
        }
    }
    if troubles.is_empty() { Ok(Taken { known, new, merged }) } else { Err(Ambiguous(troubles)) }
}

fn told(server: &SourcedServer) -> String {
    let name = server.fqdn.as_ref().or(server.name.as_ref());
    name.map_or_else(|| server.guid.to_string(), |name| format!("{name} ({})", server.guid))
}

/// The name for a host of which the inventory knows nothing.
fn new_name(server: &SourcedServer) -> Result<HostName, &'static str> {
    let given =
        server.fqdn.as_deref().or(server.name.as_deref()).map(str::trim).unwrap_or_default();
    if given.is_empty() {
        return Err("it has no name");
    }
    // What the CMDB holds was written by many: only what can be a name in DNS becomes one.
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
    };
    if given.len() > 253 || !given.split('.').all(fits) {
        return Err("its name cannot be that of a host");
    }
    Ok(HostName::new(given.to_lowercase()))
}

fn vars_of(server: &SourcedServer) -> Vars {
    let mut vars = Vars::new();
    vars.insert("itms_guid".to_owned(), Value::String(server.guid.to_string()));
    vars.insert(IS_PACKAGE_SERVER.to_owned(), Value::Bool(true));
    let texts =
        [("fqdn", &server.fqdn), ("site", &server.site), ("agent_version", &server.agent_version)];
    for (name, text) in texts {
        if let Some(text) = text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            vars.insert(name.to_owned(), Value::String(text.to_owned()));
        }
    }
    vars
}

#[cfg(test)]
mod tests {
    use indexmap::IndexSet;
    use serde_json::json;

    use super::*;
    use crate::model::Group;

    fn server(bits: u128, fqdn: Option<&str>, name: Option<&str>) -> SourcedServer {
        SourcedServer {
            guid: Guid::from_u128(bits),
            name: name.map(str::to_owned),
            fqdn: fqdn.map(str::to_owned),
            site: Some("OSL".to_owned()),
            agent_version: Some("8.6".to_owned()),
        }
    }

    /// An inventory with these hosts in a group below `package_servers`, and a Notification Server.
    fn inventory(hosts: &[(&str, Value)]) -> Inventory {
        let vars = |value: &Value| match value {
            Value::Object(map) => map.clone().into_iter().collect(),
            _ => Vars::new(),
        };
        let group = |hosts: &[(&str, Value)], own: Value| Group {
            vars: vars(&own),
            hosts: hosts.iter().map(|(name, v)| (HostName::new(*name), vars(v))).collect(),
            ..Group::default()
        };
        let groups = IndexMap::from([
            ("all".to_owned(), group(&[], json!({ "credential": "fleet-admin" }))),
            (
                "package_servers".to_owned(),
                Group { children: IndexSet::from(["london".to_owned()]), ..Group::default() },
            ),
            ("london".to_owned(), group(hosts, json!({ "site": "LON" }))),
            (
                "notification_servers".to_owned(),
                group(&[("smp01.corp.example", json!({ "cmdb": { "server": "x" } }))], json!({})),
            ),
        ]);
        Inventory::new(groups).expect("no circle")
    }

    #[test]
    fn a_server_that_the_inventory_does_not_have_becomes_a_host_with_its_variables() {
        let (grown, merged) = inventory(&[])
            .with_sourced(&[server(1, Some("PS-OSL-01.Corp.Example"), Some("PS-OSL-01"))])
            .expect("it fits");

        let host = grown.host(&HostName::new("ps-osl-01.corp.example")).expect("the host");
        assert_eq!((merged.added, merged.known), (1, 0));
        assert_eq!(host.guid(), Some(Guid::from_u128(1)));
        assert_eq!((host.site(), host.text("agent_version")), (Some("OSL"), Some("8.6")));
        assert_eq!(host.text("credential"), Some("fleet-admin"), "groups hold for it");
        assert!(host.groups.contains(&"package_servers".to_owned()));
        assert_eq!(grown.origin(&host.name), Some(HostOrigin::Source));
    }

    #[test]
    fn what_the_inventory_says_of_a_host_wins_over_the_source() {
        let file = inventory(&[("ps-lon-01", json!({ "fqdn": "ps-lon-01.corp.example" }))]);

        let (grown, merged) =
            file.with_sourced(&[server(1, Some("PS-LON-01.CORP.EXAMPLE"), None)]).expect("it fits");

        let host = grown.host(&HostName::new("ps-lon-01")).expect("the host");
        assert_eq!((merged.added, merged.known, grown.len()), (0, 1, 2));
        assert_eq!(host.site(), Some("LON"), "although it stands at the group only");
        assert_eq!(host.guid(), Some(Guid::from_u128(1)), "the source adds what is not there");
        assert_eq!(grown.origin(&host.name), Some(HostOrigin::Both));
        let explained = grown.explain(&host.name, "site");
        assert_eq!(
            explained.iter().map(|o| o.value.clone()).collect::<Vec<_>>(),
            [json!("OSL"), json!("LON")]
        );
    }

    #[test]
    fn a_notification_server_that_is_a_package_server_too_does_not_join_their_group() {
        let (grown, _) = inventory(&[])
            .with_sourced(&[server(1, Some("smp01.corp.example"), None)])
            .expect("it fits");

        let host = grown.host(&HostName::new("smp01.corp.example")).expect("the host");
        assert!(!host.groups.contains(&"package_servers".to_owned()));
        assert_eq!(host.guid(), Some(Guid::from_u128(1)));
    }

    #[test]
    fn a_server_of_another_domain_is_a_host_of_its_own() {
        let file = inventory(&[("ps-01.a.example", json!({}))]);

        let (grown, merged) = file
            .with_sourced(&[server(1, Some("PS-01.b.example"), Some("PS-01"))])
            .expect("they can be told apart");

        assert_eq!((merged.added, merged.known), (1, 0), "{merged:?}");
        let theirs = grown.host(&HostName::new("ps-01.b.example")).expect("the CMDB's");
        assert_eq!(theirs.guid(), Some(Guid::from_u128(1)));
        let ours = grown.host(&HostName::new("ps-01.a.example")).expect("the file's");
        assert_eq!(ours.guid(), None);
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_with_names() {
        let two = inventory(&[("ps-01.a.example", json!({})), ("ps-01.b.example", json!({}))]);
        let said = |inventory: &Inventory, servers: &[SourcedServer]| {
            inventory.with_sourced(servers).expect_err("ambiguous").to_string()
        };

        let short = said(&two, &[server(1, None, Some("PS-01"))]);
        assert!(short.contains("could be ps-01.a.example or ps-01.b.example"), "{short}");
        let twice = said(
            &two,
            &[server(1, Some("ps-01.a.example"), None), server(2, Some("PS-01.A.example"), None)],
        );
        assert!(twice.contains("ps-01.a.example is both"), "{twice}");
        let new_twice =
            said(&two, &[server(1, Some("x.example"), None), server(2, Some("X.example"), None)]);
        assert!(new_twice.contains("x.example is both"), "{new_twice}");
        let other = inventory(&[(
            "ps-01.a.example",
            json!({ "itms_guid": Guid::from_u128(9).to_string() }),
        )]);
        let other = said(&other, &[server(1, Some("ps-01.a.example"), None)]);
        assert!(other.contains("its `itms_guid` is"), "{other}");
    }

    #[test]
    fn a_server_without_a_name_or_with_a_hostile_one_is_left_out_and_said() {
        let (grown, merged) = inventory(&[])
            .with_sourced(&[
                server(1, None, None),
                server(2, Some("ps-01;calc.exe"), None),
                server(3, Some("../../etc"), None),
                server(4, None, Some("-oProxyCommand=x")),
                server(5, Some("ps-05.corp.example"), None),
                server(5, Some("ps-05.corp.example"), None),
            ])
            .expect("the others fit");

        assert_eq!((merged.added, merged.left_out.len()), (1, 4), "{merged:?}");
        assert_eq!(grown.len(), 2);
    }
}
