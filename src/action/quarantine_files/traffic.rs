//! What snapshots that are built anew make package servers and clients download.

use std::collections::{BTreeMap, HashMap};

use crate::host::Reader;
use crate::host::queries::PACKAGE_SERVER_COUNTS;
use crate::model::{FailureClass, Guid, StepFailure};
use crate::transport::{SqlValue, TransportErrorKind};

/// The bytes of each package, where its snapshot says them.
#[derive(Debug, Default)]
pub(super) struct Sizes(BTreeMap<Guid, Option<u64>>);

impl Sizes {
    /// Adds a snapshot. A package with several, one per language, counts by the largest; one of
    /// which any cannot be read is not known.
    pub(super) fn add(&mut self, package: Guid, bytes: Option<u64>) {
        let known = self.0.entry(package).or_insert(bytes);
        *known = known.zip(bytes).map(|(a, b)| a.max(b));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of the traffic; the CMDB says how many package servers have each package.
    pub(super) async fn told(&self, at: &Reader<'_>) -> Result<String, StepFailure> {
        let servers = match at.query(&PACKAGE_SERVER_COUNTS.statement, &[]).await {
            Ok(rows) => Ok(rows
                .iter()
                .filter_map(|row| Some((row.guid("PackageGuid")?, count(row.get("Servers")?)?)))
                .collect()),
            // Another run of the step would end the same way, and no wrong password is tried again.
            Err(error) if error.kind == TransportErrorKind::AuthRejected => {
                return Err(StepFailure::from_error(FailureClass::AuthRejected, &error));
            }
            Err(error) => Err(error.to_string()),
        };
        Ok(told(&self.0, servers.as_ref().map_err(String::as_str)))
    }
}

fn count(value: &SqlValue) -> Option<u64> {
    match value {
        SqlValue::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// The estimate as a line: packages, downloads and bytes, and what of it is not known.
fn told(sizes: &BTreeMap<Guid, Option<u64>>, servers: Result<&HashMap<Guid, u64>, &str>) -> String {
    let unknown = sizes.values().filter(|bytes| bytes.is_none()).count();
    let mut line = format!("builds {} anew: ", plural(sizes.len() as u64, "package"));
    match servers {
        Ok(servers) => {
            // A package without a row is on no package server.
            let of = |package: &Guid| servers.get(package).copied().unwrap_or(0);
            let downloads: u64 = sizes.keys().map(of).fold(0, u64::saturating_add);
            let bytes = sizes
                .iter()
                .filter_map(|(package, bytes)| bytes.map(|bytes| bytes.saturating_mul(of(package))))
                .fold(0, u64::saturating_add);
            line.push_str(&format!("{} by package servers", plural(downloads, "download")));
            if unknown < sizes.len() {
                line.push_str(&format!(", {}", size(bytes)));
            }
        }
        Err(why) => {
            let bytes = sizes.values().flatten().copied().fold(0, u64::saturating_add);
            line.push_str(&format!(
                "{} for each package server, whose number is not known ({why})",
                if unknown < sizes.len() {
                    size(bytes)
                } else {
                    "bytes that are not known".to_owned()
                }
            ));
        }
    }
    if unknown > 0 {
        line.push_str(&format!(
            "; the size of {} is not known, as the snapshot cannot be read",
            plural(unknown as u64, "package")
        ));
    }
    line.push_str("; clients download as well, how many is not known");
    line
}

fn plural(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people, in powers of 1,000.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return plural(bytes, "byte");
    }
    let (mut whole, mut tenth, mut unit) = (bytes / 1_000, bytes % 1_000 / 100, 0);
    while whole >= 1_000 && unit + 1 < UNITS.len() {
        (tenth, whole, unit) = (whole % 1_000 / 100, whole / 1_000, unit + 1);
    }
    format!("{whole}.{tenth} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(1);
    const B: Guid = Guid::from_u128(2);

    #[test]
    fn the_estimate_is_packages_times_servers_times_bytes_and_says_what_is_not_known() {
        let servers = HashMap::from([(A, 40), (B, 2)]);
        let sizes = |list: &[(Guid, Option<u64>)]| {
            let mut sizes = Sizes::default();
            for (package, bytes) in list {
                sizes.add(*package, *bytes);
            }
            sizes.0
        };

        assert_eq!(
            told(&sizes(&[(A, Some(30_500_000)), (B, Some(1_000))]), Ok(&servers)),
            "builds 2 packages anew: 42 downloads by package servers, 1.2 GB; clients download as \
             well, how many is not known"
        );
        let partly = told(&sizes(&[(A, Some(999)), (B, None)]), Ok(&servers));
        assert!(partly.contains("42 downloads by package servers, 39.9 kB; the size of 1 package"));
        let blind = told(&sizes(&[(A, None)]), Ok(&servers));
        assert!(!blind.contains("0 bytes"), "{blind}");
        assert!(blind.contains("the size of 1 package is not known"), "{blind}");
        let nobody = told(&sizes(&[(A, Some(2_000_000))]), Err("no CMDB"));
        assert!(
            nobody.contains("2.0 MB for each package server, whose number is not known (no CMDB)")
        );
    }

    #[test]
    fn a_package_in_two_languages_counts_once_and_an_unreadable_one_is_not_known() {
        let mut sizes = Sizes::default();
        sizes.add(A, Some(5));
        sizes.add(A, Some(7));
        sizes.add(B, Some(5));
        sizes.add(B, None);

        assert_eq!(sizes.0, BTreeMap::from([(A, Some(7)), (B, None)]));
    }
}
