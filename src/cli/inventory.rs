//! `fleetmend inventory`: which hosts there are, and which value of a variable wins.

use std::fmt::Write;

use serde_json::json;

use super::args::{Cli, InventoryArgs};
use super::error::{Failure, nearest};
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
    let text = if args.json {
        as_json(hosts, origin)?
    } else {
        as_table(hosts, origin, environment::stdout_columns())
    };
    output::result(&text);
    Ok(RunResult::Done)
}

/// Reads a host pattern from the command line.
///
/// # Errors
///
/// It is not a pattern, or names something that the inventory does not have.
pub(super) fn selector(pattern: &str, inventory: &Inventory) -> Result<Selector, Failure> {
    let selector: Selector =
        pattern.parse().map_err(|error: crate::model::ParseSelectorError| {
            Failure::input(error.to_string())
                .hint("as in 'london', 'ps-lon-*', 'ps-lon-[01:20]', or 'london,!ps-lon-07*'")
        })?;
    if let Some(unknown) = selector.unknown_names(inventory).next() {
        let groups = inventory.groups().map(|(name, _)| name);
        let known = groups.chain(inventory.host_names().map(HostName::as_str));
        let nearest = nearest(unknown, known);
        let failure = Failure::input(format!("the inventory has no group and no host `{unknown}`"));
        return Err(match nearest {
            Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
            None => failure.hint("`fleetmend inventory -i FILE` lists its hosts"),
        });
    }
    Ok(selector)
}

/// A line of the table: host, address, site, where it comes from, groups.
type Line = [String; 5];

/// Columns under their titles, as wide as what is in them. Where hosts come from is told where there
/// is a choice, and an address where it is not the name of the host. Groups are cut to `columns`.
fn as_table(
    hosts: impl Iterator<Item = Host>,
    origin: impl Fn(&HostName) -> Option<&'static str>,
    columns: Option<usize>,
) -> String {
    let titles = ["HOST", "ADDRESS", "SITE", "FROM", "GROUPS"].map(str::to_owned);
    let lines: Vec<Line> = hosts.map(|host| line(&host, origin(&host.name))).collect();
    let summary = format!("{} host{}\n", lines.len(), if lines.len() == 1 { "" } else { "s" });
    if lines.is_empty() {
        return summary;
    }
    let is_told = |column: usize| lines.iter().any(|line| !line[column].is_empty());
    let shown: Vec<usize> = (0..titles.len()).filter(|column| is_told(*column)).collect();
    let wide = |text: &String| text.chars().count();
    let widths: Vec<usize> = shown
        .iter()
        .map(|at| lines.iter().chain([&titles]).map(|line| wide(&line[*at])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in [&titles].into_iter().chain(&lines) {
        let cells = shown.iter().zip(&widths).map(|(at, width)| {
            let cell = if line[*at].is_empty() { "-" } else { &line[*at] };
            format!("{cell:<width$}")
        });
        let whole = cells.collect::<Vec<_>>().join("  ");
        let _infallible = writeln!(text, "{}", cut(whole.trim_end(), columns));
    }
    text + &summary
}

/// A line cut to the columns of a terminal, with a mark where something is missing.
fn cut(line: &str, columns: Option<usize>) -> String {
    match columns.filter(|columns| line.chars().count() > *columns) {
        None => line.to_owned(),
        Some(columns) => line.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn line(host: &Host, origin: Option<&'static str>) -> Line {
    let groups: Vec<&str> =
        host.groups.iter().map(String::as_str).filter(|group| *group != Inventory::ALL).collect();
    let is_named = host.address().eq_ignore_ascii_case(host.name.as_str());
    [
        host.name.to_string(),
        if is_named { String::new() } else { clean_line(host.address(), 40) },
        clean_line(host.site().unwrap_or_default(), 20),
        origin.unwrap_or_default().to_owned(),
        groups.join(" > "),
    ]
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Vars;

    fn host(name: &str, vars: &[(&str, &str)], groups: &[&str]) -> Host {
        let vars: Vars = vars.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        Host { name: HostName::new(name), groups: groups.into(), vars: Arc::new(vars) }
    }

    fn fleet() -> impl Iterator<Item = Host> {
        [
            host("smp01.corp.example", &[], &["all", "notification_servers"]),
            host(
                "branch-osl-files.corp.example",
                &[("ansible_host", "192.0.2.17"), ("site", "OSL")],
                &["all", "package_servers", "scandinavia", "oslo"],
            ),
        ]
        .into_iter()
    }

    #[test]
    fn hosts_stand_under_titles_in_columns_as_wide_as_what_is_in_them() {
        let table = as_table(fleet(), |_| None, None);

        assert_eq!(
            table,
            "\
HOST                           ADDRESS     SITE  GROUPS
smp01.corp.example             -           -     notification_servers
branch-osl-files.corp.example  192.0.2.17  OSL   package_servers > scandinavia > oslo
2 hosts
"
        );
    }

    #[test]
    fn a_terminal_is_not_overrun_and_what_nobody_has_takes_no_column() {
        let table = as_table(fleet(), |_| Some("file, cmdb"), Some(80));
        let one = as_table(fleet().take(1), |_| None, Some(80));

        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(table.contains("file, cmdb") && table.contains('…'), "{table}");
        assert_eq!(
            one,
            "HOST                GROUPS\nsmp01.corp.example  notification_servers\n1 host\n"
        );
    }
}
