//! `fleetmend inventory`: which hosts there are, and which value of a variable wins.

use std::fmt::Write;

use serde_json::json;

use super::args::{Cli, InventoryArgs};
use super::error::Failure;
use super::{environment, files, output, sources};
use crate::event::RunResult;
use crate::model::{Host, HostName, HostOrigin, Inventory, Selector, VarLevel};
use crate::report::clean_line;

/// Shows hosts, as a table or JSON, or explains a variable.
pub(super) async fn inventory(cli: &Cli, args: &InventoryArgs) -> Result<RunResult, Failure> {
    let file = sources::resolve(cli, files::inventory(&args.inventory)?).await?;
    let inventory = &file.loaded.inventory;
    if let Some([host, var]) = args.explain.as_deref() {
        output::result(&explain(inventory, host, var)?);
        return Ok(RunResult::Done);
    }
    let selector = selector(&args.pattern, inventory)?;
    let hosts = selector.select(inventory).into_iter().filter_map(|name| inventory.host(&name));
    let origin = |name: &HostName| match inventory.origin(name) {
        _ if file.loaded.sources.is_empty() => None,
        Some(HostOrigin::Source) => Some("cmdb"),
        Some(HostOrigin::Both) => Some("file, cmdb"),
        Some(HostOrigin::File) | None => Some("file"),
    };
    let text = if args.json { as_json(hosts, origin)? } else { as_table(hosts, origin) };
    output::result(&text);
    Ok(RunResult::Done)
}

/// Reads a host pattern from the command line.
///
/// # Errors
///
/// It is not a pattern, or names something that the inventory does not have.
pub(super) fn selector(pattern: &str, inventory: &Inventory) -> Result<Selector, Failure> {
    let selector: Selector = pattern
        .parse()
        .map_err(|error: crate::model::ParseSelectorError| Failure::input(error.to_string()))?;
    if let Some(unknown) = selector.unknown_names(inventory).next() {
        let groups = inventory.groups().map(|(name, _)| name);
        let known = groups.chain(inventory.host_names().map(HostName::as_str));
        let nearest = known
            .map(|name| (strsim::jaro_winkler(name, unknown), name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.8);
        let failure = Failure::input(format!("the inventory has no group and no host `{unknown}`"));
        return Err(match nearest {
            Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`?")),
            None => failure.hint("`fleetmend inventory -i FILE` lists its hosts"),
        });
    }
    Ok(selector)
}

/// Where hosts come from is said where there is a choice.
fn as_table(
    hosts: impl Iterator<Item = Host>,
    origin: impl Fn(&HostName) -> Option<&'static str>,
) -> String {
    let mut text = String::new();
    let mut count = 0_usize;
    for host in hosts {
        count += 1;
        let groups: Vec<&str> = host
            .groups
            .iter()
            .map(String::as_str)
            .filter(|group| *group != Inventory::ALL)
            .collect();
        let _infallible = writeln!(
            text,
            "{:<32} {:<20} {:<10} {}{}",
            host.name,
            clean_line(host.address(), 40),
            clean_line(host.site().unwrap_or("-"), 20),
            origin(&host.name).map_or_else(String::new, |origin| format!("{origin:<11} ")),
            groups.join(" > ")
        );
    }
    let _infallible = writeln!(text, "{count} host{}", if count == 1 { "" } else { "s" });
    text
}

fn as_json(
    hosts: impl Iterator<Item = Host>,
    origin: impl Fn(&HostName) -> Option<&'static str>,
) -> Result<String, Failure> {
    let list: Vec<_> = hosts
        .map(|host| {
            let mut entry =
                json!({"name": host.name, "groups": &*host.groups, "vars": &*host.vars});
            if let Some(origin) = origin(&host.name) {
                entry["origin"] = json!(origin);
            }
            entry
        })
        .collect();
    serde_json::to_string_pretty(&list)
        .map(|text| text + "\n")
        .map_err(|error| Failure::internal("could not write the hosts as JSON", &error))
}

fn explain(inventory: &Inventory, host: &str, var: &str) -> Result<String, Failure> {
    let name = HostName::new(host);
    if inventory.groups_of(&name).is_none() {
        return Err(Failure::input(format!("the inventory has no host `{host}`")));
    }
    let origins = inventory.explain(&name, var);
    let paint = environment::paint_stdout();
    let mut text = String::new();
    if origins.is_empty() {
        let _infallible = writeln!(text, "{var} is not set for {host}");
    }
    let winner = origins.len().saturating_sub(1);
    for (at, origin) in origins.iter().enumerate() {
        let level = match &origin.level {
            VarLevel::Source => "the CMDB".to_owned(),
            VarLevel::All => "all".to_owned(),
            VarLevel::Group { name, .. } => format!("group {name}"),
            VarLevel::Host => format!("host {host}"),
        };
        let line = format!("{level:<32} {}", clean_line(&origin.value.to_string(), 120));
        if at == winner {
            let _infallible = writeln!(text, "{}  <- holds", paint.strong(&line));
        } else {
            let _infallible = writeln!(text, "{}", paint.faint(&line));
        }
    }
    Ok(text)
}
