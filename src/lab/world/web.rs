//! What the web servers of the world answer: the Notification Server's pages, and the package
//! servers' virtual directories.

use std::time::Duration;

use super::fleet::{PackageNo, ServerNo};
use super::iis::{Cause, Verdict};
use super::ns::version_of;
use super::product_files::Severity;
use super::simulation::{Event, MachineId, World};
use crate::lab::tree::Kind;
use crate::model::Guid;

/// The page of the Administrator SDK, in lower case.
const UPDATE: &str =
    "/altiris/asdk.smf/softwarepackagemanagementservice.asmx/updatedistributionpoints";
/// The page by which agents find out whether their server answers, in lower case.
const CONNECTION_TEST: [&str; 2] =
    ["/altiris/ns/agent/connectiontest.asp", "/altiris/ns/agent/connectiontest.aspx"];
const NO_PAGE: (u16, &str) = (404, "The resource you are looking for has been removed.");
const NOT_SERVING: (u16, &str) = (503, "Service Unavailable");

/// A request that reached a web server.
#[derive(Debug, Clone, Copy)]
pub struct WebRequest<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// Its path, escaped, with the query.
    pub path: &'a str,
    /// Its body.
    pub body: &'a str,
    /// Who was logged on to, `DOMAIN\user`.
    pub user: Option<&'a str>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAnswer {
    /// The status; 401 where a logon is needed first.
    pub status: u16,
    /// The content.
    pub body: String,
    /// How long it takes, in the world's time, beyond what any page takes.
    pub after: Duration,
}

impl From<(u16, &str)> for WebAnswer {
    fn from((status, body): (u16, &str)) -> Self {
        Self { status, body: body.to_owned(), after: Duration::ZERO }
    }
}

impl World {
    /// Answers a request as the machine's web server would.
    pub fn web(&mut self, machine: MachineId, request: WebRequest<'_>) -> WebAnswer {
        if !self.is_serving(machine) {
            return NOT_SERVING.into();
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let path = unescaped(path);
        match machine {
            MachineId::Server(server) if is_reading(request.method) => {
                self.virtual_directory(server, &path).into()
            }
            MachineId::Server(_) => (405, "Method Not Allowed").into(),
            MachineId::NotificationServer => self.notification_server_page(&path, request),
        }
    }

    /// Whether a page is for those who logged on. Others take no notice of a logon.
    pub fn needs_logon(&self, machine: MachineId, path: &str) -> bool {
        let path = unescaped(path.split('?').next().unwrap_or_default());
        machine == MachineId::NotificationServer && path.to_lowercase() == UPDATE && self.has_asdk()
    }

    fn notification_server_page(&mut self, path: &str, request: WebRequest<'_>) -> WebAnswer {
        let lower = path.to_lowercase();
        if CONNECTION_TEST.contains(&lower.as_str()) && is_reading(request.method) {
            return match self.iis.look(self.now) {
                Verdict::Busy => NOT_SERVING.into(),
                Verdict::Served(after) => {
                    WebAnswer { after, ..(200, "Connection test succeeded").into() }
                }
            };
        }
        if let Verdict::Busy = self.iis.request(self.now, Cause::Background, "") {
            return NOT_SERVING.into();
        }
        if lower == UPDATE {
            return self.update_distribution_points(request);
        }
        if !is_reading(request.method) {
            return (405, "Method Not Allowed").into();
        }
        let Some(rest) = lower.strip_prefix("/altiris/ns/packages/") else {
            return NO_PAGE.into();
        };
        let guid = rest.split('/').next().and_then(|text| text.parse::<Guid>().ok());
        let number = guid.and_then(|guid| self.package_number(guid));
        match number.and_then(|number| self.offered_snapshot(number)) {
            Some(_) => (200, "").into(),
            None => NO_PAGE.into(),
        }
    }

    fn package_number(&self, guid: Guid) -> Option<PackageNo> {
        self.fleet.packages.iter().position(|package| package.guid == guid)
    }

    /// What lies below `/Altiris/PS/Package Delivery/`: a package's content. The snapshot and
    /// everything else of the store is not offered.
    fn virtual_directory(&self, server: ServerNo, path: &str) -> (u16, &'static str) {
        const BEGINNING: &str = "/altiris/ps/package delivery/";

        let Some(rest) = path.get(..BEGINNING.len()).and_then(|beginning| {
            beginning.eq_ignore_ascii_case(BEGINNING).then(|| &path[BEGINNING.len()..])
        }) else {
            return NO_PAGE;
        };
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let package = parts.next().and_then(|part| part.parse::<Guid>().ok());
        let is_cache = parts.next().is_some_and(|part| part.eq_ignore_ascii_case("cache"));
        let (Some(package), true) = (package, is_cache) else { return NO_PAGE };
        let below: Vec<&str> = parts.collect();
        if below.iter().any(|part| *part == ".." || part.contains('\\')) {
            return (400, "Bad Request");
        }
        let Some(number) = self.package_number(package) else { return NO_PAGE };
        let tree = self.tree(MachineId::Server(server));
        let wanted = below.join("\\").to_lowercase();
        let is_there = self.content_paths(server, number).iter().any(|path| {
            path.to_lowercase().ends_with(&wanted)
                && tree.entry(path).is_some_and(|entry| entry.kind == Kind::File)
        });
        if is_there { (200, "") } else { NO_PAGE }
    }

    /// The page of the Administrator SDK: one package's codebases and snapshot.
    fn update_distribution_points(&mut self, request: WebRequest<'_>) -> WebAnswer {
        if !self.has_asdk() {
            return NO_PAGE.into();
        }
        if request.user.is_none() {
            return (401, "Unauthorized").into();
        }
        if request.method != "POST" {
            return (500, "Request format is unrecognized for URL unexpectedly ending in '/UpdateDistributionPoints'.").into();
        }
        let Some(text) =
            request.body.split('&').find_map(|field| field.strip_prefix("PackageGuid="))
        else {
            return (500, "Missing parameter: PackageGuid.").into();
        };
        let guid = unescaped(&text.replace('+', " ")).parse::<Guid>().ok();
        let Some(number) = guid.and_then(|guid| self.package_number(guid)) else {
            return (
                500,
                "Altiris.ASDK.Common.ASDKItemNotFoundException: the package was not found",
            )
                .into();
        };
        let after = self.dice.millis(3000, 9000);
        self.schedule(after, Event::DistributionPoints(number));
        let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<int xmlns=\"http://Altiris.ASDK.SMF.com\">0</int>";
        (200, body).into()
    }

    /// Writes one package's codebases and snapshot. A snapshot that is missing or old becomes a new
    /// version; one that is current is written again as it is.
    pub(super) fn distribution_points_updated(&mut self, package: PackageNo) {
        let conditions = &self.ns.conditions;
        if conditions.gone.contains(&package) || conditions.origins.contains_key(&package) {
            return;
        }
        if conditions.broken_sources.contains(&package) {
            self.say_broken_source(package);
            return;
        }
        let present = self.offered_snapshot(package).as_deref().and_then(version_of);
        if present == Some(self.ns.versions[package]) {
            self.write_snapshot(package);
            let guid = self.fleet.packages[package].guid;
            let text = format!("Package snapshot of {guid} was written again");
            self.log_at_ns(Severity::Information, &text);
        } else {
            self.renew_snapshot(package);
        }
        self.publish_own_codebases();
    }
}

fn is_reading(method: &str) -> bool {
    ["GET", "HEAD"].contains(&method)
}

/// A path with its escapes undone; a broken escape stays as it is.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
