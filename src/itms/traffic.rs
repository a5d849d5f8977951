//! What snapshots that are built anew cost in traffic: packages by package servers by bytes. A new
//! version is downloaded by every package server that has the package and by every client (KB 181405,
//! section 3): how many clients there are is nowhere known, and is said to be.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::Guid;

/// The bytes of each package, where its snapshot says them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageSizes(BTreeMap<Guid, Option<u64>>);

impl PackageSizes {
    /// Adds a snapshot. A package with several, one per language, counts by the largest; one of
    /// which any cannot be read is not known.
    pub fn add(&mut self, package: Guid, bytes: Option<u64>) {
        let known = self.0.entry(package).or_insert(bytes);
        *known = known.zip(bytes).map(|(a, b)| a.max(b));
    }

    /// Whether no package is built anew.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What package servers would download. Its text is one line for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// How many packages are built anew.
    pub packages: u64,
    /// The packages of these whose size is not known.
    pub of_unknown_size: u64,
    /// What is known of the downloads.
    pub load: Load,
}

/// How often and how much is downloaded, as far as package servers can be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// The package servers of each package were counted.
    Counted {
        /// The most package servers that have one of the packages.
        servers: u64,
        /// The pairs of package and package server.
        downloads: u64,
        /// The bytes of all downloads of packages whose size is known.
        bytes: u64,
    },
    /// They were not.
    PerServer {
        /// The bytes that a package server with all of the packages downloads.
        bytes: u64,
        /// Why they were not.
        why: String,
    },
}

impl Traffic {
    /// Estimates the traffic from the package servers that each package is on, or from the reason
    /// why these are not known. A package that is not counted there is on none.
    pub fn new(sizes: &PackageSizes, servers: Result<&BTreeMap<Guid, u64>, String>) -> Self {
        let sizes = &sizes.0;
        let load = match servers {
            Ok(servers) => {
                let of = |package: &Guid| servers.get(package).copied().unwrap_or(0);
                let each = sizes.iter().filter_map(|(package, bytes)| {
                    Some(bytes.as_ref()?.saturating_mul(of(package)))
                });
                Load::Counted {
                    servers: sizes.keys().map(of).max().unwrap_or(0),
                    downloads: sizes.keys().map(of).fold(0, u64::saturating_add),
                    bytes: each.fold(0, u64::saturating_add),
                }
            }
            Err(why) => {
                let bytes = sizes.values().flatten().copied().fold(0, u64::saturating_add);
                Load::PerServer { bytes, why }
            }
        };
        Self {
            packages: sizes.len() as u64,
            of_unknown_size: sizes.values().filter(|bytes| bytes.is_none()).count() as u64,
            load,
        }
    }
}

impl fmt::Display for Traffic {
    /// `builds 3 packages anew, each on up to 40 package servers: 118 downloads, 21.4 GB; clients
    /// download as well, how many is not known`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "builds {} anew", Plural(self.packages, "package"))?;
        let has_sizes = self.of_unknown_size < self.packages;
        match &self.load {
            Load::Counted { servers, downloads, bytes } => {
                f.write_str(if self.packages == 1 { ", on " } else { ", each on up to " })?;
                write!(
                    f,
                    "{}: {}",
                    Plural(*servers, "package server"),
                    Plural(*downloads, "download")
                )?;
                if has_sizes {
                    let at_least = if self.of_unknown_size > 0 { "at least " } else { "" };
                    write!(f, ", {at_least}{}", Bytes(*bytes))?;
                }
            }
            Load::PerServer { bytes, why } => {
                f.write_str(": ")?;
                if has_sizes {
                    write!(f, "{}", Bytes(*bytes))?;
                } else {
                    f.write_str("bytes that are not known")?;
                }
                write!(f, " for each package server, whose number is not known ({why})")?;
            }
        }
        if self.of_unknown_size > 0 {
            write!(
                f,
                "; the size of {} is not known, as the snapshot cannot be read",
                Plural(self.of_unknown_size, "package")
            )?;
        }
        f.write_str("; clients download as well, how many is not known")
    }
}

/// A number of things: `1 package`, `2 packages`.
struct Plural(u64, &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// Bytes for people, in powers of 1,000 as network links count them: `512 bytes`, `21.4 GB`.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1_000 {
            return Plural(self.0, "byte").fmt(f);
        }
        let (mut whole, mut tenth, mut unit) = (self.0 / 1_000, self.0 % 1_000 / 100, 0);
        while whole >= 1_000 && unit + 1 < UNITS.len() {
            (tenth, whole, unit) = (whole % 1_000 / 100, whole / 1_000, unit + 1);
        }
        write!(f, "{whole}.{tenth} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(1);
    const B: Guid = Guid::from_u128(2);

    fn sizes(list: &[(Guid, Option<u64>)]) -> PackageSizes {
        let mut sizes = PackageSizes::default();
        for (package, bytes) in list {
            sizes.add(*package, *bytes);
        }
        sizes
    }

    fn told(list: &[(Guid, Option<u64>)]) -> String {
        Traffic::new(&sizes(list), Ok(&BTreeMap::from([(A, 40), (B, 2)]))).to_string()
    }

    #[test]
    fn the_estimate_is_packages_by_servers_by_bytes() {
        assert_eq!(
            told(&[(A, Some(30_500_000)), (B, Some(1_000))]),
            "builds 2 packages anew, each on up to 40 package servers: 42 downloads, 1.2 GB; clients \
             download as well, how many is not known"
        );
        assert_eq!(
            told(&[(B, Some(1))]),
            "builds 1 package anew, on 2 package servers: 2 downloads, 2 bytes; clients download as \
             well, how many is not known"
        );
        let on_none = told(&[(Guid::from_u128(3), Some(5))]);
        assert!(on_none.contains("on 0 package servers: 0 downloads, 0 bytes"), "{on_none}");
    }

    #[test]
    fn what_is_not_known_is_said_and_never_counted_as_nothing() {
        let partly = told(&[(A, Some(999)), (B, None)]);
        assert!(
            partly.contains("42 downloads, at least 39.9 kB; the size of 1 package is not known"),
            "{partly}"
        );
        let blind = told(&[(A, None)]);
        assert!(!blind.contains("0 bytes"), "{blind}");
        assert!(blind.contains("40 downloads; the size of 1 package is not known"), "{blind}");
        let nobody =
            |bytes| Traffic::new(&sizes(&[(A, bytes)]), Err("no CMDB".to_owned())).to_string();
        assert!(
            nobody(Some(2_000_000))
                .contains("2.0 MB for each package server, whose number is not known (no CMDB)")
        );
        assert!(nobody(None).contains("bytes that are not known for each package server"));
    }

    #[test]
    fn a_package_in_two_languages_counts_once_and_an_unreadable_one_is_not_known() {
        let all = sizes(&[(A, Some(5)), (A, Some(7)), (B, Some(5)), (B, None), (B, Some(9))]);

        assert_eq!(all.0, BTreeMap::from([(A, Some(7)), (B, None)]));
    }

    #[test]
    fn no_amount_overflows() {
        let most = Traffic::new(&sizes(&[(A, Some(u64::MAX))]), Ok(&BTreeMap::from([(A, 9)])));

        assert!(most.to_string().contains("9 downloads, 18.4 EB"), "{most}");
    }
}
