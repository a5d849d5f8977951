//! Why an agent cannot store a package that it wants: looked for each time it tries.

use super::PackageState;
use super::descriptors;
use super::fleet::{PackageNo, ServerNo};
use super::product_files::Severity;
use super::simulation::World;

/// The longest path that the product takes (KB 152039).
const MOST_CHARACTERS: usize = 254;

/// What stands in the way, and what the agent makes of it.
pub(super) struct Obstacle {
    pub(super) severity: Severity,
    pub(super) source: &'static str,
    pub(super) text: String,
    pub(super) state: PackageState,
}

impl World {
    /// What keeps an agent from storing a package now; the first that it meets.
    pub(super) fn obstacle(&self, server: ServerNo, package: PackageNo) -> Option<Obstacle> {
        self.obstacles(server, package).into_iter().next()
    }

    /// All that keeps an agent from storing a package now, in the order in which it meets them.
    pub(super) fn obstacles(&self, server: ServerNo, package: PackageNo) -> Vec<Obstacle> {
        let conditions = &self.agents[server].conditions;
        let of_package = conditions.of(package);
        let known = &self.fleet.packages[package];
        let guid = known.guid;
        let layout = &self.fleet.servers[server].layout;
        let store = &layout.package_delivery;
        let mut obstacles = Vec::new();
        let mut found = |severity, source, text: String, state| {
            obstacles.push(Obstacle { severity, source, text, state });
        };
        if conditions.no_source.contains(&package) {
            let text = format!("Could not access the package source of {guid}");
            let state = PackageState::RetryingDownload;
            found(Severity::Error, "PackageDelivery", text, state);
        }
        let is_granted = descriptors::grants_connectivity_account(&self.agents[server].tree, store);
        if conditions.credential != self.ns.conditions.credential || !is_granted {
            let drive = &store[..2].to_ascii_lowercase();
            let text = format!("Cannot create directory: 0x80070005 [Access is denied] {drive}");
            found(Severity::Warning, "CreateDirectoryPath", text, PackageState::Invalid);
        }
        if conditions.has_damaged_secure_storage {
            let text = format!(
                "CAeXNSCPkgSvr::UpdatePackage failed: Cannot save package {guid} (0x80043005)"
            );
            found(Severity::Error, "Package Server", text, PackageState::Invalid);
        }
        if of_package.is_location_unusable {
            let place = of_package.location.clone().unwrap_or_default();
            let text = format!(
                "Could not use the alternate location {place} of package {guid}: the network name \
                 cannot be found (0x80070043)"
            );
            let state = PackageState::RetryingDownload;
            found(Severity::Error, "Package Server", text, state);
        }
        if let Some(other) = self.shares_folder(server, package) {
            let other = self.fleet.packages[other].guid;
            let place = of_package.location.clone().unwrap_or_default();
            let text = format!(
                "CleanupExpiredPackages: removing files of {guid} in {place} that do not belong to \
                 {other}"
            );
            let state = PackageState::RetryingDownload;
            found(Severity::Warning, "Package Server", text, state);
        }
        let longest = self.content_paths(server, package).into_iter().map(|path| path.len()).max();
        if let Some(longest) = longest.filter(|length| *length > MOST_CHARACTERS) {
            let text = format!(
                "Package {guid} is invalid: a path of {longest} characters exceeds 254, the \
                 filename or extension is too long (0x800700CE)"
            );
            found(Severity::Error, "Package Server", text, PackageState::Invalid);
        }
        let size: u64 = known.files.iter().map(|(_, size)| u64::from(*size)).sum();
        if conditions.free_bytes < size {
            let text = format!(
                "Download of package {guid} failed: there is not enough space on the disk \
                 (0x80070070)"
            );
            let state = PackageState::RetryingDownload;
            found(Severity::Error, "PackageDelivery", text, state);
        }
        obstacles
    }

    /// Another package with the same alternate location.
    fn shares_folder(&self, server: ServerNo, package: PackageNo) -> Option<PackageNo> {
        let of_packages = &self.agents[server].conditions.of_packages;
        let location = of_packages.get(&package)?.location.as_ref()?;
        let is_same = |other: &str| other.eq_ignore_ascii_case(location);
        of_packages
            .iter()
            .find(|(other, of)| **other != package && of.location.as_deref().is_some_and(is_same))
            .map(|(other, _)| *other)
    }

    /// Where a package's content lies on a server: in its alternate location, else in the store.
    pub(super) fn content_paths(&self, server: ServerNo, package: PackageNo) -> Vec<String> {
        let known = &self.fleet.packages[package];
        let layout = &self.fleet.servers[server].layout;
        let location = self.agents[server].conditions.of(package).location;
        known
            .files
            .iter()
            .map(|(name, _)| match &location {
                Some(location) => format!(r"{}\{name}", self.expand(server, location)),
                None => layout.cached(known.guid, name),
            })
            .collect()
    }

    /// The folder on the disk that an alternate location means: of a share, what it shares.
    fn expand(&self, server: ServerNo, location: &str) -> String {
        let Some(rest) = location.strip_prefix(r"\\%COMPUTERNAME%\") else {
            return location.to_owned();
        };
        let (share, below) = rest.split_once('\\').unwrap_or((rest, ""));
        let shares = &self.agents[server].conditions.shares;
        let folder = shares.iter().find(|(name, _)| name.eq_ignore_ascii_case(share));
        let folder = folder.map_or_else(|| format!(r"C:\{share}"), |(_, path)| path.clone());
        if below.is_empty() { folder } else { format!(r"{folder}\{below}") }
    }
}
