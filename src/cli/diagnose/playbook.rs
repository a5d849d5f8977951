//! The built-in playbook of an examination.

use crate::action;
use crate::cli::error::Failure;
use crate::cli::files::InventoryFile;
use crate::load::load_playbook;
use crate::model::{HostName, Playbook};

/// What journals and screens call it; there is no such file.
pub(in crate::cli) const NAME: &str = "diagnose (built in)";
/// The groups that it looks at.
const SERVERS: &str = "package_servers";
const NOTIFICATION_SERVERS: &str = "notification_servers";

/// The playbook for the package servers that are meant. The Notification Servers are looked at in
/// any case: without their rows there is nothing to compare with.
///
/// # Errors
///
/// The inventory has no package servers, or none of them is meant.
pub(super) fn playbook(
    file: &InventoryFile,
    is_meant: impl Fn(&HostName) -> bool,
) -> Result<Playbook, Failure> {
    let inventory = &file.loaded.inventory;
    let of_group = |group: &str| -> Vec<&HostName> {
        let is_in = |host: &&HostName| {
            inventory.groups_of(host).is_some_and(|groups| groups.iter().any(|one| one == group))
        };
        inventory.host_names().filter(is_in).collect()
    };
    let servers = of_group(SERVERS);
    let meant: Vec<&str> =
        servers.iter().filter(|host| is_meant(host)).map(|host| host.as_str()).collect();
    if servers.is_empty() {
        return Err(Failure::input(format!("{} has no hosts in the group {SERVERS}", file.name))
            .hint(format!("put the package servers into a group `{SERVERS}`")));
    }
    if meant.is_empty() {
        return Err(Failure::input("no package server is meant: nothing would be looked at")
            .hint("check the pattern; `fleetmend inventory -i … PATTERN` shows what it picks"));
    }
    let has_site = inventory.hosts().any(|host| host.site().is_some());
    let hosts = if meant.len() == servers.len() { SERVERS.to_owned() } else { meant.join(",") };
    let has_notification_servers = !of_group(NOTIFICATION_SERVERS).is_empty();
    let text = text(&hosts, has_site, has_notification_servers);
    load_playbook(NAME, &text, action::registry(), Some(&file.loaded))
        .map(|loaded| loaded.playbook)
        .map_err(|found| {
            let mut failure = Failure::input("could not make the playbook of the examination");
            failure.causes.extend(found.iter().map(|diagnostic| diagnostic.message.clone()));
            failure
        })
}

/// Unreachable servers are what is looked for: they stop nothing. The first wave is small all the
/// same, and a rejected logon still ends the run.
fn text(hosts: &str, has_site: bool, has_notification_servers: bool) -> String {
    let order = if has_site { "interleave(site)" } else { "inventory" };
    let first = if has_notification_servers {
        format!(
            "\
- name: Look at the Notification Servers
  hosts: {NOTIFICATION_SERVERS}
  max_fail_percentage: 100
  tasks:
    - name: Examine the Notification Server
      examine: notification_server
"
        )
    } else {
        String::new()
    };
    format!(
        "\
{first}- name: Look at the package servers
  hosts: '{hosts}'
  order: {order}
  serial: [5, 100%]
  max_fail_percentage: 100
  tasks:
    - name: Examine the package server
      examine: package_server
"
    )
}
