//! The scripts that actions run on hosts: constants, PowerShell 5.1.
//!
//! Each starts with a line that names it and its version, takes its data from standard input and
//! is short enough for the command line of `cmd.exe` (8191 characters), encoded as it is sent.

use crate::transport::{ChangeScript, ReadScript};

/// The packages of the package server plug-in with their status.
pub(super) const AGENT_PACKAGES: ReadScript =
    ReadScript { name: "agent-packages", text: include_str!("scripts/agent-packages.ps1") };

/// Asks the agent for its configuration.
pub(super) const AGENT_UPDATE_CONFIGURATION: ChangeScript = ChangeScript {
    name: "agent-update-configuration",
    text: include_str!("scripts/agent-update-configuration.ps1"),
};

/// Asks the package server plug-in to send the status of its packages.
pub(super) const AGENT_RESEND_PACKAGE_STATUS: ChangeScript = ChangeScript {
    name: "agent-resend-package-status",
    text: include_str!("scripts/agent-resend-package-status.ps1"),
};

/// Asks the package server plug-in to check its packages.
pub(super) const AGENT_REFRESH_PACKAGES: ChangeScript = ChangeScript {
    name: "agent-refresh-packages",
    text: include_str!("scripts/agent-refresh-packages.ps1"),
};

/// The scheduled tasks whose names start with a prefix.
pub(super) const SCHEDULED_TASKS: ReadScript =
    ReadScript { name: "scheduled-tasks", text: include_str!("scripts/scheduled-tasks.ps1") };

/// Starts a scheduled task.
pub(super) const SCHEDULED_TASK_RUN: ChangeScript = ChangeScript {
    name: "scheduled-task-run",
    text: include_str!("scripts/scheduled-task-run.ps1"),
};

/// The product's services, the shares, the disks and the machine's trust.
pub(super) const EXAMINE_SERVER: ReadScript =
    ReadScript { name: "examine-server", text: include_str!("scripts/examine-server.ps1") };

/// IIS with its application pools.
pub(super) const EXAMINE_IIS: ReadScript =
    ReadScript { name: "examine-iis", text: include_str!("scripts/examine-iis.ps1") };

/// The scheduled tasks whose action names a folder.
pub(super) const EXAMINE_TASKS: ReadScript =
    ReadScript { name: "examine-tasks", text: include_str!("scripts/examine-tasks.ps1") };

/// Asks the agent to send its basic inventory.
pub(super) const AGENT_SEND_INVENTORY: ChangeScript = ChangeScript {
    name: "agent-send-inventory",
    text: include_str!("scripts/agent-send-inventory.ps1"),
};

/// What a service is and does.
pub(super) const SERVICE_STATE: ReadScript =
    ReadScript { name: "service-state", text: include_str!("scripts/service-state.ps1") };

/// Starts, stops or restarts a service, and sets how it starts.
pub(super) const SERVICE_CHANGE: ChangeScript =
    ChangeScript { name: "service-change", text: include_str!("scripts/service-change.ps1") };

/// What an application pool of IIS does.
pub(super) const APP_POOL_STATE: ReadScript =
    ReadScript { name: "app-pool-state", text: include_str!("scripts/app-pool-state.ps1") };

/// Starts or stops an application pool of IIS.
pub(super) const APP_POOL_CHANGE: ChangeScript =
    ChangeScript { name: "app-pool-change", text: include_str!("scripts/app-pool-change.ps1") };

/// What a share leads to and who may use it.
pub(super) const SHARE_STATE: ReadScript =
    ReadScript { name: "share-state", text: include_str!("scripts/share-state.ps1") };

/// Makes or ends a share, or sets who may use it.
pub(super) const SHARE_CHANGE: ChangeScript =
    ChangeScript { name: "share-change", text: include_str!("scripts/share-change.ps1") };

/// A value of the registry.
pub(super) const REGISTRY_READ: ReadScript =
    ReadScript { name: "registry-read", text: include_str!("scripts/registry-read.ps1") };

/// Sets a value of the registry.
pub(super) const REGISTRY_SET: ChangeScript =
    ChangeScript { name: "registry-set", text: include_str!("scripts/registry-set.ps1") };

/// Events of a Windows event log.
pub(super) const EVENT_LOG: ReadScript =
    ReadScript { name: "event-log", text: include_str!("scripts/event-log.ps1") };

/// Which of some paths exist.
pub(super) const PATHS_EXIST: ReadScript =
    ReadScript { name: "paths-exist", text: include_str!("scripts/paths-exist.ps1") };

const RUN_PROGRAM: &str = include_str!("scripts/run-program.ps1");

/// Runs a text of a playbook that its author says changes something, or may.
pub(super) const RUN_CHANGING: ChangeScript =
    ChangeScript { name: "run-program", text: RUN_PROGRAM };

/// Runs a text of a playbook that its author declared to change nothing. Nobody can check that: the
/// declaration is the author's, as the text is.
pub(super) const RUN_READING: ReadScript = ReadScript { name: "run-program", text: RUN_PROGRAM };

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        (AGENT_PACKAGES.name, AGENT_PACKAGES.text),
        (AGENT_UPDATE_CONFIGURATION.name, AGENT_UPDATE_CONFIGURATION.text),
        (AGENT_RESEND_PACKAGE_STATUS.name, AGENT_RESEND_PACKAGE_STATUS.text),
        (AGENT_REFRESH_PACKAGES.name, AGENT_REFRESH_PACKAGES.text),
        (SCHEDULED_TASKS.name, SCHEDULED_TASKS.text),
        (SCHEDULED_TASK_RUN.name, SCHEDULED_TASK_RUN.text),
        (EXAMINE_SERVER.name, EXAMINE_SERVER.text),
        (EXAMINE_IIS.name, EXAMINE_IIS.text),
        (EXAMINE_TASKS.name, EXAMINE_TASKS.text),
        (AGENT_SEND_INVENTORY.name, AGENT_SEND_INVENTORY.text),
        (SERVICE_STATE.name, SERVICE_STATE.text),
        (SERVICE_CHANGE.name, SERVICE_CHANGE.text),
        (APP_POOL_STATE.name, APP_POOL_STATE.text),
        (APP_POOL_CHANGE.name, APP_POOL_CHANGE.text),
        (SHARE_STATE.name, SHARE_STATE.text),
        (SHARE_CHANGE.name, SHARE_CHANGE.text),
        (REGISTRY_READ.name, REGISTRY_READ.text),
        (REGISTRY_SET.name, REGISTRY_SET.text),
        (EVENT_LOG.name, EVENT_LOG.text),
        (PATHS_EXIST.name, PATHS_EXIST.text),
        (RUN_CHANGING.name, RUN_CHANGING.text),
        (RUN_READING.name, RUN_READING.text),
    ];

    /// Every script of the program, those of other layers included.
    fn scripts_on_disk() -> Vec<(String, String)> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the source is there") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "ps1") {
                    let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
                    found.push((stem, std::fs::read_to_string(&path).expect("a text")));
                }
            }
        }
        found
    }

    #[test]
    fn every_constant_is_the_script_of_its_name() {
        let on_disk = scripts_on_disk();
        for (name, text) in ALL {
            assert!(on_disk.iter().any(|(stem, other)| stem == name && other == text), "{name}");
        }
    }

    #[test]
    fn every_script_starts_with_its_name_and_version() {
        for (stem, text) in scripts_on_disk() {
            assert_eq!(text.lines().next(), Some(format!("# fleetmend {stem} 1").as_str()));
        }
    }

    #[test]
    fn every_script_fits_into_the_command_line_of_cmd() {
        for (stem, text) in scripts_on_disk() {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let length = STANDARD.encode(utf16).len();
            assert!(length < 8000, "{stem} has {length} characters when encoded");
        }
    }

    #[test]
    fn no_script_builds_code_from_data_or_calls_what_destroys_an_agent() {
        let denied = [
            "invoke-expression",
            "iex ",
            "scriptblock]::create",
            "addscript",
            "aexagentutil",
            "smatool",
            "postqueuedevent",
            "remove-item",
        ];
        for (stem, text) in scripts_on_disk() {
            let text = text.to_lowercase();
            for word in denied {
                assert!(!text.contains(word), "{stem} holds {word}");
            }
        }
    }

    #[test]
    fn a_script_that_reads_looks_at_the_service_before_it_makes_an_object_of_the_agent() {
        let list = AGENT_PACKAGES.text;
        let object = list.find("-ComObject 'Altiris").expect("the agent's object");
        let check = list.find("service does not run").expect("a look at the service");
        assert!(check < object, "Windows would start the agent");
    }

    #[test]
    fn every_script_reads_all_of_its_input_and_answers_in_one_line() {
        for (stem, text) in scripts_on_disk() {
            for part in ["@($input)", "[Console]::Out.WriteLine('FLEETMEND:'", "exit 0", "exit 1"] {
                assert!(text.contains(part), "{stem} lacks {part}");
            }
        }
    }
}
