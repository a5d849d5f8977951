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
    fn every_script_reads_all_of_its_input_and_answers_in_one_line() {
        for (stem, text) in scripts_on_disk() {
            for part in ["@($input)", "[Console]::Out.WriteLine('FLEETMEND:'", "exit 0", "exit 1"] {
                assert!(text.contains(part), "{stem} lacks {part}");
            }
        }
    }
}
