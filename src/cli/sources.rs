//! Hosts that come from the sources of an inventory.

use std::collections::HashMap;

use super::args::Cli;
use super::error::Failure;
use super::files::InventoryFile;
use super::{fleet, launch, output, rejections};
use crate::engine::{SourceQuestion, ask_sources};
use crate::load::HostSettings;
use crate::model::{HostName, ReadOnlySelect, SourcedServer};
use crate::report::clean_line;

/// Asks the sources of an inventory and adds their hosts; one without sources stays as it is.
///
/// # Errors
///
/// A source cannot be asked, or its servers cannot be told apart from the hosts of the file: an
/// inventory with a part of its hosts is never used.
pub(super) async fn resolve(cli: &Cli, file: InventoryFile) -> Result<InventoryFile, Failure> {
    if file.loaded.sources.is_empty() {
        return Ok(file);
    }
    let asked = fleet::fleet(&file, |host| host.vars.contains_key("cmdb"))?;
    let site_queries: HashMap<HostName, ReadOnlySelect> = asked
        .hosts
        .values()
        .filter_map(|host| {
            let query = HostSettings::of(host).ok()?.cmdb?.site_query?;
            Some((host.name.clone(), query))
        })
        .collect();
    let connector = rejections::connector(&launch::state_dir(cli)?, &asked, &file.path)?;
    let question =
        SourceQuestion { hosts: asked.hosts, endpoints: asked.endpoints, site_queries, connector };
    let servers = ask_sources(question).await.map_err(|failure| {
        Failure::input(format!(
            "could not read the hosts of {} from the CMDB: {}",
            file.name,
            clean_line(&failure.to_string(), 400)
        ))
        .hint("without the CMDB, list the package servers in an inventory without `sources`")
    })?;
    grown(file, servers)
}

/// Adds the servers that a source had, now or when a run began.
///
/// # Errors
///
/// They cannot be told apart from the hosts of the file.
pub(super) fn grown(
    mut file: InventoryFile,
    servers: Vec<SourcedServer>,
) -> Result<InventoryFile, Failure> {
    let (inventory, merged) = file.loaded.inventory.with_sourced(&servers).map_err(|error| {
        let mut failure = Failure::input(format!(
            "could not take the package servers of the CMDB for hosts of {}",
            file.name
        ))
        .hint("give the hosts their `itms_guid` or `fqdn` in the inventory");
        failure.causes.extend(error.0.iter().map(|cause| clean_line(cause, 300)));
        failure
    })?;
    file.loaded.inventory = inventory;
    file.sourced = servers;
    let mut said = format!(
        "{}: {} package servers from the CMDB, {} of them in the file\n",
        file.name,
        merged.added + merged.known,
        merged.known
    );
    for left_out in merged.left_out.iter().take(20) {
        said.push_str(&format!("  left out: {}\n", clean_line(left_out, 200)));
    }
    if merged.left_out.len() > 20 {
        said.push_str(&format!("  … and {} more left out\n", merged.left_out.len() - 20));
    }
    output::talk(&said);
    Ok(file)
}
