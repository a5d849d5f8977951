//! Where agents keep their files: the product has moved them over the years.

use crate::model::Guid;

/// The folders of one installed agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLayout {
    /// The value `InstallDir` of the agent's registry key.
    pub install_dir: String,
    /// Holds a folder per package, each with `snapshot.xml` and `cache`.
    pub package_delivery: String,
    /// Whether the store was relocated by policy, so that the agent reports its place.
    pub is_relocated: bool,
    /// Holds a folder per package, each with `PackageStatus.xml`.
    pub package_status: String,
    /// Holds `<ns fqdn>.xml`.
    pub client_policies: String,
    /// Holds `agent.log`.
    pub log_dir: String,
}

const PROGRAM_FILES: &str = r"C:\Program Files\Altiris\Altiris Agent";
const PROGRAM_DATA: &str = r"C:\ProgramData\Symantec\Symantec Agent";

impl AgentLayout {
    /// How many layouts there are.
    pub(super) const COUNT: u64 = 4;

    /// One of the layouts; numbers beyond the last begin again.
    pub(super) fn numbered(number: u64) -> Self {
        match number % Self::COUNT {
            // The default of 8.x: the store beside the binaries, the log in ProgramData.
            0 => Self::below(PROGRAM_FILES, "PackageStatus", &format!(r"{PROGRAM_DATA}\Logs")),
            // Installed on a data drive, with the older spelling and the older place of the log.
            1 => {
                let root = r"D:\Program Files\Altiris\Altiris Agent";
                Self::below(root, "Package Status", &format!(r"{root}\Logs"))
            }
            // Binaries under Program Files, all that changes under ProgramData.
            2 => Self {
                install_dir: PROGRAM_FILES.to_owned(),
                ..Self::below(PROGRAM_DATA, "PackageStatus", &format!(r"{PROGRAM_DATA}\Logs"))
            },
            // The store relocated by policy (8.0 and later).
            _ => Self {
                package_delivery: r"E:\Packages\Package Delivery".to_owned(),
                is_relocated: true,
                ..Self::below(PROGRAM_FILES, "PackageStatus", &format!(r"{PROGRAM_DATA}\Logs"))
            },
        }
    }

    fn below(root: &str, status: &str, logs: &str) -> Self {
        Self {
            install_dir: root.to_owned(),
            package_delivery: format!(r"{root}\Package Delivery"),
            is_relocated: false,
            package_status: format!(r"{root}\Package Server Agent\{status}"),
            client_policies: format!(r"{root}\Client Policies"),
            log_dir: logs.to_owned(),
        }
    }

    /// The folder of a package in the store.
    pub fn package_folder(&self, package: Guid) -> String {
        format!(r"{}\{package}", self.package_delivery)
    }

    /// The manifest of a package.
    pub fn snapshot(&self, package: Guid) -> String {
        format!(r"{}\{package}\snapshot.xml", self.package_delivery)
    }

    /// A file of a package's content.
    pub fn cached(&self, package: Guid, name: &str) -> String {
        format!(r"{}\{package}\cache\{name}", self.package_delivery)
    }

    /// The state of a package as the agent keeps it.
    pub fn status(&self, package: Guid) -> String {
        format!(r"{}\{package}\PackageStatus.xml", self.package_status)
    }

    /// The list of packages to be fetched before all others.
    pub fn urgent_list(&self) -> String {
        format!(r"{}\UrgentList.xml", self.package_status)
    }

    /// The policies received from a Notification Server.
    pub fn policy(&self, ns: &str) -> String {
        format!(r"{}\{ns}.xml", self.client_policies)
    }

    /// The agent's log.
    pub fn log(&self) -> String {
        format!(r"{}\agent.log", self.log_dir)
    }
}
