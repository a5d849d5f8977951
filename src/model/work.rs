//! Rows of the CMDB that say what there is to do, and how they meet hosts.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Guid, Host, HostName};

/// A package server as the CMDB knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// Its resource GUID.
    pub guid: Guid,
    /// Its name, where the CMDB has one.
    pub name: Option<String>,
    /// Its fully qualified name, where the CMDB has one.
    pub fqdn: Option<String>,
}

/// One (server, package) pair that is not well: a row of a work query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRow {
    /// The package server.
    pub server: ServerIdentity,
    /// The package.
    pub package: Guid,
    /// The package's name, where the CMDB has one.
    pub package_name: Option<String>,
    /// The status that the Notification Server has for the pair.
    pub status: String,
    /// The package's version at the Notification Server.
    pub current_version: Option<String>,
    /// The version that the package server last reported; it may hold an error text.
    pub reported_version: Option<String>,
}

/// Work rows by host, and those that met none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedWork {
    /// The rows of each host that has any, in inventory order.
    pub by_host: IndexMap<HostName, Vec<WorkRow>>,
    /// Rows whose server is not among the hosts.
    pub unmatched: Vec<WorkRow>,
    /// Rows whose server could be more than one host: refused, and the hosts it could be.
    pub ambiguous: Vec<(WorkRow, Vec<HostName>)>,
}

/// Hosts by what the CMDB knows of them.
pub(super) struct HostIndex {
    by_guid: IndexMap<Guid, Vec<usize>>,
    by_fqdn: IndexMap<String, Vec<usize>>,
    by_short: IndexMap<String, Vec<usize>>,
    /// By short name, those whose fully qualified name nobody knows.
    by_short_alone: IndexMap<String, Vec<usize>>,
}

impl HostIndex {
    pub(super) fn new(hosts: &[Host]) -> Self {
        let mut index = Self {
            by_guid: IndexMap::new(),
            by_fqdn: IndexMap::new(),
            by_short: IndexMap::new(),
            by_short_alone: IndexMap::new(),
        };
        for (at, host) in hosts.iter().enumerate() {
            if let Some(guid) = host.guid() {
                index.by_guid.entry(guid).or_default().push(at);
            }
            let short = host.name.short().to_lowercase();
            match host.fqdn() {
                Some(fqdn) => index.by_fqdn.entry(fqdn.to_lowercase()).or_default().push(at),
                None => index.by_short_alone.entry(short.clone()).or_default().push(at),
            }
            index.by_short.entry(short).or_default().push(at);
        }
        index
    }

    /// The places of the hosts that a server can be: by resource GUID, else by fully qualified
    /// name, else by short name; names are compared without regard to case. A short name counts
    /// only while no two fully qualified names contradict it: `ps-01.b.example` is not
    /// `ps-01.a.example`.
    pub(super) fn candidates(&self, server: &ServerIdentity) -> &[usize] {
        let told = |name: &Option<String>| {
            let name = name.as_deref().map(|name| name.trim().to_lowercase());
            name.filter(|name| !name.is_empty())
        };
        let name = told(&server.name);
        let fqdn = told(&server.fqdn).or_else(|| name.clone().filter(|name| name.contains('.')));
        let by_fqdn = || self.by_fqdn.get(fqdn.as_ref()?);
        let by_short = || {
            let short = name.as_ref()?.split('.').next()?;
            let known = if fqdn.is_some() { &self.by_short_alone } else { &self.by_short };
            known.get(short)
        };
        self.by_guid.get(&server.guid).or_else(by_fqdn).or_else(by_short).map_or(&[], Vec::as_slice)
    }
}

/// Matches rows to hosts by resource GUID, else by fully qualified name, else by a short name that
/// only one host has and no fully qualified names contradict; names are compared without regard to
/// case.
pub fn match_work(rows: &[WorkRow], hosts: &[Host]) -> MatchedWork {
    let index = HostIndex::new(hosts);
    let mut found: Vec<Vec<WorkRow>> = vec![Vec::new(); hosts.len()];
    let mut matched = MatchedWork::default();
    for row in rows {
        match index.candidates(&row.server) {
            [] => matched.unmatched.push(row.clone()),
            // A host that declares another GUID is another server, whatever its name.
            [only] if hosts[*only].guid().is_some_and(|guid| guid != row.server.guid) => {
                matched.unmatched.push(row.clone());
            }
            [only] => found[*only].push(row.clone()),
            several => {
                let names = several.iter().map(|at| hosts[*at].name.clone()).collect();
                matched.ambiguous.push((row.clone(), names));
            }
        }
    }
    matched.by_host = hosts
        .iter()
        .zip(found)
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(host, rows)| (host.name.clone(), rows))
        .collect();
    matched
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Vars;
    use serde_json::json;

    const GUID: Guid = Guid::from_u128(1);

    fn host(name: &str, guid: Option<Guid>) -> Host {
        let vars: Vars =
            guid.iter().map(|guid| ("itms_guid".to_owned(), json!(guid.bare()))).collect();
        Host { name: HostName::new(name), groups: Arc::from([]), vars: Arc::new(vars) }
    }

    fn row(guid: Guid, name: &str, fqdn: Option<&str>) -> WorkRow {
        WorkRow {
            server: ServerIdentity {
                guid,
                name: Some(name.to_owned()),
                fqdn: fqdn.map(str::to_owned),
            },
            package: Guid::from_u128(9),
            package_name: None,
            status: "Invalid".to_owned(),
            current_version: None,
            reported_version: None,
        }
    }

    #[test]
    fn a_guid_outranks_names_and_names_ignore_case() {
        let hosts = [host("PS-01.corp.example", None), host("other", Some(GUID))];

        let matched = match_work(&[row(GUID, "ps-01", Some("ps-01.corp.example"))], &hosts);
        assert_eq!(matched.by_host.keys().map(HostName::as_str).collect::<Vec<_>>(), ["other"]);

        let matched =
            match_work(&[row(Guid::from_u128(2), "x", Some("ps-01.CORP.example"))], &hosts);
        assert_eq!(matched.by_host.len(), 1);
    }

    #[test]
    fn a_short_name_that_two_hosts_have_is_refused_not_guessed() {
        let hosts = [host("ps-01.a.example", None), host("ps-01.b.example", None)];

        let matched = match_work(&[row(GUID, "PS-01", None)], &hosts);

        assert!(matched.by_host.is_empty());
        assert_eq!(matched.ambiguous[0].1.len(), 2);
    }

    #[test]
    fn a_short_name_does_not_outweigh_two_full_names_that_differ() {
        let theirs = row(GUID, "ps-01", Some("ps-01.b.example"));

        let matched = match_work(std::slice::from_ref(&theirs), &[host("ps-01.a.example", None)]);
        assert_eq!((matched.by_host.len(), matched.unmatched.len()), (0, 1), "{matched:?}");
        let full = row(GUID, "ps-01.b.example", None);
        let matched = match_work(&[full], &[host("ps-01.a.example", None)]);
        assert_eq!((matched.by_host.len(), matched.unmatched.len()), (0, 1), "{matched:?}");

        // Where one side has no full name, the short one is all there is.
        let matched = match_work(std::slice::from_ref(&theirs), &[host("PS-01", None)]);
        assert_eq!(matched.by_host.len(), 1);
        let matched = match_work(&[row(GUID, "PS-01", None)], &[host("ps-01.a.example", None)]);
        assert_eq!(matched.by_host.len(), 1);
    }

    #[test]
    fn a_row_without_a_host_is_listed_never_dropped() {
        let matched = match_work(&[row(GUID, "ps-99", None)], &[host("ps-01", None)]);
        assert_eq!(matched.unmatched.len(), 1);

        let other_guid = [host("ps-99", Some(Guid::from_u128(7)))];
        let matched = match_work(&[row(GUID, "ps-99", None)], &other_guid);
        assert_eq!(matched.unmatched.len(), 1);
    }
}
