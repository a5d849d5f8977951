//! Where the product keeps the files that are looked at and moved, by role.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{HostFacts, Reader};
use crate::model::{FailureClass, StepFailure, WindowsPath};

/// What a folder is for. Playbooks name roles, never paths: the product moved its folders over
/// the years, and each host is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A package server's store: a folder per package with `snapshot.xml`.
    PsDelivery,
    /// A package server's states: a folder per package with `PackageStatus.xml`.
    PsStatus,
    /// The policies that an agent received, a file per Notification Server.
    PsPolicies,
    /// The Notification Server's snapshots, `{GUID}.xml` and `{GUID}.sig`.
    NsSnapshots,
    /// The folder of the agent's log; it is only read.
    AgentLog,
    /// The agent's events that wait to be sent (KB 205352); it is only read.
    AgentQueue,
    /// The folder of the Notification Server's log (KB 171848); it is only read.
    NsLog,
    /// The folders of the Notification Server's event queue (KB 205352); they are only read.
    NsQueue,
    /// The folder of the Notification Server's settings (KB 181405); it is only read.
    NsSettings,
}

impl Role {
    /// The names of the roles in which files may be changed, for playbooks.
    pub const CHANGEABLE: &'static [&'static str] =
        &["ps_delivery", "ps_status", "ps_policies", "ns_snapshots"];

    /// The name that playbooks and quarantine use.
    pub fn name(self) -> &'static str {
        match self {
            Self::PsDelivery => "ps_delivery",
            Self::PsStatus => "ps_status",
            Self::PsPolicies => "ps_policies",
            Self::NsSnapshots => "ns_snapshots",
            Self::AgentLog => "agent_log",
            Self::AgentQueue => "agent_queue",
            Self::NsLog => "ns_log",
            Self::NsQueue => "ns_queue",
            Self::NsSettings => "ns_settings",
        }
    }

    /// Whether it is a folder of package servers, which client computers may have as well.
    pub fn is_of_package_servers(self) -> bool {
        matches!(self, Self::PsDelivery | Self::PsStatus | Self::PsPolicies)
    }

    /// Whether files in it may be changed.
    pub fn may_change(self) -> bool {
        match self {
            Self::PsDelivery | Self::PsStatus | Self::PsPolicies | Self::NsSnapshots => true,
            Self::AgentLog | Self::AgentQueue | Self::NsLog | Self::NsQueue | Self::NsSettings => {
                false
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A folder found on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// What it is for.
    pub role: Role,
    /// Where it is.
    pub path: WindowsPath,
}

/// Where a role's folder may be: what the host itself says first, then the places that the
/// articles name (KB 181405, 179719, 178503, 171848).
#[derive(Debug, Default, PartialEq, Eq)]
struct Candidates {
    /// Said by the host: the first that exists holds.
    said: Vec<WindowsPath>,
    /// Known places: exactly one must exist.
    known: Vec<WindowsPath>,
}

fn candidates(role: Role, facts: &HostFacts) -> Candidates {
    let agent = facts.agent.as_ref();
    let install = agent.map(|agent| agent.install_dir.clone());
    // Nothing in these names can be refused, so that `ok` loses none of them.
    let below = |root: &WindowsPath, name: &str| root.join(name).ok();
    let places: Vec<WindowsPath> = [
        below(&facts.program_data, "Symantec\\Symantec Agent"),
        below(&facts.program_files, "Altiris\\Altiris Agent"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let each = |roots: &[WindowsPath], names: &[&str]| -> Vec<WindowsPath> {
        roots
            .iter()
            .flat_map(|root| names.iter().filter_map(move |name| below(root, name)))
            .collect()
    };
    let install: Vec<WindowsPath> = install.into_iter().collect();
    let mut found = match role {
        Role::PsDelivery => Candidates {
            said: agent
                .and_then(|agent| agent.package_delivery.clone())
                .into_iter()
                .chain(each(&install, &["Package Delivery"]))
                .collect(),
            known: each(&places, &["Package Delivery"]),
        },
        Role::PsStatus => {
            let names =
                ["Package Server Agent\\PackageStatus", "Package Server Agent\\Package Status"];
            Candidates {
                said: Vec::new(),
                known: [each(&install, &names), each(&places, &names)].concat(),
            }
        }
        Role::PsPolicies => Candidates {
            said: each(&install, &["Client Policies"]),
            known: each(&places, &["Client Policies"]),
        },
        Role::NsSnapshots => {
            let server = facts.notification_server.as_ref();
            let installed: Vec<WindowsPath> =
                server.map(|server| server.install_dir.clone()).into_iter().collect();
            Candidates {
                said: server.and_then(|server| server.snapshots_dir.clone()).into_iter().collect(),
                known: [
                    each(std::slice::from_ref(&facts.program_data), &["Symantec\\SMP\\Snapshots"]),
                    each(&installed, &["Snapshots"]),
                    each(
                        std::slice::from_ref(&facts.program_files),
                        &["Altiris\\Notification Server\\Snapshots"],
                    ),
                ]
                .concat(),
            }
        }
        Role::AgentLog => Candidates {
            said: agent.and_then(|agent| agent.log_dir.clone()).into_iter().collect(),
            known: [each(&places[..1], &["Logs"]), each(&install, &["Logs"])].concat(),
        },
        Role::AgentQueue => {
            Candidates { said: each(&install, &["Queue"]), known: each(&places, &["Queue"]) }
        }
        Role::NsLog => Candidates {
            said: Vec::new(),
            known: each(std::slice::from_ref(&facts.program_data), &["Symantec\\SMP\\Logs"]),
        },
        Role::NsQueue => Candidates {
            said: Vec::new(),
            known: each(std::slice::from_ref(&facts.program_data), &["Symantec\\SMP\\EventQueue"]),
        },
        Role::NsSettings => Candidates {
            said: Vec::new(),
            known: each(std::slice::from_ref(&facts.program_data), &["Symantec\\SMP\\Settings"]),
        },
    };
    let mut seen: Vec<WindowsPath> = found.said.clone();
    found.known.retain(|path| {
        let is_new = !seen.contains(path);
        seen.push(path.clone());
        is_new
    });
    found
}

/// Folders at the root of a volume in which nothing of the product lives.
const SYSTEM: [&str; 6] =
    ["Windows", "$Recycle.Bin", "System Volume Information", "Recovery", "Boot", "Windows.old"];

/// Folders at the root of a volume that the product shares with everybody else.
const SHARED: [&str; 5] =
    ["ProgramData", "Program Files", "Program Files (x86)", "Users", "PerfLogs"];

/// Why a folder cannot be the product's own, whatever the host says of itself: an effect on it, or
/// on its rights, would be one on the system. `None` when it can.
pub(super) fn why_not(path: &WindowsPath, facts: &HostFacts) -> Option<&'static str> {
    let names: Vec<&str> = path.components().collect();
    let Some(first) = names.first() else { return Some("it is a whole volume") };
    let is_any = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(first));
    if is_any(&SYSTEM) {
        return Some("it belongs to the system");
    }
    let holds_others = [&facts.program_data, &facts.program_files]
        .into_iter()
        .any(|folder| path == folder || folder.is_below(path));
    // A name with a tilde may be the short one of any of them.
    if holds_others || (names.len() == 1 && (is_any(&SHARED) || first.contains('~'))) {
        return Some("it holds what belongs to others");
    }
    let quarantine = WindowsPath::root(path.drive())?.join("ProgramData\\fleetmend").ok()?;
    if *path == quarantine || path.is_below(&quarantine) {
        return Some("quarantined files are kept there");
    }
    None
}

/// Folders of the vendor below those that it shares with everybody else.
const PRODUCT: [&str; 2] = ["Altiris", "Symantec"];

/// Why a folder outside of all roles cannot be one that holds packages, whoever names it. Stricter
/// than [`why_not`]: of what is shared with other programs only the vendor's own folders can be, and
/// a name with a tilde may be the short one of anything. `None` when it can.
pub(super) fn why_no_place(path: &WindowsPath, facts: &HostFacts) -> Option<&'static str> {
    if let Some(reason) = why_not(path, facts) {
        return Some(reason);
    }
    let names: Vec<&str> = path.components().collect();
    if names.iter().any(|name| name.contains('~')) {
        return Some("it may be a short name of another folder");
    }
    let usual = SHARED.iter().filter_map(|name| WindowsPath::root(path.drive())?.join(name).ok());
    let mut shared = usual.chain([facts.program_data.clone(), facts.program_files.clone()]);
    let belongs_to_others = shared.any(|folder| {
        let below: Vec<&str> = names.iter().skip(folder.components().count()).copied().collect();
        let is_product = |name: &&str| PRODUCT.iter().any(|own| own.eq_ignore_ascii_case(name));
        // The vendor's folder itself holds all of its programs.
        (*path == folder || path.is_below(&folder))
            && !(below.len() > 1 && below.first().is_some_and(is_product))
    });
    let is_users = names.first().is_some_and(|first| {
        ["Users", "PerfLogs"].iter().any(|name| name.eq_ignore_ascii_case(first))
    });
    (belongs_to_others || is_users).then_some("it is in a folder of other programs or of users")
}

impl Reader<'_> {
    /// The folder of a role on this host; looked for once per session.
    ///
    /// # Errors
    ///
    /// `Refused` when there is none, naming every place that was looked at, or when several known
    /// places exist and the host does not say which one is in use; also when the one in use is a
    /// whole volume, or one of the system's folders.
    pub async fn root(&self, role: Role) -> Result<Root, StepFailure> {
        let mut roots = self.session().roots.lock().await;
        if let Some(path) = roots.get(&role) {
            return Ok(Root { role, path: path.clone() });
        }
        let facts = self.facts().await?;
        let root = self.root_by(role, &facts).await?;
        roots.insert(role, root.path.clone());
        Ok(root)
    }

    /// The folder of a role on this host by given facts, looked for anew: for reading on a host
    /// that answers over SMB alone and cannot say where it keeps things. Nothing that is changed
    /// may be found this way.
    ///
    /// # Errors
    ///
    /// As [`Reader::root`].
    pub async fn root_by(&self, role: Role, facts: &HostFacts) -> Result<Root, StepFailure> {
        let path = self.look_for(role, &candidates(role, facts)).await?;
        if let Some(reason) = why_not(&path, facts) {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!("could not take {path} of {} for {role}: {reason}", self.host().name),
            ));
        }
        Ok(Root { role, path })
    }

    async fn look_for(&self, role: Role, places: &Candidates) -> Result<WindowsPath, StepFailure> {
        for path in &places.said {
            if self.is_folder(path).await? {
                return Ok(path.clone());
            }
        }
        let mut found = Vec::new();
        for path in &places.known {
            if self.is_folder(path).await? {
                found.push(path.clone());
            }
        }
        let host = &self.host().name;
        let refused = |reason: String| {
            StepFailure::new(
                FailureClass::Refused,
                format!("could not find the folder for {role} on {host}: {reason}"),
            )
        };
        let list = |paths: &[WindowsPath]| {
            paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match found.as_slice() {
            [only] => Ok(only.clone()),
            [] => {
                let looked = [places.said.as_slice(), places.known.as_slice()].concat();
                Err(refused(if looked.is_empty() {
                    "the host has no agent and no Notification Server".to_owned()
                } else {
                    format!("looked at {}", list(&looked))
                }))
            }
            several => Err(refused(format!("there is more than one: {}", list(several)))),
        }
    }

    async fn is_folder(&self, path: &WindowsPath) -> Result<bool, StepFailure> {
        let metadata = self.files().metadata(path).await?;
        Ok(metadata.is_some_and(|metadata| metadata.attributes.is_directory()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::memory::{AGENT, MemoryHost, reader};

    fn facts(delivery: Option<&str>) -> HostFacts {
        serde_json::from_value(json!({
            "computer": "PS-01", "program_data": "C:\\ProgramData", "time_utc": null,
            "program_files": "C:\\Program Files",
            "agent": { "install_dir": "C:\\Program Files\\Altiris\\Altiris Agent",
                "package_delivery": delivery },
            "notification_server": null,
        }))
        .expect("facts")
    }

    fn texts(paths: &[WindowsPath]) -> Vec<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_host_says_comes_before_the_known_places_and_none_is_named_twice() {
        let places = candidates(Role::PsDelivery, &facts(Some("E:\\Packages\\Package Delivery")));

        assert_eq!(
            texts(&places.said),
            [
                "E:\\Packages\\Package Delivery",
                "C:\\Program Files\\Altiris\\Altiris Agent\\Package Delivery",
            ]
        );
        assert_eq!(
            texts(&places.known),
            ["C:\\ProgramData\\Symantec\\Symantec Agent\\Package Delivery"]
        );
    }

    #[test]
    fn both_spellings_of_the_status_folder_are_looked_for() {
        let places = candidates(Role::PsStatus, &facts(None));

        assert_eq!(places.known.len(), 4);
        assert!(texts(&places.known).iter().any(|path| path.ends_with("\\PackageStatus")));
        assert!(texts(&places.known).iter().any(|path| path.ends_with("\\Package Status")));
    }

    #[tokio::test]
    async fn a_folder_of_the_system_is_refused_whatever_the_host_says_of_itself() {
        for hostile in [
            "C:\\",
            "D:\\",
            "C:\\Windows",
            "D:\\windows\\System32",
            "C:\\ProgramData",
            "D:\\Program Files (x86)",
            "C:\\Program Files",
            "C:\\PROGRA~1",
            "C:\\Users",
            "C:\\System Volume Information\\x",
            "C:\\ProgramData\\fleetmend",
            "C:\\ProgramData\\fleetmend\\quarantine",
        ] {
            let host = MemoryHost::package_server();
            host.folder(hostile);
            host.answer(
                "host-facts",
                json!({
                    "computer": "PS-01", "domain": "", "time_utc": null,
                    "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
                    "agent": { "install_dir": AGENT, "package_delivery": hostile },
                    "notification_server": null,
                }),
            );
            let session = host.session(1);

            let failure = reader(&session).root(Role::PsDelivery).await.expect_err(hostile);

            assert_eq!(failure.class, FailureClass::Refused, "{hostile}");
            assert!(failure.message.contains("could not take"), "{hostile}: {failure}");
        }
    }

    #[test]
    fn an_agent_that_says_it_is_installed_in_the_system_has_no_folder_there() {
        let mut facts = facts(None);
        facts.program_files = "E:\\Apps\\Programs".parse().expect("a path");

        for (place, is_taken) in [
            ("C:\\Windows\\Package Delivery", false),
            ("E:\\Apps", false),
            ("E:\\Apps\\Programs", false),
            ("E:\\Apps\\Programs\\Altiris\\Altiris Agent\\Package Delivery", true),
            ("E:\\Packages", true),
            ("D:\\WindowsUpdates\\Package Delivery", true),
            ("C:\\ProgramData\\Symantec\\Symantec Agent\\Package Delivery", true),
        ] {
            let path: WindowsPath = place.parse().expect("a path");
            assert_eq!(why_not(&path, &facts).is_none(), is_taken, "{place}");
        }
    }

    #[test]
    fn a_place_of_packages_is_in_no_folder_of_users_or_of_other_programs() {
        for (place, is_taken) in [
            ("C:\\Users\\x", false),
            ("D:\\users\\Altiris\\x", false),
            ("C:\\ProgramData\\Microsoft", false),
            ("C:\\ProgramData\\Symantec", false),
            ("C:\\Program Files\\Common Files", false),
            ("C:\\PROGRA~1\\Altiris\\x", false),
            ("E:\\Images\\SOMETH~1", false),
            ("E:\\", false),
            ("C:\\ProgramData\\Symantec\\Symantec Agent\\Package Delivery", true),
            ("D:\\Program Files\\Altiris\\Packages", true),
            ("E:\\Images", true),
        ] {
            let path: WindowsPath = place.parse().expect("a path");
            assert_eq!(why_no_place(&path, &facts(None)).is_none(), is_taken, "{place}");
        }
    }

    #[test]
    fn a_machine_without_a_notification_server_is_still_looked_at() {
        let places = candidates(Role::NsSnapshots, &facts(None));

        assert!(places.said.is_empty());
        assert_eq!(places.known.len(), 2);
    }

    #[test]
    fn the_names_for_playbooks_are_the_roles_in_which_files_may_be_changed() {
        for name in Role::CHANGEABLE {
            let role: Role = serde_json::from_value(json!(name)).expect(name);
            assert!(role.may_change());
            assert_eq!(role.name(), *name);
        }
        assert!(!Role::AgentLog.may_change());
    }
}
