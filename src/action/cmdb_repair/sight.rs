//! What a repair reads before it decides.

use super::exchange::{Change, Exchange};
use super::params::{MOST_KEYS, Orders, Params, RepairKind, Wanted, refused};
use super::rows::{MOST_ROWS, understood};
use crate::host::Reader;
use crate::host::cmdb_tables::{
    BackupName, ColumnSeen, FullBackup, ServerClock, backup_tables, integer, last_full_backup,
    server_clock, table_columns,
};
use crate::host::repair_statements::{
    DUPLICATE_PAIRS, ORIGIN_OF_OWNER, ORIGIN_OF_THIS_SERVER, ORIGIN_SERVERS,
};
use crate::model::{Guid, Parents, RunId, StepFailure, TaskId};
use crate::transport::{AnyOf, Conditions, Row, Selection, SqlName, SqlParameter, TableName};

/// What was seen.
#[derive(Debug)]
pub(in super::super) struct State {
    pub(super) run: RunId,
    /// Other runs that have not ended.
    pub(super) unfinished: Vec<RunId>,
    pub(super) task: Option<TaskId>,
    /// The repairs that this run already decided on, oldest first.
    pub(super) earlier: Vec<Exchange>,
    /// The backup tables that are there.
    pub(super) backups: Vec<BackupName>,
    /// None for a purge, and when nothing can be meant.
    pub(super) repair: Option<Sight>,
}

/// What a repair needs to know.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) clock: ServerClock,
    pub(super) backup: Option<FullBackup>,
    pub(super) columns: Vec<ColumnSeen>,
    /// How the rows were found; none if there is nothing to look at.
    pub(super) found: Option<(Selection, Vec<Row>)>,
    pub(super) origin: Option<OriginSight>,
}

/// What the CMDB says of origins.
#[derive(Debug, Default)]
pub(super) struct OriginSight {
    /// This server's identifiers, by the article's first way; there should be one.
    pub(super) this_server: Vec<i64>,
    /// By its second way.
    pub(super) owner: Vec<i64>,
    pub(super) servers: Vec<OriginServer>,
    /// The parents that the inventory names.
    pub(super) parents: Parents,
}

/// A server that items come from.
#[derive(Debug, Clone)]
pub(super) struct OriginServer {
    pub(super) id: i64,
    pub(super) guid: Option<Guid>,
    pub(super) name: Option<String>,
}

/// Reads all that is needed, and nothing if the task is refused anyway.
pub(super) async fn look(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
    let orders = params.orders()?;
    if !at.has_cmdb_writer() {
        let name = &at.host().name;
        return Err(refused(format!(
            "there is no credential for changing the CMDB of {name}: the inventory names it by \
             `cmdb: {{ writer_credential: … }}`, and its secret is looked for in the environment"
        )));
    }
    let clock = server_clock(at).await?;
    if !clock.sees_backup_tables {
        return Err(refused(
            "the reading login does not see the schema `fleetmend`, in which backup tables are \
             made; docs/cmdb.md has the GRANT lines",
        ));
    }
    let backups = backup_tables(at).await?;
    let repair = match &orders {
        Orders::Purge(_) | Orders::Nothing(_) => None,
        Orders::Repair(wanted) => Some(repair_sight(wanted, clock, at).await?),
    };
    Ok(State {
        run: at.run(),
        unfinished: at.unfinished().to_vec(),
        task: at.task(),
        earlier: earlier(at),
        backups,
        repair,
    })
}

fn earlier(at: &Reader<'_>) -> Vec<Exchange> {
    let own = at.prior().iter().filter(|prior| prior.action == super::NAME);
    own.filter_map(|prior| match serde_json::from_value(prior.change.clone()) {
        Ok(Change::Repair(exchange)) => Some(exchange),
        Ok(Change::Restore(_) | Change::Purge { .. }) | Err(_) => None,
    })
    .collect()
}

async fn repair_sight(
    wanted: &Wanted,
    clock: ServerClock,
    at: &Reader<'_>,
) -> Result<Sight, StepFailure> {
    let backup = last_full_backup(at).await?;
    let (table, needed) = wanted.kind.table();
    let seen = table_columns(at, table).await?;
    let columns = understood(&seen, table, needed)?;
    let origin = match &wanted.origin {
        Some(origin) => Some(origin_sight(origin.owner, at).await?),
        None => None,
    };
    let conditions = match wanted.kind {
        RepairKind::RemoveDuplicates => duplicates(wanted, at).await?,
        RepairKind::DeleteCodebases | RepairKind::SetOrigin => Some(by_keys(wanted, false)),
        RepairKind::DeletePackageStatus => Some(by_keys(wanted, true)),
    };
    let found = match conditions {
        None => None,
        Some(rows) => {
            let from = TableName { schema: name("dbo"), name: name(table) };
            let selection = Selection { columns, from, rows };
            let rows = at.select(&selection).await?;
            if rows.len() > MOST_ROWS {
                return Err(refused(format!(
                    "{} rows of {table} are meant, and {MOST_ROWS} are the most that one step keeps \
                     for its undo: name fewer packages or servers",
                    rows.len()
                )));
            }
            Some((selection, rows))
        }
    };
    Ok(Sight { clock, backup, columns: seen, found, origin })
}

pub(super) fn name(constant: &str) -> SqlName {
    SqlName::new(constant).expect("a constant name")
}

fn any_of(column: &str, guids: &[Guid]) -> Option<AnyOf> {
    let values: Vec<SqlParameter> = guids.iter().map(|guid| SqlParameter::Guid(*guid)).collect();
    (!values.is_empty()).then(|| AnyOf { column: name(column), values })
}

fn by_keys(wanted: &Wanted, by_server: bool) -> Conditions {
    let key = if wanted.kind == RepairKind::SetOrigin { "ItemGuid" } else { "PackageId" };
    let servers = if by_server { any_of("PkgSvrId", &wanted.servers) } else { None };
    Conditions(any_of(key, &wanted.packages).into_iter().chain(servers).collect())
}

/// The packages and servers that have duplicates, among those that are meant.
async fn duplicates(wanted: &Wanted, at: &Reader<'_>) -> Result<Option<Conditions>, StepFailure> {
    let rows = at.query(&DUPLICATE_PAIRS, &[]).await?;
    let is_meant = |list: &[Guid], guid: Guid| list.is_empty() || list.contains(&guid);
    let (mut packages, mut servers) = (Vec::new(), Vec::new());
    for row in &rows {
        let pair = row.guid("ServerGuid").zip(row.guid("PackageGuid"));
        let (server, package) =
            pair.ok_or_else(|| refused("SWDPackageServer has duplicates without GUIDs"))?;
        if is_meant(&wanted.servers, server) && is_meant(&wanted.packages, package) {
            servers.push(server);
            packages.push(package);
        }
    }
    for list in [&mut packages, &mut servers] {
        list.sort_unstable();
        list.dedup();
    }
    let count = packages.len() + servers.len();
    if count > MOST_KEYS {
        return Err(refused(format!(
            "{count} packages and servers have duplicates, and {MOST_KEYS} are allowed in one step: \
             name fewer packages or servers"
        )));
    }
    let conditions: Vec<AnyOf> = [any_of("PackageId", &packages), any_of("PkgSvrId", &servers)]
        .into_iter()
        .flatten()
        .collect();
    Ok((!conditions.is_empty()).then_some(Conditions(conditions)))
}

async fn origin_sight(owner: Guid, at: &Reader<'_>) -> Result<OriginSight, StepFailure> {
    let ids = |rows: &[Row]| -> Vec<i64> {
        rows.iter().filter_map(|row| integer(row, "ServerId")).collect()
    };
    let this_server = at.query(&ORIGIN_OF_THIS_SERVER, &[]).await?;
    let by_owner = at.query(&ORIGIN_OF_OWNER, &[SqlParameter::Guid(owner)]).await?;
    let servers = at.query(&ORIGIN_SERVERS, &[]).await?;
    Ok(OriginSight {
        this_server: ids(&this_server),
        owner: ids(&by_owner),
        parents: Parents::of(at.host()),
        servers: servers
            .iter()
            .filter_map(|row| {
                Some(OriginServer {
                    id: integer(row, "OriginId")?,
                    guid: row.guid("OriginGuid"),
                    name: row.text("OriginServer").map(str::to_owned),
                })
            })
            .collect(),
    })
}
