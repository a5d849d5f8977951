//! The variables that fleetmend itself reads, with their types.

use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::ambiguous::say;
use super::window;
use crate::expression::is_template;
use crate::model::{
    Adapt, CredentialName, Guid, Host, LimitName, LimitScope, LimitSpec, Rate, ReadOnlySelect,
    TimeScale, WindowZone, parse_span,
};

/// A variable that does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable `{}` is {found}; it should be {expected}", .path.join("."))]
pub struct SettingError {
    /// The variable, and the keys down to the place inside it.
    pub path: Vec<String>,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub expected: String,
}

const UNKNOWN_KEY: &str = "an unknown key";

impl SettingError {
    /// Whether it is about a key that means nothing there.
    pub(super) fn is_unknown_key(&self) -> bool {
        self.found == UNKNOWN_KEY
    }
}

/// How to log on over WinRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WinrmTransport {
    /// Negotiate (SPNEGO).
    Negotiate,
    /// NTLM.
    Ntlm,
}

impl WinrmTransport {
    /// The name that inventories use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "negotiate",
            Self::Ntlm => "ntlm",
        }
    }
}

/// Where and how a server's WinRM listens: over HTTP, every message sealed by the authentication.
///
/// HTTPS, and Basic, which would send the password readable over HTTP, are refused when the
/// inventory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WinrmSettings {
    /// `ansible_port`, else 5985.
    pub port: u16,
    /// `ansible_winrm_transport`, else Negotiate.
    pub transport: WinrmTransport,
}

/// Where the CMDB is, from the variable `cmdb` of a Notification Server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmdbSettings {
    /// A DNS name or an address.
    pub server: String,
    /// 1433 when not given.
    pub port: u16,
    /// `Symantec_CMDB` when not given, the product's default.
    pub database: String,
    /// The credential to log on with; the host's own when not given.
    pub credential: Option<CredentialName>,
    /// The credential to change it with; it is never changed when not given.
    pub writer_credential: Option<CredentialName>,
    /// How to read the sites of package servers: columns `ServerGuid` and `Site`.
    pub site_query: Option<ReadOnlySelect>,
}

/// What a host's variables say about reaching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// `ansible_host`, else the name.
    pub address: String,
    /// Its WinRM.
    pub winrm: WinrmSettings,
    /// `smb_port`, else 445.
    pub smb_port: u16,
    /// The credential to log on with.
    pub credential: Option<CredentialName>,
    /// `ansible_user`: the user, where it is not part of the credential.
    pub user: Option<String>,
    /// The site.
    pub site: Option<String>,
    /// The server's resource GUID.
    pub guid: Option<Guid>,
    /// The account that needs rights on package folders: the Agent Connectivity Credential.
    pub acc_account: Option<String>,
    /// The CMDB; a Notification Server has one.
    pub cmdb: Option<CmdbSettings>,
}

/// The variables with a meaning, for messages.
pub(super) const KNOWN: &[&str] = &[
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_connection",
    "ansible_winrm_scheme",
    "ansible_winrm_transport",
    "ansible_winrm_server_cert_validation",
    "credential",
    "site",
    "itms_guid",
    "fqdn",
    "smb_port",
    "http_port",
    "cmdb",
    "limits",
    "time_scale",
    "acc_account",
    "package_credential",
    "parent_servers",
    WindowZone::VARIABLE,
    "calendars",
];

/// What `cmdb` may say.
pub(super) const CMDB_KEYS: [&str; 6] =
    ["server", "port", "database", "credential", "writer_credential", "site_query"];

/// What `package_credential` may say, as `diagnose --credential` has it, with underscores.
const PACKAGE_CREDENTIALS: [(&str, ()); 3] =
    [("anonymous", ()), ("application_identity", ()), ("agent_connectivity", ())];

impl HostSettings {
    /// Reads a host's variables.
    ///
    /// # Errors
    ///
    /// All variables that hold something else than they should. Hosts of an inventory that was
    /// loaded from a file have none.
    pub fn of(host: &Host) -> Result<Self, Vec<SettingError>> {
        let mut read = Read { host, errors: Vec::new() };
        read.take("ansible_connection", connection);
        read.take("ansible_winrm_scheme", scheme);
        read.take("ansible_winrm_server_cert_validation", certificate_check);
        let settings = Self {
            address: read
                .take("ansible_host", text)
                .unwrap_or_else(|| host.name.as_str().to_owned()),
            winrm: WinrmSettings {
                port: read.take("ansible_port", winrm_port).unwrap_or(5985),
                transport: read
                    .take("ansible_winrm_transport", transport)
                    .unwrap_or(WinrmTransport::Negotiate),
            },
            smb_port: read.take("smb_port", port).unwrap_or(445),
            credential: read.take("credential", credential),
            user: read.take("ansible_user", text),
            site: read.take("site", text),
            guid: read.take("itms_guid", guid),
            acc_account: read.take("acc_account", text),
            cmdb: read.take_all("cmdb", cmdb),
        };
        if read.errors.is_empty() { Ok(settings) } else { Err(read.errors) }
    }
}

struct Read<'h> {
    host: &'h Host,
    errors: Vec<SettingError>,
}

impl Read<'_> {
    fn take<T>(&mut self, name: &str, read: fn(&Value) -> Result<T, SettingError>) -> Option<T> {
        let value = self.host.vars.get(name).filter(|value| !value.is_null())?;
        read(value).map_err(|error| self.errors.push(within(name, error))).ok()
    }

    fn take_all<T>(
        &mut self,
        name: &str,
        read: fn(&Value) -> Result<T, Vec<SettingError>>,
    ) -> Option<T> {
        let value = self.host.vars.get(name).filter(|value| !value.is_null())?;
        let keep = |errors: Vec<SettingError>| {
            self.errors.extend(errors.into_iter().map(|error| within(name, error)));
        };
        read(value).map_err(keep).ok()
    }
}

/// What is wrong with a variable that has a meaning; others are fine whatever they hold.
pub(super) fn check(name: &str, value: &Value) -> Vec<SettingError> {
    let one = |checked: Result<(), SettingError>| checked.map_err(|error| vec![error]);
    let checked = match name {
        "ansible_host" | "ansible_user" | "site" | "fqdn" | "acc_account" => {
            one(text(value).map(drop))
        }
        "ansible_port" => one(winrm_port(value).map(drop)),
        "smb_port" | "http_port" => one(port(value).map(drop)),
        "ansible_connection" => one(connection(value)),
        "ansible_winrm_scheme" => one(scheme(value)),
        "ansible_winrm_transport" => one(transport(value).map(drop)),
        "ansible_winrm_server_cert_validation" => one(certificate_check(value)),
        "credential" => one(credential(value).map(drop)),
        "itms_guid" => one(guid(value).map(drop)),
        "cmdb" => cmdb(value).map(drop),
        "limits" => limits(value).map(drop),
        "time_scale" => one(time_scale(value).map(drop)),
        "package_credential" => one(word(value, &PACKAGE_CREDENTIALS)),
        "parent_servers" => parent_servers(value),
        WindowZone::VARIABLE => one(window::site_zone(value)),
        "calendars" => window::calendars(value).map(drop),
        _ => Ok(()),
    };
    checked.err().into_iter().flatten().map(|error| within(name, error)).collect()
}

/// Reads the parts of a mapping and keeps what is wrong with each of them.
pub(super) struct Parts<'v> {
    map: &'v Map<String, Value>,
    errors: Vec<SettingError>,
}

impl<'v> Parts<'v> {
    pub(super) fn of(value: &'v Value, known: &[&str]) -> Result<Self, Vec<SettingError>> {
        let Value::Object(map) = value else {
            return Err(vec![wrong(value, format!("a mapping with {}", known.join(", ")))]);
        };
        let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
        let errors = unknown.map(|key| SettingError {
            path: vec![key.clone()],
            found: UNKNOWN_KEY.to_owned(),
            expected: format!("one of {}", known.join(", ")),
        });
        Ok(Self { map, errors: errors.collect() })
    }

    pub(super) fn take<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, SettingError>,
    ) -> Option<T> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        read(value).map_err(|error| self.errors.push(within(key, error))).ok()
    }

    pub(super) fn finish<T>(self, read: T) -> Result<T, Vec<SettingError>> {
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }
}

pub(super) fn within(name: &str, mut error: SettingError) -> SettingError {
    error.path.insert(0, name.to_owned());
    error
}

pub(super) fn wrong(value: &Value, expected: impl Into<String>) -> SettingError {
    let found = match value {
        Value::String(text) if is_template(text) => {
            "a template, which an inventory does not fill in".to_owned()
        }
        other => say(other),
    };
    SettingError { path: Vec::new(), found, expected: expected.into() }
}

fn text(value: &Value) -> Result<String, SettingError> {
    match value {
        Value::String(text) if !text.trim().is_empty() && !is_template(text) => Ok(text.clone()),
        other => Err(wrong(other, "a text")),
    }
}

fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, SettingError> {
    let known = value.as_str().and_then(|text| {
        words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, meaning)| *meaning)
    });
    known.ok_or_else(|| {
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        wrong(value, format!("one of {}", list.join(", ")))
    })
}

fn port(value: &Value) -> Result<u16, SettingError> {
    // Ansible takes a port in quotes as well.
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| wrong(value, "a port, from 1 to 65535"))
}

fn connection(value: &Value) -> Result<(), SettingError> {
    word(value, &[("winrm", ()), ("psrp", ())])
}

/// HTTPS needs TLS, which is not built in.
fn winrm_port(value: &Value) -> Result<u16, SettingError> {
    match port(value)? {
        5986 => Err(wrong(value, "5985 or another port of HTTP; HTTPS is not supported yet")),
        port => Ok(port),
    }
}

fn scheme(value: &Value) -> Result<(), SettingError> {
    word(value, &[("http", ())]).map_err(|error| SettingError {
        expected: "http, with sealed messages; HTTPS is not supported yet".to_owned(),
        ..error
    })
}

fn transport(value: &Value) -> Result<WinrmTransport, SettingError> {
    let words = [WinrmTransport::Negotiate, WinrmTransport::Ntlm];
    word(value, &words.map(|transport| (transport.name(), transport)))
}

/// Without HTTPS there is no certificate to check; both words of Ansible are understood.
fn certificate_check(value: &Value) -> Result<(), SettingError> {
    word(value, &[("validate", ()), ("ignore", ())])
}

fn credential(value: &Value) -> Result<CredentialName, SettingError> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    match value {
        Value::String(text) if is_name(text) => Ok(CredentialName(text.clone())),
        // What stands here may be a password: it is not repeated.
        Value::String(_) => Err(SettingError {
            path: Vec::new(),
            found: "no name".to_owned(),
            expected: "a name made of letters, digits, `-`, `_` and `.`".to_owned(),
        }),
        other => Err(wrong(other, "the name of a credential")),
    }
}

fn guid(value: &Value) -> Result<Guid, SettingError> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong(value, "a GUID, with or without braces"))
}

fn cmdb(value: &Value) -> Result<CmdbSettings, Vec<SettingError>> {
    let mut parts = Parts::of(value, &CMDB_KEYS)?;
    let server = parts.take("server", sql_server);
    if !parts.map.contains_key("server") {
        let found = "a mapping without `server`".to_owned();
        let expected = "a mapping with a `server`".to_owned();
        parts.errors.push(SettingError { path: Vec::new(), found, expected });
    }
    let settings = CmdbSettings {
        server: server.unwrap_or_default(),
        port: parts.take("port", port).unwrap_or(1433),
        database: parts.take("database", text).unwrap_or_else(|| "Symantec_CMDB".to_owned()),
        credential: parts.take("credential", credential),
        writer_credential: parts.take("writer_credential", credential),
        site_query: parts.take("site_query", site_query),
    };
    parts.finish(settings)
}

/// A name, or a list of names. What is none would silently be no parent, and its packages would be
/// taken for those of a stranger.
fn parent_servers(value: &Value) -> Result<(), Vec<SettingError>> {
    let Value::Array(names) = value else {
        let error = |error: SettingError| SettingError {
            expected: "the name of a server, or a list of names".to_owned(),
            ..error
        };
        return server_name(value).map_err(|found| vec![error(found)]);
    };
    let wrong = |(at, value): (usize, &Value)| {
        server_name(value).err().map(|error| within(&at.to_string(), error))
    };
    let wrong: Vec<SettingError> = names.iter().enumerate().filter_map(wrong).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn server_name(value: &Value) -> Result<(), SettingError> {
    let name = text(value).unwrap_or_default();
    let is_name = (1..=253).contains(&name.len())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_name { Ok(()) } else { Err(wrong(value, "the name of a server")) }
}

/// Where the product keeps sites is not published, so that the operator says how to read them.
fn site_query(value: &Value) -> Result<ReadOnlySelect, SettingError> {
    const EXPECTED: &str = "one SELECT that only reads, with the columns ServerGuid and Site";
    let text =
        text(value).map_err(|error| SettingError { expected: EXPECTED.to_owned(), ..error })?;
    ReadOnlySelect::new(&text, &["ServerGuid", "Site"]).map_err(|why| SettingError {
        path: Vec::new(),
        found: format!("a text that is refused: {why}"),
        expected: EXPECTED.to_owned(),
    })
}

fn sql_server(value: &Value) -> Result<String, SettingError> {
    let name = text(value)?;
    if name.contains(['\\', ',']) {
        return Err(wrong(value, "a DNS name or an address; `port` says which instance"));
    }
    Ok(name)
}

/// A limit as a file declares it: what is not said is inherited.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DeclaredLimit {
    rate: Option<Rate>,
    burst: Option<u32>,
    in_flight: Option<u32>,
    by: Option<String>,
    /// `false` is said as well: none within.
    adapt: Option<Option<Adapt>>,
    scope: Option<LimitScope>,
}

impl DeclaredLimit {
    /// The limit, with what it does not say taken from the one it stands on.
    pub(super) fn over(&self, base: Option<&LimitSpec>) -> LimitSpec {
        LimitSpec {
            rate: self.rate.or(base.and_then(|base| base.rate)),
            burst: self.burst.or(base.map(|base| base.burst)).unwrap_or(1),
            in_flight: self.in_flight.or(base.and_then(|base| base.in_flight)),
            by: self.by.clone().or_else(|| base.and_then(|base| base.by.clone())),
            adapt: self.adapt.unwrap_or_else(|| base.and_then(|base| base.adapt)),
            scope: self.scope.or(base.map(|base| base.scope)).unwrap_or_default(),
        }
    }
}

/// Reads a mapping of limits.
pub(super) fn limits(
    value: &Value,
) -> Result<IndexMap<LimitName, DeclaredLimit>, Vec<SettingError>> {
    let Value::Object(map) = value else {
        let expected = "limits by name, as in `ns_iis: { rate: 20/min, burst: 3, in_flight: 5 }`";
        return Err(vec![wrong(value, expected)]);
    };
    let mut limits = IndexMap::new();
    let mut errors = Vec::new();
    for (name, value) in map {
        match limit(name, value) {
            Ok(limit) => drop(limits.insert(LimitName::new(name.as_str()), limit)),
            Err(found) => errors.extend(found.into_iter().map(|error| within(name, error))),
        }
    }
    if errors.is_empty() { Ok(limits) } else { Err(errors) }
}

/// What a limit may say.
const LIMIT_KEYS: [&str; 6] = ["rate", "burst", "in_flight", "by", "scope", "adapt"];

fn limit(name: &str, value: &Value) -> Result<DeclaredLimit, Vec<SettingError>> {
    let mut parts = Parts::of(value, &LIMIT_KEYS)?;
    let said = parts.map.get("adapt").filter(|value| !value.is_null());
    let adapt = said.map(|value| adapt(name, value)).transpose();
    let adapt = adapt.unwrap_or_else(|errors| {
        parts.errors.extend(errors.into_iter().map(|error| within("adapt", error)));
        None
    });
    let limit = DeclaredLimit {
        adapt,
        rate: parts.take("rate", rate),
        burst: parts.take("burst", count),
        in_flight: parts.take("in_flight", count),
        by: parts.take("by", text),
        scope: parts.take("scope", scope),
    };
    parts.finish(limit)
}

/// `true`, `false`, or what counts as slow. Only the Notification Server is looked at.
fn adapt(limit: &str, value: &Value) -> Result<Option<Adapt>, Vec<SettingError>> {
    if limit != LimitName::NS_IIS {
        let found = "under another limit".to_owned();
        let expected = format!("under `{}`, whose server is looked at", LimitName::NS_IIS);
        return Err(vec![SettingError { path: Vec::new(), found, expected }]);
    }
    match value {
        Value::Bool(is_on) => Ok(is_on.then(Adapt::default)),
        Value::Object(_) => {
            let mut parts = Parts::of(value, &["slow", "queue"])?;
            let usual = Adapt::default();
            let adapt = Adapt {
                slow: parts.take("slow", slow).unwrap_or(usual.slow),
                queue: parts.take("queue", count).map_or(usual.queue, u64::from),
            };
            parts.finish(Some(adapt))
        }
        other => Err(vec![wrong(other, "true, false, or a mapping with slow, queue")]),
    }
}

fn slow(value: &Value) -> Result<Duration, SettingError> {
    let span = value.as_str().and_then(|text| parse_span(text).ok());
    span.filter(|span| *span <= Duration::from_secs(60))
        .ok_or_else(|| wrong(value, "a span of time up to 60 s, as in `3 s`"))
}

fn rate(value: &Value) -> Result<Rate, SettingError> {
    let rate = value.as_str().and_then(|text| Rate::from_str(text).ok());
    rate.ok_or_else(|| wrong(value, "a rate with `s`, `min` or `h`, as in `20/min`"))
}

fn scope(value: &Value) -> Result<LimitScope, SettingError> {
    let word = value.as_str().unwrap_or_default();
    let found = LimitScope::ALL.iter().find(|(known, _)| *known == word);
    found.map(|(_, scope)| *scope).ok_or_else(|| {
        wrong(value, "`controller`, for all runs of a state directory together, or `run`")
    })
}

fn count(value: &Value) -> Result<u32, SettingError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|n| *n > 0).ok_or_else(|| wrong(value, "a whole number, at least 1"))
}

/// Reads a time scale.
pub(super) fn time_scale(value: &Value) -> Result<TimeScale, SettingError> {
    value
        .as_f64()
        .and_then(TimeScale::new)
        .ok_or_else(|| wrong(value, "a number from 0.01 to 10000; real fleets run at 1"))
}
