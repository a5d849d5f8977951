//! Writes the product's files, by our own hand and not with the readers of `itms`.
//!
//! The public articles show the form of agent.log (KB 179719), the names and places of the files
//! (KB 181405, 178503) and the settings (KB 181405). They do not show the inside of snapshot.xml,
//! PackageStatus.xml and UrgentList.xml: what is written here follows the field names of the
//! agent's documented COM interface and is our assumption.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::conditions::AppliedCredential;
use super::fleet::{Fleet, Package};
use super::time::Calendar;
use super::{PackageState, WorldTime};
use crate::model::Guid;

/// The content of one file of a package: text that says what it is, of the declared size. Versions
/// from the first one on have the same content, older ones have another: a new version is often made
/// although no file has changed.
pub(super) fn content(package: &Package, name: &str, size: u32, version: u64) -> Vec<u8> {
    let version = version.min(package.version);
    let line = format!("{} {name} {version} simulated content\r\n", package.guid);
    line.bytes().cycle().take(size as usize).collect()
}

/// The manifest of a package: `{GUID}.xml` at the Notification Server, `snapshot.xml` elsewhere.
pub(super) fn snapshot(package: &Package, version: u64) -> Vec<u8> {
    let total: u64 = package.files.iter().map(|(_, size)| u64::from(*size)).sum();
    let modified = i64::try_from(package.version)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    // The product's own layout is not published: three plausible ones, by package.
    let form = match package.guid.as_u128() % 3 {
        0 => manifest_by_element,
        1 => manifest_with_digests,
        _ => manifest_by_attribute,
    };
    let files: Vec<Listed<'_>> = package
        .files
        .iter()
        .map(|(name, size)| Listed {
            name,
            size: *size,
            hash: hex(&Sha256::digest(content(package, name, *size, version))),
        })
        .collect();
    form(package.guid, version, total, modified, &files).into_bytes()
}

/// A file of a manifest.
struct Listed<'a> {
    name: &'a str,
    size: u32,
    hash: String,
}

fn manifest_by_attribute(
    guid: Guid,
    version: u64,
    total: u64,
    modified: jiff::Timestamp,
    files: &[Listed<'_>],
) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<snapshot packageGuid=\"{}\" \
         version=\"{version}\" size=\"{total}\" fileCount=\"{}\">\r\n",
        guid,
        files.len()
    );
    for Listed { name, size, hash } in files {
        let _ = write!(
            xml,
            "  <file name=\"{name}\" size=\"{size}\" modified=\"{modified}\" \
             hashAlgorithm=\"SHA256\" hash=\"{hash}\" />\r\n"
        );
    }
    xml.push_str("</snapshot>\r\n");
    xml
}

/// As the agent's COM interface names things, with the files in an element of their own.
fn manifest_by_element(
    guid: Guid,
    version: u64,
    total: u64,
    modified: jiff::Timestamp,
    files: &[Listed<'_>],
) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<PackageSnapshot Id=\"{guid}\" \
         Version=\"{version}\" PackageSize=\"{total}\">\r\n  <Files>\r\n"
    );
    for Listed { name, size, hash } in files {
        let _ = write!(
            xml,
            "    <File Path=\"{name}\" Size=\"{size}\" LastModified=\"{modified}\" \
             Hash=\"{hash}\" />\r\n"
        );
    }
    xml.push_str("  </Files>\r\n</PackageSnapshot>\r\n");
    xml
}

/// As the older package.xml names things (KB 180560), with the digest under its own name.
fn manifest_with_digests(
    guid: Guid,
    version: u64,
    total: u64,
    modified: jiff::Timestamp,
    files: &[Listed<'_>],
) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<package id=\"{guid}\" \
         version=\"{version}\" size=\"{total}\">\r\n"
    );
    for Listed { name, size, hash } in files {
        let _ = write!(
            xml,
            "  <item file=\"{name}\" size=\"{size}\" date=\"{modified}\" sha256=\"{hash}\" \
             />\r\n"
        );
    }
    xml.push_str("</package>\r\n");
    xml
}

/// A manifest as an agent stores it: with the folder of the content, where that has one of its own.
pub(super) fn stored_snapshot(snapshot: Vec<u8>, location: Option<&str>) -> Vec<u8> {
    let Some(location) = location else { return snapshot };
    let Ok(text) = String::from_utf8(snapshot.clone()) else { return snapshot };
    let is_whole = text.split_once("?>\r\n<").and_then(|(head, body)| {
        let (element, rest) = body.split_once('>')?;
        Some(format!("{head}?>\r\n<{element} path=\"{}\">{rest}", escape(location)))
    });
    is_whole.map_or(snapshot, String::into_bytes)
}

/// The signature that lies beside a manifest at the Notification Server.
pub(super) fn signature(snapshot: &[u8]) -> Vec<u8> {
    format!("SIMULATED-SIGNATURE SHA256 {}\r\n", hex(&Sha256::digest(snapshot))).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The state of a package as the package server keeps it.
pub(super) fn package_status(
    package: &Package,
    state: PackageState,
    version: u64,
    calendar: Calendar,
    at: WorldTime,
) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<PackageStatus Id=\"{}\" Name=\"{}\" \
         Status=\"{state}\" PackageVersion=\"{version}\" Time=\"{}\" />\r\n",
        package.guid,
        escape(&package.name),
        calendar.timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    .into_bytes()
}

/// The list of packages to be fetched before all others.
pub(super) fn urgent_list(packages: &[Guid]) -> Vec<u8> {
    let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<UrgentList>\r\n".to_owned();
    for package in packages {
        let _ = write!(xml, "  <Package Id=\"{package}\" />\r\n");
    }
    xml.push_str("</UrgentList>\r\n");
    xml.into_bytes()
}

/// The policies that an agent received, with the packages assigned to it.
pub(super) fn client_policies<'a>(
    fleet: &Fleet,
    machine: Guid,
    packages: impl Iterator<Item = &'a Package>,
    credential: AppliedCredential,
    calendar: Calendar,
    at: WorldTime,
) -> Vec<u8> {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Policies machineGuid=\"{machine}\" \
         server=\"{}\" received=\"{}\">\r\n  <Policy name=\"Package Server Settings\">\r\n    \
         <PackageServer windowsLocation=\"_default_\" credential=\"{}\" />\r\n    <Packages>\r\n",
        fleet.notification_server.fqdn,
        calendar.timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ"),
        credential.as_str(),
    );
    for package in packages {
        let _ = write!(
            xml,
            "      <Package Id=\"{}\" Name=\"{}\" />\r\n",
            package.guid,
            escape(&package.name)
        );
    }
    xml.push_str("    </Packages>\r\n  </Policy>\r\n</Policies>\r\n");
    xml.into_bytes()
}

/// `CoreSettings.config` of the Notification Server.
pub(super) fn core_settings(owner: Guid) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<configuration>\r\n  \
         <customSetting key=\"OwnerNSGuid\" type=\"local\" value=\"{}\" />\r\n  \
         <customSetting key=\"MaxConcurrentPackageInfoRequests\" type=\"local\" value=\"20\" />\r\n\
         </configuration>\r\n",
        owner.bare().to_ascii_lowercase()
    )
    .into_bytes()
}

/// How bad a log event is: the numbers that the product writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error = 1,
    Warning = 2,
    Information = 4,
}

/// One event of a log.
pub(super) struct LogEvent<'a> {
    pub(super) severity: Severity,
    pub(super) source: &'a str,
    pub(super) module: &'a str,
    pub(super) text: &'a str,
}

/// An event as it stands in agent.log: single quotes, a date without a year, no root element.
pub(super) fn log_event(
    event: &LogEvent<'_>,
    host: &str,
    calendar: Calendar,
    at: WorldTime,
) -> Vec<u8> {
    format!(
        "<event date='{}' severity='{}' hostName='{host}' source='{}' module='{}' \
         process='AeXNSAgent.exe' pid='1724' thread='{}' tickCount='{}' >\r\n  \
         <![CDATA[{}]]></event>\r\n",
        calendar.log_date(at),
        event.severity as u8,
        event.source,
        event.module,
        1000 + at.minutes() % 97,
        at.as_millis().wrapping_add(495_844_828) % (1 << 32),
        event.text,
    )
    .into_bytes()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(bits: u128) -> Package {
        Package {
            guid: Guid::from_u128(bits),
            name: "A & B".to_owned(),
            version: 1_601_867_730,
            files: vec![("setup.msi".to_owned(), 100)],
            is_regional: false,
        }
    }

    #[test]
    fn a_manifest_lists_what_lies_on_the_disk_in_each_of_three_layouts() {
        let mut roots = Vec::new();
        for bits in 6..9 {
            let package = package(bits);

            let xml = String::from_utf8(snapshot(&package, 42)).unwrap();
            let hash = hex(&Sha256::digest(content(&package, "setup.msi", 100, 42)));

            assert!(xml.to_lowercase().contains(" version=\"42\""), "{xml}");
            assert!(
                xml.contains("=\"setup.msi\"") && xml.contains("2020-10-05T03:15:30Z"),
                "{xml}"
            );
            assert!(xml.to_lowercase().contains(" size=\"100\"") && xml.contains(&hash), "{xml}");
            roots.push(xml.split_whitespace().nth(3).unwrap().to_owned());
        }
        roots.dedup();
        assert_eq!(roots.len(), 3, "{roots:?}");
    }

    #[test]
    fn a_new_version_of_the_same_files_has_the_same_content_and_an_old_one_has_not() {
        let package = package(1);
        let of = |version| content(&package, "setup.msi", 100, version);

        assert_eq!(of(package.version), of(package.version + 99));
        assert_ne!(of(package.version), of(package.version - 99));
    }

    #[test]
    fn a_stored_manifest_names_the_folder_of_content_that_has_one_of_its_own() {
        let plain = snapshot(&package(2), 42);

        let stored = String::from_utf8(stored_snapshot(plain.clone(), Some(r"D:\A & B"))).unwrap();

        assert!(stored.contains(r#" path="D:\A &amp; B">"#), "{stored}");
        assert_eq!(stored_snapshot(plain.clone(), None), plain);
    }

    #[test]
    fn a_log_event_has_the_form_of_the_published_ones() {
        let calendar = Calendar::new("2026-05-16T11:51:05Z".parse().unwrap());
        let event = LogEvent {
            severity: Severity::Warning,
            source: "EventTransport",
            module: "AeXNSAgent.exe",
            text: "Access is denied (-2147024891)",
        };

        let text =
            String::from_utf8(log_event(&event, "xx100", calendar, WorldTime::START)).unwrap();

        assert!(text.starts_with("<event date='May 16 11:51:05' severity='2' hostName='xx100' "));
        assert!(text.contains("tickCount='495844828' >\r\n  <![CDATA["));
    }
}
