//! The named queries with their rows as types.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Reader;
use super::queries::{
    DRIFT, DUPLICATES, NOT_READY_PACKAGES, PACKAGE_SERVERS, READY_WITHOUT_CODEBASE,
};
use super::statements::READINESS;
use crate::model::{
    FailureClass, Guid, ReadOnlySelect, ServerIdentity, SourcedServer, StepFailure, WorkQuery,
    WorkRow,
};
use crate::transport::{Row, SqlParameter, SqlValue};

/// What the CMDB says of one (server, package) pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairStatus {
    /// The package.
    pub package: Guid,
    /// The status; none when the column is NULL.
    pub status: Option<String>,
    /// The version that the server reported.
    pub reported_version: Option<String>,
    /// The version that is current; none when the package has none.
    pub current_version: Option<String>,
}

impl PairStatus {
    /// Whether the Notification Server says positively that the pair is well: `Ready`, with the
    /// version that is current.
    pub fn is_ready(&self) -> bool {
        self.status.as_deref() == Some("Ready")
            && self.current_version.is_some()
            && self.reported_version == self.current_version
    }

    /// Whether the row keeps an error in place of a version, as for a server that lost its trust
    /// relationship (KB 179719): versions are numbers.
    pub fn is_refused(&self) -> bool {
        self.status.as_deref() != Some("Ready")
            && self.reported_version.as_deref().is_some_and(|version| {
                let version = version.trim();
                !version.is_empty() && !version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            })
    }
}

/// The pairs that are not well.
///
/// # Errors
///
/// As [`work`].
pub async fn not_ready_packages(at: &Reader<'_>) -> Result<Vec<WorkRow>, StepFailure> {
    work(at, WorkQuery::NotReadyPackages).await
}

/// The rows of a work query.
///
/// # Errors
///
/// The CMDB could not be asked or lacks what the query reads, or a row does not say which server
/// and package it speaks of.
pub async fn work(at: &Reader<'_>, query: WorkQuery) -> Result<Vec<WorkRow>, StepFailure> {
    let query = match query {
        WorkQuery::NotReadyPackages => &NOT_READY_PACKAGES,
        WorkQuery::Drift => &DRIFT,
        WorkQuery::Duplicates => &DUPLICATES,
        WorkQuery::ReadyWithoutCodebase => &READY_WITHOUT_CODEBASE,
    };
    let rows = at.query(&query.statement, &[]).await?;
    rows.iter().map(work_row).collect()
}

/// All pairs of one server.
///
/// # Errors
///
/// As [`work`].
pub async fn readiness(at: &Reader<'_>, server: Guid) -> Result<Vec<PairStatus>, StepFailure> {
    let rows = at.query(&READINESS, &[SqlParameter::Guid(server)]).await?;
    rows.iter()
        .map(|row| {
            Ok(PairStatus {
                package: guid(row, "PackageGuid")?,
                status: text(row, "Status"),
                reported_version: text(row, "ReportedVersion"),
                current_version: text(row, "CurrentVersion"),
            })
        })
        .collect()
}

/// The package servers that the CMDB knows. `site_query` is the operator's, with the columns
/// `ServerGuid` and `Site`.
///
/// # Errors
///
/// As [`work`]; also when the operator's query does not give its columns, or gives a server two
/// sites.
pub async fn package_servers(
    at: &Reader<'_>,
    site_query: Option<&ReadOnlySelect>,
) -> Result<Vec<SourcedServer>, StepFailure> {
    let rows = at.query(&PACKAGE_SERVERS.statement, &[]).await?;
    let mut sites = match site_query {
        Some(select) => sites(&at.query_checked(select).await?)?,
        None => HashMap::new(),
    };
    rows.iter()
        .map(|row| {
            let guid = guid(row, "ServerGuid")?;
            Ok(SourcedServer {
                guid,
                name: text(row, "ServerName"),
                fqdn: text(row, "ServerFqdn"),
                site: sites.remove(&guid),
                agent_version: text(row, "AgentVersion"),
            })
        })
        .collect()
}

/// The package servers that are in a site, by the operator's query as in [`package_servers`].
///
/// # Errors
///
/// As [`package_servers`].
pub async fn servers_in_sites(
    at: &Reader<'_>,
    site_query: &ReadOnlySelect,
) -> Result<Vec<Guid>, StepFailure> {
    let sites = sites(&at.query_checked(site_query).await?)?;
    let mut servers: Vec<Guid> = sites.into_keys().collect();
    servers.sort_unstable();
    Ok(servers)
}

/// The sites by server.
fn sites(rows: &[Row]) -> Result<HashMap<Guid, String>, StepFailure> {
    let refused = |text: String| StepFailure::new(FailureClass::Refused, text);
    let mut sites: HashMap<Guid, String> = HashMap::new();
    for row in rows {
        if row.get("Site").is_none() {
            return Err(refused("the rows of `site_query` have no column Site".to_owned()));
        }
        let server = row.guid("ServerGuid").ok_or_else(|| {
            refused("a row of `site_query` has no GUID in its column ServerGuid".to_owned())
        })?;
        let Some(site) = row.text("Site").map(str::trim).filter(|site| !site.is_empty()) else {
            continue;
        };
        if let Some(other) = sites.insert(server, site.to_owned()).filter(|other| other != site) {
            return Err(refused(format!(
                "`site_query` says that {server} is in {other} and in {site}"
            )));
        }
    }
    Ok(sites)
}

fn work_row(row: &Row) -> Result<WorkRow, StepFailure> {
    Ok(WorkRow {
        server: ServerIdentity {
            guid: guid(row, "ServerGuid")?,
            name: text(row, "ServerName"),
            fqdn: text(row, "ServerFqdn"),
        },
        package: guid(row, "PackageGuid")?,
        package_name: text(row, "PackageName"),
        status: text(row, "Status").unwrap_or_default(),
        current_version: text(row, "CurrentVersion"),
        reported_version: text(row, "ReportedVersion"),
    })
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.text(column).map(str::to_owned)
}

fn guid(row: &Row, column: &str) -> Result<Guid, StepFailure> {
    row.guid(column).ok_or_else(|| {
        StepFailure::new(
            FailureClass::RemoteFault,
            format!("a row of the CMDB has no GUID in its column {column}"),
        )
    })
}

/// A row as a mapping by column.
pub fn row_value(row: &Row) -> Value {
    let columns: serde_json::Map<String, Value> =
        row.0.iter().map(|(name, cell)| (name.clone(), cell_value(cell))).collect();
    Value::Object(columns)
}

fn cell_value(cell: &SqlValue) -> Value {
    match cell {
        SqlValue::Null => Value::Null,
        SqlValue::Guid(guid) => json!(guid),
        SqlValue::Text(text) => json!(text),
        SqlValue::Integer(number) => json!(number),
        SqlValue::Bool(flag) => json!(flag),
        SqlValue::Float(number) => json!(number),
        SqlValue::Timestamp(moment) => json!(moment.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::queries;
    use super::*;

    #[test]
    fn the_work_of_a_play_is_a_named_query_of_the_same_name() {
        for work in WorkQuery::ALL {
            let query = queries::find(work.name()).expect("every work is a named query");
            for column in ["ServerGuid", "ServerName", "ServerFqdn", "PackageGuid", "Status"] {
                assert!(query.columns.iter().any(|known| known.name == column), "{column}");
            }
        }
    }

    fn pair(status: &str, reported: Option<&str>, current: Option<&str>) -> PairStatus {
        PairStatus {
            package: Guid::from_u128(1),
            status: Some(status.to_owned()),
            reported_version: reported.map(str::to_owned),
            current_version: current.map(str::to_owned),
        }
    }

    #[test]
    fn only_ready_with_the_current_version_is_ready() {
        assert!(pair("Ready", Some("5"), Some("5")).is_ready());
        assert!(!pair("Ready", Some("4"), Some("5")).is_ready());
        assert!(!pair("Invalid", Some("5"), Some("5")).is_ready());
        assert!(!pair("Ready", None, None).is_ready());
        assert!(!pair("Ready", Some("5"), None).is_ready());
    }

    #[test]
    fn a_row_with_an_error_in_place_of_a_version_is_refused() {
        assert!(
            pair("Invalid", Some("The trust relationship failed (1789)"), Some("5")).is_refused()
        );
        assert!(!pair("Invalid", Some("1601867730"), Some("5")).is_refused());
        assert!(!pair("Invalid", Some("8.0.1"), Some("5")).is_refused());
        assert!(!pair("Download Pending", None, Some("5")).is_refused());
    }
}
