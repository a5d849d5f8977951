//! What new versions of packages cost in traffic, before anything starts: packages by servers by
//! bytes. A new version is downloaded by every package server that has the package and by every client
//! (KB 181405, section 3): how many clients there are is not known here, and is said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::evidence::{FleetEvidence, OfferedPackage};
use crate::model::Guid;

/// What package servers would download.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The packages of which new versions would be made.
    pub packages: usize,
    /// The package servers that have at least one of them.
    pub servers: usize,
    /// The downloads: pairs of package server and package.
    pub downloads: usize,
    /// The bytes of these downloads, of packages whose snapshot tells every size.
    pub bytes: u64,
    /// Downloads whose bytes are not known.
    pub of_unknown_size: usize,
}

impl Traffic {
    /// Estimates what new versions of packages would be downloaded.
    ///
    /// The sizes come from the file lists of the Notification Server's snapshots, else from those of
    /// a package server. A server has a package when a row, or the agent's own list, says so; rows of
    /// servers that were not examined count as well.
    pub fn of(evidence: &FleetEvidence, packages: &BTreeSet<Guid>) -> Self {
        let sizes = sizes(evidence);
        let holders = holders(evidence, packages);
        let mut traffic = Self { packages: packages.len(), ..Self::default() };
        let mut servers: BTreeSet<&str> = BTreeSet::new();
        for (package, holders) in &holders {
            traffic.downloads += holders.len();
            match sizes.get(package) {
                Some(bytes) => {
                    let all = bytes.saturating_mul(holders.len() as u64);
                    traffic.bytes = traffic.bytes.saturating_add(all);
                }
                None => traffic.of_unknown_size += holders.len(),
            }
            servers.extend(holders.iter().map(String::as_str));
        }
        traffic.servers = servers.len();
        traffic
    }
}

/// The bytes of each package, where they are known.
fn sizes(evidence: &FleetEvidence) -> BTreeMap<Guid, u64> {
    let mut sizes = BTreeMap::new();
    let on_disk = evidence.servers.iter().filter_map(|server| server.on_disk.known()).flatten();
    for disk in on_disk {
        let snapshot = disk.snapshot.known().and_then(Option::as_ref);
        sizes.extend(snapshot.and_then(|snapshot| snapshot.bytes).map(|bytes| (disk.id, bytes)));
    }
    let servers = evidence.notification_servers.iter();
    let offered = servers.filter_map(|server| server.packages.known()).flatten();
    let bytes = |package: &OfferedPackage| package.snapshot.known()?.as_ref()?.bytes;
    // What the Notification Server offers is what will be downloaded.
    sizes.extend(offered.filter_map(|package| Some((package.id, bytes(package)?))));
    sizes
}

/// The servers that have each package: by their short names, so that rows and inventory agree.
fn holders(
    evidence: &FleetEvidence,
    packages: &BTreeSet<Guid>,
) -> BTreeMap<Guid, BTreeSet<String>> {
    let mut holders: BTreeMap<Guid, BTreeSet<String>> = BTreeMap::new();
    let names: BTreeMap<Guid, String> = evidence
        .servers
        .iter()
        .filter_map(|server| Some((server.guid?, server.host.short().to_lowercase())))
        .collect();
    let rows = evidence.notification_servers.iter().filter_map(|server| server.rows.known());
    for row in rows.flatten().filter(|row| packages.contains(&row.package)) {
        // Rows of retired servers cause no download.
        let Some(name) = &row.server_name else { continue };
        let short = name.split('.').next().unwrap_or(name).to_lowercase();
        let name = names.get(&row.server).cloned().unwrap_or(short);
        holders.entry(row.package).or_default().insert(name);
    }
    for server in &evidence.servers {
        let held = server.held.known().into_iter().flatten();
        for package in held.filter(|held| packages.contains(&held.id)) {
            holders.entry(package.id).or_default().insert(server.host.short().to_lowercase());
        }
    }
    holders
}

impl fmt::Display for Traffic {
    /// `3 packages on 40 package servers: 118 downloads, 21.4 GiB; clients download them as well, and
    /// how many there are is not known`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        write!(
            f,
            "{} package{} on {} package server{}: {} download{}, ",
            self.packages,
            plural(self.packages),
            self.servers,
            plural(self.servers),
            self.downloads,
            plural(self.downloads),
        )?;
        match self.of_unknown_size {
            0 => write!(f, "{}", Bytes(self.bytes))?,
            unknown => write!(
                f,
                "at least {}, and {unknown} download{} of unknown size",
                Bytes(self.bytes),
                plural(unknown),
            )?,
        }
        f.write_str("; clients download them as well, and how many there are is not known")
    }
}

/// Bytes as people read them: `512 B`, `21.4 GiB`.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let power = (self.0.ilog2() / 10).min(6) as usize;
        // Tenths in whole numbers: shifted by ten bits less, so that nothing overflows.
        let tenths = (u128::from(self.0) * 10) >> (10 * power);
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[power - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itms::evidence::{
        HeldPackage, NotificationServerEvidence, Seen, ServerEvidence, SnapshotSeen, StatusRow,
    };
    use crate::model::HostName;

    fn package(number: u128) -> Guid {
        Guid::from_u128(number)
    }

    fn offered(number: u128, bytes: Option<u64>) -> OfferedPackage {
        let snapshot = SnapshotSeen {
            version: Some("1601954124".to_owned()),
            sha256: String::new(),
            content_sha256: None,
            path: None,
            files: 2,
            bytes,
        };
        OfferedPackage {
            id: package(number),
            name: None,
            current_version: None,
            origin: Seen::NotAsked,
            snapshot: Seen::Known(Some(snapshot)),
            source_reachable: Seen::NotAsked,
        }
    }

    fn row(server: u128, name: Option<&str>, number: u128) -> StatusRow {
        StatusRow {
            server: Guid::from_u128(100 + server),
            server_name: name.map(str::to_owned),
            package: package(number),
            status: None,
            reported_version: None,
        }
    }

    /// Two servers and a retired one have package 1 (3 GiB), one has package 2 (size unknown).
    fn evidence() -> FleetEvidence {
        let ns = NotificationServerEvidence {
            packages: Seen::Known(vec![offered(1, Some(3 << 30)), offered(2, None)]),
            rows: Seen::Known(vec![
                row(1, Some("PS-01"), 1),
                row(2, Some("ps-02.example.com"), 1),
                row(3, None, 1),
                row(2, Some("PS-02"), 2),
            ]),
            ..NotificationServerEvidence::default()
        };
        let held = HeldPackage {
            id: package(1),
            name: None,
            status: "Ready".to_owned(),
            previous_status: None,
            since: None,
            version: None,
            location: None,
        };
        let server = ServerEvidence {
            host: HostName::new("ps-01.example.com"),
            held: Seen::Known(vec![held]),
            ..ServerEvidence::default()
        };
        FleetEvidence {
            taken: jiff::Timestamp::UNIX_EPOCH,
            notification_servers: vec![ns],
            servers: vec![server],
        }
    }

    #[test]
    fn a_download_is_counted_once_for_each_server_that_has_the_package() {
        let traffic = Traffic::of(&evidence(), &BTreeSet::from([package(1)]));

        assert_eq!(
            traffic,
            Traffic { packages: 1, servers: 2, downloads: 2, bytes: 6 << 30, of_unknown_size: 0 }
        );
        assert_eq!(
            traffic.to_string(),
            "1 package on 2 package servers: 2 downloads, 6.0 GiB; clients download them as well, and how \
             many there are is not known"
        );
    }

    #[test]
    fn a_size_that_is_not_known_is_said_to_be() {
        let traffic = Traffic::of(&evidence(), &BTreeSet::from([package(1), package(2)]));

        assert_eq!((traffic.downloads, traffic.of_unknown_size), (3, 1));
        assert!(
            traffic.to_string().contains("at least 6.0 GiB, and 1 download of unknown size"),
            "{traffic}"
        );
    }

    #[test]
    fn bytes_read_as_people_write_them() {
        let texts = [0, 1023, 1024, 1536, (21 << 30) + (429 << 20), u64::MAX]
            .map(|bytes| Bytes(bytes).to_string());

        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "21.4 GiB", "15.9 EiB"]);
    }
}
