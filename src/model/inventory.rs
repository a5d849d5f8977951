//! Hosts and groups as the inventory file gives them, and which variable wins.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::sourced::Taken;
use super::{Ambiguous, Host, HostName, HostOrigin, Merged, SourcedServer, Vars, sourced};

/// A group: its variables, its hosts and its children.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Variables for every host below.
    pub vars: Vars,
    /// The hosts named in it, with the variables given there.
    pub hosts: IndexMap<HostName, Vars>,
    /// The names of its child groups.
    pub children: IndexSet<String>,
}

/// Where a variable's value comes from, weakest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VarLevel {
    /// Said by a source of the inventory, the CMDB.
    Source,
    /// `vars` of the group `all`.
    All,
    /// `vars` of a group, with its depth below `all`.
    Group {
        /// How far below `all`.
        depth: usize,
        /// Its name.
        name: String,
    },
    /// Given to the host itself.
    Host,
}

/// One candidate for a variable, for `inventory --explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct VarOrigin {
    /// The level it stands at.
    pub level: VarLevel,
    /// Its value there.
    pub value: Value,
}

/// A validated inventory: every child exists and no group is its own ancestor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    groups: IndexMap<String, Group>,
    depths: IndexMap<String, usize>,
    /// Each host's groups, parents before children.
    members: IndexMap<HostName, Arc<[String]>>,
    /// What sources say of hosts; everything in the file wins over it.
    sourced: IndexMap<HostName, Vars>,
    /// The hosts that only sources have.
    added: IndexSet<HostName>,
    is_resolved: bool,
}

/// A group that contains itself, with the path of the circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group `{}` contains itself: {}", .circle.first().map_or("", String::as_str), .circle.join(" > "))]
pub struct CyclicGroups {
    /// The names along the circle, the first one again at the end.
    pub circle: Vec<String>,
}

impl Inventory {
    /// The group that holds everything.
    pub const ALL: &str = "all";
    /// The group that the package servers of a source join.
    pub const PACKAGE_SERVERS: &str = "package_servers";

    /// Builds the inventory from its groups; children that are not groups of their own are made
    /// empty ones, and groups without a parent become children of `all`.
    ///
    /// # Errors
    ///
    /// A group that contains itself.
    pub fn new(mut groups: IndexMap<String, Group>) -> Result<Self, CyclicGroups> {
        groups.entry(Self::ALL.to_owned()).or_default();
        let named: Vec<String> = groups.values().flat_map(|g| g.children.iter().cloned()).collect();
        for name in named {
            groups.entry(name).or_default();
        }
        let has_parent: IndexSet<&String> = groups.values().flat_map(|g| &g.children).collect();
        let orphans: Vec<String> = groups
            .keys()
            .filter(|name| *name != Self::ALL && !has_parent.contains(name))
            .cloned()
            .collect();
        if let Some(all) = groups.get_mut(Self::ALL) {
            all.children.extend(orphans);
        }
        let mut depths = IndexMap::new();
        measure(&groups, Self::ALL, &mut Vec::new(), &mut depths)?;
        // A circle that `all` does not reach has no member without a parent.
        if let Some(unreached) = groups.keys().find(|name| !depths.contains_key(*name)) {
            measure(&groups, unreached, &mut Vec::new(), &mut depths)?;
        }

        let members = resolve_members(&groups, &depths);
        Ok(Self {
            groups,
            depths,
            members,
            sourced: IndexMap::new(),
            added: IndexSet::new(),
            is_resolved: false,
        })
    }

    /// All hosts, in the order of the file, with their variables resolved.
    pub fn hosts(&self) -> impl Iterator<Item = Host> {
        self.members.keys().filter_map(|name| self.host(name))
    }

    /// The names of all hosts, in the order of the file.
    pub fn host_names(&self) -> impl Iterator<Item = &HostName> {
        self.members.keys()
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no hosts.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// One host with its variables resolved.
    pub fn host(&self, name: &HostName) -> Option<Host> {
        let groups = self.members.get(name)?;
        let mut vars = self.sourced.get(name).cloned().unwrap_or_default();
        for group in groups.iter().filter_map(|name| self.groups.get(name)) {
            vars.extend(group.vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        for group in groups.iter().filter_map(|name| self.groups.get(name)) {
            if let Some(own) = group.hosts.get(name) {
                vars.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        Some(Host { name: name.clone(), groups: Arc::clone(groups), vars: Arc::new(vars) })
    }

    /// The groups a host is in, parents before children; `None` for a host that is not there.
    pub fn groups_of(&self, name: &HostName) -> Option<&[String]> {
        self.members.get(name).map(AsRef::as_ref)
    }

    /// All groups by name, in the order of the file.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.groups.iter().map(|(name, group)| (name.as_str(), group))
    }

    /// Every value that a variable has for a host, the winner last.
    pub fn explain(&self, name: &HostName, var: &str) -> Vec<VarOrigin> {
        let groups = self.members.get(name).map_or(&[][..], AsRef::as_ref);
        let from_groups = groups.iter().filter_map(|group| {
            let value = self.groups.get(group)?.vars.get(var)?.clone();
            let level = if group == Self::ALL {
                VarLevel::All
            } else {
                VarLevel::Group { depth: self.depths[group], name: group.clone() }
            };
            Some(VarOrigin { level, value })
        });
        let own = groups.iter().filter_map(|group| {
            let value = self.groups.get(group)?.hosts.get(name)?.get(var)?.clone();
            Some(VarOrigin { level: VarLevel::Host, value })
        });
        let said = self.sourced.get(name).and_then(|vars| vars.get(var)).cloned();
        let said = said.map(|value| VarOrigin { level: VarLevel::Source, value });
        said.into_iter().chain(from_groups).chain(own).collect()
    }

    /// The same inventory with the package servers that the CMDB knows; those that are not hosts
    /// yet join the group `package_servers`.
    ///
    /// # Errors
    ///
    /// Servers and hosts cannot be told apart.
    pub fn with_sourced(&self, servers: &[SourcedServer]) -> Result<(Self, Merged), Ambiguous> {
        let Taken { known, new, merged } = sourced::merge(self, servers)?;
        let mut groups = self.groups.clone();
        let group = groups.entry(Self::PACKAGE_SERVERS.to_owned()).or_default();
        group.hosts.extend(new.keys().map(|name| (name.clone(), Vars::new())));
        let is_in_group = |name: &HostName| {
            self.groups_of(name).is_some_and(|of| of.iter().any(|g| g == Self::PACKAGE_SERVERS))
        };
        // A Notification Server may be a package server as well: who wants it repaired as one says
        // so in the file.
        let is_notification_server =
            |name: &HostName| self.host(name).is_some_and(|host| host.vars.contains_key("cmdb"));
        let joining =
            known.keys().filter(|name| !is_in_group(name) && !is_notification_server(name));
        group.hosts.extend(joining.map(|name| (name.clone(), Vars::new())));
        let mut grown = Self::new(groups).expect("hosts do not close circles of groups");
        grown.is_resolved = true;
        grown.added = new.keys().cloned().collect();
        grown.sourced = known.into_iter().chain(new).collect();
        Ok((grown, merged))
    }

    /// Whether no source has been asked for hosts.
    pub fn is_unresolved(&self) -> bool {
        !self.is_resolved
    }

    /// How a host came into the inventory; none for one that is not there.
    pub fn origin(&self, name: &HostName) -> Option<HostOrigin> {
        self.members.get(name)?;
        Some(if self.added.contains(name) {
            HostOrigin::Source
        } else if self.sourced.contains_key(name) {
            HostOrigin::Both
        } else {
            HostOrigin::File
        })
    }
}

/// Records how deep each group lies (the longest way counts, as in Ansible).
fn measure(
    groups: &IndexMap<String, Group>,
    name: &str,
    path: &mut Vec<String>,
    depths: &mut IndexMap<String, usize>,
) -> Result<(), CyclicGroups> {
    if let Some(start) = path.iter().position(|seen| seen == name) {
        let mut circle = path[start..].to_vec();
        circle.push(name.to_owned());
        return Err(CyclicGroups { circle });
    }
    let depth = path.len();
    if depths.get(name).is_some_and(|known| *known >= depth) {
        return Ok(());
    }
    depths.insert(name.to_owned(), depth);
    path.push(name.to_owned());
    for child in groups.get(name).into_iter().flat_map(|group| &group.children) {
        measure(groups, child, path, depths)?;
    }
    path.pop();
    Ok(())
}

/// Gives each host the groups it is in, its ancestors included, sorted by depth and then by name.
fn resolve_members(
    groups: &IndexMap<String, Group>,
    depths: &IndexMap<String, usize>,
) -> IndexMap<HostName, Arc<[String]>> {
    let mut parents: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, group) in groups {
        for child in &group.children {
            parents.entry(child).or_default().push(name);
        }
    }
    let mut direct: IndexMap<HostName, Vec<&str>> = IndexMap::new();
    for (name, group) in groups {
        for host in group.hosts.keys() {
            direct.entry(host.clone()).or_default().push(name);
        }
    }
    // Hosts named in the same groups share one list: 10,000 hosts have a handful of them.
    let mut shared: IndexMap<Vec<&str>, Arc<[String]>> = IndexMap::new();
    direct
        .into_iter()
        .map(|(host, named_in)| {
            let list = shared
                .entry(named_in)
                .or_insert_with_key(|named_in| ancestors(named_in, &parents, depths));
            (host, Arc::clone(list))
        })
        .collect()
}

fn ancestors(
    named_in: &[&str],
    parents: &IndexMap<&str, Vec<&str>>,
    depths: &IndexMap<String, usize>,
) -> Arc<[String]> {
    let mut found: IndexSet<&str> = IndexSet::new();
    let mut open: Vec<&str> = named_in.to_vec();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(parents.get(name).into_iter().flatten());
        }
    }
    found.insert(Inventory::ALL);
    let mut list: Vec<String> = found.into_iter().map(str::to_owned).collect();
    list.sort_by_key(|name| (depths.get(name).copied().unwrap_or(0), name.clone()));
    list.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vars(pairs: &[(&str, Value)]) -> Vars {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
    }

    fn fleet() -> Inventory {
        let host = HostName::new("ps-lon-01");
        let groups = IndexMap::from([
            (
                "all".to_owned(),
                Group {
                    vars: vars(&[("site", json!("none")), ("smb_port", json!(445))]),
                    ..Group::default()
                },
            ),
            (
                "package_servers".to_owned(),
                Group { children: IndexSet::from(["london".to_owned()]), ..Group::default() },
            ),
            (
                "london".to_owned(),
                Group {
                    vars: vars(&[("site", json!("LON"))]),
                    hosts: IndexMap::from([(host, vars(&[("smb_port", json!(1445))]))]),
                    ..Group::default()
                },
            ),
        ]);
        Inventory::new(groups).expect("no circle")
    }

    #[test]
    fn the_nearest_value_of_a_variable_wins() {
        let fleet = fleet();
        let host = fleet.host(&HostName::new("ps-lon-01")).expect("the host");

        assert_eq!(host.site(), Some("LON"));
        assert_eq!(host.port("smb_port"), Some(1445));
        assert_eq!(&*host.groups, ["all", "package_servers", "london"].map(str::to_owned));
    }

    #[test]
    fn every_value_is_explained_and_the_winner_comes_last() {
        let origins = fleet().explain(&HostName::new("ps-lon-01"), "smb_port");

        assert_eq!(
            origins.iter().map(|o| o.value.clone()).collect::<Vec<_>>(),
            [json!(445), json!(1445)]
        );
        assert_eq!(origins.last().map(|o| o.level.clone()), Some(VarLevel::Host));
    }

    #[test]
    fn a_circle_of_groups_is_named_with_its_path() {
        let child =
            |name: &str| Group { children: IndexSet::from([name.to_owned()]), ..Group::default() };
        let groups = IndexMap::from([("a".to_owned(), child("b")), ("b".to_owned(), child("a"))]);

        let error = Inventory::new(groups).expect_err("a circle");

        assert_eq!(error.to_string(), "group `a` contains itself: a > b > a");
    }
}
