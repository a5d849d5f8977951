//! What in the agent's log and lists shows that something asked of it took effect.
//!
//! The texts of these events are not documented; they are an assumption that a user can confirm on
//! a real agent. The write time of the policy file needs no such assumption and counts as well.

use super::agent_log::Event;

/// The module of the package server plug-in (KB 181052).
const PACKAGE_SERVER_MODULE: &str = "AeXNSCPackageServer.dll";

/// Whether the event says that the agent fetched its policies.
pub fn shows_new_configuration(event: &Event) -> bool {
    let text = event.text.to_lowercase();
    let is_fetched = text.contains("getclientpolicies") && text.contains("completed");
    event.source.eq_ignore_ascii_case("ConfigServer")
        && (is_fetched || text.contains("client policies updated"))
}

/// Whether the event says that the package server posted its package status.
pub fn shows_package_status_sent(event: &Event) -> bool {
    let text = event.text.to_lowercase();
    is_of_package_server(event)
        && text.contains("package status")
        && (text.contains("sent") || text.contains("posted"))
}

/// Whether the event says that the package server went through its packages: any event of its
/// module that speaks of packages.
pub fn shows_packages_refreshed(event: &Event) -> bool {
    is_of_package_server(event) && event.text.to_lowercase().contains("package")
}

/// Whether the event says that the agent sent its basic inventory.
pub fn shows_inventory_sent(event: &Event) -> bool {
    let text = event.text.to_lowercase();
    text.contains("basic inventory") && (text.contains("sent") || text.contains("posted"))
}

fn is_of_package_server(event: &Event) -> bool {
    event.module.eq_ignore_ascii_case(PACKAGE_SERVER_MODULE)
}

/// Whether the policy file shows a new configuration: its last write time before and now, `None`
/// where there was no file.
pub fn policy_is_newer(before: Option<u64>, now: Option<u64>) -> bool {
    match (before, now) {
        (None, Some(_)) => true,
        (Some(before), Some(now)) => now > before,
        (_, None) => false,
    }
}

/// Whether a package with this status of the agent's list is still on its way. An unknown status
/// is none of these: it is neither a failure nor a success.
pub fn is_downloading(status: &str) -> bool {
    ["pending", "download pending", "retrying download", "downloading"]
        .contains(&status.trim().to_lowercase().as_str())
}

/// Whether a package with this status of the agent's list is there.
pub fn is_ready(status: &str) -> bool {
    status.trim().eq_ignore_ascii_case("ready")
}

/// Whether the agent asks for a package with this status again when it fetched its policies. It does
/// not for what is Ready, nor for what was taken from it; an unknown status counts as one that is not
/// there, so that rather too many requests are expected than too few.
pub fn is_asked_for(status: &str) -> bool {
    !is_ready(status) && !status.trim().eq_ignore_ascii_case("deleted")
}

/// Whether a status says that a download failed and is tried again later, in the agent's own time.
pub fn is_put_off(status: &str) -> bool {
    status.trim().eq_ignore_ascii_case("retrying download")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: &str, module: &str, text: &str) -> Event {
        Event {
            source: source.to_owned(),
            module: module.to_owned(),
            text: text.to_owned(),
            ..Event::default()
        }
    }

    #[test]
    fn a_configuration_is_seen_in_the_events_of_its_source_only() {
        let request = "Request 'https://smp01/Altiris/NS/Agent/GetClientPolicies.aspx' completed";
        let failed = "Request 'https://smp01/Altiris/NS/Agent/GetClientPolicies.aspx' failed";

        assert!(shows_new_configuration(&event("ConfigServer", "x.dll", request)));
        assert!(shows_new_configuration(&event(
            "ConfigServer",
            "x.dll",
            "Client policies updated"
        )));
        assert!(!shows_new_configuration(&event("ConfigServer", "x.dll", failed)));
        assert!(!shows_new_configuration(&event("Scheduler", "x.dll", request)));
    }

    #[test]
    fn a_sent_status_is_seen_in_the_events_of_the_package_server_only() {
        let sent = "Package status sent for 3 packages";

        assert!(shows_package_status_sent(&event("", PACKAGE_SERVER_MODULE, sent)));
        assert!(shows_package_status_sent(&event(
            "",
            "aexnscpackageserver.DLL",
            "Posted package status"
        )));
        assert!(!shows_package_status_sent(&event("", "other.dll", sent)));
        assert!(!shows_package_status_sent(&event(
            "",
            PACKAGE_SERVER_MODULE,
            "Package status read"
        )));
    }

    #[test]
    fn a_sent_inventory_is_told_apart_from_one_that_is_gathered() {
        assert!(shows_inventory_sent(&event("", "x.dll", "Basic Inventory was sent")));
        assert!(!shows_inventory_sent(&event("", "x.dll", "Gathering basic inventory")));
        assert!(!shows_inventory_sent(&event("", "x.dll", "Package status sent")));
    }

    #[test]
    fn a_policy_file_counts_when_it_appears_or_is_written_again() {
        assert!(policy_is_newer(None, Some(5)));
        assert!(policy_is_newer(Some(4), Some(5)));
        assert!(!policy_is_newer(Some(5), Some(5)));
        assert!(!policy_is_newer(Some(5), None));
        assert!(!policy_is_newer(None, None));
    }

    #[test]
    fn an_unknown_status_is_not_a_download() {
        for status in ["Pending", "Download Pending", "RETRYING DOWNLOAD", " Downloading "] {
            assert!(is_downloading(status), "{status}");
        }
        for status in ["Ready", "Invalid", "Deleted", "", "Codebase Enabled"] {
            assert!(!is_downloading(status), "{status}");
        }
    }
}
