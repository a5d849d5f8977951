//! Builds a plausible fleet from a specification and a seed.

use super::dice::Dice;
use super::layout::AgentLayout;
use super::spec::FleetSpec;
use crate::model::Guid;

/// A package, by its place in [`Fleet::packages`].
pub(super) type PackageNo = usize;
/// A package server, by its place in [`Fleet::servers`].
pub(super) type ServerNo = usize;

/// The domain of every simulated machine.
pub const DOMAIN: &str = "lab.example";

/// The machines and packages of a simulated fleet, as they were set up.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The Notification Server.
    pub notification_server: NotificationServer,
    /// The package servers.
    pub servers: Vec<PackageServer>,
    /// The packages.
    pub packages: Vec<Package>,
}

/// The Notification Server.
#[derive(Debug, Clone)]
pub struct NotificationServer {
    /// Its fully qualified name.
    pub fqdn: String,
    /// Its resource GUID, `OwnerNSGuid` of its settings.
    pub guid: Guid,
    /// The product's version.
    pub version: String,
}

/// A package server.
#[derive(Debug, Clone)]
pub struct PackageServer {
    /// Its fully qualified name.
    pub fqdn: String,
    /// Its resource GUID.
    pub guid: Guid,
    /// Its site.
    pub site: String,
    /// Where its agent keeps files.
    pub layout: AgentLayout,
    /// The version of its agent and of the package server plug-in.
    pub agent_version: String,
    /// The packages assigned to it, in order.
    pub(super) packages: Vec<PackageNo>,
    /// Whether it carries packages that only a part of the fleet has.
    pub(super) is_carrier: bool,
}

/// A package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its GUID.
    pub guid: Guid,
    /// Its name.
    pub name: String,
    /// Its version when the world began: seconds since 1970.
    pub version: u64,
    /// Its content: names and sizes in bytes. Real packages are larger; the pace of downloads
    /// does not follow these sizes.
    pub files: Vec<(String, u32)>,
    /// Whether only a part of the fleet has it.
    pub is_regional: bool,
}

impl PackageServer {
    /// The name up to the first dot.
    pub fn short(&self) -> &str {
        self.fqdn.split('.').next().unwrap_or(&self.fqdn)
    }

    /// The number in its site, at the end of its short name.
    pub(super) fn number(&self) -> u32 {
        self.short().rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

const SITES: [&str; 20] = [
    "LON", "OSL", "BER", "PAR", "NYC", "SIN", "SYD", "TYO", "MAD", "ROM", "VIE", "DUB", "HEL",
    "WAW", "CHI", "DEN", "TOR", "MEX", "BOM", "JNB",
];

const NAMES: [&str; 24] = [
    "7-Zip 24.08 x64",
    "Adobe Acrobat Reader DC 24.002",
    "Altiris Inventory Plug-in 8.7",
    "Autodesk DWG TrueView 2025",
    "Cisco Secure Client 5.1",
    "Citrix Workspace 2405",
    "Dell Command Update 5.3",
    "Google Chrome Enterprise 126",
    "HP Image Assistant 5.2",
    "Java SE Runtime 8u411",
    "Microsoft .NET Desktop Runtime 8.0",
    "Microsoft 365 Apps 2405",
    "Microsoft Edge WebView2 126",
    "Microsoft Teams 24124",
    "Mozilla Firefox ESR 115.12",
    "Notepad++ 8.6.8",
    "PDF-XChange Editor 10.3",
    "PuTTY 0.81 x64",
    "SAP GUI 8.00 PL6",
    "Symantec Endpoint Protection 14.3",
    "VLC Media Player 3.0.21",
    "Visual C++ 2022 Redistributable",
    "WinSCP 6.3.4",
    "Zoom Workplace 6.0",
];

/// The version of the Notification Server, and of every agent that no fault made old.
const NEWEST: &str = "8.8.1280.0";

/// Builds the fleet: the same one for the same specification.
pub(super) fn build(spec: &FleetSpec) -> Fleet {
    let mut dice = Dice::new(spec.seed, 1);
    let notification_server = NotificationServer {
        fqdn: format!("smp01.{DOMAIN}"),
        guid: dice.guid(),
        version: NEWEST.to_owned(),
    };
    let packages = packages(spec, &mut dice);
    let servers = servers(spec, &packages, &mut dice);
    Fleet { notification_server, servers, packages }
}

fn packages(spec: &FleetSpec, dice: &mut Dice) -> Vec<Package> {
    let began = u64::try_from(spec.started.as_second()).unwrap_or(0);
    let count = spec.packages.max(1) as usize;
    // A third of the packages is for a part of the fleet only, as site assignments make it.
    let part = if spec.is_uniform { 0 } else { count / 3 };
    let mut regional: Vec<bool> = (0..count).map(|number| number < part).collect();
    dice.shuffle(&mut regional);
    let mut package = |number: usize, is_regional| {
        let name = NAMES.get(number).map_or_else(
            || format!("Line of business package {number:03}"),
            |name| (*name).to_owned(),
        );
        let extra = dice.below(3) as usize;
        let files = ["setup.msi", "setup.ini", "transform.mst", "readme.txt"]
            .into_iter()
            .take(2 + extra)
            .map(|file| (file.to_owned(), dice.between(60, 400) as u32))
            .collect();
        let age = dice.between(20 * 86_400, 400 * 86_400);
        Package { guid: dice.guid(), name, version: began.saturating_sub(age), files, is_regional }
    };
    regional.into_iter().enumerate().map(|(number, is)| package(number, is)).collect()
}

fn servers(spec: &FleetSpec, packages: &[Package], dice: &mut Dice) -> Vec<PackageServer> {
    let count = spec.servers as usize;
    let sites = (spec.sites.max(1) as usize).min(count.max(1));
    let width = if count.div_ceil(sites) > 99 { 3 } else { 2 };
    let everywhere: Vec<PackageNo> =
        (0..packages.len()).filter(|number| !packages[*number].is_regional).collect();
    let mut regional: Vec<PackageNo> =
        (0..packages.len()).filter(|number| packages[*number].is_regional).collect();
    let mut carriers: Vec<bool> = (0..count).map(|n| n < (count * 60).div_ceil(100)).collect();
    dice.shuffle(&mut carriers);

    let mut carried = 0usize;
    (0..count)
        .map(|number| {
            let site = site_name(number % sites);
            let short = format!("ps-{}-{:0width$}", site.to_ascii_lowercase(), number / sites + 1);
            let is_carrier = carriers[number] && !regional.is_empty();
            let mut assigned = everywhere.clone();
            if is_carrier {
                // Two or three each, the same number in all for every seed.
                let wanted = [2, 3, 2, 3][carried % 4];
                carried += 1;
                dice.shuffle(&mut regional);
                assigned.extend(regional.iter().take(wanted));
                assigned.sort_unstable();
            }
            PackageServer {
                fqdn: format!("{short}.{DOMAIN}"),
                guid: dice.guid(),
                site,
                layout: AgentLayout::numbered(dice.below(AgentLayout::COUNT)),
                agent_version: {
                    // The throw keeps the fleets of old seeds as they were.
                    let _ = dice.below(4);
                    NEWEST.to_owned()
                },
                packages: assigned,
                is_carrier,
            }
        })
        .collect()
}

fn site_name(number: usize) -> String {
    SITES.get(number).map_or_else(|| format!("S{:02}", number + 1), |site| (*site).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_builds_the_same_fleet_and_another_seed_another() {
        let spec = |seed| FleetSpec::new(60, seed, "2026-05-16T00:00:00Z".parse().unwrap());

        let print = |seed| format!("{:?}", build(&spec(seed)));

        assert_eq!(print(7), print(7));
        assert_ne!(print(7), print(8));
    }

    #[test]
    fn names_and_guids_are_unique_in_a_large_fleet() {
        let spec = FleetSpec {
            sites: 25,
            packages: 30,
            ..FleetSpec::new(3000, 1, "2026-05-16T00:00:00Z".parse().unwrap())
        };

        let fleet = build(&spec);

        let names: BTreeSet<&str> = fleet.servers.iter().map(|s| s.fqdn.as_str()).collect();
        let guids: BTreeSet<Guid> = fleet.servers.iter().map(|s| s.guid).collect();
        assert_eq!((names.len(), guids.len()), (3000, 3000));
        let layouts: BTreeSet<&str> =
            fleet.servers.iter().map(|s| s.layout.package_delivery.as_str()).collect();
        assert_eq!(layouts.len(), 4);
    }
}
