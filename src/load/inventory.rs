//! Ansible's YAML inventory, and our own variables in it.

use std::collections::HashMap;

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;
use serde_json::Value;

use super::fields::{self, Keys};
use super::settings;
use super::source::Source;
use super::window;
use super::yaml::{self, Entry, Kind, Node, Span};
use super::{Diagnostic, ranges, variables};
use crate::model::{
    Days, Group, HostName, Inventory, InventorySource, LimitName, LimitScope, LimitSpec, Limits,
    TimeScale, Vars,
};

/// An inventory that can be used.
#[derive(Debug, Clone)]
pub struct LoadedInventory {
    /// Hosts and groups.
    pub inventory: Inventory,
    /// What it says about the run as a whole.
    pub settings: InventorySettings,
    /// Where more hosts come from; the inventory does not hold those yet.
    pub sources: Vec<InventorySource>,
    /// What deserves a look.
    pub notes: Vec<Diagnostic>,
}

/// What the variables of an inventory say about every run against it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InventorySettings {
    /// The limits: the safe ones, replaced by what any host or group declares under `limits`.
    /// Where several declare the same limit, the tightest of each part holds.
    pub limits: Limits,
    /// The variable `time_scale`; 1 when not given.
    pub time_scale: TimeScale,
    /// The calendars that windows name: the variable `calendars` of any host or group.
    pub calendars: IndexMap<String, Days>,
}

const GROUP: Keys =
    Keys { what: "a group", known: &["hosts", "children", "vars"], later: &[], foreign: &[] };

/// The most hosts of one inventory.
const MAX_HOSTS: usize = 200_000;

/// Reads an inventory; `file` is its name in messages.
///
/// # Errors
///
/// Everything that is wrong with the file, and what deserves a look, sorted by position.
pub fn load_inventory(file: &str, text: &str) -> Result<LoadedInventory, Vec<Diagnostic>> {
    let mut source = Source::new(file, text);
    let mut walk = Walk::default();
    match yaml::parse(&mut source) {
        Some(root) => walk.root(&root, &mut source),
        None if !source.has_errors() => {
            source
                .error("empty-file", Span::new(0, 0), "the inventory is empty")
                .help("an inventory begins with `all:`, its hosts under `hosts:` or `children:`");
        }
        None => {}
    }
    let sources = walk.sources();
    let (inventory, settings) = walk.finish(&mut source);
    match inventory {
        Some(inventory) if !source.has_errors() => {
            Ok(LoadedInventory { inventory, settings, sources, notes: source.into_diagnostics() })
        }
        _ => Err(source.into_diagnostics()),
    }
}

/// What was read so far.
#[derive(Default)]
struct Walk {
    groups: IndexMap<String, Group>,
    /// Where a group is named as the child of another.
    mentions: HashMap<(String, String), Span>,
    /// The spelling of each host, by its name in lower case.
    spellings: HashMap<String, HostName>,
    limits: Vec<Value>,
    time_scale: Option<TimeScale>,
    calendars: IndexMap<String, Days>,
    sources: Vec<InventorySource>,
    sources_at: Option<Span>,
}

impl Walk {
    fn sources(&self) -> Vec<InventorySource> {
        self.sources.clone()
    }

    /// Reads where more hosts come from.
    fn sources_of(&mut self, node: &Node<'_>, source: &mut Source<'_>) {
        const SOURCE: Keys = Keys { what: "a source", known: &["cmdb"], later: &[], foreign: &[] };
        const EXAMPLE: &str = "a source is written `- cmdb: package_servers`";
        let Kind::List(items) = &node.kind else {
            if let Some(finding) = fields::mismatch(node, "a list of sources", source) {
                finding.help(EXAMPLE);
            }
            return;
        };
        for item in items {
            let Some(entries) = fields::entries(item, "a source", source) else { continue };
            SOURCE.refuse_unknown(entries, source);
            let Some(node) = fields::get(entries, "cmdb") else {
                if !fields::is_misspelt(entries, "cmdb", SOURCE.known) {
                    fields::missing(item.span, "this source", "cmdb", EXAMPLE, source);
                }
                continue;
            };
            let Some(written) = fields::written(node, "`package_servers`", source) else {
                continue;
            };
            if written != "package_servers" {
                source
                    .error("wrong-value", node.span, format!("`{written}` is no source of hosts"))
                    .nearest(written, ["package_servers"])
                    .expected("`package_servers`");
                continue;
            }
            if self.sources.contains(&InventorySource::CmdbPackageServers) {
                source.error("duplicate-source", node.span, "a source that stands here already");
                continue;
            }
            self.sources.push(InventorySource::CmdbPackageServers);
            // Playbooks and patterns may name the group before anybody was asked.
            self.groups.entry(Inventory::PACKAGE_SERVERS.to_owned()).or_default();
        }
    }

    fn root(&mut self, root: &Node<'_>, source: &mut Source<'_>) {
        let Some(entries) = fields::entries(root, "an inventory", source) else { return };
        for entry in entries {
            if entry.key == "sources" {
                self.sources_of(&entry.value, source);
                self.sources_at = Some(entry.key_span);
                continue;
            }
            self.group(entry, source);
        }
    }

    fn group(&mut self, entry: &Entry<'_>, source: &mut Source<'_>) {
        let name = &*entry.key;
        if !is_name(name) {
            source
                .error(
                    "bad-name",
                    entry.key_span,
                    format!("`{name}` cannot be the name of a group"),
                )
                .expected("a name without spaces and without `: , ! & * ? [ ]`");
            return;
        }
        self.groups.entry(name.to_owned()).or_default();
        let what = format!("group `{name}`");
        let Some(parts) = fields::entries(&entry.value, &what, source) else { return };
        GROUP.refuse_unknown(parts, source);
        if let Some(node) = fields::get(parts, "vars") {
            let vars = variables::read(node, "`vars`", source);
            self.remember(node, &vars, source);
            self.groups.entry(name.to_owned()).or_default().vars.extend(vars);
        }
        if let Some(node) = fields::get(parts, "hosts") {
            self.hosts(name, node, source);
        }
        if let Some(node) = fields::get(parts, "children") {
            let children = fields::entries(node, "`children`", source).unwrap_or(&[]);
            for child in children {
                let child_name = child.key.clone().into_owned();
                self.mentions.insert((name.to_owned(), child_name.clone()), child.key_span);
                self.groups.entry(name.to_owned()).or_default().children.insert(child_name);
                self.group(child, source);
            }
        }
    }

    fn hosts(&mut self, group: &str, node: &Node<'_>, source: &mut Source<'_>) {
        if let Kind::List(_) = node.kind {
            source
                .error("wrong-type", node.span, "`hosts` is a mapping, this is a list")
                .help("write a name and a colon for each host: `ps-lon-01.corp.example:`");
            return;
        }
        let Some(entries) = fields::entries(node, "`hosts`", source) else { return };
        let mut found: Vec<(HostName, Vars)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(names) = host_names(entry, source) else { continue };
            let vars = variables::read(&entry.value, "a host", source);
            self.remember(&entry.value, &vars, source);
            let mut names: Vec<HostName> = names.into_iter().map(HostName::new).collect();
            names.retain(|name| !self.is_misspelt(name, entry.key_span, source));
            // Most entries are one host, which takes the variables without a copy.
            let last = names.pop();
            found.extend(names.into_iter().map(|name| (name, vars.clone())));
            found.extend(last.map(|name| (name, vars)));
        }
        if self.spellings.len() > MAX_HOSTS {
            let message = format!("the inventory has more than {MAX_HOSTS} hosts");
            source.error("too-many-hosts", node.span, message);
            return;
        }
        let hosts = &mut self.groups.entry(group.to_owned()).or_default().hosts;
        hosts.reserve(found.len());
        for (name, vars) in found {
            match hosts.entry(name) {
                Slot::Vacant(slot) => {
                    slot.insert(vars);
                }
                Slot::Occupied(mut slot) => slot.get_mut().extend(vars),
            }
        }
    }

    /// Whether the host is known in another spelling: Windows names ignore case, so that both
    /// would be the same server, worked on twice at once.
    fn is_misspelt(&mut self, name: &HostName, at: Span, source: &mut Source<'_>) -> bool {
        let known =
            self.spellings.entry(name.as_str().to_lowercase()).or_insert_with(|| name.clone());
        if known == name {
            return false;
        }
        let known = known.clone();
        source
            .error(
                "host-in-two-spellings",
                at,
                format!("`{name}` and `{known}` are the same server"),
            )
            .help(format!("Windows names ignore case: write `{known}` in both places"));
        true
    }

    /// Keeps the variables that are about the run as a whole.
    fn remember(&mut self, node: &Node<'_>, vars: &Vars, source: &mut Source<'_>) {
        if let Some(limits) = vars.get("limits") {
            self.limits.push(limits.clone());
        }
        let declared = vars.get("calendars").and_then(|value| window::calendars(value).ok());
        for (name, days) in declared.into_iter().flatten() {
            match self.calendars.entry(name) {
                Slot::Vacant(slot) => {
                    slot.insert(days);
                }
                Slot::Occupied(slot) if *slot.get() != days => {
                    let message = format!("a second calendar `{}`", slot.key());
                    source.error("two-calendars", node.span, message).help(
                        "another host or group says other days; a calendar is the same for all",
                    );
                }
                Slot::Occupied(_) => {}
            }
        }
        let Some(scale) = vars.get("time_scale").and_then(|v| settings::time_scale(v).ok()) else {
            return;
        };
        match self.time_scale {
            Some(known) if known != scale => {
                let span = match &node.kind {
                    Kind::Map(entries) => fields::get(entries, "time_scale").map(|n| n.span),
                    _ => None,
                };
                source
                    .error("two-time-scales", span.unwrap_or(node.span), "a second time scale")
                    .help(format!("another host or group says {}; a run has one", known.factor()));
            }
            _ => self.time_scale = Some(scale),
        }
    }

    fn finish(self, source: &mut Source<'_>) -> (Option<Inventory>, InventorySettings) {
        let settings = InventorySettings {
            limits: declared_limits(&self.limits),
            time_scale: self.time_scale.unwrap_or_default(),
            calendars: self.calendars,
        };
        let mentions = self.mentions;
        let inventory = Inventory::new(self.groups).map_err(|error| {
            let edges = error.circle.windows(2).rev();
            let place = edges
                .filter_map(|pair| mentions.get(&(pair[0].clone(), pair[1].clone())))
                .max_by_key(|span| span.start());
            source
                .error("group-circle", place.copied().unwrap_or(Span::new(0, 0)), error.to_string())
                .help("take one of these groups out of the `children` of the other");
        });
        if let Ok(inventory) = &inventory
            && let Some(at) = self.sources_at
            && !inventory.hosts().any(|host| host.vars.contains_key("cmdb"))
            && !source.has_errors()
        {
            source
                .error("source-without-cmdb", at, "no host says where the CMDB is")
                .help("give the Notification Server `cmdb: { server: …, credential: … }`");
        }
        if let Ok(inventory) = &inventory
            && inventory.is_empty()
            && !source.has_errors()
        {
            source
                .warning("no-hosts", Span::new(0, 0), "the inventory has no hosts")
                .help("hosts stand under `hosts:` of a group, each with a colon");
        }
        (inventory.ok(), settings)
    }
}

/// The safe limits under what the inventory declares.
fn declared_limits(declared: &[Value]) -> Limits {
    let defaults = Limits::default();
    let mut found: IndexMap<LimitName, LimitSpec> = IndexMap::new();
    for (name, limit) in declared.iter().filter_map(|value| settings::limits(value).ok()).flatten()
    {
        let limit = limit.over(defaults.0.get(&name));
        match found.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(limit);
            }
            Slot::Occupied(mut slot) => {
                let tightest = tighter(slot.get(), &limit);
                slot.insert(tightest);
            }
        }
    }
    let mut limits = defaults;
    limits.0.extend(found);
    limits
}

/// The tighter of two limits, part by part.
fn tighter(a: &LimitSpec, b: &LimitSpec) -> LimitSpec {
    let rate = match (a.rate, b.rate) {
        (Some(x), Some(y)) => {
            let slow = x.per_second(TimeScale::REAL) <= y.per_second(TimeScale::REAL);
            Some(if slow { x } else { y })
        }
        (x, y) => x.or(y),
    };
    let in_flight = match (a.in_flight, b.in_flight) {
        (Some(x), Some(y)) => Some(x.min(y)),
        (x, y) => x.or(y),
    };
    let by = a.by.clone().or_else(|| b.by.clone());
    let adapt = match (a.adapt, b.adapt) {
        (Some(x), Some(y)) => Some(x.stricter(y)),
        (x, y) => x.or(y),
    };
    let scope = if a.scope == b.scope { a.scope } else { LimitScope::Controller };
    LimitSpec { rate, burst: a.burst.min(b.burst), in_flight, by, adapt, scope }
}

/// The hosts that an entry stands for.
fn host_names(entry: &Entry<'_>, source: &mut Source<'_>) -> Option<Vec<String>> {
    let name = &*entry.key;
    let names = if name.contains('[') {
        match ranges::expand(name) {
            Ok(names) => names,
            Err(why) => {
                source
                    .error("bad-range", entry.key_span, why.0)
                    .help("a range is written `ps-lon-[01:40]` or `ps-[a:c]`");
                return None;
            }
        }
    } else {
        vec![name.to_owned()]
    };
    if names.iter().all(|name| is_name(name)) {
        return Some(names);
    }
    let finding =
        source.error("bad-name", entry.key_span, format!("`{name}` cannot be the name of a host"));
    finding.expected("a DNS name or an address, without spaces and without `: , ! & * ?`");
    if name.contains(':') {
        finding.help("a port goes into `ansible_port`");
    }
    None
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| {
        !c.is_whitespace()
            && !c.is_control()
            && !matches!(c, ':' | ',' | '!' | '&' | '*' | '?' | '[' | ']' | '/' | '\\' | '{' | '}')
    };
    !name.is_empty() && name.len() <= 255 && !name.starts_with('~') && name.chars().all(fits)
}
