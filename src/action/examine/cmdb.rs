//! What the CMDB says of packages, servers and the event queue.

use std::collections::BTreeMap;

use super::part::{seen, then};
use crate::host::Reader;
use crate::host::statements::{
    AGENT_VERSIONS, EVENT_QUEUE, OFFERED_PACKAGES, PACKAGE_STATUS_ROWS, THIS_SERVER,
};
use crate::itms::evidence::{OfferedPackage, Origin, Seen, StatusRow};
use crate::model::{Guid, Parents, StepFailure};
use crate::transport::{Row, SqlValue, Statement};

/// The names under which agents and plug-ins report their versions.
const AGENT: &str = "Altiris Agent";
const PLUGIN: &str = "Altiris Package Server Agent";

/// The versions that computers report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// The newest agent.
    pub(super) agent: Option<String>,
    /// The newest package server plug-in.
    pub(super) plugin: Option<String>,
}

async fn rows(at: &Reader<'_>, statement: &Statement<'_>) -> Result<Seen<Vec<Row>>, StepFailure> {
    seen(at.query(statement, &[]).await)
}

/// All rows of `SWDPackageServer`.
///
/// # Errors
///
/// A rejected logon; so for all functions here.
pub(super) async fn status_rows(at: &Reader<'_>) -> Result<Seen<Vec<StatusRow>>, StepFailure> {
    let rows = rows(at, &PACKAGE_STATUS_ROWS).await?;
    Ok(then(rows, |rows| Seen::Known(rows.iter().filter_map(status_row).collect())))
}

/// A row without both of its keys speaks of nothing.
fn status_row(row: &Row) -> Option<StatusRow> {
    Some(StatusRow {
        server: row.guid("ServerGuid")?,
        server_name: text(row, "ServerName"),
        package: row.guid("PackageGuid")?,
        status: text(row, "Status"),
        reported_version: text(row, "ReportedVersion"),
    })
}

/// The packages that are offered, with their origins.
pub(super) async fn offered(at: &Reader<'_>) -> Result<Seen<Vec<OfferedPackage>>, StepFailure> {
    let this = rows(at, &THIS_SERVER).await?;
    let this = then(this, |rows| match rows.first().and_then(|row| row.guid("ServerGuid")) {
        Some(guid) => Seen::Known(guid),
        None => Seen::Unreadable("the CMDB does not say which server it is of".to_owned()),
    });
    let rows = rows(at, &OFFERED_PACKAGES).await?;
    let parents = Parents::of(at.host());
    Ok(then(rows, |rows| {
        let offered = rows.iter().filter_map(|row| offered_package(row, &this, &parents));
        Seen::Known(offered.collect())
    }))
}

fn offered_package(row: &Row, this: &Seen<Guid>, parents: &Parents) -> Option<OfferedPackage> {
    Some(OfferedPackage {
        id: row.guid("PackageGuid")?,
        name: text(row, "PackageName"),
        current_version: text(row, "CurrentVersion").filter(|version| !version.trim().is_empty()),
        origin: origin(row, this, parents),
        snapshot: Seen::NotAsked,
        source_reachable: Seen::NotAsked,
    })
}

/// Where a package comes from. Whether the other server is a parent that still lives is nowhere
/// documented: the operator says so.
fn origin(row: &Row, this: &Seen<Guid>, parents: &Parents) -> Seen<Origin> {
    let (Some(origin), Seen::Known(this)) = (row.guid("OriginGuid"), this) else {
        return match this {
            Seen::Known(_) => Seen::Unreadable("the CMDB names no origin".to_owned()),
            Seen::Unreadable(why) => Seen::Unreadable(why.clone()),
            Seen::NotAsked => Seen::NotAsked,
        };
    };
    if origin == *this {
        return Seen::Known(Origin::Local);
    }
    let server = text(row, "OriginServer");
    let is_live_parent = parents.hold(server.as_deref());
    Seen::Known(Origin::Foreign { server, is_live_parent })
}

/// The newest versions that computers report.
pub(super) async fn versions(at: &Reader<'_>) -> Result<Seen<Versions>, StepFailure> {
    let rows = rows(at, &AGENT_VERSIONS).await?;
    Ok(then(rows, |rows| {
        let mut newest: BTreeMap<String, String> = BTreeMap::new();
        for row in &rows {
            let (Some(name), Some(version)) = (text(row, "AgentName"), text(row, "ProductVersion"))
            else {
                continue;
            };
            let known = newest.entry(name.trim().to_lowercase()).or_default();
            if numbers(&version) > numbers(known) {
                *known = version;
            }
        }
        let mut take = |name: &str| newest.remove(&name.to_lowercase());
        Seen::Known(Versions { agent: take(AGENT), plugin: take(PLUGIN) })
    }))
}

/// A dotted version as numbers, for comparing.
fn numbers(version: &str) -> Vec<u64> {
    version.trim().split('.').map_while(|part| part.parse().ok()).collect()
}

/// How many entries wait, and the smallest identifier.
pub(super) async fn queue(at: &Reader<'_>) -> Result<Seen<(u64, Option<i64>)>, StepFailure> {
    let rows = rows(at, &EVENT_QUEUE).await?;
    Ok(then(rows, |rows| {
        let Some(row) = rows.first() else {
            return Seen::Unreadable("the event queue has no row".to_owned());
        };
        let number = |column: &str| match row.get(column) {
            Some(SqlValue::Integer(number)) => Some(*number),
            _ => None,
        };
        match number("Entries").and_then(|entries| u64::try_from(entries).ok()) {
            Some(entries) => Seen::Known((entries, number("OldestId"))),
            None => Seen::Unreadable("the length of the event queue is no number".to_owned()),
        }
    }))
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.text(column).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, SqlValue)]) -> Row {
        Row(cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect())
    }

    #[test]
    fn an_origin_is_local_foreign_or_not_told() {
        let [this, other] = [1, 2].map(Guid::from_u128);
        let from = |guid: Option<Guid>, parents: &Parents| {
            let guid = guid.map_or(SqlValue::Null, SqlValue::Guid);
            let name = SqlValue::Text("SMP-Old.corp.example".to_owned());
            let row = row(&[("OriginGuid", guid), ("OriginServer", name)]);
            origin(&row, &Seen::Known(this), parents)
        };
        let of = |guid| from(guid, &Parents::named(&["smp-hq"]));

        assert_eq!(of(Some(this)), Seen::Known(Origin::Local));
        let foreign = |is_live_parent| {
            let server = Some("SMP-Old.corp.example".to_owned());
            Seen::Known(Origin::Foreign { server, is_live_parent })
        };
        assert_eq!(of(Some(other)), foreign(Some(false)));
        for parent in ["smp-old", "smp-old.corp.example"] {
            assert_eq!(from(Some(other), &Parents::named(&[parent])), foreign(Some(true)));
        }
        assert_eq!(from(Some(other), &Parents::default()), foreign(None), "nobody said");
        assert!(matches!(of(None), Seen::Unreadable(_)));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("8.10.1") > numbers("8.9.9"));
        assert!(numbers("8.6.3268.0") > numbers(""));
        assert_eq!(numbers("8.x.1"), [8]);
    }

    #[test]
    fn a_row_without_its_keys_is_left_out() {
        let server = ("ServerGuid", SqlValue::Guid(Guid::from_u128(1)));
        let package = ("PackageGuid", SqlValue::Guid(Guid::from_u128(2)));

        assert!(status_row(&row(&[server.clone(), package])).is_some());
        assert!(status_row(&row(&[server])).is_none());
    }
}
